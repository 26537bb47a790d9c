"""A pool whose workers a batch system starts: scheduler, connection file, jobs, and all of it gone at the end."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any, ClassVar

from lakecv.errors import Denied, Infeasible, Kind, LakeCVError, Unavailable
from lakecv.plan import Outcome, Task
from lakecv.ports import Ability
from lakecv.site import JOB_LOG, Scheduler, Site, jobs_folder
from lakecv_plugins.sites import connection as connections
from lakecv_plugins.sites.coming import ComingPool
from lakecv_plugins.sites.pool import DASK, DaskPool, threads_of, uninterrupted
from lakecv_plugins.sites.serve import serve
from lakecv_plugins.sites.supervise import Supervisor
from lakecv_plugins.sites.systems import FOUND, KEEPER, SCRIPT, BatchSystem

if TYPE_CHECKING:
    from distributed import Client, Security

    from lakecv.ports import WorkerPool

__all__ = ["BatchSite"]

_DRAIN_SHARE, _DRAIN_SECONDS = 0.1, 300.0  # of a job's walltime, at most: what a worker has begun it may end
_KEPT_SECONDS = 30 * 86400.0
_FOUND_NOWHERE = "[batch] interface in the site's profile names the network that nodes and this machine share"


class BatchSite:
    """An executor for one batch system."""

    system: ClassVar[BatchSystem]

    def job_script(self, site: Site) -> str:
        """Write what is submitted for each worker, byte for byte."""
        return self.system.script(site)

    @contextmanager
    def pool(self, site: Site, workers: int, work: Callable[[Task], Outcome], label: str) -> Iterator[WorkerPool]:
        """Submit jobs, and take them back at the end; workers come when they come.

        Raises
        ------
        Infeasible
            If jobs of this kind are refused here.
        Unavailable
            If the batch system does not answer.
        """
        import dask

        script = self.job_script(site)
        with dask.config.set(DASK), _folder(site, label) as folder, ExitStack() as stack:
            (folder / SCRIPT).write_text(script, encoding="utf-8")
            keys = connections.temporary_keys()
            security = connections.security_of(keys)
            with uninterrupted():
                address = stack.enter_context(_beside(site, security)) if site.scheduler is Scheduler.DRIVER else ""
                connections.write(folder / connections.FILE, _connection(self.system.name, site, address, keys))
                door = _Door(security, address, folder / FOUND)
                stack.callback(door.close)
                told = address or "the scheduler in the first job"
                supervisor = Supervisor(self.system, site, folder, wanted=workers, census=door.census, address=told)
                stack.callback(_stop, supervisor)
                supervisor.start()
            client = door.dial()
            yield DaskPool(client, work, supervisor.standing) if client else ComingPool(door.dial, work, supervisor.standing)

    def serve(self, connection: Path) -> None:
        """Be a worker."""
        serve(connection)

    def probe(self, site: Site) -> Sequence[Ability]:
        """Try the commands, the shared folder, and an address that workers can dial."""
        return tuple(_probed(self.system, site))


class _Door:
    """The way to a pool's scheduler: an address, or a file that will hold it when the first job has said where it listens."""

    def __init__(self, security: Security, address: str, found: Path) -> None:
        self._security, self._address, self._found = security, address, found
        self._client: Client | None = None

    def dial(self) -> Client | None:
        """Connect; None while there is nothing to connect to."""
        from distributed import Client

        with suppress(FileNotFoundError):
            self._address = self._address or str(json.loads(self._found.read_text(encoding="utf-8"))["address"])
        if not self._address:
            return None
        try:
            with uninterrupted():
                self._client = Client(self._address, security=self._security, set_as_default=False)
        except (OSError, TimeoutError) as err:
            raise Unavailable(f"the scheduler at {self._address} cannot be reached from here: {err}", Kind.WORKER_LOST, _FOUND_NOWHERE) from err
        return self._client

    def census(self) -> Mapping[str, int]:
        """Threads of each worker that is there."""
        if self._client is None or self._client.status == "connecting":
            return {}
        try:
            found: dict[str, int] = self._client.run_on_scheduler(threads_of)
        except (OSError, TimeoutError, RuntimeError, ValueError) as err:
            raise Unavailable(f"the scheduler at {self._address} is lost: {err}", Kind.WORKER_LOST, "lakecv resume") from err
        return found

    def close(self) -> None:
        """Hang up."""
        if self._client is not None:
            with uninterrupted(), suppress(OSError, TimeoutError, RuntimeError):
                self._client.close()


def _stop(supervisor: Supervisor) -> None:
    with uninterrupted():  # or jobs would stay
        supervisor.stop()


@contextmanager
def _beside(site: Site, security: Security) -> Iterator[str]:
    """Run a scheduler beside the caller, on an address that workers can dial; gives that address."""
    from distributed import LocalCluster

    interface, host = _interface(site)
    own: dict[str, Any] = {"interface": interface} if interface else {"host": host}
    try:
        cluster = LocalCluster(
            n_workers=0, processes=True, protocol="tls://", security=security, scheduler_port=_port(site, host), silence_logs=50,
            dashboard_address="127.0.0.1:0", **own,
        )
    except (OSError, RuntimeError, ValueError) as err:
        raise Infeasible(f"no scheduler can listen on {interface or host}: {err}", Kind.ADDRESS_UNUSABLE, _FOUND_NOWHERE) from err
    try:
        yield str(cluster.scheduler_address)
    finally:
        with uninterrupted():
            cluster.close()


def _interface(site: Site) -> tuple[str | None, str]:
    """Interface that a profile names, and the address it stands for (or the one named in its place, or this machine's)."""
    import psutil
    from distributed.utils import get_ip

    named = site.batch.interface
    known = {name: [each.address for each in found if each.family == socket.AF_INET] for name, found in psutil.net_if_addrs().items()}
    if named in known:
        return named, next(iter(known[named]), "")
    return None, named or str(get_ip())


def _port(site: Site, host: str) -> int:
    """First free port of the range that the profile allows; 0 = any."""
    low, high = site.batch.ports or (0, 0)
    for port in range(low, high + 1):
        with socket.socket() as probe:
            try:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, port))
            except OSError as err:
                if err.errno == errno.EADDRINUSE:
                    continue
                raise Infeasible(f"no scheduler can listen on {site.batch.interface or host}: {err}", Kind.ADDRESS_UNUSABLE, _FOUND_NOWHERE) from err
            return port
    raise Infeasible(f"no port of {low}-{high} is free at {host}", Kind.ADDRESS_UNUSABLE, "widen [batch] ports in the site's profile")


def _connection(executor: str, site: Site, address: str, keys: dict[str, str]) -> connections.Connection:
    walltime = site.batch.walltime_seconds or 0
    drain = min(_DRAIN_SECONDS, _DRAIN_SHARE * walltime)
    return connections.Connection(
        executor, address, keys, site.worker.threads, site.worker.memory_nbytes, site.worker.gpus, site.batch.ports, site.batch.interface,
        walltime - drain if walltime else None, drain, versions=connections.versions(), blas=connections.blas(),
    )


@contextmanager
def _folder(site: Site, label: str) -> Iterator[Path]:
    """Make a folder for one pool; logs stay where it ended badly, what is secret never does."""
    place = jobs_folder(site.batch)
    folder = place / f"{label}-{site.name}-{token_hex(4)}"
    try:
        folder.mkdir(0o700, parents=True)
    except OSError as err:
        raise Denied(f"{folder} cannot be made: {err.strerror or err}", Kind.FORBIDDEN, "[batch] folder names one that nodes share with this machine") from err
    _sweep(place)
    try:
        yield folder
    except BaseException:
        for name in (connections.FILE, FOUND, KEEPER):
            (folder / name).unlink(missing_ok=True)
        if not any(folder.glob(JOB_LOG.format("*"))):
            shutil.rmtree(folder, ignore_errors=True)
        raise
    else:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(place: Path) -> None:
    """Remove what drivers left that were killed, or failed, and that nothing has changed in for a month.

    A pool that is open changes its folder with every job, and every job ends some day.
    """
    for script in place.glob(f"*-*-*/{SCRIPT}"):
        with suppress(OSError):
            if time.time() - script.parent.stat().st_mtime > _KEPT_SECONDS:
                shutil.rmtree(script.parent, ignore_errors=True)


def _probed(system: BatchSystem, site: Site) -> Iterator[Ability]:
    """Try each thing; what an error says is what is lost."""
    submit, look, cancel = (shutil.which(command) or "" for command in system.commands)
    missing = [command for command, found in zip(system.commands, (submit, look, cancel), strict=True) if not found]
    yield Ability(f"commands of {system.title}", not missing, f"not found here: {', '.join(missing)}" if missing else "")
    if not missing:
        yield _tried(f"{system.title} answers", lambda: system.look(site, ["0"], Path.cwd()))
    yield _tried("a job script", lambda: system.script(site))
    folder = jobs_folder(site.batch)
    near = next(each for each in (folder, *folder.parents) if each.exists())
    yield Ability(f"folder {folder}", near.is_dir() and _writable(near), "job scripts and logs cannot be written")
    if site.scheduler is Scheduler.DRIVER:
        yield _tried("an address for workers to dial", lambda: _port(site, _interface(site)[1]))


def _tried(name: str, call: Callable[[], object]) -> Ability:
    try:
        call()
    except LakeCVError as err:
        return Ability(name, holds=False, lost=str(err))
    return Ability(name, holds=True, lost="")


def _writable(folder: Path) -> bool:
    return os.access(folder, os.W_OK | os.X_OK)
