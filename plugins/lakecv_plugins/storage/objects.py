"""Objects under one url, over an obstore store: the transport behind ``file``, ``memory`` and ``s3``.

One class serves every store that obstore knows: a folder, a bucket and a test differ in how they are opened, and in what
their failures mean, which their root says.

Functions import obstore's modules from the package: two threads that began with two of its modules would each wait for what
the other imports, and one would see half of it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from lakecv.errors import Conflict, Corrupt, InternalError, InvalidInput, Kind, LakeCVError, NotFound
from lakecv.ports import ObjectInfo, ObjectIO
from lakecv_plugins.storage.spans import PIECE_NBYTES, check_end, check_ranges, cut, spans

if TYPE_CHECKING:
    from obstore.store import LocalStore, MemoryStore, S3Store

    Store = LocalStore | MemoryStore | S3Store

__all__ = ["ObstoreObjects", "Root"]

_SEGMENT = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)


class Root(Protocol):
    """Where a store is found, and made at the first write: opening one to read leaves no trace."""

    @property
    def coalesce_nbytes(self) -> int:
        """Gap between two ranges that is cheaper to read than to skip."""

    @property
    def far(self) -> bool:
        """Whether a question costs a round trip; a store that is far answers a range past its end with an error."""

    def find(self) -> Store | None:
        """Open the store, None where nothing has been written yet."""

    def make(self, nbytes: int) -> Store:
        """Open the store for writing an object of a size."""

    def explain(self, err: Exception, where: str, *, writing: bool) -> LakeCVError | None:
        """Say what an unexpected exception of obstore means; None = there is no such object."""


class ObstoreObjects:
    """Objects below ``url``: those of a root's store whose path starts with ``prefix`` (empty, or ending in ``/``)."""

    def __init__(self, url: str, root: Root, prefix: str = "") -> None:
        self._url = url
        self._root = root
        self._prefix = prefix

    @property
    def url(self) -> str:
        """The prefix that the keys lie below."""
        return self._url

    def get(self, key: str) -> bytes:
        """Read a whole object; NotFound (``object-unknown``) where there is none."""
        path = self._path(key)
        if not self._root.far:
            with self._translated(key):
                return bytes(self._found(key).get(path).bytes())
        try:
            with self._translated(key):
                first = self._found(key).get(path, options={"range": (0, PIECE_NBYTES)})
                head, nbytes = first.bytes(), first.meta["size"]
        except Corrupt:  # an empty object has no range at all
            if self.head(key) == ObjectInfo(key, 0):
                return b""
            raise
        rest = self.get_ranges(key, [(len(head), nbytes)]) if len(head) < nbytes else []
        return b"".join([head, *rest])

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> Sequence[bytes | memoryview]:
        """Read half-open byte ranges; Corrupt (``short-read``) where the object ends before one does.

        Of a store that is near the size is asked first: obstore cuts a range that runs past the end, and aborts on one
        that starts there.
        """
        name = f"{self.url}/{key}"
        check_ranges(name, ranges)
        if not self._root.far:
            info = self.head(key)
            if info is None:
                raise self._absent(key)
            check_end(name, info.nbytes, max((stop for _, stop in ranges), default=0))
        path, wanted = self._path(key), spans(ranges, self._root.coalesce_nbytes)
        if not wanted:
            return [memoryview(b"")] * len(ranges)
        starts, stops = zip(*wanted, strict=True)
        with self._translated(key):
            parts = self._found(key).get_ranges(path, starts=starts, ends=stops, coalesce=0)
        for (start, stop), part in zip(wanted, parts, strict=True):
            check_end(name, start + len(part), stop)
        views = [memoryview(part) for part in parts]
        return [cut(views, wanted, *each) for each in ranges]

    def put(self, key: str, data: bytes) -> None:
        """Create an object, all of it or nothing; Conflict (``output-exists``) where there is one already.

        A folder's store writes a hidden file beside the object and links it to its name: of any number of writers one
        wins, and a writer that dies leaves nothing that a listing shows.
        """
        path = self._path(key, new=True)
        _check_fork()
        with self._translated(key, writing=True):
            self._root.make(len(data)).put(path, data, mode="create", use_multipart=False)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Objects whose key starts with the folder ``prefix``, sorted by key."""
        folder = prefix.rstrip("/")
        path = self._path(folder) if folder else self._prefix.rstrip("/")
        _check_fork()
        with self._translated(prefix):
            store = self._root.find()
            batches = store.list(path or None) if store else ()
            skip = len(self._prefix)
            found = [ObjectInfo(item["path"][skip:], item["size"], item["last_modified"].timestamp()) for batch in batches for item in batch]
        yield from sorted(found, key=lambda info: info.key)

    def head(self, key: str) -> ObjectInfo | None:
        """Size of an object, None where there is none."""
        path = self._path(key)
        try:
            with self._translated(key):
                found = self._found(key).head(path)
                return ObjectInfo(key, found["size"], found["last_modified"].timestamp())
        except NotFound:
            return None

    def delete(self, key: str) -> None:
        """Remove an object; nothing happens where there is none."""
        path = self._path(key, new=True)
        try:
            with self._translated(key):
                self._found(key).delete(path)
        except NotFound:
            return

    def _found(self, key: str) -> Store:
        _check_fork()
        store = self._root.find()
        if store is None:
            raise self._absent(key)
        return store

    def _path(self, key: str, *, new: bool = False) -> str:
        """Check a key and turn it into a path of the store.  What others wrote may be read under any safe name."""
        for part in key.split("/"):
            plain = _SEGMENT.fullmatch(part) if new else part.isprintable() and "\\" not in part and part
            if not plain or part in {".", ".."}:
                raise InvalidInput(
                    f"{key!r} is not a key; keys are relative, without empty parts or '..', of A-Z a-z 0-9 . _ - and /",
                    Kind.PATH_MALFORMED, "rename the object",
                )
        return self._prefix + key

    def _absent(self, key: str) -> NotFound:
        return NotFound(
            f"there is no object '{key}' in {self.url}", Kind.OBJECT_UNKNOWN, "check the name, or whether the data was moved",
        )

    @contextmanager
    def _translated(self, key: str, *, writing: bool = False) -> Iterator[None]:
        """Turn obstore's exceptions into lakecv's."""
        from obstore import exceptions

        try:
            yield
        except exceptions.AlreadyExistsError as err:
            raise Conflict(
                f"'{key}' exists already in {self.url}; objects are never overwritten", Kind.OUTPUT_EXISTS,
                "write under another name, or delete it first",
            ) from err
        except FileNotFoundError as err:
            raise self._absent(key) from err
        except (exceptions.BaseError, OSError) as err:
            where = f"'{key}' in {self.url}" if key else self.url
            raise self._root.explain(err, where, writing=writing) or self._absent(key) from err


_opened_by: int | None = None


def _check_fork() -> None:
    """Refuse to hang: obstore's threads do not survive a fork, and its calls in the child would never return."""
    global _opened_by  # noqa: PLW0603  (the one fact that a forked child must know)
    if _opened_by is None:
        _opened_by = os.getpid()
    elif _opened_by != os.getpid():
        raise InternalError(
            f"process {os.getpid()} was forked from one that had opened storage (process {_opened_by})", Kind.BUG,
            "start workers with spawn or forkserver",
        )


if TYPE_CHECKING:

    def _proof(objects: ObstoreObjects) -> ObjectIO:
        return objects
