"""Runs the tasks of one stage over a pool: a bounded window, retries for what may pass, a deadline for what hangs.

Tasks with a commit record are not submitted again; this is all that resuming is.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from lakecv.errors import Kind, Unavailable
from lakecv.execution.workarea import WorkArea
from lakecv.plan import Outcome, Progress, Task
from lakecv.ports import WorkerPool

__all__ = ["Crew", "run_stage"]

_WINDOW_PER_SLOT = 2.5  # enough that no slot waits, few enough that a cancelled run loses little
_ATTEMPTS = 3
_RETRIED = {Kind.STORE_UNREACHABLE, Kind.CATALOG_TIMEOUT, Kind.WORKER_LOST, Kind.QUEUE_DOWN}
_WAIT_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Crew:
    """Who does the work and who watches."""

    area: WorkArea
    pool: WorkerPool
    slots: int
    watch: Callable[[Progress], None]
    deadline_seconds: float
    started: float


def run_stage(crew: Crew, name: str, tasks: Sequence[Task]) -> dict[str, Outcome]:
    """Run what has no commit record yet.

    Returns
    -------
    dict
        Outcome of each task by its key: committed, or failed for good.

    Raises
    ------
    Unavailable
        On Ctrl-C or SIGTERM (kind ``interrupted``), after the pool was told to stop; what is committed is safe.
    """
    done = crew.area.outcomes(name) if tasks else {}
    done = {task.key: done[task.key] for task in tasks if task.key in done}
    crew.watch(_progress(crew, name, len(done), len(tasks), _read(done)))
    try:
        _work(crew, name, deque(task for task in tasks if task.key not in done), done)
    except KeyboardInterrupt as err:
        crew.pool.cancel()
        raise Unavailable(f"interrupted; {_safe(crew)} tasks are committed and safe", Kind.INTERRUPTED) from err
    for outcome in done.values():
        if not outcome.ok:
            crew.area.fail(outcome)
    return done


def _work(crew: Crew, name: str, waiting: deque[Task], done: dict[str, Outcome]) -> None:
    total, nbytes = len(done) + len(waiting), _read(done)
    running: dict[str, tuple[Task, float]] = {}
    most = math.ceil(_WINDOW_PER_SLOT * crew.slots)
    while waiting or running:
        while waiting and len(running) < most:
            task = waiting.popleft()
            running[task.key] = (task, time.monotonic())
            crew.pool.submit(task)
        for outcome in crew.pool.outcomes(_WAIT_SECONDS):
            if outcome.task not in running:
                continue
            task, _ = running.pop(outcome.task)
            if _again(outcome):
                waiting.append(replace(task, attempt=task.attempt + 1))
            else:
                done[outcome.task] = outcome
                nbytes += outcome.nbytes_read
                crew.watch(_progress(crew, name, len(done), total, nbytes))
        _stop_late(crew, running, done)


def _again(outcome: Outcome) -> bool:
    return outcome.error is not None and outcome.error[0] in _RETRIED and outcome.attempt < _ATTEMPTS


def _stop_late(crew: Crew, running: dict[str, tuple[Task, float]], done: dict[str, Outcome]) -> None:
    """Give up tasks past the deadline; what waits behind one in the pool's queue has its clock started again."""
    now = time.monotonic()
    late = [key for key, (_, since) in running.items() if now - since > crew.deadline_seconds]
    for key in late[: crew.slots]:
        task, since = running.pop(key)
        crew.pool.kill(task)
        text = f"no result after {crew.deadline_seconds:.0f} s"
        error = (str(Kind.CONTRACT_BROKEN), text)
        done[key] = Outcome(key, now - since, time.time() - (now - since), 0, 0, "", task.attempt, error=error)
    if late:
        for key, (task, _) in running.items():
            running[key] = (task, now)


def _progress(crew: Crew, name: str, done: int, total: int, nbytes: int) -> Progress:
    return Progress("run", name, done, total, nbytes, time.monotonic() - crew.started)


def _read(done: dict[str, Outcome]) -> int:
    return sum(outcome.nbytes_read for outcome in done.values())


def _safe(crew: Crew) -> int:
    return len(crew.area.outcomes())
