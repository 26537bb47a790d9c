"""Tasks as futures of one Dask client, whoever started its workers."""

from __future__ import annotations

import multiprocessing.spawn
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from lakecv.errors import Kind, Unavailable
from lakecv.job import StageKind
from lakecv.plan import Outcome, Task
from lakecv.ports import Standing

if TYPE_CHECKING:
    from distributed import Client, Future, Scheduler

__all__ = ["DASK", "ENVIRONMENT", "DaskPool", "own_main", "threads_of", "uninterrupted"]

DASK = {
    "distributed.scheduler.allowed-failures": 1,
    "distributed.scheduler.work-stealing": True,
    "distributed.scheduler.work-stealing-interval": "10ms",  # a steal that hits what already runs is tried again only then
    "distributed.worker.multiprocessing-method": "spawn",
    "distributed.admin.tick.limit": "1h",
    "distributed.logging": {"distributed": "critical"},
}
"""What holds for every pool.  A lost worker is told at once: whoever drives decides on the next attempt."""

ENVIRONMENT = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}
"""One BLAS thread, also where the library reads this only when it is loaded.

Memory that a block has freed serves the next one, as glibc would have it by itself in the end: Dask's own setting gives it back at
once, and the kernel then clears the same pages for every block (twice the time of a pass of k-means).
"""


_FREE_SECONDS, _FETCH_SECONDS = 2.0, 30.0


class DaskPool:
    """A worker pool.  A block goes back to the worker that had it, which may have kept its sheets.

    ``standing`` says how many tasks can run now; it raises where no worker can be had any more.
    """

    def __init__(self, client: Client, work: Callable[[Task], Outcome], standing: Callable[[], Standing]) -> None:
        self._client, self._work, self.standing = client, work, standing
        self._finished: SimpleQueue[tuple[Task, Future]] = SimpleQueue()
        self._futures: dict[str, Future] = {}
        self._had: dict[tuple[int, int], str] = {}
        self._freed = 0.0

    def submit(self, task: Task) -> None:
        """Queue a task."""
        self._connected()
        packs = task.kind is StageKind.PACK  # reads parts, not sheets, and all shards of a small result begin at the same pixel
        worker = None if packs else self._had.get((task.window.y0, task.window.x0))
        near: dict[str, Any] = {"workers": [worker], "allow_other_workers": True} if worker else {}
        key = (task.stage, task.key, task.attempt, time.monotonic_ns())  # by the first one Dask learns how long tasks take
        future = self._client.submit(_placed, self._work, task, key=key, pure=False, retries=0, **near)
        self._futures[task.key] = future
        future.add_done_callback(lambda done: self._finished.put((task, done)))

    def outcomes(self, timeout_seconds: float) -> Iterator[Outcome]:
        """Take what is ready; where nothing is, raises as ``standing`` does."""
        try:
            ready = [self._finished.get(timeout=timeout_seconds)]
        except Empty:
            self.standing()
            self._connected()
            self._free_stuck()
            return
        while not self._finished.empty():
            ready.append(self._finished.get())
        for task, future in ready:
            if self._futures.get(task.key) is future:
                del self._futures[task.key]
                yield self._outcome(task, future)

    def kill(self, task: Task) -> None:
        """Stop a task by restarting the worker process that runs it."""
        future = self._futures.pop(task.key, None)
        if future is None:
            return
        try:
            runs_at = self._client.run_on_scheduler(_withdraw, key=future.key, client=self._client.id)
            future.cancel(force=True)
            if runs_at:
                self._client.restart_workers([runs_at], timeout=30, raise_for_error=False)
        except (OSError, TimeoutError, RuntimeError) as err:
            raise Unavailable(f"a task that hangs could not be stopped: {err}", Kind.WORKER_LOST, "lakecv resume") from err

    def cancel(self) -> None:
        """Forget everything that is queued; what runs ends with its worker."""
        futures, self._futures = list(self._futures.values()), {}
        self._client.cancel(futures, force=True)

    def _outcome(self, task: Task, future: Future) -> Outcome:
        found = _result(future)
        if found is not None:
            self._had[task.window.y0, task.window.x0] = found[1]
            return found[0]
        kind, text = Kind.WORKER_LOST, "its result was lost with its worker, or the connection to the scheduler was"
        if future.status != "error":
            self._connected()
            future.cancel(force=True)
        else:
            error = future.exception()
            kind = Kind.VERSIONS_DIFFER if isinstance(error, ImportError) else Kind.WORKER_LOST  # tasks raise nothing by themselves
            text = f"the worker died or was lost: {error}" if kind is Kind.WORKER_LOST else f"the worker lacks what the driver has: {error}"
        return Outcome(task.key, 0.0, time.time(), 0, 0, "", task.attempt, error=(str(kind), text))

    def _free_stuck(self) -> None:
        """Let tasks that would go to a worker that is gone go to any: see :func:`_free`."""
        if self._futures and time.monotonic() - self._freed > _FREE_SECONDS:
            self._freed = time.monotonic()
            with suppress(OSError, TimeoutError, RuntimeError):
                self._client.run_on_scheduler(_free)

    def _connected(self) -> None:
        """Wait until a connection that was cut is there again; what is submitted before that is lost."""
        while self._client.status == "connecting":
            self.standing()
            time.sleep(0.1)
        if self._client.status != "running":
            raise Unavailable("the Dask scheduler is gone, and its tasks with it", Kind.WORKER_LOST, "lakecv resume goes on with what is committed")


def _result(future: Future) -> tuple[Outcome, str] | None:
    """Fetch a result from its worker; None where it is lost: Dask would compute it anew, and wait for a worker for ever."""
    until = time.monotonic() + _FETCH_SECONDS
    with suppress(CancelledError):  # the connection was cut before the result was here
        while future.status == "finished" and time.monotonic() < until:
            with suppress(TimeoutError):
                found: tuple[Outcome, str] = future.result(timeout=1.0)
                return found
    return None


def _placed(work: Callable[[Task], Outcome], task: Task) -> tuple[Outcome, str]:
    """Run a task; says at which worker that was."""
    from distributed import get_worker

    return work(task), get_worker().address


def _withdraw(dask_scheduler: Scheduler, key: str, client: str) -> str:
    """Take a task back in one turn of the scheduler's loop; return the worker that had it, or "".

    Asked in two turns, a task could be handed to a worker between the question and the withdrawal, and hang there unseen.
    """
    task = dask_scheduler.tasks.get(key)
    runs_at = task.processing_on.address if task is not None and task.processing_on is not None else ""
    dask_scheduler.client_releases_keys([key], client)
    return runs_at


def _free(dask_scheduler: Scheduler) -> None:
    """Send tasks on that wait for a worker that is gone though any other would do: to be run on a scheduler.

    When a worker joins, distributed 2026.8 looks at tasks that had none (``bulk_schedule_unrunnable_after_adding_worker``), but
    not at their ``allow_other_workers``: after all workers of a site have died at once, they would wait for ever.
    """
    stuck = [task for task in dask_scheduler.unrunnable if task.loose_restrictions] if dask_scheduler.workers else []
    for task in stuck:
        task.worker_restrictions = set()
    if stuck:
        dask_scheduler.transitions({task.key: "processing" for task in stuck}, "lakecv-freed")


def threads_of(dask_scheduler: Scheduler) -> dict[str, int]:
    """Threads of each worker that is there, by its name: to be run on a scheduler."""
    return {str(worker.name): worker.nthreads for worker in dask_scheduler.workers.values()}


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Put a Ctrl-C or SIGTERM off to the end: a half-started cluster cannot be closed and says so at length."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    usual = {number: signal.signal(number, lambda number, _: came.append(number)) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


@contextmanager
def own_main() -> Iterator[None]:
    """Have spawned workers import :mod:`lakecv_plugins.sites.worker_main` in place of the caller's script."""
    usual = multiprocessing.spawn.get_preparation_data

    def with_own_main(name: str) -> dict[str, Any]:
        data = {key: value for key, value in usual(name).items() if not key.startswith("init_main")}
        return {**data, "init_main_from_name": "lakecv_plugins.sites.worker_main"}

    multiprocessing.spawn.get_preparation_data = with_own_main
    try:
        yield
    finally:
        multiprocessing.spawn.get_preparation_data = usual
