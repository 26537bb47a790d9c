"""From what a user types to a job: the chain of models, and every option checked and filled in."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from shlex import quote
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np

from lakecv import registry
from lakecv.api.values import OptionCard
from lakecv.errors import InvalidInput, Kind, PluginError, nearest
from lakecv.job import Job, Link, Scalar
from lakecv.plan import Plan
from lakecv.ports import Model
from lakecv.records import Dataset
from lakecv.selection import Selection

__all__ = ["command_of", "make_job", "option_cards"]

_KEEP = "keep"


def make_job(
    models: str, dataset: Dataset, *, options: Mapping[str, Scalar], seed: int, scope: str,
    state: tuple[str, str] | None = None, selection: Selection | None = None,
) -> Job:
    """Make a job; options that are not given get their defaults, so that a default that changes changes the digest.

    Raises
    ------
    NotFound
        If a model is not installed.
    InvalidInput
        If an option is unknown, ambiguous between the links of a chain, or its value is refused.
    """
    names = models.split("+")
    live = [registry.model(name) for name in names]
    given = {name: value.item() if isinstance(value, np.generic) else value for name, value in options.items()}
    keep = tuple(filter(None, str(given.pop(_KEEP, "")).split(",")))
    shares = _share_out(given, names, live)
    links = tuple(
        Link(model.name, model.version, _complete(model, share)) for model, share in zip(live, shares, strict=True)
    )
    return Job(links, seed, ((str(dataset.did), dataset.digest),), scope, state, keep, selection)


def option_cards(model: Model[Any]) -> tuple[OptionCard, ...]:
    """List the options of a model."""
    hints = _hints(model)
    return tuple(
        OptionCard(field.name, _type_name(hints[field.name]), _default(field), str(field.metadata.get("help", "")))
        for field in dataclasses.fields(_options_class(model))
    )


def _default(field: dataclasses.Field[Any]) -> Scalar:
    if field.default is dataclasses.MISSING:
        raise PluginError(f"the option '{field.name}' has no default", Kind.CONTRACT_BROKEN)
    return typing.cast("Scalar", field.default)


def _share_out(given: Mapping[str, Scalar], names: list[str], live: list[Model[Any]]) -> list[dict[str, Scalar]]:
    """Give each option to the one link that has it; ``model.option`` names the link."""
    shares: list[dict[str, Scalar]] = [{} for _ in live]
    for key, value in given.items():
        prefix, dot, name = key.rpartition(".")
        owners = [i for i, model in enumerate(live) if name in _hints(model) and (not dot or names[i] == prefix)]
        if not owners:
            known = [option for model in live for option in _hints(model)]
            raise InvalidInput(
                f"'{'+'.join(names)}' has no option '{key}'", Kind.OPTION_UNKNOWN, nearest(name, known, "options"),
            )
        if len(owners) > 1:
            choices = " or ".join(f"--set {names[i]}.{name}={value}" for i in owners)
            raise InvalidInput(f"'{name}' is an option of more than one model here", Kind.OPTION_INVALID, choices)
        shares[owners[0]][name] = value
    return shares


def _complete(model: Model[Any], share: Mapping[str, Scalar]) -> tuple[tuple[str, Scalar], ...]:
    hints = _hints(model)
    typed = {name: _typed(name, value, hints[name]) for name, value in share.items()}
    options: Any = model.Options(**typed)
    return tuple(sorted((field.name, getattr(options, field.name)) for field in dataclasses.fields(options)))


def _typed(name: str, text: Scalar, hint: Any) -> Scalar:
    """Read an option's value; a union takes the first of its types that fits."""
    if get_origin(hint) is Literal:
        return _chosen(name, text, get_args(hint))
    kinds = [kind for kind in (bool, int, float, str) if kind in (getattr(hint, "__args__", None) or (hint,))]
    for kind in kinds:
        value = _read(text, kind)
        if value is not None:
            return value
    raise InvalidInput(
        f"option {name}={text} is not {_type_name(hint)}", Kind.OPTION_INVALID, f"write --set {name}=<{_type_name(hint)}>",
    )


def _chosen(name: str, text: Scalar, choices: tuple[Scalar, ...]) -> Scalar:
    if text in choices:
        return text
    hint = nearest(str(text), map(str, choices), "choices")
    raise InvalidInput(f"option {name}={text} is not one of its choices", Kind.OPTION_INVALID, hint)


def _read(text: Scalar, kind: type) -> Scalar | None:
    if not isinstance(text, str):
        fits = type(text) is kind or (kind is float and type(text) is int)
        return kind(text) if fits else None
    if kind is bool:
        return {"true": True, "yes": True, "false": False, "no": False}.get(text.lower())
    try:
        return kind(text)  # type: ignore[no-any-return]
    except ValueError:
        return None


def _type_name(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return "|".join(map(str, get_args(hint)))
    return getattr(hint, "__name__", None) or str(hint).replace(" | ", " or ")


def _options_class(model: Model[Any]) -> Any:
    return model.Options


def _hints(model: Model[Any]) -> dict[str, Any]:
    hints = get_type_hints(_options_class(model))
    return {field.name: hints[field.name] for field in dataclasses.fields(_options_class(model))}


def command_of(job: Job, plan: Plan, dataset: Dataset, to: str | None) -> str:
    """Write the command that repeats a run, with every option."""
    multiple = len(job.links) > 1
    sets = [f"--set {quote(f'{link.model}.{name}={value}' if multiple else f'{name}={value}')}" for link in job.links for name, value in link.options]
    state = [f"--state {job.state[0]}"] if job.state else []
    sets += [f"--set keep={','.join(job.keep)}"] if job.keep else []
    where = [f"--site {plan.site}", f"--scope {job.scope}", *([f"--to {to}"] if to else [])]
    part = job.selection.words if job.selection else ()
    return " ".join(["lakecv run", job.name, str(dataset.did), *map(quote, part), *where, f"--seed {job.seed}", *state, *sets])
