"""K-means by exact Lloyd passes over the whole picture.

It starts on a hash sample, then reads the picture once per pass; only counts and exact sums travel, so the result is the
same bits for any number of workers.  The labels in the map are those that were counted last.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lakecv.citation import Reference
from lakecv.cube import ArraySpec, CubeSpec, Role
from lakecv.errors import InvalidInput, Kind
from lakecv.job import Input, Scalar, StageKind, TableSpec, Workload
from lakecv.numerics.exact import MOST, exponent, fixed, limits_of
from lakecv.numerics.neighbours import Space, assign, nearest_two, squares
from lakecv.numerics.scaling import limits, scaled
from lakecv.numerics.tally import group_sums
from lakecv.sheet import Array, Result, Sample, Sheet, State, Statistics, Step
from lakecv_plugins.models.kmeans_options import AUTO, AUTO_RANGE, KMeansOptions
from lakecv_plugins.models.kmeans_passes import lloyd, moments, space_of
from lakecv_plugins.models.kmeans_start import best_of, far_apart, silhouette_curve

if TYPE_CHECKING:
    from lakecv.ports import Cited, ReducibleModel

__all__ = ["KMeans"]

_INPUT = "cube"
_SAMPLE_PIXELS, _SAMPLE_NBYTES = 8192, 32 << 20
_SPARES = 32
_SECONDS_PER_SAMPLE = 4e-9  # of one thread, and 1/64 of that again for each cluster


class KMeans:
    """Lloyd's algorithm.  Source: Lloyd 1982, doi 10.1109/TIT.1982.1056489."""

    name = "kmeans"
    version = "2"
    Options = KMeansOptions
    references = (
        Reference(
            "lloyd1982", "article", ("Lloyd, S. P.",), "Least squares quantization in PCM", "IEEE Transactions on Information Theory", 1982,
            "28", "129-137", "10.1109/TIT.1982.1056489",
        ),
        Reference(
            "arthur2007", "inproceedings", ("Arthur, D.", "Vassilvitskii, S."), "k-means++: the advantages of careful seeding",
            "Proceedings of the 18th Annual ACM-SIAM Symposium on Discrete Algorithms", 2007, pages="1027-1035",
        ),
    )

    def inputs(self, options: KMeansOptions) -> tuple[Input, ...]:  # noqa: ARG002  (the port's signature)
        """Name the one cube."""
        return (Input(_INPUT),)

    def workload(self, specs: Mapping[str, CubeSpec], options: KMeansOptions) -> Workload:
        """Labels, distances and margins; a sample, then passes.

        Raises
        ------
        InvalidInput
            If there are more clusters than pixels.
        """
        main = specs[_INPUT].main
        ny, nx = main.shape[:2]
        _check_room(options, ny * nx)
        bands, k = _bands(main), options.most
        sample = max(min(_SAMPLE_PIXELS, _SAMPLE_NBYTES // (4 * bands)), 64 * k)
        return Workload(
            outputs=_outputs((ny, nx), k),
            tables=tuple(_table_specs(main, options)),
            stages=(StageKind.SAMPLE, StageKind.REDUCE, StageKind.MAP),
            sample_pixels=sample,
            passes=options.passes + (options.scaling == "zscore"),
            seconds_per_pixel=_SECONDS_PER_SAMPLE * bands * (1 + k / 64),
            scratch_nbytes_per_pixel=8 * bands + 16 * k,
            state_nbytes=8 * bands * (k + _SPARES) + (4 * sample * bands if options.scaling == "zscore" else 0),
            statistics_nbytes=8 * (k * bands + k + 1),
        )

    def start(self, sample: Sample, specs: Mapping[str, CubeSpec], options: KMeansOptions) -> State:
        """Centroids of the best restart on the sample; with a z-score, first a pass for the moments."""
        _check_room(options, len(sample.spectra))
        main = specs[_INPUT].main
        values = scaled(sample.spectra.reshape(len(sample.spectra), -1), options.scaling)
        low, high = _bounds(main, options)
        centre = values.mean(axis=0, dtype=np.float64)
        known: dict[str, Scalar] = {"_seed": sample.seed, **_exponents(main, options, sample.npixels)}
        if options.scaling == "zscore":
            return State({"sample": values, "centre": centre}, {"_phase": "moments", **known})
        return _begin(values, Space.around(centre, high - low), options, known)

    def accumulate(self, sheets: Mapping[str, Sheet], state: State, options: KMeansOptions) -> Statistics:
        """Count and add the pixels of each cluster, and once the squares of all."""
        sheet = sheets[_INPUT]
        values, valid = scaled(sheet.pixels, options.scaling), sheet.valid.reshape(-1)
        if state.attributes["_phase"] == "moments":
            return _moment_sums(values, valid, state)
        space = space_of(state)
        labels = np.where(valid, assign(values, space, state.arrays["centroids"]), -1)
        counts, sums = group_sums(values, labels, len(state.arrays["centroids"]))
        found = {"counts": counts, "sums": fixed(sums, int(state.attributes["_sums_exponent"]))}
        if "_squares" not in state.attributes:  # the same in every pass, so added up in the first
            square = np.array([squares(values, space, valid)])
            found["squares"] = fixed(square, int(state.attributes["_squares_exponent"]))
        return found

    def update(self, state: State, statistics: Statistics, options: KMeansOptions) -> Step:
        """Move the centroids; end where they stay."""
        if state.attributes["_phase"] == "moments":
            exponents = int(state.attributes["_sums_exponent"]), int(state.attributes["_moments_exponent"])
            space = moments(statistics, state.arrays["centre"], exponents)
            kept = {name: value for name, value in state.attributes.items() if name != "_phase"}
            return Step(_begin(state.arrays["sample"], space, options, kept), done=False, progress="mean and spread of each band")
        return _lloyd_step(state, statistics, options.passes)

    def apply(self, sheets: Mapping[str, Sheet], state: State | None, options: KMeansOptions) -> Result:
        """Label one cell."""
        if state is None or "rank" not in state.arrays:
            raise InvalidInput("k-means needs centroids to be applied", Kind.OPTION_INVALID, "run it without --state first")
        sheet = sheets[_INPUT]
        nearest, near, second = nearest_two(scaled(sheet.pixels, options.scaling), space_of(state), state.arrays["centroids"])
        dtype = _label_dtype(options.most)
        labels = state.arrays["rank"][nearest]
        shape, usable = sheet.valid.shape, sheet.valid
        return Result({
            "labels": np.where(usable, labels.reshape(shape), -1).astype(dtype),
            "distance": np.where(usable, near.reshape(shape), np.float32(np.nan)),
            "margin": np.where(usable, np.maximum(second - near, 0).reshape(shape), np.float32(np.nan)),
        })

    def tables(self, state: State | None, tallies: Statistics, options: KMeansOptions) -> Mapping[str, Array]:  # noqa: ARG002
        """Centroids in the units of the scaled spectra, and the silhouette curve where k was chosen by it."""
        if state is None:
            return {}
        points = state.arrays["centroids"][np.argsort(state.arrays["rank"])]
        made: dict[str, Array] = {"centroids": points if options.scaling == "zscore" else space_of(state).spectra(points)}
        if "silhouette" in state.arrays:
            made["silhouette"] = state.arrays["silhouette"]
        return made


def _lloyd_step(state: State, statistics: Statistics, passes: int) -> Step:
    """End with the counted centroids, ranked by area, where they stay; else go on with the means.

    The centroids keep their places to the end: a product's bits may depend on the place of a column, and the labels of the
    map must be those that were counted.
    """
    step = lloyd(state, statistics)
    turn, used = int(state.attributes["passes"]) + 1, int(state.attributes["_spares_used"])
    progress = f"inertia {step.inertia:.6g}, shift {math.sqrt(step.shift):.3g}"
    empty, spares = np.flatnonzero(step.counts == 0), state.arrays["spares"][used:]
    attributes: dict[str, Scalar] = {**state.attributes, "passes": turn, "inertia": step.inertia, "_squares": step.squares}
    stays = step.shift <= float(state.attributes["_threshold"]) and not (len(empty) and len(spares))
    if stays or turn >= passes:
        return Step(State({**state.arrays, "rank": step.rank}, {**attributes, "_phase": "done"}), done=True, progress=progress)
    means = step.means.copy()
    for place, spare in zip(empty, spares, strict=False):
        means[place] = spare
    attributes["_spares_used"] = used + min(len(empty), len(spares))
    return Step(State({**state.arrays, "centroids": means}, attributes), done=False, progress=progress)


def _begin(values: Array, space: Space, options: KMeansOptions, known: Mapping[str, Scalar]) -> State:
    """First centroids, spares for empty clusters, and when to stop."""
    points = space.points(values).astype(np.float32)
    seed = int(known["_seed"])
    arrays: dict[str, Array] = {"centre": space.centre, "gain": space.gain}
    k = options.most
    if options.k == AUTO:
        ks = range(min(AUTO_RANGE), min(max(AUTO_RANGE), len(points) - 1) + 1)
        curve = silhouette_curve(points, ks, options.init, options.restarts, seed)
        arrays["silhouette"], k = curve, int(curve[curve[:, 1].argmax(), 0])
    centroids = best_of(points, k, options.init, options.restarts, seed)
    arrays |= {"centroids": centroids, "spares": far_apart(points, centroids, _SPARES)}
    threshold = options.tolerance * float(points.var(axis=0, dtype=np.float64).mean())
    facts: dict[str, Scalar] = {"_phase": "lloyd", "k": k, "passes": 0, "_spares_used": 0, "_threshold": threshold}
    return State(arrays, {**known, **facts})


def _bounds(main: ArraySpec, options: KMeansOptions) -> tuple[float, float]:
    """Limits of the values that are summed; a z-score is taken in the space, after the sums."""
    how = "none" if options.scaling == "zscore" else options.scaling
    return limits(how, limits_of(main), _bands(main), main.shape[0] * main.shape[1])


def _exponents(main: ArraySpec, options: KMeansOptions, npixels: int) -> dict[str, int]:
    """Scales of the sums: of samples (whole numbers stay whole), of squares in the space, of squares for the moments."""
    low, high = _bounds(main, options)
    bands, reach = _bands(main), max(high - low, 1e-300)
    most = max(abs(low), abs(high), reach)
    whole = options.scaling == "none" and not main.dtype.startswith("float") and most * npixels < MOST
    gain = float(Space.around(np.zeros(1), reach).gain[0])
    # z-scores over all pixels: their squares add up to bands * npixels exactly; the rest is for rounding
    square = 4.0 * npixels * bands if options.scaling == "zscore" else 1.01 * bands * (reach * gain) ** 2 * npixels
    return {
        "_sums_exponent": 0 if whole else exponent(2 * most, npixels),
        "_squares_exponent": exponent(square, 1),
        "_moments_exponent": exponent(1.01 * reach**2, npixels),
    }


def _moment_sums(values: Array, valid: NDArray[np.bool_], state: State) -> Statistics:
    centred = values[valid].astype(np.float64) - state.arrays["centre"]
    return {
        "count": np.array([len(centred)], np.int64),
        "sums": fixed(centred.sum(axis=0), int(state.attributes["_sums_exponent"])),
        "squares": fixed((centred**2).sum(axis=0), int(state.attributes["_moments_exponent"])),
    }


def _outputs(shape: tuple[int, int], k: int) -> tuple[ArraySpec, ...]:
    dtype, dims = np.dtype(_label_dtype(k)), ("y", "x")
    nothing = float(256**dtype.itemsize - 1)
    far = "how much nearer than the second centroid"
    return (
        ArraySpec("labels", Role.LABELS, dims, shape, str(dtype), shape, nodata=nothing, title="cluster of each pixel"),
        ArraySpec("distance", Role.DISTANCE, dims, shape, "float32", shape, nodata=math.nan, title="distance to the centroid"),
        ArraySpec("margin", Role.DISTANCE, dims, shape, "float32", shape, nodata=math.nan, title=far),
    )


def _table_specs(main: ArraySpec, options: KMeansOptions) -> list[TableSpec]:
    found = [TableSpec("centroids", ("cluster", main.third), "float64", "centroid of each cluster")]
    if options.k == AUTO:
        found.append(TableSpec("silhouette", ("k", "column"), "float64", "silhouette of the sample for each k"))
    return found


def _label_dtype(k: int) -> type[np.uint8 | np.uint16]:
    """Smallest type whose highest value is free for no data."""
    return np.uint8 if k <= np.iinfo(np.uint8).max else np.uint16


def _check_room(options: KMeansOptions, npixels: int) -> None:
    least = options.k if isinstance(options.k, int) else min(AUTO_RANGE) + 1
    if least > npixels:
        raise InvalidInput(f"{least} clusters cannot be made of {npixels} pixels", Kind.OPTION_INVALID, "choose a smaller k")


def _bands(main: ArraySpec) -> int:
    return math.prod(main.shape[2:])


if TYPE_CHECKING:
    _: ReducibleModel[KMeansOptions] = KMeans()
    _cited: Cited = KMeans()
