"""Reads of a selected cube: its windows are those of the stored one, moved."""

from __future__ import annotations

from lakecv.cube import Window
from lakecv.lake_io.read import ArrayReader
from lakecv.selection import Selection
from lakecv.sheet import Array

__all__ = ["PartReader"]


class PartReader:
    """Reader of a part of an array; ``reader`` reads the stored one, of the selected channels."""

    def __init__(self, reader: ArrayReader, selection: Selection) -> None:
        self._reader, self._selection = reader, selection

    @property
    def nbytes(self) -> int:
        """Bytes fetched so far."""
        return self._reader.nbytes

    def ahead(self, window: Window) -> None:
        """Begin to fetch a window."""
        self._reader.ahead(self._selection.stored(window))

    def read(self, window: Window) -> Array:
        """Read the samples of a window."""
        return self._reader.read(self._selection.stored(window))
