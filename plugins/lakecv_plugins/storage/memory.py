"""Storage in this process: ``memory://name/prefix``, for tests and notebooks.

Two opens of one name see the same bytes, so that code which passes urls works unchanged; nothing outlives the process.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from lakecv.errors import InternalError, InvalidInput, Kind, LakeCVError
from lakecv.ports import StoragePlugin
from lakecv_plugins.storage.objects import ObstoreObjects

if TYPE_CHECKING:
    from obstore.store import MemoryStore
    from zarr.abc.store import Store

__all__ = ["MemoryStorage"]


class MemoryStorage:
    """Objects in named dictionaries of this process."""

    @property
    def schemes(self) -> tuple[str, ...]:
        """Url schemes that it serves."""
        return ("memory",)

    def objects(self, url: str, access: str | None = None) -> ObstoreObjects:
        """Open a prefix for object reads and writes."""
        name, prefix = _split(url, access)
        return ObstoreObjects(f"memory://{name}/{prefix}".rstrip("/"), _Named(name), prefix)

    def store(self, url: str, access: str | None = None) -> Store:
        """Open a prefix read-only for zarr-python."""
        from zarr.storage import ObjectStore

        from lakecv_plugins.storage.below import Below

        name, prefix = _split(url, access)
        shared = ObjectStore(_Named(name).find(), read_only=True)
        return Below(shared, prefix) if prefix else shared


class _Named:
    """A store that every open of its name shares."""

    coalesce_nbytes = 0
    far = False

    def __init__(self, name: str) -> None:
        self._name = name

    def find(self) -> MemoryStore:
        from obstore import store

        with _lock:
            if self._name not in _stores:
                _stores[self._name] = store.MemoryStore()
            return _stores[self._name]

    def make(self, nbytes: int) -> MemoryStore:  # noqa: ARG002  (memory has no deadline)
        return self.find()

    def explain(self, err: Exception, where: str, *, writing: bool) -> LakeCVError | None:  # noqa: ARG002  (the protocol's signature)
        """Say that memory does not fail."""
        return InternalError(f"{where}: {err}", Kind.BUG)


_lock = Lock()
_stores: dict[str, MemoryStore] = {}


def _split(url: str, access: str | None) -> tuple[str, str]:
    """Name and prefix (empty, or ending in ``/``) of a url."""
    parts = urlsplit(url)
    prefix = parts.path.strip("/")
    if parts.scheme != "memory" or not parts.netloc or (prefix and {"", ".", ".."} & set(prefix.split("/"))):
        raise InvalidInput(f"'{url}' is not a place in memory", Kind.PATH_MALFORMED, "write memory://name/prefix")
    if access is not None:
        raise InvalidInput("memory needs no credentials", Kind.OPTION_INVALID, "leave the access out")
    return parts.netloc, f"{prefix}/" if prefix else ""


if TYPE_CHECKING:
    _: StoragePlugin = MemoryStorage()
