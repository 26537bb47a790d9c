"""Ripple (Lispix): a text header .rpl beside raw samples, as electron microscopes and DigitalMicrograph write them.

Either file may be given.  Source: D. Bright, NIST, "Lispix - RPL file format"; the calibration keys are those that
HyperSpy adds (``ev-per-chan``, ``depth-scale``, ``depth-origin``, ``depth-units``, ``width-scale``, ...).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lakecv.cube import CubeSpec, Grid, Quantity, SpectralAxis
from lakecv.errors import Corrupt, Kind
from lakecv.ports import ReadHints, Source
from lakecv_plugins.formats.byte_order import order_notes
from lakecv_plugins.formats.calibration import quantity_of_unit, spelled
from lakecv_plugins.formats.container import Container, Member, refuse_detector
from lakecv_plugins.formats.lazy import CubeFile
from lakecv_plugins.formats.stored import FlatFile, regular_file

if TYPE_CHECKING:
    import xarray as xr

    from lakecv.ports import CubeReader

__all__ = ["RippleReader"]

_NBYTES_AT_MOST = 1 << 20
_KINDS = {"signed": "i", "unsigned": "u", "float": "f"}
_LENGTHS = {"i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "f": (2, 4, 8)}
_ANY = "dont-care"
_ORDERS = {"big-endian": ">", "little-endian": "<", _ANY: "<"}
_DIMS: dict[str, tuple[str, ...]] = {"vector": ("y", "x", "spectral"), "image": ("spectral", "y", "x")}
_SIZES = {"y": "height", "x": "width", "spectral": "depth"}
_FIRST = re.compile(rb"\s*(;[^\n]*\n\s*)*key[ \t]+value", re.IGNORECASE)
_AGAIN = "check the header, or export the cube again"


class RippleReader:
    """Reads .rpl with the raw file beside it."""

    def accepts(self, source: Source, head: bytes) -> bool:
        """Tell by the ending; a raw file by the header beside it."""
        suffix = source.path.suffix.lower()
        return suffix == ".rpl" or (suffix == ".raw" and bool(head) and _other(source.path, ".rpl") is not None)

    def probe(self, source: Source, hints: ReadHints) -> CubeSpec:
        """Read the header."""
        return _open(source, hints).spec

    def read(self, source: Source, hints: ReadHints) -> xr.Dataset:
        """Open lazily."""
        return _open(source, hints).dataset()


@dataclass(frozen=True)
class _Header:
    """Entries of a header, by key in lower case."""

    name: str
    entries: dict[str, str]

    def whole(self, key: str, default: int | None = None) -> int:
        value = self.number(key)
        if value is None:
            value = default
        if value is None or value != int(value) or not 0 <= value < 1 << 40:
            raise self.bad(f"has {key} = {self.entries.get(key, 'nothing')[:40]!r}; a whole number is expected")
        return int(value)

    def number(self, key: str) -> float | None:
        if key not in self.entries:
            return None
        try:
            value = float(self.entries[key])
        except ValueError as err:
            raise self.bad(f"has {key} = {self.entries[key][:40]!r}; a number is expected") from err
        if not math.isfinite(value):
            raise self.bad(f"has {key} = {self.entries[key][:40]!r}; a finite number is expected")
        return value

    def word(self, key: str, default: str = "") -> str:
        return self.entries.get(key, default).lower()

    def bad(self, why: str) -> Corrupt:
        return Corrupt(f"the Ripple header '{self.name}' {why}", Kind.FILE_MALFORMED, _AGAIN)


def _open(source: Source, hints: ReadHints) -> CubeFile:
    regular_file(source, lambda _head: True, "Ripple")
    refuse_detector(hints, source.path.name)
    path, raw = _pair(source.path)
    header = _header(path)
    dims, flat = _layout(header, raw)
    axis, notes = _axis(header, flat.shape[dims.index("spectral")])
    member = Member("", flat, dims, axis=axis)
    notes = () if hints.axis is not None else notes
    if header.word("byte-order", _ANY) == _ANY and flat.dtype.itemsize > 1:
        notes = (*notes, f"'{path.name}' does not tell the byte order; little-endian is taken")
    return Container(raw.name, (member,), hints, (*notes, *order_notes(flat))).cube(_grid(header))


def _other(path: Path, suffix: str) -> Path | None:
    return next((name for name in (path.with_suffix(suffix), path.with_suffix(suffix.upper())) if name.is_file()), None)


def _pair(path: Path) -> tuple[Path, Path]:
    is_header = path.suffix.lower() == ".rpl"
    wanted = ".raw" if is_header else ".rpl"
    other = _other(path, wanted)
    if other is None:
        raise Corrupt(
            f"'{path.name}' is one file of two; '{path.with_suffix(wanted).name}' is not beside it", Kind.FILE_MALFORMED,
            "put both into the same folder: the header .rpl describes what lies in .raw",
        )
    return (path, other) if is_header else (other, path)


def _header(path: Path) -> _Header:
    """Read ``key value`` lines, parted by blanks or a tab; the first line names the two columns."""
    with path.open("rb") as file:
        data = file.read(_NBYTES_AT_MOST)
    if not _FIRST.match(data.removeprefix(b"\xef\xbb\xbf")):
        raise Corrupt(
            f"'{path.name}' is not a Ripple header file: it begins with {data[:24]!r}", Kind.FILE_MALFORMED,
            "the first line of a Ripple header is: key value",
        )
    lines = [line.partition(";")[0].split(None, 1) for line in data.decode("utf-8", "replace").splitlines()]
    return _Header(path.name, {pair[0].lower(): pair[1].strip() for pair in lines if len(pair) > 1})


def _layout(header: _Header, raw: Path) -> tuple[tuple[str, ...], FlatFile]:
    record, kind = header.word("record-by"), _KINDS.get(header.word("data-type"), "")
    length, order = header.whole("data-length"), _ORDERS.get(header.word("byte-order", _ANY))
    if record == _ANY and header.whole("depth") == 1:
        record = "image"
    if record not in _DIMS or length not in _LENGTHS.get(kind, ()) or order is None:
        raise header.bad(
            f"has data-type {header.word('data-type')}, data-length {length}, byte-order {header.word('byte-order')}, "
            f"record-by {record}; they do not go together",
        )
    dims = _DIMS[record]
    shape = tuple(header.whole(_SIZES[dim]) for dim in dims)
    flat = FlatFile(raw, shape, np.dtype(f"{order}{kind}{length}"), header.whole("offset", 0))
    size = raw.stat().st_size
    if size != flat.end:
        raise Corrupt(
            f"'{raw.name}' has {size} bytes; its header '{header.name}' promises {flat.end} ({flat.offset} + "
            f"{' x '.join(map(str, shape))} x {length})",
            Kind.SHORT_READ if size < flat.end else Kind.FILE_MALFORMED,
            "copy or download it again, or correct width, height, depth, data-length or offset",
        )
    return dims, flat


def _axis(header: _Header, size: int) -> tuple[SpectralAxis, tuple[str, ...]]:
    """Energy from ``ev-per-chan`` (start: ``depth-origin``, in eV), else from the depth's own scale and unit."""
    unit = spelled(header.entries.get("depth-units"))
    scale, start = header.number("depth-scale"), header.number("depth-origin") or 0.0
    per_channel = header.number("ev-per-chan")
    quantity = quantity_of_unit(unit)
    if quantity is not None and unit is not None and scale:
        return SpectralAxis(size, quantity, unit, start, scale), ()
    if per_channel:
        offset = header.number("ev-offset")
        start = start if offset is None else offset
        return SpectralAxis(size, Quantity.ENERGY, "eV", start, per_channel), ()
    if scale and unit is not None:
        return SpectralAxis(size), (f"the depth is in '{unit}', which is no unit of a spectral axis; channels are numbered instead",)
    return SpectralAxis(size), ()


def _grid(header: _Header) -> Grid:
    """Picture plane: the size of a pixel where both sides are given in one unit."""
    sides = header.number("height-scale"), header.number("width-scale")
    units = {spelled(header.entries.get(f"{side}-units")) for side in ("height", "width")}
    unit = units.pop() if len(units) == 1 else None
    if unit not in {"nm", "um", "mm", "cm", "m"} or not all(side is not None and side > 0.0 for side in sides):
        return Grid(0, 0)
    return Grid(0, 0, (sides[0] or 0.0, sides[1] or 0.0), unit)


if TYPE_CHECKING:
    _: CubeReader = RippleReader()
