"""Exact sums: values rounded once per cell to 64-bit fixed point, then added as integers.

Adding integers is associative bit by bit, so a sum over a picture does not depend on how the cells are grouped or ordered.
The scale comes from the limits that registration recorded, so nothing can overflow that keeps its promise, and what does
not keep it is found out.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from lakecv.cube import ArraySpec
from lakecv.errors import Corrupt, InternalError, InvalidInput, Kind

__all__ = ["MOST", "add", "exponent", "fixed", "limits_of", "value"]

MOST = 2.0**62  # sums below it fit
_BITS = 62  # one bit below int64's range is kept free for the rounding of each term
_SMALLEST, _LARGEST = 1e-140, 1e140
_HINT = "the samples do not keep the limits recorded at registration: register the data again under a new name"


def limits_of(spec: ArraySpec) -> tuple[float, float]:
    """Smallest and largest finite sample of an array, from which the scale of its sums follows.

    Raises
    ------
    InvalidInput
        If they were not recorded (kind ``nothing-valid``).
    """
    if spec.limits is None:
        raise InvalidInput(
            f"the array '{spec.name}' has no recorded limits; exact sums take their scale from them", Kind.NOTHING_VALID,
            "register the data (it is read once and its limits are recorded) and run on the registered name",
        )
    low, high = spec.limits
    most = max(abs(low), abs(high))
    if most > _LARGEST or 0 < most < _SMALLEST:
        raise InvalidInput(
            f"the samples of '{spec.name}' lie between {low:g} and {high:g}; their squares do not fit a float64", Kind.SHAPE_INVALID,
            "declare the no-data value if that is one, or change the unit, and register the data again",
        )
    return spec.limits


def exponent(limit: float, terms: int) -> int:
    """Largest ``e`` with ``terms * limit * 2**e < 2**62``, where ``limit`` bounds the size of one term.

    Parameters
    ----------
    limit : float
        Bound of ``abs(term)``; a partial sum counts as as many terms as it has.
    terms : int
        Most terms that can ever be added.

    Raises
    ------
    InvalidInput
        If the limit is not a finite number (kind ``shape-invalid``).

    Examples
    --------
    >>> exponent(1.0, 1), exponent(65535.0, 4096)
    (61, 34)
    """
    if not np.isfinite(limit) or limit < 0 or terms < 1:
        raise InvalidInput(f"no sum of {terms} terms up to {limit} has a scale", Kind.SHAPE_INVALID)
    total = Fraction(limit) * terms
    if total == 0:
        return 0
    power = _BITS - (total.numerator.bit_length() - total.denominator.bit_length()) + 1
    while total * Fraction(2) ** power >= 2**_BITS:
        power -= 1
    return power


def fixed(values: NDArray[np.float64], exponent: int) -> NDArray[np.int64]:
    """Round to multiples of ``2**-exponent``, half to even, as integers.

    Parameters
    ----------
    values : (...) float64
        One cell's sums.
    exponent : int
        As :func:`exponent` gave it; 0 leaves whole numbers as they are.

    Raises
    ------
    Corrupt
        If one is not finite or does not fit (kind ``source-changed``).
    """
    with np.errstate(over="ignore"):
        scaled = np.rint(np.ldexp(np.asarray(values, np.float64), exponent))
    if not np.all(np.abs(scaled) <= 2.0**_BITS):  # False for NaN too
        raise Corrupt("a sum of a cell is not finite or lies outside the limits of the data", Kind.SOURCE_CHANGED, _HINT)
    return scaled.astype(np.int64)


def value(sums: NDArray[np.int64], exponent: int) -> NDArray[np.float64]:
    """Turn exact sums into float64, shape kept; rounds once where a sum needs more than 53 bits."""
    return np.ldexp(np.asarray(sums, np.int64).astype(np.float64), -exponent)


def add(a: Mapping[str, NDArray[np.int64]], b: Mapping[str, NDArray[np.int64]]) -> dict[str, NDArray[np.int64]]:
    """Add two sets of exact sums by name; a name that one of them lacks counts as 0.

    Returns
    -------
    dict of int64 arrays
        New arrays, names sorted; nothing given is changed.

    Raises
    ------
    InternalError
        If two arrays of one name differ in shape or are no int64 (kind ``bug``).
    Corrupt
        If a sum leaves the range of int64 (kind ``source-changed``).
    """
    return {name: _sum(name, a[name], b[name]) if name in a and name in b else np.array(a.get(name, b.get(name)), np.int64)
            for name in sorted({*a, *b})}


def _sum(name: str, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
    if a.shape != b.shape or a.dtype != np.int64 or b.dtype != np.int64:
        raise InternalError(f"sums '{name}' of {a.dtype} {a.shape} and {b.dtype} {b.shape} cannot be added", Kind.BUG)
    total = np.add(a, b)
    if np.any((a ^ total) & (b ^ total) < 0):  # both signs differ from the result's: it wrapped around
        raise Corrupt(f"the sum '{name}' does not fit in 64 bits", Kind.SOURCE_CHANGED, _HINT)
    return np.asarray(total)
