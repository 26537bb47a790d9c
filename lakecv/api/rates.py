"""What finished runs have shown of sites and links, kept in the lake: one small document for each run, none of them ever changed.

The newest ones are added up, older ones counting less, when a run is planned.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime

from lakecv.canonical import dump, load
from lakecv.errors import Corrupt, LakeCVError
from lakecv.execution.merging import kind_of
from lakecv.execution.workarea import Setup
from lakecv.job import StageKind, Workload
from lakecv.lake_io.objects import put_same
from lakecv.patience import many
from lakecv.plan import Outcome
from lakecv.planning.cost import DECODE_NBYTES_PER_SECOND
from lakecv.planning.rates import Observation, Observations, Rates, learn
from lakecv.ports import ObjectIO

__all__ = ["keep_rates", "known_rates"]

_FOLDER = "rates"
_NEWEST = 20
_COMPUTES = {StageKind.REDUCE, StageKind.MAP}
_LEAST_SHARE = 0.05  # of a task's time that is computing, whatever the clocks of reads that ran ahead add up to


def keep_rates(objects: ObjectIO, setup: Setup, workloads: tuple[Workload, ...], outcomes: Iterable[Outcome]) -> None:
    """Keep what a run has shown; a run that cannot keep it is done all the same."""
    found = Observations(tuple(_observed(setup, workloads, list(outcomes))))
    with suppress(LakeCVError):
        put_same(objects, f"{_FOLDER}/{setup.created.replace(':', '').replace('+', '_')}.{setup.run}.json", dump(found))


def known_rates(objects: ObjectIO) -> Rates:
    """Add up what the newest runs have shown."""
    keys = [info.key for info in objects.list(_FOLDER)][-_NEWEST:]
    rates = Rates()
    for found in many(lambda key: _read(objects, key), keys):
        rates = learn(rates, found.seen)
    return rates


def _read(objects: ObjectIO, key: str) -> Observations:
    try:
        return load(Observations, objects.get(key))
    except (Corrupt, LookupError):  # gone or damaged: one run less to learn from
        return Observations(())


def _observed(setup: Setup, workloads: tuple[Workload, ...], outcomes: list[Outcome]) -> Iterator[Observation]:
    """One observation of each link, one of the computing at each site, one of the wait there."""
    begun = datetime.fromisoformat(setup.created).timestamp()
    for site in sorted({outcome.site for outcome in outcomes if outcome.site}):
        own = [outcome for outcome in outcomes if outcome.site == site]
        for rse in sorted({rse for outcome in own for rse, _ in outcome.reads}):
            alone = [outcome for outcome in own if [name for name, _ in outcome.reads] == [rse]]
            nbytes = sum(nbytes for outcome in alone for _, nbytes in outcome.reads)
            yield Observation(site, rse, float(nbytes), sum(outcome.read_seconds for outcome in alone), ok=None)
        yield _computed(setup, workloads, site, own)
        yield Observation(site, wait_seconds=max(0.0, min(outcome.started for outcome in own) - begun), ok=None)


def _computed(setup: Setup, workloads: tuple[Workload, ...], site: str, own: list[Outcome]) -> Observation:
    done = [outcome for outcome in own if _stage(outcome) in _COMPUTES]
    seconds = sum(max(each.seconds - each.read_seconds, _LEAST_SHARE * each.seconds) for each in done)
    work = sum(_work_seconds(setup, workloads, each) for each in done)
    return Observation(site, work_seconds=work, compute_seconds=seconds, ok=all(each.attempt == 1 for each in own))


def _stage(outcome: Outcome) -> StageKind:
    name = outcome.task.partition("/")[0]
    return StageKind.MERGE if name.endswith("-merge") else kind_of(name)


def _work_seconds(setup: Setup, workloads: tuple[Workload, ...], outcome: Outcome) -> float:
    """Seconds that the plan gives a thread of a common CPU for what a task did."""
    stage, _, index = outcome.task.partition("/")
    window = setup.plan.blocks[int(index)].window
    last = len(workloads) if stage == "map" else int(stage.split("-")[0]) + 1
    npixels = window.height * window.width
    raw = outcome.nbytes_read and npixels * setup.plan.input.main.nbytes / (setup.plan.input.grid.ny * setup.plan.input.grid.nx)
    return npixels * sum(workload.seconds_per_pixel for workload in workloads[:last]) + raw / DECODE_NBYTES_PER_SECOND
