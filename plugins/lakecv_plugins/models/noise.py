"""Components by what stands out of the noise: noise from neighbours or from counting, and how many components are signal.

Variance says what is large; a bright band with noise is large too.  Measured in units of its noise, a component that is
only noise has the variance 1.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from lakecv.errors import InvalidInput, Kind
from lakecv.numerics.scaling import inverse

__all__ = ["adjusted", "counting_gain", "edge_of_counts", "edge_of_differences", "gram_of_differences"]

Matrix = NDArray[np.float64]

_SHARED = 1.5  # neighbouring differences share a pixel: their covariance is as uncertain as that of pairs / 1.5
_EMPTY = 1e-10  # a noise variance below this part of the largest is what rounding leaves of a direction without noise
_QUANTILE_99 = 2.0234  # of the Tracy-Widom law of order 1: Johnstone 2001, table 1


def gram_of_differences(centred: Matrix, valid: NDArray[np.bool_]) -> tuple[int, Matrix]:
    """Add products of the differences of horizontal neighbours in one cell.

    Parameters
    ----------
    centred : (h * w, spectral) float64
        Pixels row by row.
    valid : (h, w) bool
        A pair counts where both are valid.

    Returns
    -------
    pairs : int
    gram : (spectral, spectral) float64

    Notes
    -----
    Half of it over the pairs is the noise covariance where neighbours differ by noise alone.  Source: Green et al. 1988,
    doi 10.1109/36.3001, who take it from such shift differences.
    """
    rows = centred.reshape(*valid.shape, -1)
    both = valid[:, 1:] & valid[:, :-1]
    differences = np.where(both[..., None], rows[:, 1:] - rows[:, :-1], 0.0).reshape(-1, centred.shape[1])
    return int(np.count_nonzero(both)), differences.T @ differences


def adjusted(covariance: Matrix, noise: Matrix) -> tuple[NDArray[np.float64], Matrix, float]:
    """Directions in the order of their signal to noise: the minimum noise fraction transform.

    Parameters
    ----------
    covariance, noise : (spectral, spectral) float64
        Of the picture, and of the noise in it.

    Returns
    -------
    ratios : (k,) float64
        Variance over noise variance, falling; 1 = noise alone.  ``k`` leaves out directions without noise.
    filters : (k, spectral) float64
        What a pixel is multiplied with; no longer than 1, and the noise is equally large in all of them.
    spread : float
        Standard deviation of that noise.

    Raises
    ------
    InvalidInput
        If there is no noise at all (kind ``nothing-valid``).

    Notes
    -----
    Sources: Green et al. 1988 (the order); Lee, Woodyatt and Berman 1990, doi 10.1109/36.54356 (two eigenproblems, the
    first of which makes the noise white).
    """
    levels, directions = np.linalg.eigh(noise)
    kept = levels > _EMPTY * max(float(levels[-1]), 0.0)
    if not kept.any():
        raise InvalidInput("neighbouring pixels never differ, so there is no noise to measure", Kind.NOTHING_VALID, "--set noise=none")
    white = directions[:, kept] / np.sqrt(levels[kept])
    ratios, turned = np.linalg.eigh(white.T @ covariance @ white)
    order = np.argsort(-ratios, kind="stable")
    filters = (white @ turned[:, order]).T
    longest = float(np.sqrt(np.einsum("ij,ij->i", filters, filters)).max())
    return ratios[order], filters / longest, 1.0 / longest


def counting_gain(mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gain of each band that makes the noise of counts 1: ``1 / sqrt(mean)``, 0 for a band without counts.

    Notes
    -----
    The part for bands of Keenan and Kotula 2004, doi 10.1002/sia.1657; theirs divides each pixel by the root of its mean too.
    """
    return inverse(np.sqrt(np.maximum(mean, 0.0)))


def edge_of_counts(pixels: int, bands: int) -> float:
    """Largest variance that white noise reaches by chance in 99 of 100 pictures; see Johnstone 2001, doi 10.1214/aos/1009210544.

    Examples
    --------
    >>> round(edge_of_counts(10_000, 100), 4)
    1.2206
    """
    a, b = math.sqrt(max(pixels - 1, 1)), math.sqrt(bands)
    return float(((a + b) ** 2 + _QUANTILE_99 * (a + b) * (1 / a + 1 / b) ** (1 / 3)) / pixels)


def edge_of_differences(pixels: int, pairs: int, bands: int) -> float:
    """Largest ratio of variance to noise that noise alone has, both being measured; infinite where pairs are too few.

    Notes
    -----
    The upper edge of the ratio of two sample covariances, ((1 + sqrt(y1 + y2 - y1 y2)) / (1 - y2))^2 with y = bands / number:
    Silverstein 1985, SIAM J. Math. Anal. 16, 641; raised by the chance of :func:`edge_of_counts`.
    """
    own, other = bands / max(pixels, 1), _SHARED * bands / max(pairs, 1)
    if other >= 1 or own >= 1:
        return math.inf
    edge = ((1 + math.sqrt(own + other - own * other)) / (1 - other)) ** 2
    return float(edge * edge_of_counts(pixels, bands) / (1 + math.sqrt(own)) ** 2)
