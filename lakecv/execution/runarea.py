"""A run's work area in the lake together with those near its sites: one place to whoever drives, packs or watches.

What a site computes lies in its own area, where it has one, and its tasks read setup and states there; what the driver
decides lies in the lake.  An area that is out of reach is left out: what only it knows is done again elsewhere, and as every
task counts once, by its key, nothing is counted twice when it is back.
"""

from __future__ import annotations

import logging
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property

from lakecv.canonical import dump, load
from lakecv.errors import Conflict, Kind, LakeCVError, Unavailable
from lakecv.execution.masks import MASK
from lakecv.execution.tensors import pack_state
from lakecv.execution.workarea import Setup, WorkArea
from lakecv.lake_io.objects import sha256_hex
from lakecv.patience import many
from lakecv.plan import Outcome, Plan, Task
from lakecv.ports import ObjectIO
from lakecv.sheet import Array, State, Step

__all__ = ["RunArea"]

_log = logging.getLogger(__name__)
_AWAY_SECONDS = 60.0  # until whoever only reads asks again


class RunArea(WorkArea):
    """All work areas of a run.

    Parameters
    ----------
    objects : ObjectIO
        The area in the lake.
    opened : callable
        Opens a url.
    """

    def __init__(self, objects: ObjectIO, opened: Callable[[str], ObjectIO]) -> None:
        super().__init__(objects)
        self._opened = opened
        self._away: dict[str, float] = {}
        self._away_seconds = _AWAY_SECONDS
        self._lies: dict[str, str] = {}
        self._mirrored: set[tuple[str, str]] = set()
        self.said: list[str] = []

    @cached_property
    def near(self) -> Mapping[str, WorkArea]:
        """Areas near sites, by the site's name: of every plan that the run went by."""
        shares = [share for plan in self.plans() for share in plan.shares if share.work]
        return {share.site: WorkArea(self._opened(share.work)) for share in shares}

    def plans(self) -> list[Plan]:
        """Plans that the run went by, the last one last; all of them cut it into the same blocks."""
        keys = [info.key for info in self._objects.list("plans")]
        return [self.setup().plan, *(load(Plan, data) for data in many(self._objects.get, keys))]

    def current(self) -> Setup:
        """Give the setup with the plan that the run goes by now, which knows what a block costs at every site of all plans."""
        plans = self.plans()
        paces = {(pace.site, pace.rse): pace for plan in plans for pace in plan.paces}
        return replace(self.setup(), plan=replace(plans[-1], paces=tuple(paces.values())))

    def move(self, plan: Plan) -> None:
        """Have the run go by another plan from now on; it is kept, as what sites leave near themselves must be found again."""
        moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
        data = dump(plan)
        self._objects.put(f"plans/{moment}.{sha256_hex(data)[:8]}.json", data)
        self.__dict__.pop("near", None)

    @property
    def reached(self) -> dict[str, WorkArea]:
        """Those that are not known to be out of reach."""
        now = time.monotonic()
        return {site: area for site, area in self.near.items() if self._away.get(site, -math.inf) <= now}

    def give(self, stage: str, state: State) -> None:
        """Store what a run is given before it has a setup: ``0-given`` is the state of its first link."""
        super().save_state(stage, Step(state, done=True))

    def prepare(self) -> None:
        """Get ready to drive: setup and given states lie near every site that has an area of its own.

        For a driver an area that is out of reach once stays so, and its site works in the lake.
        """
        self._away_seconds, setup = math.inf, self.setup()
        self._away.clear()
        for site, area in self.reached.items():
            try:
                if dump(area.start(setup)) != dump(setup):
                    raise Conflict(f"{area.url} belongs to another run", Kind.OUTPUT_EXISTS)
            except LakeCVError as err:
                self._leave(site, err)
        job = setup.plan.job
        masks = (MASK,) if job.selection is not None and job.selection.mask is not None else ()
        for stage in (*masks, *(f"{number}-given" for number in range(len(job.links)))):
            self.mirror(stage)

    def url_at(self, site: str) -> str:
        """Area that a task at a site works in."""
        area = self.reached.get(site)
        return self.url if area is None else area.url

    def took(self, task: Task, record: Outcome) -> None:
        """Note that a task has left its part in the area that it worked in, and hear of its record."""
        site = self._site_at(task.work)
        (self.near[site] if site else self).tell(record)
        if site:
            self._lies[task.key] = site
        else:
            self._lies.pop(task.key, None)

    def site_of(self, outcome: Outcome) -> str:
        """Site near which a part lies, "" for the lake."""
        return self._lies.get(outcome.task, "")

    def outcomes(self, stage: str = "") -> dict[str, Outcome]:
        """Commit records of all areas; of two for one task, that in the lake, then that of the first site, counts."""
        found: dict[str, Outcome] = {}
        for site, area in reversed(self.reached.items()):
            with self._looking(site):
                new = area.outcomes(stage)
                found |= new
                self._lies.update(dict.fromkeys(new, site))
        own = super().outcomes(stage)
        for task in own:
            self._lies.pop(task, None)
        return found | own

    def outcome(self, task: str) -> Outcome | None:
        """Commit record of a task, wherever it lies; raises where it may lie in an area that is out of reach."""
        found = super().outcome(task)
        if found is not None:
            self._lies.pop(task, None)
            return found
        for site, area in self.reached.items():
            with self._looking(site):
                found = area.outcome(task)
            if found is not None:
                self._lies[task] = site
                return found
        away = sorted(self.near.keys() - self.reached.keys())
        if away:
            raise Unavailable(f"no record of {task} is in reach; the area near {', '.join(away)} is not", Kind.STORE_UNREACHABLE)
        return None

    def found(self, tasks: Iterable[Task]) -> dict[str, Outcome]:
        """Commit records of tasks, looked for in the area that each worked in."""
        by_site: dict[str, list[Task]] = defaultdict(list)
        for task in tasks:
            by_site[self._site_at(task.work)].append(task)
        found: dict[str, Outcome] = {}
        for site, own in by_site.items():
            ask = self.near[site].outcome if site else super().outcome
            with self._looking(site):
                records = many(ask, [task.key for task in own])
                done = [(task, record) for task, record in zip(own, records, strict=True) if record is not None]
                found |= {task.key: record for task, record in done}
                for task, record in done:
                    self.took(task, record)
        return found

    def committed(self, stage: str) -> set[str]:
        """Keys of the tasks of a stage that have a commit record anywhere."""
        found = super().committed(stage)
        for site, area in self.reached.items():
            with self._looking(site):
                found |= area.committed(stage)
        return found

    def part(self, outcome: Outcome) -> bytes:
        """Read a committed part where it was left.

        Raises
        ------
        Unavailable
            If it is out of reach; from then on its area is left out.
        """
        with self._lying(outcome) as area:
            return area.part(outcome) if area else super().part(outcome)

    def arrays(self, outcome: Outcome, wanted: Callable[[str], bool] | None = None) -> dict[str, Array]:
        """Read arrays of a committed part where it was left.

        Raises
        ------
        Unavailable
            If it is out of reach; from then on its area is left out.
        """
        with self._lying(outcome) as area:
            return area.arrays(outcome, wanted) if area else super().arrays(outcome, wanted)

    def save_state(self, stage: str, step: Step) -> Step:
        """Store a state, and a copy of it near each site."""
        kept = super().save_state(stage, step)
        self._copy(stage, kept)
        return kept

    def mirror(self, stage: str) -> Step | None:
        """Read a state, and see to it that each site has its copy: a driver may have been killed between the two."""
        step = self.load_state(stage)
        if step is not None:
            self._copy(stage, step)
        return step

    def check(self) -> set[str]:
        """Ask each area near a site whether it is there; returns the sites whose area is."""
        for site, area in self.reached.items():
            with self._looking(site):
                area.committed("map")
        return {*self.reached}

    def clear(self) -> None:
        """Remove what only the run needed, everywhere; while something stays near a site, so does the lake's, for ``gc`` to find."""
        problems = self.clear_near()
        if not problems:
            super().clear()

    def clear_near(self) -> dict[str, LakeCVError]:
        """Remove the areas near sites, whole; returns what stopped it, by site."""
        problems: dict[str, LakeCVError] = {}
        for site, area in self.near.items():
            try:
                area.remove()
            except LakeCVError as err:
                problems[site] = err
                _log.warning("area site=%s left=%s error=%s", site, area.url, err)
        return problems

    def _copy(self, stage: str, step: Step) -> None:
        for site, area in self.reached.items():
            if (site, stage) in self._mirrored:
                continue
            with self._looking(site):
                there = area.save_state(stage, step)
                self._mirrored.add((site, stage))
                if pack_state(there.state) != pack_state(step.state):
                    self._leave(site, Conflict(f"{area.url} has another state of {stage}", Kind.OUTPUT_EXISTS))

    def _site_at(self, url: str) -> str:
        return next((site for site, area in self.near.items() if area.url == url), "")

    @contextmanager
    def _lying(self, outcome: Outcome) -> Iterator[WorkArea | None]:
        """Area near a site that a part lies in, None for the lake; one that does not answer is left out."""
        site = self.site_of(outcome)
        try:
            yield self.near[site] if site else None
        except Unavailable as err:
            if site:
                self._leave(site, err)
            raise

    @contextmanager
    def _looking(self, site: str) -> Iterator[None]:
        """Leave an area out that does not answer; an error of the lake itself goes on."""
        try:
            yield
        except Unavailable as err:
            if not site:
                raise
            self._leave(site, err)

    def _leave(self, site: str, err: LakeCVError) -> None:
        if site in self.reached:
            self._away[site] = time.monotonic() + self._away_seconds
            self.said.append(f"the work area near {site} was left out: {err}")
            _log.warning("area site=%s away=%s", site, err)
