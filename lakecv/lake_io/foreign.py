"""Verified reads through zarr-python: of a store that somebody else wrote, and for xarray.

zarr-python decodes what :class:`lakecv.lake_io.copies.CopiedObjects` has proven; an object that the manifest lists but no
store has is an error, never a fill value.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING

import numpy as np
import zarr
from zarr.abc.store import OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest

from lakecv.cube import ArraySpec, Window
from lakecv.lake_io.copies import CopiedObjects, Holder
from lakecv.ports import ObjectIO
from lakecv.records import Manifest
from lakecv.selection import Runs
from lakecv.sheet import Array

if TYPE_CHECKING:
    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype

__all__ = ["CheckedStore", "ForeignReader"]


class CheckedStore(Store):
    """A read-only zarr store over a dataset's objects, each of them proven; plain ``objects`` are made to prove theirs."""

    def __init__(self, objects: ObjectIO, manifest: Manifest) -> None:
        super().__init__(read_only=True)
        is_proven = isinstance(objects, CopiedObjects)
        self._objects = objects if is_proven else CopiedObjects([Holder("", objects.url, lambda: objects)], manifest)
        self._manifest = Manifest(manifest.objects)  # reports and pictures are no part of the store
        self.nbytes = 0

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = Store.__hash__

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        """Return an object or a range of it; None where the manifest has none of that key."""
        record = self._manifest.by_key.get(key)
        if record is None:
            return None
        if byte_range is None:
            data = await asyncio.to_thread(self._objects.get, key)
        else:
            start, stop, _ = _cut(byte_range).indices(record.nbytes)
            [part] = await asyncio.to_thread(self._objects.get_ranges, key, [(start, stop)])
            data = bytes(part)
        self.nbytes += len(data)
        return prototype.buffer.from_bytes(data)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]],
    ) -> list[Buffer | None]:
        """Return several ranges."""
        return [await self.get(key, prototype, byte_range) for key, byte_range in key_ranges]

    async def exists(self, key: str) -> bool:
        """Say whether the manifest lists a key."""
        return key in self._manifest.by_key

    @property
    def supports_writes(self) -> bool:
        """Never."""
        return False

    @property
    def supports_deletes(self) -> bool:
        """Never."""
        return False

    @property
    def supports_listing(self) -> bool:
        """From the manifest."""
        return True

    async def set(self, key: str, value: Buffer) -> None:  # noqa: ARG002  (the ABC names it)
        """Refuse."""
        raise PermissionError(key)

    async def delete(self, key: str) -> None:
        """Refuse."""
        raise PermissionError(key)

    async def list(self) -> AsyncIterator[str]:
        """Keys of the manifest."""
        for key in self._manifest.by_key:
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Keys of the manifest that start with a prefix."""
        for key in self._manifest.by_key:
            if key.startswith(prefix):
                yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Names directly below a prefix."""
        start = f"{prefix.rstrip('/')}/" if prefix else ""
        names = {key[len(start):].split("/")[0] for key in self._manifest.by_key if key.startswith(start)}
        for name in sorted(names):
            yield name


def _cut(byte_range: ByteRequest | None) -> slice:
    if isinstance(byte_range, RangeByteRequest):
        return slice(byte_range.start, byte_range.end)
    if isinstance(byte_range, OffsetByteRequest):
        return slice(byte_range.offset, None)
    if isinstance(byte_range, SuffixByteRequest):
        return slice(-byte_range.suffix, None)
    return slice(None)


class ForeignReader:
    """Reader of an array through zarr-python."""

    def __init__(self, objects: ObjectIO, spec: ArraySpec, manifest: Manifest, path: str, channels: Runs | None = None) -> None:
        self._store = CheckedStore(objects, manifest)
        self._array = zarr.open_array(self._store, path=path, mode="r")
        self._dtype, self._channels = spec.dtype, channels

    @property
    def nbytes(self) -> int:
        """Bytes fetched so far."""
        return self._store.nbytes

    def ahead(self, window: Window) -> None:
        """Do nothing: zarr-python fetches the chunks of a window at once."""

    def read(self, window: Window) -> Array:
        """Read the samples of a window; a chunk that holds none of the channels is not fetched."""
        if self._channels is None:
            return np.asarray(self._array[window.slices()], dtype=self._dtype)
        runs = [np.asarray(self._array[(*window.slices(), slice(start, stop))]) for start, stop in self._channels]
        return np.concatenate(runs, axis=-1, dtype=self._dtype)
