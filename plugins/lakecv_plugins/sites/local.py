"""Workers on this machine: a Dask cluster of processes, bound to the loopback address, for as long as a plan runs.

The smallest site there is; what a batch system does elsewhere, it does with ``LocalCluster``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lakecv.plan import Outcome, Task
from lakecv.ports import Standing
from lakecv.site import Site
from lakecv_plugins.sites.pool import DASK, ENVIRONMENT, DaskPool, own_main, uninterrupted

if TYPE_CHECKING:
    from lakecv.ports import SiteExecutor, WorkerPool

__all__ = ["LocalSite"]


class LocalSite:
    """Starts a LocalCluster."""

    def job_script(self, site: Site) -> str:  # noqa: ARG002  (the port's signature)
        """Return nothing: no script is submitted here."""
        return ""

    @contextmanager
    def pool(self, site: Site, workers: int, work: Callable[[Task], Outcome], label: str) -> Iterator[WorkerPool]:  # noqa: ARG002
        """Start worker processes with one scheduler beside the caller."""
        import dask
        from distributed import Client, LocalCluster

        with dask.config.set(DASK), dask.config.set({"distributed.nanny.pre-spawn-environ": ENVIRONMENT}), own_main():
            with uninterrupted():
                cluster = LocalCluster(
                    n_workers=workers, threads_per_worker=site.worker.threads, processes=True, host="127.0.0.1",
                    memory_limit=site.worker.memory_nbytes, dashboard_address="127.0.0.1:0", silence_logs=50,
                )
                client = Client(cluster)
            try:
                yield DaskPool(client, work, lambda: Standing(workers * site.worker.threads))
            finally:
                with uninterrupted():
                    client.close()
                    cluster.close()


if TYPE_CHECKING:
    _: SiteExecutor = LocalSite()
