"""Workers that run already, behind a Dask scheduler whose address is known: a JupyterHub's cluster, an offloading gateway.

Keys for ``tls://`` come from Dask's own configuration (distributed.comm.tls), as every other client of that scheduler has them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lakecv.errors import Infeasible, InvalidInput, Kind, Unavailable
from lakecv.plan import Outcome, Task
from lakecv.ports import Ability, Standing
from lakecv.site import Site
from lakecv_plugins.sites.connection import differences, versions
from lakecv_plugins.sites.pool import DASK, DaskPool, threads_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from distributed import Client

    from lakecv.ports import SiteExecutor, WorkerPool

__all__ = ["AddressSite"]

_TIMEOUT = "30 s"
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
            _same_versions(client, site)
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
            return Client(site.address, set_as_default=False, timeout=_TIMEOUT)
    except (OSError, TimeoutError, ValueError, RuntimeError) as err:
        raise Unavailable(f"the scheduler of {site.name} at {site.address} cannot be reached: {err}", Kind.QUEUE_DOWN, _HINT) from err


def _same_versions(client: Client, site: Site) -> None:
    """Compare what the workers have that are there already; a later one that lacks lakecv altogether is told by its first task."""
    hint = "have its workers started from the driver's environment"
    try:
        found = client.run(versions)
    except ImportError as err:
        raise Infeasible(f"workers of {site.name} have no lakecv: {err}", Kind.VERSIONS_DIFFER, hint) from err
    except (OSError, TimeoutError, RuntimeError) as err:
        raise Unavailable(f"the scheduler of {site.name} at {site.address} is lost: {err}", Kind.QUEUE_DOWN, _HINT) from err
    odd = next((odd for there in found.values() if (odd := differences(versions(), there))), "")
    if odd:
        raise Infeasible(f"versions differ between the driver and workers of {site.name}: {odd}", Kind.VERSIONS_DIFFER, hint)


def _standing(client: Client, site: Site) -> Standing:
    try:
        slots = sum(client.run_on_scheduler(threads_of).values())
    except (OSError, TimeoutError, RuntimeError) as err:
        raise Unavailable(f"the scheduler of {site.name} at {site.address} is lost: {err}", Kind.QUEUE_DOWN, _HINT) from err
    return Standing(slots, "" if slots else f"no worker is connected at {site.name}")


if TYPE_CHECKING:
    _: SiteExecutor = AddressSite()
