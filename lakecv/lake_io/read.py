"""Verified reads of one array, window by window.

Arrays that lakecv wrote are read chunk by chunk, straight into the caller's array, each chunk against its own crc32c.
Arrays registered in place go through zarr-python over a store that checks whole objects against the manifest.
"""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, pairwise
from threading import local
from typing import TYPE_CHECKING, Protocol

import numpy as np

from lakecv.cube import ArraySpec, Window
from lakecv.errors import Corrupt, Kind, NotFound
from lakecv.lake_io.codec import ShardIndex, chunk_positions, decode_chunk, index_nbytes
from lakecv.lake_io.layout import Shard, shards
from lakecv.lake_io.objects import DAMAGED, get_checked
from lakecv.ports import ObjectIO
from lakecv.records import Manifest
from lakecv.selection import Runs
from lakecv.sheet import Array

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Blobs = Sequence[bytes | memoryview]

__all__ = ["ArrayReader", "ShardedReader", "open_array", "read_table"]


class ArrayReader(Protocol):
    """Reads windows of one array, all channels or those that it was opened for."""

    @property
    def nbytes(self) -> int:
        """Bytes fetched so far."""

    def ahead(self, window: Window) -> None:
        """Begin to fetch a window that will be read next; what comes of it is seen by the next :meth:`read` only."""

    def read(self, window: Window) -> Array:
        """Read the samples of a window, (h, w[, third])."""


def open_array(objects: ObjectIO, spec: ArraySpec, manifest: Manifest, path: str, channels: Runs | None = None) -> ArrayReader:
    """Open an array for verified reads, of all channels or of some runs; ``path`` is its place in the store."""
    if spec.compressor is not None:
        return ShardedReader(objects, spec, manifest, path, channels)
    from lakecv.lake_io.foreign import ForeignReader

    return ForeignReader(objects, spec, manifest, path, channels)


def read_table(objects: ObjectIO, spec: ArraySpec, manifest: Manifest) -> Array:
    """Read a whole table that lakecv wrote (one chunk)."""
    key = f"{spec.name}/" + "/".join(["c", *("0" for _ in spec.shape)])
    return decode_chunk(get_checked(objects, key, manifest), spec)


@dataclass(frozen=True, slots=True)
class _Part:
    """Chunks of one shard that a window needs: positions in the shard, and the windows they fill."""

    key: str
    positions: tuple[tuple[int, ...], ...]
    places: tuple[Window, ...]


class ShardedReader:
    """Reader of an array in lakecv's own layout: the chunks that a window needs of a shard are one request.

    One thread reads; what is read ahead is fetched by another, compressed as it is stored, and decoded here.
    """

    def __init__(self, objects: ObjectIO, spec: ArraySpec, manifest: Manifest, path: str, channels: Runs | None = None) -> None:
        self._objects, self._spec, self._manifest, self._path = objects, spec, manifest, path
        self._runs = _placed(channels if channels is not None else tuple((0, size) for size in spec.shape[2:]))
        self._positions = [position for position in chunk_positions(spec) if not position[2:] or self._wanted(position)]
        self._indices: dict[str, ShardIndex] = {}
        self._coming: tuple[Window, list[Future[Blobs]]] | None = None
        self.nbytes = 0

    def ahead(self, window: Window) -> None:
        """Begin to fetch a window."""
        self._coming = (window, [_fetchers().submit(self._fetch, part) for part in self._parts(window)])

    def read(self, window: Window) -> Array:
        """Read the samples of a window; every chunk that it touches is fetched once and checked."""
        spec = self._spec
        third = (self._runs[-1][1].stop,) if self._runs else ()
        out = np.empty((window.height, window.width, *third), spec.dtype)
        coming, self._coming = self._coming, None
        came = [future.result() for future in coming[1]] if coming is not None and coming[0] == window else None
        for number, part in enumerate(self._parts(window)):
            blobs = self._fetch(part) if came is None else came[number]
            self.nbytes += sum(map(len, blobs))
            try:
                self._fill(out, window, part, blobs)
            except Corrupt as err:
                raise Corrupt(f"{self._objects.url}/{part.key}: {err}", err.kind, DAMAGED) from err
        return out

    def _parts(self, window: Window) -> Iterator[_Part]:
        for shard in shards(self._spec, window):
            chunks = [(position, place) for position, place in self._chunks(shard) if place.intersect(window)]
            yield _Part(f"{self._path}/{shard.key}", tuple(at for at, _ in chunks), tuple(place for _, place in chunks))

    def _fetch(self, part: _Part) -> Blobs:
        """Fetch chunks as they are stored."""
        if self._spec.shards is None:
            return [get_checked(self._objects, part.key, self._manifest)]
        index = self._index(part.key)
        try:
            return self._objects.get_ranges(part.key, [index.span(position) for position in part.positions])
        except NotFound as err:
            raise self._missing(part.key) from err

    def _fill(self, out: Array, window: Window, part: _Part, blobs: Blobs) -> None:
        """Check chunks and put what the window needs of them in its place, straight there where it is a whole chunk."""
        spec = self._spec
        for position, place, blob in zip(part.positions, part.places, blobs, strict=True):
            inside, wanted = place.intersect(window) or window, self._wanted(position)
            target = out[(*inside.slices(window), *(to for _, to in wanted[:1]))]
            if len(wanted) < 2 and target.shape == spec.chunks and target.flags.c_contiguous:  # noqa: PLR2004  (one run, or no third axis)
                decode_chunk(blob, spec, target)
                continue
            values = decode_chunk(blob, spec, _buffer(spec))
            if not wanted:
                out[inside.slices(window)] = values[inside.slices(place)]
            for cut, to in wanted:
                out[(*inside.slices(window), to)] = values[(*inside.slices(place), cut)]

    def _wanted(self, position: tuple[int, ...]) -> list[tuple[slice, slice]]:
        """Channels of a chunk that are read: where they lie in it, and where they go; nothing where there is no third axis."""
        if not position[2:]:
            return []
        chunk = self._spec.chunks[2]
        start = position[2] * chunk
        cuts = ((max(run.start, start), min(run.stop, start + chunk), run.start - to.start) for run, to in self._runs)
        return [(slice(low - start, high - start), slice(low - by, high - by)) for low, high, by in cuts if low < high]

    def _chunks(self, shard: Shard) -> Iterator[tuple[tuple[int, ...], Window]]:
        """Chunks of a shard that hold pixels of the array: position in the shard and window in the picture."""
        height, width = self._spec.chunks[:2]
        for position in self._positions:
            y0, x0 = shard.window.y0 + position[0] * height, shard.window.x0 + position[1] * width
            if y0 < shard.window.y1 and x0 < shard.window.x1:
                yield position, Window(y0, y0 + height, x0, x0 + width)

    def _index(self, key: str) -> ShardIndex:
        """Index of a shard, read from its last bytes once."""
        if key not in self._indices:
            record = self._manifest.by_key.get(key)
            if record is None:
                raise Corrupt(f"{self._objects.url}/{key} is not in the manifest", Kind.OBJECT_MISSING, DAMAGED)
            try:
                tail = (record.nbytes - index_nbytes(self._spec), record.nbytes)
                [data] = self._objects.get_ranges(key, [tail])
            except NotFound as err:
                raise self._missing(key) from err
            try:
                self._indices[key] = ShardIndex(data, self._spec)
            except Corrupt as err:
                raise Corrupt(f"{self._objects.url}/{key}: {err}", err.kind, DAMAGED) from err
            self.nbytes += len(data)
        return self._indices[key]

    def _missing(self, key: str) -> Corrupt:
        return Corrupt(f"{self._objects.url}/{key} is in the manifest but missing", Kind.OBJECT_MISSING, DAMAGED)


_FETCHERS = 4
_kept = local()


@cache
def _fetchers() -> ThreadPoolExecutor:
    """Threads of this process that fetch ahead; they wait for stores and use next to no processor."""
    return ThreadPoolExecutor(_FETCHERS, thread_name_prefix="lakecv-ahead")


os.register_at_fork(after_in_child=_fetchers.cache_clear)  # its threads stay with the parent


def _buffer(spec: ArraySpec) -> Array:
    """Chunk-sized scratch of this thread, used again and again."""
    found: Array | None = getattr(_kept, "buffer", None)
    if found is None or found.shape != spec.chunks or found.dtype != np.dtype(spec.dtype):
        found = _kept.buffer = np.empty(spec.chunks, spec.dtype)
    return found


def _placed(channels: Runs) -> list[tuple[slice, slice]]:
    """Say of each run of channels where it is stored, and where it goes."""
    ends = [0, *accumulate(stop - start for start, stop in channels)]
    return [(slice(start, stop), slice(*place)) for (start, stop), place in zip(channels, pairwise(ends), strict=True)]
