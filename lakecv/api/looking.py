"""How datasets are looked at: opened as lazy xarray, exported, reported on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lakecv.cube import ArraySpec, Window
from lakecv.errors import InvalidInput, Kind, NotFound
from lakecv.lake_io.copies import Seen, ignore, open_artifacts, open_copies, open_manifest
from lakecv.lake_io.place import FOLDERS
from lakecv.lake_io.read import open_array, read_table
from lakecv.ports import ObjectIO
from lakecv.records import Dataset, Manifest
from lakecv.sheet import Array

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["as_xarray", "check_target", "open_lazy", "read_artifact", "read_whole", "write_new"]


def open_lazy(lake: str, dataset: Dataset, seen: Seen = ignore) -> xr.Dataset:
    """Open a dataset lazily through zarr-python, samples as they are stored, each object compared with the manifest."""
    opened = as_xarray(*_data(lake, dataset, seen))
    opened.attrs |= {"did": str(dataset.did), "title": dataset.title, "digest": dataset.digest}
    return opened


def as_xarray(objects: ObjectIO, manifest: Manifest) -> xr.Dataset:
    """Open proven objects through zarr-python, lazily."""
    import xarray as xr

    from lakecv.lake_io.foreign import CheckedStore

    root = objects.get("zarr.json") if "zarr.json" in manifest.by_key else b""
    is_consolidated = b'"consolidated_metadata"' in root or ".zmetadata" in manifest.by_key  # xarray warns where it has to look
    store = CheckedStore(objects, manifest)
    opened: xr.Dataset = xr.open_zarr(store, chunks=None, consolidated=is_consolidated, mask_and_scale=False)
    return opened


def read_whole(lake: str, dataset: Dataset, spec: ArraySpec, seen: Seen = ignore) -> Array:
    """Read one array into memory, verified."""
    objects, manifest = _data(lake, dataset, seen)
    if not spec.is_image:
        return read_table(objects, spec, manifest)
    reader = open_array(objects, spec, manifest, dataset.path_of(spec.name))
    return reader.read(Window(0, spec.shape[0], 0, spec.shape[1]))


def read_artifact(lake: str, dataset: Dataset, key: str, seen: Seen = ignore) -> bytes:
    """Read a report, thumbnail or state of a dataset.

    Raises
    ------
    NotFound
        If the dataset has none (kind ``object-unknown``).
    """
    manifest = open_manifest(lake, dataset, seen)
    if key not in manifest.by_key:
        raise NotFound(f"{dataset.did} has no {key}", Kind.OBJECT_UNKNOWN, f"lakecv run pca+kmeans {dataset.did}")
    return open_artifacts(lake, dataset, manifest, seen).get(key)


def check_target(path: Path, lake: str, dataset: Dataset) -> None:
    """Keep a file of the user out of the lake's own folders, and out of a store that was registered where it lies.

    Raises
    ------
    InvalidInput
        If the file would lie in one (kind ``path-malformed``).
    """
    place = path.resolve()
    root = Path(lake.removeprefix("file://")).resolve()
    stores = [Path(replica.url).resolve() for replica in dataset.replicas if replica.url.startswith("/")]
    inside = {f"the lake {root}": [root / folder for folder in FOLDERS], f"the dataset {dataset.did}": stores}
    for name, folders in inside.items():
        if any(place.is_relative_to(folder) for folder in folders):
            raise InvalidInput(f"{path} is inside {name}", Kind.PATH_MALFORMED, "give a path outside, such as the folder you are in")


def write_new(path: Path, data: bytes) -> None:
    """Write a file for the user, all of it or nothing; one that is there is never overwritten."""
    from lakecv.report.export import created

    with created(path) as part:
        part.write_bytes(data)


def _data(lake: str, dataset: Dataset, seen: Seen) -> tuple[ObjectIO, Manifest]:
    manifest = open_manifest(lake, dataset, seen)
    return open_copies(lake, dataset, manifest, seen=seen), manifest
