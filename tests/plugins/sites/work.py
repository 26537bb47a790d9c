"""What workers of these tests do: importable there by PYTHONPATH, and told nothing but a task."""

import time
from dataclasses import replace
from pathlib import Path

from lakecv.cube import Window
from lakecv.job import StageKind
from lakecv.plan import Task
from lakecv.testing.sites import echo

ROOT = Path(__file__).parents[3]


def tasks(count, first=0):
    return [Task("w", "map", StageKind.MAP, 0, index, Window(index, index + 1, 0, 1)) for index in range(first, first + count)]


def nap(task):
    """Work for half a second."""
    time.sleep(0.5)
    return echo(task)


def long_nap(task):
    """Work for four seconds."""
    time.sleep(4)
    return echo(task)


def grow_at_three(task):
    """Take all memory there is, at task 3."""
    held = []
    while task.index == 3:
        held.append(bytearray(b"x") * (32 << 20))
        time.sleep(0.02)
    return echo(task)


def drive(pool, todo, seconds=90, at=None):
    """Bring tasks to their end as a driver does: what is lost is tried again. ``at`` = (count, what to do when so many are done)."""
    done, lost, until = {}, [], time.monotonic() + seconds
    waiting = {task.key: task for task in todo}
    for task in todo:
        pool.submit(task)
    while waiting:
        assert time.monotonic() < until, f"{len(waiting)} of {len(todo)} tasks have no outcome; {pool.standing()}"
        for outcome in pool.outcomes(0.2):
            if outcome.ok:
                done[outcome.task] = outcome
                waiting.pop(outcome.task, None)
            else:
                lost.append(outcome)
                waiting[outcome.task] = replace(waiting[outcome.task], attempt=outcome.attempt + 1)
                pool.submit(waiting[outcome.task])
        if at and len(done) >= at[0]:
            at[1]()
            at = None
    return done, lost


def until(holds, seconds=60):
    """Wait for something that is about to be."""
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.05)
    return found
