"""Principal components from one pass: the Gram matrix of the centred spectra, exact, then one eigenproblem.

Cells add their products in float64 and round them once; the mean that was only guessed from the sample is corrected
exactly afterwards.  A full SVD of the picture gives the same subspace.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from lakecv.citation import Reference
from lakecv.cube import CELL_PIXELS, ArraySpec, CubeSpec, Role
from lakecv.errors import InvalidInput, Kind
from lakecv.job import Input, Scalar, StageKind, TableSpec, Workload
from lakecv.numerics import scaling as scalings
from lakecv.numerics.exact import exponent, fixed, limits_of, value
from lakecv.numerics.scaling import Scaling, inverse, scaled
from lakecv.sheet import Array, Result, Sample, Sheet, State, Statistics, Step
from lakecv_plugins.models.noise import (
    adjusted,
    counting_gain,
    edge_of_counts,
    edge_of_differences,
    gram_of_differences,
)

if TYPE_CHECKING:
    from lakecv.ports import Cited, ReducibleModel

__all__ = ["PCA", "PCAOptions"]

_INPUT = "cube"
_SAMPLE_PIXELS, _SAMPLE_NBYTES = 1024, 16 << 20
_SECONDS_PER_SAMPLE, _SECONDS_PER_PRODUCT = 4e-9, 2.4e-11  # of one thread: per band, and per pair of bands
_FLAT = 1e-10  # a variance below this part of the mean square is what rounding leaves of a constant band
_ROUNDING = 1.0 + 1e-5  # scores are rounded to float32 after their bound was taken


@dataclass(frozen=True, slots=True)
class PCAOptions:
    """How many components, of what."""

    components: int = field(default=8, metadata={"help": "components to keep"})
    scaling: Scaling = field(default="none", metadata={"help": "none, sqrt (counts), l2, snv (per pixel) or zscore (per band)"})

    noise: Literal["none", "differences", "poisson"] = field(default="none", metadata={
        "help": "order components by signal to noise: differences (noise of neighbouring pixels, MNF) or poisson (counts)",
    })  # fmt: skip
    rank: Literal["all", "auto"] = field(default="all", metadata={"help": "auto: components that are not above the noise become 0"})

    def __post_init__(self) -> None:
        scalings.check(self.scaling)
        if self.noise != "none" and self.scaling == "zscore" or self.noise == "poisson" and self.scaling != "none":  # noqa: RUF021
            raise InvalidInput(
                f"noise={self.noise} weighs the bands by itself; scaling={self.scaling} would do it again", Kind.OPTION_INVALID,
                "--set scaling=none",
            )
        if self.rank == "auto" and self.noise == "none":
            raise InvalidInput("rank=auto needs to know the noise", Kind.OPTION_INVALID, "--set noise=differences, or poisson for counts")
        if self.components < 1:
            raise InvalidInput(f"components={self.components} is too few", Kind.OPTION_INVALID, "--set components=8")


class PCA:
    """Principal component analysis.  Source: Jolliffe 2002, Principal Component Analysis, chapter 3 (covariance form).

    With ``noise`` the components come in the order of signal to noise, their variances in units of the noise: see
    :mod:`lakecv_plugins.models.noise` for the sources.
    """

    name = "pca"
    version = "1"
    Options = PCAOptions
    references = (
        Reference("jolliffe2002", "book", ("Jolliffe, I. T.",), "Principal Component Analysis", "Springer", 2002, doi="10.1007/b98835"),
    )

    def inputs(self, options: PCAOptions) -> tuple[Input, ...]:  # noqa: ARG002  (the port's signature)
        """Name the one cube."""
        return (Input(_INPUT),)

    def workload(self, specs: Mapping[str, CubeSpec], options: PCAOptions) -> Workload:
        """Scores; a sample for the centre, one pass for the Gram matrix.

        Raises
        ------
        InvalidInput
            If there are more components than channels, or samples below 0 are said to be counts.
        """
        main = specs[_INPUT].main
        (ny, nx), bands = main.shape[:2], _bands(main)
        if options.components > bands:
            raise InvalidInput(
                f"{options.components} components cannot be made of {bands} channels", Kind.OPTION_INVALID,
                f"--set components={bands} or fewer",
            )
        low, high = _limits(main, options.scaling)
        bound, shape = math.sqrt(bands) * (high - low) * _ROUNDING, (ny, nx, options.components)
        if options.noise == "poisson":
            if low < 0:
                raise InvalidInput(f"counts are not below 0; the least sample is {low:g}", Kind.OPTION_INVALID, "--set noise=differences")
            bound = math.sqrt(bands * high * ny * nx) * _ROUNDING  # x / sqrt(mean) <= sqrt(x n), as the mean is x / n or more
        scores = ArraySpec(
            "scores", Role.SCORES, ("y", "x", "component"), shape, "float32", shape, nodata=math.nan,
            limits=(-bound, bound), title="scores of the principal components",
        )
        triangle, grams = bands * (bands + 1) // 2, 1 + (options.noise == "differences")
        return Workload(
            outputs=(scores,), tables=_tables(main), stages=(StageKind.SAMPLE, StageKind.REDUCE, StageKind.MAP),
            sample_pixels=max(32, min(_SAMPLE_PIXELS, _SAMPLE_NBYTES // (4 * bands))), passes=1,
            seconds_per_pixel=grams * bands * (_SECONDS_PER_SAMPLE + bands * _SECONDS_PER_PRODUCT),
            scratch_nbytes_per_pixel=grams * (20 * bands + 24 * bands**2 // CELL_PIXELS), state_nbytes=8 * bands * (options.components + 4),
            statistics_nbytes=8 * (grams * (triangle + 1) + bands),
        )

    def start(self, sample: Sample, specs: Mapping[str, CubeSpec], options: PCAOptions) -> State:
        """Guess the centre from the sample, and fix the scale of the sums."""
        values = scaled(sample.spectra.reshape(len(sample.spectra), -1), options.scaling)
        low, high = _limits(specs[_INPUT].main, "none" if options.scaling == "zscore" else options.scaling)
        reach = max(high - low, 1e-150)
        scales: dict[str, Scalar] = {
            "_gram_exponent": exponent(reach**2, sample.npixels), "_sums_exponent": exponent(reach, sample.npixels),
        }
        return State({"centre": values.mean(axis=0, dtype=np.float64)}, scales)

    def accumulate(self, sheets: Mapping[str, Sheet], state: State, options: PCAOptions) -> Statistics:
        """Add products of channels, in float64; of the symmetric matrix the upper triangle, row by row."""
        sheet = sheets[_INPUT]
        centred = np.subtract(scaled(sheet.pixels, options.scaling), state.arrays["centre"], dtype=np.float64)
        centred[~sheet.valid.reshape(-1)] = 0.0
        gram = centred.T @ centred  # the same array twice: BLAS syrk, half the work
        beside: dict[str, NDArray[np.int64]] = {}
        if options.noise == "differences":
            pairs, between = gram_of_differences(centred, sheet.valid)
            beside = {
                "pairs": np.array([pairs], np.int64),
                "noise": fixed(between[np.triu_indices(len(between))], int(state.attributes["_gram_exponent"])),
            }
        return {
            **beside,
            "count": np.array([np.count_nonzero(sheet.valid)], np.int64),
            "sums": fixed(centred.sum(axis=0), int(state.attributes["_sums_exponent"])),
            "gram": fixed(gram[np.triu_indices(len(gram))], int(state.attributes["_gram_exponent"])),
        }

    def update(self, state: State, statistics: Statistics, options: PCAOptions) -> Step:
        """Solve the eigenproblem of the covariance (of the correlation with a z-score)."""
        count = int(statistics["count"][0])
        if count < 2:  # noqa: PLR2004  (one pixel has no variance)
            raise InvalidInput(f"{count} usable pixels have no variance", Kind.NOTHING_VALID, "check the mask of the dataset")
        offset = value(statistics["sums"], int(state.attributes["_sums_exponent"])) / count
        gram = _square(value(statistics["gram"], int(state.attributes["_gram_exponent"])), len(offset))
        covariance = (gram - count * np.outer(offset, offset)) / (count - 1)
        if options.noise == "differences":
            return self._by_noise(state, statistics, covariance, offset, options)
        gain = _spread_to_one(covariance, gram / count) if options.scaling == "zscore" else np.ones(len(offset))
        if options.noise == "poisson":
            gain = counting_gain(state.arrays["centre"] + offset)
        variances, vectors = np.linalg.eigh(covariance * np.outer(gain, gain))
        best = np.argsort(-variances, kind="stable")[: options.components]
        kept, total = np.maximum(variances[best], 0.0), float(np.maximum(variances, 0.0).sum())
        arrays: dict[str, Array] = {
            "mean": state.arrays["centre"] + offset, "gain": gain, "loadings": _turned(vectors[:, best].T), "variances": kept,
            "ratios": kept / total if total > 0 else np.zeros_like(kept),
        }
        limit = edge_of_counts(count, max(1, int(np.count_nonzero(gain)))) if options.noise == "poisson" else None
        return _learnt(arrays, count, options, np.sort(variances)[::-1], limit)

    def _by_noise(
        self, state: State, statistics: Statistics, covariance: NDArray[np.float64], offset: NDArray[np.float64], options: PCAOptions,
    ) -> Step:
        """Solve for the directions that stand out of the noise between neighbours."""
        count, pairs = int(statistics["count"][0]), int(statistics["pairs"][0])
        if not pairs:
            raise InvalidInput("no pixel has a usable neighbour beside it", Kind.NOTHING_VALID, "--set noise=none")
        noise = _square(value(statistics["noise"], int(state.attributes["_gram_exponent"])), len(offset)) / (2 * pairs)
        found, filters, spread = adjusted(covariance, noise)
        kept, total = np.zeros(options.components), float(np.maximum(found, 0.0).sum())
        loadings = np.zeros((options.components, len(offset)))
        most = min(options.components, len(found))
        kept[:most], loadings[:most] = np.maximum(found[:most], 0.0), _turned(filters[:most])
        arrays: dict[str, Array] = {
            "mean": state.arrays["centre"] + offset, "gain": np.ones(len(offset)), "loadings": loadings, "variances": kept,
            "ratios": kept / total if total > 0 else kept,
        }
        step = _learnt(arrays, count, options, found, edge_of_differences(count, pairs, len(found)))
        return Step(State(step.state.arrays, {**step.state.attributes, "noise": spread}), done=True, progress=step.progress)

    def apply(self, sheets: Mapping[str, Sheet], state: State | None, options: PCAOptions) -> Result:
        """Project one cell."""
        if state is None or "loadings" not in state.arrays:
            raise InvalidInput("a projection needs components to be applied", Kind.OPTION_INVALID, "run it without --state first")
        sheet = sheets[_INPUT]
        values, mean = scaled(sheet.pixels, options.scaling), state.arrays["mean"]
        if values.shape[1:] != mean.shape:
            raise InvalidInput(
                f"the data have {values.shape[1]} channels and the model was fitted on {mean.size}", Kind.AXIS_MISMATCH,
                "apply it to data on the same spectral axis, or fit it anew",
            )
        centred = np.subtract(values, mean, dtype=np.float64).astype(np.float32)
        scores = centred @ np.ascontiguousarray((state.arrays["loadings"] * state.arrays["gain"]).T.astype(np.float32))
        usable = sheet.valid[..., None]
        return Result({"scores": np.where(usable, scores.reshape(*sheet.valid.shape, -1), np.float32(np.nan))})

    def tables(self, state: State | None, tallies: Statistics, options: PCAOptions) -> Mapping[str, Array]:  # noqa: ARG002
        """Give loadings, the variance that each component explains, and the mean spectrum."""
        if state is None:
            return {}
        names = {"loadings": "loadings", "explained_variance": "variances", "explained_variance_ratio": "ratios", "mean": "mean"}
        return {table: state.arrays[array] for table, array in names.items()}


def _learnt(
    arrays: dict[str, Array], count: int, options: PCAOptions, variances: NDArray[np.float64], limit: float | None,
) -> Step:
    """Make the last state; with a limit of the noise, count what is above it, and leave out the rest where that is asked for."""
    explained = float(arrays["ratios"].sum())
    facts: dict[str, Scalar] = {"pixels": count, "explained": explained}
    if limit is not None:
        rank = int(np.count_nonzero(variances > limit))
        facts |= {"above_noise": rank, **({"noise_limit": limit} if math.isfinite(limit) else {})}
        if options.rank == "auto":
            arrays["loadings"] = np.where(np.arange(options.components)[:, None] < rank, arrays["loadings"], 0.0)
    return Step(State(arrays, facts), done=True, progress=f"{explained:.2%} of the variance explained")


def _tables(main: ArraySpec) -> tuple[TableSpec, ...]:
    channel = "feature" if main.third == "component" else main.third  # components of components
    return (
        TableSpec("loadings", ("component", channel), "float64", "loadings of the principal components"),
        TableSpec("explained_variance", ("component",), "float64", "variance of each component"),
        TableSpec("explained_variance_ratio", ("component",), "float64", "share of the variance that each component explains"),
        TableSpec("mean", (channel,), "float64", "mean of the (scaled) spectra"),
    )


def _square(triangle: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Make a symmetric matrix of its upper triangle."""
    matrix = np.zeros((size, size))
    matrix[np.triu_indices(size)] = triangle
    return matrix + np.triu(matrix, 1).T


def _spread_to_one(covariance: NDArray[np.float64], mean_squares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gain of each band that makes its variance 1; 0 for a constant band."""
    variance = np.diag(covariance)
    spread = np.sqrt(np.maximum(variance, 0.0))
    return inverse(np.where(variance > _FLAT * np.diag(mean_squares), spread, 0.0))


def _turned(loadings: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give each component the sign that makes its largest loading positive: eigenvectors have none of their own."""
    largest = np.take_along_axis(loadings, np.abs(loadings).argmax(axis=1)[:, None], axis=1)
    return loadings * np.where(largest < 0, -1.0, 1.0)


def _limits(main: ArraySpec, how: Scaling) -> tuple[float, float]:
    return scalings.limits(how, limits_of(main), _bands(main), main.shape[0] * main.shape[1])


def _bands(main: ArraySpec) -> int:
    return math.prod(main.shape[2:])


if TYPE_CHECKING:
    _: ReducibleModel[PCAOptions] = PCA()
    _cited: Cited = PCA()
