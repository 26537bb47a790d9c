"""EPICS MDA: step scans of synchrotron beamlines, a spectrum per detector at each point of a raster.

Scans are nested (rows, points, channels); every spectrum lies in a scan of its own, whose header is skipped when a window
needs it.  Points that an aborted scan never reached are NaN.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lakecv.cube import CubeSpec, Grid, SpectralAxis
from lakecv.errors import InvalidInput, Kind
from lakecv.ports import ReadHints, Source
from lakecv.sheet import Array
from lakecv_plugins.formats.calibration import axes_differ, axis_from_polynomial, spelled
from lakecv_plugins.formats.container import Container, Member
from lakecv_plugins.formats.lazy import CubeFile
from lakecv_plugins.formats.mda_file import Cursor, Positioner, Scan, extra, header, is_mda, scan
from lakecv_plugins.formats.stored import Sliceable, regular_file

if TYPE_CHECKING:
    import xarray as xr

    from lakecv.ports import CubeReader

__all__ = ["MdaReader"]

_RANK = 3
_EVEN = 0.01  # readings of motors jitter
_LENGTHS = {"nm", "um", "mm", "cm", "m"}


class MdaReader:
    """Reads .mda of rank 3."""

    def accepts(self, source: Source, head: bytes) -> bool:
        """Tell by the ending; the first bytes (a version number) are too common to tell alone."""
        return source.path.suffix.lower() == ".mda" and bool(head)

    def probe(self, source: Source, hints: ReadHints) -> CubeSpec:
        """Read the headers."""
        return _open(source, hints).spec

    def read(self, source: Source, hints: ReadHints) -> xr.Dataset:
        """Open lazily."""
        return _open(source, hints).dataset()


@dataclass(frozen=True, eq=False)
class _Spectra:
    """Spectra of one detector; ``places`` (y, x) is where the scan of each begins, 0 where there is none."""

    path: Path
    places: Array
    nchannels: int
    detector: int
    ndetectors: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows, points, channels."""
        return (*self.places.shape, self.nchannels)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Always float32, as the format has it."""
        return np.dtype(np.float32)

    @property
    def chunks(self) -> tuple[int, ...]:
        """One spectrum."""
        return (1, 1, self.nchannels)

    @contextmanager
    def open(self) -> Iterator[Sliceable]:
        """Map the file."""
        yield _Window(Cursor(self.path), self)


@dataclass(frozen=True, eq=False)
class _Window:
    cursor: Cursor
    spectra: _Spectra

    def __getitem__(self, key: tuple[slice, ...], /) -> Array:
        rows, columns, channels = key
        places = self.spectra.places[rows, columns]
        out = np.full((*places.shape, channels.stop - channels.start), np.nan, np.float32)
        for spot, place in zip(np.ndindex(*places.shape), places.flat, strict=True):
            if place:
                out[spot] = self._spectrum(int(place))[channels]
        return out

    def _spectrum(self, place: int) -> Array:
        wanted = self.spectra
        found = scan(self.cursor.at(place))
        if (found.rank, found.npoints, len(found.detectors)) != (1, wanted.nchannels, wanted.ndetectors):
            raise self.cursor.bad(f"has a spectrum at byte {place} that differs from the first")
        self.cursor.at(found.data + 4 * wanted.detector * wanted.nchannels)
        return self.cursor.values(">f4", wanted.nchannels)


def _open(source: Source, hints: ReadHints) -> CubeFile:
    regular_file(source, is_mda, "EPICS MDA")
    cursor = Cursor(source.path)
    head = header(cursor)
    if len(head.dims) != _RANK:
        raise InvalidInput(
            f"'{source.path.name}' is a scan of rank {len(head.dims)} ({' x '.join(map(str, head.dims))}); spectra at each "
            "point of a raster make rank 3", Kind.DIMS_AMBIGUOUS, "a fly scan keeps its spectra in HDF5 or netCDF files beside it",
        )  # fmt: skip
    outer = scan(cursor)
    row, places = _places(cursor, outer, head.dims)
    measured = places[places > 0]
    if not measured.size:
        raise cursor.bad("has no spectrum: the scan was stopped before its first point")
    first = scan(cursor.at(int(measured[0])))
    if (first.rank, first.npoints) != (1, head.dims[2]) or not first.detectors:
        raise cursor.bad(f"has {len(first.detectors)} detectors with {first.npoints} channels where {head.dims[2]} channels are promised")
    axes = _axes(first, extra(cursor, head.extra))
    members = tuple(
        Member(name, _Spectra(source.path, places, first.npoints, number, len(first.detectors)), ("y", "x", "spectral"),
               first.detectors[number].unit or "counts", axis=axes[number])
        for number, name in enumerate(_names(first))
    )  # fmt: skip
    notes = (*_unmeasured(places), *(axes_differ(axes) if hints.detector in {"sum", "all"} and hints.axis is None else ()))
    return Container(source.path.name, members, hints, notes).cube(_grid(outer, row))


def _places(cursor: Cursor, outer: Scan, dims: tuple[int, ...]) -> tuple[Scan | None, Array]:
    """Where the scan of each point begins, and the first row."""
    if (outer.rank, outer.npoints) != (_RANK, dims[0]):
        raise cursor.bad(f"promises {dims[0]} rows and has {outer.npoints}")
    first: Scan | None = None
    places = np.zeros(dims[:2], np.int64)
    for number, place in enumerate(outer.inner):
        if place:
            row = scan(cursor.at(int(place)))
            if (row.rank, row.npoints) != (_RANK - 1, dims[1]):
                raise cursor.bad(f"promises {dims[1]} points in each row and has {row.npoints} in row {number}")
            places[number] = row.inner
            first = first or row
    return first, places


def _names(first: Scan) -> list[str]:
    """Short names, such as mca1 of dxpXMAP2xfm3:mca1.VAL; D01, D02, ... where they would not tell detectors apart."""
    short = [detector.name.removesuffix(".VAL").rpartition(":")[2] for detector in first.detectors]
    usable = len(set(short)) == len(short) and all(name.isascii() and name.replace("_", "").isalnum() for name in short)
    return short if usable else [f"D{number:02d}" for number in range(1, len(short) + 1)]


def _axes(first: Scan, known: Mapping[str, float]) -> list[SpectralAxis]:
    """Calibration of each detector from its record's CALO, CALS and CALQ: keV = CALO + CALS i + CALQ i^2."""
    return [_axis(detector.name.removesuffix(".VAL"), first.npoints, known) for detector in first.detectors]


def _axis(name: str, size: int, known: Mapping[str, float]) -> SpectralAxis:
    offset, slope, square = (known.get(f"{name}.{field}", 0.0) for field in ("CALO", "CALS", "CALQ"))
    return axis_from_polynomial(size, "keV", offset, slope, square)


def _unmeasured(places: Array) -> tuple[str, ...]:
    missing = int((places == 0).sum())
    return (f"the scan was stopped: {missing} of {places.size} points have no spectrum and are NaN",) if missing else ()


def _grid(outer: Scan, row: Scan | None) -> Grid:
    """Size of a pixel, where rows and points were moved evenly in one unit of length."""
    moved = [scan_.positioners[0] for scan_ in (outer, row) if scan_ is not None and scan_.positioners]
    units = {spelled(item.unit) for item in moved}
    steps = [_step(item) for item in moved]
    unit = units.pop() if len(units) == 1 else None
    if len(steps) != 2 or unit not in _LENGTHS or 0.0 in steps:  # noqa: PLR2004  (y and x)
        return Grid(0, 0)
    return Grid(0, 0, (steps[0], steps[1]), unit)


def _step(moved: Positioner) -> float:
    """Distance between points; 0 where it is not the same everywhere."""
    steps = np.diff(moved.values)
    if not len(steps) or not np.allclose(steps, steps.mean(), rtol=_EVEN, atol=0.0):
        return 0.0
    return round(abs(float(steps.mean())), 12)


if TYPE_CHECKING:
    _: CubeReader = MdaReader()
