"""What a job of a batch system reads before it becomes a worker: where its scheduler is, and the keys that prove it may come.

It lies in a file that only its owner can read, so that a job script holds nothing that is secret or known only when it runs.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakecv.errors import Infeasible, InvalidInput, Kind

if TYPE_CHECKING:
    from distributed import Security

__all__ = ["FILE", "Connection", "blas", "differences", "read", "security_of", "temporary_keys", "versions", "write"]

FILE = "connection.json"
_PACKAGES = ("lakecv", "numpy", "zarr", "distributed")


@dataclass(frozen=True, slots=True)
class Connection:
    """One pool as its workers see it.

    ``address`` is the scheduler's, "" where the first job is to run it; ``keys`` are PEM texts (``ca``, ``cert``, ``key``),
    the same pair for all; ``lifetime_seconds`` counts from the start of the job (None = until it is sent away), then a worker
    begins nothing new and has ``drain_seconds`` to end what it began.  ``blas`` are variables that decide the last bits.
    """

    executor: str
    address: str
    keys: dict[str, str]
    threads: int
    memory_nbytes: int
    gpus: int = 0
    ports: tuple[int, int] | None = None
    interface: str | None = None
    lifetime_seconds: float | None = None
    drain_seconds: float = 0.0
    patience_seconds: float = 60.0
    versions: dict[str, str] = field(default_factory=dict)
    blas: dict[str, str] = field(default_factory=dict)


def blas() -> dict[str, str]:
    """Tell how the driver's OpenBLAS was told to compute: workers whose batch system drops variables compute so, too."""
    return {name: value for name, value in os.environ.items() if name.startswith("OPENBLAS_")}


def versions() -> dict[str, str]:
    """Versions that driver and workers must share, or the bits of a result could differ."""
    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "none"
    return found


def write(path: Path, connection: Connection) -> None:
    """Create the file for its owner alone; whoever reads it finds it whole."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(asdict(connection), file)
    draft.rename(path)


def read(path: Path) -> Connection:
    """Read it.

    Raises
    ------
    InvalidInput
        If it is not there, is not one, or others may read it (kind ``config-invalid``).
    Infeasible
        If another version of something wrote it (kind ``versions-differ``).
    """
    try:
        mode = path.stat().st_mode & 0o077
        held: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        _same_versions(dict(held["versions"]))  # first: another version's file may look otherwise
        connection = Connection(**{**held, "ports": tuple(map(int, held["ports"])) if held["ports"] else None})
    except OSError as err:
        raise InvalidInput(f"{path} cannot be read: {err.strerror or err}", Kind.CONFIG_INVALID, _HINT) from err
    except (ValueError, TypeError, KeyError) as err:
        raise InvalidInput(f"{path} is not a connection file", Kind.CONFIG_INVALID, _HINT) from err
    if mode:
        raise InvalidInput(f"{path} can be read by others (mode {mode:03o}); it holds a key", Kind.CONFIG_INVALID, f"chmod 600 {path}")
    if not _is_whole(connection):
        raise InvalidInput(f"{path} is not a connection file", Kind.CONFIG_INVALID, _HINT)
    return connection


def _is_whole(held: Connection) -> bool:
    """Whether each thing in it is of its kind, as whatever JSON lies there need not be."""
    amounts = (held.threads, held.memory_nbytes, held.gpus, held.patience_seconds, held.drain_seconds, held.lifetime_seconds or 0)
    texts = (held.executor, held.address, *(held.keys.get(name) for name in ("ca", "cert", "key"))) if isinstance(held.keys, dict) else (None,)
    texts += tuple(held.blas.values()) if isinstance(held.blas, dict) else (None,)
    return all(isinstance(each, (int, float)) for each in amounts) and all(isinstance(each, str) for each in texts)


def _same_versions(there: dict[str, str]) -> None:
    """Compare with the driver's."""
    odd = differences(versions(), there)
    if odd:
        raise Infeasible(
            f"versions differ between the worker's machine {platform.node()} and the driver's: {odd}", Kind.VERSIONS_DIFFER,
            "give workers the driver's environment: [batch] command or prologue",
        )


def differences(here: Mapping[str, str], there: Mapping[str, str]) -> str:
    """Say on one line how versions differ from those there, "" where they do not."""
    return "; ".join(f"{name} {here.get(name, 'none')} here, {wanted} there" for name, wanted in there.items() if here.get(name) != wanted)


_HINT = "a run writes it for the jobs that it submits; it is gone when the run has ended"


def temporary_keys() -> dict[str, str]:
    """Make a pair of keys for one pool: whoever has it is trusted, and nobody else is."""
    from distributed import Security

    made = Security.temporary()
    return {"ca": made.tls_ca_file, "cert": made.tls_client_cert, "key": made.tls_client_key}


def security_of(keys: dict[str, str]) -> Security:
    """Wrap the keys as Dask takes them: one pair for scheduler, workers and client, and nothing that is not encrypted."""
    from distributed import Security

    ends = {f"tls_{role}_{what}": keys[what] for role in ("client", "scheduler", "worker") for what in ("cert", "key")}
    return Security(tls_ca_file=keys["ca"], require_encryption=True, **ends)
