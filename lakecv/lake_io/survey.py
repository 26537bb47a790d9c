"""What a first look at all pixels tells: limits, mean spectrum, quick look, and what a scientist should be warned of.

Made once, while a dataset is registered; the limits fix the scale of every exact sum over it later.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lakecv.cube import ArraySpec, SpectralAxis, Window
from lakecv.errors import InvalidInput, Kind
from lakecv.lake_io.sheets import usable
from lakecv.numerics.quicklook import Quicklook
from lakecv.sheet import Array

__all__ = ["Findings", "Survey"]


@dataclass(frozen=True, slots=True)
class Findings:
    """Result of a survey, stored beside the dataset as ``survey.json``."""

    limits: tuple[float, float]
    mean_spectrum: tuple[float, ...]
    npixels_usable: int
    warnings: tuple[str, ...]


class Survey:
    """Collects over windows of the main array, each pixel once."""

    def __init__(self, spec: ArraySpec) -> None:
        ny, nx, *third = spec.shape
        self._spec, self._bands = spec, (third or [1])[0]
        self._sum: NDArray[np.float64] = np.zeros(self._bands)
        self._low, self._high = np.inf, -np.inf
        self._usable = self._empty = self._partial = self._infinite = self._negative = self._saturated = 0
        self._quicklook = Quicklook(ny, nx, self._bands)

    def add(self, window: Window, values: Array, keep: NDArray[np.bool_] | None = None) -> None:
        """Take one window, (h, w[, spectral]); ``keep`` (h, w) is the file's own mask."""
        flat = values.reshape(*values.shape[:2], self._bands)
        valid = usable(flat, self._spec)
        if keep is not None:
            valid &= keep
        if flat.dtype.kind == "f":
            finite = np.isfinite(flat)
            self._infinite += int(np.isinf(flat).sum())
            self._empty += int((~finite).all(axis=-1).sum())
            self._partial += int((~finite.all(axis=-1) & finite.any(axis=-1)).sum())
        good = flat[valid]
        if good.size:
            self._low, self._high = min(self._low, float(good.min())), max(self._high, float(good.max()))
            self._sum += good.sum(axis=0, dtype=np.float64)
            self._negative += int((good < 0).sum())
            if good.dtype.kind in "iu":
                self._saturated += int((good == np.iinfo(good.dtype).max).sum())
        self._usable += len(good)
        self._quicklook.add(window, flat, valid)

    @property
    def limits(self) -> tuple[float, float] | None:
        """Smallest and largest sample of the usable pixels so far, None where there is none."""
        return (self._low, self._high) if self._usable else None

    def png(self) -> bytes:
        """Quick look in false colours."""
        return self._quicklook.png()

    def findings(self, axis: SpectralAxis | None) -> Findings:
        """Sum up.

        Raises
        ------
        InvalidInput
            If no pixel can be used (kind ``nothing-valid``).
        """
        if not self._usable:
            raise InvalidInput(
                f"no pixel of '{self._spec.name}' can be used: every spectrum has a non-finite, masked or no-data sample",
                Kind.NOTHING_VALID, "check the array (--path), the mask (--mask) and the no-data value",
            )
        mean = tuple((self._sum / self._usable).tolist())
        return Findings((self._low, self._high), mean, self._usable, tuple(self._warnings(axis)))

    def _warnings(self, axis: SpectralAxis | None) -> list[str]:
        total = self._spec.shape[0] * self._spec.shape[1]
        samples, nodata = self._usable * self._bands, self._spec.nodata
        found = [
            (self._empty, f"{self._empty} of {total} pixels hold no finite sample; they get the no-data label"),
            (self._partial, f"{self._partial} of {total} pixels have some non-finite samples; they get the no-data label"),
            (self._infinite, f"{self._infinite} samples are infinite; their pixels get the no-data label"),
            (self._negative and self._spec.unit in {None, "counts"} and self._counts(axis),
             f"{self._negative} of {samples} samples are negative: fine, unless they are counts"),
            (self._saturated, f"{self._saturated} samples have the largest value of {self._spec.dtype} (saturated?)"),
            (nodata is not None and self._low <= nodata <= self._high,
             f"the no-data value {nodata or 0:g} lies inside the range of the samples, {self._low:g} to {self._high:g}; only pixels with it in all channels are left out"),
            (self._low == self._high, f"every usable sample is {self._low:g}: the cube is constant"),
        ]
        return [text for applies, text in found if applies]

    def _counts(self, axis: SpectralAxis | None) -> bool:
        """Say whether the samples should be counts: an energy axis or uncalibrated channels."""
        return axis is None or str(axis.quantity) in {"energy", "channel"}
