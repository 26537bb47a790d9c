"""Storage in a folder: ``file`` urls and plain paths.

This is the embedded lake of a laptop, and any shared file system of a cluster.  A put is atomic and create-only because
the object is linked to its name when it is complete; a file system without hard links refuses it.
"""

from __future__ import annotations

import os
import re
from errno import EACCES, EDQUOT, EFBIG, EISDIR, ENAMETOOLONG, ENOSPC, ENOTDIR, EPERM, EROFS
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from lakecv.errors import Conflict, Denied, InvalidInput, Kind, LakeCVError, NotFound, Unavailable
from lakecv.ports import StoragePlugin
from lakecv_plugins.storage.objects import ObstoreObjects

if TYPE_CHECKING:
    from obstore.store import LocalStore
    from zarr.abc.store import Store

__all__ = ["FileStorage"]

_COALESCE_NBYTES = 64 * 1024  # measured: 200 ranges 180 kB apart take 6 ms; at obstore's default of 1 MiB, 37 ms
_ERRNO = re.compile(r"\(os error (\d+)\)")
_FULL = {ENOSPC, EDQUOT, EFBIG}
_REFUSED = {EACCES, EPERM, EROFS}


class FileStorage:
    """Objects as files below a folder.  The folder is made by the first write; modes follow the umask."""

    @property
    def schemes(self) -> tuple[str, ...]:
        """Url schemes that it serves; a path without a scheme is a file too."""
        return ("file",)

    def objects(self, url: str, access: str | None = None) -> ObstoreObjects:
        """Open a folder for object reads and writes."""
        folder = _folder(url, access)
        return ObstoreObjects(folder.path.as_uri(), folder)

    def store(self, url: str, access: str | None = None) -> Store:
        """Open a folder read-only for zarr-python."""
        from zarr.storage import ObjectStore

        folder = _folder(url, access)
        found = folder.find()
        if found is None:
            raise NotFound(f"there is no folder {folder.path}", Kind.PATH_UNKNOWN, "check the path, or where it is mounted")
        return ObjectStore(found, read_only=True)


class _Folder:
    """A folder that need not exist yet."""

    coalesce_nbytes = _COALESCE_NBYTES
    far = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self._store: LocalStore | None = None

    def find(self) -> LocalStore | None:
        if self._store is None and self.path.is_dir():
            return self.make(0)
        return self._store

    def make(self, nbytes: int) -> LocalStore:  # noqa: ARG002  (a folder has no deadline)
        from obstore import store

        if self._store is None:
            self._store = store.LocalStore(self.path, mkdir=True)
        return self._store

    def explain(self, err: Exception, where: str, *, writing: bool) -> LakeCVError | None:
        """Say what a failure means by the system's error number."""
        from obstore import exceptions

        text = str(err).split("\n", 1)[0]
        match = _ERRNO.search(str(err))
        number = int(match[1]) if match else getattr(err, "errno", None)
        if number in _FULL:
            return Denied(
                f"{where} does not fit: {text}", Kind.STORE_FULL, "free some space or raise the quota, then lakecv resume",
            )
        if number in _REFUSED or isinstance(err, exceptions.PermissionDeniedError):
            verb = "written" if writing else "read"
            return Denied(f"{where} may not be {verb}: {text}", Kind.FORBIDDEN, "check owner and mode, or use another lake")
        if number == ENOTDIR and not writing:
            return None
        if number in {ENOTDIR, EISDIR}:
            return Conflict(f"{where} would lie below another object", Kind.OUTPUT_EXISTS, "write under another name")
        if number == ENAMETOOLONG:
            return InvalidInput(f"{where} has too long a name: {text}", Kind.PATH_MALFORMED, "choose a shorter name")
        return Unavailable(f"{where} cannot be reached: {text}", Kind.STORE_UNREACHABLE, "try again, or use another replica")


def _folder(url: str, access: str | None) -> _Folder:
    """Read a ``file`` url (percent-encoded) or a plain path (taken as it is, relative to the working folder)."""
    if access is not None:
        raise InvalidInput(
            "a folder needs no credentials; its files have owners and modes", Kind.OPTION_INVALID, "leave the access out",
        )
    parts = urlsplit(url)
    if parts.scheme != "file":
        path = url
    elif parts.netloc in {"", "localhost"} and parts.path.startswith("/"):
        path = unquote(parts.path)
    else:
        raise InvalidInput(
            f"'{url}' does not name a folder of this machine", Kind.PATH_MALFORMED, "write file:///absolute/path",
        )
    if not path or "\0" in path:
        raise InvalidInput(f"{path!r} is not a path", Kind.PATH_MALFORMED, "name a folder")
    absolute = Path(os.path.abspath(path))  # noqa: PTH100  (Path.resolve would follow links, absolute() keep '..')
    if absolute.exists() and not absolute.is_dir():
        raise InvalidInput(f"{absolute} is a file; a folder was expected", Kind.PATH_MALFORMED, "name the folder it lies in")
    return _Folder(absolute)


if TYPE_CHECKING:
    _: StoragePlugin = FileStorage()
