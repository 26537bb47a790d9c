"""What the keys of a site profile must say together: each may be right by itself, and still there be no such site.

Checked when a profile is complete, after ``extends``: a file that only changes a key of another one is no site yet.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from lakecv.config.document import invalid
from lakecv.config.grammar import ProfileTable

__all__ = ["agree"]

_ELSEWHERE = {"slurm", "htcondor", "pbs", "address"}


class _Flaw(NamedTuple):
    key: str
    found: str
    expected: str
    hint: str


def agree(table: ProfileTable, where: str) -> None:
    """Refuse a complete profile whose keys contradict each other.

    Raises
    ------
    InvalidInput
        With the first key that is wrong, what it says and what was expected (kind ``config-invalid``).
    """
    for flaw in _flaws(table):
        raise invalid(f"{where}: '{flaw.key}' is {flaw.found}; expected {flaw.expected}", flaw.hint)


def _flaws(table: ProfileTable) -> Iterator[_Flaw]:
    if table.executor is None:
        yield _Flaw("executor", "missing", "the name of a site plugin", 'add executor = "local"')
        return
    yield from _scheduler(table)
    yield from _amounts(table)
    yield from _links(table)


def _scheduler(table: ProfileTable) -> Iterator[_Flaw]:
    """Compare where the scheduler runs with the rest: one that runs already has an address, and this machine has no jobs."""
    runs, whose = table.scheduler, f"where scheduler = '{table.scheduler}'"
    if runs == "address" and table.executor != "address":
        yield _Flaw("executor", repr(table.executor), f"'address' {whose}", 'write executor = "address"')
    if table.executor == "address" and runs != "address":
        yield _Flaw("scheduler", repr(runs), "'address' where executor = 'address'", 'write scheduler = "address"')
    if runs == "address" and table.address is None:
        yield _Flaw("address", "missing", f"the address of a Dask scheduler {whose}", 'add address = "tls://HOST:PORT"')
    if runs != "address" and table.address is not None:
        yield _Flaw("address", repr(table.address), f"no address {whose}", 'take it out, or write scheduler = "address"')
    if table.executor == "local" and runs == "job":
        yield _Flaw("scheduler", "'job'", "'driver' where executor = 'local'", "take it out: there are no jobs on this machine")


def _amounts(table: ProfileTable) -> Iterator[_Flaw]:
    """Ask for numbers where workers run elsewhere: what this machine has says nothing of them."""
    if table.executor not in _ELSEWHERE:
        return
    why = f"where executor = '{table.executor}': 'auto' is what this machine has"
    if table.max_workers == "auto":
        yield _Flaw("max_workers", "'auto'", f"a whole number {why}", "add max_workers = 4, or as many as you may have")
    if table.worker.memory == "auto":
        yield _Flaw("worker.memory", "'auto'", f"an amount of memory {why}", 'add memory = "4GB", or as much as one gets, to [worker]')


def _links(table: ProfileTable) -> Iterator[_Flaw]:
    names = [link.rse for link in table.links]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield _Flaw("links", f"a list with '{name}' twice", "one link for each storage element", "take one of them out")
