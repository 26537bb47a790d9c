"""Cubes as xarray sees them: variables that read a window when it is asked for, and nothing before.

One adapter serves every format, so that laziness, stepping and native byte order are the same everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from lakecv.cube import ArraySpec, CubeSpec, Grid, SpectralAxis
from lakecv.sheet import Array

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["CubeFile", "Entry", "Mask", "Summed", "Windowed"]


class Windowed(Protocol):
    """An array in the order (y, x[, spectral]) that is read window by window."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(ny, nx[, channels])."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Native type."""

    @property
    def chunks(self) -> tuple[int, ...]:
        """How the file cuts it."""

    def read(self, key: tuple[slice, ...]) -> Array:
        """Read one window; native byte order, C order."""


@dataclass(frozen=True)
class Mask:
    """A picture whose zeros are not to be used, as uint8 0 or 1; NaN counts as zero."""

    inner: Windowed

    @property
    def dtype(self) -> np.dtype[Any]:
        """Always uint8."""
        return np.dtype(np.uint8)

    @property
    def shape(self) -> tuple[int, ...]:
        """(ny, nx)."""
        return self.inner.shape

    @property
    def chunks(self) -> tuple[int, ...]:
        """How the file cuts it."""
        return self.inner.chunks

    def read(self, key: tuple[slice, ...]) -> Array:
        """Read one window."""
        values = self.inner.read(key)
        usable: Array = (values != 0) & ~np.isnan(values)
        return usable.astype(self.dtype)


@dataclass(frozen=True)
class Summed:
    """Detectors added up in a type twice as wide, one window at a time."""

    parts: tuple[Windowed, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """(ny, nx, channels)."""
        return self.parts[0].shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Twice as wide as one detector's, up to 64 bits: 2**16 detectors of int16 cannot overflow int32."""
        one = self.parts[0].dtype
        return np.dtype(f"{one.kind}{min(8, 2 * one.itemsize)}")

    @property
    def chunks(self) -> tuple[int, ...]:
        """How the file cuts the first detector."""
        return self.parts[0].chunks

    def read(self, key: tuple[slice, ...]) -> Array:
        """Read one window of each detector and add."""
        total = self.parts[0].read(key).astype(self.dtype)
        for part in self.parts[1:]:
            np.add(total, part.read(key), out=total, casting="unsafe")
        return total


@dataclass(frozen=True)
class Entry:
    """One array of a cube file: what it is, where it is read, and its path inside the file."""

    spec: ArraySpec
    array: Windowed
    path: str


@dataclass(frozen=True)
class CubeFile:
    """A file whose headers were read.  ``probe`` and ``read`` both come from it, so they cannot disagree."""

    grid: Grid
    axis: SpectralAxis | None
    entries: tuple[Entry, ...]
    notes: tuple[str, ...] = ()

    @property
    def spec(self) -> CubeSpec:
        """Grid, axis and arrays."""
        return CubeSpec(self.grid, self.axis, tuple(entry.spec for entry in self.entries))

    def dataset(self) -> xr.Dataset:
        """Lazy variables; ``attrs["notes"]`` lists choices to be shown, a variable's ``attrs["path"]`` where it lies."""
        import xarray as xr

        variables = {entry.spec.name: _variable(entry) for entry in self.entries}
        coordinates: dict[str, Any] = {}
        if self.axis is not None and self.axis.is_calibrated and any("spectral" in entry.spec.dims for entry in self.entries):
            about = {"quantity": str(self.axis.quantity), "units": self.axis.unit or ""}
            coordinates["spectral"] = ("spectral", np.array(self.axis.coordinates), about)
        return xr.Dataset(variables, coordinates, {"notes": list(self.notes)})


def _variable(entry: Entry) -> xr.Variable:
    import xarray as xr
    from xarray.core import indexing

    attributes = {"role": str(entry.spec.role), "path": entry.path}
    if entry.spec.unit is not None:
        attributes["units"] = entry.spec.unit
    return xr.Variable(entry.spec.dims, indexing.LazilyIndexedArray(_lazy(entry.array)), attributes)


def _lazy(array: Windowed) -> Any:
    from xarray.backends import BackendArray
    from xarray.core import indexing

    class LazyArray(BackendArray):
        """What xarray indexes; defined here, because xarray is slow to import."""

        shape = array.shape
        dtype = array.dtype

        def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
            return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.BASIC, _reader(array))

    return LazyArray()


def _reader(array: Windowed) -> Any:
    """Read by integers and slices with any step: the smallest window around them, then the rest in memory."""

    def read(key: tuple[int | slice, ...]) -> Array:
        spans, rest = zip(*(_span(item, size) for item, size in zip(key, array.shape, strict=True)), strict=True)
        if any(span.start == span.stop for span in spans):
            empty = np.empty(tuple(span.stop - span.start for span in spans), array.dtype)
            return np.asarray(empty[rest])
        return np.asarray(array.read(spans)[rest])

    return read


def _span(item: int | slice, size: int) -> tuple[slice, int | slice]:
    """Half-open span that covers an index, and the index inside it."""
    if not isinstance(item, slice):
        place = int(item) + (size if item < 0 else 0)
        return slice(place, place + 1), 0
    chosen = range(*item.indices(size))
    if not chosen:
        return slice(0, 0), slice(None)
    first, last = min(chosen[0], chosen[-1]), max(chosen[0], chosen[-1])
    return slice(first, last + 1), slice(None, None, chosen.step)
