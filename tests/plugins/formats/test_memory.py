"""Walking a cube takes the memory of about two windows, whatever the format and however large the cube."""

from __future__ import annotations

import tracemalloc

import h5py
import numpy as np
import pytest
import rasterio
import scipy.io
import zarr
from astropy.io import fits
from lakecv_plugins.formats.fits import FitsReader
from lakecv_plugins.formats.geotiff import GeoTiffReader
from lakecv_plugins.formats.hdf5 import Hdf5Reader
from lakecv_plugins.formats.matlab import MatlabReader
from lakecv_plugins.formats.numpy import NumpyReader
from lakecv_plugins.formats.zarr import ZarrReader

from lakecv.ports import ReadHints, Source
from lakecv.testing.readers import windows

NY, NX, NS = 128, 128, 256
CUBE = np.arange(NY * NX * NS, dtype="uint16").reshape(NY, NX, NS)  # 8 MiB
WINDOW = CUBE.nbytes // 16


def npy(path):
    np.save(path / "a.npy", CUBE)
    return NumpyReader(), path / "a.npy"


def npz(path):
    np.savez(path / "a.npz", CUBE)
    return NumpyReader(), path / "a.npz"


def mat(path):
    scipy.io.savemat(path / "a.mat", {"cube": CUBE}, do_compression=True)
    return MatlabReader(), path / "a.mat"


def hdf5(path):
    with h5py.File(path / "a.h5", "w") as file:
        file.create_dataset("cube", data=CUBE, chunks=(32, 32, NS), compression="lzf")
    return Hdf5Reader(), path / "a.h5"


def fits_cube(path):
    fits.PrimaryHDU(CUBE.transpose(2, 0, 1).astype("i2")).writeto(path / "a.fits")
    return FitsReader(), path / "a.fits"


def zarr_cube(path):
    zarr.create_array(str(path / "a.zarr"), data=CUBE, chunks=(32, 32, NS))
    return ZarrReader(), path / "a.zarr"


def tiff(path):
    place = {"crs": "EPSG:32632", "transform": rasterio.Affine(10.0, 0.0, 500000.0, 0.0, -10.0, 4600000.0)}
    with rasterio.open(path / "a.tif", "w", "GTiff", NX, NY, NS, dtype="uint16", tiled=True, blockxsize=32, blockysize=32, **place) as file:
        file.write(CUBE.transpose(2, 0, 1))
    return GeoTiffReader(), path / "a.tif"


@pytest.mark.parametrize("make", [npy, npz, mat, hdf5, fits_cube, zarr_cube, tiff])
def test_a_walk_over_all_windows_takes_about_two_of_them(tmp_path, make):
    reader, path = make(tmp_path)
    source = Source(str(path), path)
    tracemalloc.start()
    try:
        reader.probe(source, ReadHints())
        assert tracemalloc.get_traced_memory()[1] < 2 * WINDOW
        cube = reader.read(source, ReadHints())["data"]
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        total = sum(int(cube[window.slices()].values.sum(dtype="i8")) for window in windows(NY, NX, 4))
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert total == int(CUBE.astype("i2" if make is fits_cube else "u2").sum(dtype="i8"))
    assert peak < 4.5 * WINDOW
