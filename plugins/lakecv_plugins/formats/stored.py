"""Arrays as they lie in a file: opened for one window, closed after it.

Readers of every format meet here: each gives its arrays as :class:`Stored`, and the rest (orientation, naming, laziness)
is done once, in :mod:`layout`, :mod:`container` and :mod:`lazy`.  Nothing holds a file open between two windows.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import IO, Any, Literal, Protocol

import numpy as np

from lakecv.errors import Corrupt, InvalidInput, Kind
from lakecv.ports import Source
from lakecv.sheet import Array

__all__ = ["FlatFile", "Reversed", "Sliceable", "Spilled", "Stored", "first_bytes", "regular_file"]

Order = Literal["C", "F"]


class Sliceable(Protocol):
    """Something that gives a block for one slice per axis."""

    def __getitem__(self, key: tuple[slice, ...], /) -> Any:
        """Read a block."""


class Stored(Protocol):
    """An array in a file: its header is known, its samples are read on demand."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Size along each stored axis."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type as stored, byte order included."""

    @property
    def chunks(self) -> tuple[int, ...] | None:
        """How the file cuts it; None = in one piece."""

    def open(self) -> AbstractContextManager[Sliceable]:
        """Open for reading; the file is closed at exit."""


@dataclass(frozen=True)
class FlatFile:
    """An uncompressed array at ``offset`` of a file, read through a memory map that lives as long as one window."""

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int = 0
    order: Order = "C"
    chunks: tuple[int, ...] | None = None

    @property
    def end(self) -> int:
        """Offset of the first byte after the array."""
        return self.offset + int(np.prod(self.shape, dtype=object)) * self.dtype.itemsize

    def check(self) -> None:
        """Compare what the header promises with the size of the file.

        Raises
        ------
        Corrupt
            If the file ends early (kind ``short-read``): a map over its end would kill the process.
        """
        size = self.path.stat().st_size
        if size < self.end:
            raise Corrupt(
                f"'{self.path.name}' has {size} bytes; its header promises {self.end}", Kind.SHORT_READ,
                "the file was cut off; copy or download it again",
            )

    @contextmanager
    def open(self) -> Iterator[Sliceable]:
        """Map the file; the map is gone when the last view of it is."""
        self.check()
        yield np.memmap(self.path, self.dtype, "r", self.offset, self.shape, self.order)


class Spilled:
    """A compressed array: unpacked once, at the first read, into an anonymous temporary file, then mapped.

    ``fill`` writes the samples in the array's own order and byte order.  The file has no name, so nothing is left
    behind whatever happens; it lies where ``TMPDIR`` says.
    """

    def __init__(
        self, fill: Callable[[IO[bytes]], None], shape: tuple[int, ...], dtype: np.dtype[Any], order: Order = "C",
    ) -> None:
        self.shape = shape
        self.dtype = dtype
        self.chunks: tuple[int, ...] | None = None
        self._fill = fill
        self._order = order
        self._file: IO[bytes] | None = None
        self._lock = Lock()

    @contextmanager
    def open(self) -> Iterator[Sliceable]:
        """Map the unpacked file."""
        yield np.memmap(self._unpacked(), self.dtype, "r", 0, self.shape, self._order)

    def _unpacked(self) -> Any:
        with self._lock:
            if self._file is None:
                file = tempfile.TemporaryFile()  # noqa: SIM115  (lives as long as this object)
                weakref.finalize(self, file.close)
                self._check_room(int(np.prod(self.shape, dtype=object)) * self.dtype.itemsize)
                self._fill(file)
                file.flush()
                self._file = file
            return self._file

    def _check_room(self, nbytes: int) -> None:
        folder = tempfile.gettempdir()
        free = shutil.disk_usage(folder).free
        if nbytes > free:
            raise InvalidInput(
                f"the array unpacks to {nbytes} bytes; {folder} has {free} free", Kind.CONFIG_INVALID,
                "set TMPDIR to a folder with more room, or store the cube uncompressed",
            )


@dataclass(frozen=True)
class Reversed:
    """An array whose axes run the other way: what MATLAB calls (y, x, spectral), its HDF5 files store from the end."""

    inner: Stored

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes in MATLAB's order."""
        return self.inner.shape[::-1]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type as stored."""
        return self.inner.dtype

    @property
    def chunks(self) -> tuple[int, ...] | None:
        """Chunks in MATLAB's order."""
        return None if self.inner.chunks is None else self.inner.chunks[::-1]

    @contextmanager
    def open(self) -> Iterator[Sliceable]:
        """Open the stored array behind a view that turns keys and blocks round."""
        with self.inner.open() as array:
            yield _ReversedView(array)


@dataclass(frozen=True)
class _ReversedView:
    array: Sliceable

    def __getitem__(self, key: tuple[slice, ...], /) -> Array:
        return np.asarray(self.array[key[::-1]]).T


def first_bytes(path: Path, count: int = 4096) -> bytes:
    """Read the start of a file."""
    with path.open("rb") as file:
        return file.read(count)


def regular_file(source: Source, magic: Callable[[bytes], bool], expected: str) -> int:
    """Size of a file that begins as its format demands.

    Raises
    ------
    InvalidInput
        If it is no regular file (kind ``not-a-file``).
    Corrupt
        If it is empty, or begins otherwise (kind ``file-malformed``; the first bytes are shown).
    """
    path = source.path
    if not path.is_file():
        raise InvalidInput(f"'{source.url}' is not a file", Kind.NOT_A_FILE, f"give the path of a {expected} file")
    size = path.stat().st_size
    if size == 0:
        raise Corrupt(f"'{source.url}' is empty (0 bytes)", Kind.FILE_MALFORMED, "copy or download it again")
    head = first_bytes(path)
    if not magic(head):
        raise Corrupt(
            f"'{source.url}' is not a {expected} file: it begins with {head[:24]!r}", Kind.FILE_MALFORMED,
            "the ending of its name is wrong, or a download brought an error page instead of the file",
        )
    return size
