"""Workers that run already, behind a Dask scheduler whose address is known: a JupyterHub's cluster, an offloading gateway.

Keys for ``tls://`` come from Dask's own configuration (distributed.comm.tls), as every other client of that scheduler has them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lakecv.errors import InvalidInput, Kind, Unavailable
from lakecv.plan import Outcome, Task
from lakecv.ports import Ability, Standing
from lakecv.site import Site
from lakecv_plugins.sites.pool import DASK, DaskPool, threads_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from distributed import Client

    from lakecv.ports import SiteExecutor, WorkerPool

__all__ = ["AddressSite"]

_HINT = "is it running, and do its keys lie where Dask looks for them (distributed.comm.tls)?"


class AddressSite:
    """Dials a scheduler and takes the workers that are there; starts and ends none."""

    def job_script(self, site: Site) -> str:  # noqa: ARG002  (the port's signature)
        """Return nothing: no script is submitted here."""
        return ""

    @contextmanager
    def pool(self, site: Site, workers: int, work: Callable[[Task], Outcome], label: str) -> Iterator[WorkerPool]:  # noqa: ARG002
        """Use the workers of a running scheduler."""
        client = _dialled(site)
        try:
            yield DaskPool(client, work, lambda: _standing(client, site))
        finally:
            client.close()

    def probe(self, site: Site) -> Sequence[Ability]:
        """Dial it, and count its workers."""
        try:
            client = _dialled(site)
        except (Unavailable, InvalidInput) as err:
            return (Ability(f"scheduler at {site.address}", holds=False, lost=str(err)),)
        try:
            slots = _standing(client, site).slots
        finally:
            client.close()
        return (Ability(f"scheduler at {site.address}", holds=True, lost=""), Ability("workers", slots > 0, "nothing can run until some come"))


def _dialled(site: Site) -> Client:
    import dask
    from distributed import Client

    if not site.address:
        raise InvalidInput(f"the site '{site.name}' has no address", Kind.CONFIG_INVALID, 'add address = "tls://host:8786" to its profile')
    try:
        with dask.config.set({"distributed.logging": DASK["distributed.logging"]}):
            return Client(site.address, set_as_default=False, timeout="30 s")
    except (OSError, TimeoutError, ValueError, RuntimeError) as err:
        raise Unavailable(f"the scheduler of {site.name} at {site.address} cannot be reached: {err}", Kind.QUEUE_DOWN, _HINT) from err


def _standing(client: Client, site: Site) -> Standing:
    try:
        slots = sum(client.run_on_scheduler(threads_of).values())
    except (OSError, TimeoutError, RuntimeError) as err:
        raise Unavailable(f"the scheduler of {site.name} at {site.address} is lost: {err}", Kind.QUEUE_DOWN, _HINT) from err
    return Standing(slots, "" if slots else f"no worker is connected at {site.name}")


if TYPE_CHECKING:
    _: SiteExecutor = AddressSite()
