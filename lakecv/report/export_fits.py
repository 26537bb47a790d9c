"""FITS: an image with the grid's celestial cards as they came, the spectral axis for a third dim, labels with their names.

Sources: FITS standard 4.0; Greisen et al. 2006 (A&A 446, 747) for spectral axes, section 6 for ``-TAB``, by which an axis that
is a list of values is said.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from lakecv.cube import Quantity, SpectralAxis
from lakecv.registry import explain_import
from lakecv.report.subject import Subject
from lakecv.report.text import clean

__all__ = ["write"]

_DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64")
_TYPES = {Quantity.ENERGY: "ENER", Quantity.WAVELENGTH: "WAVE", Quantity.WAVENUMBER: "WAVN", Quantity.FREQUENCY: "FREQ",
          Quantity.VELOCITY: "VELO", Quantity.TIME: "TIME"}  # fmt: skip
_MEANING = {"in air": "AWAV", "optical velocity": "VOPT", "radio velocity": "VRAD"}
_SKY = re.compile(r"(RA|DEC|[A-Z]LON|[A-Z]LAT|[A-Z]{2}LN|[A-Z]{2}LT)($|-)")
_OF_AXIS = re.compile(r"(?:CTYPE|CRPIX|CRVAL|CDELT|CUNIT|CROTA|CNAME)(\d+)|(?:CD|PC)(\d+)_(\d+)|P[VS](\d+)_\d+")
_TABLE = "WCS-TAB"


def write(subject: Subject, part: Path, _beside: Path | None) -> None:
    """Write the image, first row first, as FITS readers count it; the spectral dim is the slowest.

    Raises
    ------
    InvalidInput
        If it is no image.
    PluginError
        If astropy is not installed (kind ``missing-extra``).
    """
    try:
        from astropy.io import fits
    except ImportError as err:
        raise explain_import(err) from err
    held = subject.held_in(subject.image("a FITS image"), _DTYPES)
    image = np.moveaxis(held, 2, 0) if subject.array.ndim == 3 else held[..., 0]  # noqa: PLR2004
    first = fits.PrimaryHDU(image)
    hdus = [first]
    _describe(subject, first.header, held.dtype)
    celestial = _celestial(subject.grid.wcs if subject.grid is not None else None)
    if celestial is not None:
        first.header.extend(celestial.cards, unique=True)
    axis = subject.spectral if subject.array.ndim == 3 else None  # noqa: PLR2004
    if axis is not None and axis.is_calibrated:
        hdus += _spectral(first.header, axis)
    if subject.is_labels:
        hdus.append(_labels(subject))
    fits.HDUList(hdus).writeto(part, output_verify="exception", checksum=True)


def _describe(subject: Subject, header: Any, dtype: Any) -> None:
    """Name the array, its unit and what means no data."""
    header["EXTNAME"] = _ascii(subject.spec.name)
    if subject.spec.unit:
        header["BUNIT"] = _ascii(subject.spec.unit)
    if subject.nodata is not None and np.isfinite(subject.nodata) and dtype.kind in "iu":
        header["BLANK"] = int(subject.nodata) - int(header.get("BZERO", 0))
    if subject.source:
        header["HISTORY"] = _ascii(f"lakecv export of {subject.source}")


def _celestial(text: str | None) -> Any:
    """Cards of the picture plane, verbatim; axes that are not x and y are left out, they are those of another array.

    Where the plane is not on the first two axes of its own header, it is said anew by its WCS.
    """
    from astropy.io import fits
    from astropy.wcs import WCS

    if not text:
        return None
    said = fits.Header.fromstring(text, sep="\n")
    sky = [axis for axis in range(1, 10) if _SKY.match(str(said.get(f"CTYPE{axis}", "")).upper())]
    if sky != [1, 2]:
        return WCS(said).celestial.to_header(relax=True)
    kept = fits.Header([card for card in said.cards if _is_of_plane(card.keyword)])
    if "WCSAXES" in kept:
        kept["WCSAXES"] = 2
    return kept


def _is_of_plane(keyword: str) -> bool:
    if keyword.startswith("NAXIS"):
        return False
    match = _OF_AXIS.fullmatch(keyword)
    return match is None or all(int(axis) <= 2 for axis in match.groups() if axis)  # noqa: PLR2004


def _spectral(header: Any, axis: SpectralAxis) -> list[Any]:
    """Calibrate the third axis; returns the table of its values where they are not evenly spaced."""
    kind = next((code for words, code in _MEANING.items() if words in (axis.frame or "")), _TYPES[axis.quantity])
    step = "CD3_3" if any(re.fullmatch(r"CD\d_\d", key) for key in header) else "CDELT3"
    if "WCSAXES" in header:
        header["WCSAXES"] = 3
    if axis.values is None:
        header["CTYPE3"], header["CRVAL3"] = kind, 0.0 if axis.start is None else axis.start
        header[step], header["CRPIX3"], header["CUNIT3"] = 1.0 if axis.step is None else axis.step, 1.0, axis.unit or ""
        return []
    header["CTYPE3"], header["CRVAL3"], header[step], header["CRPIX3"] = f"{kind}-TAB", 1.0, 1.0, 1.0
    header["CUNIT3"], header["PS3_0"], header["PS3_1"] = axis.unit or "", _TABLE, "COORDS"
    return [_listed(axis)]


def _listed(axis: SpectralAxis) -> Any:
    """Coordinates of every channel, as a ``-TAB`` axis asks for them: one row, one array."""
    from astropy.io import fits

    values = np.array(axis.coordinates, float).reshape(1, -1, 1)
    column = fits.Column("COORDS", f"{values.size}D", dim=f"(1,{values.size})", unit=axis.unit, array=values)
    return fits.BinTableHDU.from_columns([column], name=_TABLE)


def _labels(subject: Subject) -> Any:
    """Table of the labels: number, name, color."""
    from astropy.io import fits

    classes = subject.classes
    width = max([1, *(len(_ascii(each.name)) for each in classes)])
    return fits.BinTableHDU.from_columns([
        fits.Column("LABEL", "J", array=np.array([each.label for each in classes], np.int32)),
        fits.Column("NAME", f"{width}A", array=np.array([_ascii(each.name) for each in classes], f"S{width}")),
        fits.Column("COLOR", "3B", array=np.array([each.color for each in classes], np.uint8).reshape(-1, 3)),
    ], name="CLASSES")


def _ascii(text: str) -> str:
    """Write text in the only letters that FITS has."""
    return clean(text).encode("ascii", "backslashreplace").decode()
