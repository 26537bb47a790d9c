"""Workers on this machine: a Dask cluster of processes, bound to the loopback address, for as long as a plan runs.

The smallest site there is; what a batch system does elsewhere, it does with ``LocalCluster``.
"""

from __future__ import annotations

import multiprocessing.spawn
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from lakecv.errors import Kind
from lakecv.job import StageKind
from lakecv.plan import Outcome, Plan, Task
from lakecv.site import Site

if TYPE_CHECKING:
    from distributed import Client, Future, Scheduler

    from lakecv.ports import SiteExecutor, WorkerPool

__all__ = ["LocalSite"]

_CONFIG = {
    "distributed.scheduler.allowed-failures": 1,
    "distributed.scheduler.work-stealing": True,
    "distributed.worker.multiprocessing-method": "spawn",
    "distributed.admin.tick.limit": "1h",
    "distributed.logging": {"distributed": "critical"},
}
_ENVIRONMENT = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class LocalSite:
    """Starts a LocalCluster."""

    def job_script(self, site: Site, plan: Plan) -> str:  # noqa: ARG002  (the port's signature)
        """Return nothing: no script is submitted here."""
        return ""

    @contextmanager
    def pool(self, site: Site, plan: Plan, work: Callable[[Task], Outcome]) -> Iterator[WorkerPool]:
        """Start worker processes with one scheduler beside the caller."""
        import dask
        from distributed import Client, LocalCluster

        with dask.config.set(_CONFIG), dask.config.set({"distributed.nanny.pre-spawn-environ": _ENVIRONMENT}), _own_main():
            with _uninterrupted():
                cluster = LocalCluster(
                    n_workers=plan.workers, threads_per_worker=plan.threads, processes=True, host="127.0.0.1",
                    memory_limit=site.worker.memory_nbytes, dashboard_address="127.0.0.1:0", silence_logs=50,
                )
                client = Client(cluster)
            try:
                yield DaskPool(client, work)
            finally:
                with _uninterrupted():
                    client.close()
                    cluster.close()


@contextmanager
def _uninterrupted() -> Iterator[None]:
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
def _own_main() -> Iterator[None]:
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


class DaskPool:
    """Tasks as futures of one Dask client.  A block goes back to the worker that had it, which may have kept its sheets."""

    def __init__(self, client: Client, work: Callable[[Task], Outcome]) -> None:
        self._client, self._work = client, work
        self._finished: SimpleQueue[tuple[Task, Future]] = SimpleQueue()
        self._futures: dict[str, Future] = {}
        self._had: dict[tuple[int, int], str] = {}
        self._address = {f"{socket.gethostname()}-{pid}": address for address, pid in client.run(os.getpid).items()}

    def submit(self, task: Task) -> None:
        """Queue a task."""
        packs = task.kind is StageKind.PACK  # reads parts, not sheets, and all shards of a small result begin at the same pixel
        worker = None if packs else self._had.get((task.window.y0, task.window.x0))
        near: dict[str, Any] = {"workers": [worker], "allow_other_workers": True} if worker else {}
        key = f"{task.key}@{task.attempt}-{time.monotonic_ns()}"
        future = self._client.submit(self._work, task, key=key, pure=False, retries=0, **near)
        self._futures[task.key] = future
        future.add_done_callback(lambda done: self._finished.put((task, done)))

    def outcomes(self, timeout_seconds: float) -> Iterator[Outcome]:
        """Take what is ready."""
        try:
            ready = [self._finished.get(timeout=timeout_seconds)]
        except Empty:
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
        runs_at = self._client.run_on_scheduler(_withdraw, key=future.key, client=self._client.id)
        future.cancel(force=True)
        if runs_at:
            self._client.restart_workers([runs_at], timeout=30, raise_for_error=False)

    def cancel(self) -> None:
        """Forget everything that is queued; what runs ends with its worker."""
        futures, self._futures = list(self._futures.values()), {}
        self._client.cancel(futures, force=True)

    def _outcome(self, task: Task, future: Future) -> Outcome:
        if future.status == "finished":
            outcome: Outcome = future.result()
            self._had[task.window.y0, task.window.x0] = self._address.get(outcome.worker, "")
            return outcome
        text = f"the worker died or was lost: {future.exception()}" if future.status == "error" else str(future.status)
        return Outcome(task.key, 0.0, time.time(), 0, 0, "", task.attempt, error=(str(Kind.WORKER_LOST), text))


def _withdraw(dask_scheduler: Scheduler, key: str, client: str) -> str:
    """Take a task back in one turn of the scheduler's loop; return the worker that had it, or "".

    Asked in two turns, a task could be handed to a worker between the question and the withdrawal, and hang there unseen.
    """
    task = dask_scheduler.tasks.get(key)
    runs_at = task.processing_on.address if task is not None and task.processing_on is not None else ""
    dask_scheduler.client_releases_keys([key], client)
    return runs_at


if TYPE_CHECKING:
    _: SiteExecutor = LocalSite()
