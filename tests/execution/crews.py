"""Sites in virtual time: pools that run tasks in a given number of slots for a given number of seconds, and a clock that only waiting moves."""

import heapq
import random
import time
from dataclasses import replace
from itertools import count

from lakecv.cube import Window
from lakecv.execution.crew import Crew, Paces
from lakecv.execution.runarea import RunArea
from lakecv.execution.station import Station
from lakecv.execution.workarea import WorkArea
from lakecv.job import StageKind
from lakecv.plan import Outcome, Pace, Plan, Task
from lakecv.ports import Standing
from lakecv.testing.fakes import MemoryObjects

PLAN = Plan(None, None, None, (), (), "", (), (), "", "local", 0, 0, 0.0)


class Clock:
    """Time that passes while somebody sleeps."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


class Work:
    """Commits a part in the area that a task names; some fail at first, or always, as told."""

    def __init__(self, areas, fail=None):
        self.areas, self.fail, self.calls = areas, fail or {}, []

    def __call__(self, task):
        before = self.areas[task.work].outcome(task.key)
        if before is not None:
            return before
        self.calls.append((task.key, task.site, task.attempt))
        kind, times = self.fail.get(task.index, ("", 0))
        outcome = Outcome(task.key, 0.0, time.time(), 1, 0, "here", task.attempt, site=task.site)
        if task.attempt <= times:
            return Outcome(task.key, 0.0, time.time(), 0, 0, "here", task.attempt, error=(kind, "told to fail"), site=task.site)
        return self.areas[task.work].commit(task, outcome, b"part of %d" % task.index)

    def done_twice(self):
        keys = [key for key, _, _ in self.calls]
        return {key for key in keys if keys.count(key) > 1}


class Pool:
    """A site in virtual time.  ``slots`` is a number, or a function of the time; ``seed`` shuffles what ends at once."""

    def __init__(self, work, clock, slots=2, seconds=1.0, seed=None):
        self.work, self.clock, self.seconds = work, clock, seconds
        self.slots = slots if callable(slots) else lambda _: slots
        self.ends, self.waiting, self.killed, self.number = [], [], [], count()
        self.submitted, self.most = [], 0
        self.random = random.Random(seed) if seed is not None else None

    def standing(self):
        slots = self.slots(self.clock())
        return Standing(slots, "" if slots else "1 job waits")

    def submit(self, task):
        self.submitted.append((task, self.clock()))
        self.waiting.append(task)
        self.most = max(self.most, len(self.waiting) + len(self.ends))

    def outcomes(self, timeout_seconds):  # noqa: ARG002  (only the clock is waited for)
        now = self.clock()
        ready = []
        while self.ends and self.ends[0][0] <= now:
            ready.append(heapq.heappop(self.ends)[2])
        if self.random:
            self.random.shuffle(ready)
        while self.waiting and len(self.ends) < self.slots(now):
            task = self.waiting.pop(0)
            seconds = self.seconds(task) if callable(self.seconds) else self.seconds
            heapq.heappush(self.ends, (now + seconds, next(self.number), task))
        for task in ready:
            yield self.work(task)

    def kill(self, task):
        self.killed.append(task.key)
        self.ends = [end for end in self.ends if end[2].key != task.key]
        heapq.heapify(self.ends)

    def cancel(self):
        self.waiting.clear()
        self.ends.clear()


class Broken(Pool):
    """Raises in one of its methods once it has brought so many outcomes; what ran at that moment was committed all the same."""

    def __init__(self, work, clock, where, after, error, **more):
        super().__init__(work, clock, **more)
        self.where, self.after, self.error = where, after, error

    def _break(self, where):
        if where == self.where and self.after <= 0:
            raise self.error

    def standing(self):
        self._break("standing")
        return super().standing()

    def submit(self, task):
        self._break("submit")
        super().submit(task)

    def outcomes(self, timeout_seconds):
        for outcome in super().outcomes(timeout_seconds):
            if self.after <= 0:  # the worker has committed it, the connection is gone
                self._break("outcomes")
            self.after -= 1
            yield outcome


def areas_of(*sites):
    """A run's areas: the lake's, and one near each site."""
    lake = RunArea(MemoryObjects("lake"), None)
    lake.near = {site: WorkArea(MemoryObjects(f"near {site}")) for site in sites}
    return lake


def by_url(area):
    return {each.url: each for each in (WorkArea(area._objects), *area.near.values())}


def tasks(number, site="", rse="", *, area=None, stage="map", kind=StageKind.MAP, first=0):
    work = area.url_at(site) if area else "lake"
    return [Task(work, stage, kind, 0, index, Window(index, index + 1, 0, 1), site=site, rse=rse) for index in range(first, first + number)]


def paces(**seconds):
    """``a="one:1 two:9"``: seconds of a block at site ``a`` from each storage element; what is not named is out of reach."""
    pairs = ((site, each.partition(":")) for site, text in seconds.items() for each in text.split())
    return tuple(Pace(site, rse, float(second) <= 1.0, float(second)) for site, (rse, _, second) in pairs)


def crew_of(area, pools, clock, *, pace=(), rses=("one", "two"), holders=(), deadline=1e9, watch=lambda _: None, kind=Crew):
    plan = replace(PLAN, paces=pace, holders=holders)
    stations = {site: Station(site, pool, slots=2 if callable(pool.slots) else pool.slots) for site, pool in pools.items()}
    return kind(area, stations, plan, Paces(pace), rses, watch, deadline, 0.0, clock, clock.sleep)
