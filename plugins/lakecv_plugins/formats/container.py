"""Files that hold several named arrays: which one is the cube, and what the others say about it.

Shared by .npz, MATLAB, HDF5 and Zarr: each lists its members; the choice, the axis, the mask and the detectors are
decided here by one rule for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lakecv.cube import ArraySpec, Grid, Role, SpectralAxis
from lakecv.errors import InvalidInput, Kind, NotFound, nearest
from lakecv.ports import ReadHints
from lakecv.sheet import Array
from lakecv_plugins.formats.calibration import axis_from_hint, axis_from_vector, pixel_size, quantity_of_name
from lakecv_plugins.formats.layout import Layout, Oriented, is_numeric, layout_of, native_dtype
from lakecv_plugins.formats.lazy import CubeFile, Entry, Mask, Summed, Windowed
from lakecv_plugins.formats.stored import Stored

__all__ = ["Container", "Member", "entry", "mask_entry", "refuse_detector"]

_VECTOR_LIMIT = 1 << 20
_AUTOMATIC = ("wavelength", "wavenumber", "energy")


@dataclass(frozen=True)
class Member:
    """One array of a file: where it lies and what the file says of it (dims, unit, role, its calibration)."""

    path: str
    stored: Stored
    dims: tuple[str, ...] | None = None
    unit: str | None = None
    role: Role = Role.DATA
    nodata: float | None = None
    axis: SpectralAxis | None = None
    units: str | None = None
    shards: tuple[int, ...] | None = None

    @property
    def leaf(self) -> str:
        """Last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def is_numeric(self) -> bool:
        """True where lakecv can compute with it."""
        return is_numeric(self.stored.dtype)

    @property
    def label(self) -> str:
        """The array as a message names it."""
        return f"array '{self.path}'" if self.path else "the array"

    def __str__(self) -> str:
        return f"{self.path} ({' x '.join(map(str, self.stored.shape))} {self.stored.dtype.name})"


@dataclass(frozen=True)
class Container:
    """The members of one file, and how the user wants them read."""

    name: str
    members: tuple[Member, ...]
    hints: ReadHints
    notes: tuple[str, ...] = ()

    def cube(self, grid: Grid | None = None, names: dict[str, str] | None = None) -> CubeFile:
        """Choose the cube and describe it.

        Parameters
        ----------
        grid
            What the file says of the picture plane beyond its size.
        names
            Names of the result's arrays by path; the cube is called ``data`` where this does not say otherwise.

        Raises
        ------
        InvalidInput
            ``cube-ambiguous``, ``dims-ambiguous``, ``dtype-unsupported``, ``shape-invalid``, or an ``axis-`` kind.
        NotFound
            If a name in the hints is no array of the file (kind ``array-unknown``).
        """
        chosen = self._chosen()
        layout, notes = layout_of(chosen[0].stored.shape, self.hints, chosen[0].label, chosen[0].dims)
        axis, more = self._axis(chosen[0], layout)
        size, unit = pixel_size(self.hints.pixel_size)
        plane = grid or Grid(0, 0)
        plane = replace(plane, ny=layout.picture[0], nx=layout.picture[1])
        if size is not None:
            plane = replace(plane, pixel_size=size, pixel_unit=unit)
        entries = [*self._entries(chosen, layout, names or {}), *self._mask(layout)]
        return CubeFile(plane, axis, tuple(entries), (*self.notes, *notes, *more))

    def find(self, path: str) -> Member:
        """Look a member up by path, or by the last part of it where that is unique."""
        wanted = path.strip("/")
        found = [member for member in self.members if member.path == wanted]
        found = found or [member for member in self.members if member.leaf == wanted]
        if len(found) == 1:
            return found[0]
        known = [member.path for member in self.members]
        raise NotFound(f"'{self.name}' has no array '{path}'", Kind.ARRAY_UNKNOWN, nearest(wanted, known, "arrays"))

    def vector(self, path: str) -> Array:
        """Read a short array whole."""
        stored = self.find(path).stored
        native_dtype(stored.dtype, f"array '{path}'")
        if np.prod(stored.shape, dtype=object) > _VECTOR_LIMIT or sum(size > 1 for size in stored.shape) > 1:
            raise InvalidInput(f"array '{path}' is no list of values", Kind.AXIS_MISMATCH, "name a 1-D array, one value per channel")
        with stored.open() as array:
            return np.array(array[tuple(slice(0, size) for size in stored.shape)]).ravel()

    def _chosen(self) -> list[Member]:
        """Return the cube; several where the user asks for several detectors."""
        candidates = self.candidates() if self.hints.path is None else [self.find(self.hints.path)]
        if self.hints.detector is not None:
            return self._detectors(candidates)
        if len(candidates) > 1:
            listed = ", ".join(str(member) for member in candidates[:8])
            raise InvalidInput(
                f"'{self.name}' holds {len(candidates)} arrays that could be the cube: {listed}", Kind.CUBE_AMBIGUOUS,
                _choice(candidates),
            )
        native_dtype(candidates[0].stored.dtype, candidates[0].label)
        return candidates

    def candidates(self) -> list[Member]:
        """Arrays with three dims before those with two before the rest; those of a type that can be used first."""
        members = [member for member in self.members if member.role is Role.DATA and member.leaf != self.hints.mask]
        usable = [member for member in members if member.is_numeric]
        for group in (usable, members):
            for fits in (_is_cube, self._is_flat, lambda member: len(member.stored.shape) > 3):  # noqa: PLR2004
                found = [member for member in group if fits(member)]
                if found:
                    return found
        lines = [member for member in usable if member.stored.shape]
        if len(lines) == 1:
            return lines
        listed = ", ".join(str(member) for member in members[:8]) or "nothing"
        raise InvalidInput(
            f"'{self.name}' holds no array with y, x and spectral; found {listed}", Kind.DIMS_AMBIGUOUS,
            "name one with --path and say its --dims",
        )

    def _is_flat(self, member: Member) -> bool:
        """Two dims; where the user gives --shape, one of them must hold the pixels."""
        shape = member.stored.shape
        if len(shape) != 2 or min(shape) == 1:  # noqa: PLR2004
            return False
        picture = self.hints.shape
        return picture is None or picture[0] * picture[1] in shape or shape == picture

    def _detectors(self, candidates: list[Member]) -> list[Member]:
        wanted = self.hints.detector or ""
        if wanted in {"sum", "all"}:
            first = candidates[0].stored
            if any((member.stored.shape, member.stored.dtype) != (first.shape, first.dtype) for member in candidates):
                raise InvalidInput(
                    f"the arrays of '{self.name}' differ in shape or type; they are no detectors of one cube",
                    Kind.CUBE_AMBIGUOUS, _choice(candidates),
                )
            native_dtype(first.dtype, candidates[0].label)
            return candidates
        found = [member for member in candidates if wanted in {member.path, member.leaf, _detector(member, candidates)}]
        if len(found) != 1:
            known = ["sum", "all", *(_detector(member, candidates) for member in candidates)]
            raise NotFound(f"'{self.name}' has no detector '{wanted}'", Kind.ARRAY_UNKNOWN, nearest(wanted, known, "detectors"))
        native_dtype(found[0].stored.dtype, found[0].label)
        return found

    def _entries(self, chosen: list[Member], layout: Layout, names: dict[str, str]) -> list[Entry]:
        arrays = [Oriented(member.stored, layout) for member in chosen]
        if len(chosen) > 1 and self.hints.detector == "sum":
            total = replace(chosen[0], path=" + ".join(member.path for member in chosen))
            return [entry("data", total, Summed(tuple(arrays)), layout)]
        if len(chosen) > 1:
            return [entry(member.leaf, member, array, layout) for member, array in zip(chosen, arrays, strict=True)]
        return [entry(names.get(chosen[0].path, "data"), chosen[0], arrays[0], layout)]

    def _mask(self, layout: Layout) -> list[Entry]:
        if self.hints.mask is None:
            return []
        return [mask_entry(self.find(self.hints.mask), layout, self.hints)]

    def _axis(self, member: Member, layout: Layout) -> tuple[SpectralAxis | None, tuple[str, ...]]:
        if layout.spectral is None:
            return None, ()
        if self.hints.axis is not None:
            return axis_from_hint(self.hints.axis, layout.spectral, self.vector), ()
        if member.axis is not None and member.axis.size == layout.spectral:
            return member.axis, ()
        for vector in self.members:
            if _is_calibration(vector, layout.spectral):
                return _automatic(self.vector(vector.path), vector)
        return SpectralAxis(layout.spectral), ()


def entry(name: str, member: Member, array: Windowed, layout: Layout) -> Entry:
    """Describe an oriented array under a name; its path in the file is kept as its title."""
    title = member.path if member.path and member.path != name else None
    return Entry(
        ArraySpec(
            name, member.role, layout.dims, array.shape, array.dtype.name, array.chunks,
            None if member.shards is None else layout.chunks(member.shards), None, unit=member.unit, nodata=member.nodata, title=title,
        ),
        array, member.path,
    )  # fmt: skip


def mask_entry(member: Member, cube: Layout, hints: ReadHints) -> Entry:
    """Describe the array whose zeros are not to be used; flat where the cube is flat."""
    shape = member.stored.shape
    flat = cube.picture[0] * cube.picture[1]
    if shape == cube.picture:
        layout = Layout(("y", "x"), shape, cube.picture)
    elif cube.is_flat and sorted(shape) in ([flat], [1, flat]):
        layout = Layout(tuple("-" if size != flat else "pixel" for size in shape), shape, cube.picture, cube.order)
    else:
        raise InvalidInput(
            f"mask '{hints.mask}' has shape {' x '.join(map(str, shape))}; the picture is {cube.picture[0]} x {cube.picture[1]}",
            Kind.SHAPE_INVALID, "name an array with one value per pixel",
        )
    if member.stored.dtype.kind not in "biuf":
        native_dtype(member.stored.dtype, member.label)
    array = Mask(Oriented(member.stored, layout))
    return entry("mask", replace(member, role=Role.MASK, unit=None, nodata=None), array, layout)


def refuse_detector(hints: ReadHints, name: str) -> None:
    """Say that a file of one array has no detectors to choose from."""
    if hints.detector is not None:
        raise InvalidInput(f"'{name}' holds one cube; it has no detectors", Kind.OPTION_INVALID, "leave --detector out")


def _is_cube(member: Member) -> bool:
    shape = member.stored.shape
    return len(shape) == 3 or (len(shape) == 4 and shape.count(1) == 1)  # noqa: PLR2004


def _is_calibration(member: Member, size: int) -> bool:
    quantity = quantity_of_name(member.path)
    shape = member.stored.shape
    is_line = int(np.prod(shape, dtype=object)) == size and sum(length > 1 for length in shape) <= 1 and len(shape) > 0
    return quantity is not None and quantity in _AUTOMATIC and is_line and member.is_numeric


def _automatic(values: Array, vector: Member) -> tuple[SpectralAxis, tuple[str, ...]]:
    """Take a calibration that nobody asked for; one that goes up and down (overlapping spectrometers) is left out, aloud."""
    try:
        return axis_from_vector(values, vector.path, vector.units)
    except InvalidInput as err:
        note = f"'{vector.path}' was not taken as the spectral axis: {err}; channels are numbered instead"
        return SpectralAxis(values.size), (note,)


def _detector(member: Member, candidates: Sequence[Member]) -> str:
    """Name of a detector: what its array's name has beyond what all the names begin with (``data_a`` -> ``a``)."""
    stem = member.leaf.rpartition("_")[0] + "_"
    shared = all(other.leaf.startswith(stem) and len(other.leaf) > len(stem) for other in candidates)
    return member.leaf[len(stem) :] if shared and len(stem) > 1 else member.leaf


def _choice(candidates: list[Member]) -> str:
    """Write the hint: the paths, and the detectors where the arrays look like detectors of one scan."""
    first = candidates[0].stored
    names = [_detector(member, candidates) for member in candidates]
    alike = all((member.stored.shape, member.stored.dtype) == (first.shape, first.dtype) for member in candidates)
    paths = f"--path {candidates[0].path}"
    return f"pass {paths}, --detector {'|'.join(names[:8])}, sum or all" if alike else f"choose with --path, such as {paths}"
