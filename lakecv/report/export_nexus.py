"""HDF5 in NeXus' shape: NXroot / NXentry / NXdata, each naming its default, so that viewers draw the array with its axes.

Beside the data lie, as text, what NXdata has no place for: where the grid is, and the names and colors of labels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lakecv.cube import Grid
from lakecv.registry import explain_import
from lakecv.report.subject import Subject

__all__ = ["write"]

_INTERPRETATIONS = {2: "image", 3: "spectrum"}
_LEAST_COMPRESSED = 1 << 16


def write(subject: Subject, part: Path, _beside: Path | None) -> None:
    """Write any array; it is the default of its entry, the entry that of the file.

    Raises
    ------
    PluginError
        If h5py is not installed (kind ``missing-extra``).
    """
    try:
        import h5py
    except ImportError as err:
        raise explain_import(err) from err
    with h5py.File(part, "x") as file:
        file.attrs.update({"NX_class": "NXroot", "default": "entry", "creator": "lakecv"})
        entry = _group(file, "entry", "NXentry")
        entry.attrs["default"] = "data"
        entry["title"] = subject.spec.title or subject.spec.name
        if subject.source:
            entry["entry_identifier"] = subject.source
        _plot(subject, _group(entry, "data", "NXdata"))
        if subject.grid is not None and subject.spec.is_image:
            _say(_group(entry, "grid", "NXcollection"), subject.grid)
        if subject.is_labels:
            labels = _group(entry, "labels", "NXcollection")
            labels["label"] = np.array([each.label for each in subject.classes], np.int64)
            labels["name"] = [each.name for each in subject.classes]
            labels["color"] = np.array([each.color for each in subject.classes], np.uint8).reshape(-1, 3)


def _plot(subject: Subject, data: Any) -> None:
    """Write the signal and an axis for each of its dims."""
    signal, array = _signal(subject), subject.array
    more = {"compression": "gzip", "compression_opts": 4, "shuffle": True} if array.nbytes >= _LEAST_COMPRESSED else {}
    stored = data.create_dataset(signal, data=array, **more)
    stored.attrs["long_name"] = subject.spec.title or subject.spec.name
    if array.ndim in _INTERPRETATIONS and (array.ndim == 2 or subject.spectral is not None):  # noqa: PLR2004
        stored.attrs["interpretation"] = _INTERPRETATIONS[array.ndim]
    if subject.spec.unit:
        stored.attrs["units"] = subject.spec.unit
    if subject.nodata is not None:
        stored.attrs["_FillValue"] = np.array(subject.nodata).astype(array.dtype)
    names = [_axis(subject, data, place) for place in range(array.ndim)]
    data.attrs["signal"], data.attrs["axes"] = signal, names
    for place, name in enumerate(names):
        data.attrs[f"{name}_indices"] = place


def _axis(subject: Subject, data: Any, place: int) -> str:
    """Write the coordinates of one dim and return its name: positions of pixels, energies, or numbers."""
    dim, size = subject.spec.dims[place], subject.array.shape[place]
    axis, grid = subject.spectral, subject.grid
    if dim == "spectral" and axis is not None:
        name, values, unit, title = str(axis.quantity), np.array(axis.coordinates, float), axis.unit, axis.label
    elif subject.spec.is_image and place < 2 and grid is not None and grid.pixel_size is not None:  # noqa: PLR2004
        name, values, unit, title = dim, np.arange(size) * grid.pixel_size[place], grid.pixel_unit, f"{dim} [{grid.pixel_unit or 'pixel'}]"
    else:
        name, values, unit, title = dim, np.arange(size), None, dim
    name = f"{name}_axis" if name == _signal(subject) else name
    stored = data.create_dataset(name, data=values)
    stored.attrs["long_name"] = title
    if unit:
        stored.attrs["units"] = unit
    return name


def _signal(subject: Subject) -> str:
    return subject.spec.name.replace("/", "_")


def _say(group: Any, grid: Grid) -> None:
    """Say where the pixels are, in the words of the record."""
    for name in ("crs", "affine", "wcs", "pixel_size", "pixel_unit"):
        value = getattr(grid, name)
        if value is not None:
            group[name] = value


def _group(parent: Any, name: str, kind: str) -> Any:
    made = parent.create_group(name)
    made.attrs["NX_class"] = kind
    return made
