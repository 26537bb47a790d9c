"""A Dask worker that ends what it began before it goes.

Dask's own hands its running tasks to others as soon as a worker's lifetime is over, and what they had done is lost
(``Worker.close_gracefully`` of distributed 2026.8).
"""

from __future__ import annotations

import asyncio
import time

import dask
from distributed import Worker
from distributed.core import Status

__all__ = ["Draining"]

_LOOK_SECONDS = 0.2
_SHARE = 0.8  # of the time there is; the rest is for closing


class Draining(Worker):  # type: ignore[misc]  # distributed has no types
    """Takes nothing new when its lifetime is over, and closes when nothing runs any more, or it must."""

    async def close_gracefully(self, restart: bool | None = None, reason: str = "worker-close-gracefully") -> None:  # noqa: FBT001  (as in Dask)
        """End what runs, then close."""
        if self.status is Status.running:
            stimulus = f"lakecv-drain-{time.time()}"
            await self.scheduler.retire_workers(workers=[self.address], close_workers=False, remove=False, stimulus_id=stimulus)
            until = time.monotonic() + _SHARE * float(dask.config.get("lakecv.drain-seconds", 0))
            while self.state.executing and time.monotonic() < until:  # noqa: ASYNC110  (Dask tells nobody when a task ends)
                await asyncio.sleep(_LOOK_SECONDS)
            # what still waits or runs here goes elsewhere, without a mark against it
            await self.scheduler.unregister(address=self.address, expected=True, close=False, stimulus_id=stimulus)
        await self.close(nanny=not restart, reason=reason)
