"""Where k-means starts: centroids found on a sample, how many there should be, and spare spectra for empty clusters.

Everything here works on points of a space (:class:`lakecv.numerics.neighbours.Space`) and is a pure function of its
arguments; random draws come from a generator that is given.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lakecv.numerics.scores import distances, silhouette_of
from lakecv.numerics.tally import group_sums

__all__ = ["best_of", "far_apart", "lloyd", "plus_plus", "silhouette_curve"]

Points = NDArray[np.float32]
Centroids = NDArray[np.float64]

_SCOUTS = 2048  # pixels that numbers of clusters are compared on
_ROUNDS = 30
_NOISE = 1e-6  # |x|^2 - 2 x.c + |c|^2 below this part of its terms is rounding: the point is the centroid


def plus_plus(points: Points, k: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw k points, each with probability proportional to its squared distance D^2 to those drawn before.

    Parameters
    ----------
    points : (n, spectral) float32
        Candidates; n >= k.
    k : int
        How many.
    rng : Generator
        Source of the draws.

    Returns
    -------
    (k,) int64
        Indices, all different.  Where fewer than k points differ, the rest is drawn evenly.

    Notes
    -----
    Source: Arthur and Vassilvitskii 2007, "k-means++", section 2.2: D^2, not D^4, and no greedy trials.
    """
    lengths = _lengths(points)
    chosen = [int(rng.integers(len(points)))]
    closest = _squared_to(points, lengths, chosen[0])
    while len(chosen) < k:
        weights = closest if closest.sum() > 0 else np.ones(len(points))
        weights[chosen] = 0.0
        chosen.append(_draw(weights, rng))
        closest = np.minimum(closest, _squared_to(points, lengths, chosen[-1]))
    return np.array(chosen, np.int64)


def lloyd(points: Points, centroids: Centroids, rounds: int = _ROUNDS) -> tuple[Centroids, NDArray[np.int64], float]:
    """Lloyd's iteration until no label changes, or ``rounds``; an empty cluster takes the point farthest from its own.

    Returns
    -------
    centroids : (k, spectral) float64
    labels : (n,) int64
        Nearest of these centroids, but for the last move.
    inertia : float
        Of these labels, under the centroids that made them.
    """
    lengths = _lengths(points)
    labels = np.full(len(points), -1, np.int64)
    inertia = np.inf
    for _ in range(rounds):
        squared = _squared(points, lengths, centroids)
        new = np.argmin(squared, axis=1)
        own = squared[np.arange(len(new)), new]
        inertia = float(own.sum())
        if np.array_equal(new, labels):
            break
        labels = new
        counts, sums = group_sums(points, labels, len(centroids))
        centroids = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centroids)
        for empty, farthest in zip(np.flatnonzero(counts == 0), np.argsort(-own, kind="stable"), strict=False):
            centroids[empty] = points[farthest]
    return centroids, labels, inertia


def best_of(points: Points, k: int, init: str, restarts: int, seed: int) -> Centroids:
    """Centroids of the restart with the smallest inertia on the whole sample.

    Fewer points, to begin on or to rank restarts by, lose small groups that lie far off: of Salinas-A, 2,048 of 5,348 pixels led every
    second seed to a minimum that is 1.6 % (of z-scores 60 %) above the best.
    """
    rng = np.random.Generator(np.random.PCG64(seed % 2**64))
    return min((lloyd(points, _seeds(points, k, init, rng)) for _ in range(restarts)), key=lambda one: one[2])[0]


def silhouette_curve(points: Points, ks: range, init: str, restarts: int, seed: int) -> NDArray[np.float64]:
    """Silhouette for each number of clusters.

    Returns
    -------
    (len(ks), 4) float64
        Columns k, mean, low, high: the mean over at most 2,048 points of the sample and its 95 % interval.
    """
    scouts = points[:_SCOUTS]
    between = distances(scouts)
    rows = []
    for k in ks:
        rng = np.random.Generator(np.random.PCG64([seed % 2**64, k]))
        tries = [lloyd(scouts, _seeds(scouts, k, init, rng)) for _ in range(restarts)]
        _, labels, _ = min(tries, key=lambda one: one[2])
        rows.append((float(k), *silhouette_of(between, labels)))
    return np.array(rows, np.float64)


def far_apart(points: Points, centroids: Centroids, count: int) -> Points:
    """Points that lie far from all centroids and from each other, the farthest first: spares for empty clusters."""
    lengths = _lengths(points)
    closest = _squared(points, lengths, centroids).min(axis=1)
    chosen = []
    for _ in range(min(count, len(points))):
        chosen.append(int(np.argmax(closest)))
        closest = np.minimum(closest, _squared_to(points, lengths, chosen[-1]))
    return points[chosen]


def _seeds(points: Points, k: int, init: str, rng: np.random.Generator) -> Centroids:
    drawn = plus_plus(points, k, rng) if init == "k-means++" else rng.choice(len(points), k, replace=False)
    return points[drawn].astype(np.float64)


def _draw(weights: NDArray[np.float64], rng: np.random.Generator) -> int:
    """Draw an index with probability proportional to its weight; one of weight 0 never."""
    ladder = np.cumsum(weights)
    step = int(np.searchsorted(ladder, rng.random() * ladder[-1], side="right"))
    return min(step, int(np.flatnonzero(weights)[-1]))


def _lengths(points: Points) -> NDArray[np.float64]:
    return np.asarray(np.einsum("ij,ij->i", points, points), np.float64)


def _squared(points: Points, lengths: NDArray[np.float64], centroids: Centroids) -> NDArray[np.float64]:
    """Squared distances (n, k) float64, products in float32."""
    own = np.einsum("ij,ij->i", centroids, centroids)
    products = (points @ np.ascontiguousarray(centroids.T.astype(np.float32))).astype(np.float64)
    return np.asarray(np.maximum(lengths[:, None] - 2.0 * products + own, 0.0))


def _squared_to(points: Points, lengths: NDArray[np.float64], index: int) -> NDArray[np.float64]:
    """Squared distances (n,) float64 to one of the points, 0 where only rounding is left."""
    products = (points @ points[index]).astype(np.float64)
    squared = lengths - 2.0 * products + lengths[index]
    return np.asarray(np.where(squared <= _NOISE * (lengths + lengths[index]), 0.0, squared))
