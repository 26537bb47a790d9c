"""What every site plugin must do, and a site that runs tasks in the calling process.

The in-process site passes the same contract as real ones; a seed shuffles the order in which tasks end.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from lakecv.cube import Window
from lakecv.job import StageKind
from lakecv.plan import Outcome, Task
from lakecv.ports import Standing
from lakecv.site import Resources, Site

if TYPE_CHECKING:
    from lakecv.ports import SiteExecutor, WorkerPool

__all__ = ["InlineSite", "SiteContract", "die_at_three", "echo", "hang_at_three"]


class InlineSite:
    """Runs tasks where it is, one at a time; ``seed`` None = in the order of submission."""

    def __init__(self, seed: int | None = None) -> None:
        self._seed = seed

    def job_script(self, site: Site) -> str:  # noqa: ARG002  (the port's signature)
        """Return nothing: no script is submitted here."""
        return ""

    @contextmanager
    def pool(self, site: Site, workers: int, work: Callable[[Task], Outcome], label: str) -> Iterator[WorkerPool]:  # noqa: ARG002
        """Start nothing."""
        yield InlinePool(work, self._seed)


class InlinePool:
    """A queue that is worked off while outcomes are asked for."""

    def __init__(self, work: Callable[[Task], Outcome], seed: int | None) -> None:
        self._work, self._queue = work, list[Task]()
        self._random = None if seed is None else random.Random(seed)  # noqa: S311  (order only)

    def standing(self) -> Standing:
        """One task can run, always."""
        return Standing(1)

    def submit(self, task: Task) -> None:
        """Queue a task."""
        self._queue.append(task)

    def outcomes(self, timeout_seconds: float) -> Iterator[Outcome]:  # noqa: ARG002  (nothing is waited for)
        """Run one task."""
        if self._queue:
            place = 0 if self._random is None else self._random.randrange(len(self._queue))
            yield self._work(self._queue.pop(place))

    def kill(self, task: Task) -> None:
        """Forget a task."""
        self._queue = [other for other in self._queue if other.key != task.key]

    def cancel(self) -> None:
        """Forget all tasks."""
        self._queue.clear()


def echo(task: Task) -> Outcome:
    """Return an outcome that names the process."""
    return Outcome(task.key, 0.0, 0.0, task.index, 0, str(os.getpid()), task.attempt)


def die_at_three(task: Task) -> Outcome:
    """Kill the worker at task 3 of the first attempt."""
    if task.index == 3 and task.attempt == 1:
        os._exit(9)
    return echo(task)


def hang_at_three(task: Task) -> Outcome:
    """Never come back from task 3 of the first attempt."""
    if task.index == 3 and task.attempt == 1:
        import threading

        threading.Event().wait(3600)
    return echo(task)


class SiteContract:
    """Override ``executor`` and ``site``; ``kills`` False where tasks share the caller's process."""

    kills = True

    @pytest.fixture
    def executor(self) -> SiteExecutor:
        """Return the plugin."""
        raise NotImplementedError

    @pytest.fixture
    def site(self) -> Site:
        """Return a site of that kind."""
        return Site("here", "local", Resources(1, 1 << 30), 2, ("local",))

    def _tasks(self, count: int) -> list[Task]:
        return [Task("w", "map", StageKind.MAP, 0, index, Window(index, index + 1, 0, 1)) for index in range(count)]

    def test_every_task_has_one_outcome(self, executor: SiteExecutor, site: Site) -> None:
        """All come back, each once, in any order."""
        with executor.pool(site, 2, echo, "r-0") as pool:
            for task in self._tasks(7):
                pool.submit(task)
            found = _collect(pool, 7)
        assert sorted(outcome.nbytes_read for outcome in found) == list(range(7))

    def test_what_is_waited_for_in_vain_comes_back_empty(self, executor: SiteExecutor, site: Site) -> None:
        """No task, no outcome, no hang."""
        with executor.pool(site, 2, echo, "r-0") as pool:
            assert list(pool.outcomes(0.01)) == []

    def test_the_script_is_the_same_twice(self, executor: SiteExecutor, site: Site) -> None:
        """Pure."""
        assert executor.job_script(site) == executor.job_script(site)

    def test_a_dead_worker_is_told_as_such_and_the_rest_goes_on(self, executor: SiteExecutor, site: Site) -> None:
        """Kind worker-lost; a second attempt succeeds."""
        if not self.kills:
            pytest.skip("tasks share the caller's process")
        with executor.pool(site, 2, die_at_three, "r-0") as pool:
            for task in self._tasks(6):
                pool.submit(task)
            found = _collect(pool, 6)
            lost = [outcome for outcome in found if outcome.error]
            assert lost
            assert all(outcome.error is not None and outcome.error[0] == "worker-lost" for outcome in lost)
            pool.submit(replace(self._tasks(4)[3], attempt=2))
            assert _collect(pool, 1)[0].ok

    def test_a_hanging_task_can_be_killed_and_the_pool_lives(self, executor: SiteExecutor, site: Site) -> None:
        """Kill stops the task, not the others, and wherever it is: queued, on its way to a worker, or running."""
        if not self.kills:
            pytest.skip("tasks share the caller's process")
        with executor.pool(site, 2, hang_at_three, "r-0") as pool:
            tasks = self._tasks(5)
            for task in tasks:
                pool.submit(task)
            found = _collect(pool, 1)
            pool.kill(tasks[3])
            pool.submit(replace(tasks[3], attempt=2))
            found += _collect(pool, 5 - len(found))
        assert {outcome.task: outcome.attempt for outcome in found}[tasks[3].key] == 2
        assert len(found) == 5


def _collect(pool: WorkerPool, count: int) -> list[Outcome]:
    found: list[Outcome] = []
    for _ in range(400):
        found += pool.outcomes(0.2)
        if len(found) >= count:
            return found
    raise AssertionError(f"{len(found)} of {count} outcomes came back")
