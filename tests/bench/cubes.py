"""Cubes of low Poisson counts, written block by block so that their size is bounded by the disk alone.

Spectra are drawn from a bank of a few thousand that were drawn once: 8 GB of fresh Poisson numbers take minutes and say no
more.  Every chunk holds counts, and none is like its neighbour.
"""

from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from lakecv.api import Lake

_BANK, _MIXTURES = 8192, 8
_ROWS_NBYTES = 64 << 20


def write_counts(path, shape, *, mean=0.6, seed=1):
    """Write an .npy of uint16 counts of shape (ny, nx, spectral) with so many counts per channel on average."""
    ny, nx, depth = shape
    rng = np.random.default_rng(seed)
    bank = _bank(depth, mean, rng)
    rows = max(1, _ROWS_NBYTES // (nx * depth * 2))
    header = {"descr": "<u2", "fortran_order": False, "shape": shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for y0 in range(0, ny, rows):
            count = (min(y0 + rows, ny) - y0) * nx
            file.write(np.ascontiguousarray(bank[rng.integers(len(bank), size=count)]))
    return path


def _bank(depth, mean, rng):
    """Spectra (n, spectral) uint16: a few mixtures of peaks on a falling background."""
    channel = np.arange(depth)
    lines = rng.uniform(0.05, 0.95, (_MIXTURES, 5)) * depth
    peaks = np.exp(-0.5 * ((channel - lines[..., None]) / (0.01 * depth + 1)) ** 2).sum(axis=1)
    shapes = 12 * peaks + 2 * np.exp(-3 * channel / depth)
    shapes *= mean / shapes.mean(axis=1, keepdims=True)
    return rng.poisson(shapes[rng.integers(_MIXTURES, size=_BANK)]).astype(np.uint16)


@contextmanager
def lake_of_counts(shape, **overrides):
    """A lake in a temporary folder with one cube, ``bench:cube``; gone at exit."""
    with TemporaryDirectory(prefix="lakecv-bench-") as folder:
        lake = Lake(Path(folder) / "lake", scope="bench", **overrides)
        source = write_counts(Path(folder) / "cube.npy", shape)
        lake.register(source, "bench:cube")
        source.unlink()
        yield lake


def size_of(shape, dtype="uint16"):
    """Describe a cube: ``1024 x 1024 x 512 uint16, 1.07 GB``."""
    nbytes = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    return f"{' x '.join(map(str, shape))} {dtype}, {nbytes / 1e9:.3g} GB"
