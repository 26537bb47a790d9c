"""NumPy files: .npy through a memory map, .npz one member at a time.

Nothing is ever unpickled: headers are parsed by numpy's own reader of literals, object arrays are refused.
"""

from __future__ import annotations

import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tokenize import TokenError
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.lib import format as npy

from lakecv.cube import CubeSpec
from lakecv.errors import Corrupt, InvalidInput, Kind, LakeCVError
from lakecv.ports import ReadHints, Source
from lakecv_plugins.formats.container import Container, Member, refuse_detector
from lakecv_plugins.formats.lazy import CubeFile
from lakecv_plugins.formats.stored import FlatFile, Order, Spilled, regular_file

if TYPE_CHECKING:
    import xarray as xr

    from lakecv.ports import CubeReader

__all__ = ["NumpyReader"]

_NPY, _ZIP = b"\x93NUMPY", b"PK\x03\x04"
_DEFLATE_AT_MOST = 1040  # zlib's limit is 1032 to 1; more than that is a forged size
_AGAIN = "save it again with numpy.save or numpy.savez (allow_pickle=False)"


class NumpyReader:
    """Reads .npy and .npz."""

    def accepts(self, source: Source, head: bytes) -> bool:
        """Tell by the ending, or the magic of .npy."""
        return source.path.suffix.lower() in {".npy", ".npz"} or head.startswith(_NPY)

    def probe(self, source: Source, hints: ReadHints) -> CubeSpec:
        """Read the headers."""
        return _open(source, hints).spec

    def read(self, source: Source, hints: ReadHints) -> xr.Dataset:
        """Open lazily."""
        return _open(source, hints).dataset()


def _open(source: Source, hints: ReadHints) -> CubeFile:
    zipped = source.path.suffix.lower() == ".npz"
    regular_file(source, lambda head: head.startswith(_ZIP if zipped else _NPY), "NumPy .npz" if zipped else "NumPy .npy")
    if zipped:
        return Container(source.path.name, tuple(_members(source.path)), hints).cube()
    refuse_detector(hints, source.path.name)
    with source.path.open("rb") as file:
        shape, order, dtype = _header(file, source.path.name)
        stored = FlatFile(source.path, shape, dtype, file.tell(), order)
    if not dtype.hasobject:
        stored.check()
    return Container(source.path.name, (Member("", stored),), hints).cube()


def _header(file: IO[bytes], name: str) -> tuple[tuple[int, ...], Order, np.dtype[Any]]:
    """Parse a .npy header: a Python literal of a known form, at most 10,000 characters long."""
    readers: dict[tuple[int, int], Callable[[IO[bytes]], Any]] = {
        (1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0,
    }  # fmt: skip
    try:
        version = npy.read_magic(file)
        shape, fortran, dtype = readers[version](file)
    except KeyError as err:
        raise InvalidInput(f"'{name}' is of .npy version {version}", Kind.FORMAT_UNKNOWN, _AGAIN) from err
    except (ValueError, TypeError, EOFError, SyntaxError, TokenError, MemoryError, RecursionError, zlib.error) as err:
        raise Corrupt(f"the .npy header of '{name}' cannot be read: {err}", Kind.FILE_MALFORMED, _AGAIN) from err
    if any(size < 0 for size in shape):
        raise Corrupt(f"the .npy header of '{name}' has a negative size: {shape}", Kind.FILE_MALFORMED, _AGAIN)
    return shape, "F" if fortran else "C", dtype


def _members(path: Path) -> Iterator[Member]:
    """List the arrays of an .npz; each member's size must be what its own header says."""
    with _archive(path) as archive:
        for info in archive.infolist():
            if not info.filename.endswith(".npy"):
                continue
            name = info.filename.removesuffix(".npy")
            with archive.open(info) as file:
                shape, order, dtype = _header(file, info.filename)
                start = file.tell()
            if not dtype.hasobject:
                _check_size(info, start + int(np.prod(shape, dtype=object)) * dtype.itemsize)
            yield Member(name, Spilled(_unpack(path, info.filename, start), shape, dtype, order))


def _check_size(info: zipfile.ZipInfo, expected: int) -> None:
    if info.file_size != expected or info.file_size > _DEFLATE_AT_MOST * max(info.compress_size, 1):
        raise Corrupt(
            f"'{info.filename}' claims {info.file_size} bytes packed into {info.compress_size}; its header describes {expected}",
            Kind.FILE_MALFORMED, _AGAIN,
        )


def _unpack(path: Path, name: str, start: int) -> Callable[[IO[bytes]], None]:
    """Unpack one member into a file, a piece at a time; zipfile checks its CRC at the end."""

    def fill(target: IO[bytes]) -> None:
        with _archive(path) as archive, archive.open(name) as packed:
            packed.read(start)
            shutil.copyfileobj(packed, target, 1 << 20)

    return fill


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (LakeCVError, FileNotFoundError, PermissionError):  # the caller knows what it means that a file is not there
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError, RuntimeError) as err:
        raise Corrupt(f"'{path.name}' cannot be unpacked: {err}", Kind.SHORT_READ, "copy or download it again") from err


if TYPE_CHECKING:
    _: CubeReader = NumpyReader()
