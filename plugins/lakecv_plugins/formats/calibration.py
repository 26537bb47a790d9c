"""What the spectral axis measures, from what the user writes or what a file calls it.

Formats and people spell units in many ways; here they become the spellings of :data:`lakecv.cube.UNITS`, once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

import numpy as np

from lakecv.cube import UNITS, Quantity, SpectralAxis
from lakecv.errors import InvalidInput, Kind, nearest
from lakecv.sheet import Array

__all__ = ["axes_differ", "axis_from_hint", "axis_from_polynomial", "axis_from_vector", "pixel_size", "quantity_of_name", "quantity_of_unit", "spelled"]

_SPELLINGS = {
    "eV": ("ev", "electronvolt"), "keV": ("kev",), "MeV": ("mev",),
    "nm": ("nm", "nanometer", "nanometers", "nanometre", "nanometres"),
    "um": ("um", "µm", "μm", "micron", "microns", "micrometer", "micrometers", "micrometre", "micrometres"),
    "mm": ("mm", "millimeter", "millimeters"), "cm": ("cm",), "m": ("m", "meter", "meters", "metre", "metres"),
    "Angstrom": ("angstrom", "angstroms", "å", "aa", "0.1nm"),
    "cm-1": ("cm-1", "1/cm", "cm^-1", "cm**-1", "cm⁻¹"), "m-1": ("m-1", "1/m", "m^-1", "m**-1"),
    "Hz": ("hz", "hertz"), "kHz": ("khz",), "MHz": ("mhz",), "GHz": ("ghz",), "THz": ("thz",),
    "m/s": ("m/s", "ms-1", "m.s-1", "m*s-1", "m*s**-1"), "km/s": ("km/s", "kms-1", "km.s-1", "km*s-1", "km*s**-1"),
    "ns": ("ns",), "us": ("us", "µs"), "ms": ("ms",), "s": ("s", "sec", "second", "seconds"),
    "min": ("min", "minute", "minutes"), "h": ("h", "hour", "hours"), "d": ("d", "day", "days"),
}  # fmt: skip
_UNIT = {spelling: unit for unit, spellings in _SPELLINGS.items() for spelling in spellings}
_NAMES = {
    Quantity.ENERGY: ("energy", "energies", "ev", "kev"),
    Quantity.WAVELENGTH: ("wavelength", "wavelengths", "wl", "lambda", "wvl"),
    Quantity.WAVENUMBER: ("wavenumber", "wavenumbers", "ramanshift", "raman_shift", "wn"),
    Quantity.FREQUENCY: ("frequency", "frequencies", "freq"),
    Quantity.VELOCITY: ("velocity", "velocities", "vel"),
    Quantity.TIME: ("time",),
    Quantity.BAND: ("band", "bands"),
}
_LENGTH = re.compile(r"\s*([0-9.eE+-]+)\s*([A-Za-zµμ]+)\s*")
_MICRONS_BELOW, _EV_ABOVE = 100.0, 1000.0


def spelled(unit: str | None) -> str | None:
    """Return a unit as lakecv spells it; unchanged where it is not known.

    Examples
    --------
    >>> spelled("nanometers"), spelled("m s-1"), spelled("keVV")
    ('nm', 'm/s', 'keVV')
    """
    if unit is None or not unit.strip():
        return None
    text = unit.strip()
    if text in {known for units in UNITS.values() for known in units}:
        return text
    return _UNIT.get(text.replace(" ", "").lower(), text)


def quantity_of_unit(unit: str | None) -> Quantity | None:
    """Quantity that a unit measures on a spectral axis."""
    return next((quantity for quantity, units in UNITS.items() if unit in units), None)


def quantity_of_name(name: str) -> Quantity | None:
    """Quantity that a name such as ``wavelengths`` promises."""
    leaf = name.rpartition("/")[2].lower()
    return next((quantity for quantity, names in _NAMES.items() if leaf in names), None)


def axis_from_vector(
    values: Array, name: str, unit: str | None = None, quantity: str | None = None, frame: str | None = None,
) -> tuple[SpectralAxis, tuple[str, ...]]:
    """Make an axis of a vector that a file holds; a unit that the file does not tell is guessed, with a note."""
    numbers = tuple(float(value) for value in np.asarray(values).ravel())
    unit = spelled(unit)
    meant = _quantity(quantity) if quantity else quantity_of_unit(unit) or quantity_of_name(name) or Quantity.CHANNEL
    if meant is Quantity.CHANNEL or (meant is Quantity.BAND and not quantity):
        return SpectralAxis(len(numbers), meant), ()
    notes: tuple[str, ...] = ()
    if unit is None and UNITS[meant]:
        unit = _guess(meant, max(numbers))
        notes = (f"{meant} taken from '{name}' in {unit}; pass --axis {meant}:UNIT:@{name} if that is not its unit",)
    return _axis(meant, unit, numbers, frame), notes


def _guess(quantity: Quantity, highest: float) -> str:
    """Give the unit that is usual for values of this size (reflectance in nm or um, X-rays in keV or eV)."""
    if quantity is Quantity.WAVELENGTH:
        return "um" if highest < _MICRONS_BELOW else "nm"
    if quantity is Quantity.ENERGY:
        return "eV" if highest > _EV_ABOVE else "keV"
    return {Quantity.WAVENUMBER: "cm-1", Quantity.FREQUENCY: "Hz", Quantity.VELOCITY: "m/s"}.get(quantity, "s")


def axis_from_hint(text: str, size: int, vector: Callable[[str], Array]) -> SpectralAxis:
    """Read ``quantity:unit:start:step``, ``quantity:unit:@array``, ``quantity:unit:v1,v2,...`` or ``channel``.

    Parameters
    ----------
    text
        What ``--axis`` says.
    size
        Channels of the cube.
    vector
        Reads a named 1-D array of the same file.

    Raises
    ------
    InvalidInput
        ``option-invalid`` for an unknown quantity or grammar, ``axis-unit-unknown``, ``axis-mismatch``,
        ``axis-not-monotonic``.
    """
    name, *rest = text.split(":")
    quantity = _quantity(name)
    if quantity in {Quantity.CHANNEL, Quantity.BAND}:
        return SpectralAxis(size, quantity)
    if len(rest) < 2:  # noqa: PLR2004
        raise _grammar(text)
    unit, first, *more = rest
    unit = _known_unit(quantity, unit)
    if first.startswith("@") and len(rest) == 2:  # noqa: PLR2004
        axis = _axis(quantity, unit, tuple(float(value) for value in np.asarray(vector(first[1:])).ravel()))
    elif len(rest) == 2:  # noqa: PLR2004
        axis = _axis(quantity, unit, tuple(_number(value, text) for value in first.split(",")))
    elif len(more) == 1:
        return _stepped(size, quantity, unit, _number(first, text), _number(more[0], text))
    else:
        raise _grammar(text)
    if axis.size != size:
        raise InvalidInput(
            f"--axis gives {axis.size} values for {size} channels", Kind.AXIS_MISMATCH, "give one value per channel",
        )
    return axis


def axis_from_polynomial(size: int, unit: str, offset: float, slope: float, square: float = 0.0) -> SpectralAxis:
    """Make an axis of offset + slope i + square i^2; numbered channels where that does not rise all the way.

    Examples
    --------
    >>> axis_from_polynomial(3, "keV", 0.1, 0.01).coordinates
    (0.1, 0.11, 0.12000000000000001)
    >>> axis_from_polynomial(3, "keV", 0.1, 0.0).label
    'channel (not calibrated)'
    """
    quantity = quantity_of_unit(unit)
    ends = slope + square, slope + square * (2.0 * size - 3.0)  # the first step and the last
    if quantity is None or min(ends) <= 0.0 or not all(math.isfinite(number) for number in (offset, *ends)):
        return SpectralAxis(size)
    if square == 0.0:
        return SpectralAxis(size, quantity, unit, offset, slope)
    values = tuple(offset + slope * place + square * place**2 for place in range(size))
    return SpectralAxis(size, quantity, unit, values=values)


def axes_differ(axes: Sequence[SpectralAxis]) -> tuple[str, ...]:
    """Say that detectors of one cube disagree, where it is by more than half a channel."""
    ends = [axis.coordinates[-1] for axis in axes]
    step = abs(axes[0].coordinates[-1] - axes[0].coordinates[0]) / max(1, axes[0].size - 1)
    if {axis.unit for axis in axes} == {axes[0].unit} and max(ends) - min(ends) <= step / 2:
        return ()
    return ("the detectors are calibrated differently; the axis is that of the first, the others are not shifted",)


def _quantity(name: str) -> Quantity:
    known = [str(quantity) for quantity in Quantity]
    if name not in known:
        raise InvalidInput(f"'{name}' is not a quantity of a spectral axis", Kind.OPTION_INVALID, nearest(name, known, "quantities"))
    return Quantity(name)


def _known_unit(quantity: Quantity, text: str) -> str:
    unit = spelled(text)
    known = UNITS[quantity]
    if unit not in known:
        raise InvalidInput(f"'{text}' is not a unit of {quantity}", Kind.AXIS_UNIT_UNKNOWN, nearest(text, known, "units"))
    return unit


def _stepped(size: int, quantity: Quantity, unit: str, start: float, step: float) -> SpectralAxis:
    if step == 0.0:
        raise InvalidInput("the spectral axis has step 0; all channels would be the same", Kind.AXIS_NOT_MONOTONIC, "give a step")
    return SpectralAxis(size, quantity, unit, start, step)


def _axis(quantity: Quantity, unit: str | None, values: tuple[float, ...], frame: str | None = None) -> SpectralAxis:
    if not all(math.isfinite(value) for value in values):
        raise InvalidInput(
            "the spectral axis holds values that are not finite", Kind.AXIS_NOT_MONOTONIC,
            "check the calibration, or register with --axis channel",
        )
    return SpectralAxis(len(values), quantity, unit, values=values, frame=frame)


def _number(text: str, whole: str) -> float:
    try:
        value = float(text)
    except ValueError as err:
        raise _grammar(whole) from err
    if not math.isfinite(value):
        raise _grammar(whole)
    return value


def _grammar(text: str) -> InvalidInput:
    return InvalidInput(
        f"--axis {text!r} cannot be read", Kind.OPTION_INVALID,
        "write energy:keV:0.0:0.01 (start, step), wavelength:nm:@wavelengths (an array of the file), "
        "wavelength:nm:400,410,420 or channel",
    )


def pixel_size(text: str | None) -> tuple[tuple[float, float] | None, str | None]:
    """Read ``0.5mm`` or ``0.5mm,0.4mm`` (y, x).

    Examples
    --------
    >>> pixel_size("0.5mm,0.4mm")
    ((0.5, 0.4), 'mm')
    """
    if text is None:
        return None, None
    parts = [_LENGTH.fullmatch(part) for part in text.split(",")]
    sizes = [_length(part.group(1)) if part else 0.0 for part in parts]
    units = {part.group(2) for part in parts if part}
    if len(parts) > 2 or len(units) != 1 or not all(math.isfinite(size) and size > 0.0 for size in sizes):  # noqa: PLR2004
        raise InvalidInput(
            f"--pixel-size {text!r} cannot be read", Kind.OPTION_INVALID, "write 0.5mm, or 0.5mm,0.4mm for y,x in one unit",
        )
    unit = units.pop()
    return (sizes[0], sizes[-1]), spelled(unit)


def _length(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
