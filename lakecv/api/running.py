"""How a job becomes a published dataset: claim, work area, drive, report, publish, catalog entry, run record.

Every step is create-only and idempotent, so running again, resuming and a second driver are the same code.
"""

from __future__ import annotations

import platform
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from secrets import token_hex

import numpy as np
from threadpoolctl import threadpool_limits

from lakecv import registry
from lakecv.api.damages import damage_facts, settle_damages
from lakecv.api.learnt import state_key
from lakecv.api.rates import keep_rates
from lakecv.api.registering import now
from lakecv.api.replicating import with_room
from lakecv.canonical import dump, load
from lakecv.cube import ArraySpec, CubeSpec
from lakecv.errors import Conflict, Corrupt, Kind, LakeCVError, NotFound, Unavailable, nearest
from lakecv.execution.chain import ChainLink, build_chain, of_model
from lakecv.execution.crew import Crew, Paces
from lakecv.execution.drive import BlocksFailed, Computed, drive
from lakecv.execution.masks import MASK
from lakecv.execution.runarea import RunArea
from lakecv.execution.stages import LABEL_COUNTS, LABEL_SUMS, label_exponent
from lakecv.execution.station import manned
from lakecv.execution.workarea import Setup
from lakecv.execution.worker import execute
from lakecv.job import Job, TableSpec
from lakecv.lake_io.objects import put_same
from lakecv.lake_io.place import RUN, is_run, join_url, locate, place, run_key, work_prefix
from lakecv.lake_io.publish import publish, table_spec
from lakecv.numerics import exact
from lakecv.patience import many
from lakecv.plan import Outcome, Plan, Progress, Run, RunState
from lakecv.ports import CatalogBackend, ObjectIO
from lakecv.records import DID, Claim, Dataset, Replica
from lakecv.sheet import Array, State
from lakecv.site import Site

__all__ = ["REPORT", "Finished", "Runs"]

REPORT, MASK_KEY = "report.html", "mask.safetensors"
_SETUP = re.compile(work_prefix(f"({RUN.pattern})") + r"/setup\.json", re.ASCII)
_RECORD = re.compile(run_key(f"({RUN.pattern})").replace(".", r"\."), re.ASCII)
_WATCH_SECONDS, _MOST_TAKEN = 0.5, 100
_AREAS = 8  # work areas that are kept with the records they have read; more than one process drives or watches at a time


@dataclass(frozen=True, slots=True, eq=False)
class Finished:
    """What a report shows beside the run: computed arrays and tables, states, and how the work went."""

    computed: Computed
    tables: tuple[tuple[TableSpec, Array], ...]
    states: tuple[State | None, ...]
    outcomes: tuple[Outcome, ...]


Reporter = Callable[[Setup, Run, Finished], bytes]


@dataclass(frozen=True, slots=True)
class Runs:
    """The runs of one lake."""

    lake: str
    objects: ObjectIO
    catalog: CatalogBackend
    watch: Callable[[Progress], None]
    report: Reporter
    deadline_seconds: float
    _areas: dict[str, RunArea] = field(default_factory=dict, init=False, repr=False, compare=False)

    def area(self, run: str) -> RunArea:
        """Work area of a run; it remembers what it has read, so that whoever watches a run reads each record once."""
        if run not in self._areas:
            while len(self._areas) >= _AREAS:
                self._areas.pop(next(iter(self._areas)))
            self._areas[run] = RunArea(registry.open_objects(join_url(self.lake, work_prefix(run))), registry.open_objects)
        return self._areas[run]

    def begin(self, job: Job, dataset: Dataset, plan: Plan, *, again: bool, command: str, given: Mapping[str, State]) -> str:
        """Find the run of a job, or claim an output for a new one that is ``given`` these states; returns the run's id."""
        if not again:
            found = self._same(job, dataset)
            if found is not None:
                return found
        plan = with_room(self.catalog, plan)
        place(self.catalog, DID(job.scope, f"{_stem(job, dataset)}0"), "r-0", plan.home)  # refused before a name is used up
        claim = self._claim(job, dataset, again=again)
        run = claim.write_id
        area = self.area(run)
        for stage, state in given.items():
            area.give(stage, state)
        home = place(self.catalog, claim.did, run, plan.home)
        area.start(Setup(run, self.lake, _with_areas(plan, run), dataset, claim.did, home.url, claim.created, command))
        return run

    def _same(self, job: Job, dataset: Dataset) -> str | None:
        claims = self.catalog.claims(job.scope, _stem(job, dataset))
        mine = sorted((claim.created, claim.write_id) for claim in claims if claim.job_digest == job.digest)
        usable = [run for _, run in mine if self._has_setup(run)]
        finished = [run for run in usable if self._is_done(run)]
        return next(iter(finished or usable), None)

    def _has_setup(self, run: str) -> bool:
        """Say whether a claim got as far as its setup; one that did not is left behind and its number with it."""
        return self.objects.head(f"{work_prefix(run)}/setup.json") is not None

    def _claim(self, job: Job, dataset: Dataset, *, again: bool) -> Claim:
        stem, run = _stem(job, dataset), f"r-{token_hex(5)}"
        names = [claim.did.name for claim in self.catalog.claims(job.scope, stem)]
        names += [did.name for did in self.catalog.search(job.scope) if did.name.startswith(stem)]  # a user may have chosen one
        numbers = [name.removeprefix(stem) for name in names]
        number = max((int(each) for each in numbers if each.isdecimal()), default=0) + 1
        last = number + _MOST_TAKEN
        while True:
            try:
                held = self.catalog.claim(Claim(DID(job.scope, f"{stem}{number}"), job.digest, run, _moment()))
            except Conflict:  # the catalog has something of that name that is no dataset of lakecv
                if number == last:
                    raise
                number += 1
                continue
            joins = held.job_digest == job.digest and not again and self._has_setup(held.write_id)
            if held.write_id == run or joins:
                return held
            number += 1

    def all(self) -> tuple[Run, ...]:
        """Say where every run stands, oldest first.  One that is done is one small record; they are read many at once."""
        done, unfinished = self._listed()
        runs = [*many(self.record, done), *(self.record(run) for run in unfinished)]
        return tuple(sorted(runs, key=lambda run: (run.created, run.id)))

    def newest(self, *, unfinished: bool) -> str | None:
        """Find the run that was started last (of those that are not done), None where there is none."""
        done, others = self._listed()
        begun = [(setup.created, setup.run) for setup in many(self._setup, others)]
        begun += [] if unfinished else [(run.created, run.id) for run in many(self.record, done)]
        return max(begun)[1] if begun else None

    def _listed(self) -> tuple[list[str], list[str]]:
        """Ids of the runs that are done, and of those that are not; reads none of them."""
        begun = {match[1] for info in self.objects.list("work") if (match := _SETUP.fullmatch(info.key))}
        done = {match[1] for info in self.objects.list("runs") if (match := _RECORD.fullmatch(info.key))}
        return sorted(done), sorted(begun - done)

    def _setup(self, run: str) -> Setup:
        return load(Setup, self.objects.get(f"{work_prefix(run)}/setup.json"))

    def record(self, run: str) -> Run:
        """Say where a run stands.

        Raises
        ------
        NotFound
            If there is no such run (kind ``run-unknown``).
        """
        done = self._finished(run) if is_run(run) else None
        if done is not None:
            return done
        if not is_run(run) or not self._has_setup(run):
            known = [name for names in self._listed() for name in names]
            raise NotFound(f"there is no run '{run}'", Kind.RUN_UNKNOWN, nearest(run, known, "runs"))
        try:
            found = self._unfinished(self.area(run))
        except (NotFound, Corrupt):
            done = self._finished(run)
            if done is None:
                raise
            return done
        return self._finished(run) or found  # a driver may have cleared the work area between two looks: then the run is done

    def follow(self, run: str) -> Iterator[Progress]:
        """Look at a run until it is done or failed; reads commit records only."""
        clock = time.monotonic()
        while True:
            record = self.record(run)
            nbytes = record.nbytes_near + record.nbytes_far
            yield Progress("watch", str(record.state), record.blocks_done, record.blocks, nbytes, time.monotonic() - clock)
            if record.state is not RunState.UNFINISHED:
                return
            time.sleep(_WATCH_SECONDS)

    def _finished(self, run: str) -> Run | None:
        try:
            return load(Run, self.objects.get(run_key(run)))
        except NotFound:
            return None

    def _unfinished(self, area: RunArea) -> Run:
        setup, failed, done = area.current(), area.failures(), area.outcomes("map")
        state = RunState.FAILED if failed else RunState.UNFINISHED
        facts = tuple(damage_facts(area, setup.dataset, done=False)) if failed else ()
        return replace(_run_of(setup, done.values()), state=state, blocks_done=len(done), failed=failed, facts=facts)

    def go_by(self, run: str, site: str, plan: Callable[[Setup], Plan]) -> None:
        """Have a run that is not done go on where it is asked for now, if that is elsewhere than it went on so far."""
        if self._is_done(run):
            return
        setup = self.area(run).current()
        if setup.plan.site != site:
            self.area(run).move(_with_areas(plan(setup), run))

    def execute(self, run: str, sites: Callable[[str], Site]) -> Run:
        """Bring a run to its end, from wherever it stands; ``sites`` finds a site by its name.

        Raises
        ------
        Unavailable
            If interrupted; what is committed is safe.
        """
        self._areas.pop(run, None)  # a driver trusts no record that it read before: a damaged reading must not outlive its run
        area = self.area(run)
        if self._is_done(run):
            area.clear()  # where a kill came between the record and this
            return self.record(run)
        setup = area.current()
        try:
            return self._work(area, setup, sites)
        except KeyboardInterrupt as err:
            raise Unavailable("interrupted; what is committed is safe", Kind.INTERRUPTED, f"lakecv resume {run}") from err
        except BlocksFailed:
            return self.record(run)
        except LakeCVError as err:
            if self._is_done(run):  # another driver on the same run was first and has cleared the work area
                return self.record(run)
            if err.kind is Kind.INTERRUPTED:
                raise Unavailable(str(err), Kind.INTERRUPTED, f"lakecv resume {run}") from err
            raise

    def _is_done(self, run: str) -> bool:
        return self.objects.head(run_key(run)) is not None

    def _work(self, area: RunArea, setup: Setup, sites: Callable[[str], Site]) -> Run:
        chain = build_chain(setup.plan.job, setup.plan.input)
        try:
            computed = self._drive(area, setup, sites, chain)
        except (BlocksFailed, LakeCVError) as err:
            if not (isinstance(err, LakeCVError) and err.kind is Kind.INTERRUPTED):
                with suppress(LakeCVError):  # what ended the drive counts, not this
                    settle_damages(area, setup.dataset, self.catalog)
            raise
        settle_damages(area, setup.dataset, self.catalog)
        return self._publish(setup, chain, computed)

    def _drive(self, area: RunArea, setup: Setup, sites: Callable[[str], Site], chain: tuple[ChainLink, ...]) -> Computed:
        with manned(setup.plan, sites, execute, setup.run) as stations:
            rses = [replica.rse for replica in setup.dataset.replicas]
            crew = Crew(area, stations, setup.plan, Paces(setup.plan.paces), rses, self.watch, self.deadline_seconds, time.monotonic())
            with threadpool_limits(1):  # as in the workers: the bits of a fit must not depend on the cores of the driver
                return drive(crew, setup, chain)

    def _publish(self, setup: Setup, chain: tuple[ChainLink, ...], computed: Computed) -> Run:
        """Make the result visible: data first, catalog entry last, then the run's record."""
        area, plan = self.area(setup.run), setup.plan
        states = tuple(_load(area, stage) for stage in computed.states)
        outcomes = tuple(area.outcomes().values())
        tables = tuple(_tables(chain, states, computed, plan.input))
        run = replace(
            _run_of(setup, outcomes), state=RunState.DONE, finished=now(), blocks_done=len(plan.blocks),
            facts=(*_facts(chain, states), *(("sites", text) for text in computed.said), *damage_facts(area, setup.dataset, done=True)),
        )
        page = self.report(setup, run, Finished(computed, tables, states, outcomes))
        home = registry.open_objects(locate(self.lake, setup.home))
        artifacts = {REPORT: page, "run.json": dump(run)}
        artifacts |= {state_key(i): area.state_bytes(stage) for i, stage in enumerate(computed.states) if stage}
        artifacts |= {MASK_KEY: area.state_bytes(MASK)} if plan.job.selection is not None and plan.job.selection.mask is not None else {}
        cube = CubeSpec(plan.input.grid, plan.input.axis if _has_axis(computed.arrays, tables) else None, computed.arrays)
        specs = {table_spec(spec.name, spec.dims, values, spec.title, spec.unit): values for spec, values in tables}
        done = publish(home, cube, computed.stored, tables=specs, artifacts=artifacts)
        run = load(Run, home.get("run.json"))  # of two drivers the first one's record counts, also for the catalog
        dataset = Dataset(
            setup.output, done.cube, done.manifest.digest, setup.home, (Replica(plan.home, setup.home),),
            len(done.manifest.objects), done.manifest.nbytes, run.finished or "", title=f"{plan.job.name} of {setup.dataset.did}",
            parents=plan.job.inputs, made_by=setup.run,
        )
        self.catalog.register(dataset, done.manifest)
        keep_rates(self.objects, setup, tuple(link.workload for link in chain), outcomes)
        put_same(self.objects, run_key(setup.run), home.get("run.json"))
        area.clear()
        return self.record(setup.run)


def _with_areas(plan: Plan, run: str) -> Plan:
    """Give each site that has a work area near itself a folder for this run there."""
    shares = (replace(share, work=join_url(share.work, run)) if share.work else share for share in plan.shares)
    return replace(plan, shares=tuple(shares))


def _moment() -> str:
    """Time in UTC to the millisecond: of two runs, the one that was started later is the newer."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _stem(job: Job, dataset: Dataset) -> str:
    return f"{dataset.did.name}.{job.name.replace('+', '-')}."


def _load(area: RunArea, stage: str) -> State | None:
    step = area.load_state(stage) if stage else None
    return step.state if step else None


def _run_of(setup: Setup, outcomes: Iterable[Outcome]) -> Run:
    done = list(outcomes)
    near, far = _traffic(setup.plan, done)
    ends = [outcome.started + outcome.seconds for outcome in done]
    starts = [outcome.started for outcome in done]
    return Run(
        setup.run, setup.plan.job, setup.output, RunState.UNFINISHED, setup.created,
        seconds=max(ends) - min(starts) if done else None, nbytes_near=near, nbytes_far=far,
        blocks=len(setup.plan.blocks), versions=_versions(),
    )


def _traffic(plan: Plan, done: Iterable[Outcome]) -> tuple[int, int]:
    """Bytes of the input that came from near and from far, as the tasks that are committed counted them."""
    paces, near, far = Paces(plan.paces), 0, 0
    for outcome in done:
        for rse, nbytes in outcome.reads:
            close = paces.near(outcome.site, rse)
            near, far = near + nbytes * close, far + nbytes * (not close)
    return near, far


def _versions() -> tuple[tuple[str, str], ...]:
    packages = ("lakecv", "numpy", "zarr", "distributed")
    return (("python", platform.python_version()), *((name, version(name)) for name in packages))


def _tables(
    chain: tuple[ChainLink, ...], states: tuple[State | None, ...], computed: Computed, cube: CubeSpec,
) -> Iterator[tuple[TableSpec, Array]]:
    """Mean spectrum and area of each label, then the tables of every link."""
    if LABEL_COUNTS in computed.tallies:
        yield from _label_tables(computed, cube.main)
    seen: set[str] = set()
    for link, state in zip(chain, states, strict=True):
        tallies = computed.tallies if link is chain[-1] else {}
        made: Mapping[str, Array] = of_model(link, lambda: link.model.tables(state, tallies, link.options))  # noqa: B023
        for spec in link.workload.tables:
            if spec.name in made:
                name = spec.name if spec.name not in seen else f"{link.model.name}_{spec.name}"
                seen.add(name)
                yield replace(spec, name=name), made[spec.name]


def _label_tables(computed: Computed, main: ArraySpec) -> Iterator[tuple[TableSpec, Array]]:
    counts = computed.tallies[LABEL_COUNTS]
    sums = exact.value(computed.tallies[LABEL_SUMS], label_exponent(main))
    mean = sums / np.maximum(counts, 1)[:, None]
    yield TableSpec("mean_spectrum", ("label", main.third), "float64", "mean spectrum of each label", main.unit), mean
    yield TableSpec("area", ("label",), "int64", "area of each label", "pixels"), counts


def _has_axis(arrays: tuple[ArraySpec, ...], tables: tuple[tuple[TableSpec, Array], ...]) -> bool:
    dims = [*(spec.dims for spec in arrays), *(spec.dims for spec, _ in tables)]
    return any("spectral" in each for each in dims)


def _facts(chain: tuple[ChainLink, ...], states: tuple[State | None, ...]) -> Iterator[tuple[str, str]]:
    """Tell what a state says of itself; names that begin with an underscore are the model's own business."""
    for link, state in zip(chain, states, strict=True):
        for name, value in sorted(state.attributes.items() if state else ()):
            if name.startswith("_"):
                continue
            yield f"{link.model.name}.{name}", f"{value:.6g}" if isinstance(value, float) else str(value)
