"""Who does the work of a run: the stations of its sites, what each has to do, and who takes over from whom."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from lakecv.errors import Kind, Unavailable
from lakecv.execution.runarea import RunArea
from lakecv.execution.station import Station
from lakecv.job import StageKind
from lakecv.plan import Pace, Plan, Progress, Task
from lakecv.planning.blocks import block_at
from lakecv.planning.reading import delay_seconds, worth_stealing

__all__ = ["Crew", "Paces"]

_LOOK_SECONDS = 0.25  # between two looks of an idle site that found nothing to take


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
    """Who does the work and who watches.

    ``rses`` are the storage elements of the input's replicas, in the dataset's order; ``clock`` and ``sleep`` are the time
    by which sites are waited for.
    """

    area: RunArea
    stations: Mapping[str, Station]
    plan: Plan
    paces: Paces
    rses: Sequence[str]
    watch: Callable[[Progress], None]
    deadline_seconds: float
    started: float
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _stolen: set[str] = field(default_factory=set, init=False)

    @property
    def alive(self) -> list[Station]:
        """Stations where something can still be had."""
        return [station for station in self.stations.values() if station.failure is None]

    @property
    def said(self) -> tuple[str, ...]:
        """What sites and their work areas failed with so far, though others took over."""
        return (*(text for station in self.stations.values() for text in station.said), *self.area.said)

    def begin(self) -> None:
        """Begin a stage: nobody has been idle, nothing was stolen, and a site that was out may be back."""
        self._stolen.clear()
        for station in self.stations.values():
            station.idle_since = None
        self.call_back()

    def call_back(self) -> None:
        """Try sites again that were out, after a pause: those that are left may have no worker."""
        for station in self.stations.values():
            if station.failure is not None:
                station.come_back(self.clock())

    def place(self, task: Task, site: str) -> Task:
        """Send a task to a site: it works in that site's area, and reads the replica that is fastest there.

        A merge stays in the area where the parts lie, whoever does it.
        """
        if task.kind is StageKind.MERGE:
            return task
        rse = self.paces.fastest(site, self.holders(task)) if task.rse else ""
        return replace(task, site=site, rse=rse, work=self.area.url_at(site))

    def holders(self, task: Task) -> list[str]:
        """Storage elements that hold what a task reads."""
        if not self.plan.holders:
            return [*self.rses]
        block = block_at(self.plan.blocks, task.window) if task.kind is StageKind.SAMPLE else task.index
        return [self.rses[number] for number in self.plan.holders[block]]

    def share_out(self, tasks: Iterable[Task], *, but: str = "") -> list[Task]:
        """Give each task to the site that it names, or where that is gone to the one that would end it first.

        Parameters
        ----------
        tasks : iterable of Task
            Not yet done.
        but : str
            A site that is to have them only if no other can.

        Returns
        -------
        list of Task
            What no site that is left can read.

        Raises
        ------
        LakeCVError
            What the last site ended with, where none is left.
        """
        stranded: list[Task] = []
        for task in tasks:
            home = self.stations.get(task.site)
            able = self.manned(task, but) if but else []  # it is sent there for its workers
            if home is not None and home.failure is None and task.site != but and (not able or home in able):
                home.waiting.append(task)
                continue
            best = self._next_best(task, able or [station for station in self.alive if station.site != but], but)
            if best is None:
                stranded.append(task)
            else:
                best.waiting.append(self.place(task, best.site))
        return stranded

    def steal(self, thief: Station) -> None:
        """Let a site that has nothing to do take waiting blocks of another: in bulk, and not before that pays.

        It waits for as long as the block would take longer there than at home (delay scheduling); where home has had no worker
        for so long already, it does not wait anew in every stage.  A block that was stolen
        is taken once more only by a site that does it faster, so none goes to and fro.
        """
        now = self.clock()
        if thief.waiting or not thief.has_free_slot:
            thief.idle_since = None
            return
        if thief.idle_since is None:
            thief.idle_since = thief.look_from = now
        if now < thief.look_from:
            return
        thief.look_from = now + _LOOK_SECONDS
        for victim in sorted(self.alive, key=lambda each: (-len(each.waiting), each.site)):
            since = thief.idle_since if victim.absent_since is None else min(thief.idle_since, victim.absent_since)
            taken = self._taken(thief, victim, now - since) if victim is not thief and victim.waiting else []
            if taken:
                victim.forget(taken)
                self._stolen.update(task.key for task in taken)
                thief.waiting.extend(self.place(task, thief.site) for task in taken)
                return

    def _taken(self, thief: Station, victim: Station, idle_seconds: float) -> list[Task]:
        """Choose what to take of another site, from the end of what waits there."""
        able = self._able(thief, victim, idle_seconds)
        first = next(able, None)
        if first is None:
            return []
        count = self._worth(thief, victim, first)
        return [first, *islice(able, count - 1)] if count else []

    def _able(self, thief: Station, victim: Station, idle_seconds: float) -> Iterator[Task]:
        """List waiting tasks that another site may take by now; one that was begun may have left its result where it was."""
        for task in reversed(victim.waiting):
            if task.attempt == 1 and idle_seconds >= self._delay(thief, victim, task):
                yield task

    def _delay(self, thief: Station, victim: Station, task: Task) -> float:
        if not task.rse:  # it was put where parts or the output lie: elsewhere is worse, but not worse than nowhere
            return math.inf if victim.working else delay_seconds(1.0, 0.0)
        far, near = self._best_seconds(thief, task), self.paces.seconds(victim.site, task.rse)
        if math.isinf(far) or (task.key in self._stolen and far >= near):
            return math.inf
        return delay_seconds(far, near)

    def _worth(self, thief: Station, victim: Station, task: Task) -> int:
        waiting = len(victim.waiting)
        if not victim.working:  # nobody knows when it begins
            return (waiting + 1) // 2
        near = self.paces.seconds(victim.site, task.rse)
        return worth_stealing(near * victim.load / victim.working, self._best_seconds(thief, task), waiting, slots=thief.working)

    def _best_seconds(self, station: Station, task: Task) -> float:
        """Seconds of a task at a site, from the replica that is fastest there."""
        if not task.rse:
            return 1.0
        return min((self.paces.seconds(station.site, rse) for rse in self.holders(task)), default=math.inf)

    def manned(self, task: Task, but: str) -> list[Station]:
        """List other sites that have a worker and reach what a task reads."""
        others = [station for station in self.alive if station.site != but and station.working]
        return [station for station in others if math.isfinite(self._best_seconds(station, task))]

    def _next_best(self, task: Task, among: Sequence[Station], but: str) -> Station | None:
        if not self.alive:
            failures = [station.failure for station in self.stations.values() if station.failure is not None]
            raise failures[-1] if failures else Unavailable("there is no site to work at", Kind.QUEUE_DOWN)

        def finish(station: Station) -> tuple[float, bool, str]:
            seconds = self._best_seconds(station, task) * (1 + station.load / max(1, station.slots))
            return seconds, not station.working, station.site

        best = min(among or self.alive, key=finish)
        if math.isfinite(finish(best)[0]):
            return best
        return next((station for station in self.alive if station.site == but == task.site), None)
