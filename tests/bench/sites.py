"""What one driver costs over many sites: simulated workers, a million blocks, and time that passes as workers and driver need it.

The sites are pools in pure Python that give each task back when its time is over.  The clock moves by what the driver waits
and by the processor time that it (and the simulation with it) takes, so that a driver that cannot keep up shows in the
makespan.  Reading and writing the commit records is the workers' business and not simulated.
"""

import heapq
import random
import time
from collections import deque
from dataclasses import replace
from itertools import count, pairwise

from lakecv.cube import Window
from lakecv.execution.crew import Crew, Paces
from lakecv.execution.runarea import RunArea
from lakecv.execution.stagerun import run_stage
from lakecv.execution.station import Station
from lakecv.job import StageKind
from lakecv.plan import Outcome, Pace, Plan, Task
from lakecv.ports import Standing
from lakecv.testing.fakes import MemoryObjects
from tests.bench.table import Row

SECTION = "One driver over many sites"
_SECONDS = 1.0  # of a block near its data; from afar a tenth of a second more


def measure(*, toy=False):
    """One row: blocks shared out unevenly, so that sites that are done early take over from others."""
    sites, slots, blocks = (4, 5, 2000) if toy else (20, 50, 1_000_000)
    clock = _Clock()
    pools = {f"site-{number}": _Pool(clock, slots, number) for number in range(sites)}
    began = time.process_time()
    done = run_stage(_crew(pools, slots, clock), "map", _tasks(blocks, [*pools]))
    seconds = time.process_time() - began
    worked = sum(outcome.seconds for outcome in done.values())
    if len(done) != blocks or not all(outcome.ok for outcome in done.values()):
        raise RuntimeError(f"{len(done)} of {blocks} blocks were done")
    share, longer = seconds / worked, clock() * sites * slots / worked
    cells = (f"{blocks:,}", f"{sites} x {slots}", f"{seconds:.1f} s", f"{1e6 * seconds / blocks:.0f} us", f"{100 * share:.4f} %", f"{longer:.3f}", "2 %")
    return [Row(SECTION, cells)]


class _Clock:
    """Time that somebody waited, and what the processor took."""

    def __init__(self):
        self._waited, self._began = 0.0, time.process_time()

    def __call__(self):
        return self._waited + time.process_time() - self._began

    def sleep(self, seconds):
        self._waited += seconds


class _Pool:
    """A number of slots that take each task for about a second."""

    def __init__(self, clock, slots, seed):
        self._clock, self._slots, self._random, self._number = clock, slots, random.Random(seed), count()
        self._free, self._queue, self._ends = [0.0] * slots, deque(), []

    def standing(self):
        return Standing(self._slots)

    def submit(self, task):
        start = max(self._clock(), heapq.heappop(self._free))
        seconds = self._random.uniform(0.5, 1.5) * _SECONDS + (0.0 if task.rse == task.site else 0.1)
        heapq.heappush(self._free, start + seconds)
        heapq.heappush(self._ends, (start + seconds, next(self._number), seconds, task))

    def outcomes(self, timeout_seconds):
        if not self._ends or self._ends[0][0] > self._clock():
            self._clock.sleep(timeout_seconds)
        now = self._clock()
        while self._ends and self._ends[0][0] <= now:
            _, _, seconds, task = heapq.heappop(self._ends)
            yield Outcome(task.key, seconds, now, 1, 0, "", task.attempt, site=task.site)


def _tasks(blocks, sites):
    """Half as many again for the first site as for the last."""
    weights = [1.5 - 0.5 * number / len(sites) for number in range(len(sites))]
    share = [round(blocks * sum(weights[:number]) / sum(weights)) for number in range(len(sites) + 1)]
    window = Window(0, 1, 0, 1)
    return [Task("lake", "map", StageKind.MAP, 0, index, window, site=site, rse=site)
            for site, (first, last) in zip(sites, pairwise(share), strict=True) for index in range(first, last)]


def _crew(pools, slots, clock):
    paces = tuple(Pace(site, rse, site == rse, _SECONDS + 0.1 * (site != rse)) for site in pools for rse in pools)
    plan = replace(Plan(None, None, None, (), (), "", (), (), "", "local", 0, 0, 0.0), paces=paces)
    area = RunArea(MemoryObjects("lake"), None)
    area.near = {}
    stations = {site: Station(site, pool, slots) for site, pool in pools.items()}
    return Crew(area, stations, plan, Paces(paces), [*pools], _unseen, 3600.0, clock(), clock, clock.sleep)


def _unseen(_):
    """Take progress and show it to nobody, as in a script."""
