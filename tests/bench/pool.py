"""What one driver adds to blocks of a second each over a real pool: submission, commit records, outcomes, turns.

The workers are processes of this machine that sleep for what is left of a second once a block's part is committed, so any number of
slots fits on few cores, and what the wall clock shows beyond the ideal time is lakecv's and Dask's.
"""

import time
from dataclasses import replace
from itertools import count
from tempfile import TemporaryDirectory

from lakecv import config, registry
from lakecv.cube import Window
from lakecv.execution.crew import Crew, Paces
from lakecv.execution.runarea import RunArea
from lakecv.execution.stagerun import run_stage
from lakecv.execution.station import Station
from lakecv.execution.tensors import pack_pieces
from lakecv.execution.workarea import WorkArea
from lakecv.job import StageKind
from lakecv.plan import Outcome, Pace, Plan, Task
from lakecv.site import Resources
from tests.bench.table import Row

SECTION = "One driver over a real pool"
_BLOCK_SECONDS = 1.0


def nap(task):
    """Commit a part, as a worker does, and sleep until a second has passed."""
    began, started = time.perf_counter(), time.time()
    part, pieces = pack_pieces({})
    outcome = Outcome(task.key, _BLOCK_SECONDS, started, 1, 0, "here", task.attempt, site=task.site, pieces=pieces)
    record = WorkArea(registry.open_objects(task.work)).commit(task, outcome, part)
    time.sleep(max(0.0, _BLOCK_SECONDS - (time.perf_counter() - began)))
    return record


def measure(*, toy=False):
    """One row for each number of slots: ideal and measured time from the first submission to the last outcome."""
    for workers, threads, rounds in ((1, 4, 1),) if toy else ((2, 8, 20), (4, 16, 20)):
        wall, ideal = _through(workers, threads, rounds), rounds * _BLOCK_SECONDS
        cells = (f"{workers * threads * rounds:,}", f"{workers} x {threads}", f"{ideal:.0f} s", f"{wall:.2f} s", f"{100 * (wall / ideal - 1):.1f} %", "3 %")
        yield Row(SECTION, cells)


def _through(workers, threads, rounds):
    here, numbers = config.site("local"), count()
    site = replace(here, worker=Resources(threads, 1 << 30, 0), max_workers=workers)
    with TemporaryDirectory() as lake, registry.site(site.executor).pool(site, workers, nap, "bench") as pool:
        _stage(pool, f"{lake}/{next(numbers)}", workers * threads)  # every worker has worked once
        return _stage(pool, f"{lake}/{next(numbers)}", workers * threads * rounds)


def _stage(pool, url, blocks):
    paces = (Pace("local", "local", near=True, seconds=_BLOCK_SECONDS),)
    plan = replace(Plan(None, None, None, (), (), "", (), (), "", "local", 0, 0, 0.0), paces=paces)
    area = RunArea(registry.open_objects(url), None)
    area.near = {}
    crew = Crew(area, {"local": Station("local", pool, pool.standing().slots)}, plan, Paces(paces), ["local"], _unseen, 600.0, time.monotonic())
    tasks = [Task(url, "map", StageKind.MAP, 0, index, Window(index, index + 1, 0, 1), site="local", rse="local") for index in range(blocks)]
    began = time.perf_counter()
    done = run_stage(crew, "map", tasks)
    seconds = time.perf_counter() - began
    if len(done) != blocks or not all(outcome.ok for outcome in done.values()):
        raise RuntimeError(f"{[outcome.error for outcome in done.values() if not outcome.ok][:1]}")
    return seconds


def _unseen(_):
    """Take progress and show it to nobody."""
