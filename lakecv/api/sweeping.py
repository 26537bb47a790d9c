"""What of a lake nobody needs any more, and how it goes: only what catalog and runs prove to be left over.

An object of a registered dataset or of an unfinished run is never removed; what is not understood stays.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from lakecv import registry
from lakecv.api.values import Sweep
from lakecv.canonical import load
from lakecv.errors import LakeCVError, NotFound
from lakecv.execution.workarea import Setup, WorkArea
from lakecv.lake_io.fsck import Watch
from lakecv.lake_io.place import join_url, locate, run_key, work_prefix
from lakecv.lake_io.sweep import Fate, Heap, Leftover, data_heaps, did_of, heap_of, remove, run_of, work_heaps
from lakecv.patience import many
from lakecv.plan import Progress
from lakecv.ports import CatalogBackend, ObjectIO
from lakecv.records import DID, Dataset

__all__ = ["Wish", "sweep"]

_AT_ONCE = 256
_DATA, _WORK = "data that no dataset names", "work of a published run"
_NEAR = "work near {} of a published run"
_OUTPUT, _RUNNING = "output of an unfinished run", "work of an unfinished run"


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to go: leftovers of one scope, unchanged for so long."""

    scope: str
    older_than_seconds: float
    dry_run: bool

    def stay(self, heap: Heap, scope: str, now: float) -> str:
        """Say why a leftover stays though nobody needs it; empty where it may go."""
        if scope != self.scope:
            return f"it is of the scope {scope}: --scope {scope}"
        if self.older_than_seconds <= 0:
            return ""
        age = heap.age_seconds(now)
        if age is None:
            return "its age is not known: --older-than 0 takes it"
        return "" if age >= self.older_than_seconds else "it is younger than --older-than"


def sweep(lake: str, objects: ObjectIO, catalog: CatalogBackend, wish: Wish, watch: Watch) -> Sweep:
    """Find leftovers and, where it is no dry run, remove them.

    Raises
    ------
    LakeCVError
        If the catalog or the lake cannot be listed; then nothing was removed.
    """
    broom = _Broom(lake, objects, catalog, wish, watch)
    return Sweep(wish.dry_run, tuple(broom.swept()))


@dataclass(frozen=True, slots=True)
class _Named:
    """What is in use: prefixes (with all that lies above them), datasets whose record cannot be read, and runs."""

    prefixes: frozenset[str]
    above: frozenset[str]
    unreadable: frozenset[str]
    ndatasets: int

    def holds(self, prefix: str) -> bool:
        """Say whether something that is in use lies in, at or above a prefix."""
        return prefix in self.above or any(part in self.prefixes for part in _upward(prefix))


@dataclass(frozen=True, slots=True)
class _Broom:
    """One sweep over one lake."""

    lake: str
    objects: ObjectIO
    catalog: CatalogBackend
    wish: Wish
    watch: Watch

    def swept(self) -> list[Leftover]:
        """Look at everything before the first removal; listing comes before the catalog, so that what is new is seen there."""
        heaps, works = data_heaps(self.objects), work_heaps(self.objects)
        named = self._named()
        found = [self._data(heap, named) for heap in heaps if not named.holds(heap.prefix)]
        found += [self._work(heap) for heap in works]
        return [each for leftover in found for each in self._settled(leftover)]

    def _settled(self, leftover: Leftover) -> Iterator[Leftover]:
        """Settle a leftover, and before it what its run left near sites: while that stays, so does the rest."""
        near = [*self._near(leftover)] if leftover.what == _WORK and leftover.fate is Fate.REMOVABLE else []
        yield from near
        stuck = [each for each in near if each.fate is Fate.FAILED]
        if stuck:
            yield replace(leftover, fate=Fate.KEPT, why=f"{stuck[0].heap.prefix} is not cleared yet")
        else:
            yield self._gone(leftover) if leftover.fate is Fate.REMOVABLE and not self.wish.dry_run else leftover

    def _near(self, leftover: Leftover) -> Iterator[Leftover]:
        """Remove, where it is no dry run, the areas that a run has near its sites."""
        setup = self._setup(run_of(leftover.heap.prefix))
        for share in setup.plan.shares if setup else ():
            if not share.work:
                continue
            what, heap = _NEAR.format(share.site), Heap(share.work, 0, 0, 0.0)
            try:
                area = WorkArea(registry.open_objects(share.work))
                heap = heap_of(share.work, area.listed())
                if heap.objects and not self.wish.dry_run:
                    area.remove()
            except LakeCVError as err:
                yield Leftover(heap, what, Fate.FAILED, str(err))
            else:
                if heap.objects:
                    yield Leftover(heap, what, Fate.REMOVABLE if self.wish.dry_run else Fate.REMOVED)

    def _named(self) -> _Named:
        """Ask the runs before the catalog: a run that is done when it is asked was registered before that."""
        prefixes = {each for setup in self._unfinished() for each in (setup.home, *self._prefixes(setup.dataset))}
        unreadable: set[str] = set()
        dids = list(self.catalog.search())
        for start in range(0, len(dids), _AT_ONCE):
            for did, found in zip(dids[start:], many(self._looked_up, dids[start : start + _AT_ONCE]), strict=False):
                prefixes |= found or set()
                unreadable |= {f"data/{did.scope}/{did.name}"} if found is None else set()
            self.watch(Progress("gc", "datasets", min(start + _AT_ONCE, len(dids)), len(dids), 0, 0.0))
        above = {part for prefix in prefixes for part in _upward(prefix)}
        return _Named(frozenset(prefixes), frozenset(above), frozenset(unreadable), len(dids))

    def _looked_up(self, did: DID) -> set[str] | None:
        """Prefixes that a dataset names, None where its record cannot be read.  The document itself is read, no snapshot."""
        try:
            return self._prefixes(self.catalog.lookup(did))
        except NotFound:  # it was there when the search began
            return set()
        except LakeCVError:
            return None

    def _prefixes(self, dataset: Dataset) -> set[str]:
        """Prefixes of the lake that a dataset names."""
        root = join_url(self.lake, "x")[:-1].removeprefix("file://")
        urls = [locate(self.lake, replica.url).removeprefix("file://") for replica in dataset.replicas]
        return {dataset.home.strip("/")} | {url.removeprefix(root).strip("/") for url in urls if url.startswith(root)}

    def _unfinished(self) -> list[Setup]:
        """Setups of unfinished runs; one that cannot be read protects what carries its run's name all the same."""
        names = {info.key.split("/")[1] for info in self.objects.list("work") if info.key.endswith("/setup.json")}
        setups = (self._setup(run) for run in sorted(names) if not self._is_done(run))
        return [setup for setup in setups if setup is not None]

    def _setup(self, run: str) -> Setup | None:
        try:
            return load(Setup, self.objects.get(f"{work_prefix(run)}/setup.json"))
        except LakeCVError:
            return None

    def _is_done(self, run: str) -> bool:
        return self.objects.head(run_key(run)) is not None

    def _is_unfinished(self, run: str) -> bool:
        return next(iter(self.objects.list(work_prefix(run))), None) is not None and not self._is_done(run)

    def _data(self, heap: Heap, named: _Named) -> Leftover:
        """Judge a data prefix that nothing in use names."""
        did, run = did_of(heap.prefix), run_of(heap.prefix)
        if self._is_unfinished(run):
            return Leftover(heap, _OUTPUT, Fate.KEPT, f"lakecv resume {run}")
        if heap.prefix.rpartition("/")[0] in named.unreadable:
            return Leftover(heap, _DATA, Fate.KEPT, f"the catalog's record of {did} cannot be read")
        if not named.ndatasets:
            return Leftover(heap, _DATA, Fate.KEPT, "the catalog holds no dataset at all: is this the right lake?")
        why = self.wish.stay(heap, did.scope if did else "", time.time())
        return Leftover(heap, _DATA, Fate.KEPT if why else Fate.REMOVABLE, why)

    def _work(self, heap: Heap) -> Leftover:
        """Judge the rest of a work area."""
        run = run_of(heap.prefix)
        setup = self._setup(run)
        if not self._is_done(run):
            return Leftover(heap, _RUNNING, Fate.KEPT, f"lakecv resume {run}" if setup else "its setup cannot be read")
        if setup is None:
            return Leftover(heap, _WORK, Fate.KEPT, "its setup cannot be read")
        why = self._unpublished(setup) or self.wish.stay(heap, setup.output.scope, time.time())
        return Leftover(heap, _WORK, Fate.KEPT if why else Fate.REMOVABLE, why)

    def _unpublished(self, setup: Setup) -> str:
        try:
            return "" if self.catalog.lookup(setup.output).home == setup.home else f"{setup.output} is of another run"
        except LakeCVError as err:
            return f"its result cannot be looked up: {err}"

    def _gone(self, leftover: Leftover) -> Leftover:
        """Remove a leftover, after asking the catalog and the runs once more."""
        again: Callable[[Heap], str] = self._still_data if leftover.what == _DATA else self._still_work
        fate, why = remove(self.objects, leftover.heap, again)
        return replace(leftover, fate=fate, why=why)

    def _still_data(self, heap: Heap) -> str:
        did = did_of(heap.prefix)
        if did is None or self._is_unfinished(run_of(heap.prefix)):
            return "it is in use by now"
        try:
            if heap.prefix in self._prefixes(self.catalog.lookup(did)):
                return "it is in use by now"
        except NotFound:
            pass
        return self.wish.stay(heap, did.scope, time.time())

    def _still_work(self, heap: Heap) -> str:
        return self._work(heap).why


def _upward(prefix: str) -> list[str]:
    """List a prefix and all that lies above it."""
    parts = prefix.split("/")
    return ["/".join(parts[:number]) for number in range(1, len(parts) + 1)]
