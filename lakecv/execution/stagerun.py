"""Runs the tasks of one stage over the sites of a run: bounded windows, retries for what may pass, a deadline for what hangs.

Tasks with a commit record are not submitted again; this is all that resuming is.  A site that ends leaves its tasks to the
others.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from lakecv.errors import Infeasible, Kind, Unavailable
from lakecv.execution.crew import Crew, Station
from lakecv.plan import Outcome, Progress, Task

__all__ = ["run_stage"]

_ATTEMPTS = 3
_RETRIED = {Kind.STORE_UNREACHABLE, Kind.CATALOG_TIMEOUT, Kind.WORKER_LOST, Kind.QUEUE_DOWN}
_WAIT_SECONDS, _TURN_SECONDS = 0.5, 0.05


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
    done = crew.area.outcomes(name) if tasks else {}
    done = {task.key: done[task.key] for task in tasks if task.key in done}
    crew.watch(_progress(crew, name, len(done), len(tasks), _read(done)))
    try:
        for station in crew.alive:
            station.idle_since = time.monotonic()
        crew.share_out(task for task in tasks if task.key not in done)
        _work(crew, name, len(tasks), done)
    except KeyboardInterrupt as err:
        for station in crew.alive:
            station.pool.cancel()
        raise Unavailable(f"interrupted; {_safe(crew)} tasks are committed and safe", Kind.INTERRUPTED) from err
    finally:
        for station in crew.stations.values():
            station.waiting.clear()
            station.running.clear()
    for outcome in done.values():
        if not outcome.ok:
            crew.area.fail(outcome)
    return done


def _work(crew: Crew, name: str, total: int, done: dict[str, Outcome]) -> None:
    nbytes = _read(done)
    while any(station.load for station in crew.alive):
        for station in crew.alive:
            try:
                came = _turn(crew, station)
            except (Unavailable, Infeasible) as err:
                crew.move(station, err)
                continue
            for outcome in came:
                done[outcome.task] = outcome
                nbytes += outcome.nbytes_read
                crew.watch(_progress(crew, name, len(done), total, nbytes))
            _stop_late(crew, station, done)


def _turn(crew: Crew, station: Station) -> list[Outcome]:
    """One look at one site: send what fits, take what is ready; what may pass is sent again."""
    crew.steal(station)
    while station.waiting and station.free:
        task = station.waiting.popleft()
        station.running[task.key] = (task, time.monotonic())
        station.pool.submit(task)
    came: list[Outcome] = []
    if not station.running:
        return came
    for outcome in station.pool.outcomes(_WAIT_SECONDS if len(crew.alive) == 1 else _TURN_SECONDS):
        if outcome.task not in station.running:
            continue
        task, _ = station.running.pop(outcome.task)
        if outcome.error is not None and outcome.error[0] in _RETRIED and outcome.attempt < _ATTEMPTS:
            station.waiting.append(replace(task, attempt=task.attempt + 1))
        else:
            came.append(outcome)
    return came


def _stop_late(crew: Crew, station: Station, done: dict[str, Outcome]) -> None:
    """Give up tasks past the deadline; what waits behind one in the pool's queue has its clock started again.

    Where no worker is there yet nothing is late: a queue may be long.
    """
    now = time.monotonic()
    late = [key for key, (_, since) in station.running.items() if now - since > crew.deadline_seconds]
    if not late:
        return
    working = min(station.slots, _standing(crew, station))
    for key in late[:working]:
        task, since = station.running.pop(key)
        station.pool.kill(task)
        text = f"no result after {crew.deadline_seconds:.0f} s"
        error = (str(Kind.CONTRACT_BROKEN), text)
        done[key] = Outcome(key, now - since, time.time() - (now - since), 0, 0, "", task.attempt, error=error, site=station.site)
    for key, (task, _) in station.running.items():
        station.running[key] = (task, now)


def _standing(crew: Crew, station: Station) -> int:
    try:
        return station.pool.standing().slots
    except (Unavailable, Infeasible) as err:
        crew.move(station, err)
        return 0


def _progress(crew: Crew, name: str, done: int, total: int, nbytes: int) -> Progress:
    out = [f"{station.site} is out: {station.failure}" for station in crew.stations.values() if station.failure is not None]
    return Progress("run", name, done, total, nbytes, time.monotonic() - crew.started, "; ".join(out))


def _read(done: dict[str, Outcome]) -> int:
    return sum(outcome.nbytes_read for outcome in done.values())


def _safe(crew: Crew) -> int:
    return len(crew.area.outcomes())
