"""Sums of spectra per label, exact: what mean spectra, areas and k-means centroids are made of.

Rows are gathered label by label and added: measured 5x faster than ``np.add.reduceat`` and, unlike a one-hot matrix
product, its cost does not grow with the number of labels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lakecv.errors import InternalError, Kind
from lakecv.numerics.exact import fixed

__all__ = ["group_sums", "label_sums"]

_SHORT = 1 << 15  # so many 16-bit samples always fit in 32 bits


def group_sums(
    values: NDArray[np.generic], groups: NDArray[np.integer], ngroups: int,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Count and add the rows of each group.

    Parameters
    ----------
    values : (n, spectral)
        Any real dtype; finite in the rows that are in a group.
    groups : (n,) int
        Group of each row in [0, ngroups); anything else = in none.
    ngroups : int
        How many groups there are.

    Returns
    -------
    counts : (ngroups,) int64
    sums : (ngroups, spectral) float64
        Whole numbers without rounding for integers of up to 32 bits; else float64 sums in the order of the rows.
    """
    inside = np.flatnonzero((groups >= 0) & (groups < ngroups))
    order = inside[np.argsort(groups[inside], kind="stable")]
    counts = np.bincount(groups[inside].astype(np.int64), minlength=ngroups).astype(np.int64)
    ends = np.cumsum(counts)
    wide = _accumulator(values.dtype, len(values))
    sums = np.zeros((ngroups, values.shape[1]))
    for group in np.flatnonzero(counts):
        sums[group] = values[order[ends[group] - counts[group] : ends[group]]].sum(axis=0, dtype=wide)
    return counts, sums


def label_sums(
    spectra: NDArray[np.generic], labels: NDArray[np.integer], valid: NDArray[np.bool_], nlabels: int, exponent: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Exact number of pixels and sum of spectra per label, for one cell.

    Parameters
    ----------
    spectra : (n, spectral)
        The original samples of the cell, as rows.
    labels : (n,) int
        In [0, nlabels) where valid.
    valid : (n,) bool
        Pixels that count.
    nlabels : int
        How many labels there are.
    exponent : int
        Scale of the sums (:func:`lakecv.numerics.exact.exponent`); 0 for integers.

    Returns
    -------
    counts : (nlabels,) int64
    sums : (nlabels, spectral) int64
        ``exact.value(sums, exponent) / counts`` are the mean spectra.
    """
    if not spectra.shape[:1] == labels.shape == valid.shape:
        raise InternalError(f"{spectra.shape[0]} spectra, {labels.size} labels and {valid.size} flags", Kind.BUG)
    counts, sums = group_sums(spectra, np.where(valid, labels.astype(np.int64), -1), nlabels)
    return counts, fixed(sums, exponent)


def _accumulator(dtype: np.dtype[np.generic], rows: int) -> type[np.generic]:
    if dtype.itemsize <= 2 and rows <= _SHORT:  # noqa: PLR2004  (bytes)
        return {"u": np.uint32, "i": np.int32, "b": np.uint32}.get(dtype.kind, np.float64)
    return np.float64
