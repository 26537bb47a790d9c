"""Storage on an XRootD server: ``root://host:port//prefix``, and ``roots://`` where it speaks TLS."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from lakecv.errors import Infeasible, InvalidInput, Kind
from lakecv.ports import Ability, ObjectIO, ProbedStorage, StoragePlugin
from lakecv_plugins.storage.names import part_of
from lakecv_plugins.storage.wires import HOST, AddressedObjects, Operation, without_query
from lakecv_plugins.storage.xrootd_wire import XrootdWire, walk

if TYPE_CHECKING:
    from zarr.abc.store import Store

__all__ = ["XrootdStorage", "XrootdWire"]

_PATH = re.compile(r"/{1,2}[A-Za-z0-9._~-]+(?:/[A-Za-z0-9._~-]+)*/?", re.ASCII)


class XrootdStorage:
    """Objects as files of an XRootD server."""

    @property
    def schemes(self) -> tuple[str, ...]:
        """Url schemes that it serves."""
        return ("root", "roots")

    def objects(self, url: str, access: str | None = None) -> ObjectIO:
        """Open a prefix for object reads and writes."""
        base = _base(url, access)
        return AddressedObjects(base, partial(_address, base), XrootdWire(), partial(walk, base))

    def probe(self, url: str, access: str | None = None) -> tuple[Ability, ...]:
        """Ask the server what it does; Denied, Unavailable, ... where it cannot be opened at all."""
        base, wire = _base(url, access), XrootdWire()
        list(walk(base, part_of("/probe")[1:]))  # a folder that nobody has
        return (
            Ability("lists a prefix", holds=True, lost="nothing can be found"),
            Ability("creates and never overwrites (new files, rename)", _holds(wire, base), "nothing is written there: the lake is read-only"),
        )

    def store(self, url: str, access: str | None = None) -> Store:
        """Open a prefix read-only for zarr-python."""
        from lakecv_plugins.storage.reading import ReadingStore

        return ReadingStore(self.objects(url, access))


def _holds(wire: XrootdWire, base: str) -> bool:
    """Create one object twice; it is removed."""
    from lakecv.errors import Conflict, Denied

    url = part_of(f"{base}/lakecv-probe")
    try:
        wire.put(url, b"1")
        wire.put(url, b"2")
    except Conflict:
        return wire.get(url) == b"1"
    except (Denied, Infeasible):
        return False
    finally:
        wire.delete(url)
    return False


def _address(base: str, key: str, operation: Operation) -> str:  # noqa: ARG001  (one address for all)
    if {"?", "#", "&"} & set(key):
        raise InvalidInput(f"{key!r} has letters that mean something to XRootD", Kind.PATH_MALFORMED, "rename the object")
    return f"{base}/{key}"


def _base(url: str, access: str | None) -> str:
    """Url of a prefix, with the two slashes that an absolute path has."""
    shown, parts = without_query(url), urlsplit(url)
    if access is not None:
        raise InvalidInput(
            "an XRootD server's credentials are not named", Kind.OPTION_INVALID, "leave the access out, and set BEARER_TOKEN_FILE or X509_USER_PROXY",
        )
    odd = not _PATH.fullmatch(parts.path) or {".", ".."} & set(parts.path.split("/"))
    if parts.scheme not in {"root", "roots"} or parts.query or parts.fragment or odd or not HOST.fullmatch(parts.netloc):
        raise InvalidInput(f"'{shown}' does not name a folder of an XRootD server", Kind.PATH_MALFORMED, "write root://host:1094//prefix")
    return f"{parts.scheme}://{parts.netloc}//{parts.path.strip('/')}"


if TYPE_CHECKING:
    _: StoragePlugin = XrootdStorage()
    _probed: ProbedStorage = XrootdStorage()
