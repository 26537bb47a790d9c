"""Spectral indices, known ones by name and others by formula, and a map of two classes cut at a threshold.

Bands are found by wavelength or by name, never by where they happen to lie in a file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lakecv.cube import ArraySpec, CubeSpec, Role, SpectralAxis
from lakecv.errors import InvalidInput, Kind
from lakecv.job import Input, Scalar, StageKind, TableSpec, Workload
from lakecv.sheet import Array, Result, Sample, Sheet, State, Statistics, Step
from lakecv_plugins.models.bands import Index, Lookup, read_indices
from lakecv_plugins.models.formulas import computed, names_in

if TYPE_CHECKING:
    from lakecv.ports import ReducibleModel

__all__ = ["NO_VALUE", "Indices", "IndicesOptions", "otsu"]

NO_VALUE = -9999.0
_INPUT = "cube"
_NONE, _OTSU = "none", "otsu"
_SAMPLE_PIXELS, _BINS = 8192, 1024
_SECONDS_PER_INDEX = 6e-8


@dataclass(frozen=True, slots=True)
class IndicesOptions:
    """Which indices, of what."""

    indices: str = field(default="", metadata={"help": "names of indices, separated by commas: NDVI, EVI, SAVI, NBR, ... (spyndex), dNBR"})
    formula: str = field(default="", metadata={
        "help": "formulas, separated by semicolons: nd=(R(800nm)-R(670nm))/(R(800nm)+R(670nm)); C(3) is a channel, B8 a band's name",
    })  # fmt: skip
    tolerance: float = field(default=20.0, metadata={"help": "how far from a wavelength the nearest channel may lie, nm"})
    platform: str = field(default="sentinel2a", metadata={"help": "whose bands the letters of known indices are: sentinel2a, landsat8, modis, ..."})
    scale: float = field(default=1.0, metadata={"help": "what a sample is multiplied by to be a reflectance: 0.0001 for Sentinel-2"})
    offset: float = field(default=0.0, metadata={"help": "what is added to a reflectance then: -0.1 for Sentinel-2 since January 2022"})
    threshold: float | str = field(default=_NONE, metadata={
        "help": "none, a number, or otsu: adds a map with 1 where the first index is above it, 0 elsewhere",
    })  # fmt: skip

    def __post_init__(self) -> None:
        for name in ("scale", "offset", "tolerance"):
            if not math.isfinite(getattr(self, name)):
                raise InvalidInput(f"{name}={getattr(self, name)} is no number", Kind.OPTION_INVALID, f"--set {name}=1")
        if self.scale == 0 or self.tolerance < 0:
            raise InvalidInput("scale is not 0, and tolerance not negative", Kind.OPTION_INVALID, "--set scale=0.0001")
        bad = self.threshold not in {_NONE, _OTSU} if isinstance(self.threshold, str) else not math.isfinite(self.threshold)
        if bad:
            raise InvalidInput(f"threshold={self.threshold} is none", Kind.OPTION_INVALID, "none, otsu or a number")

    @property
    def lookup(self) -> Lookup:
        """How bands are found."""
        return Lookup(self.platform, self.tolerance)


class Indices:
    """Spectral indices.  Formulas: Montero et al. 2023, doi 10.1038/s41597-023-02096-0; threshold: Otsu 1979, doi
    10.1109/TSMC.1979.4310076.

    Where a formula has no value for a usable pixel (a division by 0) the index is the no-data value, -9999, and the label 0.
    """  # noqa: D205  (one sentence)

    name = "indices"
    version = "1"
    Options = IndicesOptions

    def inputs(self, options: IndicesOptions) -> tuple[Input, ...]:  # noqa: ARG002  (the port's signature)
        """Name the one cube."""
        return (Input(_INPUT),)

    def workload(self, specs: Mapping[str, CubeSpec], options: IndicesOptions) -> Workload:
        """One picture per index, named in the title; labels where there is a threshold.

        Raises
        ------
        InvalidInput, PluginError
            As :func:`read_indices` does.
        """
        main = specs[_INPUT].main
        found = _read(specs, options)
        shape, plane = (*main.shape[:2], len(found)), main.shape[:2]
        names = ", ".join(index.name for index in found)
        outputs = [ArraySpec(
            "indices", Role.SCORES, ("y", "x", "index"), shape, "float32", shape, nodata=NO_VALUE, title=f"spectral index: {names}",
        )]  # fmt: skip
        if options.threshold != _NONE:
            outputs.append(ArraySpec(
                "labels", Role.LABELS, ("y", "x"), plane, "uint8", plane, nodata=255.0, title=f"1 where {found[0].name} is above the threshold",
            ))  # fmt: skip
        learns = options.threshold == _OTSU
        return Workload(
            outputs=tuple(outputs),
            tables=(TableSpec("histogram", ("bin", "column"), "float64", f"histogram of {found[0].name}: middle, pixels"),) if learns else (),
            stages=(StageKind.SAMPLE, StageKind.REDUCE, StageKind.MAP) if learns else (StageKind.SAMPLE, StageKind.MAP),
            sample_pixels=_SAMPLE_PIXELS if learns else 1, passes=int(learns),
            seconds_per_pixel=_SECONDS_PER_INDEX * len(found),
            scratch_nbytes_per_pixel=8 * (len(found) + 4) + 8 * max(len(index.channels) for index in found),
            state_nbytes=1 << 14, statistics_nbytes=8 * _BINS,
        )  # fmt: skip

    def start(self, sample: Sample, specs: Mapping[str, CubeSpec], options: IndicesOptions) -> State:
        """Formulas with channels in place of bands; the range of the histogram, from the sample."""
        found = _read(specs, options)
        known: dict[str, Scalar] = {f"_expression_{number}": index.expression for number, index in enumerate(found)}
        known |= {index.name: _written(index, _axis(specs)) for index in found}
        known |= {"_indices": len(found), "_channels": _axis(specs).size}
        if options.threshold != _OTSU:
            return State({}, known)
        values = _index(sample.spectra.reshape(len(sample.spectra), -1), found[0].expression, options)
        finite = values[np.isfinite(values)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
        return State({"range": np.array([low, high if high > low else low + 1.0])}, known)

    def accumulate(self, sheets: Mapping[str, Sheet], state: State, options: IndicesOptions) -> Statistics:
        """Count the first index in bins; what lies outside the sample's range belongs to the first and the last."""
        sheet = sheets[_INPUT]
        if "range" not in state.arrays:
            return {}
        values = _index(sheet.pixels[sheet.valid.reshape(-1)], str(state.attributes["_expression_0"]), options)
        low, high = state.arrays["range"]
        bins = np.clip((values[np.isfinite(values)] - low) / (high - low) * _BINS, 0, _BINS - 1).astype(np.int64)
        return {"histogram": np.bincount(bins, minlength=_BINS).astype(np.int64)}

    def update(self, state: State, statistics: Statistics, options: IndicesOptions) -> Step:  # noqa: ARG002  (the port's)
        """Choose the threshold."""
        if "range" not in state.arrays:
            return Step(state, done=True)
        histogram, (low, high) = statistics["histogram"], state.arrays["range"]
        if not histogram.sum():
            raise InvalidInput("the index has no value in any usable pixel", Kind.NOTHING_VALID, "check the formula and the bands")
        threshold = float(low + (high - low) * (otsu(histogram) + 1) / _BINS)
        arrays = {**state.arrays, "histogram": histogram}
        return Step(State(arrays, {**state.attributes, "threshold": threshold}), done=True, progress=f"threshold {threshold:.4g}")

    def apply(self, sheets: Mapping[str, Sheet], state: State | None, options: IndicesOptions) -> Result:
        """Compute the indices of one cell in float64, stored as float32."""
        if state is None or "_indices" not in state.attributes:
            raise InvalidInput("indices need bands to be applied", Kind.OPTION_INVALID, "run it without --state first")
        sheet = sheets[_INPUT]
        pixels, count, valid = sheet.pixels, int(state.attributes["_indices"]), sheet.valid.reshape(-1)
        if pixels.shape[1] != state.attributes["_channels"]:
            raise InvalidInput(
                f"the data have {pixels.shape[1]} channels and the bands are of {state.attributes['_channels']}", Kind.AXIS_MISMATCH,
                "apply it to data on the same spectral axis, or run it anew",
            )
        made = np.full((len(pixels), count), NO_VALUE, np.float32)
        for number in range(count):
            with np.errstate(over="ignore"):
                values = _index(pixels, str(state.attributes[f"_expression_{number}"]), options).astype(np.float32)
            made[:, number] = np.where(valid & np.isfinite(values), values, np.float32(NO_VALUE))
        arrays: dict[str, Array] = {"indices": made.reshape(*sheet.valid.shape, count)}
        if options.threshold != _NONE:
            cut = float(state.attributes["threshold"]) if options.threshold == _OTSU else float(options.threshold)
            above = (made[:, 0] > cut) & (made[:, 0] != np.float32(NO_VALUE))
            arrays["labels"] = np.where(valid, above, 255).astype(np.uint8).reshape(sheet.valid.shape)
        return Result(arrays)

    def tables(self, state: State | None, tallies: Statistics, options: IndicesOptions) -> Mapping[str, Array]:  # noqa: ARG002
        """Give the histogram that the threshold was chosen in."""
        if state is None or "histogram" not in state.arrays:
            return {}
        low, high = state.arrays["range"]
        middles = low + (high - low) * (np.arange(_BINS) + 0.5) / _BINS
        return {"histogram": np.column_stack([middles, state.arrays["histogram"].astype(np.float64)])}


def otsu(histogram: NDArray[np.int64]) -> int:
    """Last bin of the lower class that makes the variance between two classes largest; of equals the middle one.

    Parameters
    ----------
    histogram : (bins,) int64
        Counts of evenly spaced bins; at least one is not 0.

    Notes
    -----
    Otsu 1979, equation 18: (mu_T w(k) - mu(k))^2 / (w(k) (1 - w(k))).  Empty bins between two classes all do equally well.

    Examples
    --------
    >>> otsu(np.array([5, 5, 0, 0, 0, 4, 4]))
    2
    """
    weights = np.cumsum(histogram, dtype=np.float64)
    moments = np.cumsum(histogram * np.arange(len(histogram)), dtype=np.float64)
    lower, upper = weights[:-1], weights[-1] - weights[:-1]
    apart = np.zeros(len(lower))
    np.divide((moments[-1] / weights[-1] * lower - moments[:-1]) ** 2, lower * upper, out=apart, where=(lower > 0) & (upper > 0))
    best = np.flatnonzero(apart == apart.max())
    return int(best[(len(best) - 1) // 2])


def _read(specs: Mapping[str, CubeSpec], options: IndicesOptions) -> tuple[Index, ...]:
    return read_indices(options.indices, options.formula, _axis(specs), options.lookup)


def _axis(specs: Mapping[str, CubeSpec]) -> SpectralAxis:
    spec = specs[_INPUT]
    return spec.axis or SpectralAxis(math.prod(spec.main.shape[2:]))


def _index(pixels: Array, expression: str, options: IndicesOptions) -> NDArray[np.float64]:
    """Compute an expression of channels on rows of samples."""
    bands = {name: pixels[:, int(name[1:])].astype(np.float64) * options.scale + options.offset for name in names_in(expression)}
    return computed(expression, bands)


def _written(index: Index, axis: SpectralAxis) -> str:
    """Write a formula with the channels that it reads."""
    names, unit = axis.names, axis.unit or ""
    where = [names[c] if names else f"{axis.coordinates[c]:g} {unit}".strip() if axis.is_calibrated else f"channel {c}" for c in index.channels]
    return f"{index.formula} from {', '.join(where)}"


if TYPE_CHECKING:
    _: ReducibleModel[IndicesOptions] = Indices()
