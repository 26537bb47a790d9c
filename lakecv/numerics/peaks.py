"""Peaks of a spectrum: where it rises clearly above both valleys beside it, and above its own noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["find_peaks", "prominences"]

_SHARE = 0.01  # of the range of the spectrum
_SIGMAS, _AROUND = 6.0, 16
_CANDIDATES = 2000  # the highest of all maxima
_NORMAL = 1.4826  # median absolute deviation to standard deviation of a normal law


def find_peaks(spectrum: NDArray[np.floating], most: int = 40) -> NDArray[np.int64]:
    """Channels of the peaks, the most prominent first.

    Parameters
    ----------
    spectrum : (spectral,) float
        Finite samples.
    most : int
        At most so many.

    Returns
    -------
    (n,) int64
        Local maxima whose prominence is at least 1 % of the range and 6 standard deviations of the noise: the larger of that of all
        channels and that of the 32 around it, each from second differences (their median absolute value).

    Examples
    --------
    >>> find_peaks(np.array([0.0, 1.0, 0.0, 0.0, 5.0, 4.0, 4.5, 0.0])).tolist()
    [4, 1, 6]
    """
    if spectrum.size < 3:  # noqa: PLR2004  (a peak has two sides)
        return np.zeros(0, np.int64)
    inner = np.flatnonzero((spectrum[1:-1] > spectrum[:-2]) & (spectrum[1:-1] >= spectrum[2:])) + 1
    inner = np.sort(inner[np.argsort(-spectrum[inner], kind="stable")[:_CANDIDATES]])
    heights = prominences(spectrum, inner)
    least = _SHARE * float(np.ptp(spectrum))
    order = [at for at in np.argsort(-heights, kind="stable") if heights[at] >= least and heights[at] > 0]
    if spectrum.size > 2 * _AROUND:
        bends = np.abs(np.diff(spectrum, 2))
        order = [at for at in order if heights[at] >= _SIGMAS * max(_noise(bends), _noise(bends[max(0, inner[at] - _AROUND) : inner[at] + _AROUND]))]
    return np.asarray([inner[at] for at in order][:most], np.int64)


def _noise(bends: NDArray[np.floating]) -> float:
    """Estimate the standard deviation of a sample from absolute second differences, which have sqrt(6) times as much."""
    return _NORMAL * float(np.median(bends)) / float(np.sqrt(6.0))


def prominences(spectrum: NDArray[np.floating], peaks: NDArray[np.int64]) -> NDArray[np.float64]:
    """Height of each peak above the higher of the two valleys that part it from higher ground (or from the end)."""
    found = np.zeros(len(peaks))
    for number, peak in enumerate(peaks):
        higher = np.flatnonzero(spectrum > spectrum[peak])
        left = higher[higher < peak].max(initial=-1)
        right = higher[higher > peak].min(initial=spectrum.size)
        found[number] = spectrum[peak] - max(spectrum[left + 1 : peak + 1].min(), spectrum[peak:right].min())
    return found
