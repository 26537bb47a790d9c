"""How datasets are looked at: opened as lazy xarray, exported, reported on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lakecv import registry
from lakecv.cube import ArraySpec, Window
from lakecv.errors import InvalidInput, Kind, NotFound
from lakecv.lake_io.objects import get_checked
from lakecv.lake_io.place import FOLDERS, locate
from lakecv.lake_io.publish import load_manifest
from lakecv.lake_io.read import open_array, read_table
from lakecv.ports import ObjectIO
from lakecv.records import Dataset, Manifest
from lakecv.sheet import Array

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["check_target", "open_lazy", "read_artifact", "read_whole", "write_new"]


def open_lazy(lake: str, dataset: Dataset) -> xr.Dataset:
    """Open a dataset lazily through zarr-python, samples as they are stored, each object compared with the manifest."""
    import xarray as xr

    from lakecv.lake_io.foreign import CheckedStore

    objects, manifest = _data(lake, dataset)
    own = all(spec.compressor is not None for spec in dataset.cube.arrays)
    opened: xr.Dataset = xr.open_zarr(CheckedStore(objects, manifest, ranges=own), chunks=None, consolidated=None, mask_and_scale=False)
    opened.attrs |= {"did": str(dataset.did), "title": dataset.title, "digest": dataset.digest}
    return opened


def read_whole(lake: str, dataset: Dataset, spec: ArraySpec) -> Array:
    """Read one array into memory, verified."""
    objects, manifest = _data(lake, dataset)
    if not spec.is_image:
        return read_table(objects, spec, manifest)
    reader = open_array(objects, spec, manifest, dataset.path_of(spec.name))
    return reader.read(Window(0, spec.shape[0], 0, spec.shape[1]))


def read_artifact(lake: str, dataset: Dataset, key: str) -> bytes:
    """Read a report, thumbnail or state of a dataset.

    Raises
    ------
    NotFound
        If the dataset has none (kind ``object-unknown``).
    """
    home = registry.open_objects(locate(lake, dataset.home))
    manifest = load_manifest(home, dataset.digest)
    if key not in manifest.by_key:
        raise NotFound(f"{dataset.did} has no {key}", Kind.OBJECT_UNKNOWN, f"lakecv run pca+kmeans {dataset.did}")
    return get_checked(home, key, manifest)


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


def _data(lake: str, dataset: Dataset) -> tuple[ObjectIO, Manifest]:
    home = registry.open_objects(locate(lake, dataset.home))
    return registry.open_objects(locate(lake, dataset.replicas[0].url)), load_manifest(home, dataset.digest)
