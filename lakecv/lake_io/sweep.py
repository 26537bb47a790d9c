"""What is left over in a lake: prefixes that nothing names any more, and work areas of runs that are published.

Finds and removes; what may go is decided by whoever knows catalog and runs.  Only folders that lakecv itself names in this
way are ever considered.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from lakecv.errors import InvalidInput, LakeCVError
from lakecv.lake_io.place import CLEARED, is_run
from lakecv.ports import ObjectInfo, ObjectIO
from lakecv.records import DID

__all__ = ["Fate", "Heap", "Leftover", "data_heaps", "did_of", "heap_of", "remove", "run_of", "work_heaps"]

_WRITE_ID = re.compile(r"r-[0-9a-f]{10}|[0-9a-f]{12}", re.ASCII)
_DATA_DEPTH, _WORK_DEPTH = 4, 2
_SEEN_FIRST = ("zarr.json", "manifest.json")  # removed first, so that no Zarr client opens what is half gone


class Fate(StrEnum):
    """What becomes of a leftover."""

    REMOVABLE = "removable"
    REMOVED = "removed"
    KEPT = "kept"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Heap:
    """Objects below one prefix.  ``newest`` is the time of the last of them, 0 where the store could not tell of one."""

    prefix: str
    objects: int
    nbytes: int
    newest: float

    def age_seconds(self, now: float) -> float | None:
        """Time since anything below it changed; None = not known."""
        return now - self.newest if self.newest else None


@dataclass(frozen=True, slots=True)
class Leftover:
    """A heap, what it is, what becomes of it and, where it stays, why."""

    heap: Heap
    what: str
    fate: Fate
    why: str = ""


def data_heaps(objects: ObjectIO) -> list[Heap]:
    """Heaps ``data/<scope>/<name>/<write id>``; anything else below ``data`` is not seen."""
    return _heaps(objects, "data", lambda parts: len(parts) > _DATA_DEPTH and did_of("/".join(parts[:_DATA_DEPTH])) is not None, _DATA_DEPTH)


def work_heaps(objects: ObjectIO) -> list[Heap]:
    """Heaps of work areas ``work/<run>``, without their setup; anything else below ``work`` is not seen."""
    return _heaps(objects, "work", _is_work, _WORK_DEPTH)


def did_of(prefix: str) -> DID | None:
    """Dataset that a data prefix was made for, None where it was not made by lakecv."""
    parts = prefix.split("/")
    if len(parts) != _DATA_DEPTH or parts[0] != "data" or not _WRITE_ID.fullmatch(parts[3]):
        return None
    try:
        return DID(parts[1], parts[2])
    except InvalidInput:
        return None


def run_of(prefix: str) -> str:
    """Run that a prefix belongs to: the last part of its name."""
    return prefix.rpartition("/")[2]


def remove(objects: ObjectIO, heap: Heap, may_go: Callable[[Heap], str]) -> tuple[Fate, str]:
    """Remove a heap after looking at it once more.

    Parameters
    ----------
    objects : ObjectIO
        The lake.
    heap : Heap
        As :func:`data_heaps` or :func:`work_heaps` gave it.
    may_go : callable
        Asked with the heap as it is now; says why it has to stay, empty where it may go.

    Returns
    -------
    fate, why
        KEPT, REMOVED, or FAILED where an object could not be removed (the others are).
    """
    try:
        found = [info for info in objects.list(heap.prefix) if heap.prefix.startswith("data/") or _is_work(info.key.split("/"))]
        stay = may_go(heap_of(heap.prefix, found))
    except LakeCVError as err:
        return Fate.FAILED, str(err)
    if stay:
        return Fate.KEPT, stay
    failed = ""
    for info in sorted(found, key=_visible_first):
        try:
            objects.delete(info.key)
        except LakeCVError as err:
            failed = str(err)
    return (Fate.FAILED, failed) if failed else (Fate.REMOVED, "")


def _is_work(parts: list[str]) -> bool:
    return len(parts) > _WORK_DEPTH + 1 and parts[0] == "work" and is_run(parts[1]) and parts[2] in CLEARED


def _heaps(objects: ObjectIO, folder: str, belongs: Callable[[list[str]], bool], depth: int) -> list[Heap]:
    found: dict[str, list[ObjectInfo]] = {}
    for info in objects.list(folder):
        parts = info.key.split("/")
        if belongs(parts):
            found.setdefault("/".join(parts[:depth]), []).append(info)
    return [heap_of(prefix, infos) for prefix, infos in sorted(found.items())]


def heap_of(prefix: str, infos: list[ObjectInfo]) -> Heap:
    """Add up the objects below a prefix."""
    times = [info.modified for info in infos]
    return Heap(prefix, len(infos), sum(info.nbytes for info in infos), max(times, default=0.0) if all(times) else 0.0)


def _visible_first(info: ObjectInfo) -> tuple[bool, str]:
    return not info.key.endswith(_SEEN_FIRST), info.key
