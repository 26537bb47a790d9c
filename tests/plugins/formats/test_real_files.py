"""Real cubes from eight fields are read as independent libraries read them; needs the folder of shared data."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
from astropy.io import fits
from lakecv_plugins.formats.fits import FitsReader
from lakecv_plugins.formats.hdf5 import Hdf5Reader
from lakecv_plugins.formats.matlab import MatlabReader
from lakecv_plugins.formats.numpy import NumpyReader

from lakecv.cube import Quantity
from lakecv.ports import ReadHints, Source

DATA = Path(__file__).parents[4] / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the folder ../shared/data is not here")
MAPS = "xrf/aps_2IDE/2xfm_0011_2xfm3__0.h5"


def mat(name, key):
    return scipy.io.loadmat(DATA / "hsi" / name)[key]


def hdu(name, key):
    with fits.open(DATA / "astro" / name) as file:
        return file[key].data.transpose(1, 2, 0)


def maps(*names):
    with h5py.File(DATA / MAPS) as file:
        return [file[f"MAPS_RAW/data_{name}"][...].transpose(1, 2, 0) for name in names]


CASES = {
    "salinas-a": (MatlabReader(), "hsi/SalinasA_corrected.mat", ReadHints(),
                  lambda: {"data": mat("SalinasA_corrected.mat", "salinasA_corrected")}, Quantity.CHANNEL),
    "samson": (MatlabReader(), "hsi/samson_1.mat", ReadHints(dims="spectral,pixel", shape=(95, 95), order="F"),
               lambda: {"data": mat("samson_1.mat", "V").T.reshape(95, 95, 156).transpose(1, 0, 2)}, Quantity.CHANNEL),
    "aviris": (MatlabReader(), "hsi/aviris_vi_90x90x224.mat", ReadHints(),
               lambda: {"data": mat("aviris_vi_90x90x224.mat", "hsi_img")}, Quantity.CHANNEL),
    "muufl": (MatlabReader(), "hsi/muufl_sub_51x88x72.mat", ReadHints(mask="mask_sub"),
              lambda: {"data": mat("muufl_sub_51x88x72.mat", "hsi_img_sub"), "mask": mat("muufl_sub_51x88x72.mat", "mask_sub")},
              Quantity.WAVELENGTH),
    "muufl-unmixing": (MatlabReader(), "hsi/muufl_90x90x64_unmixing.mat", ReadHints(path="Y"),
                       lambda: {"data": mat("muufl_90x90x64_unmixing.mat", "Y")}, Quantity.CHANNEL),
    "indian-pines": (MatlabReader(), "hsi/IndianPines_part_85x70.mat", ReadHints(),
                     lambda: {"data": mat("IndianPines_part_85x70.mat", "X")}, Quantity.CHANNEL),
    "l1448": (FitsReader(), "astro/l1448_13co.fits", ReadHints(), lambda: {"data": hdu("l1448_13co.fits", 0)}, Quantity.VELOCITY),
    "muse": (FitsReader(), "astro/mpdaf_muse_CUBE.fits", ReadHints(),
             lambda: {"data": hdu("mpdaf_muse_CUBE.fits", "DATA"), "variance": hdu("mpdaf_muse_CUBE.fits", "STAT")},
             Quantity.WAVELENGTH),
    "muse-bkg": (FitsReader(), "astro/mpdaf_Central_Datacube_bkg.fits", ReadHints(),
                 lambda: {"data": hdu("mpdaf_Central_Datacube_bkg.fits", "DATA"),
                          "variance": hdu("mpdaf_Central_Datacube_bkg.fits", "STAT")}, Quantity.WAVELENGTH),
    "astrodendro": (FitsReader(), "astro/astrodendro_3d_51.fits", ReadHints(),
                    lambda: {"data": hdu("astrodendro_3d_51.fits", 0)}, Quantity.CHANNEL),
    "aps-sum": (Hdf5Reader(), MAPS, ReadHints(detector="sum"),
                lambda: {"data": np.sum(maps(*"abcd"), axis=0, dtype="i4")}, Quantity.CHANNEL),
    "aps-all": (Hdf5Reader(), MAPS, ReadHints(detector="all"),
                lambda: dict(zip(("data_a", "data_b", "data_c", "data_d"), maps(*"abcd"), strict=True)), Quantity.CHANNEL),
    "icon": (NumpyReader(), "xrf/panagia_icon/panagia.npy", ReadHints(shape=(21, 33)),
             lambda: {"data": np.load(DATA / "xrf/panagia_icon/panagia.npy").reshape(21, 33, 840)}, Quantity.CHANNEL),
    "raman": (NumpyReader(), "raman/chondro_875x300.npz", ReadHints(path="spc", shape=(25, 35), axis="wavenumber:cm-1:@wavenumber"),
              lambda: {"data": np.load(DATA / "raman/chondro_875x300.npz")["spc"].reshape(25, 35, 300)}, Quantity.WAVENUMBER),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_real_cube_equals_what_its_own_library_reads(name):
    reader, path, hints, truth, quantity = CASES[name]
    source = Source(path, DATA / path)
    spec, cube = reader.probe(source, hints), reader.read(source, hints)
    assert spec.axis.quantity is quantity
    expected = truth()
    assert [item.name for item in spec.arrays] == list(expected)
    for array, values in expected.items():
        assert cube[array].dtype == values.dtype.newbyteorder("=")
        np.testing.assert_array_equal(cube[array][3:9, 2:7].values, values[3:9, 2:7])
        np.testing.assert_array_equal(cube[array].values, values)


def test_the_raman_map_runs_row_by_row():
    with np.load(DATA / "raman/chondro_875x300.npz") as file:
        assert np.ptp(file["y"].reshape(25, 35), axis=1).max() == 0
        assert np.ptp(file["x"].reshape(25, 35), axis=0).max() == 0


def test_the_velocity_axis_of_l1448_is_in_its_frame():
    axis = FitsReader().probe(Source("l1448", DATA / "astro/l1448_13co.fits"), ReadHints()).axis
    assert (axis.unit, axis.frame) == ("m/s", "LSRK; optical velocity")
    np.testing.assert_allclose(axis.coordinates[0], -9959.44378305 + (1 + 187) * 66.42361)
