"""Maps of windows of the spectrum: elements of an X-ray fluorescence scan, or bands of any cube.

The first picture of a scan: what lies in each window, summed per pixel, with or without the background below it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from lakecv.cube import ArraySpec, CubeSpec, Quantity, Role, SpectralAxis
from lakecv.errors import InvalidInput, Kind
from lakecv.job import Input, StageKind, TableSpec, Workload
from lakecv.numerics.units import converted
from lakecv.sheet import Array, Result, Sample, Sheet, State, Statistics, Step
from lakecv_plugins.models.windows import ChannelWindow, Reading, read_windows
from lakecv_plugins.models.xray_lines import Detector, overlaps

if TYPE_CHECKING:
    from lakecv.ports import ReducibleModel

__all__ = ["Maps", "MapsOptions"]

_INPUT = "cube"
_ROUNDING = 1.0 + 1e-5
_SECONDS_PER_SAMPLE = 1e-9
_WIDEST_NOISE_EV = 1000.0


@dataclass(frozen=True, slots=True)
class MapsOptions:
    """Which windows, and how."""

    windows: str = field(default="", metadata={
        "help": "what to map, separated by commas: elements and their lines (Fe, Pb-L, Cu-Ka), ranges (2.9:3.1keV, 550:560nm, 120:130ch), named if you like (clay=2190:2220nm)",
    })  # fmt: skip
    background: Literal["none", "linear"] = field(
        default="none", metadata={"help": "none, or linear: minus a line between the means left and right of each window"},
    )
    width: float = field(default=0.0, metadata={"help": "keV on either side of an element's line; 0 = one FWHM of the detector"})
    noise: float = field(default=70.0, metadata={"help": "width (FWHM, eV) that the electronics add to a line; 70 is 137 eV at Mn-Ka"})
    beam: float = field(default=0.0, metadata={"help": "highest energy that excites, keV: lines beyond its reach are left out; 0 = not known"})

    def __post_init__(self) -> None:
        if not (math.isfinite(self.width) and self.width >= 0):
            raise InvalidInput(f"width={self.width} is no width", Kind.OPTION_INVALID, "0, or keV: --set width=0.15")
        if not 0 <= self.noise <= _WIDEST_NOISE_EV:
            raise InvalidInput(f"noise={self.noise} is no width in eV", Kind.OPTION_INVALID, "--set noise=70")
        if not (math.isfinite(self.beam) and self.beam >= 0):
            raise InvalidInput(f"beam={self.beam} is no energy", Kind.OPTION_INVALID, "0, or keV: --set beam=40")

    @property
    def reading(self) -> Reading:
        """How elements are read."""
        return Reading(self.width, self.beam, Detector(self.noise / 1e3))


class Maps:
    """Sums over windows.  Net area over a linear background: Van Espen in Van Grieken and Markowicz (eds.) 2002,
    Handbook of X-Ray Spectrometry, chapter 4, simple net peak area determination.

    The state holds channels, so it can be applied to another cube on the same axis; nothing is learnt from pixels.
    Counts stay counts: without a background a sum below 2^24 is exact in float32.
    """  # noqa: D205  (one sentence)

    name = "maps"
    version = "1"
    Options = MapsOptions

    def inputs(self, options: MapsOptions) -> tuple[Input, ...]:  # noqa: ARG002  (the port's signature)
        """Name the one cube."""
        return (Input(_INPUT),)

    def workload(self, specs: Mapping[str, CubeSpec], options: MapsOptions) -> Workload:
        """One picture per window, named in the title, and a table of the windows.

        Raises
        ------
        InvalidInput
            If a window cannot be read or does not fit the axis (see :func:`read_windows`), or has no room for a
            background beside it.
        PluginError
            If elements are named and xraydb is not installed (kind ``missing-extra``).
        """
        spec = specs[_INPUT]
        main, axis = spec.main, _axis(spec)
        windows = read_windows(options.windows, axis, options.reading)
        if options.background == "linear":
            for window in windows:
                _sides(window, axis.size)
        names = ", ".join(window.name for window in windows)
        shape = (*main.shape[:2], len(windows))
        what = "net sum" if options.background == "linear" else "sum"
        maps = ArraySpec(
            "maps", Role.SCORES, ("y", "x", "window"), shape, "float32", shape, unit=_unit(main), nodata=math.nan,
            limits=_limits(main, windows, options), title=f"{what}: {names}",
        )  # fmt: skip
        edges = TableSpec(
            "windows", ("window", "edge"), "float64", f"lowest (1) and highest (2) edge of the windows: {names}", axis.unit or "channel",
        )
        samples = sum(window.channels for window in windows) * (2 if options.background == "linear" else 1)
        return Workload(
            outputs=(maps,), tables=(edges,), stages=(StageKind.SAMPLE, StageKind.MAP), sample_pixels=1,
            seconds_per_pixel=_SECONDS_PER_SAMPLE * (samples + 4 * len(windows)),
            scratch_nbytes_per_pixel=24 * len(windows), state_nbytes=64 * axis.size,
        )

    def start(self, sample: Sample, specs: Mapping[str, CubeSpec], options: MapsOptions) -> State:  # noqa: ARG002  (the port's)
        """Channels of every window and of what lies beside it; as facts, names and lines that overlap."""
        axis = _axis(specs[_INPUT])
        windows = read_windows(options.windows, axis, options.reading)
        rows = [
            (number, *run, *sides) for number, window in enumerate(windows)
            for run, sides in zip(window.runs, _sides(window, axis.size, required=False), strict=True)
        ]
        edges = [(min(low for low, _ in window.spans), max(high for _, high in window.spans)) for window in windows]
        arrays: dict[str, Array] = {"runs": np.array(rows, np.int64), "edges": np.array(edges, np.float64)}
        said = _overlaps(windows, axis, options)
        return State(arrays, {
            "windows": "; ".join(f"{window.name}: {_written(window, axis)}" for window in windows),
            **({"overlaps": "; ".join(said) or "none of a strong line"} if axis.quantity is Quantity.ENERGY else {}),
            "_channels": axis.size,
        })  # fmt: skip

    def accumulate(self, sheets: Mapping[str, Sheet], state: State, options: MapsOptions) -> Statistics:  # noqa: ARG002
        """Nothing: the windows are known."""
        return {}

    def update(self, state: State, statistics: Statistics, options: MapsOptions) -> Step:  # noqa: ARG002
        """Nothing: the windows are known."""
        return Step(state, done=True)

    def apply(self, sheets: Mapping[str, Sheet], state: State | None, options: MapsOptions) -> Result:
        """Add up the windows of one cell, in float64."""
        if state is None or "runs" not in state.arrays:
            raise InvalidInput("maps need windows to be applied", Kind.OPTION_INVALID, "run it without --state first")
        sheet = sheets[_INPUT]
        pixels = sheet.pixels
        if pixels.shape[1] != state.attributes["_channels"]:
            raise InvalidInput(
                f"the data have {pixels.shape[1]} channels and the windows are for {state.attributes['_channels']}", Kind.AXIS_MISMATCH,
                "apply them to data on the same spectral axis, or run it anew",
            )
        sums = np.zeros((len(pixels), len(state.arrays["edges"])))
        for window, start, stop, *sides in state.arrays["runs"].tolist():
            sums[:, window] += _sum(pixels, start, stop)
            if options.background == "linear":
                sums[:, window] -= (stop - start) * _level(pixels, sides)
        made = sums.astype(np.float32).reshape(*sheet.valid.shape, -1)
        return Result({"maps": np.where(sheet.valid[..., None], made, np.float32(np.nan))})

    def tables(self, state: State | None, tallies: Statistics, options: MapsOptions) -> Mapping[str, Array]:  # noqa: ARG002
        """Give the edges of the windows."""
        return {} if state is None else {"windows": state.arrays["edges"]}


def _axis(spec: CubeSpec) -> SpectralAxis:
    return spec.axis or SpectralAxis(math.prod(spec.main.shape[2:]))


def _unit(main: ArraySpec) -> str | None:
    return main.unit or (None if main.dtype.startswith("float") else "counts")


def _sum(pixels: Array, start: int, stop: int) -> NDArray[np.float64]:
    return np.asarray(pixels[:, start:stop].sum(axis=1, dtype=np.float64))


def _level(pixels: Array, sides: Sequence[int]) -> NDArray[np.float64]:
    """Background per channel in the middle of a window: the mean of the means on both sides, or of the only side there is."""
    left, left_stop, right, right_stop = sides
    means = [_sum(pixels, a, b) / (b - a) for a, b in ((left, left_stop), (right, right_stop)) if b > a]
    return np.asarray(sum(means[1:], start=means[0]) / len(means))


def _sides(window: ChannelWindow, size: int, *, required: bool = True) -> list[tuple[int, int, int, int]]:
    """Channels left and right of each run, half as many as it has; where the axis ends, what is left of them."""
    sides = []
    for start, stop in window.runs:
        reach = max(1, (stop - start) // 2)
        both = (max(0, start - reach), start, stop, min(size, stop + reach))
        if required and both[0] == both[1] and both[2] == both[3]:
            raise InvalidInput(
                f"the window '{window.name}' leaves no channel beside it for a background", Kind.OPTION_INVALID,
                "choose a narrower window, or --set background=none",
            )
        sides.append(both)
    return sides


def _limits(main: ArraySpec, windows: Sequence[ChannelWindow], options: MapsOptions) -> tuple[float, float] | None:
    """Bounds of the sums, from those of the samples."""
    if main.limits is None:
        return None
    low, high = main.limits
    if options.background == "linear":
        low, high = low - high, high - low
    ends = [window.channels * end for window in windows for end in (low, high)]
    return min(end * (_ROUNDING if end < 0 else 1 / _ROUNDING) for end in ends), max(end * (_ROUNDING if end > 0 else 1 / _ROUNDING) for end in ends)


def _overlaps(windows: Sequence[ChannelWindow], axis: SpectralAxis, options: MapsOptions) -> list[str]:
    """Tell of lines in the windows of elements: none where no element is named, so that bands need no tables."""
    unit, lines = axis.unit, [window.lines for window in windows if window.lines is not None]
    if not lines or unit is None:
        return []
    wanted = {
        window.lines.name if window.lines else window.name: [(converted(a, unit, "keV"), converted(b, unit, "keV")) for a, b in window.spans]
        for window in windows
    }  # fmt: skip
    ends = sorted(converted(end, unit, "keV") for end in (axis.coordinates[0], axis.coordinates[-1]))
    return overlaps(wanted, lines, options.reading.detector, (ends[0], ends[1], options.beam))


def _written(window: ChannelWindow, axis: SpectralAxis) -> str:
    parts = [f"{low:.4g}-{high:.4g}" for low, high in window.spans]
    return f"{' and '.join(parts)} {axis.unit or 'ch'}"


if TYPE_CHECKING:
    _: ReducibleModel[MapsOptions] = Maps()
