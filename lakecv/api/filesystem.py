"""``rucio://scope:name`` for every program that knows fsspec: ``xarray.open_zarr("rucio://user.ada:tavola")``.

A dataset looks like the Zarr store that it is.  Each byte is proven before it is given, the nearest replica is read first and
the next one where it fails.  Read-only; Rucio's own configuration says which server and who one is.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from fsspec.spec import AbstractBufferedFile, AbstractFileSystem

from lakecv.api.lake import Lake
from lakecv.errors import Denied, Kind, NotFound
from lakecv.lake_io.copies import CopiedObjects, open_artifacts, open_copies, open_manifest
from lakecv.records import DID, Dataset, Manifest

__all__ = ["DatasetFileSystem"]

_OPENED = 16  # datasets that are kept open


class DatasetFileSystem(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Datasets of a catalog as folders of objects.

    Parameters
    ----------
    catalog : str
        Name of a catalog plugin.
    lake : str, optional
        Url of the lake, where the catalog needs one; else the settings say.
    """

    protocol = "rucio"
    cachable = True

    def __init__(self, catalog: str = "rucio", lake: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._lake = lake
        self._catalog = catalog
        self._store = lru_cache(_OPENED)(self._opened)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        """Read an object, or a part of it, proven; FileNotFoundError where the dataset has none of that name."""
        store, key = self._place(path)
        nbytes = store.nbytes(key)
        first, last, _step = slice(start, end).indices(nbytes)
        if (first, last) == (0, nbytes):
            return store.of(key).get(key)
        [data] = store.of(key).get_ranges(key, [(first, max(first, last))]) if last > first else [b""]
        return bytes(data)

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Say what a path is: the dataset and its folders are directories."""
        store, key = self._place(path)
        name = self._strip_protocol(path)
        if key in store.manifest.by_key:
            return {"name": name, "size": store.nbytes(key), "type": "file"}
        if not key or any(each.startswith(f"{key}/") for each in store.manifest.by_key):
            return {"name": name, "size": 0, "type": "directory"}
        raise FileNotFoundError(path)

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:  # noqa: FBT001, FBT002  (fsspec's signature)
        """List what lies directly in a folder."""
        store, key = self._place(path)
        root = self._strip_protocol(path)
        start = f"{key}/" if key else ""
        names = sorted({each[len(start) :].split("/")[0] for each in store.manifest.by_key if each.startswith(start)})
        if not names:
            return [self.info(path)] if detail else [root]
        found = [f"{root}/{name}" for name in names]
        return [self.info(name) for name in found] if detail else found

    def _open(self, path: str, mode: str = "rb", block_size: int | None = None, **options: Any) -> AbstractBufferedFile:
        if mode != "rb":
            raise Denied(f"{path} is only read", Kind.FORBIDDEN, "lakecv register, or lakecv run, makes a dataset")
        return _ProvenFile(self, path, mode, block_size or "default", cache_type="none", size=self.info(path)["size"], **options)

    def _place(self, path: str) -> tuple[_Store, str]:
        """Find the dataset of a path and the key in it.

        Raises
        ------
        FileNotFoundError
            If the catalog has no such dataset.
        """
        did, _, key = str(self._strip_protocol(path)).partition("/")
        try:
            return self._store(did), key.strip("/")
        except NotFound as err:
            raise FileNotFoundError(str(err)) from err

    def _opened(self, did: str) -> _Store:
        lake = Lake(self._lake, catalog=self._catalog)
        return _Store(lake, lake.show(str(DID.parse(did))))


class _Store:
    """The objects of one dataset, from wherever they can be read."""

    def __init__(self, lake: Lake, dataset: Dataset) -> None:
        dataset = lake.near_first(dataset)
        seen = lake.teller(dataset)
        self.manifest: Manifest = open_manifest(lake.url, dataset, seen)
        self._artifacts = {item.key for item in self.manifest.artifacts}
        self._data = open_copies(lake.url, dataset, self.manifest, seen=seen)
        self._written = open_artifacts(lake.url, dataset, self.manifest, seen)

    def nbytes(self, key: str) -> int:
        """Size of an object; FileNotFoundError where the manifest lists none."""
        record = self.manifest.by_key.get(key)
        if record is None:
            raise FileNotFoundError(key)
        return record.nbytes

    def of(self, key: str) -> CopiedObjects:
        """Objects that a key is one of."""
        return self._written if key in self._artifacts else self._data


class _ProvenFile(AbstractBufferedFile):  # type: ignore[misc]
    """An object opened as a file."""

    def _fetch_range(self, start: int, end: int) -> bytes:
        return bytes(self.fs.cat_file(self.path, start, end))


