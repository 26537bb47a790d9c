"""MATLAB 5 files: headers without unpacking, and one variable unpacked a piece at a time.

``scipy.io.loadmat`` unpacks a whole variable in memory; here it streams into a file, so that memory stays small.  The
type is the one the samples are stored in, as loadmat gives it.  Source: "MAT-File Format", MathWorks, R2023a, chapter 1.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np

from lakecv.errors import Corrupt, Kind

__all__ = ["Variable", "unpack", "variables"]

_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_NUMERIC_CLASSES = range(6, 16)  # double, single, int8 ... uint64; the others are text, cells, structs, sparse
_MATRIX, _COMPRESSED = 14, 15
_COMPLEX, _LOGICAL = 0x08, 0x02
_HEADER, _PIECE = 128, 1 << 18
_AGAIN = "copy or download it again, or save it again in MATLAB with -v7.3"


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable: ``offset`` of its element in the file; ``start`` of its samples in the unpacked element."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int
    nbytes: int
    start: int
    is_packed: bool


class _Readable(Protocol):
    def read(self, count: int, /) -> bytes:
        """Read at most ``count`` bytes; none at the end."""


class _Inflated:
    """A zlib stream read forward."""

    def __init__(self, file: IO[bytes], nbytes: int) -> None:
        self._file, self._left, self._zlib = file, nbytes, zlib.decompressobj()

    def read(self, count: int, /) -> bytes:
        parts: list[bytes] = []
        while count and not self._zlib.eof:
            packed = self._zlib.unconsumed_tail
            if not packed:
                packed = self._file.read(min(self._left, 1 << 16))
                self._left -= len(packed)
            piece = self._zlib.decompress(packed, count)
            if not piece and not packed:
                break
            parts.append(piece)
            count -= len(piece)
        return b"".join(parts)


class _Bounded:
    """An element that is stored as it is."""

    def __init__(self, file: IO[bytes], nbytes: int) -> None:
        self._file, self._left = file, nbytes

    def read(self, count: int, /) -> bytes:
        data = self._file.read(min(count, self._left))
        self._left -= len(data)
        return data


def variables(path: Path) -> Iterator[Variable]:
    """List the variables that hold plain numbers; complex ones come with a complex type, so that they can be refused.

    Raises
    ------
    Corrupt
        ``short-read`` where an element goes over the end of the file, ``file-malformed`` where one cannot be parsed.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        order = _byte_order(file.read(_HEADER), path.name)
        offset = _HEADER
        while offset < size:
            file.seek(offset)
            kind, nbytes = struct.unpack(f"{order}II", _exactly(file, 8, path.name))
            if offset + 8 + nbytes > size:
                raise Corrupt(f"'{path.name}' has {size} bytes; a variable ends at {offset + 8 + nbytes}", Kind.SHORT_READ, _AGAIN)
            if kind not in {_MATRIX, _COMPRESSED}:
                raise Corrupt(f"'{path.name}' has an element of type {kind} at byte {offset}", Kind.FILE_MALFORMED, _AGAIN)
            found = _variable(_content(file, nbytes, is_packed=kind == _COMPRESSED), order, path.name)
            if found is not None:
                name, shape, dtype, start = found
                yield Variable(name, shape, dtype, offset + 8, nbytes, start, kind == _COMPRESSED)
            offset += 8 + nbytes


def unpack(path: Path, variable: Variable, target: IO[bytes]) -> None:
    """Write the samples of a variable, in MATLAB's (column-major) order and the stored type.

    Raises
    ------
    Corrupt
        If the samples end early or their checksum is wrong (kind ``short-read``).
    """
    left = int(np.prod(variable.shape, dtype=object)) * variable.dtype.itemsize
    try:
        with path.open("rb") as file:
            file.seek(variable.offset)
            content = _content(file, variable.nbytes, is_packed=variable.is_packed)
            _exactly(content, variable.start, path.name)
            while left:
                piece = _exactly(content, min(left, _PIECE), path.name)
                target.write(piece)
                left -= len(piece)
            while content.read(_PIECE):  # the rest, so that zlib checks its Adler-32
                pass
    except zlib.error as err:
        raise Corrupt(f"'{variable.name}' in '{path.name}' cannot be unpacked: {err}", Kind.SHORT_READ, _AGAIN) from err


def _content(file: IO[bytes], nbytes: int, *, is_packed: bool) -> _Readable:
    return _Inflated(file, nbytes) if is_packed else _Bounded(file, nbytes)


def _byte_order(header: bytes, name: str) -> str:
    mark = header[126:128]
    if mark not in {b"IM", b"MI"}:
        raise Corrupt(f"'{name}' has no byte order mark at byte 126: {mark!r}", Kind.FILE_MALFORMED, _AGAIN)
    return "<" if mark == b"IM" else ">"


def _exactly(content: _Readable, count: int, name: str) -> bytes:
    data = content.read(count)
    if len(data) != count:
        raise Corrupt(f"'{name}' ends inside a variable", Kind.SHORT_READ, _AGAIN)
    return data


def _variable(content: _Readable, order: str, name: str) -> tuple[str, tuple[int, ...], np.dtype[Any], int] | None:
    """Parse flags, sizes, name and the tag of the samples; None for what is no plain array."""
    try:
        reader = _Elements(content, order, name)
        if isinstance(content, _Inflated):
            reader.tag()
        flags = reader.element(16)
        sizes = reader.element(4 * 32)
        label = reader.element(1024)
        word = struct.unpack(f"{order}I", flags[:4])[0]
        shape = struct.unpack(f"{order}{len(sizes) // 4}i", sizes)
        if word & 0xFF not in _NUMERIC_CLASSES or not label:
            return None
        kind, nbytes, _small = reader.tag()
    except (struct.error, zlib.error) as err:
        raise Corrupt(f"'{name}' has a variable that cannot be read: {err}", Kind.FILE_MALFORMED, _AGAIN) from err
    return label.decode("latin-1"), shape, _dtype(word, shape, (f"{order}{_STORED.get(kind, '')}", nbytes), name), reader.position


def _dtype(word: int, shape: tuple[int, ...], samples: tuple[str, int], name: str) -> np.dtype[Any]:
    """Type of the samples, from their tag (type and bytes), which must agree with the shape."""
    stored, nbytes = samples
    if len(stored) == 1 or any(size < 0 for size in shape):
        raise Corrupt(f"'{name}' has samples of an unknown type, or the shape {shape}", Kind.FILE_MALFORMED, _AGAIN)
    dtype = np.dtype(stored)
    expected = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if nbytes != expected:
        raise Corrupt(f"'{name}' stores {nbytes} bytes for {shape} of {dtype.name}", Kind.FILE_MALFORMED, _AGAIN)
    flags = word >> 8
    if flags & _COMPLEX:
        return np.dtype(np.complex128)
    return np.dtype(np.bool_) if flags & _LOGICAL and dtype.itemsize == 1 else dtype


class _Elements:
    """Data elements one after the other; a small one (at most 4 bytes) lies inside its own tag."""

    def __init__(self, content: _Readable, order: str, name: str) -> None:
        self._content, self._order, self._name = content, order, name
        self.position = 0

    def tag(self) -> tuple[int, int, bool]:
        """Type, bytes, and whether the data are the second half of the tag (not yet consumed)."""
        kind = struct.unpack(f"{self._order}I", self._take(4))[0]
        if kind >> 16:
            return kind & 0xFFFF, kind >> 16, True
        return kind, struct.unpack(f"{self._order}I", self._take(4))[0], False

    def element(self, limit: int) -> bytes:
        """Read one element and the padding to 8 bytes behind it."""
        _kind, nbytes, small = self.tag()
        if nbytes > (4 if small else limit):
            raise Corrupt(f"'{self._name}' has a variable with a header of {nbytes} bytes", Kind.FILE_MALFORMED, _AGAIN)
        data = self._take(4 if small else -(-nbytes // 8) * 8)
        return data[:nbytes]

    def _take(self, count: int) -> bytes:
        self.position += count
        return _exactly(self._content, count, self._name)
