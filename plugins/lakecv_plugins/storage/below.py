"""A zarr store seen from one of its folders, for stores that have no such view of themselves.

A module of its own because it imports zarr-python, which opening objects does not need.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from typing import Self

from zarr.abc.buffer import Buffer
from zarr.abc.store import ByteRequest, Store
from zarr.core.buffer import BufferPrototype
from zarr.storage import WrapperStore

__all__ = ["Below"]


class Below(WrapperStore[Store]):
    """What lies below ``prefix`` (ending in ``/``) of a read-only store."""

    def __init__(self, store: Store, prefix: str) -> None:
        super().__init__(store)
        self._prefix = prefix

    def _with_store(self, store: Store) -> Self:
        return type(self)(store, self._prefix)

    def __eq__(self, value: object) -> bool:
        return isinstance(value, Below) and (self._store, self._prefix) == (value._store, value._prefix)

    def __str__(self) -> str:
        return f"{self._store}/{self._prefix}"

    __hash__ = None  # type: ignore[assignment]  # as every zarr store

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        """Read an object or a part of it."""
        return await self._store.get(self._prefix + key, prototype, byte_range)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]],
    ) -> list[Buffer | None]:
        """Read parts of objects."""
        return await self._store.get_partial_values(prototype, [(self._prefix + key, part) for key, part in key_ranges])

    async def _get_many(
        self, requests: Iterable[tuple[str, BufferPrototype, ByteRequest | None]],
    ) -> AsyncGenerator[tuple[str, Buffer | None], None]:
        async for found in Store._get_many(self, requests):  # noqa: SLF001  (the wrapper's own would lose the prefix)
            yield found

    async def exists(self, key: str) -> bool:
        """Say whether there is an object."""
        return await self._store.exists(self._prefix + key)

    async def is_empty(self, prefix: str) -> bool:
        """Say whether there is nothing below a folder."""
        return await self._store.is_empty(self._prefix + prefix)

    def list(self) -> AsyncIterator[str]:
        """List every key."""
        return self.list_prefix("")

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """List keys that start with a prefix."""
        async for key in self._store.list_prefix(self._prefix + prefix):
            yield key.removeprefix(self._prefix)

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """List names in a folder."""
        async for name in self._store.list_dir((self._prefix + prefix).rstrip("/")):
            yield name
