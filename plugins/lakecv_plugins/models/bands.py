"""Which channel of a cube a formula means: by wavelength, by the name of a satellite's band, or by number.

Formulas of known indices and what their letters stand for are spyndex' tables (extra ``eo``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from lakecv.cube import UNITS, Quantity, SpectralAxis
from lakecv.errors import InvalidInput, Kind, PluginError, nearest
from lakecv.numerics.units import converted
from lakecv_plugins.models.formulas import FUNCTIONS, names_in, renamed

__all__ = ["Index", "Lookup", "read_indices"]

_POSITION = re.compile(r"\bR\(\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)?\s*\)")
_CHANNEL = re.compile(r"\bC\(\s*(\d+)\s*\)")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
_BAND = re.compile(r"([A-Za-z]+)0*([0-9]+[A-Za-z]?)")
_DATES = {"dNBR": "(B8_pre - B12_pre) / (B8_pre + B12_pre) - (B8_post - B12_post) / (B8_post + B12_post)"}  # Key and Benson 2006


@dataclass(frozen=True, slots=True)
class Lookup:
    """How letters become channels: a platform of spyndex, and how far (nm) the nearest channel may lie."""

    platform: str
    tolerance: float


@dataclass(frozen=True, slots=True)
class Index:
    """An index on an axis: its formula as written, and with channels (``c7``) and constants in place."""

    name: str
    formula: str
    expression: str
    channels: tuple[int, ...]


def read_indices(indices: str, formula: str, axis: SpectralAxis, lookup: Lookup) -> tuple[Index, ...]:
    """Read names of indices and formulas on an axis.

    Parameters
    ----------
    indices : str
        Names, separated by commas: those of spyndex, and dNBR.
    formula : str
        ``name=formula`` or a formula, separated by semicolons; ``R(800nm)`` is the channel nearest to a wavelength, ``C(3)``
        a channel from 0, any other name a channel's name (``B8_pre``) or a letter of spyndex (``N``).
    axis : SpectralAxis
        Of the cube.
    lookup : Lookup
        Of bands.

    Raises
    ------
    InvalidInput
        If an index or a band is not known, no channel is near enough, or a formula is none.
    PluginError
        If spyndex is needed and not installed (kind ``missing-extra``).
    """
    asked = [name.strip() for name in indices.split(",") if name.strip()]
    found = [_known(name, axis, lookup) for name in asked]
    for number, each in enumerate(part for part in formula.split(";") if part.strip()):
        name, equals, text = each.rpartition("=")
        if equals and not _NAME.fullmatch(name.strip()):
            raise InvalidInput(f"'{name}' is no name for an index", Kind.OPTION_INVALID, "letters, digits, _ . and -")
        found.append(_on_axis(name.strip() or f"formula{number + 1}", text.strip(), {}, axis, lookup))
    names = [index.name for index in found]
    if not names or len(set(names)) < len(names):
        said = "no index is named" if not names else "an index comes twice"
        raise InvalidInput(said, Kind.OPTION_INVALID, "--set indices=NDVI,SAVI or --set 'formula=x=(R(800nm)-R(670nm))/(R(800nm)+R(670nm))'")
    return tuple(found)


def _known(name: str, axis: SpectralAxis, lookup: Lookup) -> Index:
    if name in _DATES:
        return _on_axis(name, _DATES[name], {}, axis, lookup)
    table = _tables()
    if name not in table.indices:
        raise InvalidInput(f"there is no index '{name}'", Kind.OPTION_INVALID, nearest(name, [*table.indices, *_DATES], "indices"))
    constants = {key: one.default for key, one in table.constants.items() if one.default is not None}
    return _on_axis(name, str(table.indices[name].formula), constants, axis, lookup)


def _on_axis(name: str, formula: str, constants: Mapping[str, float], axis: SpectralAxis, lookup: Lookup) -> Index:
    """Put channels and constants in the place of all names."""
    places: dict[str, int] = {}

    def wavelength(match: re.Match[str]) -> str:
        key = f"w_{len(places)}"
        places[key] = _nearest(float(match[1]), match[2], axis, lookup.tolerance, match[0])
        return key

    def channel(match: re.Match[str]) -> str:
        places[f"n_{match[1]}"] = _numbered(int(match[1]), axis)
        return f"n_{match[1]}"

    plain = _CHANNEL.sub(channel, _POSITION.sub(wavelength, formula))
    words: dict[str, str] = {}
    for symbol in names_in(plain):
        if symbol in constants:
            words[symbol] = f"({float(constants[symbol])!r})"
            continue
        number = places[symbol] if symbol in places else _band(symbol, axis, lookup)
        words[symbol] = f"c{number}"
    channels = tuple(sorted({int(word[1:]) for word in words.values() if word.startswith("c")}))
    if not channels:
        raise InvalidInput(f"the index '{name}' reads no band", Kind.OPTION_INVALID, f"R(800nm), C(3), a band's name; {', '.join(FUNCTIONS)}")
    return Index(name, formula, renamed(plain, words), channels)


def _numbered(number: int, axis: SpectralAxis) -> int:
    if number >= axis.size:
        raise InvalidInput(f"there is no channel {number}", Kind.OPTION_INVALID, f"C(0) to C({axis.size - 1})")
    return number


def _band(symbol: str, axis: SpectralAxis, lookup: Lookup) -> int:
    """Find a band by its name on the axis, by the platform's name for it, or by where it lies."""
    named = _named(symbol, axis)
    if named is not None:
        return named
    known = _bands()
    if symbol not in known:
        hint = nearest(symbol, axis.names or [*known], "bands")
        raise InvalidInput(f"there is no band '{symbol}'", Kind.OPTION_INVALID, hint)
    platforms = {name for band in known.values() for name in band["platforms"]}
    if lookup.platform not in platforms:
        raise InvalidInput(f"there is no platform '{lookup.platform}'", Kind.OPTION_INVALID, nearest(lookup.platform, platforms, "platforms"))
    narrow = symbol == "N" and lookup.platform not in known["N"]["platforms"]  # Landsat 8, MODIS: one near infrared, spyndex' N2
    band = known["N2" if narrow else symbol]
    here = band["platforms"].get(lookup.platform, {"wavelength": (band["min_wavelength"] + band["max_wavelength"]) / 2})
    named = _named(str(here.get("band", "")), axis)
    return named if named is not None else _nearest(float(here["wavelength"]), "nm", axis, lookup.tolerance, symbol)


def _named(symbol: str, axis: SpectralAxis) -> int | None:
    plain = [_plain(name) for name in axis.names or ()]
    return plain.index(_plain(symbol)) if _plain(symbol) in plain else None


def _plain(name: str) -> str:
    """Write B08 and b8 as B8; other names stay as they are: ``g`` is a constant and ``G`` is green."""
    match = _BAND.fullmatch(name)
    return f"{match[1]}{match[2]}".upper() if match else name


def _nearest(value: float, unit: str | None, axis: SpectralAxis, tolerance: float, what: str) -> int:
    """Channel nearest to a wavelength, if it is near enough."""
    if axis.quantity is not Quantity.WAVELENGTH or axis.unit is None:
        raise InvalidInput(
            f"'{what}' needs a wavelength axis or names of bands; this one is {axis.label}", Kind.AXIS_MISMATCH,
            "register the data with --axis wavelength:nm:..., or give channels: C(3)",
        )
    if unit is not None and unit not in UNITS[Quantity.WAVELENGTH]:
        hint = nearest(unit, UNITS[Quantity.WAVELENGTH], "units")
        raise InvalidInput(f"'{unit}' in '{what}' is no unit of a wavelength", Kind.AXIS_UNIT_UNKNOWN, hint)
    wanted = converted(value, unit or "nm", "nm")
    away = np.abs(np.array([converted(one, axis.unit, "nm") for one in axis.coordinates]) - wanted)
    best = int(away.argmin())
    if away[best] > tolerance:
        raise InvalidInput(
            f"'{what}' lies at {wanted:g} nm; the nearest channel is {away[best]:.4g} nm away, more than {tolerance:g}", Kind.OPTION_INVALID,
            f"--set tolerance={away[best] * 1.01:.4g} if that will do",
        )
    return best


@cache
def _bands() -> dict[str, Any]:
    """Read spyndex' table of bands itself: the objects that it makes of it know only some of the platforms (0.12.0)."""
    _tables()
    table: dict[str, Any] = json.loads((files("spyndex") / "data" / "bands.json").read_text(encoding="utf-8"))
    return table


def _tables() -> Any:
    try:
        import spyndex
    except ImportError as err:
        raise PluginError(
            "'spyndex' is not installed; it comes with the extra eo", Kind.MISSING_EXTRA, 'pip install "lakecv[eo]"',
        ) from err
    return spyndex
