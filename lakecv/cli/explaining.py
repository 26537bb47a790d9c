"""Text of what takes longer to tell: the figures behind a plan, a run that goes on by itself, the logs of a run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from lakecv.cli.layout import clean, duration, facts, size, table
from lakecv.cli.render import Pairs, failed_block

if TYPE_CHECKING:
    from lakecv.api import Detached, RunLogs
    from lakecv.plan import Plan, Share

__all__ = ["detached", "explained", "logs"]

_HEAD_SHARES = ("SITE", "EXECUTOR", "SLOTS", "FROM", "DISTANCE", "BLOCKS", "SITE READS", "DONE AFTER", "WORK AREA")


def explained(made: Plan) -> list[str]:
    """Tell the figures behind a plan: what every site and replica was chosen or refused for, paces, shares and totals."""
    chosen = [("yes" if reason.chosen else "no", reason.subject, reason.text) for reason in made.reasons]
    paces = [
        (pace.site, pace.rse, _distance(near=pace.near), f"{pace.seconds:.3f}", "yes" if (pace.site, pace.rse) in _used(made) else "-")
        for pace in sorted(made.paces, key=lambda pace: (pace.site, pace.seconds, pace.rse))
    ]
    return [
        "", "sites and replicas", *table(("CHOSEN", "WHAT", "WHY"), chosen),
        "", "paces: seconds of one slot for a usual block, once through", *table(("SITE", "FROM", "DISTANCE", "SECONDS", "USED"), paces),
        "", "shares", *table(_HEAD_SHARES, [row for share in made.shares for row in _rows(share)]),
        "", "totals", *facts(_totals(made)), "",
    ]


def detached(done: Detached) -> list[str]:
    """Tell of a run that goes on by itself."""
    process = f", process {done.driver.pid} on {done.driver.host}" if done.driver else ""
    return facts([
        ("run", f"{done.run.id}, {done.run.job.name}, goes on by itself{process}"),
        ("output", done.run.output),
        ("log", done.log),
    ])


def logs(found: RunLogs) -> list[str]:
    """Tell what is known of a run's troubles; logs line by line, as they are but for what a terminal would obey."""
    record = found.run
    told: Pairs = [
        ("run", f"{record.id}, {record.job.name}, {record.state}, {record.blocks_done}/{record.blocks} blocks"),
        *(("driver", f"process {driver.pid} on {driver.host}, {'at work' if driver.alive else 'ended'}") for driver in found.drivers),
        *(("failed", failed_block(outcome)) for outcome in record.failed),
        *(("damaged", f"{damage.key} at {damage.rse}: {damage.text}") for damage in found.damages),
        *((name, text) for name, text in record.facts if name == "damage"),
    ]
    lines = facts(told)
    for file in found.files:
        cut = ", its end" if file.cut else ""
        lines += ["", f"--- {clean(file.who)}: {clean(file.path)}{cut} ---", *map(clean, file.lines), "--- end ---"]
    return [*lines, "" if found.files else "no log of it lies on this machine"]


def _rows(share: Share) -> Iterable[tuple[object, ...]]:
    """One line for each replica that a site reads; what holds for the site as a whole stands in the first."""
    for number, read in enumerate(share.reads):
        site: tuple[object, ...] = (share.site, share.executor, share.slots) if number == 0 else ("", "", "")
        end: tuple[object, ...] = (size(share.nbytes_near + share.nbytes_far), duration(share.seconds), share.work or "the lake's") if number == 0 else ("", "", "")
        yield (*site, read.rse, _distance(near=read.near), len(read.blocks), *end)


def _totals(made: Plan) -> Pairs:
    nbytes = made.nbytes_near + made.nbytes_far
    share = 100 * made.nbytes_near / nbytes if nbytes else 100.0
    return [
        ("sites", f"{len(made.shares)}, {made.workers} workers, {sum(each.slots for each in made.shares)} slots"),
        ("blocks", len(made.blocks)),
        ("reads", f"{size(made.nbytes_near)} near, {size(made.nbytes_far)} far: {share:.1f} % near"),
        ("packs", f"{made.packs} writes the result to {made.home}"),
        ("memory", f"{size(made.memory_nbytes)} at most, {size(made.keep_nbytes)} of each worker for sheets that are read again"),
        ("seconds", f"{made.seconds:.1f}"),
    ]


def _used(made: Plan) -> set[tuple[str, str]]:
    return {(share.site, read.rse) for share in made.shares for read in share.reads}


def _distance(*, near: bool) -> str:
    return "near" if near else "far"
