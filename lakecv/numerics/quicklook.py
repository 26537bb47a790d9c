"""A false-color thumbnail of a cube, built from windows as they stream by.

One look tells whether the right cube was registered, the right way up; it costs one more sum per sample and no memory
to speak of.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from lakecv.cube import Window
from lakecv.numerics.png import encode_png

__all__ = ["Quicklook"]

Array = NDArray[np.generic]
_BINS = 16
_LOW, _HIGH = 2.0, 98.0
_SATURATION = 0.7


class Quicklook:
    """Block means of a cube on at most ``edge`` x ``edge`` pixels and 16 spectral bins.

    Every window's part is rounded to float32 (integers are summed exactly instead) before it is added in float64, so
    that the sums, and the picture, do not depend on the order in which the windows arrive.

    Examples
    --------
    >>> look = Quicklook(2, 2, 3)
    >>> look.add(Window(0, 2, 0, 2), np.arange(12).reshape(2, 2, 3), np.ones((2, 2), bool))
    >>> look.png()[1:4]
    b'PNG'
    """

    def __init__(self, ny: int, nx: int, nbands: int, edge: int = 512) -> None:
        self.step = max(1, math.ceil(max(ny, nx) / edge))
        self._starts = np.unique(np.arange(min(_BINS, nbands)) * nbands // min(_BINS, nbands))
        shape = (math.ceil(ny / self.step), math.ceil(nx / self.step))
        self._sums = np.zeros((*shape, len(self._starts)))
        self._counts = np.zeros(shape)
        self._widths = np.diff([*self._starts, nbands])

    def add(self, window: Window, values: Array, valid: NDArray[np.bool_]) -> None:
        """Add a window's samples.

        Parameters
        ----------
        window : Window
            Where they lie; no pixel may be given twice.
        values : (h, w, spectral)
            Any real dtype.
        valid : (h, w) bool
            Pixels to count; the samples of others may be anything.
        """
        cubic = values[..., None] if values.ndim == 2 else values  # noqa: PLR2004  (a band is a cube of one)
        with np.errstate(invalid="ignore", over="ignore"):  # pixels that are not valid may hold anything
            bins = [_band_sum(cubic[..., a : a + n]) for a, n in zip(self._starts, self._widths, strict=True)]
        pixels = np.where(valid[..., None], np.stack(bins, axis=-1), 0.0)
        rows, columns = self._edges(window.y0, window.y1), self._edges(window.x0, window.x1)
        part = _block_sums(pixels, rows, columns)
        exact = part if np.issubdtype(values.dtype, np.integer) else part.astype(np.float32)
        top, left = window.y0 // self.step, window.x0 // self.step
        where = (slice(top, top + len(rows)), slice(left, left + len(columns)))
        self._sums[where] += exact
        self._counts[where] += _block_sums(valid[..., None].astype(float), rows, columns)[..., 0]

    def png(self) -> bytes:
        """Draw blue, green and red: three parts of the axis of like intensity, from the first channel to the last.

        Each is stretched from its 2nd to its 98th percentile over the valid pixels and mixed with a little of the others,
        which keeps independent parts from turning neon; pixels without data are transparent.
        """
        seen = self._counts > 0
        mean = (self._sums / np.maximum(self._counts, 1.0)[..., None]).astype(np.float32)
        picture = np.zeros((*seen.shape, 4), np.uint8)
        if seen.any():
            parts = np.stack([_stretch(mean[..., bins].sum(axis=-1), seen) for bins in _thirds(mean[seen])[::-1]], axis=-1)
            grey = parts.mean(axis=-1, keepdims=True)
            picture[..., :3] = np.rint(255.0 * (grey + _SATURATION * (parts - grey)))
        picture[..., 3] = np.where(seen, 255, 0)
        return encode_png(picture)

    def _edges(self, start: int, stop: int) -> NDArray[np.intp]:
        """Index, in a window's rows or columns, where each thumbnail pixel begins."""
        first = -(-start // self.step) * self.step
        inner = np.arange(first, stop, self.step) - start
        return np.asarray(inner if first == start else np.concatenate([[0], inner]), np.intp)


def _band_sum(samples: Array) -> NDArray[np.float64]:
    """Sum over the last axis in float64; einsum does it four times faster than ``sum`` where the dtype differs."""
    return np.asarray(np.einsum("yxs->yx", samples, dtype=np.float64, casting="unsafe"))


def _block_sums(pixels: NDArray[np.float64], rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.float64]:
    return np.asarray(np.add.reduceat(np.add.reduceat(pixels, rows, axis=0), columns, axis=1))


def _thirds(spectra: NDArray[np.float32]) -> tuple[slice, slice, slice]:
    """Cut the bins in three of about equal intensity, one bin in each at least; fewer than three bins are shared.

    Intensity is the root of the mean, so that a single strong line does not claim two of the three colors.
    """
    mean = spectra.mean(axis=0, dtype=float)
    bins = len(mean)
    if bins < 3:  # noqa: PLR2004  (three colors)
        return slice(0, 1), slice(0, bins), slice(bins - 1, bins)
    rising = np.cumsum(np.sqrt(mean - min(0.0, float(mean.min()))))
    first, second = np.searchsorted(rising, rising[-1] * np.array([1, 2]) / 3) + 1
    first = min(max(int(first), 1), bins - 2)
    second = min(max(int(second), first + 1), bins - 1)
    return slice(0, first), slice(first, second), slice(second, bins)


def _stretch(band: NDArray[np.float32], seen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Scale a band to 0..1 between its 2nd and 98th percentile; a flat one is 0.5 everywhere."""
    low, high = np.percentile(band[seen].astype(float), [_LOW, _HIGH])
    if high <= low:
        return np.full(band.shape, 0.5)
    return np.asarray(np.clip((band - low) / (high - low), 0.0, 1.0))
