"""In-memory fakes that keep the same contracts as the real plugins, for tests without disk or network.

Pure Python and as plain as can be: where a fake and a plugin disagree, the contract suite shows it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from threading import Lock

from lakecv.errors import Conflict, Corrupt, InvalidInput, Kind, NotFound
from lakecv.ports import ObjectInfo, ObjectIO

__all__ = ["MemoryObjects"]

_KEY = re.compile(r"(?!(.*/)?\.{1,2}(/|$))[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*", re.ASCII)


class MemoryObjects:
    """Objects in a dictionary.

    Examples
    --------
    >>> objects = MemoryObjects()
    >>> objects.put("a/b", b"spectrum")
    >>> objects.get_ranges("a/b", [(0, 4)])
    [b'spec']
    """

    def __init__(self, url: str = "fake://objects") -> None:
        self._url = url
        self._lock = Lock()
        self._stored: dict[str, bytes] = {}

    @property
    def url(self) -> str:
        """The prefix that the keys lie below."""
        return self._url

    def get(self, key: str) -> bytes:
        """Read a whole object."""
        try:
            return self._stored[_checked(key)]
        except KeyError as err:
            raise NotFound(f"there is no object '{key}' in {self.url}", Kind.OBJECT_UNKNOWN, "check the name") from err

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Read half-open byte ranges."""
        data = self.get(key)
        if any(stop > len(data) for _, stop in ranges):
            raise Corrupt(f"{self.url}/{key} ends at byte {len(data)}", Kind.SHORT_READ, "use another replica")
        return [data[start:stop] for start, stop in ranges]

    def put(self, key: str, data: bytes) -> None:
        """Create an object."""
        _checked(key)
        with self._lock:
            if key in self._stored:
                raise Conflict(f"'{key}' exists already in {self.url}", Kind.OUTPUT_EXISTS, "write under another name")
            self._stored[key] = bytes(data)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """List the objects in a folder."""
        folder = prefix.rstrip("/")
        start = f"{_checked(folder)}/" if folder else ""
        yield from (ObjectInfo(key, len(data)) for key, data in sorted(self._stored.items()) if key.startswith(start))

    def head(self, key: str) -> ObjectInfo | None:
        """Size of an object, None where there is none."""
        data = self._stored.get(_checked(key))
        return None if data is None else ObjectInfo(key, len(data))

    def delete(self, key: str) -> None:
        """Remove an object."""
        self._stored.pop(_checked(key), None)


def _checked(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise InvalidInput(f"{key!r} is not a key", Kind.PATH_MALFORMED, "rename the object")
    return key


_: ObjectIO = MemoryObjects()
