"""Storage on a web server: ``https://host/prefix`` and ``davs://host/prefix`` (WebDAV), ``http://`` on this machine alone.

A server that overwrites is read from and not written to: it is tried at the first write.
"""

from __future__ import annotations

import os
import re
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from lakecv.errors import Infeasible, InvalidInput, Kind, LakeCVError
from lakecv.ports import Ability, ObjectIO, ProbedStorage, StoragePlugin
from lakecv_plugins.storage.names import part_of
from lakecv_plugins.storage.web_body import address, body_of
from lakecv_plugins.storage.web_listing import walk
from lakecv_plugins.storage.web_wire import WebWire
from lakecv_plugins.storage.wires import HOST, AddressedObjects, Operation, without_query

if TYPE_CHECKING:
    from zarr.abc.store import Store

__all__ = ["WebStorage", "WebWire"]

_PATH = re.compile(r"[A-Za-z0-9._~/-]*", re.ASCII)


class WebStorage:
    """Objects on any server that speaks WebDAV; read-only on others that list."""

    @property
    def schemes(self) -> tuple[str, ...]:
        """Url schemes that it serves."""
        return ("https", "davs", "http")

    def objects(self, url: str, access: str | None = None) -> ObjectIO:
        """Open a prefix for object reads and writes."""
        base = _base(url, access)
        return AddressedObjects(base, _Place(base, _WIRE), _WIRE, partial(walk, _WIRE.pool, base))

    def probe(self, url: str, access: str | None = None) -> tuple[Ability, ...]:
        """Ask the server what it does; Denied, Unavailable, ... where it cannot be opened at all."""
        base = _base(url, access)
        lists = _holds(lambda: list(walk(_WIRE.pool, base, part_of("probe")[1:])))  # of a folder that nobody has
        if not lists:
            _WIRE.head(base)  # says why, where it is no matter of listing
        found = (
            Ability("lists a prefix (PROPFIND)", lists, "nothing can be found: objects are read by their urls alone"),
            Ability("creates and never overwrites (MOVE, Overwrite: F)", _holds(lambda: _check_writes(_WIRE, base)),
                    "nothing is written there: the lake is read-only"),
        )  # fmt: skip
        parts = _reads_parts(_WIRE, base)
        if parts is None:  # nothing may be written there to try it with
            return found
        return *found, Ability("reads parts of an object (byte ranges)", parts, "whole objects pass the network for each part that is read")

    def store(self, url: str, access: str | None = None) -> Store:
        """Open a prefix read-only for zarr-python."""
        from lakecv_plugins.storage.reading import ReadingStore

        return ReadingStore(self.objects(url, access))


class _Place:
    """Where keys lie; the first write makes sure that the server never overwrites."""

    def __init__(self, base: str, wire: WebWire) -> None:
        self._base, self._wire = base, wire

    def __call__(self, key: str, operation: Operation) -> str:
        if operation == "write":
            _check_writes(self._wire, self._base)
        return address(self._base, key)


_WIRE = WebWire()
_lock = Lock()
_proven: set[str] = set()


def _after_fork() -> None:
    global _lock  # noqa: PLW0603  (a thread that is not in the child may have held it)
    _lock = Lock()


os.register_at_fork(after_in_child=_after_fork)


def _check_writes(wire: WebWire, base: str) -> None:
    """Try once per process and place whether the server refuses to overwrite."""
    with _lock:
        if base in _proven:
            return
        if not wire.creates_only(base):
            raise Infeasible(
                f"the server of {base} overwrites what exists (it ignores Overwrite: F)", Kind.CONTRACT_BROKEN,
                "read from it, and write to another lake, or by root:// where the server speaks it: results could be lost here",
            )
        _proven.add(base)


def _reads_parts(wire: WebWire, base: str) -> bool | None:
    """Read a part of an object that is made for it; None where none can be made."""
    url = part_of(f"{base}/lakecv-probe")
    try:
        wire.put(url, b"0123456789")
    except LakeCVError:
        return None
    try:
        return body_of(wire.pool.send("GET", url, headers={"Range": "bytes=4-5"}), url) == b"45"
    finally:
        wire.delete(url)


def _holds(ability: Callable[[], object]) -> bool:
    try:
        ability()
    except LakeCVError:
        return False
    return True


def _base(url: str, access: str | None) -> str:
    """Url of a prefix as requests have it: https, without a slash at its end."""
    shown, parts = without_query(url), urlsplit(url)
    if access is not None:
        raise InvalidInput(
            "a web server's credentials are not named", Kind.OPTION_INVALID, "leave the access out, and set BEARER_TOKEN_FILE or X509_USER_PROXY",
        )
    path = parts.path.rstrip("/")
    odd = not _PATH.fullmatch(path) or {"", ".", ".."} & set(path.split("/")[1:])
    if parts.scheme not in {"https", "davs", "http"} or parts.query or parts.fragment or odd or not HOST.fullmatch(parts.netloc):
        raise InvalidInput(f"'{shown}' does not name a folder of a web server", Kind.PATH_MALFORMED, "write https://host/prefix")
    return f"{'http' if parts.scheme == 'http' else 'https'}://{parts.netloc}{path}"


if TYPE_CHECKING:
    from collections.abc import Callable

    _: StoragePlugin = WebStorage()
    _probed: ProbedStorage = WebStorage()
