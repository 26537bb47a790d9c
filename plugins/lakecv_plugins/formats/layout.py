"""Which stored axis is y, x or spectral, and an array turned to (y, x, spectral).

The one place where an axis order is decided: what the user says (``--dims``, ``--shape``, ``--order``), else what the
file says, else the rule (y, x, spectral) *with a note*, so that no choice is silent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lakecv.cube import ITEMSIZE
from lakecv.errors import InvalidInput, Kind
from lakecv.ports import ReadHints
from lakecv.sheet import Array
from lakecv_plugins.formats.stored import Sliceable, Stored

__all__ = ["Layout", "Oriented", "dim_names", "is_numeric", "layout_of", "native_dtype"]

_NAMES = {
    "y": ("y", "row", "rows", "line", "lines", "lat", "latitude", "height", "northing"),
    "x": ("x", "col", "cols", "column", "columns", "sample", "samples", "lon", "longitude", "width", "easting"),
    "spectral": ("spectral", "band", "bands", "wavelength", "wavelengths", "wl", "lambda", "energy", "channel", "channels",
                 "wavenumber", "wavenumbers", "frequency", "freq", "velocity", "time", "spectrum", "bin", "bins", "z"),
    "pixel": ("pixel", "pixels", "position"),
    "-": ("-",),
}  # fmt: skip
_MEANING = {alias: name for name, aliases in _NAMES.items() for alias in aliases}
_USABLE = ({"y", "x"}, {"y", "x", "spectral"}, {"pixel"}, {"pixel", "spectral"})
_ASK = "pass --dims with one of y,x,spectral,pixel per axis, such as --dims spectral,y,x"


@dataclass(frozen=True, slots=True)
class Layout:
    """Meaning of each stored axis (y, x, spectral, pixel, or ``-`` = of length 1, dropped).

    ``picture`` is (ny, nx); ``order`` says how flat pixels run: C row by row, F column by column.
    """

    axes: tuple[str, ...]
    shape: tuple[int, ...]
    picture: tuple[int, int]
    order: str = "C"

    @property
    def spectral(self) -> int | None:
        """Channels; None where there is no spectral axis."""
        return self.shape[self.axes.index("spectral")] if "spectral" in self.axes else None

    @property
    def dims(self) -> tuple[str, ...]:
        """Dims of the oriented array."""
        return ("y", "x") if self.spectral is None else ("y", "x", "spectral")

    @property
    def oriented(self) -> tuple[int, ...]:
        """Shape of the oriented array."""
        return self.picture if self.spectral is None else (*self.picture, self.spectral)

    @property
    def is_flat(self) -> bool:
        """True where y and x share one axis."""
        return "pixel" in self.axes

    def chunks(self, stored: tuple[int, ...] | None) -> tuple[int, ...]:
        """Chunks of the oriented array; its shape where the file does not cut it."""
        if stored is None:
            return self.oriented
        cut = {axis: min(chunk, size) for axis, chunk, size in zip(self.axes, stored, self.shape, strict=True)}
        if self.is_flat:
            along = self.picture[1 if self.order == "C" else 0]
            lines = max(1, cut["pixel"] // along), min(along, cut["pixel"])
            cut["y"], cut["x"] = lines if self.order == "C" else lines[::-1]
        return tuple(cut[dim] for dim in self.dims)


def dim_names(names: Sequence[str | None]) -> tuple[str, ...] | None:
    """Meaning of named axes, None where a name is not known or two mean the same.

    Examples
    --------
    >>> dim_names(["band", "lat", "lon"])
    ('spectral', 'y', 'x')
    >>> dim_names(["a", "y", "x"]) is None
    True
    """
    meant = tuple(_MEANING.get((name or "").strip().lower(), "") for name in names)
    kept = [name for name in meant if name != "-"]
    return meant if set(kept) in _USABLE and len(set(kept)) == len(kept) else None


def is_numeric(dtype: np.dtype[Any]) -> bool:
    """Return True for the integers and floats that lakecv computes with."""
    return dtype.name in ITEMSIZE and dtype.kind != "b"


def native_dtype(dtype: np.dtype[Any], what: str) -> np.dtype[Any]:
    """Return the same type in this machine's byte order.

    Raises
    ------
    InvalidInput
        If lakecv does not compute with it (kind ``dtype-unsupported``): complex, long double, bool, text, objects.
    """
    if not is_numeric(dtype):
        raise InvalidInput(
            f"{what} holds {dtype.name}; a cube holds integers or floats of at most 64 bits", Kind.DTYPE_UNSUPPORTED,
            "convert it, for instance to float32 (a complex cube: to its modulus)",
        )
    return dtype.newbyteorder("=")


def layout_of(
    shape: tuple[int, ...], hints: ReadHints, what: str, known: tuple[str, ...] | None = None,
) -> tuple[Layout, tuple[str, ...]]:
    """Decide what each axis of a stored array means.

    Parameters
    ----------
    shape
        Sizes as stored.
    hints
        What the user says; it goes before what the file says.
    what
        The array, as a message names it.
    known
        What the file or the format's convention says.

    Returns
    -------
    Layout, notes
        Notes are sentences about choices that nobody confirmed.

    Raises
    ------
    InvalidInput
        ``dims-ambiguous`` where hints are needed or do not fit, ``shape-invalid`` where an axis has length 0 or the
        flat pixels are not ny x nx.
    """
    if 0 in shape:
        raise InvalidInput(f"{what} has an axis of length 0: {_sizes(shape)}", Kind.SHAPE_INVALID, "there is nothing to read")
    axes, notes = _axes(shape, hints, what, known)
    kept = [axis for axis in axes if axis != "-"]
    if len(axes) != len(shape) or set(kept) not in _USABLE or len(set(kept)) != len(kept):
        raise InvalidInput(f"--dims {','.join(axes)} does not fit {what} ({_sizes(shape)})", Kind.DIMS_AMBIGUOUS, _ASK)
    if any(size != 1 for axis, size in zip(axes, shape, strict=True) if axis == "-"):
        raise InvalidInput(f"--dims drops an axis of {what} that is longer than 1", Kind.DIMS_AMBIGUOUS, _ASK)
    return Layout(axes, shape, _picture(axes, shape, hints, what), _order(hints)), notes


def _axes(
    shape: tuple[int, ...], hints: ReadHints, what: str, known: tuple[str, ...] | None,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if hints.dims is not None:
        return _said(hints.dims), ()
    if known is not None:
        return known, ()
    if len(shape) == 2 and hints.shape is not None:  # noqa: PLR2004
        return _flat(shape, hints.shape, what)
    long = [axis for axis, size in enumerate(shape) if len(shape) == 3 or size > 1]  # noqa: PLR2004
    if len(shape) in {3, 4} and len(long) == 3:  # noqa: PLR2004
        axes = ["-"] * len(shape)
        for axis, name in zip(long, ("y", "x", "spectral"), strict=True):
            axes[axis] = name
        note = f"axis order taken as y,x,spectral ({_sizes(shape)}); pass --dims if another axis is the spectral one"
        return tuple(axes), (note,)
    ask = "pass --shape ny,nx for flat pixels, or --dims y,x for a picture" if len(shape) == 2 else _ASK  # noqa: PLR2004
    raise InvalidInput(
        f"{what} has {len(shape)} dims ({_sizes(shape)}); a spectral cube needs y, x and spectral", Kind.DIMS_AMBIGUOUS,
        f"{ask}; --path names another array of the file",
    )


def _said(text: str) -> tuple[str, ...]:
    axes = tuple(_MEANING.get(name.strip().lower(), "") for name in text.split(","))
    if "" in axes:
        raise InvalidInput(f"--dims {text!r} has a name that means no axis", Kind.DIMS_AMBIGUOUS, _ASK)
    return axes


def _flat(shape: tuple[int, ...], picture: tuple[int, int], what: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Find the axis that holds ny x nx pixels."""
    npixels = picture[0] * picture[1]
    fits = [axis for axis, size in enumerate(shape) if size == npixels]
    if len(fits) != 1:
        found = "both axes hold" if fits else "no axis holds"
        raise InvalidInput(
            f"{found} {picture[0]} x {picture[1]} = {npixels} pixels in {what} ({_sizes(shape)})",
            Kind.DIMS_AMBIGUOUS if fits else Kind.SHAPE_INVALID, "check --shape, or say --dims pixel,spectral or spectral,pixel",
        )
    axes = ("pixel", "spectral") if fits == [0] else ("spectral", "pixel")
    return axes, (f"axis order taken as {','.join(axes)}, because {npixels} = {picture[0]} x {picture[1]}",)


def _picture(axes: tuple[str, ...], shape: tuple[int, ...], hints: ReadHints, what: str) -> tuple[int, int]:
    if "pixel" not in axes:
        found = shape[axes.index("y")], shape[axes.index("x")]
        if hints.shape is not None and hints.shape != found:
            raise InvalidInput(
                f"--shape {hints.shape[0]},{hints.shape[1]} does not fit {what}: y, x = {found[0]}, {found[1]}",
                Kind.SHAPE_INVALID, "leave --shape out, or say with --dims which axis is which",
            )
        return found
    npixels = shape[axes.index("pixel")]
    if hints.shape is None:
        raise InvalidInput(
            f"{what} has {npixels} flat pixels of unknown width", Kind.DIMS_AMBIGUOUS, "pass --shape ny,nx",
        )
    if hints.shape[0] * hints.shape[1] != npixels or min(hints.shape) < 1:
        raise InvalidInput(
            f"{what} has {npixels} pixels; --shape {hints.shape[0]},{hints.shape[1]} makes {hints.shape[0] * hints.shape[1]}",
            Kind.SHAPE_INVALID, "give the ny,nx whose product is the number of pixels",
        )
    return hints.shape


def _order(hints: ReadHints) -> str:
    order = (hints.order or "C").upper()
    if order not in {"C", "F"}:
        raise InvalidInput(
            f"--order {hints.order!r} is not an order of pixels", Kind.OPTION_INVALID, "use C (row by row) or F (column by column)",
        )
    return order


def _sizes(shape: tuple[int, ...]) -> str:
    return " x ".join(str(size) for size in shape) or "a single value"


@dataclass(frozen=True)
class Oriented:
    """A stored array seen as (y, x[, spectral]); a window is read, turned and made native in one copy."""

    stored: Stored
    layout: Layout

    @property
    def shape(self) -> tuple[int, ...]:
        """(ny, nx[, channels])."""
        return self.layout.oriented

    @property
    def dtype(self) -> np.dtype[Any]:
        """Native type of what is read."""
        return self.stored.dtype.newbyteorder("=")

    @property
    def chunks(self) -> tuple[int, ...]:
        """How the file cuts it."""
        return self.layout.chunks(self.stored.chunks)

    def read(self, key: tuple[slice, ...]) -> Array:
        """Read one window, half-open and without steps."""
        where = dict(zip(self.layout.dims, key, strict=True)) | {"-": slice(0, 1)}
        with self.stored.open() as array:
            if self.layout.is_flat:
                return self._lines(array, where)
            block = np.asarray(array[tuple(where[axis] for axis in self.layout.axes)])
            return np.array(self._turned(block, self.layout.dims), self.dtype, order="C", copy=_must_copy(array))

    def _turned(self, block: Array, dims: tuple[str, ...]) -> Array:
        dropped = tuple(place for place, axis in enumerate(self.layout.axes) if axis == "-")
        kept = [axis for axis in self.layout.axes if axis != "-"]
        return block.squeeze(dropped).transpose([kept.index(dim) for dim in dims])

    def _lines(self, array: Sliceable, where: dict[str, slice]) -> Array:
        """Read flat pixels line by line (rows for C, columns for F), or at once where whole lines are wanted."""
        row_major = self.layout.order == "C"
        lines, along = (where["y"], where["x"]) if row_major else (where["x"], where["y"])
        length = self.layout.picture[1 if row_major else 0]
        dims = ("pixel", *self.layout.dims[2:])
        channels = (where["spectral"].stop - where["spectral"].start,) if len(dims) > 1 else ()
        width = along.stop - along.start
        out = np.empty((lines.stop - lines.start, width, *channels), self.dtype)
        step = len(out) if width == length else 1
        for line in range(0, len(out), step or 1):
            first = (lines.start + line) * length + along.start
            cut = {**where, "pixel": slice(first, first + (step - 1) * length + width)}
            block = np.asarray(array[tuple(cut[axis] for axis in self.layout.axes)])
            out[line : line + step] = self._turned(block, dims).reshape(step, width, *channels)
        return out if row_major else np.ascontiguousarray(out.swapaxes(0, 1))


def _must_copy(array: Sliceable) -> bool | None:
    """Say that a view of a memory map must not outlive it; what other stores give is already a copy (None)."""
    return True if isinstance(array, np.memmap) else None
