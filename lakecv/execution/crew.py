"""Who does the work of a run: the pools of its sites, what each has to do, and who takes over from whom."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace

from lakecv import registry
from lakecv.errors import Infeasible, Kind, LakeCVError, NotFound, PluginError, Unavailable
from lakecv.execution.workarea import RunArea
from lakecv.job import StageKind
from lakecv.plan import Outcome, Pace, Plan, Progress, Task
from lakecv.planning.blocks import block_at
from lakecv.planning.reading import delay_seconds, worth_stealing
from lakecv.ports import Standing, WorkerPool
from lakecv.site import Site

__all__ = ["Crew", "Paces", "Station", "manned"]

_WINDOW_PER_SLOT = 2.5  # enough that no slot waits, few enough that a cancelled run loses little


@dataclass(slots=True, eq=False)
class Station:
    """One site at work: its pool, what waits for it and what runs there."""

    site: str
    pool: WorkerPool
    slots: int
    waiting: deque[Task] = field(default_factory=deque)
    running: dict[str, tuple[Task, float]] = field(default_factory=dict)
    failure: LakeCVError | None = None
    idle_since: float = 0.0

    @property
    def free(self) -> int:
        """Tasks that may still be sent there."""
        return 0 if self.failure else max(0, math.ceil(_WINDOW_PER_SLOT * self.slots) - len(self.running))

    @property
    def load(self) -> int:
        """Tasks that it has not done yet."""
        return len(self.waiting) + len(self.running)

    def give_up(self, failure: LakeCVError) -> list[Task]:
        """Note that nothing can be had there any more; returns what it had not done."""
        self.failure = failure
        left = [task for task, _ in self.running.values()] + [*self.waiting]
        self.running.clear()
        self.waiting.clear()
        return left


class Paces:
    """How long a block takes at each site, by the replica that it is read from, as the plan has it."""

    def __init__(self, paces: Iterable[Pace]) -> None:
        self._paces = {(pace.site, pace.rse): pace for pace in paces}

    def seconds(self, site: str, rse: str) -> float:
        """Seconds of one slot; infinite where the replica is out of reach."""
        found = self._paces.get((site, rse))
        return math.inf if found is None else found.seconds

    def fastest(self, site: str, rses: Iterable[str]) -> str:
        """Choose the replica that a site reads fastest."""
        return min(rses, key=lambda rse: (self.seconds(site, rse), rse))

    def near(self, site: str, rse: str) -> bool:
        """Say whether a replica lies at a site."""
        found = self._paces.get((site, rse))
        return found is not None and found.near


@dataclass(frozen=True, slots=True)
class Crew:
    """Who does the work and who watches.  ``rses`` are the storage elements of the input's replicas, in the dataset's order."""

    area: RunArea
    stations: Mapping[str, Station]
    plan: Plan
    paces: Paces
    rses: Sequence[str]
    watch: Callable[[Progress], None]
    deadline_seconds: float
    started: float

    @property
    def alive(self) -> list[Station]:
        """Stations where something can still be had."""
        return [station for station in self.stations.values() if station.failure is None]

    def place(self, task: Task, site: str) -> Task:
        """Send a task to a site: it works in that site's area, and reads the replica that is fastest there."""
        rse = self.paces.fastest(site, self.holders(task)) if task.rse else ""
        return replace(task, site=site, rse=rse, work=self.area.url_at(site))

    def holders(self, task: Task) -> list[str]:
        """Storage elements that hold what a task reads."""
        if not self.plan.holders:
            return [*self.rses]
        block = block_at(self.plan.blocks, task.window) if task.kind is StageKind.SAMPLE else task.index
        return [self.rses[number] for number in self.plan.holders[block]]

    def share_out(self, tasks: Iterable[Task]) -> None:
        """Give each task to the site that it names, or where that is gone to the one that would end it first.

        Raises
        ------
        LakeCVError
            What the last site ended with, where none is left.
        """
        for task in tasks:
            station = self.stations.get(task.site)
            if station is not None and station.failure is None:
                station.waiting.append(task)
            else:
                station = self._next_best(task)
                station.waiting.append(self.place(task, station.site))

    def move(self, station: Station, failure: LakeCVError) -> None:
        """Have others do what a site that can do nothing any more has left."""
        self.share_out(station.give_up(failure))

    def steal(self, thief: Station) -> None:
        """Let a site that has nothing to do take waiting blocks of another: in bulk, and not before that pays.

        It waits for as long as the block would take longer there than at home (delay scheduling), where home works at all.
        """
        now = time.monotonic()
        if thief.waiting or not thief.free:
            thief.idle_since = now
            return
        for victim in sorted(self.alive, key=lambda each: (-len(each.waiting), each.site)):
            count = self._worth(thief, victim, now - thief.idle_since) if victim is not thief and victim.waiting else 0
            for _ in range(min(count, len(victim.waiting))):
                thief.waiting.append(self.place(victim.waiting.pop(), thief.site))
            if count:
                return

    def _worth(self, thief: Station, victim: Station, idle_seconds: float) -> int:
        task = victim.waiting[-1]
        if not task.rse:  # it reads no input: nothing is lost elsewhere
            return worth_stealing(victim.load, 0.0, len(victim.waiting), slots=max(1, thief.slots))
        far = self.paces.seconds(thief.site, self.paces.fastest(thief.site, self.holders(task)))
        near = self.paces.seconds(victim.site, task.rse)
        if not math.isfinite(far) or idle_seconds < delay_seconds(far, near, home_works=victim.slots > 0):
            return 0
        remaining = near * victim.load / max(1, victim.slots)
        return worth_stealing(remaining, far, len(victim.waiting), slots=max(1, thief.slots))

    def _next_best(self, task: Task) -> Station:
        if not self.alive:
            failures = [station.failure for station in self.stations.values() if station.failure is not None]
            raise failures[-1] if failures else Unavailable("there is no site to work at", Kind.QUEUE_DOWN)
        rses = self.holders(task)

        def finish(station: Station) -> tuple[float, str]:
            seconds = self.paces.seconds(station.site, self.paces.fastest(station.site, rses)) if task.rse else 1.0
            return seconds * (1 + station.load / max(1, station.slots)), station.site

        best = min(self.alive, key=finish)
        if math.isinf(finish(best)[0]):
            raise Infeasible(
                f"no site that is left reaches a replica of block {task.index}", Kind.NO_REPLICA_REACHABLE, "lakecv resume, when the others are back",
            )
        return best


@contextmanager
def manned(plan: Plan, sites: Callable[[str], Site], work: Callable[[Task], Outcome], run: str) -> Iterator[dict[str, Station]]:
    """Open the pools of a plan's sites.

    A site that cannot be opened is a station that is out from the start, unless it is the last one: then its error is raised.
    """
    stations: dict[str, Station] = {}
    with ExitStack() as stack:
        for share in plan.shares:
            try:
                site = sites(share.site)
                pool = stack.enter_context(registry.site(share.executor).pool(site, share.workers, work, run))
            except (Unavailable, Infeasible, NotFound, PluginError) as err:
                if len(plan.shares) == 1 + sum(station.failure is not None for station in stations.values()):
                    raise
                stations[share.site] = Station(share.site, NoPool(err), share.slots, failure=err)
            else:
                stations[share.site] = Station(share.site, pool, share.slots)
        yield stations


class NoPool:
    """The pool of a site that could not be opened."""

    def __init__(self, failure: LakeCVError) -> None:
        self._failure = failure

    def standing(self) -> Standing:
        """Raise what it failed with."""
        raise self._failure

    def submit(self, task: Task) -> None:  # noqa: ARG002  (the port's signature)
        """Raise what it failed with."""
        raise self._failure

    def outcomes(self, timeout_seconds: float) -> Iterator[Outcome]:  # noqa: ARG002  (the port's signature)
        """Raise what it failed with."""
        raise self._failure

    def kill(self, task: Task) -> None:
        """Do nothing."""

    def cancel(self) -> None:
        """Do nothing."""
