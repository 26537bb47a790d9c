"""Objects as a read-only zarr store, for transports that have none of their own.

A module of its own because it imports zarr-python, which opening objects does not need.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING

from zarr.abc.store import OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest

from lakecv.errors import NotFound
from lakecv.ports import ObjectIO

if TYPE_CHECKING:
    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype

__all__ = ["ReadingStore"]


class ReadingStore(Store):
    """A zarr store over objects.  Ranges from the end are turned into absolute ones: not every server knows those."""

    def __init__(self, objects: ObjectIO) -> None:
        super().__init__(read_only=True)
        self._objects = objects
        self._sizes: dict[str, int] = {}  # objects never change, so that a size is asked for once

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ReadingStore) and self._objects.url == other._objects.url

    def __str__(self) -> str:
        return self._objects.url

    __hash__ = None  # type: ignore[assignment]  # as every zarr store

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        """Read an object or a part of it; None where there is none."""
        try:
            data = await asyncio.to_thread(self._read, key, byte_range)
        except NotFound:
            return None
        return prototype.buffer.from_bytes(data)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]],
    ) -> list[Buffer | None]:
        """Read parts of objects."""
        return list(await asyncio.gather(*(self.get(key, prototype, part) for key, part in key_ranges)))

    async def exists(self, key: str) -> bool:
        """Say whether there is an object."""
        return await asyncio.to_thread(self._objects.head, key) is not None

    async def list(self) -> AsyncIterator[str]:
        """List every key."""
        for key in await asyncio.to_thread(self._keys, ""):
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """List keys that start with a prefix."""
        folder = prefix.rpartition("/")[0]
        for key in await asyncio.to_thread(self._keys, folder):
            if key.startswith(prefix):
                yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """List names in a folder."""
        folder = prefix.rstrip("/")
        skip = len(folder) + 1 if folder else 0
        for name in sorted({key[skip:].partition("/")[0] for key in await asyncio.to_thread(self._keys, folder)}):
            yield name

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
        """Always."""
        return True

    async def set(self, key: str, value: Buffer) -> None:  # noqa: ARG002  (the base class's signature)
        """Refuse: the store is read-only."""
        self._check_writable()

    async def delete(self, key: str) -> None:  # noqa: ARG002  (the base class's signature)
        """Refuse: the store is read-only."""
        self._check_writable()

    def _read(self, key: str, part: ByteRequest | None) -> bytes:
        if part is None:
            return self._objects.get(key)
        start, stop = (part.start, part.end) if isinstance(part, RangeByteRequest) else self._from_end(key, part)
        [data] = self._objects.get_ranges(key, [(start, stop)])
        return bytes(data)

    def _from_end(self, key: str, part: ByteRequest) -> tuple[int, int]:
        """Turn "from byte n on" and "the last n bytes" into a range."""
        nbytes = self._nbytes(key)
        if isinstance(part, SuffixByteRequest):
            return max(nbytes - part.suffix, 0), nbytes
        assert isinstance(part, OffsetByteRequest)  # noqa: S101  (the third and last kind of request)
        return min(part.offset, nbytes), nbytes

    def _nbytes(self, key: str) -> int:
        if key not in self._sizes:
            info = self._objects.head(key)
            if info is None:
                raise NotFound(f"there is no object '{key}' in {self._objects.url}")
            self._sizes[key] = info.nbytes
        return self._sizes[key]

    def _keys(self, folder: str) -> tuple[str, ...]:
        return tuple(info.key for info in self._objects.list(folder))
