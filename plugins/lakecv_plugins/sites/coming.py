"""A pool whose scheduler is yet to come: it starts in the first job, which may queue for hours.

Whoever drives several sites must not wait for one of them, so tasks wait here until there is a scheduler to dial.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from lakecv.plan import Outcome, Task
from lakecv.ports import Standing
from lakecv_plugins.sites.pool import DaskPool

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["ComingPool"]

_LOOK_SECONDS = 0.2


class ComingPool:
    """A worker pool.  ``dial`` gives None while nothing can be dialled."""

    def __init__(self, dial: Callable[[], Client | None], work: Callable[[Task], Outcome], standing: Callable[[], Standing]) -> None:
        self._dial, self._work, self.standing = dial, work, standing
        self._waiting: dict[str, Task] = {}
        self._pool: DaskPool | None = None

    def submit(self, task: Task) -> None:
        """Queue a task."""
        if self._pool:
            self._pool.submit(task)
        else:
            self._waiting[task.key] = task

    def outcomes(self, timeout_seconds: float) -> Iterator[Outcome]:
        """Take what is ready; until there is a scheduler, nothing is."""
        deadline = time.monotonic() + timeout_seconds
        while self._pool is None:
            self.standing()
            self._came()
            if self._pool is None and time.monotonic() >= deadline:
                return
            if self._pool is None:
                time.sleep(min(_LOOK_SECONDS, timeout_seconds))
        yield from self._pool.outcomes(max(0.0, deadline - time.monotonic()))

    def kill(self, task: Task) -> None:
        """Stop a task."""
        if self._pool:
            self._pool.kill(task)
        self._waiting.pop(task.key, None)

    def cancel(self) -> None:
        """Forget everything."""
        if self._pool:
            self._pool.cancel()
        self._waiting.clear()

    def _came(self) -> None:
        client = self._dial()
        if client:
            self._pool = DaskPool(client, self._work, self.standing)
            for task in self._waiting.values():
                self._pool.submit(task)
            self._waiting.clear()
