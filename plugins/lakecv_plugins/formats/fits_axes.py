"""What a FITS header says of the axes: the spectral one (paper III) and the picture plane (papers I and II).

Sources: Greisen et al. 2006 (A&A 446, 747) for spectral axes, Greisen & Calabretta 2002 for CD, PC and CDELT.  Axes that
are not linear in what they name are left as channels with a note, never approximated.
"""

from __future__ import annotations

import math
import re
from typing import Any

from lakecv.cube import Grid, Quantity, SpectralAxis
from lakecv_plugins.formats.calibration import quantity_of_unit, spelled
from lakecv_plugins.formats.fits_file import cards, number, text

__all__ = ["dims_of", "grid_of", "spectral_axis"]

_TYPES = {
    "WAVE": (Quantity.WAVELENGTH, "m"), "AWAV": (Quantity.WAVELENGTH, "m"), "FREQ": (Quantity.FREQUENCY, "Hz"),
    "ENER": (Quantity.ENERGY, "J"), "WAVN": (Quantity.WAVENUMBER, "m-1"), "VRAD": (Quantity.VELOCITY, "m/s"),
    "VOPT": (Quantity.VELOCITY, "m/s"), "VELO": (Quantity.VELOCITY, "m/s"), "FELO": (Quantity.VELOCITY, "m/s"),
}  # fmt: skip
_EV_PER_JOULE = 1.0 / 1.602176634e-19
_MEANING = {"VOPT": "optical velocity", "VRAD": "radio velocity", "AWAV": "in air"}
_CELESTIAL = re.compile(
    r"(NAXIS\d?|WCSAXES|WCSNAME|CTYPE\d+|CRPIX\d+|CRVAL\d+|CDELT\d+|CUNIT\d+|CROTA\d+|(CD|PC)\d+_\d+|P[VS]\d+_\d+"
    r"|LONPOLE|LATPOLE|EQUINOX|EPOCH|RADE(SYS|CSYS)|SPECSYS|SSYSOBS|RESTFRQ|RESTFREQ|RESTWAV|VELREF|VELOSYS|MJD-OBS|DATE-OBS"
    r"|[AB]P?_(ORDER|\d+_\d+))",
)
_ARCSEC_PER_DEGREE = 3600.0
_DEGREES = {"": 1.0, "deg": 1.0, "degree": 1.0, "arcmin": 1 / 60.0, "arcsec": 1 / 3600.0}


def dims_of(header: Any, shape: tuple[int, ...]) -> tuple[str, ...] | None:
    """Meaning of the axes in numpy order: (spectral, y, x); a Stokes axis of length 1 is dropped.

    None where that does not work: fewer than 3 axes, or a fourth that is longer than 1.
    """
    count = len(shape)
    if count < 3:  # noqa: PLR2004
        return None
    sizes = dict(zip(range(count, 0, -1), shape, strict=True))
    types = {axis: text(header, f"CTYPE{axis}").upper() for axis in sizes}
    spare = [axis for axis in sizes if sizes[axis] == 1 and count > 3]  # noqa: PLR2004
    spare.sort(key=lambda axis: (types[axis] != "STOKES", types[axis][:4] in _TYPES, -axis))
    dropped = set(spare[: count - 3])
    kept = [axis for axis in sorted(sizes) if axis not in dropped]
    if len(kept) != 3:  # noqa: PLR2004
        return None
    spectral = next((axis for axis in kept if types[axis][:4] in _TYPES), kept[-1])
    x, y = (axis for axis in kept if axis != spectral)
    names = {spectral: "spectral", y: "y", x: "x"}
    return tuple(names.get(axis, "-") for axis in sizes)


def spectral_axis(header: Any, dims: tuple[str, ...], size: int) -> tuple[SpectralAxis, tuple[str, ...]]:
    """Calibration of the spectral axis; channel numbers and a note where the header's is not linear or not known."""
    axis = len(dims) - dims.index("spectral")
    kind, _, algorithm = text(header, f"CTYPE{axis}").upper().partition("-")
    unit = spelled(text(header, f"CUNIT{axis}"))
    quantity, default = _TYPES.get(kind, (quantity_of_unit(unit), unit))
    step = _step(header, axis)
    if quantity is None or step is None:
        return SpectralAxis(size), _left_out(header, axis) if kind or unit else ()
    factor, unit = _usable(unit or default or "")
    if quantity_of_unit(unit) is not quantity:
        return SpectralAxis(size), _left_out(header, axis)
    reference, pixel = number(header, f"CRVAL{axis}", 0.0) * factor, number(header, f"CRPIX{axis}", 0.0)
    step *= factor
    frame = "; ".join(part for part in (text(header, "SPECSYS"), _MEANING.get(kind, "")) if part) or None
    if algorithm.strip("-") == "LOG" and reference:
        values = tuple(reference * math.exp(step * (place + 1 - pixel) / reference) for place in range(size))
        return SpectralAxis(size, quantity, unit, values=values, frame=frame), ()
    if algorithm.strip("-") or kind == "FELO" or number(header, "DC-FLAG", 0.0) == 1.0:
        return SpectralAxis(size), _left_out(header, axis)
    return SpectralAxis(size, quantity, unit, reference + (1.0 - pixel) * step, step, frame=frame), ()


def grid_of(header: Any, dims: tuple[str, ...], shape: tuple[int, ...]) -> Grid:
    """Picture plane: sizes, pixel size in arcsec where the axes are on the sky, and the celestial cards verbatim."""
    y, x = (len(dims) - dims.index(name) for name in ("y", "x"))
    ny, nx = shape[dims.index("y")], shape[dims.index("x")]
    if not (_is_sky(header, x) and _is_sky(header, y)):
        return Grid(ny, nx)
    lengths = [_length(header, axis, (y, x)) for axis in (y, x)]
    celestial = [line for keyword, line in cards(header) if _CELESTIAL.fullmatch(keyword)]
    known = all(length > 0.0 for length in lengths)
    return Grid(
        ny, nx, (lengths[0], lengths[1]) if known else None, "arcsec" if known else None, wcs="\n".join(celestial),
    )


def _is_sky(header: Any, axis: int) -> bool:
    return re.match(r"(RA|DEC|[A-Z]LON|[A-Z]LAT|[A-Z]{2}LN|[A-Z]{2}LT)($|-)", text(header, f"CTYPE{axis}").upper()) is not None


def _element(header: Any, row: int, column: int) -> float:
    """Element of the matrix from pixels to world: CD, else CDELT times PC (1 on the diagonal by default)."""
    if any(f"CD{row}_{other}" in header for other in range(1, 10)):
        return number(header, f"CD{row}_{column}", 0.0)
    return number(header, f"CDELT{row}", 1.0) * number(header, f"PC{row}_{column}", float(row == column))


def _step(header: Any, axis: int) -> float | None:
    """Return the increment along an axis; None where the header gives none, or where the axis turns with another."""
    if not any(key in header for key in (f"CDELT{axis}", f"CD{axis}_{axis}")):
        return None
    mixed = any(_element(header, axis, other) for other in range(1, 10) if other != axis)
    step = _element(header, axis, axis)
    return None if mixed or step == 0.0 else step


def _length(header: Any, column: int, rows: tuple[int, int]) -> float:
    """Length on the sky of one pixel along an axis, in arcsec."""
    degrees = [_element(header, row, column) * _DEGREES.get(text(header, f"CUNIT{row}").lower(), 0.0) for row in rows]
    return round(math.hypot(*degrees) * _ARCSEC_PER_DEGREE, 9)


def _usable(unit: str) -> tuple[float, str]:
    """Factor into a unit that lakecv knows."""
    return (_EV_PER_JOULE, "eV") if unit == "J" else (1.0, unit)


def _left_out(header: Any, axis: int) -> tuple[str, ...]:
    said = f"CTYPE{axis} = '{text(header, f'CTYPE{axis}')}', CUNIT{axis} = '{text(header, f'CUNIT{axis}')}'"
    return (f"the spectral axis ({said}) is not linear or not known; channels are numbered instead, --axis says otherwise",)
