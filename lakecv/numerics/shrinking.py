"""Smaller pictures: means of blocks of pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["block_means"]


def block_means(values: NDArray[np.floating], step: int, origin: tuple[int, int] = (0, 0)) -> NDArray[np.float64]:
    """Mean over the finite samples of each block of ``step`` x ``step`` pixels; NaN where a block has none.

    Parameters
    ----------
    values : (h, w[, third]) float
        A part of a picture.
    step : int
        Pixels along each side of a block; blocks begin at multiples of it in the whole picture.
    origin : (int, int)
        Where the part begins in the picture: of a block that is cut, what lies in the part counts.

    Examples
    --------
    >>> block_means(np.array([[1.0, 3.0, 5.0], [np.nan, 5.0, 7.0]]), 2)
    array([[3., 6.]])
    """
    rows, columns = (np.unique([0, *range(-first % step, size, step)]) for first, size in zip(origin, values.shape, strict=False))
    finite = np.isfinite(values)
    sums, counts = (
        np.add.reduceat(np.add.reduceat(part, rows, axis=0), columns, axis=1)
        for part in (np.where(finite, values, 0.0).astype(np.float64), finite.astype(np.float64))
    )
    return np.where(counts > 0, sums / np.maximum(counts, 1.0), np.nan)
