"""Who is told of damaged replicas: the catalog, where it wants to know, once; and whoever reads the record of a run."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache

from lakecv.errors import LakeCVError
from lakecv.execution.workarea import DamageReport, WorkArea
from lakecv.lake_io.copies import Seen
from lakecv.ports import CatalogBackend, ReportsDamage
from lakecv.records import Access, Damage, Dataset

__all__ = ["damage_facts", "settle_damages", "teller"]

_log = logging.getLogger(__name__)


def teller(catalog: CatalogBackend, dataset: Dataset) -> Seen:
    """Make what tells the catalog of damages that are met outside of a run: each object once in the life of a process."""

    def tell(damage: Damage) -> None:
        about = (str(dataset.did), damage.rse, damage.key)
        if about not in _told():
            _told().add(about)
            done = _report(catalog, dataset, (damage,))
            _log.info("damage did=%s rse=%s key=%s said=%s", *about, done.said or done.problem)

    return tell


@cache
def _told() -> set[tuple[str, str, str]]:
    return set()


def settle_damages(area: WorkArea, dataset: Dataset, catalog: CatalogBackend) -> None:
    """Report what the tasks of a run have met and no earlier drive of it has reported; never fails the run."""
    outcomes = (*area.outcomes().values(), *area.failures())
    met = {(damage.rse, damage.key): damage for outcome in outcomes for damage in outcome.damaged}
    for report in area.damage_reports():
        for damage in report.damages if not report.problem else ():
            met.pop((damage.rse, damage.key), None)
    if met:
        area.note_damages(_report(catalog, dataset, tuple(damage for _, damage in sorted(met.items()))))


def damage_facts(area: WorkArea, dataset: Dataset, *, done: bool) -> Iterator[tuple[str, str]]:
    """Tell of the damages of a run; none where there are none."""
    reports = area.damage_reports()
    met = {(damage.rse, damage.key) for report in reports for damage in report.damages}
    if not met:
        return
    counts = Counter(rse for rse, _ in met)
    others = [each.rse for each in dataset.replicas if each.access is Access.READY and each.rse not in counts]
    said = sorted({report.said for report in reports if report.said})
    problems = sorted({report.problem for report in reports if report.problem and not said})
    parts = [", ".join(f"{count} object{'s' if count > 1 else ''} at {rse} {'were' if count > 1 else 'was'} bad"
                       for rse, count in sorted(counts.items()))]
    parts += [f"read from {' or '.join(others) or 'another replica'}"] if done else []
    parts += [f"reported as {' and '.join(said)}"] if said else []
    parts += [f"not reported: {' and '.join(problems)}"] if problems else []
    yield "damage", "; ".join(parts)


def _report(catalog: CatalogBackend, dataset: Dataset, damages: Sequence[Damage]) -> DamageReport:
    if not isinstance(catalog, ReportsDamage):
        return DamageReport(tuple(damages))
    try:
        return DamageReport(tuple(damages), catalog.report(dataset, damages))
    except LakeCVError as err:
        _log.warning("damage did=%s objects=%d reported=no error=%s", dataset.did, len(damages), err)
        return DamageReport(tuple(damages), problem=str(err))
