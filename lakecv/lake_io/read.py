"""Verified reads of one array, window by window.

Arrays that lakecv wrote are read chunk by chunk, straight into the caller's array, each chunk against its own crc32c.
Arrays registered in place go through zarr-python over a store that checks whole objects against the manifest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from lakecv.cube import ArraySpec, Window
from lakecv.errors import Corrupt, Kind, NotFound
from lakecv.lake_io.codec import ShardIndex, chunk_positions, decode_chunk, index_nbytes
from lakecv.lake_io.layout import Shard, shards
from lakecv.lake_io.objects import DAMAGED, get_checked
from lakecv.ports import ObjectIO
from lakecv.records import Manifest
from lakecv.sheet import Array

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ArrayReader", "ShardedReader", "open_array", "read_table"]


class ArrayReader(Protocol):
    """Reads windows of one array."""

    @property
    def nbytes(self) -> int:
        """Bytes fetched so far."""

    def read(self, window: Window) -> Array:
        """Read the samples of a window, (h, w[, third])."""


def open_array(objects: ObjectIO, spec: ArraySpec, manifest: Manifest, path: str) -> ArrayReader:
    """Open an array for verified reads; ``path`` is its place in the store."""
    if spec.compressor is not None:
        return ShardedReader(objects, spec, manifest, path)
    from lakecv.lake_io.foreign import ForeignReader

    return ForeignReader(objects, spec, manifest, path)


def read_table(objects: ObjectIO, spec: ArraySpec, manifest: Manifest) -> Array:
    """Read a whole table that lakecv wrote (one chunk)."""
    key = f"{spec.name}/" + "/".join(["c", *("0" for _ in spec.shape)])
    return decode_chunk(get_checked(objects, key, manifest), spec)


class ShardedReader:
    """Reader of an array in lakecv's own layout."""

    def __init__(self, objects: ObjectIO, spec: ArraySpec, manifest: Manifest, path: str) -> None:
        self._objects, self._spec, self._manifest, self._path = objects, spec, manifest, path
        self._indices: dict[str, ShardIndex] = {}
        self.nbytes = 0

    def read(self, window: Window) -> Array:
        """Read the samples of a window; every chunk that it touches is fetched once and checked."""
        spec = self._spec
        out = np.empty((window.height, window.width, *spec.shape[2:]), spec.dtype)
        for shard in shards(spec, window):
            self._read_shard(shard, window, out)
        return out

    def _read_shard(self, shard: Shard, window: Window, out: Array) -> None:
        spec, key = self._spec, f"{self._path}/{shard.key}"
        chunks = [(position, place) for position, place in self._chunks(shard) if place.intersect(window)]
        for (position, place), blob in zip(chunks, self._fetch(key, [at for at, _ in chunks]), strict=True):
            part = place.intersect(window)
            if part is not None:
                deep = _third(position, spec)
                out[(*part.slices(window), *deep)] = _decode(blob, spec, key)[(*part.slices(place), *_from_zero(deep))]

    def _fetch(self, key: str, positions: list[tuple[int, ...]]) -> list[bytes]:
        if self._spec.shards is None:
            blobs = [get_checked(self._objects, key, self._manifest)]
        else:
            index = self._index(key)
            blobs = self._objects.get_ranges(key, [index.span(position) for position in positions])
        self.nbytes += sum(map(len, blobs))
        return blobs

    def _chunks(self, shard: Shard) -> Iterator[tuple[tuple[int, ...], Window]]:
        """Chunks of a shard that hold pixels of the array: position in the shard and window in the picture."""
        height, width = self._spec.chunks[:2]
        for position in chunk_positions(self._spec):
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
                raise Corrupt(f"{self._objects.url}/{key} is in the manifest but missing", Kind.OBJECT_MISSING, DAMAGED) from err
            self._indices[key] = ShardIndex(data, self._spec)
            self.nbytes += len(data)
        return self._indices[key]


def _third(position: tuple[int, ...], spec: ArraySpec) -> tuple[slice, ...]:
    """Cut the samples along the third axis, if any, that the chunk at a position holds."""
    spans = zip(position[2:], spec.chunks[2:], spec.shape[2:], strict=True)
    return tuple(slice(number * chunk, min((number + 1) * chunk, size)) for number, chunk, size in spans)


def _from_zero(parts: tuple[slice, ...]) -> tuple[slice, ...]:
    return tuple(slice(0, part.stop - part.start) for part in parts)


def _decode(blob: bytes, spec: ArraySpec, key: str) -> Array:
    try:
        return decode_chunk(blob, spec)
    except Corrupt as err:
        raise Corrupt(f"{key}: {err}", err.kind, DAMAGED) from err
