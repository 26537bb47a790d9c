"""A job's links as live models: each reads the main output of the one before.

Fitting a link sees the data through the links before it, cell by cell, so a chain needs no dataset in between.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from lakecv import registry
from lakecv.cube import ArraySpec, CubeSpec, Role
from lakecv.errors import Conflict, InvalidInput, Kind, LakeCVError, PluginError, nearest
from lakecv.job import Job, Workload
from lakecv.ports import Model
from lakecv.sheet import Array, Result, Sheet, State

__all__ = ["ChainLink", "build_chain", "check_result", "feed", "next_sheet", "of_model", "stored_outputs"]

T = TypeVar("T")
_PASSED_ON = {Role.SCORES, Role.EMBEDDING, Role.DATA}


@dataclass(frozen=True, slots=True)
class ChainLink:
    """One model with its options, the cube that it sees and what it said of its work."""

    model: Model[Any]
    options: Any
    input: str
    cube: CubeSpec
    workload: Workload

    @property
    def specs(self) -> Mapping[str, CubeSpec]:
        """Its inputs as the model's methods take them."""
        return {self.input: self.cube}

    def apply(self, sheet: Sheet, state: State | None) -> Result:
        """Apply it to one cell."""
        return check_result(self.model.apply({self.input: sheet}, state, self.options), self, sheet)


def build_chain(job: Job, cube: CubeSpec) -> tuple[ChainLink, ...]:
    """Make the links of a job live.

    Raises
    ------
    NotFound
        If a model is not installed.
    Conflict
        If a model's version is not the job's (kind ``plan-changed``).
    InvalidInput
        If an option is refused, or a link has no output for the next one.
    """
    chain: list[ChainLink] = []
    for link in job.links:
        model = registry.model(link.model)
        if model.version != link.version:
            raise Conflict(
                f"the job needs {link.model} {link.version}; {model.version} is installed", Kind.PLAN_CHANGED,
                "install that version, or start a new run",
            )
        options = model.Options(**dict(link.options))
        [given] = model.inputs(options)
        seen = _next_cube(chain[-1]) if chain else cube
        chain.append(ChainLink(model, options, given.name, seen, model.workload({given.name: seen}, options)))
    return tuple(chain)


def of_model(link: ChainLink, call: Callable[[], T]) -> T:
    """Call a model where the driver runs; what it raises in its arithmetic is its fault and not lakecv's.

    Raises
    ------
    PluginError
        In place of the arithmetic's own exception (kind ``contract-broken``).
    """
    try:
        return call()
    except LakeCVError:
        raise
    except (ValueError, TypeError, ArithmeticError, LookupError, AttributeError) as err:
        raise PluginError(
            f"{link.model.name} failed: {type(err).__name__}: {err}", Kind.CONTRACT_BROKEN, "tell the author of the model",
        ) from err


def stored_outputs(chain: Sequence[ChainLink], keep: Sequence[str]) -> tuple[ArraySpec, ...]:
    """Arrays that are to be stored: all of the last link's, and of earlier ones those named in ``keep``."""
    earlier = {spec.name: spec for link in chain[:-1] for spec in link.workload.outputs}
    for name in keep:
        if name not in earlier:
            raise InvalidInput(
                f"no earlier model of the chain makes '{name}'", Kind.OPTION_INVALID, nearest(name, earlier, "arrays to keep"),
            )
    kept = [earlier[name] for name in keep]
    return (*chain[-1].workload.outputs, *kept)


def feed(chain: Sequence[ChainLink], states: Sequence[State | None], sheet: Sheet) -> Sheet:
    """Pass one cell through links: what the next link reads."""
    for link, state in zip(chain, states, strict=True):
        sheet = next_sheet(link, link.apply(sheet, state), sheet)
    return sheet


def next_sheet(link: ChainLink, result: Result, sheet: Sheet) -> Sheet:
    """Wrap a link's main output as what the next link reads; samples of unusable pixels are 0."""
    name = _passed_on(link).name
    values = result.arrays[name]
    usable = sheet.valid if values.ndim == sheet.valid.ndim else sheet.valid[..., None]
    return Sheet(sheet.window, {name: np.where(usable, values, values.dtype.type(0))}, sheet.valid)


def check_result(result: object, link: ChainLink, sheet: Sheet) -> Result:
    """Hold a model to its own specs: names, shapes, dtypes, and finite values where the input was usable.

    Raises
    ------
    PluginError
        If it breaks its word (kind ``contract-broken``).
    """
    name = link.model.name
    if not isinstance(result, Result):
        raise PluginError(f"{name} gave {type(result).__name__} where a Result was due", Kind.CONTRACT_BROKEN)
    for spec in link.workload.outputs:
        values = result.arrays.get(spec.name)
        shape = (*sheet.valid.shape, *spec.shape[2:])
        if not isinstance(values, np.ndarray) or values.shape != shape or str(values.dtype) != spec.dtype:
            found = f"{values.dtype} {values.shape}" if isinstance(values, np.ndarray) else "nothing"
            raise PluginError(
                f"{name} gave {found} for '{spec.name}'; its workload promised {spec.dtype} {shape}", Kind.CONTRACT_BROKEN,
            )
        if values.dtype.kind == "f" and not _finite(values, sheet).all():
            raise PluginError(f"{name} gave non-finite '{spec.name}' for usable pixels", Kind.CONTRACT_BROKEN)
    return result


def _finite(values: Array, sheet: Sheet) -> Array:
    return np.isfinite(values[sheet.valid])


def _passed_on(link: ChainLink) -> ArraySpec:
    for spec in link.workload.outputs:
        if spec.role in _PASSED_ON:
            return spec
    raise InvalidInput(
        f"{link.model.name} has no output that another model could read", Kind.OPTION_INVALID, "put it last: pca+kmeans",
    )


def _next_cube(link: ChainLink) -> CubeSpec:
    """Describe the cube that the link after this one sees: same pixels, same cells."""
    spec = _passed_on(link)
    chunks = (*link.cube.main.chunks[:2], *spec.shape[2:])
    return CubeSpec(link.cube.grid, None, (replace(spec, chunks=chunks, shards=None),), link.cube.offset)
