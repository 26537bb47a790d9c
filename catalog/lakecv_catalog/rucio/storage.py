"""The objects of a dataset at one storage element of Rucio: ``rse://RSE/scope/dataset/write-id``.

Rucio says at which url a file lies, and signs that url where the storage wants it; the transports move the bytes.  Urls are
listed for a whole dataset in one call, kept for as long as their signatures hold, and never stored or shown.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from lakecv_plugins.storage.wires import AddressedObjects, Operation, Wire

from lakecv.canonical import loads
from lakecv.errors import Corrupt, Infeasible, Kind, LakeCVError, NotFound
from lakecv.patience import many
from lakecv.ports import ObjectInfo, ObjectIO, StoragePlugin
from lakecv.records import Manifest, flat_name
from lakecv_catalog.rucio.places import SCHEME, Place
from lakecv_catalog.rucio.server import Located, Server, server

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zarr.abc.store import Store

__all__ = ["MANIFEST", "RseStorage", "stored_manifest"]

_SIGNED_SECONDS = 3600
_RENEWED_SECONDS = 2400  # urls are asked for anew when they are so old: the rest is for the request that uses one
MANIFEST = "manifest.json"
"""Key of a dataset's manifest: it lies with the data, as a file of its own."""


class RseStorage:
    """The transport of ``rse://``."""

    schemes = (SCHEME,)

    def __init__(self, ask: Callable[[], Server] = server) -> None:
        self._ask = ask

    def objects(self, url: str, access: str | None = None) -> ObjectIO:  # noqa: ARG002  (Rucio's own configuration says who one is)
        """Open one copy of a dataset."""
        place = Place.parse(url)
        urls = _Urls(place, self._ask)
        return AddressedObjects(place.url, urls, _Wires(self._ask), urls.listing)

    def store(self, url: str, access: str | None = None) -> Store:
        """Open one copy of a dataset read-only for zarr-python."""
        from lakecv_plugins.storage.reading import ReadingStore

        return ReadingStore(self.objects(url, access))


def stored_manifest(place: Place, digest: str, ask: Callable[[], Server]) -> Manifest | None:
    """Read the manifest of data that were stored and never registered; None where not all of them are there.

    Raises
    ------
    Unavailable, Denied
        If the storage does not say what is there.
    """
    objects = AddressedObjects(place.url, _Urls(place, ask, by_listing=False), _Wires(ask), lambda _: ())
    try:
        manifest = loads(Manifest, objects.get(MANIFEST))
    except (NotFound, Corrupt):
        return None
    if manifest.digest != digest:
        return None
    items = list(manifest.by_key.values())
    found = many(objects.head, [item.key for item in items])
    whole = all(info is not None and info.nbytes == item.nbytes for info, item in zip(found, items, strict=True))
    return manifest if whole else None


class _Urls:
    """Address of each object of one copy of a dataset, for an operation.

    With ``by_listing`` an object of a registered dataset is read where the catalog says that it is; without, and before it is
    registered, where the storage element's own rule puts it.
    """

    def __init__(self, place: Place, ask: Callable[[], Server], *, by_listing: bool = True) -> None:
        self._place, self._ask, self._by_listing, self._lock = place, ask, by_listing, Lock()
        self._files: Mapping[str, Located] = {}
        self._since = float("-inf")
        self._asking: Future[None] | None = None
        self._signed: dict[tuple[str, str], tuple[float, str]] = {}

    def __call__(self, key: str, operation: Operation) -> str:
        """Url that is good for the operation now."""
        name = self._place.file(key)
        if operation == "read" and self._by_listing and (files := self._listed()):
            found = files.get(name)
            if found is None:  # no proof of damage: the catalog may have closed it for a while
                raise Infeasible(
                    f"Rucio lists no readable replica of {self._place.did.scope}:{name} at {self._place.rse}", Kind.NO_REPLICA_REACHABLE,
                    f"lakecv rules {self._place.did} shows where copies should be",
                )
            return found.url
        return self._made(name, operation)

    def listing(self, prefix: str) -> Iterator[ObjectInfo]:
        """Objects that Rucio says are there; keys are known by the manifest, as names have lost their slashes."""
        files = self._listed()
        keys = {flat_name(self._place.prefix, key): key for key in (MANIFEST, *self._keys())} if files else {}
        for name, file in files.items():
            key = keys.get(name, name.removeprefix(f"{self._place.prefix}."))
            if not prefix or key.startswith(f"{prefix}/"):
                yield ObjectInfo(key, file.nbytes)

    def _keys(self) -> list[str]:
        try:
            said = json.loads(_Wires(self._ask).get(self(MANIFEST, "read")))
            return [item["key"] for part in ("objects", "artifacts") for item in said.get(part, ())]
        except (LakeCVError, ValueError, TypeError, KeyError, AttributeError):
            return []

    def _listed(self) -> Mapping[str, Located]:
        """Files of a registered dataset; nothing where it is not registered yet.  One thread asks, the others wait for its answer."""
        with self._lock:
            if time.monotonic() - self._since <= _RENEWED_SECONDS:
                return self._files
            mine = self._asking is None
            asking = self._asking = self._asking or Future()
        if mine:
            self._look(asking)
        asking.result()
        return self._files

    def _look(self, asking: Future[None]) -> None:
        try:
            found = self._ask().located(self._place.did, self._place.rse, _SIGNED_SECONDS)
        except BaseException as err:  # whatever it is, those who wait get it too
            with self._lock:
                self._asking = None
            asking.set_exception(err)
            raise
        with self._lock:
            self._files = {name: file for name, file in found.items() if name.startswith(f"{self._place.prefix}.")}
            self._since, self._asking = time.monotonic(), None
        asking.set_result(None)

    def _made(self, name: str, operation: Operation) -> str:
        """Make the url of a file that is not registered, as Rucio's own clients do, and have it signed."""
        asked = self._ask()
        element = asked.element(self._place.rse)
        known = self._signed.get((name, operation))
        if known is not None and time.monotonic() - known[0] < _RENEWED_SECONDS:
            return known[1]
        url = asked.address(element, self._place.did.scope, name, operation)
        if element.signs and url.startswith("https:"):
            url = asked.sign(element, operation, url, _SIGNED_SECONDS)
            self._signed[(name, operation)] = (time.monotonic(), url)
        return url


@dataclass(frozen=True, slots=True)
class _Wires:
    """One wire for all protocols: the url says which transport moves the bytes."""

    ask: Callable[[], Server]

    def get(self, url: str) -> bytes:
        return self._of(url).get(url)

    def get_ranges(self, url: str, ranges: Sequence[tuple[int, int]]) -> Sequence[bytes | memoryview]:
        return self._of(url).get_ranges(url, ranges)

    def put(self, url: str, data: bytes) -> None:
        self._of(url).put(url, data)

    def head(self, url: str) -> int | None:
        return self._of(url).head(url)

    def delete(self, url: str) -> None:
        self._of(url).delete(url)

    def _of(self, url: str) -> Wire:
        return _wire(urlsplit(url).scheme, self.ask().ca)


class _FileWire:
    """Files of a storage element that is mounted here."""

    def get(self, url: str) -> bytes:
        objects, name = _mounted(url)
        return objects.get(name)

    def get_ranges(self, url: str, ranges: Sequence[tuple[int, int]]) -> Sequence[bytes | memoryview]:
        objects, name = _mounted(url)
        return objects.get_ranges(name, ranges)

    def put(self, url: str, data: bytes) -> None:
        objects, name = _mounted(url)
        objects.put(name, data)

    def head(self, url: str) -> int | None:
        objects, name = _mounted(url)
        info = objects.head(name)
        return None if info is None else info.nbytes

    def delete(self, url: str) -> None:
        objects, name = _mounted(url)
        objects.delete(name)


def _mounted(url: str) -> tuple[ObjectIO, str]:
    from lakecv_plugins.storage.file import FileStorage

    path = Path(unquote(urlsplit(url).path))
    return FileStorage().objects(str(path.parent)), path.name


@cache
def _wire(scheme: str, ca: str | None) -> Wire:
    if scheme == "file":
        return _FileWire()
    if scheme in {"https", "http", "davs"}:
        from lakecv_plugins.storage.web_wire import WebWire

        return WebWire(ca)
    if scheme == "root":
        from lakecv_plugins.storage.xrootd import XrootdWire

        return XrootdWire()
    raise Infeasible(
        f"lakecv does not speak {scheme!r}", Kind.PROTOCOL_UNKNOWN, "use a storage element that offers https, davs, root or file",
    )


if TYPE_CHECKING:

    def _proof() -> StoragePlugin:
        return RseStorage()
