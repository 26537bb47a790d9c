"""Scaling of spectra before a model sees them.

Counts want a square root (it makes Poisson noise even), reflectances and shapes want a norm, mixed units a z-score.  Per
pixel everywhere but for ``zscore``, which needs the mean and the spread of every band.

NaN policy: samples are finite (a sheet's non-finite samples are 0 and not valid), so results are finite; a spectrum
without length or spread becomes all 0.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from lakecv.errors import InvalidInput, Kind, nearest

__all__ = ["SCALINGS", "Scaling", "check", "inverse", "limits", "scaled", "zscore"]

Scaling = Literal["none", "sqrt", "l2", "snv", "zscore"]
SCALINGS: tuple[Scaling, ...] = get_args(Scaling)
_ROWS = 512  # a chunk of rows stays in the cache
_ROUNDING = 1.0 + 1e-5


def check(scaling: str) -> None:
    """Refuse a name that is not a scaling (InvalidInput, kind ``option-invalid``)."""
    if scaling not in SCALINGS:
        raise InvalidInput(f"'{scaling}' is not a scaling", Kind.OPTION_INVALID, nearest(scaling, SCALINGS, "scalings"))


def scaled(pixels: NDArray[np.generic], scaling: Scaling) -> NDArray[np.generic]:
    """Scale spectra one by one; ``none`` and ``zscore`` (which :func:`zscore` does) give the array itself back.

    Parameters
    ----------
    pixels : (n, spectral)
        Finite samples; never written to.
    scaling : str
        ``sqrt``: square root, negative samples count as 0.  ``l2``: divided by the Euclidean length.  ``snv``: standard
        normal variate, (x - mean) / std over the spectrum, std with ddof 0 (Barnes 1989, doi 10.1366/0003702894202201).

    Returns
    -------
    (n, spectral) float32, or ``pixels``
    """
    if scaling in {"none", "zscore"}:
        return pixels
    out = np.empty(pixels.shape, np.float32)
    one = {"sqrt": _sqrt, "l2": _l2, "snv": _snv}[scaling]
    for start in range(0, len(pixels), _ROWS):
        one(pixels[start : start + _ROWS], out[start : start + _ROWS])
    return out


def zscore(
    pixels: NDArray[np.generic], mean: NDArray[np.float64], std: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Scale each band: ``(x - mean) / std``; a band without spread becomes 0.

    Parameters
    ----------
    pixels : (n, spectral)
    mean, std : (spectral,) float64
        Of the whole picture, from exact sums.
    """
    return np.asarray(np.subtract(pixels, mean, dtype=np.float64) * inverse(std), np.float32)


def inverse(std: NDArray[np.float64]) -> NDArray[np.float64]:
    """``1 / std``, 0 where there is no spread."""
    out = np.zeros(std.shape)
    np.divide(1.0, std, out=out, where=std > 0)
    return out


def limits(scaling: Scaling, bounds: tuple[float, float], bands: int, pixels: int) -> tuple[float, float]:
    """Smallest and largest sample that a scaling can give, from the limits of what it is given.

    Notes
    -----
    ``snv`` is bounded by sqrt(bands - 1) and ``zscore`` by sqrt(pixels - 1): no member of a population lies farther from
    its mean, in units of its own standard deviation (Samuelson 1968, doi 10.1080/01621459.1968.10480944).
    """
    low, high = bounds
    if scaling == "sqrt":
        return math.sqrt(max(low, 0.0)) / _ROUNDING, math.sqrt(max(high, 0.0)) * _ROUNDING
    if scaling == "l2":
        return (0.0 if low >= 0 else -_ROUNDING), (0.0 if high <= 0 else _ROUNDING)
    if scaling in {"snv", "zscore"}:
        reach = math.sqrt(max((bands if scaling == "snv" else pixels) - 1, 1)) * _ROUNDING
        return -reach, reach
    return low, high


def _sqrt(rows: NDArray[np.generic], out: NDArray[np.float32]) -> None:
    if rows.dtype.itemsize <= 2 or rows.dtype == np.float32:  # noqa: PLR2004  (float32 holds these exactly)
        np.copyto(out, rows)
        np.maximum(out, 0, out=out)
        np.sqrt(out, out=out)
    else:
        np.copyto(out, np.sqrt(np.maximum(rows.astype(np.float64), 0)), casting="same_kind")


def _l2(rows: NDArray[np.generic], out: NDArray[np.float32]) -> None:
    wide = rows.astype(np.float64)
    length = np.sqrt(np.einsum("ij,ij->i", wide, wide))
    np.multiply(wide, inverse(length)[:, None], out=out, casting="same_kind")


def _snv(rows: NDArray[np.generic], out: NDArray[np.float32]) -> None:
    wide = rows.astype(np.float64)
    wide -= wide.mean(axis=1, keepdims=True)
    spread = np.sqrt(np.einsum("ij,ij->i", wide, wide) / wide.shape[1])
    size = np.maximum(rows.max(axis=1).astype(np.float64), -rows.min(axis=1).astype(np.float64))
    spread[spread <= 1e-13 * size] = 0.0  # what rounding leaves of a flat spectrum is no spread
    np.multiply(wide, inverse(spread)[:, None], out=out, casting="same_kind")
