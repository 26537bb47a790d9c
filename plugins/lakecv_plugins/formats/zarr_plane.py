"""Where the pixels of a Zarr array lie: its CRS and its even coordinates, and what is odd about them.

Nothing is corrected: a CRS that cannot be right is kept as it is, with a note, because only the owner knows which half of
it is wrong.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any

import numpy as np

from lakecv.cube import Grid
from lakecv_plugins.formats.calibration import spelled
from lakecv_plugins.formats.georeference import GEOGRAPHIC, WKT, Notes
from lakecv_plugins.formats.layout import Layout
from lakecv_plugins.formats.zarr_folder import ZarrNode, coordinate

__all__ = ["grid_of"]

_EVEN = 1e-6
_DEGREES = re.compile(r"deg(ree)?s?(_(east|north|E|N))?")
_LENGTHS = {"mm", "cm", "m", "km"}


def grid_of(found: tuple[ZarrNode, ...], node: ZarrNode, layout: Layout) -> tuple[Grid, Notes]:
    """Picture plane from the CRS that rioxarray writes, else from even coordinates with a unit; and what is odd about it."""
    grid, notes = _referenced(found, node, Grid(*layout.picture))
    if layout.is_flat:
        return grid, notes
    vectors = [coordinate(found, node, node.names[layout.axes.index(dim)]) for dim in ("y", "x")]
    units = {vector.text("units", "unit") for vector in vectors if vector is not None}
    steps = [_even_step(vector) for vector in vectors if vector is not None]
    unit = spelled(next(iter(units), None))
    if len(steps) != 2 or len(units) != 1 or unit is None or 0.0 in steps:  # noqa: PLR2004
        return grid, notes
    return replace(grid, pixel_size=(steps[0], steps[1]), pixel_unit=unit), (*notes, *_disagreement(grid.crs, unit))


def _referenced(found: tuple[ZarrNode, ...], node: ZarrNode, grid: Grid) -> tuple[Grid, Notes]:
    """Lay the CRS over a grid, if there is one."""
    said, folder = node.text("grid_mapping"), node.path.rpartition("/")[0]
    wanted = {said, f"{folder}/{said}".strip("/"), "spatial_ref"}
    mapping = next((other for other in found if other.path in wanted), None)
    if mapping is None:
        return grid, (f"the CRS '{said}' is not in the store; the picture has no place on Earth",) if said else ()
    wkt = mapping.text("crs_wkt")
    if wkt is None:
        return grid, (f"the CRS '{mapping.path}' has no crs_wkt; the picture has no place on Earth",)
    odd = () if WKT.match(wkt) else (f"the CRS '{wkt[:60]}' is no WKT; it is kept as it is",)
    return replace(grid, crs=wkt, affine=_affine(mapping.attributes.get("GeoTransform"))), odd


def _disagreement(crs: str | None, unit: str) -> Notes:
    """Find degrees that are taken for metres, or metres for degrees."""
    if crs is None or not WKT.match(crs):
        return ()
    if GEOGRAPHIC.match(crs) and unit in _LENGTHS:
        return (f"the CRS counts in degrees, the pixels in {unit}; one of them is wrong",)
    if not GEOGRAPHIC.match(crs) and _DEGREES.fullmatch(unit):
        return (f"the CRS counts in lengths, the pixels in {unit}; one of them is wrong",)
    return ()


def _affine(text: Any) -> tuple[float, ...] | None:
    """Read GDAL's order (c, a, b, f, d, e) into (a, b, c, d, e, f)."""
    try:
        numbers = [float(part) for part in str(text).split()]
    except ValueError:
        return None
    if len(numbers) != 6 or not all(math.isfinite(number) for number in numbers):  # noqa: PLR2004
        return None
    c, a, b, f, d, e = numbers
    return a, b, c, d, e, f


def _even_step(vector: ZarrNode) -> float:
    """Distance between coordinates; 0 where it is not the same everywhere."""
    with vector.array.open() as array:
        values = np.asarray(array[(slice(0, vector.array.shape[0]),)], np.float64)
    steps = np.diff(values)
    if not len(steps) or not np.allclose(steps, steps[0], rtol=_EVEN, atol=0.0):
        return 0.0
    return abs(float(values[-1] - values[0])) / len(steps)
