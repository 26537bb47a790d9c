"""A worker's bench: what it opens once per run and the sheets it keeps between passes.

Kept sheets may be lost at any time (a new worker has none); a miss reads again, so they never change a result.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property, lru_cache
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from lakecv import registry
from lakecv.cube import Cell, CubeSpec, Role, Window
from lakecv.errors import InternalError, Kind
from lakecv.execution.chain import ChainLink, build_chain, feed
from lakecv.execution.masks import MASK, unpack_mask
from lakecv.execution.runarea import RunArea
from lakecv.execution.workarea import Setup, WorkArea
from lakecv.lake_io.copies import CopiedObjects, open_copies, open_manifest
from lakecv.lake_io.part import PartReader
from lakecv.lake_io.place import join_url, locate, work_prefix
from lakecv.lake_io.read import ArrayReader, open_array
from lakecv.lake_io.sheets import read_sheets
from lakecv.ports import ObjectIO
from lakecv.records import Damage, Manifest
from lakecv.selection import Selection
from lakecv.sheet import Sheet, State

__all__ = ["Bench", "Damages", "Traffic", "open_bench"]


@lru_cache(maxsize=4)
def open_bench(work: str) -> Bench:
    """Bench of the run whose work area has a url; opened once per process."""
    threadpool_limits(1)  # one BLAS thread: parallelism is over blocks, and results must not depend on it
    return Bench(work)


class Bench:
    """Everything a task needs of its run."""

    def __init__(self, work: str) -> None:
        self.area = WorkArea(registry.open_objects(work))
        self.setup: Setup = self.area.setup()
        self._kept = _Kept(self.setup.plan.keep_nbytes)
        self._states: dict[str, State] = {}
        self._inputs: dict[str, CopiedObjects] = {}
        self._opening = Lock()
        self.damages = Damages()

    @cached_property
    def cube(self) -> CubeSpec:
        """Spec of what the job reads of its input."""
        return self.setup.plan.input

    @cached_property
    def chain(self) -> tuple[ChainLink, ...]:
        """The job's models."""
        return build_chain(self.setup.plan.job, self.cube)

    @cached_property
    def selection(self) -> Selection:
        """Part of the input that is read."""
        return self.setup.plan.job.selection or Selection()

    @cached_property
    def selected(self) -> NDArray[np.bool_] | None:
        """Pixels that the job's mask leaves, (ny, nx), None where it has none."""
        grid = self.cube.grid
        return None if self.selection.mask is None else unpack_mask(self.state(MASK), (grid.ny, grid.nx))

    @cached_property
    def home(self) -> ObjectIO:
        """Where the result is written."""
        return registry.open_objects(locate(self.setup.lake, self.setup.home))

    @cached_property
    def manifest(self) -> Manifest:
        """Manifest of the input."""
        return open_manifest(self.setup.lake, self.setup.dataset, self.damages.add)

    @cached_property
    def run(self) -> WorkArea:
        """All areas of the run."""
        url = join_url(self.setup.lake, work_prefix(self.setup.run))
        return RunArea(registry.open_objects(url), registry.open_objects)

    def readers(self, rse: str, traffic: Traffic) -> dict[str, ArrayReader]:
        """Open fresh readers of the arrays that a sheet needs, at one replica first; they count what one task reads."""
        dataset, objects, selection = self.setup.dataset, self._input(rse).counted(traffic.add), self.selection
        found: dict[str, ArrayReader] = {}
        for spec in self.cube.arrays:
            if spec is self.cube.main or spec.role is Role.MASK:
                channels = selection.channels if spec is self.cube.main else None
                stored = open_array(objects, dataset.cube.array(spec.name), self.manifest, dataset.path_of(spec.name), channels)
                found[spec.name] = PartReader(stored, selection)
        return found

    def _input(self, rse: str) -> CopiedObjects:
        """Objects of the input, from one replica as long as that has them right."""
        with self._opening:
            if rse not in self._inputs:
                dataset = self.setup.dataset
                first = next((replica for replica in dataset.replicas if replica.rse == rse), None)
                self._inputs[rse] = open_copies(self.setup.lake, dataset, self.manifest, first, self.damages.add)
            return self._inputs[rse]

    def state(self, stage: str) -> State:
        """Read the state that a stage ended with."""
        if stage not in self._states:
            step = self.area.load_state(stage)
            if step is None:
                raise InternalError(f"the state of {stage} was asked for before it was stored", Kind.BUG)
            self._states = {name: state for name, state in self._states.items() if name[:2] != stage[:2]}
            self._states[stage] = step.state
        return self._states[stage]

    def sheets(self, link: int, window: Window, states: list[State], readers: dict[str, ArrayReader]) -> Iterator[tuple[Cell, Sheet]]:
        """Walk the cells of a window as a link sees them, from what was kept where all of it was."""
        cells = list(self.cube.cells.cells(window))
        kept = [self._kept.get((link, cell.index)) for cell in cells]
        if all(sheet is not None for sheet in kept):
            yield from ((cell, sheet) for cell, sheet in zip(cells, kept, strict=True) if sheet is not None)
            return
        for cell, raw in read_sheets(self.cube, readers, window, self.selected):
            sheet = feed(self.chain[:link], states[:link], raw)
            self._kept.put((link, cell.index), sheet)
            yield cell, sheet


class Traffic:
    """What one task read: bytes by RSE, and seconds, added up over requests that may run at once."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._nbytes: dict[str, int] = {}
        self.seconds = 0.0

    def add(self, rse: str, nbytes: int, seconds: float) -> None:
        """Count one read."""
        with self._lock:
            self._nbytes[rse] = self._nbytes.get(rse, 0) + nbytes
            self.seconds += seconds

    @property
    def reads(self) -> tuple[tuple[str, int], ...]:
        """Bytes by RSE."""
        return tuple(sorted(self._nbytes.items()))


class Damages:
    """Damaged objects that the tasks of this process have met and no commit record tells of yet."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._pending: dict[Damage, None] = {}

    def add(self, damage: Damage) -> None:
        """Note one."""
        with self._lock:
            self._pending[damage] = None

    def pending(self) -> tuple[Damage, ...]:
        """List what no record tells of."""
        with self._lock:
            return tuple(self._pending)

    def settle(self, recorded: Iterable[Damage]) -> None:
        """Forget what a record tells of now."""
        with self._lock:
            for damage in recorded:
                self._pending.pop(damage, None)


class _Kept:
    """Sheets by (link, cell), up to a number of bytes.

    The first ones stay: every pass runs in the same order, so dropping the oldest would drop what comes next.  Only what
    earlier links read makes room for a later link.
    """

    def __init__(self, budget_nbytes: int) -> None:
        self._free, self._lock = budget_nbytes, Lock()
        self._sheets: dict[tuple[int, int], Sheet] = {}

    def get(self, key: tuple[int, int]) -> Sheet | None:
        return self._sheets.get(key)

    def put(self, key: tuple[int, int], sheet: Sheet) -> None:
        with self._lock:
            if key in self._sheets:
                return
            for old in [old for old in self._sheets if old[0] < key[0]]:
                if self._free >= _nbytes(sheet):
                    break
                self._free += _nbytes(self._sheets.pop(old))
            if self._free >= _nbytes(sheet):
                self._sheets[key] = sheet
                self._free -= _nbytes(sheet)


def _nbytes(sheet: Sheet) -> int:
    return int(sum(array.nbytes for array in sheet.arrays.values()) + sheet.valid.nbytes)
