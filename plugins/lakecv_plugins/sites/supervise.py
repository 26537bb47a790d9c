"""Keeps the jobs of a pool alive: submits, watches, replaces what died, and says why where no worker can be had.

dask-jobqueue's own clusters do none of this: a killed job stays away (dask/dask-jobqueue#122, #611), a submission that fails
is only logged (#142), and workers that never connect are waited for in silence.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from lakecv.errors import Infeasible, InternalError, Kind, LakeCVError, Unavailable
from lakecv.ports import Standing
from lakecv.site import JOB_LOG, Site
from lakecv_plugins.sites.systems import FOUND, KEEPER, VERDICT, BatchSystem, JobState, State

__all__ = ["Supervisor"]

LOOK_SECONDS = 2.0
CONNECT_SECONDS = 120.0  # from the start of a job to its worker: a module to load, an image to fetch, Python to start
AWAY_SECONDS = 300.0  # a controller that restarts answers again
_CALM_SECONDS, _CALM = 60.0, 8  # after so long without any change the batch system is asked less often by this factor
_LOST_AT_MOST = 5  # jobs in a row that ended before any worker came
_REFUSED_SECONDS = 30.0
_TAIL = 600
_LOG_OF = logging.getLogger(__name__)


@dataclass(slots=True)
class _Job:
    """One job: when it was submitted and first seen to run, whether a worker of it has come, and where it stands."""

    number: str
    submitted: float
    running_since: float | None = None
    came: bool = False
    seen: bool = False
    stands: JobState = field(default_factory=lambda: JobState(State.WAITS))


class Supervisor:
    """Looks after the jobs of one pool in a thread of its own.

    Parameters
    ----------
    system, site, folder
        What to submit, how, and the folder that holds script, connection file and logs.
    wanted : int
        Jobs that there should be.
    census : callable
        Threads of each worker that is connected, by name; a name begins with the number of its job.
    address : str
        Of the scheduler, for what is said where nobody comes.
    """

    def __init__(
        self, system: BatchSystem, site: Site, folder: Path, *, wanted: int, census: Callable[[], Mapping[str, int]], address: str,
    ) -> None:
        self._system, self._site, self._folder, self._wanted = system, site, folder, wanted
        self._census, self._address = census, address
        self._jobs: dict[str, _Job] = {}
        self._present: Mapping[str, int] = {}
        self._stillborn, self._refused = 0, ""
        self._submit_from, self._look_from, self._changed, self._answered = 0.0, 0.0, time.monotonic(), time.monotonic()
        self._failure: LakeCVError | None = None
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"jobs of {site.name}", daemon=True)

    def start(self) -> None:
        """Submit the jobs.  Raises as :meth:`BatchSystem.submit` where not even one is taken."""
        self._fill()
        self._thread.start()

    def stop(self) -> None:
        """Take all jobs back.  One that cannot be reached now ends by itself: its scheduler is gone."""
        self._end.set()
        if self._thread.is_alive():
            self._thread.join()
        try:
            self._system.cancel(self._site, list(self._jobs), self._folder)
        except LakeCVError as err:
            _LOG_OF.warning("site=%s jobs=%s not cancelled, they end by themselves: %s", self._site.name, ",".join(self._jobs), err)

    def standing(self) -> Standing:
        """Say how many tasks can run now, and what is waited for; raises where no worker can be had any more."""
        if self._failure is not None:
            raise self._failure
        jobs = list(self._jobs.values())  # the other thread changes it
        waiting = [job.stands for job in jobs if job.stands.state in {State.WAITS, State.HELD}]
        why = next((each.reason for each in waiting if each.reason), "") or (self._refused if len(jobs) < self._wanted else "")
        missing = len(waiting) + self._wanted - len(jobs)
        if not missing:
            return Standing(self._slots)
        return Standing(self._slots, f"{missing} of {self._wanted} jobs wait at {self._site.name}{f' ({why})' if why else ''}")

    @property
    def _slots(self) -> int:
        return sum(self._present.values())

    def _run(self) -> None:
        try:
            while self._failure is None and not self._end.wait(LOOK_SECONDS):
                self._turn()
        finally:  # a thread that dies must not leave its pool waiting
            if self._failure is None and not self._end.is_set():
                self._failure = InternalError(f"the thread that watches the jobs of {self._site.name} died", Kind.BUG)

    def _turn(self) -> None:
        """See who is there, and, where it is time, where the jobs stand."""
        now = time.monotonic()
        try:
            self._count(self._census())
            if now >= self._look_from:
                self._look()
                self._answered = time.monotonic()
                calm = self._answered - self._changed > _CALM_SECONDS
                self._look_from = now + (LOOK_SECONDS * _CALM if calm else 0.0)
        except LakeCVError as err:
            passes = err.kind is Kind.QUEUE_DOWN and (self._slots or time.monotonic() - self._answered < AWAY_SECONDS)
            self._failure = None if passes else err

    def _count(self, present: Mapping[str, int]) -> None:
        if present.keys() != self._present.keys():
            self._changed, self._look_from = time.monotonic(), 0.0
        self._present = present
        numbers = {name.rpartition("-")[0] for name in present}
        for job in self._jobs.values():
            job.came |= job.number in numbers

    def _look(self) -> None:
        """Ask where the jobs stand; what is gone is replaced."""
        stands = self._system.look(self._site, list(self._jobs), self._folder)
        now = time.monotonic()
        for job in self._jobs.values():
            job.seen |= job.number in stands
            fresh = not job.seen and now - job.submitted < 3 * LOOK_SECONDS  # not yet known everywhere
            stand = stands.get(job.number, JobState(State.WAITS if fresh else State.GONE))
            self._changed = now if stand.state is not job.stands.state else self._changed
            job.stands = stand
            if stand.state is State.RUNS and job.running_since is None:
                job.running_since = now
        for number in [number for number, job in self._jobs.items() if job.stands.state is State.GONE]:
            self._mourn(self._jobs.pop(number))
        self._give_up_on_held()
        self._give_up_on_silent(now)
        self._fill()

    def _fill(self) -> None:
        """Submit what is missing; where some jobs are there, one that is refused waits a while."""
        while len(self._jobs) < self._wanted and time.monotonic() >= self._submit_from and not self._end.is_set():
            try:
                number = self._system.submit(self._site, self._folder)
            except LakeCVError as err:
                if not self._jobs:
                    raise
                self._refused, self._submit_from = str(err), time.monotonic() + _REFUSED_SECONDS
                return
            self._refused, self._changed = "", time.monotonic()
            self._jobs[number] = _Job(number, self._changed)

    def _mourn(self, job: _Job) -> None:
        """Count jobs that ended before their worker came; too many in a row and there is no point in another."""
        self._scheduler_of(job)
        if job.came:
            self._stillborn = 0
            return
        self._stillborn += 1
        self._submit_from = time.monotonic() + LOOK_SECONDS * 2 ** min(self._stillborn - 1, 6)  # one bad node must not eat jobs
        if self._slots:
            return
        hint = f"correct the site's profile, or what the log says: lakecv site show {self._site.name}"
        verdict = _verdict(self._folder / VERDICT.format(job.number))
        if verdict:
            raise Infeasible(f"a job at {self._site.name} ended: {verdict[1]}", verdict[0], hint)
        if self._stillborn >= min(_LOST_AT_MOST, self._wanted + 2):
            said = f"{self._stillborn} jobs at {self._site.name} ended before a worker came ({job.stands.reason or 'no reason given'})"
            raise Unavailable(f"{said}; {self._tail(job)}", Kind.WORKER_LOST, hint)

    def _scheduler_of(self, job: _Job) -> None:
        """Where the pool's scheduler ran in a job that is gone: another may have it, but only if nobody has dialled it yet."""
        keeper = self._folder / KEEPER
        if not keeper.exists() or keeper.read_text(encoding="utf-8") != job.number:
            return
        if (self._folder / FOUND).exists():
            said = f"job {job.number} at {self._site.name}, in which the pool's scheduler ran, is gone ({job.stands.reason or 'no reason given'})"
            raise Unavailable(f"{said}; {self._tail(job)}", Kind.WORKER_LOST, "lakecv resume goes on with what is committed")
        keeper.unlink()

    def _give_up_on_held(self) -> None:
        held = [job.stands for job in self._jobs.values() if job.stands.state is State.HELD]
        if held and len(held) == len(self._jobs) and not self._slots:
            raise Infeasible(
                f"the jobs at {self._site.name} are held by {self._system.title}: {held[0].reason}", Kind.JOB_REFUSED,
                f"have them released, or correct the site's profile: lakecv site show {self._site.name}",
            )

    def _give_up_on_silent(self, now: float) -> None:
        """Take back jobs that run without a worker; where no other has one either, say so."""
        silent = [job for job in self._jobs.values() if job.running_since and not job.came and now - job.running_since > CONNECT_SECONDS]
        if silent and not self._slots:
            raise Unavailable(
                f"a job at {self._site.name} runs, and no worker of it reached {self._address} within {CONNECT_SECONDS:.0f} s; {self._tail(silent[0])}",
                Kind.WORKER_LOST, "is that address and port reachable from the nodes? [batch] interface and ports say where it listens",
            )
        self._system.cancel(self._site, [job.number for job in silent], self._folder)

    def _tail(self, job: _Job) -> str:
        """Last words of a job's log, on one line."""
        path = self._folder / JOB_LOG.format(job.number)
        try:
            words = path.read_text(encoding="utf-8", errors="replace").split()
        except OSError:
            return f"it left no {path}"
        return f"{path} ends in: {' '.join(words)[-_TAIL:]}" if words else f"{path} is empty"


def _verdict(path: Path) -> tuple[Kind, str] | None:
    """Read what a job itself found wrong, where no other one would fare better."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        held = json.loads(path.read_text(encoding="utf-8"))
        return Kind(held["kind"]), str(held["text"])
    return None
