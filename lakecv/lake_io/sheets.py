"""A dataset's arrays as sheets: cell after cell, padded, with the mask of pixels that can be used.

Each chunk is read once however many cells it holds; a cell looks the same whatever block it is read for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from lakecv.cube import ArraySpec, Cell, CubeSpec, Role, Window
from lakecv.lake_io.read import ArrayReader
from lakecv.sheet import Array, Sheet

T = TypeVar("T", bound=np.generic)

__all__ = ["pad", "read_sheets", "usable"]


def read_sheets(
    cube: CubeSpec, readers: Mapping[str, ArrayReader], window: Window, selected: NDArray[np.bool_] | None = None,
) -> Iterator[tuple[Cell, Sheet]]:
    """Read the main array and the mask of every cell in a window, chunk by chunk.

    Parameters
    ----------
    cube : CubeSpec
        Of the dataset.
    readers : reader by array name
        At least of the main array; the mask where the dataset has one.
    window : Window
        One cell, or whole chunks.
    selected : (ny, nx) bool, optional
        Pixels that are to be used, beside what the dataset's own mask says; chunks that have none are not read.

    Yields
    ------
    cell, sheet
        Sheet arrays are (h, w[, spectral]) of the fixed cell shape; samples of unusable pixels are 0.
    """
    grid, main = cube.cells, cube.main
    mask = next((spec for spec in cube.arrays if spec.role is Role.MASK), None)
    wanted = [place for place in grid.chunks(window) if selected is None or selected[place.slices()].any()]
    following = dict(pairwise(wanted))
    for place in grid.chunks(window):
        keep = None if selected is None else selected[place.slices()]
        if keep is not None and not keep.any():
            values = np.zeros((place.height, place.width, *main.shape[2:]), main.dtype)
        else:
            values = readers[main.name].read(place)
            if place in following:
                readers[main.name].ahead(following[place])
            if mask is not None and mask.name in readers:
                own = readers[mask.name].read(place) != 0
                keep = own if keep is None else keep & own
        for cell in grid.cells(place):
            cut = cell.window.slices(place)
            yield cell, _sheet(cell.window, values[cut], None if keep is None else keep[cut], main, grid.cell)


def _sheet(window: Window, values: Array, keep: NDArray[np.bool_] | None, spec: ArraySpec, shape: tuple[int, int]) -> Sheet:
    valid = usable(values, spec)
    if keep is not None:
        valid &= keep
    if not valid.all():
        values = np.where(valid if values.ndim == valid.ndim else valid[..., None], values, values.dtype.type(0))
    return Sheet(window, {spec.name: pad(values, shape)}, pad(valid, shape))


def usable(values: Array, spec: ArraySpec) -> NDArray[np.bool_]:
    """Pixels, (h, w), all of whose samples are finite and that are not no-data in every sample."""
    flat = values if values.ndim > 2 else values[..., None]  # noqa: PLR2004  (y, x and the spectral axis)
    good: NDArray[np.bool_] = np.ones(flat.shape[:2], np.bool_)
    if flat.dtype.kind == "f":
        good &= np.isfinite(flat).all(axis=-1)
    if spec.nodata is not None and np.isfinite(spec.nodata):
        good &= (flat != spec.nodata).any(axis=-1)
    return good


def pad(values: NDArray[T], shape: tuple[int, int]) -> NDArray[T]:
    """Extend (h, w, ...) with zeros at the bottom and the right to a fixed (h, w); no copy where it has that shape."""
    if values.shape[:2] == shape:
        return np.ascontiguousarray(values)
    out = np.zeros((*shape, *values.shape[2:]), values.dtype)
    out[: values.shape[0], : values.shape[1]] = values
    return out
