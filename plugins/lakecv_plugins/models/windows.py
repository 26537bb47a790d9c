"""Windows on a spectral axis, from what a user writes to channels: elements, ranges of a quantity, ranges of channels.

What is asked for may be absent, elsewhere or in another quantity; every such mistake is told before anything is computed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lakecv.cube import UNITS, Quantity, SpectralAxis
from lakecv.errors import InvalidInput, Kind, nearest
from lakecv.numerics.units import converted
from lakecv_plugins.models.xray_lines import Detector, Lines, is_element_like, lines_of

__all__ = ["ChannelWindow", "Reading", "read_windows"]

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER}):({_NUMBER})\s*([A-Za-z][A-Za-z0-9/-]*)?")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
_CHANNELS = "ch"
_MOST = 256


@dataclass(frozen=True, slots=True)
class ChannelWindow:
    """A window: its name, half-open runs of channels, its edges in the unit of the axis, and lines where it is an element's."""

    name: str
    runs: tuple[tuple[int, int], ...]
    spans: tuple[tuple[float, float], ...]
    lines: Lines | None = None

    @property
    def channels(self) -> int:
        """How many channels it adds up."""
        return sum(stop - start for start, stop in self.runs)


@dataclass(frozen=True, slots=True)
class Reading:
    """How elements are read: half the width of a window around a line (0 = one FWHM of the detector), and the beam; in keV."""

    width: float
    beam: float
    detector: Detector


def read_windows(text: str, axis: SpectralAxis, reading: Reading) -> tuple[ChannelWindow, ...]:
    """Read ``Fe,Cu-Ka,Pb-L,2.9:3.1keV,clay=2190:2220nm,120:130ch`` on an axis.

    Parameters
    ----------
    text : str
        Windows, separated by commas; any of them may be given a name with ``=``.
    axis : SpectralAxis
        Elements need a calibrated energy axis.  A range may be in any unit of the axis' quantity; without a unit it is in
        the axis' own.  Channels count from 0, both ends belong to the window, and so do centres of channels that lie on
        its edges.
    reading : Reading
        Of elements.

    Returns
    -------
    tuple of ChannelWindow
        In the order of the text.

    Raises
    ------
    InvalidInput
        If a window cannot be read, lies off the axis, holds no channel, or comes twice (kind ``option-invalid``), if its
        unit is not known (``axis-unit-unknown``) or of another quantity (``axis-mismatch``).
    """
    items = [item.strip() for item in text.split(",") if item.strip()]
    if not 0 < len(items) <= _MOST:
        raise InvalidInput(
            f"windows='{text[:40]}' names {len(items)} windows; 1 to {_MOST} are needed", Kind.OPTION_INVALID,
            "--set windows=Fe,Cu-Ka,Pb-L,2.9:3.1keV,120:130ch",
        )
    windows = tuple(_window(item, axis, reading) for item in items)
    names = [window.name for window in windows]
    for name in names:
        if names.count(name) > 1:
            raise InvalidInput(f"the window '{name}' comes twice", Kind.OPTION_INVALID, "leave one out, or name them: a=..., b=...")
    return windows


def _window(item: str, axis: SpectralAxis, reading: Reading) -> ChannelWindow:
    given, equals, what = item.rpartition("=")
    if equals and not _NAME.fullmatch(given):
        raise InvalidInput(f"'{given}' is no name for a window", Kind.OPTION_INVALID, "letters, digits, _ . and -")
    if is_element_like(what):
        return _of_element(given, what, axis, reading)
    match = _RANGE.fullmatch(what)
    if match is None:
        hint = "an element (Fe, Cu-Ka, Pb-L) or a range with its unit: 2.9:3.1keV, 550:560nm, 120:130ch"
        raise InvalidInput(f"'{item}' is no window", Kind.OPTION_INVALID, hint)
    low, high = sorted((float(match[1]), float(match[2])))
    if match[3] == _CHANNELS:
        return _of_channels(given or what, what, axis, (low, high))
    spans = [(_in_axis(low, match[3], axis, what), _in_axis(high, match[3], axis, what))]
    return _on_axis(given or what, axis, spans, what)


def _of_element(given: str, what: str, axis: SpectralAxis, reading: Reading) -> ChannelWindow:
    if axis.quantity is not Quantity.ENERGY or axis.unit is None:
        raise InvalidInput(
            f"the element '{what}' needs an energy axis; this one is {axis.label}", Kind.AXIS_MISMATCH,
            "register the data with --axis energy:keV:START:STEP, or give channels: 120:130ch",
        )
    low, high = (converted(end, axis.unit, "keV") for end in _ends(axis))
    lines = lines_of(what, low, high, reading.beam)
    halves = [(energy, reading.width or reading.detector.fwhm(energy)) for energy in lines.energies]
    spans = [(converted(a, "keV", axis.unit), converted(b, "keV", axis.unit)) for a, b in _joined((e - w, e + w) for e, w in halves)]
    return _on_axis(given or lines.name, axis, spans, what, lines)


def _of_channels(name: str, what: str, axis: SpectralAxis, ends: tuple[float, float]) -> ChannelWindow:
    low, high = ends
    if low != int(low) or high != int(high) or low < 0 or high >= axis.size:
        raise InvalidInput(f"'{what}' lies outside the channels 0 to {axis.size - 1}", Kind.OPTION_INVALID, f"0:{axis.size - 1}ch at most")
    first, last = sorted((axis.coordinates[int(low)], axis.coordinates[int(high)]))
    return ChannelWindow(name, ((int(low), int(high) + 1),), ((first, last),))


def _on_axis(
    name: str, axis: SpectralAxis, spans: Iterable[tuple[float, float]], what: str, lines: Lines | None = None,
) -> ChannelWindow:
    """Find the channels whose centres lie in spans, joined where they meet."""
    kept = tuple(spans)
    centres = np.array(axis.coordinates)
    inside: NDArray[np.bool_] = np.zeros(axis.size, np.bool_)
    for low, high in kept:
        inside |= (centres >= low) & (centres <= high)
    if not inside.any():
        first, last = _ends(axis)
        off = all(high < first or low > last for low, high in kept)
        found = f"lies outside the axis, {first:g} to {last:g}" if off else "holds no channel"
        hint = "choose a window on the axis" if off else "make it wider than a channel"
        raise InvalidInput(f"the window '{what}' {found} {axis.unit or ''}".rstrip(), Kind.OPTION_INVALID, hint)
    return ChannelWindow(name, tuple(_runs(inside)), kept, lines)


def _in_axis(value: float, unit: str | None, axis: SpectralAxis, what: str) -> float:
    """Give a position in the unit of the axis."""
    known = [each for units in UNITS.values() for each in units]
    if unit is not None and unit not in known:
        raise InvalidInput(f"'{unit}' in '{what}' is no unit", Kind.AXIS_UNIT_UNKNOWN, nearest(unit, [*known, _CHANNELS], "units"))
    if unit is None or unit == axis.unit:
        if unit is None and not axis.is_calibrated:
            raise InvalidInput(f"'{what}' has no unit, and the axis is not calibrated", Kind.AXIS_MISMATCH, f"give channels: {what}ch")
        return value
    if axis.unit is None or unit not in UNITS[axis.quantity]:
        hint = f"use {', '.join(UNITS[axis.quantity]) or 'channels'}: {what.removesuffix(unit)}{axis.unit or _CHANNELS}"
        raise InvalidInput(f"'{what}' is in {unit}; the axis is {axis.label}", Kind.AXIS_MISMATCH, hint)
    return converted(value, unit, axis.unit)


def _ends(axis: SpectralAxis) -> tuple[float, float]:
    first, last = axis.coordinates[0], axis.coordinates[-1]
    return min(first, last), max(first, last)


def _joined(spans: Iterable[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    """Join spans that overlap."""
    low, high = math.nan, math.nan
    for start, stop in sorted(spans):
        if start <= high:
            high = max(high, stop)
            continue
        if not math.isnan(low):
            yield low, high
        low, high = start, stop
    yield low, high


def _runs(inside: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Half-open runs of True."""
    steps = np.flatnonzero(np.diff(np.concatenate(([0], inside.astype(np.int8), [0]))))
    yield from zip(steps[::2].tolist(), steps[1::2].tolist(), strict=True)
