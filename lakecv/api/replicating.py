"""Where data lie and go: datasets by their facts, rules that copy them, and room for what a plan writes.

Every catalog gives the same answers; one without rules or storage elements says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from lakecv.errors import Denied, InvalidInput, Kind, NotFound, Unavailable, nearest
from lakecv.facts import Condition, facts_of
from lakecv.lake_io.place import LOCAL
from lakecv.plan import Plan, Progress, Reason
from lakecv.ports import CatalogBackend, Replicates, StorageElements
from lakecv.records import DID, Dataset, Rule
from lakecv.report.text import nbytes

__all__ = ["check_home", "conditions_of", "find", "follow", "replicate", "rules_of", "unknown_facts", "with_room"]

_SOMETIMES = ("axis_first", "axis_last", "axis_unit", "channels", "model", "parent", "quantity", "run", "title")
"""Facts that not every dataset has, so that the first one may lack them."""

_ENDS = {"OK", "STUCK", "SUSPENDED"}
_FIRST_SECONDS, _MOST_SECONDS, _GROWTH = 0.25, 10.0, 1.5
_LONGEST_SECONDS = 100 * 365 * 86400


def conditions_of(texts: Sequence[str]) -> tuple[Condition, ...]:
    """Read conditions as a user writes them.

    Raises
    ------
    InvalidInput
        If one is none, or there is none at all (kind ``option-invalid``).
    """
    if not texts:
        raise InvalidInput(
            "a search needs a condition", Kind.OPTION_INVALID,
            "name a fact: quantity=energy, 'channels>=200', model=pca+kmeans, dtype, ny, nx, title or what register --meta said",
        )
    return tuple(map(Condition.parse, texts))


def find(catalog: CatalogBackend, scope: str | None, where: Sequence[Condition]) -> tuple[Dataset, ...]:
    """Find the datasets of which all conditions hold, sorted by DID; replicas as a listing gives them."""
    fitting = set(catalog.search(scope, where))
    return tuple(dataset for dataset in catalog.datasets(scope) if dataset.did in fitting) if fitting else ()


def unknown_facts(catalog: CatalogBackend, scope: str | None, where: Sequence[Condition]) -> dict[str, str]:
    """Name the facts that conditions ask for and the first dataset does not have, each with the nearest that it has."""
    first = next(iter(catalog.datasets(scope)), None)
    known = {*facts_of(first), *_SOMETIMES} if first is not None else set()
    return {each.key: nearest(each.key, known, "facts") for each in where if known and each.key not in known}


def replicate(catalog: CatalogBackend, did: DID, rses: str, lifetime_seconds: float | None) -> Rule:
    """Ask for a copy.

    Raises
    ------
    InvalidInput
        If the catalog has no rules, no storage element is named, or nothing could live so long (kind ``option-invalid``).
    """
    rules = _with_rules(catalog)
    if not rses.strip():
        raise InvalidInput("no storage element is named", Kind.OPTION_INVALID, "name one, or an expression such as 'site=CNAF'")
    if lifetime_seconds is not None and not 1 <= lifetime_seconds <= _LONGEST_SECONDS:
        raise InvalidInput(
            f"a copy cannot live for {lifetime_seconds:g} s; expected 1 s to 100 years", Kind.OPTION_INVALID,
            "leave the lifetime out: the copy then stays",
        )
    return rules.replicate(did, rses, None if lifetime_seconds is None else int(lifetime_seconds))


def rules_of(catalog: CatalogBackend, did: DID) -> tuple[Rule, ...]:
    """List the rules of a dataset, oldest first; InvalidInput (``option-invalid``) where the catalog has none at all."""
    return tuple(_with_rules(catalog).rules(did))


def follow(
    catalog: CatalogBackend, rule: Rule, watch: Callable[[Progress], None], pause: Callable[[float], None] = time.sleep,
) -> Rule:
    """Look at a rule, ever less often, until its copies are there.

    Raises
    ------
    Unavailable
        If it cannot go on (kind ``rse-unreachable``), or Ctrl-C was pressed (``interrupted``); the rule stays.
    NotFound
        If it has expired or was taken back.
    """
    clock, seconds = time.monotonic(), _FIRST_SECONDS
    try:
        while True:
            watch(_progress(rule, time.monotonic() - clock))
            if rule.state in _ENDS:
                break
            pause(seconds)
            seconds = min(seconds * _GROWTH, _MOST_SECONDS)
            rule = _again(catalog, rule)
    except KeyboardInterrupt as err:
        raise Unavailable(
            f"interrupted; rule {rule.id} stays and goes on by itself", Kind.INTERRUPTED, f"lakecv rules {rule.did}",
        ) from err
    if rule.state != "OK":
        raise Unavailable(
            f"rule {rule.id} is {rule.state} on its way to {rule.rses}: {rule.error or 'the catalog does not say why'}",
            Kind.RSE_UNREACHABLE, f"lakecv rules {rule.did} shows where it stands; the catalog tries again, or ask who runs {rule.rses}",
        )
    return rule


def check_home(catalog: CatalogBackend, rse: str | None) -> None:
    """Refuse a storage element in a lake that has none, before anything is planned (kind ``option-invalid``)."""
    if not isinstance(catalog, StorageElements) and rse not in {None, LOCAL}:
        raise InvalidInput(
            f"this lake has no storage element {rse!r}; everything lies in the lake itself", Kind.OPTION_INVALID,
            "leave --to out, or set catalog = 'rucio'",
        )


def with_room(catalog: CatalogBackend, plan: Plan) -> Plan:
    """Add to a plan how much room its result has; a catalog without storage elements has no limits.

    Raises
    ------
    Denied
        If the result may not fit (kind ``quota-exceeded``): its arrays are counted as they are before compression.
    """
    room = catalog.room(plan.home) if isinstance(catalog, StorageElements) else None
    if room is None:
        return plan
    needed = sum(spec.nbytes for spec in plan.output.arrays)
    if needed > room:
        raise Denied(
            f"the result needs up to {nbytes(needed)} at {plan.home}; your quota has {nbytes(max(room, 0))} left", Kind.QUOTA_EXCEEDED,
            f"lakecv run {plan.job.name} {plan.job.inputs[0][0]} --to OTHER-RSE, or ask for more",
        )
    text = f"the result needs up to {nbytes(needed)}; your quota has {nbytes(room)} left"
    return replace(plan, reasons=(*plan.reasons, Reason(plan.home, chosen=True, text=text)))


def _with_rules(catalog: CatalogBackend) -> Replicates:
    if isinstance(catalog, Replicates):
        return catalog
    raise InvalidInput(
        "this lake's catalog has no rules: everything lies in the lake itself", Kind.OPTION_INVALID,
        "set catalog = 'rucio' in the settings; lakecv config show says where they are",
    )


def _again(catalog: CatalogBackend, rule: Rule) -> Rule:
    found = next((each for each in _with_rules(catalog).rules(rule.did) if each.id == rule.id), None)
    if found is None:
        raise NotFound(
            f"rule {rule.id} of {rule.did} is gone: it has expired or was taken back", Kind.REPLICA_UNKNOWN, f"lakecv rules {rule.did}",
        )
    return found


def _progress(rule: Rule, seconds: float) -> Progress:
    return Progress("replicate", "objects", rule.ok, rule.ok + rule.moving + rule.stuck, 0, seconds, rule.state)
