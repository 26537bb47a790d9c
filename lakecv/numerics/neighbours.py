"""The nearest of a few centroids, for many pixels, without a copy of the picture.

Distances are taken in a *space*: ``(x - centre) * gain``.  Centring comes first because float32 keeps 24 bits: spectra
on a high offset would lose their differences in ``|x|^2 - 2 x.c + |c|^2``.  Rows go in chunks that stay in the cache; the
chunk is fixed by the array's shape, so the same cell gives the same bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lakecv.errors import InvalidInput, Kind
from lakecv.numerics.scaling import inverse

__all__ = ["Space", "assign", "nearest_two", "squares"]

_ROWS = 512  # measured best of 32..4096 for 1,024 bands
_SAFE = (1e-6, 1e12)  # sizes whose squares, summed over any number of bands, float32 holds


@dataclass(frozen=True, slots=True, eq=False)
class Space:
    """Where distances are taken: ``centre`` and ``gain`` (spectral,) float64; ``centre`` is rounded to float32."""

    centre: NDArray[np.float64]
    gain: NDArray[np.float64]

    @classmethod
    def around(cls, centre: NDArray[np.float64], reach: float) -> Space:
        """Space around a centre, for samples at most ``reach`` away from it; a gain, a power of two, where it must be."""
        gain = 1.0 if _SAFE[0] <= reach <= _SAFE[1] or reach == 0 else float(2.0 ** -np.round(np.log2(reach)))
        return cls(_rounded(centre), np.full(centre.shape, gain))

    @classmethod
    def standard(cls, mean: NDArray[np.float64], std: NDArray[np.float64]) -> Space:
        """Space of z-scores; a band without spread has gain 0."""
        return cls(_rounded(mean), inverse(std))

    def points(self, values: NDArray[np.generic]) -> NDArray[np.float64]:
        """Map spectra (..., spectral) to points of the space, in float64."""
        return (np.asarray(values, np.float64) - self.centre) * self.gain

    def spectra(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map points back to spectra; a band with gain 0 gets the centre."""
        return self.centre + points * inverse(self.gain)

    def chunks(self, values: NDArray[np.generic]) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """Points of ``values`` (n, spectral) in float32, some rows at a time; the buffer is used again."""
        if values.shape[1:] != self.centre.shape:
            raise InvalidInput(
                f"the data have {values.shape[1]} channels and the model was fitted on {self.centre.size}",
                Kind.AXIS_MISMATCH, "apply it to data on the same spectral axis, or fit it anew",
            )
        flat = bool(np.all(self.gain == 1.0))
        # float32 holds these exactly, so subtracting in float32 rounds once
        plain = flat and (values.dtype.itemsize <= 2 or values.dtype == np.float32)  # noqa: PLR2004
        centre = self.centre.astype(np.float32)
        buffer = np.empty((min(_ROWS, len(values)), values.shape[1]), np.float32)
        for start in range(0, len(values), _ROWS):
            rows = values[start : start + _ROWS]
            out = buffer[: len(rows)]
            if plain:
                np.copyto(out, rows)
                np.subtract(out, centre, out=out)
            else:
                np.copyto(out, self.points(rows), casting="same_kind")
            yield slice(start, start + len(rows)), out


def assign(values: NDArray[np.generic], space: Space, centroids: NDArray[np.float64]) -> NDArray[np.int64]:
    """Index of the nearest centroid of each pixel; the lowest index where several are equally near.

    Parameters
    ----------
    values : (n, spectral)
        Finite samples.
    space : Space
        Where distances are taken.
    centroids : (k, spectral) float64
        Points of the space.

    Returns
    -------
    (n,) int64
    """
    labels = np.empty(len(values), np.int64)
    turned, half = _prepared(centroids)
    for rows, points in space.chunks(values):
        labels[rows] = np.argmin(half - points @ turned, axis=1)
    return labels


def nearest_two(
    values: NDArray[np.generic], space: Space, centroids: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
    """Like :func:`assign`, with the Euclidean distances to the nearest and the second nearest centroid.

    Returns
    -------
    labels : (n,) int64
        Bit-equal to those of :func:`assign`.
    nearest, second : (n,) float32
        From differences, not from products: exact to float32 also very close to a centroid.
    """
    labels = np.empty(len(values), np.int64)
    near, next_ = np.empty(len(values), np.float32), np.empty(len(values), np.float32)
    turned, half = _prepared(centroids)
    small = centroids.astype(np.float32)
    for rows, points in space.chunks(values):
        score = half - points @ turned
        first = np.argmin(score, axis=1)
        score[np.arange(len(first)), first] = np.inf
        labels[rows] = first
        near[rows] = _length(points - small[first])
        next_[rows] = _length(points - small[np.argmin(score, axis=1)])
    return labels, near, next_


def squares(values: NDArray[np.generic], space: Space, valid: NDArray[np.bool_]) -> float:
    """Sum of squared distances from the space's centre over the valid pixels, in float64."""
    total = 0.0
    for rows, points in space.chunks(values):
        wide = points[valid[rows]].astype(np.float64)
        total += float(np.vdot(wide, wide))
    return total


def _prepared(centroids: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Turn centroids round for a product, with half their squared lengths: |x-c|^2 / 2 = |x|^2 / 2 - x.c + |c|^2 / 2."""
    small = centroids.astype(np.float32)
    return np.ascontiguousarray(small.T), (0.5 * np.einsum("ij,ij->i", centroids, centroids)).astype(np.float32)


def _length(differences: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", differences, differences)), np.float32)


def _rounded(centre: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(centre, np.float64).astype(np.float32).astype(np.float64)
