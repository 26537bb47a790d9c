"""From what a user types to a selection: ``--window``, ``--axis``, ``--mask``, ``--detector``, each held against the dataset."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lakecv.api.pictures import read_picture, window_of
from lakecv.cube import UNITS, CubeSpec, Quantity, Role, SpectralAxis, Window
from lakecv.errors import InvalidInput, Kind, nearest
from lakecv.execution.masks import MASK, mask_digest, pack_mask
from lakecv.ports import CatalogBackend
from lakecv.records import Dataset
from lakecv.selection import MaskSource, Runs, Selection
from lakecv.sheet import State

__all__ = ["NO_PART", "Part", "Selected", "select"]

_SPAN = re.compile(r"\s*(\d{0,12})\s*:\s*(\d{0,12})\s*", re.ASCII)
_RANGE = re.compile(r"\s*(!?)\s*([-+0-9.eE]*?)\s*:\s*([-+0-9.]*(?:[eE][-+]?\d+)?)\s*([A-Za-z].*?)?\s*", re.ASCII)
_CHANNELS = "ch"
_IN_SI: dict[str, float] = {
    "eV": 1.0, "keV": 1e3, "MeV": 1e6, "nm": 1e-9, "um": 1e-6, "mm": 1e-3, "cm": 1e-2, "m": 1.0, "Angstrom": 1e-10, "cm-1": 1e2, "m-1": 1.0,
    "Hz": 1.0, "kHz": 1e3, "MHz": 1e6, "GHz": 1e9, "THz": 1e12, "m/s": 1.0, "km/s": 1e3,
    "ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0,
}  # fmt: skip
_ROUNDING = 1e-9  # of a step: an end that is typed as it is shown belongs to the range


@dataclass(frozen=True, slots=True)
class Part:
    """What was asked for, as it was typed."""

    window: str | None = None
    axis: tuple[str, ...] = ()
    mask: str | None = None
    detector: str | None = None


NO_PART = Part()


@dataclass(frozen=True, slots=True, eq=False)
class Selected:
    """A selection, None = everything; what a run is given of it; the dataset that the mask belongs to, if it is one's."""

    selection: Selection | None = None
    given: tuple[tuple[str, State], ...] = ()
    source: Dataset | None = None


def select(part: Part, dataset: Dataset, lake: str, catalog: CatalogBackend) -> Selected:
    """Hold what was typed against a dataset.

    Raises
    ------
    InvalidInput
        If it names nothing of the dataset: a window outside it, a range without channels or in another quantity's unit, a
        mask of another shape or without a pixel.
    NotFound
        If there is no such detector, dataset or file.
    """
    if part == NO_PART:
        return Selected()
    made = Selection(detector=_detector(part.detector, dataset.cube))
    made = replace(made, window=None if part.window is None else _window(part.window, dataset.cube))
    made = replace(made, channels=_channels(part.axis, dataset.cube, made) if part.axis else None)
    if part.mask is None:
        return Selected(made if made != Selection() else None)
    mask, source = _mask(part.mask, made.whole(dataset.cube), dataset.cube, lake, catalog)
    return Selected(replace(made, mask=MaskSource(part.mask, mask_digest(mask))), ((MASK, pack_mask(mask)),), source)


def _detector(name: str | None, cube: CubeSpec) -> str | None:
    if name is None or name == cube.main.name:
        return None
    known = [spec.name for spec in cube.arrays if spec.role is Role.DATA]
    if name not in known:
        raise InvalidInput(f"there is no detector '{name}'", Kind.OPTION_INVALID, nearest(name, known, "detectors"))
    return name


def _window(text: str, cube: CubeSpec) -> Window | None:
    """Read ``y0:y1,x0:x1``; an end that is left out is the picture's; None where that is all of it."""
    sizes = (cube.grid.ny, cube.grid.nx)
    spans = [_SPAN.fullmatch(side) for side in text.split(",")]
    if len(spans) != 2 or None in spans:  # noqa: PLR2004  (y and x)
        raise InvalidInput(f"--window {text!r} is not Y0:Y1,X0:X1", Kind.OPTION_INVALID, f"rows and columns, such as --window 0:{sizes[0]},0:{sizes[1]}")
    ends = [(int(span[1] or 0), int(span[2] or size)) for span, size in zip(spans, sizes, strict=True) if span]
    for name, (start, stop), size in zip(("rows", "columns"), ends, sizes, strict=True):
        if not start < stop <= size:
            raise InvalidInput(
                f"--window {text} asks for {name} {start}:{stop}; the image has {name} 0:{size}", Kind.SHAPE_INVALID, "ends are not included, starts are",
            )
    found = Window(*ends[0], *ends[1])
    return None if found == Window(0, sizes[0], 0, sizes[1]) else found


def _channels(texts: Sequence[str], cube: CubeSpec, made: Selection) -> Runs | None:
    """Channels that any range takes in and none takes out; None where these are all."""
    main = made.main(cube)
    size = main.shape[2] if len(main.shape) > 2 else 1  # noqa: PLR2004  (y, x and the spectral axis)
    axis = cube.axis if cube.axis is not None and cube.axis.size == size else SpectralAxis(size)
    parts = [(text.strip().startswith("!"), _of_range(text, axis)) for text in texts]
    taken = np.zeros(size, np.bool_) if any(not out for out, _ in parts) else np.ones(size, np.bool_)
    for out, these in parts:
        if not out:
            taken |= these
    for out, these in parts:
        if out:
            taken &= ~these
    if not taken.any():
        raise InvalidInput(f"--axis {' --axis '.join(texts)} leaves no channel", Kind.NOTHING_VALID, f"the axis is {_extent(axis)}")
    edges = np.flatnonzero(np.diff(np.concatenate([[False], taken, [False]]).astype(np.int8)))
    runs = tuple((int(start), int(stop)) for start, stop in edges.reshape(-1, 2))
    return None if taken.all() else runs


def _of_range(text: str, axis: SpectralAxis) -> NDArray[np.bool_]:
    """Channels of one range: half-open in channel numbers, both ends included in anything that is measured."""
    found = _RANGE.fullmatch(text)
    try:
        low, high = (float(found[number] or extreme) for number, extreme in ((2, "-inf"), (3, "inf"))) if found else (1.0, 0.0)
    except ValueError:
        found = None
    if found is None or math.isnan(low) or math.isnan(high):
        raise InvalidInput(f"--axis {text!r} is not FROM:TO and a unit", Kind.OPTION_INVALID, f"such as --axis {_example(axis)}")
    unit = found[4] or (_CHANNELS if not axis.is_calibrated else "")
    if unit == _CHANNELS:
        numbers = np.arange(axis.size)
        these = (numbers >= low) & (numbers < high)
    else:
        factor = _factor(text, unit, axis)
        known = np.asarray(axis.coordinates)
        slack = _ROUNDING * float(np.abs(np.diff(known)).min()) if axis.size > 1 else 0.0
        these = (known >= low * factor - slack) & (known <= high * factor + slack)
    if not these.any():
        raise InvalidInput(f"--axis {text} holds no channel", Kind.NOTHING_VALID, f"the axis is {_extent(axis)}")
    return these


def _factor(text: str, unit: str, axis: SpectralAxis) -> float:
    """Find what a number in a unit is multiplied with to be in the axis' own."""
    if not axis.is_calibrated:
        raise InvalidInput(
            f"--axis {text} is in {unit}; the axis of this dataset is not calibrated", Kind.AXIS_MISMATCH, f"give channel numbers, such as --axis {_example(axis)}",
        )
    known = UNITS[axis.quantity]
    if not unit:
        raise InvalidInput(f"--axis {text} has no unit", Kind.AXIS_UNIT_UNKNOWN, f"write --axis {text}{axis.unit}, or {text}{_CHANNELS} for channel numbers")
    if unit not in known:
        other = next((quantity for quantity, units in UNITS.items() if unit in units), None)
        said = f"{unit} measures {other}, and the axis is {axis.label}" if other else f"'{unit}' is not a unit"
        raise InvalidInput(f"--axis {text}: {said}", Kind.AXIS_MISMATCH if other else Kind.AXIS_UNIT_UNKNOWN, nearest(unit, known, f"units of {axis.quantity}"))
    return _IN_SI[unit] / _IN_SI[str(axis.unit)]


def _extent(axis: SpectralAxis) -> str:
    if not axis.is_calibrated:
        return f"channels 0:{axis.size}"
    ends = sorted((axis.coordinates[0], axis.coordinates[-1]))
    return f"{axis.quantity} {ends[0]:g}:{ends[1]:g}{axis.unit}"


def _example(axis: SpectralAxis) -> str:
    return f"0:{axis.size}{_CHANNELS}" if axis.quantity in {Quantity.CHANNEL, Quantity.BAND} else _extent(axis).partition(" ")[2]


def _mask(text: str, window: Window, cube: CubeSpec, lake: str, catalog: CatalogBackend) -> tuple[NDArray[np.bool_], Dataset | None]:
    """Pixels of the window that a mask leaves; ``NAME#array=2,5`` takes those that have one of these values."""
    named, equals, values = text.rpartition("=") if re.search(r"=[-0-9.,\s]+$", text) else (text, "", "")
    picture = read_picture(lake, catalog, named, role=Role.MASK)
    if picture.values.ndim != 2:  # noqa: PLR2004  (y, x)
        raise InvalidInput(f"the mask {named} is {_size(picture.values.shape)}; a mask has y and x only", Kind.SHAPE_INVALID, "name an array of it: NAME#array")
    whole, made_of = (cube.grid.ny, cube.grid.nx), window_of(lake, catalog, picture)
    if made_of not in {None, window}:
        raise InvalidInput(
            f"the mask {named} was made of rows {made_of.y0}:{made_of.y1}, columns {made_of.x0}:{made_of.x1}", Kind.SHAPE_INVALID,
            f"read that part: --window {made_of.y0}:{made_of.y1},{made_of.x0}:{made_of.x1}",
        )
    if picture.shape == whole:
        inside = picture.values[window.slices()]
    elif picture.shape == (window.height, window.width):
        inside = picture.values
    else:
        raise InvalidInput(f"the mask {named} is {_size(picture.shape)}; the image is {_size(whole)}", Kind.SHAPE_INVALID, "give one of the same shape")
    present = ~(picture.missing[window.slices()] if picture.shape == whole else picture.missing)
    kept = present & (np.isin(inside, _numbers(values, text)) if equals else (inside != 0) | picture.is_result)
    if not kept.any():
        raise InvalidInput(f"the mask {text} leaves no pixel", Kind.NOTHING_VALID, "pixels that are not 0 are used; of labels those that have one")
    return np.ascontiguousarray(kept), picture.dataset


def _numbers(values: str, text: str) -> list[int] | list[float]:
    try:
        if re.fullmatch(r"[-0-9,\s]+", values):
            return [int(value) for value in values.split(",")]
        return [float(value) for value in values.split(",")]
    except ValueError as err:
        raise InvalidInput(f"--mask {text}: '{values}' are no numbers", Kind.OPTION_INVALID, "such as --mask museo:a.kmeans.1#labels=2,5") from err


def _size(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
