"""What an export writes: an array with all that a reader of the file will ask about it.

Every format says of it what it can: where the pixels are, what the third dim is, what the labels are called and their colors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from lakecv.cube import ArraySpec, Grid, Role, SpectralAxis
from lakecv.errors import InvalidInput, Kind
from lakecv.report.palette import label_color
from lakecv.report.pictures import no_data
from lakecv.report.text import clean
from lakecv.sheet import Array

__all__ = ["LabelClass", "Subject"]


@dataclass(frozen=True, slots=True)
class LabelClass:
    """A label with its name and its color in reports, as red, green, blue."""

    label: int
    name: str
    color: tuple[int, int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """An array, what it is, where it lies, and what its labels are called; ``source`` names the dataset and its digest."""

    array: Array
    spec: ArraySpec
    axis: SpectralAxis | None = None
    grid: Grid | None = None
    names: Mapping[int, str] = field(default_factory=dict)
    source: str = ""

    @property
    def is_labels(self) -> bool:
        """True for a label map."""
        return self.spec.role is Role.LABELS and self.array.ndim == 2  # noqa: PLR2004

    @property
    def nodata(self) -> float | None:
        """Value that means no data: as the spec says, of labels the dtype's highest where it says none."""
        return float(no_data(self.spec, self.array)) if self.is_labels else self.spec.nodata

    @property
    def classes(self) -> list[LabelClass]:
        """Every label from 0 to the highest that occurs or has a name; one without a name is called by its number."""
        if not self.is_labels:
            return []
        present = self.array[self.array != no_data(self.spec, self.array)]
        last = max([int(present.max()) if present.size else -1, *self.names])
        return [
            LabelClass(label, clean(self.names.get(label, f"cluster {label}")), _rgb(label_color(label))) for label in range(last + 1)
        ]

    @property
    def spectral(self) -> SpectralAxis | None:
        """Calibration of the last dim, where that is the spectral one; channel numbers where none fits."""
        if self.spec.dims[-1:] != ("spectral",):
            return None
        size = self.array.shape[-1]
        return self.axis if self.axis is not None and self.axis.size == size else SpectralAxis(size)

    def image(self, what: str) -> Array:
        """Give the array as (y, x, band).

        Raises
        ------
        InvalidInput
            If its dims are not (y, x) or (y, x, own).
        """
        if not self.spec.is_image or self.array.ndim not in {2, 3}:
            raise InvalidInput(
                f"'{self.spec.name}' has the dims ({', '.join(self.spec.dims)}); {what} holds (y, x) and perhaps a third",
                Kind.OPTION_INVALID, "name another array with --array, such as labels, or write this one to .h5, .npy or .csv",
            )
        return self.array.reshape(*self.array.shape[:2], -1)

    def bands(self) -> list[str]:
        """Name each entry of the third dim: its coordinate, or its number from 1."""
        if self.array.ndim == 2:  # noqa: PLR2004
            return [self.spec.title or self.spec.name]
        axis = self.spectral
        if axis is None:
            return [f"{self.spec.third} {number + 1}" for number in range(self.array.shape[2])]
        if axis.names is not None:
            return [clean(name) for name in axis.names]
        return [f"{value:.10g} {axis.unit}" if axis.unit else f"channel {value:g}" for value in axis.coordinates]

    def held_in(self, array: Array, dtypes: Sequence[str]) -> Array:
        """Give an array in this machine's byte order and the smallest of a format's dtypes that holds every value of it exactly.

        Raises
        ------
        InvalidInput
            If none does.
        """
        if array.dtype.name in dtypes:
            return array.astype(array.dtype.newbyteorder("="), copy=False)
        fitting = [name for name in dtypes if np.can_cast(array.dtype, name, "safe")]
        if not fitting:
            raise InvalidInput(
                f"'{self.spec.name}' is {array.dtype}; the format holds {', '.join(dtypes)}", Kind.DTYPE_UNSUPPORTED, "write it to .npy",
            )
        return array.astype(min(fitting, key=lambda name: np.dtype(name).itemsize))


def _rgb(color: str) -> tuple[int, int, int]:
    red, green, blue = bytes.fromhex(color[1:])
    return red, green, blue
