"""Runs the tasks of one stage over the sites of a run: bounded windows, retries for what may pass, a deadline for what hangs.

Tasks with a commit record are not submitted again; this is all that resuming is.  A site that ends leaves its tasks to the
others.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from lakecv.errors import InternalError, Kind, LakeCVError, Unavailable
from lakecv.execution.crew import Crew
from lakecv.execution.station import Station
from lakecv.job import StageKind
from lakecv.plan import Outcome, Progress, Task

__all__ = ["may_pass", "run_stage"]

_ATTEMPTS = 3
_RETRIED = {Kind.STORE_UNREACHABLE, Kind.CATALOG_TIMEOUT, Kind.WORKER_LOST, Kind.QUEUE_DOWN}
_CUT_OFF = 4  # tasks in a row, at least, that reached no storage: the site has lost it, not the task
_WAIT_SECONDS, _TURN_SECONDS, _TELL_SECONDS = 0.5, 0.05, 0.1
_TOLD = 160  # letters of why a site is out, in a line of progress; the run keeps all of them


def run_stage(crew: Crew, name: str, tasks: Sequence[Task]) -> dict[str, Outcome]:
    """Run what has no commit record yet.

    Returns
    -------
    dict
        Outcome of each task by its key: committed, or failed for good.

    Raises
    ------
    Unavailable
        On Ctrl-C or SIGTERM (kind ``interrupted``), after the pools were told to stop; what is committed is safe.
    LakeCVError
        What the last site ended with, where no site is left.
    """
    stage = _Stage(crew, name, len(tasks))
    try:
        stage.run(tasks)
    except KeyboardInterrupt as err:
        raise _interrupted(crew) from err
    finally:
        for station in crew.stations.values():
            station.clear()
    for task in tasks:
        outcome = stage.done.get(task.key)
        if outcome is None:
            raise InternalError(f"{task.key} was lost on its way", Kind.BUG)
        if not outcome.ok and not (may_pass(outcome) and task.kind in {StageKind.MERGE, StageKind.PACK}):  # the drive may know a way
            crew.area.fail(outcome)
    return stage.done


def may_pass(outcome: Outcome) -> bool:
    """Say whether a task failed for a reason that may pass."""
    return outcome.error is not None and outcome.error[0] in _RETRIED


@dataclass(slots=True)
class _Stage:
    """One stage under way.  ``again`` are tasks that are to be done elsewhere, with the site where they failed or were left."""

    crew: Crew
    name: str
    total: int
    done: dict[str, Outcome] = field(default_factory=dict)
    again: list[tuple[Task, str]] = field(default_factory=list)
    nbytes: int = 0
    told: float = 0.0

    def run(self, tasks: Sequence[Task]) -> None:
        self.crew.begin()
        committed = self.crew.area.outcomes(self.name) if tasks else {}
        self.note(committed[task.key] for task in tasks if task.key in committed)
        self.tell()
        self.send_out([task for task in tasks if task.key not in self.done])
        while any(station.load for station in self.crew.alive):
            self.turn()
            if self.crew.clock() - self.told >= _TELL_SECONDS:
                self.tell()
        self.tell()

    def turn(self) -> None:
        """Look at every site once; where none had anything, no longer than a moment passes before the next look."""
        began, before = self.crew.clock(), len(self.done)
        self.crew.call_back()
        alive = self.crew.alive
        wait = _WAIT_SECONDS if len(alive) == 1 else _TURN_SECONDS / len(alive)
        for station in alive:
            try:
                self.visit(station, wait)
            except LakeCVError as err:
                self.lose(station, err)
        self.redirect()
        left = _TURN_SECONDS - (self.crew.clock() - began)
        if len(self.done) == before and left > 0:
            self.crew.sleep(left)

    def visit(self, station: Station, wait: float) -> None:
        """One look at one site: send what fits, take what is ready, give up what hangs.  Raises what its pool raises."""
        station.look(self.crew.clock())
        if station.deserted(self.crew.clock()):
            taken = station.recall(lambda task: bool(self.crew.manned(task, station.site)))
            self.again += [(task, station.site) for task in taken]
        self.crew.steal(station)
        while station.waiting and station.free:
            station.submit(station.waiting.popleft(), self.crew.clock())
        for outcome in station.outcomes(wait if station.load else 0.0):
            self.take(station, outcome)
        self.stop_late(station)

    def take(self, station: Station, outcome: Outcome) -> None:
        """Settle what came of a task: done, or to be tried again, the last time elsewhere."""
        task, _ = station.running.pop(outcome.task)
        station.unreachable = station.unreachable + 1 if _cut_off(outcome) else 0
        if not may_pass(outcome) or task.attempt >= _ATTEMPTS:
            if outcome.ok:
                self.crew.area.took(task, outcome)
            self.note([outcome])
        elif task.attempt + 1 < _ATTEMPTS:
            station.waiting.appendleft(replace(task, attempt=task.attempt + 1))
        else:
            self.again.append((replace(task, attempt=task.attempt + 1), station.site))
        if station.unreachable >= max(_CUT_OFF, station.slots) and len(self.crew.alive) > 1:
            raise Unavailable(f"{station.unreachable} tasks in a row: {(outcome.error or ('', ''))[1]}", Kind.STORE_UNREACHABLE)

    def redirect(self) -> None:
        """Have tasks done at another site than before, where there is one."""
        again, self.again = self.again, []
        for site in {site for _, site in again}:
            self.send_out(self.unfinished([task for task, at in again if at == site]), but=site)

    def lose(self, station: Station, failure: LakeCVError) -> None:
        """Have others do what a site that can do nothing any more has left."""
        begun = {*station.running}
        left = station.give_up(failure, self.crew.clock())
        if not self.crew.alive:
            raise failure
        self.send_out(self.unfinished([task for task in left if task.key in begun or task.attempt > 1]))
        self.send_out(task for task in left if task.key not in begun and task.attempt == 1)

    def unfinished(self, begun: Sequence[Task]) -> list[Task]:
        """Look for commit records of what was begun; returns what has none."""
        self.note(self.crew.area.found(begun).values())
        return [task for task in begun if task.key not in self.done]

    def send_out(self, tasks: Iterable[Task], *, but: str = "") -> None:
        """Share tasks out; what no site that is left can read has its verdict."""
        text = "no site that is left reaches a replica of it; lakecv resume, when the others are back"
        error = (str(Kind.NO_REPLICA_REACHABLE), text)
        stranded = self.crew.share_out(tasks, but=but)
        self.note(Outcome(task.key, 0.0, time.time(), 0, 0, "", task.attempt, error=error, site=task.site) for task in stranded)

    def stop_late(self, station: Station) -> None:
        """Give up tasks past the deadline; what waits behind one in the pool's queue has its clock started again.

        Where no worker is there nothing is late: a queue may be long.
        """
        now, deadline = self.crew.clock(), self.crew.deadline_seconds
        oldest = next(iter(station.running.values()), None)  # they stand in the order in which their clocks were started
        if oldest is None or now - oldest[1] <= deadline:
            return
        late = [key for key, (_, since) in station.running.items() if now - since > deadline]
        for key in late[: station.working]:
            task, since = station.running.pop(key)
            error = (str(Kind.CONTRACT_BROKEN), f"no result after {deadline:.0f} s")
            self.note([Outcome(key, now - since, time.time() - (now - since), 0, 0, "", task.attempt, error=error, site=station.site)])
            station.kill(task)
        station.running = {key: (task, now) for key, (task, _) in station.running.items()}

    def note(self, outcomes: Iterable[Outcome]) -> None:
        for outcome in outcomes:
            self.done[outcome.task] = outcome
            self.nbytes += outcome.nbytes_read

    def tell(self) -> None:
        """Say how far it is, what is waited for, and which site is out."""
        crew, self.told = self.crew, self.crew.clock()
        notes = [f"{each.site} is out: {str(each.failure)[:_TOLD]}" if each.failure else each.stands.note for each in crew.stations.values()]
        told = "; ".join(note for note in notes if note)
        crew.watch(Progress("run", self.name, len(self.done), self.total, self.nbytes, self.told - crew.started, told))


def _cut_off(outcome: Outcome) -> bool:
    return outcome.error is not None and outcome.error[0] == Kind.STORE_UNREACHABLE


def _interrupted(crew: Crew) -> Unavailable:
    """Tell every pool to stop; one that cannot be told any more hinders nobody."""
    for station in crew.alive:
        with suppress(LakeCVError):
            station.cancel()
    with suppress(LakeCVError):
        return Unavailable(f"interrupted; {len(crew.area.outcomes())} tasks are committed and safe", Kind.INTERRUPTED)
    return Unavailable("interrupted; what is committed is safe", Kind.INTERRUPTED)
