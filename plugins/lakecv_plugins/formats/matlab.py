"""MATLAB files: version 5 (through :mod:`mat5`) and version 7.3, which is HDF5 with its axes the other way round.

MATLAB runs down the columns: of what it calls (y, x, spectral) an HDF5 reader sees (spectral, x, y).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING

from lakecv.cube import CubeSpec
from lakecv.ports import ReadHints, Source
from lakecv_plugins.formats.container import Container, Member
from lakecv_plugins.formats.hdf5_file import SIGNATURE, datasets
from lakecv_plugins.formats.lazy import CubeFile
from lakecv_plugins.formats.mat5 import Variable, unpack, variables
from lakecv_plugins.formats.stored import Reversed, Spilled, first_bytes, regular_file

if TYPE_CHECKING:
    import xarray as xr

    from lakecv.ports import CubeReader

__all__ = ["MatlabReader"]

_V5, _V73 = b"MATLAB 5.0 MAT-file", b"MATLAB 7.3 MAT-file"


class MatlabReader:
    """Reads .mat files of versions 5 (also 6 and 7) and 7.3."""

    def accepts(self, source: Source, head: bytes) -> bool:
        """Tell by the ending or the first words."""
        return source.path.suffix.lower() == ".mat" or head.startswith((_V5, _V73))

    def probe(self, source: Source, hints: ReadHints) -> CubeSpec:
        """Read the headers."""
        return _open(source, hints).spec

    def read(self, source: Source, hints: ReadHints) -> xr.Dataset:
        """Open lazily."""
        return _open(source, hints).dataset()


def _open(source: Source, hints: ReadHints) -> CubeFile:
    regular_file(source, _is_matlab, "MATLAB 5 or 7.3")
    if first_bytes(source.path).startswith(_V5):
        members = tuple(_member(source.path, variable) for variable in variables(source.path))
        return Container(source.path.name, members, hints).cube()
    found, notes = datasets(source)
    members = tuple(
        Member(data.path, Reversed(data.stored))
        for data in found
        if not data.path.startswith("#") and "MATLAB_empty" not in data.attributes
    )
    return Container(source.path.name, members, hints, notes).cube()


def _is_matlab(head: bytes) -> bool:
    """Version 5 begins with 4 letters that are not NUL (version 4 does not); 7.3 and h5py-made files hold HDF5."""
    return head.startswith(_V5) or any(head[start:].startswith(SIGNATURE) for start in (0, 512))


def _member(path: Path, variable: Variable) -> Member:
    return Member(variable.name, Spilled(_filler(path, variable), variable.shape, variable.dtype, "F"))


def _filler(path: Path, variable: Variable) -> Callable[[IO[bytes]], None]:
    def fill(target: IO[bytes]) -> None:
        unpack(path, variable, target)

    return fill


if TYPE_CHECKING:
    _: CubeReader = MatlabReader()
