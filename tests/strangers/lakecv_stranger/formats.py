"""A format: a line ``strange NY NX CHANNELS``, then the counts as text."""

from pathlib import Path

import numpy as np

from lakecv.cube import ArraySpec, CubeSpec, Grid, Role, SpectralAxis
from lakecv.errors import Corrupt, Kind
from lakecv.ports import CubeReader, ReadHints, Source


class StrangeReader:
    def accepts(self, source: Source, head: bytes) -> bool:
        return head.startswith(b"strange ")

    def probe(self, source: Source, hints: ReadHints) -> CubeSpec:
        shape = _shape(source.path)
        counts = ArraySpec("counts", Role.DATA, ("y", "x", "spectral"), shape, "uint16", shape)
        return CubeSpec(Grid(*shape[:2]), SpectralAxis(shape[2]), (counts,))

    def read(self, source: Source, hints: ReadHints):
        import xarray as xr

        counts = np.loadtxt(source.path, dtype="uint16", skiprows=1).reshape(_shape(source.path))
        return xr.Dataset({"counts": (("y", "x", "spectral"), counts)})


def _shape(path: Path) -> tuple[int, int, int]:
    with path.open() as lines:
        words = lines.readline().split()
    if len(words) != 4 or not all(word.isdigit() for word in words[1:]):
        raise Corrupt(f"{path} has no sizes in its first line", Kind.FILE_MALFORMED, "write: strange NY NX CHANNELS")
    ny, nx, channels = map(int, words[1:])
    return ny, nx, channels


_: CubeReader = StrangeReader()
