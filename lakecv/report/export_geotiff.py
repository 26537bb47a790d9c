"""GeoTIFF: bands with their place on the Earth, no data, and for labels a color table and the names of the classes.

The names stand in the file itself, as metadata of its band, and in the ``.aux.xml`` beside it, where GDAL looks for them.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

import numpy as np

from lakecv.cube import Grid
from lakecv.errors import InvalidInput, Kind
from lakecv.registry import explain_import
from lakecv.report.subject import Subject

__all__ = ["sidecar", "write"]

_DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64")
_COLORED = ("uint8", "uint16")
_MOST_BANDS = 65_535


def sidecar(subject: Subject, to: Path) -> Path | None:
    """Name the file that holds the names of the classes; None where there are no labels."""
    return to.with_name(f"{to.name}.aux.xml") if subject.is_labels else None


def write(subject: Subject, part: Path, beside: Path | None) -> None:
    """Write the bands, compressed without loss.

    Raises
    ------
    InvalidInput
        If it is no image, or its coordinate reference system is not known to GDAL.
    PluginError
        If rasterio is not installed (kind ``missing-extra``).
    """
    image = subject.image("a GeoTIFF")
    if image.shape[2] > _MOST_BANDS:
        raise InvalidInput(
            f"'{subject.spec.name}' has {image.shape[2]:,} bands; a TIFF holds {_MOST_BANDS:,}", Kind.OPTION_INVALID, "write it to .h5",
        )
    held = subject.held_in(image, _DTYPES)
    options: dict[str, Any] = {
        "driver": "GTiff", "height": held.shape[0], "width": held.shape[1], "count": held.shape[2], "dtype": held.dtype.name,
        "compress": "deflate", "bigtiff": "if_safer", "interleave": "band", "nodata": subject.nodata, **_placed(subject.grid),
    }  # fmt: skip
    try:
        import rasterio
        from rasterio.errors import NotGeoreferencedWarning
    except ImportError as err:
        raise explain_import(err) from err
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(part, "w", **options) as file:
            file.write(np.moveaxis(held, 2, 0))
            _describe(subject, file, held.dtype.name)
    if beside is not None:
        beside.write_bytes(_names(subject))


def _describe(subject: Subject, file: Any, dtype: str) -> None:
    """Say what the bands are; a color table where the format has one for this dtype."""
    file.update_tags(TIFFTAG_SOFTWARE="lakecv", TIFFTAG_IMAGEDESCRIPTION=f"{subject.spec.title or subject.spec.name}; {subject.source}".strip("; "))
    for number, name in enumerate(subject.bands(), 1):
        file.set_band_description(number, name)
    if subject.spec.unit:
        file.units = [subject.spec.unit] * file.count
    if not subject.is_labels:
        return
    file.update_tags(1, **{f"class_{each.label}": each.name for each in subject.classes})
    if dtype in _COLORED:
        colors = {each.label: (*each.color, 255) for each in subject.classes}
        file.write_colormap(1, {**colors, int(subject.nodata or 0): (0, 0, 0, 0)})


def _placed(grid: Grid | None) -> dict[str, Any]:
    """Coordinate reference system and affine, as rasterio takes them."""
    try:
        from rasterio.crs import CRS
        from rasterio.errors import CRSError
        from rasterio.transform import Affine
    except ImportError as err:
        raise explain_import(err) from err
    found: dict[str, Any] = {}
    if grid is not None and grid.affine is not None:
        found["transform"] = Affine(*grid.affine)
    if grid is not None and grid.crs is not None:
        try:
            found["crs"] = CRS.from_user_input(grid.crs)
        except CRSError as err:
            raise InvalidInput(
                f"the coordinate reference system {grid.crs[:60]!r} is not known to GDAL", Kind.OPTION_INVALID, "write it to .h5, which carries it as text",
            ) from err
    return found


def _names(subject: Subject) -> bytes:
    """Write the names of the classes as GDAL's auxiliary metadata: one for each value from 0 on."""
    root = Element("PAMDataset")
    names = SubElement(SubElement(root, "PAMRasterBand", band="1"), "CategoryNames")
    for each in subject.classes:
        SubElement(names, "Category").text = each.name
    return bytes(tostring(root, encoding="utf-8"))  # no declaration: GDAL takes the first element for the root
