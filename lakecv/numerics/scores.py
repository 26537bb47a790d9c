"""How good a clustering is: inertia, silhouette on a sample with its interval, agreement of two label maps.

The silhouette compares every pixel with every other, so it is only ever taken on a sample, and says how sure it is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lakecv.errors import InvalidInput, Kind

__all__ = ["adjusted_rand_index", "distances", "inertia", "silhouette", "silhouette_of"]

_PIXELS = 2048
_NORMAL_95 = 1.959963984540054


def adjusted_rand_index(a: NDArray[np.integer], b: NDArray[np.integer]) -> float:
    """Agreement of two labellings of the same pixels, blind to the names of the labels.

    Parameters
    ----------
    a, b : (n,) int
        Labels; leave out pixels without one.

    Returns
    -------
    float
        1 = the same partition, about 0 = by chance, can be negative.  Source: Hubert and Arabie 1985, eq. 5.

    Examples
    --------
    >>> adjusted_rand_index(np.array([0, 0, 1, 1]), np.array([7, 7, 3, 3]))
    1.0
    """
    if a.shape != b.shape or a.size == 0:
        raise InvalidInput(f"{a.size} labels cannot be compared with {b.size}", Kind.SHAPE_INVALID)
    _, rows = np.unique(a.ravel(), return_inverse=True)
    _, columns = np.unique(b.ravel(), return_inverse=True)
    width = int(columns.max()) + 1
    _, both = np.unique(rows.astype(np.int64) * width + columns, return_counts=True)
    together, in_a, in_b = (_pairs(counts) for counts in (both, np.bincount(rows), np.bincount(columns)))
    expected = in_a * in_b / max(_pairs(np.array([a.size])), 1)
    most = (in_a + in_b) / 2
    return 1.0 if most == expected else float((together - expected) / (most - expected))


def inertia(points: NDArray[np.floating], labels: NDArray[np.integer], centroids: NDArray[np.floating]) -> float:
    """Sum of squared distances to the centroid of each point's label, in float64 from differences."""
    total = 0.0
    for label in np.unique(labels):
        apart = points[labels == label].astype(np.float64) - centroids[label]
        total += float(np.vdot(apart, apart))
    return total


def silhouette(
    points: NDArray[np.floating], labels: NDArray[np.integer], seed: int, pixels: int = _PIXELS,
) -> tuple[float, float, float]:
    """Mean silhouette of at most ``pixels`` points drawn without replacement, with its 95 % interval.

    Returns
    -------
    mean, low, high : float
        mean -+ 1.96 s / sqrt(n).  NaN where there are fewer than two clusters.
    """
    if len(points) > pixels:
        drawn = np.random.Generator(np.random.PCG64(seed % 2**64)).choice(len(points), pixels, replace=False)
        points, labels = points[drawn], labels[drawn]
    return silhouette_of(distances(points), labels)


def distances(points: NDArray[np.floating]) -> NDArray[np.float32]:
    """Euclidean distance of every point to every other, (n, n) float32, 0 on the diagonal; centred first."""
    centred = (points - points.mean(axis=0, dtype=np.float64)).astype(np.float64)
    lengths = np.einsum("ij,ij->i", centred, centred)
    squared = lengths[:, None] + lengths[None, :] - 2.0 * (centred @ centred.T)
    np.fill_diagonal(squared, 0.0)
    return np.asarray(np.sqrt(np.maximum(squared, 0.0)), np.float32)


def silhouette_of(between: NDArray[np.float32], labels: NDArray[np.integer]) -> tuple[float, float, float]:
    """Mean silhouette with its 95 % interval, from the distances between all points: reuse them for several labellings.

    Notes
    -----
    A point alone in its cluster counts 0.  Source: Rousseeuw 1987, doi 10.1016/0377-0427(87)90125-7.
    """
    names, index, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if len(names) < 2:  # noqa: PLR2004
        return float("nan"), float("nan"), float("nan")
    sums = np.stack([between[:, index == own].sum(axis=1, dtype=np.float64) for own in range(len(names))], axis=1)
    here = np.arange(len(index))
    inside = sums[here, index] / np.maximum(counts[index] - 1, 1)
    means = sums / counts
    means[here, index] = np.inf
    outside = means.min(axis=1)
    widest = np.maximum(inside, outside)
    each = np.where((counts[index] > 1) & (widest > 0), (outside - inside) / np.where(widest > 0, widest, 1.0), 0.0)
    half = _NORMAL_95 * float(each.std(ddof=1)) / np.sqrt(len(each))
    mean = float(each.mean())
    return mean, mean - half, mean + half


def _pairs(counts: NDArray[np.integer]) -> float:
    wide = counts.astype(np.float64)
    return float((wide * (wide - 1) / 2).sum())
