"""The scans of an EPICS MDA file: nested, big-endian (XDR, RFC 4506), each with its own header.

Source: T. Mooney, "MDA file format" of the EPICS sscan module, versions 1.2 to 1.4.  An outer scan lists where its inner
scans begin; 0 stands for one that was never reached.  Headers hold texts, so no two scans need be of one length.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lakecv.errors import Corrupt, Kind
from lakecv.sheet import Array

__all__ = ["FIRST_SCAN", "Cursor", "Detector", "MdaHeader", "Positioner", "Scan", "extra", "header", "is_mda", "scan"]

_VERSIONS = (1.2, 1.3, 1.4)
_RANK_AT_MOST, _TEXT_AT_MOST = 16, 4096
_CHAR, _STRING = 32, 0
_NUMBERS = {29: (">i", 4), 30: (">f", 4), 33: (">i", 4), 34: (">d", 8)}  # short (stored as int), float, long, double
FIRST_SCAN = 20  # what precedes the scan besides 4 bytes per rank


@dataclass(frozen=True)
class MdaHeader:
    """What the file says of its scans: sizes from the outermost to the innermost."""

    dims: tuple[int, ...]
    extra: int


@dataclass(frozen=True)
class Positioner:
    """What was moved, and where it stood at each point."""

    name: str
    unit: str
    values: Array


@dataclass(frozen=True)
class Detector:
    """What was measured."""

    name: str
    unit: str


@dataclass(frozen=True)
class Scan:
    """One scan: where its inner scans begin, or where its samples begin."""

    rank: int
    npoints: int
    inner: Array
    positioners: tuple[Positioner, ...]
    detectors: tuple[Detector, ...]
    data: int


class Cursor:
    """A place in a file, read through a map; every step is checked against its end."""

    def __init__(self, path: Path, place: int = 0) -> None:
        self.path, self.place = path, place
        self.buffer = np.memmap(path, np.uint8, "r").data

    def at(self, place: int) -> Cursor:
        """Go to another place."""
        self.place = place
        return self

    def take(self, nbytes: int) -> int:
        """Step over bytes; gives where they begin."""
        start = self.place
        if not 0 <= start <= start + nbytes <= len(self.buffer):
            raise Corrupt(
                f"'{self.path.name}' has {len(self.buffer)} bytes; a scan in it needs {start} + {nbytes}", Kind.SHORT_READ,
                "the file was cut off or changed; copy or download it again",
            )
        self.place = start + nbytes
        return start

    def number(self) -> int:
        """Read an integer."""
        value: int = struct.unpack_from(">i", self.buffer, self.take(4))[0]
        return value

    def count(self, nbytes_each: int, what: str) -> int:
        """Read how many there are of something that takes bytes of the file."""
        value = self.number()
        if not 0 <= value * nbytes_each <= len(self.buffer):
            raise self.bad(f"counts {value} {what}")
        return value

    def text(self) -> str:
        """Read a counted string: its length, and where that is not 0 an XDR string with its own length."""
        if self.number() <= 0:
            return ""
        length = self.number()
        if not 0 <= length <= _TEXT_AT_MOST:
            raise self.bad(f"has a text of {length} bytes")
        start = self.take((length + 3) // 4 * 4)
        return self.buffer[start : start + length].tobytes().decode("latin-1").strip("\0")

    def values(self, dtype: str, count: int) -> Array:
        """Read an array, in native byte order."""
        width = np.dtype(dtype).itemsize
        start = self.take(count * width)
        raw = self.buffer[start : start + count * width].tobytes()
        return np.frombuffer(raw, dtype).astype(np.dtype(dtype).newbyteorder("="))

    def bad(self, why: str) -> Corrupt:
        """Make an error about this file."""
        return Corrupt(f"'{self.path.name}' {why}; this is no MDA scan", Kind.FILE_MALFORMED, "copy or download it again")


def is_mda(head: bytes) -> bool:
    """Say whether a file begins with a version and a rank of this format."""
    if len(head) < FIRST_SCAN:
        return False
    version, _number, rank = struct.unpack_from(">fii", head)
    return any(abs(version - known) < 1e-3 for known in _VERSIONS) and 1 <= rank <= _RANK_AT_MOST  # noqa: PLR2004


def header(cursor: Cursor) -> MdaHeader:
    """Read the head of the file; the cursor is then at the outermost scan."""
    cursor.at(8)
    dims = tuple(cursor.number() for _ in range(cursor.count(4, "dims")))
    _regular, offset = cursor.number(), cursor.number()
    return MdaHeader(dims, offset)


def scan(cursor: Cursor) -> Scan:
    """Read the header of the scan that begins at the cursor, and the positions; samples are left where they lie."""
    rank, npoints, _done = cursor.number(), cursor.count(4, "points"), cursor.number()
    inner = cursor.values(">i4", npoints if rank > 1 else 0)
    _name, _time = cursor.text(), cursor.text()
    npositioners, ndetectors, ntriggers = (cursor.count(8, what) for what in ("positioners", "detectors", "triggers"))
    moved = [_fields(cursor, 7) for _ in range(npositioners)]
    measured = [_fields(cursor, 3) for _ in range(ndetectors)]
    for _ in range(ntriggers):
        _fields(cursor, 1)
        cursor.take(4)
    positioners = tuple(Positioner(fields[0], fields[3], cursor.values(">f8", npoints)) for fields in moved)
    detectors = tuple(Detector(fields[0], fields[2]) for fields in measured)
    data = cursor.take(4 * npoints * ndetectors)
    return Scan(rank, npoints, inner, positioners, detectors, data)


def extra(cursor: Cursor, place: int) -> Mapping[str, float]:
    """Read the process variables after the scans; those that are one number, by name."""
    found: dict[str, float] = {}
    if place <= 0:
        return found
    cursor.at(place)
    for _ in range(cursor.count(12, "process variables")):
        name, _description, kind = cursor.text(), cursor.text(), cursor.number()
        if kind == _STRING:
            cursor.text()
            continue
        count, _unit = cursor.count(1, "values"), cursor.text()
        if kind == _CHAR:
            cursor.take((count + 3) // 4 * 4)
        elif kind not in _NUMBERS:
            raise cursor.bad(f"has a process variable of type {kind}")
        elif count == 1:
            form, width = _NUMBERS[kind]
            found[name] = float(struct.unpack_from(form, cursor.buffer, cursor.take(width))[0])
        else:
            cursor.take(count * _NUMBERS[kind][1])
    return found


def _fields(cursor: Cursor, ntexts: int) -> list[str]:
    """Read a number, which is not needed, and texts."""
    cursor.number()
    return [cursor.text() for _ in range(ntexts)]
