"""From a plan to computed results: fits each link of the chain, maps, packs.

One way through, for a first run, a resumed one and a second driver on the same run: look for the commit record, else do
the work.  The driver keeps nothing that is not in the work area.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from lakecv.cube import ArraySpec, Window
from lakecv.errors import InternalError, InvalidInput, Kind, Unavailable
from lakecv.execution.chain import ChainLink, of_model
from lakecv.execution.crew import Crew
from lakecv.execution.merging import Total, kind_of, merge_task
from lakecv.execution.overviews import join
from lakecv.execution.stagerun import may_pass, run_stage
from lakecv.execution.stages import OVERVIEW
from lakecv.execution.workarea import Setup
from lakecv.job import StageKind
from lakecv.lake_io.layout import shards
from lakecv.numerics.sampling import Pick, cell_count, chosen_cells
from lakecv.patience import many
from lakecv.plan import Outcome, Task
from lakecv.planning.blocks import block_at
from lakecv.ports import ReducibleModel
from lakecv.records import StoredObject
from lakecv.sheet import Array, Sample, State, Statistics, Step

__all__ = ["BlocksFailed", "Computed", "drive"]


_MORE_CELLS = 4


class BlocksFailed(Exception):
    """Some tasks failed for good; the others are committed, the run can be resumed."""

    def __init__(self, failed: Sequence[Outcome]) -> None:
        super().__init__(f"{len(failed)} tasks failed")
        self.failed = tuple(failed)


@dataclass(frozen=True, slots=True)
class Computed:
    """All that a finished computation leaves: final states, tallies, stored shards, specs with their limits, small pictures by array.

    ``said`` is what sites failed with.
    """

    states: tuple[str, ...]
    tallies: Statistics
    stored: tuple[StoredObject, ...]
    arrays: tuple[ArraySpec, ...]
    overviews: Mapping[str, Array] = field(default_factory=dict)
    said: tuple[str, ...] = ()


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
        packed = self._pack(tuple(states))
        return replace(packed, tallies=tallies, said=self.crew.said)

    def _fit(self, number: int, earlier: tuple[str, ...]) -> str:
        """Fit one link; returns the stage whose state is final."""
        area = self.crew.area
        if area.load_state(f"{number}-given") is not None:
            return f"{number}-given"
        stage = f"{number}-start"
        step = area.mirror(stage) or self._start(number, earlier)
        for turn in range(1, self.chain[number].workload.passes + 1):
            if step.done:
                break
            before, stage = stage, f"{number}-reduce-{turn:03d}"
            step = area.mirror(stage) or self._pass(stage, (*earlier, before), step.state)
        return stage

    def _start(self, number: int, earlier: tuple[str, ...]) -> Step:
        """First state of a link, from the sample."""
        link, cells, seed = self.chain[number], self.setup.plan.input.cells, self.setup.plan.job.seed
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
        cells, name = self.setup.plan.input.cells, f"{number}-sample"
        task = Task("", name, StageKind.SAMPLE, number, 0, cells.window, earlier)
        chosen = chosen_cells(len(cells), self.setup.plan.job.seed, count)
        tasks = [replace(task, index=int(index), window=cells.at(int(index)).window) for index in chosen]
        total = self._total([(each, block_at(self.setup.plan.blocks, each.window)) for each in tasks], n)
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
        return self._total(self._of_blocks(stage, kind, states))

    def _of_blocks(self, stage: str, kind: StageKind, states: tuple[str, ...]) -> list[tuple[Task, int]]:
        """Tasks of a stage that does every block once, and their blocks."""
        task = Task("", stage, kind, len(states) - 1, 0, self.setup.plan.blocks[0].window, states)
        return [(replace(task, index=block.index, window=block.window), block.index) for block in self.setup.plan.blocks]

    def _placed(self, tasks: Sequence[tuple[Task, int]]) -> list[Task]:
        """Send tasks where the plan has their blocks."""
        sites = {block: self.places[block] for _, block in tasks}
        works = {site: self.crew.area.url_at(site) for site in {site for site, _ in sites.values()}}
        return [replace(task, site=sites[block][0], rse=sites[block][1], work=works[sites[block][0]]) for task, block in tasks]

    def _total(self, tasks: Sequence[tuple[Task, int]], pixels: int = 0) -> Total:
        """Run a stage and add up what it left.

        What lies in an area that went out of reach is done again; as there are only so many areas, this ends.
        """
        stage = tasks[0][0].stage
        while True:
            reached = self.crew.area.reached.keys()
            done = self._ended(run_stage(self.crew, stage, self._placed(tasks)))
            try:
                return self._added(tasks[0][0], done, Total(kind_of(stage), pixels))
            except Unavailable:
                if self.crew.area.reached.keys() == reached:  # it was not an area near a site
                    raise

    def _added(self, like: Task, done: Sequence[Outcome], total: Total) -> Total:
        """Add up a stage: near its site where that has an area of its own, else here; so too what cannot be merged there."""
        area = self.crew.area
        near = {site: [outcome for outcome in done if area.site_of(outcome) == site] for site in area.near}
        merges = {site: merge_task(replace(like, work=area.near[site].url, site=site), map(_index, own)) for site, own in near.items() if own}
        merged = run_stage(self.crew, f"{like.stage}-merge", [*merges.values()]) if merges else {}
        wanted = [outcome for outcome in done if not area.site_of(outcome)]
        for site, task in merges.items():
            wanted += near[site] if may_pass(merged[task.key]) else self._ended({task.key: merged[task.key]})
        total.add_all(wanted, area.arrays)
        return total

    def _pack(self, states: tuple[str, ...]) -> Computed:
        """Write every shard of every output at its home."""
        specs, site = self.setup.plan.output.arrays, self.setup.plan.packs
        task = Task(self.crew.area.url_at(site), "pack", StageKind.PACK, 0, 0, self.setup.plan.blocks[0].window, site=site)
        tasks = {(spec.name, shard): replace(task, array=spec.name, index=shard.index, window=shard.window)
                 for spec in specs for shard in shards(spec)}
        packed = self._packed([*tasks.values()], states)
        stored: list[StoredObject] = []
        limits: dict[str, list[float]] = {spec.name: [] for spec in specs}
        small: dict[str, list[tuple[Window, Array]]] = {spec.name: [] for spec in specs}
        for (name, shard), each in tasks.items():
            facts = packed[each.key]
            nbytes, adler32, crc32c = facts["stored"].tolist()
            stored.append(StoredObject(f"{name}/{shard.key}", nbytes, f"{adler32:08x}", f"{crc32c:08x}"))
            limits[name] += facts["limits"].tolist()
            small[name] += [(shard.window, facts[OVERVIEW])] if OVERVIEW in facts else []
        arrays = tuple(replace(spec, limits=_span(limits[spec.name])) for spec in specs)
        overviews = {spec.name: join(spec, small[spec.name]) for spec in specs if small[spec.name]}
        return Computed(states, {}, tuple(stored), arrays, overviews)

    def _packed(self, tasks: Sequence[Task], states: tuple[str, ...]) -> dict[str, dict[str, Array]]:
        """Run the pack, and read what each task says of its shard; what went out of reach after its stage is made again."""
        area = self.crew.area
        while True:
            reached = area.reached.keys()
            done = run_stage(self.crew, "pack", [replace(task, work=area.url_at(task.site)) for task in tasks])
            if all(outcome.ok for outcome in done.values()) or area.check() == reached:
                self._ended(done)
                try:
                    return dict(zip(done, many(area.arrays, [*done.values()]), strict=True))
                except Unavailable:
                    if area.reached.keys() == reached:
                        raise
            self._ended(run_stage(self.crew, "map", self._placed(self._of_blocks("map", StageKind.MAP, states))))

    def _ended(self, outcomes: Mapping[str, Outcome]) -> list[Outcome]:
        """Outcomes in the order of their tasks; each that failed has its verdict kept, and the run ends."""
        failed = [outcome for outcome in outcomes.values() if not outcome.ok]
        for outcome in failed:
            self.crew.area.fail(outcome)
        if failed:
            raise BlocksFailed(failed)
        return [outcomes[key] for key in sorted(outcomes)]


def _index(outcome: Outcome) -> int:
    return int(outcome.task.rpartition("/")[2])


def _span(limits: Sequence[float]) -> tuple[float, float] | None:
    return (min(limits), max(limits)) if limits else None


def _learns(link: ChainLink) -> ReducibleModel[object]:
    return link.model  # type: ignore[return-value]
