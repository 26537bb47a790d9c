"""Every reader keeps the contract, on small files made by each format's own library."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import scipy.io
import zarr
from astropy.io import fits
from lakecv_plugins.formats.fits import FitsReader
from lakecv_plugins.formats.hdf5 import Hdf5Reader
from lakecv_plugins.formats.matlab import MatlabReader
from lakecv_plugins.formats.numpy import NumpyReader
from lakecv_plugins.formats.zarr import ZarrReader

from lakecv.ports import ReadHints, Source
from lakecv.testing.readers import ReaderContract

SHAPE = (7, 5, 4)


def cube(dtype="float32", shape=SHAPE):
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype) + 1


def placed(path):
    return Source(str(path), path)


class Small(ReaderContract):
    @pytest.fixture
    def truth(self):
        return {"data": cube()}


class TestNpy(Small):
    @pytest.fixture
    def reader(self):
        return NumpyReader()

    @pytest.fixture
    def source(self, tmp_path):
        np.save(tmp_path / "a.npy", cube())
        return placed(tmp_path / "a.npy")


class TestNpyColumnMajorBigEndianSpectralFirst(TestNpy):
    @pytest.fixture
    def hints(self):
        return ReadHints(dims="spectral,y,x")

    @pytest.fixture
    def source(self, tmp_path):
        np.save(tmp_path / "a.npy", np.asfortranarray(cube(">f4").transpose(2, 0, 1)))
        return placed(tmp_path / "a.npy")


class TestNpyFlat(TestNpy):
    @pytest.fixture(params=["C", "F"])
    def order(self, request):
        return request.param

    @pytest.fixture
    def hints(self, order):
        return ReadHints(shape=(7, 5), order=order)

    @pytest.fixture
    def source(self, tmp_path, order):
        flat = cube() if order == "C" else cube().swapaxes(0, 1)
        np.save(tmp_path / "a.npy", flat.reshape(35, 4))
        return placed(tmp_path / "a.npy")


class TestNpyPicture(TestNpy):
    @pytest.fixture
    def hints(self):
        return ReadHints(dims="y,x")

    @pytest.fixture
    def truth(self):
        return {"data": cube("uint16", (7, 5))}

    @pytest.fixture
    def source(self, tmp_path, truth):
        np.save(tmp_path / "a.npy", truth["data"])
        return placed(tmp_path / "a.npy")


class TestNpz(TestNpy):
    @pytest.fixture
    def hints(self):
        return ReadHints(mask="good", axis="energy:keV:@e")

    @pytest.fixture
    def truth(self):
        return {"data": cube(), "mask": (cube("u1", (7, 5)) % 2)}

    @pytest.fixture
    def source(self, tmp_path, truth):
        np.savez_compressed(tmp_path / "a.npz", cube=cube(), good=truth["mask"] * 3.0, e=[1.0, 2.0, 4.0, 8.0])
        return placed(tmp_path / "a.npz")


class TestMatlab5(Small):
    @pytest.fixture
    def reader(self):
        return MatlabReader()

    @pytest.fixture(params=[True, False], ids=["packed", "plain"])
    def source(self, tmp_path, request):
        content = {"words": ["a", "b"], "HSI": cube(), "wavelengths": [400.0, 500, 600, 700]}
        scipy.io.savemat(tmp_path / "a.mat", content, do_compression=request.param)
        return placed(tmp_path / "a.mat")


class TestMatlab5BandByPixel(TestMatlab5):
    @pytest.fixture
    def hints(self):
        return ReadHints(dims="spectral,pixel", shape=(7, 5), order="F")

    @pytest.fixture
    def source(self, tmp_path):
        scipy.io.savemat(tmp_path / "a.mat", {"V": cube().swapaxes(0, 1).reshape(35, 4).T, "nRow": 7})
        return placed(tmp_path / "a.mat")


class TestMatlab73(TestMatlab5):
    @pytest.fixture
    def source(self, tmp_path):
        path = tmp_path / "a.mat"
        with h5py.File(path, "w", userblock_size=512) as file:
            file.create_dataset("HSI", data=cube().T, chunks=(2, 5, 7), compression="gzip")
            file.create_dataset("#refs#/b", data=cube())
        with path.open("r+b") as file:
            file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(126) + b"IM")
        return placed(path)


class TestHdf5(Small):
    @pytest.fixture
    def reader(self):
        return Hdf5Reader()

    @pytest.fixture
    def source(self, tmp_path):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file.create_dataset("scan/cube", data=cube(">f4"), chunks=(3, 2, 4), compression="gzip", shuffle=True)
            file["again"] = h5py.SoftLink("/scan/cube")
        return placed(tmp_path / "a.h5")


class TestHdf5Flat(TestHdf5):
    @pytest.fixture
    def hints(self):
        return ReadHints(shape=(7, 5), order="F")

    @pytest.fixture
    def source(self, tmp_path):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file.create_dataset("cube", data=cube().swapaxes(0, 1).reshape(35, 4).T, chunks=(4, 10))
        return placed(tmp_path / "a.h5")


def write_maps(path, detectors="abcd"):
    with h5py.File(path, "w") as file:
        for number, name in enumerate(detectors):
            data = cube("int16").transpose(2, 0, 1) * (30000 // 140) + number
            file.create_dataset(f"MAPS_RAW/data_{name}", data=data, chunks=(4, 1, 5))
        file["MAPS_RAW/livetime"] = np.ones((4, 7, 5), "f4")
    return placed(path)


class TestMapsSum(TestHdf5):
    @pytest.fixture
    def hints(self):
        return ReadHints(detector="sum")

    @pytest.fixture
    def truth(self):
        return {"data": 4 * cube("int32") * (30000 // 140) + 6}

    @pytest.fixture
    def source(self, tmp_path):
        return write_maps(tmp_path / "a.h5")


class TestMapsAll(TestMapsSum):
    @pytest.fixture
    def hints(self):
        return ReadHints(detector="all")

    @pytest.fixture
    def truth(self):
        return {f"data_{name}": cube("int16") * np.int16(30000 // 140) + np.int16(n) for n, name in enumerate("abcd")}


class TestNexus(TestHdf5):
    @pytest.fixture
    def source(self, tmp_path):
        with h5py.File(tmp_path / "a.nxs", "w") as file:
            group = file.create_group("entry/map")
            group.attrs.update({"NX_class": "NXdata", "signal": "counts", "axes": ["energy", "y", "x"]})
            group["counts"] = cube().transpose(2, 0, 1)
            group["energy"] = np.arange(4) * 0.5
            group["energy"].attrs["units"] = "keV"
            file["entry/other"] = cube()
        return placed(tmp_path / "a.nxs")


def hdu(data, name=None, kind=fits.ImageHDU, **cards):
    made = kind(np.ascontiguousarray(data), name=name) if kind is not fits.PrimaryHDU else kind(data)
    made.header.update(cards)
    return made


class TestFits(Small):
    @pytest.fixture
    def reader(self):
        return FitsReader()

    @pytest.fixture
    def truth(self):
        return {"data": cube(), "variance": cube("float64") / 7}

    @pytest.fixture
    def source(self, tmp_path, truth):
        data, variance = (truth[name].transpose(2, 0, 1) for name in ("data", "variance"))
        fits.HDUList([fits.PrimaryHDU(), hdu(data, "DATA"), hdu(variance, "STAT")]).writeto(tmp_path / "a.fits")
        return placed(tmp_path / "a.fits")


class TestFitsUnsignedWithStokes(TestFits):
    @pytest.fixture
    def truth(self):
        return {"data": cube("uint16") + np.uint16(40000)}

    @pytest.fixture
    def source(self, tmp_path, truth):
        data = truth["data"].transpose(2, 0, 1)[None]
        hdu(data, kind=fits.PrimaryHDU, CTYPE3="FREQ", CTYPE4="STOKES").writeto(tmp_path / "a.fits")
        return placed(tmp_path / "a.fits")


class TestFitsPacked(TestFits):
    @pytest.fixture
    def truth(self):
        return {"data": cube("int32", (17, 15, 4))}

    @pytest.fixture
    def source(self, tmp_path, truth):
        packed = fits.CompImageHDU(np.ascontiguousarray(truth["data"].transpose(2, 0, 1)), name="SCI", compression_type="RICE_1")
        fits.HDUList([fits.PrimaryHDU(), packed]).writeto(tmp_path / "a.fits")
        return placed(tmp_path / "a.fits")


class TestZarr(Small):
    @pytest.fixture(params=[2, 3])
    def version(self, request):
        return request.param

    @pytest.fixture
    def reader(self):
        return ZarrReader()

    @pytest.fixture
    def truth(self):
        return {"data": cube(), "mask": cube("u1", (7, 5)) % 2}

    @pytest.fixture
    def source(self, tmp_path, version):
        write_zarr(tmp_path / "a.zarr", version)
        return placed(tmp_path / "a.zarr")


def write_zarr(path, version=3, **more):
    group = zarr.create_group(str(path), zarr_format=version)
    arrays = {
        "data": (cube(), ("y", "x", "spectral")),
        "mask": (cube("u1", (7, 5)) % 2, ("y", "x")),
        "spectral": (np.array([1.0, 2.0, 4.0, 8.0]), ("spectral",)),
    }
    for name, (values, dims) in arrays.items():
        named = {"dimension_names": dims} if version == 3 else {}
        array = group.create_array(name, data=values, chunks=tuple(min(3, size) for size in values.shape), **named, **more)
        if version == 2:
            array.attrs["_ARRAY_DIMENSIONS"] = list(dims)
    group["spectral"].attrs.update({"quantity": "energy", "unit": "keV"})


class TestZarrSharded(Small):
    @pytest.fixture
    def reader(self):
        return ZarrReader()

    @pytest.fixture
    def source(self, tmp_path):
        group = zarr.create_group(str(tmp_path / "a.zarr"))
        group.create_array("data", data=cube(), chunks=(2, 2, 4), shards=(4, 4, 4), dimension_names=("y", "x", "spectral"))
        return placed(tmp_path / "a.zarr")


class TestZarrSingleArray(Small):
    @pytest.fixture
    def reader(self):
        return ZarrReader()

    @pytest.fixture
    def hints(self):
        return ReadHints(dims="spectral,y,x")

    @pytest.fixture
    def source(self, tmp_path):
        zarr.create_array(str(tmp_path / "a.zarr"), data=cube().transpose(2, 0, 1), chunks=(4, 2, 2))
        return placed(tmp_path / "a.zarr")
