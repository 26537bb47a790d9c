"""Samples that do not depend on the order of reading: the n pixels with the smallest hash of (seed, y, x).

Any cell can pick its own candidates, and merging two picks in any order gives the pick of both; so a sample is the same
for any number of workers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lakecv.errors import InternalError, Kind

__all__ = ["Pick", "cell_count", "chosen_cells", "merge", "pixel_hash", "smallest"]

_GOLDEN = 0x9E3779B97F4A7C15
_CELLS = 0x63656C6C73  # keeps the hash of a cell apart from the hash of a pixel
_FEWEST_CELLS = 16


@dataclass(frozen=True, slots=True)
class Pick:
    """Pixels in the order of their hash: ``spectra`` (n, spectral), ``y``, ``x`` (n,) int64, ``hashes`` (n,) uint64."""

    spectra: NDArray[np.generic]
    y: NDArray[np.int64]
    x: NDArray[np.int64]
    hashes: NDArray[np.uint64]


def pixel_hash(seed: int, y: ArrayLike, x: ArrayLike) -> NDArray[np.uint64]:
    """64 well-mixed bits for each pixel.

    Parameters
    ----------
    seed : int
        Any integer.
    y, x : (...) int
        Positions in the whole picture; broadcast against each other.

    Notes
    -----
    Three rounds of splitmix64's finaliser.  Source: Steele, Lea, Flood 2014, doi 10.1145/2660193.2660195, fig. 17.
    """
    rows, columns = np.asarray(y).astype(np.uint64), np.asarray(x).astype(np.uint64)
    with np.errstate(over="ignore"):  # arithmetic modulo 2**64 is meant
        start = _mix(np.uint64(seed % 2**64) + np.uint64(_GOLDEN))
        return np.asarray(_mix(_mix(start + rows * np.uint64(_GOLDEN)) + columns * np.uint64(_GOLDEN)), np.uint64)


def chosen_cells(ncells: int, seed: int, count: int) -> NDArray[np.int64]:
    """Choose the ``count`` cells with the smallest hash: their indices, sorted; all where there are fewer."""
    index = np.arange(ncells)
    order = np.lexsort((index, pixel_hash(seed ^ _CELLS, index, 0)))
    return np.sort(order[:count]).astype(np.int64)


def cell_count(ncells: int, pixels: int, cell_pixels: int) -> int:
    """How many cells to read for a sample of ``pixels``: four times what would hold it, so that it is spread out.

    Examples
    --------
    >>> cell_count(1000, 8192, 4096), cell_count(1000, 65536, 4096), cell_count(4, 8192, 4096)
    (16, 64, 4)
    """
    return min(ncells, max(_FEWEST_CELLS, math.ceil(4 * pixels / cell_pixels)))


def smallest(
    spectra: NDArray[np.generic], y: NDArray[np.int64], x: NDArray[np.int64], hashes: NDArray[np.uint64], n: int,
) -> Pick:
    """Keep the ``n`` pixels with the smallest hash, in the order of the hash; ties go by (y, x).

    Parameters
    ----------
    spectra : (pixels, spectral)
        Valid pixels only; their dtype is kept.
    y, x, hashes : (pixels,)
        Position in the whole picture, and its :func:`pixel_hash`.
    n : int
        Most pixels to keep.

    Raises
    ------
    InternalError
        If the arrays differ in length (kind ``bug``).
    """
    if not spectra.shape[:1] == y.shape == x.shape == hashes.shape:
        raise InternalError(f"{spectra.shape[0]} spectra with {y.size}, {x.size}, {hashes.size} positions", Kind.BUG)
    order = np.lexsort((x, y, hashes))[:n]
    return Pick(spectra[order], y[order].astype(np.int64), x[order].astype(np.int64), hashes[order])


def merge(picks: Sequence[Pick], n: int) -> Pick:
    """Merge picks of disjoint pixels into the pick of all; any order and any grouping gives the same."""
    if not picks:
        raise InternalError("no picks to merge", Kind.BUG)
    return smallest(
        np.concatenate([pick.spectra for pick in picks]),
        np.concatenate([pick.y for pick in picks]),
        np.concatenate([pick.x for pick in picks]),
        np.concatenate([pick.hashes for pick in picks]),
        n,
    )


def _mix(bits: NDArray[np.uint64] | np.uint64) -> NDArray[np.uint64] | np.uint64:
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
