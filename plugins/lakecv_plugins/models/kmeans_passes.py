"""What a pass of k-means makes of its sums: moments for the z-score, then Lloyd's step, then the order of the clusters.

Pure functions of the state and exact sums.  The centroids that end a fit are those whose pixels were counted last, so the
labels of the map are exactly the counted ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lakecv.numerics.exact import value
from lakecv.numerics.neighbours import Space
from lakecv.sheet import State, Statistics

__all__ = ["Lloyd", "lloyd", "moments", "space_of"]


@dataclass(frozen=True, slots=True, eq=False)
class Lloyd:
    """One Lloyd step: ``means`` of the clusters' pixels, ``counts``, sum of all squares, inertia and squared shift."""

    means: NDArray[np.float64]
    counts: NDArray[np.int64]
    squares: float
    inertia: float
    shift: float

    @property
    def rank(self) -> NDArray[np.int64]:
        """Place of each cluster by decreasing area, from 0; equal areas keep their order."""
        return np.argsort(np.argsort(-self.counts, kind="stable")).astype(np.int64)


def space_of(state: State) -> Space:
    """Space that the state's centroids are points of."""
    return Space(state.arrays["centre"], state.arrays["gain"])


def moments(statistics: Statistics, centre: NDArray[np.float64], exponents: tuple[int, int]) -> Space:
    """Mean and spread of every band over the whole picture, as a space of z-scores."""
    count = int(statistics["count"][0])
    offset = value(statistics["sums"], exponents[0]) / count
    spread = value(statistics["squares"], exponents[1]) / count - offset**2
    return Space.standard(centre + offset, np.sqrt(np.maximum(spread, 0.0)))


def lloyd(state: State, statistics: Statistics) -> Lloyd:
    """Evaluate one pass.

    Notes
    -----
    Inertia from sums: sum |x|^2 - 2 sum_k c_k . s_k + sum_k n_k |c_k|^2, all in the space, whose origin lies amid the
    data, so that little cancels.  An empty cluster takes the next spare of the state.
    """
    space, centroids = space_of(state), state.arrays["centroids"]
    counts = statistics["counts"]
    sums = value(statistics["sums"], int(state.attributes["_sums_exponent"]))
    full = counts > 0
    means = centroids.copy()
    means[full] = space.points(sums[full] / counts[full, None])
    squares = _squares(state, statistics)
    crossed = float(np.einsum("ij,ij,i->", centroids, means, counts.astype(np.float64)))
    own = float(np.einsum("ij,ij,i->", centroids, centroids, counts.astype(np.float64)))
    shift = float(((means - centroids) ** 2).sum())
    return Lloyd(means, counts, squares, max(squares - 2.0 * crossed + own, 0.0), shift)


def _squares(state: State, statistics: Statistics) -> float:
    """Sum of |x|^2 over all pixels: from this pass where it is the first, else as the first one found it."""
    if "_squares" in state.attributes:
        return float(state.attributes["_squares"])
    return float(value(statistics["squares"], int(state.attributes["_squares_exponent"]))[0])
