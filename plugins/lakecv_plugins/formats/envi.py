"""ENVI: a text header beside raw samples in bsq, bil or bip order, read through a memory map.

Either file may be given.  The header decides everything, so the size of the raw file must be exactly what it promises.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from lakecv.cube import CubeSpec, Grid, SpectralAxis
from lakecv.errors import Corrupt, InvalidInput, Kind
from lakecv.ports import ReadHints, Source
from lakecv_plugins.formats.bands import band_axis
from lakecv_plugins.formats.byte_order import order_notes
from lakecv_plugins.formats.container import Container, Member, refuse_detector
from lakecv_plugins.formats.envi_header import EnviHeader, envi_header
from lakecv_plugins.formats.georeference import Notes, placed
from lakecv_plugins.formats.lazy import CubeFile
from lakecv_plugins.formats.stored import FlatFile, first_bytes, regular_file

if TYPE_CHECKING:
    import xarray as xr

    from lakecv.ports import CubeReader

__all__ = ["EnviReader"]

_TYPES = {1: "u1", 2: "i2", 3: "i4", 4: "f4", 5: "f8", 6: "c8", 9: "c16", 12: "u2", 13: "u4", 14: "i8", 15: "u8"}
_ORDERS: dict[str, tuple[str, ...]] = {
    "bsq": ("spectral", "y", "x"), "bil": ("y", "spectral", "x"), "bip": ("y", "x", "spectral"),
}  # fmt: skip
_SIZES = {"y": "lines", "x": "samples", "spectral": "bands"}
_OWN = (".bsq", ".bil", ".bip")
_RAW = (*_OWN, ".img", ".dat", ".raw", ".bin", ".cube", "")
_UNITS = {"wavenumber": "cm-1", "unknown": None, "": None}
_LIBRARY = "envi spectral library"
_NOT_APPLIED = ("reflectance scale factor", "data gain values", "data offset values")
_MAP_NUMBERS = 7


class EnviReader:
    """Reads a header and the raw file beside it."""

    def accepts(self, source: Source, head: bytes) -> bool:
        """Tell by a header's first word; a raw file by its ending, or by a header beside it."""
        suffix = source.path.suffix.lower()
        if suffix == ".hdr":
            return head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"ENVI")
        header = _beside(source.path) if suffix in _RAW and source.path.is_file() else None
        return suffix in _OWN or (header is not None and first_bytes(header, 4) == b"ENVI")

    def probe(self, source: Source, hints: ReadHints) -> CubeSpec:
        """Read the header."""
        return _open(source, hints).spec

    def read(self, source: Source, hints: ReadHints) -> xr.Dataset:
        """Open lazily."""
        return _open(source, hints).dataset()


def _open(source: Source, hints: ReadHints) -> CubeFile:
    regular_file(source, lambda _head: True, "ENVI")
    refuse_detector(hints, source.path.name)
    header, raw = _pair(source.path)
    dims, flat = _layout(header, raw)
    axis, notes = _axis(header, flat.shape[dims.index("spectral")])
    member = Member("", flat, dims, nodata=header.number("data ignore value"), axis=axis)
    grid = Grid(flat.shape[dims.index("y")], flat.shape[dims.index("x")])
    grid, more = _placed(grid, header)
    notes = () if hints.axis is not None else notes
    return Container(raw.name, (member,), hints, (*notes, *more, *_left_out(header), *order_notes(flat))).cube(grid)


def _beside(path: Path) -> Path | None:
    """Return the header of a raw file: cube.hdr or cube.img.hdr for cube.img."""
    names = [path.with_name(path.name + end) for end in (".hdr", ".HDR")] + [path.with_suffix(end) for end in (".hdr", ".HDR")]
    return next((name for name in names if name.is_file()), None)


def _pair(path: Path) -> tuple[EnviHeader, Path]:
    if path.suffix.lower() != ".hdr":
        header = _beside(path)
        if header is None:
            raise Corrupt(
                f"'{path.name}' has no ENVI header beside it; '{path.with_suffix('.hdr').name}' is expected", Kind.FILE_MALFORMED,
                "put the header into the same folder: without it nobody knows lines, samples and bands",
            )
        return envi_header(header), path
    header = path
    found = envi_header(header)
    stem = header.with_suffix("")
    names = [stem, *(stem.with_name(stem.name + end) for end in (*_RAW[:-1], *(end.upper() for end in _RAW[:-1])))]
    raw = next((name for name in names if name.is_file()), None)
    if raw is None:
        raise Corrupt(
            f"'{header.name}' describes a file that is not beside it; '{stem.name}' or '{stem.name}.img' is expected",
            Kind.FILE_MALFORMED, "put the raw file into the same folder",
        )
    return found, raw


def _layout(header: EnviHeader, raw: Path) -> tuple[tuple[str, ...], FlatFile]:
    interleave = header.text("interleave").lower()
    code, order = header.whole("data type"), header.whole("byte order", 0)
    if interleave not in _ORDERS or code not in _TYPES or order not in {0, 1}:
        raise header.bad(f"has interleave = {interleave or 'nothing'}, data type = {code}, byte order = {order}; one of them is unknown")
    if header.whole("file compression", 0) or any(header.numbers("major frame offsets") + header.numbers("minor frame offsets")):
        raise InvalidInput(
            f"'{raw.name}' is packed or has frames between its lines", Kind.FORMAT_UNKNOWN, "export it as plain ENVI",
        )
    dims = _ORDERS[interleave]
    shape = tuple(header.whole(_SIZES[dim]) for dim in dims)
    dtype = np.dtype(_TYPES[code]).newbyteorder(">" if order else "<")
    flat = FlatFile(raw, shape, dtype, header.whole("header offset", 0))
    _check(flat, header)
    if header.text("file type").lower() == _LIBRARY and shape[dims.index("spectral")] == 1:
        swap: dict[str, Literal["x", "y", "spectral"]] = {"spectral": "x", "x": "spectral", "y": "y"}
        return tuple(swap[dim] for dim in dims), flat
    return dims, flat


def _check(flat: FlatFile, header: EnviHeader) -> None:
    """Compare the size of the raw file with lines x samples x bands x bytes."""
    size = flat.path.stat().st_size
    if size == flat.end:
        return
    raise Corrupt(
        f"'{flat.path.name}' has {size} bytes; its header '{header.name}' promises {flat.end} ({flat.offset} + "
        f"{' x '.join(map(str, flat.shape))} x {flat.dtype.itemsize})",
        Kind.SHORT_READ if size < flat.end else Kind.FILE_MALFORMED,
        "copy or download it again, or correct lines, samples, bands, data type or header offset",
    )


def _axis(header: EnviHeader, size: int) -> tuple[SpectralAxis, Notes]:
    said = header.text("wavelength units")
    unit = _UNITS.get(said.lower(), said)
    is_known = "wavelength" in header.entries and said.lower() != "index"
    return band_axis(size, header.items("band names"), header.numbers("wavelength") if is_known else None, unit)


def _placed(grid: Grid, header: EnviHeader) -> tuple[Grid, Notes]:
    """Read ``map info`` (projection, reference column and row from 1, their x and y, width and height of a pixel, ...)."""
    items = header.items("map info")
    if not items:
        return grid, ()
    if len(items) < _MAP_NUMBERS:
        raise header.bad(f"has a map info of {len(items)} parts; at least {_MAP_NUMBERS} are expected")
    column, row, x, y, width, height = _numbers(header, items)
    turned = [item for item in items if item.lower().replace(" ", "").startswith("rotation=") and _angle(item) != 0.0]
    if turned:
        return grid, (f"the picture is turned on its map ({turned[0]}); its place on Earth is left out",)
    if items[0].lower() == "arbitrary":
        return grid, ("the map of the header is an arbitrary one; the picture has no place on Earth",)
    affine = (width, 0.0, x - (column - 1.0) * width, 0.0, -height, y + (row - 1.0) * height)
    crs = header.text("coordinate system string") or ", ".join([items[0], *items[_MAP_NUMBERS:]])
    return placed(grid, crs, affine)


def _numbers(header: EnviHeader, items: list[str]) -> list[float]:
    try:
        found = [float(item) for item in items[1:_MAP_NUMBERS]]
    except ValueError as err:
        raise header.bad(f"has a map info without numbers: {err}") from err
    if not all(math.isfinite(number) for number in found):
        raise header.bad("has a map info with numbers that are not finite")
    return found


def _angle(item: str) -> float:
    try:
        return float(item.partition("=")[2])
    except ValueError:
        return math.nan


def _left_out(header: EnviHeader) -> Notes:
    notes = [f"'{key}' of the header is not applied" for key in _NOT_APPLIED if key in header.entries]
    bad = header.items("bbl").count("0")
    return (*notes, *([f"the header marks {bad} bands as bad; they are kept"] if bad else []))


if TYPE_CHECKING:
    _: CubeReader = EnviReader()
