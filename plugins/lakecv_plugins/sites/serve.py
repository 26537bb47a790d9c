"""What a job of a batch system runs: worker processes that belong to the pool of a connection file.

They end when the pool sends them away, when its scheduler is lost, before the job's walltime, or on SIGTERM.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakecv.errors import Infeasible, Kind, Unavailable
from lakecv_plugins.sites.connection import Connection, read, security_of
from lakecv_plugins.sites.pool import DASK, ENVIRONMENT
from lakecv_plugins.sites.systems import FOUND, KEEPER, VERDICT

if TYPE_CHECKING:
    from distributed import Nanny, Scheduler

__all__ = ["serve"]

_LOOK_SECONDS = 0.5
_DESERTED_SECONDS = 45.0  # a client whose connection is cut dials for 30 s
_STAGGER = 0.05  # of a lifetime: not all workers go at once


def serve(path: Path) -> None:
    """Be the workers of one job.

    Raises
    ------
    InvalidInput
        If the file is not there or is not one.
    Infeasible
        If another version of something runs here (kind ``versions-differ``), or the job lacks what it asked for.
    Unavailable
        If the scheduler cannot be reached (kind ``queue-down``).
    """
    import dask

    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    settings: dict[str, Any] = {**DASK, "distributed.comm.require-encryption": True}
    settings.pop("distributed.logging")
    try:
        connection = read(path)
        settings["distributed.nanny.pre-spawn-environ"] = connection.blas | ENVIRONMENT
        with dask.config.set(settings), tempfile.TemporaryDirectory(prefix="lakecv-") as scratch:
            asyncio.run(_work(connection, path, Path(scratch)))
    except Infeasible as err:
        with suppress(OSError):  # where the folder is not shared, the log must do
            path.with_name(VERDICT.format(_job())).write_text(json.dumps({"kind": err.kind, "text": str(err)}), encoding="utf-8")
        raise


async def _work(connection: Connection, path: Path, scratch: Path) -> None:
    """Start the processes, and wait until all have ended or this one is told to stop."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    work = asyncio.create_task(_serve(connection, path, scratch))
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait([work, stopped], return_when=asyncio.FIRST_COMPLETED)
    if not work.done():
        work.cancel()
    stopped.cancel()
    with suppress(asyncio.CancelledError):
        await work


async def _serve(connection: Connection, path: Path, scratch: Path) -> None:
    scheduler = await _own_scheduler(connection, path) if not connection.address else None
    address = scheduler.address if scheduler else connection.address or await _found(path, connection.patience_seconds)
    nannies = [_nanny(connection, address, scratch, number) for number in range(max(1, connection.gpus))]
    try:
        await asyncio.wait_for(asyncio.gather(*nannies), connection.patience_seconds)
        ends = [asyncio.create_task(_ended(nannies, connection.patience_seconds)), asyncio.create_task(_deserted(scheduler))]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    except (OSError, TimeoutError, RuntimeError) as err:  # RuntimeError: what Dask makes of the others
        raise Unavailable(
            f"the scheduler at {address} was not reached from {socket.gethostname()} within {connection.patience_seconds:.0f} s: {err.__cause__ or err}",
            Kind.QUEUE_DOWN, "is the port open from the nodes to it? [batch] interface and ports say where it listens",
        ) from err
    finally:
        for server in [*nannies, *([scheduler] if scheduler else [])]:
            with suppress(OSError, TimeoutError):
                await server.close()


async def _ended(nannies: Sequence[Nanny], patience_seconds: float) -> None:
    """Wait until every nanny is done, or has had no living worker for so long: one whose restart failed waits for nothing."""
    lived = time.monotonic()
    ends = [asyncio.create_task(nanny.finished()) for nanny in nannies]
    try:
        while not all(end.done() for end in ends) and time.monotonic() - lived < patience_seconds:
            await asyncio.wait(ends, timeout=_LOOK_SECONDS)
            if any(nanny.process and nanny.process.is_alive() for nanny in nannies):
                lived = time.monotonic()
    finally:
        for end in ends:
            end.cancel()


async def _deserted(scheduler: Scheduler | None) -> None:
    """Wait until nobody has been connected to the scheduler in this job for a while: its driver is gone."""
    left = time.monotonic()
    while scheduler is None or time.monotonic() - left < _DESERTED_SECONDS:
        await asyncio.sleep(_LOOK_SECONDS)
        if scheduler and len(scheduler.clients) > 1:  # one is Dask's own
            left = time.monotonic()


def _nanny(connection: Connection, address: str, scratch: Path, number: int) -> Nanny:
    """Describe one worker process; with GPUs it sees one of them."""
    from distributed import Nanny

    from lakecv_plugins.sites.drain import Draining

    many = max(1, connection.gpus)
    own: dict[str, Any] = {"dashboard_address": "127.0.0.1:0", **_interface(connection)}
    if connection.lifetime_seconds:
        left = connection.lifetime_seconds * (1 - _STAGGER * random.random()) - _age_seconds()  # noqa: S311  (no secret)
        own |= {"lifetime": f"{max(1.0, left)} s", "lifetime_stagger": "0 s"}
    if connection.ports:
        own |= {"port": _range(connection.ports), "worker_port": _range(connection.ports)}
    gpu = {"CUDA_VISIBLE_DEVICES": _gpus(connection.gpus)[number]} if connection.gpus else {}
    return Nanny(
        address, name=f"{_job()}-{number}", nthreads=max(1, connection.threads // many), memory_limit=connection.memory_nbytes // many,
        security=security_of(connection.keys), local_directory=str(scratch), env=gpu, death_timeout=connection.patience_seconds,
        worker_class=Draining, config={"lakecv.drain-seconds": connection.drain_seconds}, **own,
    )


def _job() -> str:
    return os.environ.get("LAKECV_JOB") or f"{socket.gethostname()}-{os.getpid()}"


def _age_seconds() -> float:
    """Seconds since the job's script began, in whose place this process runs."""
    import psutil

    return max(0.0, time.time() - float(psutil.Process().create_time()))


def _interface(connection: Connection) -> dict[str, str]:
    """Interface of that name, where this machine has it; else the one on the way to the scheduler will do."""
    import psutil

    named = connection.interface
    return {"interface": named} if named and named in psutil.net_if_addrs() else {}


def _gpus(wanted: int) -> list[str]:
    """GPUs that the batch system gave to this job, by whatever names it has for them; where it names none, all are there."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [str(number) for number in range(wanted)] if given is None else [name for name in given.split(",") if name]
    if len(names) < wanted:
        hint = "[worker] gpus in the site's profile asks for them; does the site need another directive?"
        raise Infeasible(f"this job was given {len(names)} GPUs ('{given}'), {wanted} were asked for", Kind.JOB_REFUSED, hint)
    return names


def _range(ports: tuple[int, int]) -> str:
    return f"{ports[0]}:{ports[1]}"


async def _own_scheduler(connection: Connection, path: Path) -> Scheduler | None:
    """Start the pool's scheduler where this is its first job; the others find its address in a file beside."""
    from distributed import Scheduler
    from distributed.utils import get_ip

    keeper, found = path.with_name(KEEPER), path.with_name(FOUND)
    draft = path.with_name(f".{KEEPER}.{_job()}")
    draft.write_text(_job(), encoding="utf-8")
    try:
        keeper.hardlink_to(draft)  # whole, and only once
    except FileExistsError:
        return None
    finally:
        draft.unlink()
    own: dict[str, Any] = _interface(connection) or {"host": get_ip()}
    low, high = connection.ports or (0, 0)
    scheduler = Scheduler(
        protocol="tls", port=list(range(low, high + 1)), dashboard_address="127.0.0.1:0", dashboard=False,
        security=security_of(connection.keys), **own,
    )
    await scheduler
    draft = path.with_name(f".{FOUND}")
    draft.write_text(json.dumps({"address": scheduler.address}), encoding="utf-8")
    draft.rename(found)
    return scheduler


async def _found(path: Path, patience_seconds: float) -> str:
    """Wait for the address that the first job writes down."""
    deadline = asyncio.get_running_loop().time() + patience_seconds
    while asyncio.get_running_loop().time() < deadline:
        with suppress(FileNotFoundError):
            return str(json.loads(path.with_name(FOUND).read_text(encoding="utf-8"))["address"])
        await asyncio.sleep(_LOOK_SECONDS)
    raise Unavailable(f"the first job wrote no {FOUND} within {patience_seconds:.0f} s", Kind.QUEUE_DOWN, "look into its log")
