"""Where a picture lies on the Earth: a CRS as WKT, six coefficients, and what is odd about them.

Nothing is corrected: a CRS that cannot be right is kept as it is, with a note, because only the owner knows which half of
it is wrong.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace

from lakecv.cube import Grid
from lakecv_plugins.formats.calibration import spelled

__all__ = ["GEOGRAPHIC", "WKT", "Notes", "placed"]

Notes = tuple[str, ...]

WKT = re.compile(r"\s*(PROJ|GEOG|GEOD|GEOC|VERT|COMPD|COMPOUND|BOUND|ENGINEERING|ENG|LOCAL_)(CS|CRS)\s*\[", re.IGNORECASE)  # WKT 1 and 2
GEOGRAPHIC = re.compile(r"\s*(GEOGCS|GEOGCRS|GEODCRS)\s*\[", re.IGNORECASE)
_NOWHERE = re.compile(r"\s*(ENGINEERINGCRS|ENGCRS|LOCAL_CS)\s*\[", re.IGNORECASE)
_UNIT = re.compile(r'(?:LENGTH)?UNIT\s*\[\s*"([^"]+)"', re.IGNORECASE)
_LENGTHS = {"m", "cm", "mm"}
_WIDEST_DEGREES, _FINEST_LENGTH = 1.0, 0.001


def placed(grid: Grid, crs: str | None, affine: tuple[float, ...] | None) -> tuple[Grid, Notes]:
    """Lay a CRS and an affine over a grid; the size of a pixel follows where the CRS counts in a length.

    Parameters
    ----------
    grid
        Rows and columns.
    crs
        Well-known text; None where the file has none.
    affine
        (a, b, c, d, e, f) from column and row to the CRS; None where the file has none.
    """
    if affine is not None and not (all(math.isfinite(number) for number in affine) and any(affine)):
        return replace(grid, crs=crs), ("the affine transform is no set of six numbers; it is left out",)
    grid = replace(grid, crs=crs, affine=affine)
    doubt = _doubt(crs, affine)
    if doubt or crs is None or affine is None:
        return grid, (doubt,)
    height, width = math.hypot(affine[1], affine[4]), math.hypot(affine[0], affine[3])
    if GEOGRAPHIC.match(crs):
        return grid, _too_wide(height, width)
    unit = spelled((_UNIT.findall(crs) or [""])[-1])
    if unit not in _LENGTHS or 0.0 in {height, width}:
        return grid, ()
    return replace(grid, pixel_size=(height, width), pixel_unit=unit), _too_fine(grid, unit, max(height, width))


def _doubt(crs: str | None, affine: tuple[float, ...] | None) -> str:
    """Say why a picture has no place on Earth; empty where it has one."""
    if crs is None:
        return "the file names no CRS; the picture has no place on Earth"
    if not WKT.match(crs):
        return f"the CRS '{crs[:60]}' is no WKT; it is kept as it is"
    if _NOWHERE.match(crs):
        return "the CRS is a local one; the picture has no place on Earth"
    return "" if affine is not None else "the file has a CRS but does not say where its pixels lie in it"


def _too_wide(height: float, width: float) -> Notes:
    """Find lengths that are taken for degrees: no scene has pixels of more than a degree."""
    if max(height, width) <= _WIDEST_DEGREES:
        return ()
    return (f"the CRS counts in degrees, the pixels are {height:g} x {width:g}: metres? One of them is wrong",)


def _too_fine(grid: Grid, unit: str, side: float) -> Notes:
    """Find degrees that are taken for lengths: pixels below a millimetre, at coordinates of a globe."""
    if grid.affine is None or side * {"m": 1.0, "cm": 0.01, "mm": 0.001}[unit] >= _FINEST_LENGTH:
        return ()
    if abs(grid.affine[2]) > 180.0 or abs(grid.affine[5]) > 90.0:  # noqa: PLR2004  (longitude and latitude end there)
        return ()
    return (f"the CRS counts in {unit}, the pixels are {side:g} wide: degrees? One of them is wrong",)
