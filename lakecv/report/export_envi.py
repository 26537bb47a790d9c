"""ENVI: a text header (.hdr) beside a raw file (.img); a label map is a classification with names and colors.

Labels keep their numbers, so that they are those of the report; no data is the header's ``data ignore value``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lakecv.cube import Grid, SpectralAxis
from lakecv.errors import InvalidInput, Kind
from lakecv.registry import explain_import
from lakecv.report.subject import Subject
from lakecv.report.text import clean

__all__ = ["raw", "write"]

_TYPES = {"uint8": 1, "int16": 2, "int32": 3, "float32": 4, "float64": 5, "uint16": 12, "uint32": 13, "int64": 14, "uint64": 15}
_UNITS = {"nm": "Nanometers", "um": "Micrometers", "mm": "Millimeters", "cm": "Centimeters", "m": "Meters", "Angstrom": "Angstroms",
          "cm-1": "Wavenumber", "GHz": "GHz", "MHz": "MHz"}  # fmt: skip
_SYNTAX = str.maketrans({"{": "(", "}": ")", ",": ";", "=": "-"})
_NORTH, _SOUTH, _GEOGRAPHIC = 32600, 32700, 4326
_ZONES = 60


def raw(_subject: Subject, to: Path) -> Path:
    """Name the raw file of a header."""
    return to.with_suffix(".img")


def write(subject: Subject, part: Path, beside: Path | None) -> None:
    """Write the samples, band by pixel, and the header that explains them.

    Raises
    ------
    InvalidInput
        If it is no image, or lies in a way that ENVI cannot say.
    PluginError
        If it has a coordinate reference system and rasterio is not installed (kind ``missing-extra``).
    """
    held = subject.held_in(subject.image("an ENVI file"), tuple(_TYPES))
    samples = np.ascontiguousarray(held, held.dtype.newbyteorder("<"))
    entries = {
        "description": f"{{{_plain(f'{subject.spec.title or subject.spec.name}; {subject.source}'.strip('; '))}}}",
        "samples": samples.shape[1], "lines": samples.shape[0], "bands": samples.shape[2], "header offset": 0,
        "file type": "ENVI Classification" if subject.is_labels else "ENVI Standard",
        "data type": _TYPES[held.dtype.name], "interleave": "bip", "byte order": 0,
        **_meant(subject), **_placed(subject.grid),
    }  # fmt: skip
    if beside is not None:
        with beside.open("xb") as file:
            file.write(samples.data)
    text = "ENVI\n" + "".join(f"{key} = {value}\n" for key, value in entries.items())
    part.write_text(text, encoding="utf-8", newline="\n")


def _meant(subject: Subject) -> dict[str, object]:
    """Say what the values and the bands are."""
    found: dict[str, object] = {"band names": _listed(_plain(name) for name in subject.bands())}
    if subject.nodata is not None and np.isfinite(subject.nodata):
        found["data ignore value"] = f"{subject.nodata:.17g}"
    if subject.spec.unit:
        found["data units"] = _plain(subject.spec.unit)
    if subject.is_labels:
        classes = subject.classes
        found["classes"] = len(classes)
        found["class names"] = _listed(_plain(each.name) for each in classes)
        found["class lookup"] = _listed(str(part) for each in classes for part in each.color)
    axis = subject.spectral
    if axis is not None and axis.is_calibrated:
        found["wavelength"] = _listed(repr(value) for value in axis.coordinates)
        found["wavelength units"] = _unit(axis)
    return found


def _unit(axis: SpectralAxis) -> str:
    """Name a unit in ENVI's words; one that it has no word for as it is."""
    return _UNITS.get(axis.unit or "", axis.unit or "Unknown")


def _placed(grid: Grid | None) -> dict[str, object]:
    """Say where the pixels are: map info on the Earth, else their size."""
    if grid is None or (grid.affine is None and grid.pixel_size is None):
        return {}
    if grid.affine is None:
        height, width = grid.pixel_size or (1.0, 1.0)
        return {"pixel size": _listed([repr(width), repr(height), f"units={_UNITS.get(grid.pixel_unit or '', grid.pixel_unit or 'Unknown')}"])}
    width, turn, left, skew, height, top = grid.affine
    if turn or skew or width <= 0 or height >= 0:
        raise InvalidInput(
            f"the grid is turned or mirrored (affine {grid.affine}); ENVI's map info says north-up grids only", Kind.OPTION_INVALID,
            "write it to .tif, which says any affine",
        )
    corner = ["1", "1", repr(left), repr(top), repr(width), repr(-height)]
    if grid.crs is None:
        return {"map info": _listed(["Arbitrary", *corner])}
    crs = _known(grid.crs)
    wkt = clean(crs.to_wkt(version="WKT1_ESRI"))
    return {"map info": _listed(_projected(crs.to_epsg(), corner)), "coordinate system string": f"{{{wkt}}}"}


def _projected(epsg: int | None, corner: list[str]) -> list[str]:
    """Write map info in the words that ENVI has for WGS 84; anything else is told by the coordinate system string."""
    for base, half in ((_NORTH, "North"), (_SOUTH, "South")):
        if epsg is not None and 1 <= epsg - base <= _ZONES:
            return ["UTM", *corner, str(epsg - base), half, "WGS-84", "units=Meters"]
    if epsg == _GEOGRAPHIC:
        return ["Geographic Lat/Lon", *corner, "WGS-84", "units=Degrees"]
    return ["Arbitrary", *corner]


def _known(text: str) -> Any:
    try:
        from rasterio.crs import CRS
        from rasterio.errors import CRSError
    except ImportError as err:
        raise explain_import(err) from err
    try:
        return CRS.from_user_input(text)
    except CRSError as err:
        raise InvalidInput(
            f"the coordinate reference system {text[:60]!r} is not known to GDAL", Kind.OPTION_INVALID, "write it to .h5, which carries it as text",
        ) from err


def _listed(words: Any) -> str:
    return f"{{{', '.join(words)}}}"


def _plain(text: str) -> str:
    """Keep text from being read as syntax of the header."""
    return clean(text).translate(_SYNTAX)
