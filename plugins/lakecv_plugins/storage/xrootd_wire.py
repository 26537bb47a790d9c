"""Whole objects by url over XRootD (``root://``).

The protocol's rename overwrites, and its create shows an object while it grows.  So an object is written beside its name,
and moved to it under a lock: a file that one writer at a time can create, held for a look and the move.  A writer that
dies in between holds up the others for some seconds.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from lakecv.errors import Conflict, Kind, LakeCVError, NotFound, Unavailable
from lakecv.patience import many
from lakecv.ports import ObjectInfo
from lakecv_plugins.storage.names import is_hidden, lock_of, part_of
from lakecv_plugins.storage.spans import PIECE_NBYTES, check_end, check_ranges, cut, spans
from lakecv_plugins.storage.wires import Wire
from lakecv_plugins.storage.xrootd_client import SECONDS, Place, answer, client, exists, place_of

__all__ = ["XrootdWire", "walk"]

_COALESCE_NBYTES = 256 << 10  # ranges are asked for together: a gap costs bytes and saves no round trip
_VECTOR_NBYTES, _VECTOR_COUNT = 2097136, 64  # what a server takes in one part (readv_ior_max), and 128 MiB in one request
_STALE_SECONDS, _PAUSE_SECONDS = 15.0, 0.02


class XrootdWire:
    """Objects of any XRootD server.  Credentials are found by the client: token, proxy, kerberos."""

    def get(self, url: str) -> bytes:
        """Read a whole object; NotFound (``object-unknown``) where there is none."""
        with _opened(url) as (file, nbytes):
            pieces = spans([(0, nbytes)], 0, PIECE_NBYTES)
            return b"".join(_read(file, start, stop, url) for start, stop in pieces)

    def get_ranges(self, url: str, ranges: Sequence[tuple[int, int]]) -> Sequence[bytes | memoryview]:
        """Read half-open byte ranges; Corrupt (``short-read``) where the object ends before one does."""
        shown = place_of(url).shown
        check_ranges(shown, ranges)
        if not ranges:
            return []
        wanted = spans(ranges, _COALESCE_NBYTES, _VECTOR_NBYTES)
        with _opened(url) as (file, nbytes):
            check_end(shown, nbytes, max(stop for _, stop in ranges))
            batches = [wanted[at : at + _VECTOR_COUNT] for at in range(0, len(wanted), _VECTOR_COUNT)]
            views = [view for batch in batches for view in _read_vector(file, batch, url)]
        return [cut(views, wanted, *each) if each[0] < each[1] else memoryview(b"") for each in ranges]

    def put(self, url: str, data: bytes) -> None:
        """Create an object, all of it or nothing; Conflict (``output-exists``) where there is one already."""
        place = place_of(url)
        if _stat(place) is not None:
            raise exists(place.shown)
        part = _beside(place, part_of)
        try:
            _write(part, data)
            with _locked(place):
                if _stat(place) is not None:
                    raise exists(place.shown)
                status, _ = _files(place).mv(part.path, place.path, timeout=SECONDS)
                answer(status, place.shown, writing=True)
        except LakeCVError:
            with suppress(LakeCVError):
                _remove(part)
            raise

    def head(self, url: str) -> int | None:
        """Bytes of an object, None where there is none."""
        found = _stat(place_of(url))
        return int(found.size) if found is not None and _is_object(found) else None

    def delete(self, url: str) -> None:
        """Remove an object; nothing happens where there is none, or a folder."""
        place = place_of(url)
        found = _stat(place)
        if found is not None and _is_object(found):  # the server would remove an empty folder too
            _remove(place)


def walk(url: str, folder: str) -> Iterator[ObjectInfo]:
    """Objects below a folder of ``url``, in no order; keys are relative to ``url``.  Nothing where there is no folder."""
    level = [folder]
    while level:
        found = many(lambda each: _children(url, each), level)
        yield from (info for objects, _ in found for info in objects)
        level = [below for _, folders in found for below in folders]


def _children(url: str, folder: str) -> tuple[list[ObjectInfo], list[str]]:
    """Objects and folders in one folder."""
    from XRootD.client.flags import DirListFlags, StatInfoFlags

    place = place_of(f"{url}/{folder}" if folder else url)
    status, listed = _files(place).dirlist(place.path, DirListFlags.STAT, timeout=SECONDS)
    try:
        answer(status, place.shown)
    except NotFound:
        return [], []
    objects, folders = [], []
    for entry in listed:
        key, info = f"{folder}/{entry.name}" if folder else entry.name, entry.statinfo
        if is_hidden(entry.name) or info is None:
            continue
        if info.flags & StatInfoFlags.IS_DIR:
            folders.append(key)
        elif _is_object(info):
            objects.append(ObjectInfo(key, int(info.size), float(info.modtime)))
    return objects, folders


@contextmanager
def _opened(url: str) -> Iterator[tuple[Any, int]]:
    """Open an object for reading; gives its size too."""
    place, file = place_of(url), client().File()
    status, _ = file.open(place.server + place.path, timeout=SECONDS)
    answer(status, place.shown)
    try:
        status, found = file.stat(timeout=SECONDS)
        answer(status, place.shown)
        yield file, int(found.size)
    finally:
        file.close(timeout=SECONDS)


def _read(file: Any, start: int, stop: int, url: str) -> bytes:
    shown = place_of(url).shown
    status, data = file.read(start, stop - start, timeout=SECONDS)
    answer(status, shown)
    check_end(shown, start + len(data), stop)
    return bytes(data)


def _read_vector(file: Any, batch: Sequence[tuple[int, int]], url: str) -> list[memoryview]:
    """Read spans in one request."""
    if len(batch) == 1:
        return [memoryview(_read(file, *batch[0], url))]
    shown = place_of(url).shown
    status, found = file.vector_read([(start, stop - start) for start, stop in batch], timeout=SECONDS)
    answer(status, shown)
    by_start = {int(chunk.offset): bytes(chunk.buffer) for chunk in found.chunks}
    for start, stop in batch:
        check_end(shown, start + len(by_start.get(start, b"")), stop)
    return [memoryview(by_start[start]) for start, _ in batch]


def _write(place: Place, data: bytes) -> None:
    """Create a file; one that exists is a Conflict."""
    from XRootD.client.flags import AccessMode, OpenFlags

    file, mode = client().File(), AccessMode.UR | AccessMode.UW | AccessMode.GR | AccessMode.OR
    status, _ = file.open(place.server + place.path, OpenFlags.NEW | OpenFlags.MAKEPATH, mode, timeout=SECONDS)
    answer(status, place.shown, writing=True)
    try:
        for start, stop in spans([(0, len(data))], 0):
            status, _ = file.write(data[start:stop], start, timeout=SECONDS)
            answer(status, place.shown, writing=True)
    finally:
        status, _ = file.close(timeout=SECONDS)
    answer(status, place.shown, writing=True)


@contextmanager
def _locked(place: Place) -> Iterator[None]:
    """Hold the lock of an object; Conflict as soon as somebody else made the object."""
    lock = _beside(place, lock_of)
    held, since = None, time.monotonic()
    begun = since
    while not _created(lock):
        if _stat(place) is not None:
            raise exists(place.shown)
        found, now = _stat(lock), time.monotonic()
        seen = None if found is None else (found.id, found.modtime)
        if seen != held:
            held, since = seen, now
        elif seen is not None and now - since > _STALE_SECONDS:  # who made it is dead: a look and a move take no time
            _remove(lock)
        if now - begun > 2 * _STALE_SECONDS:
            raise Unavailable(f"{place.shown} is being written by somebody else", Kind.STORE_UNREACHABLE, "try again later")
        time.sleep(_PAUSE_SECONDS)
    try:
        yield
    finally:
        with suppress(LakeCVError):
            _remove(lock)


def _created(lock: Place) -> bool:
    try:
        _write(lock, b"")
    except Conflict:
        return False
    return True


def _stat(place: Place) -> Any:
    """Ask what has a name, None where nothing has."""
    status, found = _files(place).stat(place.path, timeout=SECONDS)
    try:
        answer(status, place.shown)
    except NotFound:
        return None
    return found


def _remove(place: Place) -> None:
    status, _ = _files(place).rm(place.path, timeout=SECONDS)
    with suppress(NotFound):
        answer(status, place.shown, writing=True)


def _is_object(found: Any) -> bool:
    """Whether it is a file that its writer has finished (others than lakecv write in place, and mark it)."""
    from XRootD.client.flags import StatInfoFlags

    return not found.flags & (StatInfoFlags.IS_DIR | StatInfoFlags.OTHER | StatInfoFlags.POSC_PENDING)


def _files(place: Place) -> Any:
    return client().FileSystem(place.server)


def _beside(place: Place, name: Callable[[str], str]) -> Place:
    """Name a sibling, asked for with the same opaque data."""
    path, mark, query = place.path.partition("?")
    return Place(place.server, f"{name(path)}{mark}{query}", place.shown)


if TYPE_CHECKING:
    from collections.abc import Callable

    _: Wire = XrootdWire()
