"""Objects under one url, over an obstore store: the transport behind ``file`` and ``memory``.

One class serves every store that obstore knows, so that a folder, a bucket and a test differ in how they are opened only.
Foreign exceptions are translated here and nowhere else.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from errno import EACCES, EDQUOT, EFBIG, EISDIR, ENAMETOOLONG, ENOSPC, ENOTDIR, EPERM, EROFS
from typing import TYPE_CHECKING, Protocol

from lakecv.errors import (
    Conflict,
    Corrupt,
    Denied,
    InternalError,
    InvalidInput,
    Kind,
    LakeCVError,
    NotFound,
    Unavailable,
)
from lakecv.ports import ObjectInfo, ObjectIO

if TYPE_CHECKING:
    from obstore.store import LocalStore, MemoryStore

__all__ = ["ObstoreObjects", "Root"]

_SEGMENT = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
_ERRNO = re.compile(r"\(os error (\d+)\)")
_FULL = {ENOSPC, EDQUOT, EFBIG}
_REFUSED = {EACCES, EPERM, EROFS}


class Root(Protocol):
    """Where a store is found, and made at the first write: opening one to read leaves no trace."""

    @property
    def coalesce_nbytes(self) -> int:
        """Gap between two ranges that is cheaper to read than to skip."""

    def find(self) -> LocalStore | MemoryStore | None:
        """Open the store, None where nothing has been written yet."""

    def make(self) -> LocalStore | MemoryStore:
        """Open the store for writing."""


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
        with self._translated(key):
            return bytes(self._found(key).get(path).bytes())

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Read half-open byte ranges; Corrupt (``short-read``) where the object ends before one does.

        The size is asked first: obstore cuts a range that runs past the end, and aborts on one that starts there.
        """
        info = self.head(key)
        if info is None:
            raise self._absent(key)
        _check_ranges(f"{self.url}/{key}", info.nbytes, ranges)
        wanted = [(start, stop) for start, stop in ranges if stop > start]
        if not wanted:
            return [b""] * len(ranges)
        starts, stops = zip(*wanted, strict=True)
        with self._translated(key):
            parts = self._found(key).get_ranges(
                self._path(key), starts=starts, ends=stops, coalesce=self._root.coalesce_nbytes,
            )
        found = map(bytes, parts)
        return [next(found) if stop > start else b"" for start, stop in ranges]

    def put(self, key: str, data: bytes) -> None:
        """Create an object, all of it or nothing; Conflict (``output-exists``) where there is one already.

        A folder's store writes a hidden file beside the object and links it to its name: of any number of writers one
        wins, and a writer that dies leaves nothing that a listing shows.
        """
        path = self._path(key, new=True)
        _check_fork()
        with self._translated(key, writing=True):
            self._root.make().put(path, data, mode="create", use_multipart=False)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Objects whose key starts with the folder ``prefix``, sorted by key."""
        folder = prefix.rstrip("/")
        path = self._path(folder) if folder else self._prefix.rstrip("/")
        _check_fork()
        with self._translated(prefix):
            store = self._root.find()
            batches = store.list(path or None) if store else ()
            skip = len(self._prefix)
            found = [ObjectInfo(item["path"][skip:], item["size"]) for batch in batches for item in batch]
        yield from sorted(found, key=lambda info: info.key)

    def head(self, key: str) -> ObjectInfo | None:
        """Size of an object, None where there is none."""
        path = self._path(key)
        try:
            with self._translated(key):
                return ObjectInfo(key, self._found(key).head(path)["size"])
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

    def _found(self, key: str) -> LocalStore | MemoryStore:
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
        from obstore.exceptions import AlreadyExistsError, BaseError

        try:
            yield
        except AlreadyExistsError as err:
            raise Conflict(
                f"'{key}' exists already in {self.url}; objects are never overwritten", Kind.OUTPUT_EXISTS,
                "write under another name, or delete it first",
            ) from err
        except FileNotFoundError as err:
            raise self._absent(key) from err
        except (BaseError, OSError) as err:
            raise self._failure(key, err, writing=writing) from err

    def _failure(self, key: str, err: Exception, *, writing: bool) -> LakeCVError:
        """Say what an unexpected failure means, by the system's error number where there is one."""
        from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

        text, where = str(err).split("\n", 1)[0], f"'{key}' in {self.url}"
        match = _ERRNO.search(str(err))
        number = int(match[1]) if match else getattr(err, "errno", None)
        if number in _FULL:
            return Denied(
                f"{where} does not fit: {text}", Kind.STORE_FULL, "free some space or raise the quota, then lakecv resume",
            )
        if number in _REFUSED or isinstance(err, PermissionDeniedError | UnauthenticatedError):
            verb = "written" if writing else "read"
            return Denied(f"{where} may not be {verb}: {text}", Kind.FORBIDDEN, "check owner and mode, or use another lake")
        if number == ENOTDIR and not writing:
            return self._absent(key)
        if number in {ENOTDIR, EISDIR}:
            return Conflict(f"{where} would lie below another object", Kind.OUTPUT_EXISTS, "write under another name")
        if number == ENAMETOOLONG:
            return InvalidInput(f"{where} has too long a name: {text}", Kind.PATH_MALFORMED, "choose a shorter name")
        return Unavailable(f"{where} cannot be reached: {text}", Kind.STORE_UNREACHABLE, "try again, or use another replica")


def _check_ranges(name: str, nbytes: int, ranges: Sequence[tuple[int, int]]) -> None:
    for start, stop in ranges:
        if not 0 <= start <= stop:
            raise InternalError(f"bytes {start}:{stop} of {name} are not a range", Kind.BUG)
        if stop > nbytes:
            raise Corrupt(
                f"{name} ends at byte {nbytes}; bytes {start}:{stop} were expected", Kind.SHORT_READ,
                "the copy is damaged: use another replica or register the source again",
            )


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
