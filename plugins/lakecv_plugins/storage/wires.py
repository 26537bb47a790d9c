"""Objects by absolute url: what a transport over a network does, and objects whose urls somebody else knows.

A catalog gives one url per object and operation, often signed: whoever holds a signed url may do what it says, so its
query is a secret and is shown nowhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

from lakecv.ports import ObjectInfo, ObjectIO
from lakecv_plugins.storage.names import check_key

__all__ = ["HOST", "Address", "AddressedObjects", "Operation", "Wire", "without_query"]

Operation = Literal["read", "write", "delete"]
Address = Callable[[str, Operation], str]
HOST = re.compile(r"(?:[A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?", re.ASCII)
"""A host and perhaps a port, and nothing else that a url may hold before its path."""

_USER = re.compile(r"(?<=//)[^/@]*@")


class Wire(Protocol):
    """Moves whole objects by absolute url; each call is one attempt.  Safe to share between threads."""

    def get(self, url: str) -> bytes:
        """Read a whole object; NotFound (``object-unknown``) where there is none."""

    def get_ranges(self, url: str, ranges: Sequence[tuple[int, int]]) -> Sequence[bytes | memoryview]:
        """Read half-open byte ranges; Corrupt (``short-read``) where the object ends before one does."""

    def put(self, url: str, data: bytes) -> None:
        """Create an object, all of it or nothing; Conflict (``output-exists``) where there is one already."""

    def head(self, url: str) -> int | None:
        """Bytes of an object, None where there is none."""

    def delete(self, url: str) -> None:
        """Remove an object; nothing happens where there is none."""


class AddressedObjects:
    """Objects under one url, each at the address that ``address`` gives for its key and what is to be done.

    It is asked at every request, so that a signed address is fresh.
    """

    def __init__(self, url: str, address: Address, wire: Wire, listing: Callable[[str], Iterable[ObjectInfo]]) -> None:
        self._url, self._address, self._wire, self._listing = url, address, wire, listing

    @property
    def url(self) -> str:
        """The prefix that the keys lie below."""
        return self._url

    def get(self, key: str) -> bytes:
        """Read a whole object; NotFound (``object-unknown``) where there is none."""
        return self._wire.get(self._address(check_key(key), "read"))

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> Sequence[bytes | memoryview]:
        """Read half-open byte ranges; Corrupt (``short-read``) where the object ends before one does."""
        return self._wire.get_ranges(self._address(check_key(key), "read"), ranges)

    def put(self, key: str, data: bytes) -> None:
        """Create an object, all of it or nothing; Conflict (``output-exists``) where there is one already."""
        self._wire.put(self._address(check_key(key, new=True), "write"), data)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Objects whose key starts with the folder ``prefix``, sorted by key."""
        folder = prefix.rstrip("/")
        yield from sorted(self._listing(check_key(folder) if prefix else ""), key=lambda info: info.key)

    def head(self, key: str) -> ObjectInfo | None:
        """Size of an object, None where there is none."""
        nbytes = self._wire.head(self._address(check_key(key), "read"))
        return None if nbytes is None else ObjectInfo(key, nbytes)

    def delete(self, key: str) -> None:
        """Remove an object; nothing happens where there is none."""
        self._wire.delete(self._address(check_key(key, new=True), "delete"))


def without_query(url: str) -> str:
    """Url as it may be shown: no query, where signatures are, no fragment and no user.

    Examples
    --------
    >>> without_query("https://me:word@host/a?X-Amz-Signature=1#part")
    'https://host/a'
    """
    return _USER.sub("", re.split(r"[?#]", url, maxsplit=1)[0], count=1)


if TYPE_CHECKING:

    def _proof(objects: AddressedObjects) -> ObjectIO:
        return objects
