"""From a plan to computed results: fits each link of the chain, maps, packs.

One way through, for a first run, a resumed one and a second driver on the same run: look for the commit record, else do
the work.  The driver keeps nothing that is not in the work area.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lakecv.cube import ArraySpec
from lakecv.errors import InternalError, InvalidInput, Kind
from lakecv.execution.chain import ChainLink, of_model
from lakecv.execution.crew import Crew
from lakecv.execution.merging import Total, kind_of, merge_task
from lakecv.execution.stagerun import run_stage
from lakecv.execution.tensors import unpack_arrays
from lakecv.execution.workarea import Setup
from lakecv.job import StageKind
from lakecv.lake_io.layout import shards
from lakecv.numerics.sampling import Pick, cell_count, chosen_cells
from lakecv.plan import Outcome, Task
from lakecv.planning.blocks import block_at
from lakecv.ports import ReducibleModel
from lakecv.records import StoredObject
from lakecv.sheet import Sample, State, Statistics, Step

__all__ = ["BlocksFailed", "Computed", "drive"]


_MORE_CELLS = 4


class BlocksFailed(Exception):
    """Some tasks failed for good; the others are committed, the run can be resumed."""

    def __init__(self, failed: Sequence[Outcome]) -> None:
        super().__init__(f"{len(failed)} tasks failed")
        self.failed = tuple(failed)


@dataclass(frozen=True, slots=True)
class Computed:
    """All that a finished computation leaves: final states, tallies, stored shards, specs with their limits."""

    states: tuple[str, ...]
    tallies: Statistics
    stored: tuple[StoredObject, ...]
    arrays: tuple[ArraySpec, ...]


def drive(crew: Crew, setup: Setup, chain: Sequence[ChainLink]) -> Computed:
    """Run a plan to the end of its last stage.

    Raises
    ------
    BlocksFailed
        If tasks failed for good, after the rest of their stage was done.
    Unavailable
        If interrupted.
    """
    crew.area.prepare()
    places = {block: (share.site, read.rse) for share in setup.plan.shares for read in share.reads for block in read.blocks}
    return _Drive(crew, setup, tuple(chain), places).run()


@dataclass(frozen=True, slots=True)
class _Drive:
    """The fixed context of one drive."""

    crew: Crew
    setup: Setup
    chain: tuple[ChainLink, ...]
    places: Mapping[int, tuple[str, str]]

    def run(self) -> Computed:
        states: list[str] = []
        for number, link in enumerate(self.chain):
            states.append(self._fit(number, tuple(states)) if isinstance(link.model, ReducibleModel) else "")
        tallies = self._over_blocks("map", StageKind.MAP, tuple(states)).statistics
        stored, arrays = self._pack()
        return Computed(tuple(states), tallies, stored, arrays)

    def _fit(self, number: int, earlier: tuple[str, ...]) -> str:
        """Fit one link; returns the stage whose state is final."""
        area = self.crew.area
        if area.load_state(f"{number}-given") is not None:
            return f"{number}-given"
        stage = f"{number}-start"
        step = area.load_state(stage) or self._start(number, earlier)
        for turn in range(1, self.chain[number].workload.passes + 1):
            if step.done:
                break
            before, stage = stage, f"{number}-reduce-{turn:03d}"
            step = area.load_state(stage) or self._pass(stage, (*earlier, before), step.state)
        return stage

    def _start(self, number: int, earlier: tuple[str, ...]) -> Step:
        """First state of a link, from the sample."""
        link, cells, seed = self.chain[number], self.setup.dataset.cube.cells, self.setup.plan.job.seed
        height, width = cells.cell
        n = link.workload.sample_pixels
        count = cell_count(len(cells), n, height * width)
        pick = self._pick(number, earlier, count, n)
        while len(pick.spectra) < n and count < len(cells):  # usable pixels are few: look into more cells, in hash order
            count = min(len(cells), _MORE_CELLS * count)
            pick = self._pick(number, earlier, count, n)
        if not len(pick.spectra):
            raise InvalidInput("the dataset has no usable pixel", Kind.NOTHING_VALID, "check its mask and its no-data value")
        sample = Sample(pick.spectra, pick.y, pick.x, cells.ny * cells.nx, seed)
        state = of_model(link, lambda: _learns(link).start(sample, link.specs, link.options))
        return self.crew.area.save_state(f"{number}-start", Step(state, done=False))

    def _pick(self, number: int, earlier: tuple[str, ...], count: int, n: int) -> Pick:
        """Sample ``count`` cells; those that were sampled before are committed."""
        cells, name = self.setup.dataset.cube.cells, f"{number}-sample"
        task = Task(self.crew.area.url, name, StageKind.SAMPLE, number, 0, cells.window, earlier)
        chosen = chosen_cells(len(cells), self.setup.plan.job.seed, count)
        tasks = [replace(task, index=int(index), window=cells.at(int(index)).window) for index in chosen]
        total = self._total(name, [self._placed(each, block_at(self.setup.plan.blocks, each.window)) for each in tasks], n)
        if total.pick is None:
            raise InternalError("a sample has no cells", Kind.BUG)
        return total.pick

    def _pass(self, stage: str, states: tuple[str, ...], state: State) -> Step:
        """One pass over all blocks, and the state that follows."""
        link = self.chain[len(states) - 1]
        total = self._over_blocks(stage, StageKind.REDUCE, states).statistics
        step = of_model(link, lambda: _learns(link).update(state, total, link.options))
        return self.crew.area.save_state(stage, step)

    def _over_blocks(self, stage: str, kind: StageKind, states: tuple[str, ...]) -> Total:
        task = Task(self.crew.area.url, stage, kind, len(states) - 1, 0, self.setup.plan.blocks[0].window, states)
        tasks = [replace(task, index=block.index, window=block.window) for block in self.setup.plan.blocks]
        return self._total(stage, [self._placed(each, each.index) for each in tasks])

    def _total(self, stage: str, tasks: list[Task], pixels: int = 0) -> Total:
        """Run a stage and add up what it left: near its site where that has an area of its own, else here."""
        done = _all_done(run_stage(self.crew, stage, tasks))
        total, area = Total(kind_of(stage), pixels), self.crew.area
        far = {site: [outcome for outcome in done if outcome.site == site] for site in area.near}
        merges = [merge_task(self.crew.place(tasks[0], site), [_index(each) for each in own]) for site, own in far.items() if own]
        merges = [replace(each, rse="") for each in merges]
        done = [outcome for outcome in done if outcome.site not in area.near]
        if merges:
            done += _all_done(run_stage(self.crew, f"{stage}-merge", merges))
        total.add_all(done, area.part)
        return total

    def _placed(self, task: Task, block: int) -> Task:
        """Send a task where the plan has its block."""
        site, rse = self.places[block]
        return replace(task, site=site, rse=rse, work=self.crew.area.url_at(site))

    def _pack(self) -> tuple[tuple[StoredObject, ...], tuple[ArraySpec, ...]]:
        """Write every shard of every output at its home."""
        specs = self.setup.plan.output.arrays
        site = self.setup.plan.packs
        task = Task(self.crew.area.url_at(site), "pack", StageKind.PACK, 0, 0, self.setup.plan.blocks[0].window, site=site)
        tasks = {(spec.name, shard): replace(task, array=spec.name, index=shard.index, window=shard.window)
                 for spec in specs for shard in shards(spec)}
        done = run_stage(self.crew, "pack", list(tasks.values()))
        _all_done(done)
        stored: list[StoredObject] = []
        limits: dict[str, list[float]] = {spec.name: [] for spec in specs}
        for (name, shard), each in tasks.items():
            facts = unpack_arrays(self.crew.area.part(done[each.key]))
            nbytes, adler32, crc32c = facts["stored"].tolist()
            stored.append(StoredObject(f"{name}/{shard.key}", nbytes, f"{adler32:08x}", f"{crc32c:08x}"))
            limits[name] += facts["limits"].tolist()
        arrays = (replace(spec, limits=_span(limits[spec.name])) for spec in specs)
        return tuple(stored), tuple(arrays)


def _index(outcome: Outcome) -> int:
    return int(outcome.task.rpartition("/")[2])


def _span(limits: Sequence[float]) -> tuple[float, float] | None:
    return (min(limits), max(limits)) if limits else None


def _learns(link: ChainLink) -> ReducibleModel[object]:
    return link.model  # type: ignore[return-value]


def _all_done(outcomes: dict[str, Outcome]) -> list[Outcome]:
    failed = [outcome for outcome in outcomes.values() if not outcome.ok]
    if failed:
        raise BlocksFailed(failed)
    return [outcomes[key] for key in sorted(outcomes)]
