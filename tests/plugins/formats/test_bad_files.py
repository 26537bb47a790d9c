"""Files that are cut off, forged or not what their name says end in one named error, never in another exception."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from contextlib import suppress

import h5py
import numpy as np
import pytest
import rasterio
import scipy.io
from astropy.io import fits
from lakecv_plugins.formats.fits import FitsReader
from lakecv_plugins.formats.geotiff import GeoTiffReader
from lakecv_plugins.formats.hdf5 import Hdf5Reader
from lakecv_plugins.formats.matlab import MatlabReader
from lakecv_plugins.formats.mda import MdaReader
from lakecv_plugins.formats.numpy import NumpyReader

from lakecv.errors import Corrupt, InvalidInput, Kind, LakeCVError
from lakecv.ports import ReadHints, Source
from tests.plugins.formats.mda_writer import mda

CUBE = np.random.default_rng(0).integers(0, 9, (12, 12, 10)).astype("int16")
READERS = {
    ".npy": NumpyReader(), ".npz": NumpyReader(), ".mat": MatlabReader(), ".h5": Hdf5Reader(), ".fits": FitsReader(),
    ".tif": GeoTiffReader(), ".mda": MdaReader(),
}  # fmt: skip
PLACE = {"crs": "EPSG:32632", "transform": rasterio.Affine(10.0, 0.0, 500000.0, 0.0, -10.0, 4600000.0)}


def written(folder, ending):
    path = folder / f"good{ending}"
    if ending == ".npy":
        np.save(path, CUBE)
    elif ending == ".npz":
        np.savez_compressed(path, cube=CUBE)
    elif ending == ".mat":
        scipy.io.savemat(path, {"cube": CUBE}, do_compression=True)
    elif ending == ".h5":
        with h5py.File(path, "w") as file:
            file.create_dataset("cube", data=CUBE, chunks=(4, 4, 10), compression="gzip")
    elif ending == ".tif":
        with rasterio.open(path, "w", "GTiff", 12, 12, 10, dtype="int16", compress="deflate", **PLACE) as file:
            file.write(CUBE.transpose(2, 0, 1))
    elif ending == ".mda":
        path.write_bytes(mda({"mca1": CUBE}))
    else:
        fits.PrimaryHDU(CUBE).writeto(path)
    return path


def consume(path, hints=None):
    """Probe and read all of it, as register does."""
    source, reader = Source(str(path), path), READERS[path.suffix]
    reader.probe(source, hints or ReadHints())
    return {name: item.values for name, item in reader.read(source, hints or ReadHints()).data_vars.items()}


def refused(path, kind, hints=None, error=LakeCVError):
    with pytest.raises(error) as caught:
        consume(path, hints)
    assert caught.value.kind is kind
    return caught.value


@pytest.mark.parametrize("ending", READERS)
def test_an_empty_file_is_corrupt(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    path.touch()
    assert "0 bytes" in str(refused(path, Kind.FILE_MALFORMED, error=Corrupt))


@pytest.mark.parametrize("ending", READERS)
def test_an_error_page_is_corrupt_and_its_first_bytes_are_shown(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    path.write_text("<html><body>404 Not Found</body></html>")
    assert "<html>" in str(refused(path, Kind.FILE_MALFORMED, error=Corrupt))


@pytest.mark.parametrize("percent", [10, 50, 90, 99])
@pytest.mark.parametrize("ending", READERS)
def test_a_file_that_is_cut_off_is_corrupt(tmp_path, ending, percent):
    data = written(tmp_path, ending).read_bytes()
    path = tmp_path / f"cut{ending}"
    path.write_bytes(data[: len(data) * percent // 100])
    with pytest.raises(Corrupt) as caught:
        consume(path)
    assert caught.value.kind in {Kind.SHORT_READ, Kind.FILE_MALFORMED}


@pytest.mark.parametrize("ending", READERS)
def test_changed_bytes_end_in_a_named_error_or_in_an_array(tmp_path, ending):
    good, random = written(tmp_path, ending).read_bytes(), np.random.default_rng(1)
    path = tmp_path / f"bad{ending}"
    for _round in range(60):
        data = bytearray(good)
        for place in random.integers(0, min(len(data), 6000), 3):
            data[place] = random.integers(256)
        path.write_bytes(data)
        with suppress(LakeCVError):
            assert all(values.ndim > 1 for values in consume(path).values())


@pytest.mark.parametrize("dtype", ["complex64", "complex128", "bool", "S3", "longdouble"])
@pytest.mark.parametrize("ending", [".npy", ".npz", ".h5"])
def test_types_that_no_model_computes_with_are_refused(tmp_path, ending, dtype):
    path, values = tmp_path / f"a{ending}", np.ones((3, 3, 3)).astype(dtype)
    if ending == ".npy":
        np.save(path, values)
    elif ending == ".npz":
        np.savez(path, a=values)
    else:
        with h5py.File(path, "w") as file:
            file["a"] = values
    refused(path, Kind.DTYPE_UNSUPPORTED, error=InvalidInput)


def test_a_complex_matlab_cube_is_refused_from_its_header(tmp_path):
    scipy.io.savemat(tmp_path / "a.mat", {"z": CUBE * 1j})
    refused(tmp_path / "a.mat", Kind.DTYPE_UNSUPPORTED, error=InvalidInput)


@pytest.mark.parametrize("ending", [".npy", ".npz"])
def test_an_object_array_is_never_unpickled(tmp_path, ending):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("it was unpickled",))

    values, path = np.full((2, 2, 2), Trap(), object), tmp_path / f"a{ending}"
    np.save(path, values, allow_pickle=True) if ending == ".npy" else np.savez(path, a=values, allow_pickle=True)
    refused(path, Kind.DTYPE_UNSUPPORTED, error=InvalidInput)


@pytest.mark.parametrize("shape", [(5,), (2, 2, 2, 2, 2), (2, 3, 4, 5)])
@pytest.mark.parametrize("ending", [".npy", ".fits"])
def test_one_four_and_five_dims_ask_for_dims(tmp_path, ending, shape):
    path = tmp_path / f"a{ending}"
    np.save(path, np.ones(shape)) if ending == ".npy" else fits.PrimaryHDU(np.ones(shape)).writeto(path)
    error = refused(path, Kind.DIMS_AMBIGUOUS, error=InvalidInput)
    assert "--dims" in error.hint


def test_two_dims_ask_for_a_shape(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((6, 4)))
    assert "--shape" in refused(tmp_path / "a.npy", Kind.DIMS_AMBIGUOUS).hint


def test_an_axis_of_length_zero_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((6, 0, 4)))
    refused(tmp_path / "a.npy", Kind.SHAPE_INVALID, error=InvalidInput)


def test_two_cubes_ask_for_a_path_and_list_both(tmp_path):
    np.savez(tmp_path / "a.npz", one=CUBE, two=CUBE[1:])
    error = refused(tmp_path / "a.npz", Kind.CUBE_AMBIGUOUS, error=InvalidInput)
    assert "one" in str(error)
    assert "two" in str(error)
    assert "--path one" in error.hint


def forged_npz(path, shape, nbytes):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", header.getvalue() + bytes(nbytes))
    return path


def test_a_zip_member_that_disagrees_with_its_header_is_refused(tmp_path):
    refused(forged_npz(tmp_path / "a.npz", (100, 100, 100), 800), Kind.FILE_MALFORMED, error=Corrupt)
    refused(forged_npz(tmp_path / "b.npz", (1, 1, 1), 8_000_000), Kind.FILE_MALFORMED, error=Corrupt)


def test_an_npz_without_arrays_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("inner.zip", b"PK")
    refused(tmp_path / "a.npz", Kind.DIMS_AMBIGUOUS)


def test_a_matlab_variable_whose_data_were_changed_is_corrupt(tmp_path):
    header = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
    flags, dims, name = struct.pack("<IIII", 6, 8, 6, 0), struct.pack("<IIiii4x", 5, 12, 2, 2, 2), struct.pack("<HH4s", 1, 1, b"c")
    body = flags + dims + name + struct.pack("<II", 9, 64) + bytes(64)
    packed = zlib.compress(struct.pack("<II", 14, len(body)) + body)
    path = tmp_path / "a.mat"
    path.write_bytes(header + struct.pack("<II", 15, len(packed)) + packed)
    assert consume(path)["data"].shape == (2, 2, 2)
    path.write_bytes(header + struct.pack("<II", 15, len(packed)) + packed[:-1] + bytes([packed[-1] ^ 1]))
    refused(path, Kind.SHORT_READ, error=Corrupt)


def altered_fits(folder, old, new):
    path = written(folder, ".fits")
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    return path


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        (b"BITPIX  =                   16", b"BITPIX  =                  -64", Kind.SHORT_READ),
        (b"BITPIX  =                   16", b"BITPIX  =                   17", Kind.FILE_MALFORMED),
        (b"BITPIX  =                   16", b"BITPIX  = 'sixteen'           ", Kind.FILE_MALFORMED),
        (b"NAXIS   =                    3", b"NAXIS   =                    0", Kind.FILE_MALFORMED),
        (b"NAXIS1  =                   10", b"NAXIS1  =                  -10", Kind.FILE_MALFORMED),
        (b"END     ", b"DNE     ", Kind.FILE_MALFORMED),
    ],
)
def test_a_fits_header_that_does_not_fit_its_data_is_corrupt(tmp_path, old, new, kind):
    refused(altered_fits(tmp_path, old, new), kind, error=Corrupt)


def test_fits_data_longer_than_the_header_says_are_corrupt(tmp_path):
    fits.PrimaryHDU(np.ones((20, 20, 20), ">f8")).writeto(tmp_path / "a.fits")
    data = (tmp_path / "a.fits").read_bytes()
    (tmp_path / "b.fits").write_bytes(data.replace(b"BITPIX  =                  -64", b"BITPIX  =                    8", 1))
    refused(tmp_path / "b.fits", Kind.FILE_MALFORMED, error=Corrupt)


def linked(path, **links):
    with h5py.File(path, "w") as file:
        for name, link in links.items():
            file[name] = link
    return path


def test_an_external_link_is_never_followed(tmp_path):
    written(tmp_path, ".h5")
    path = linked(tmp_path / "a.h5", cube=h5py.ExternalLink("good.h5", "/cube"))
    assert "good.h5" in str(refused(path, Kind.LINK_ESCAPES, error=InvalidInput))


def test_external_storage_and_virtual_sources_are_never_followed(tmp_path):
    (tmp_path / "secret.raw").write_bytes(bytes(64))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("cube", (4, 4, 4), "u1", external=[(str(tmp_path / "secret.raw"), 0, 64)])
    refused(tmp_path / "a.h5", Kind.LINK_ESCAPES, error=InvalidInput)
    layout = h5py.VirtualLayout((12, 12, 10), "i2")
    layout[...] = h5py.VirtualSource(written(tmp_path, ".h5"), "cube", (12, 12, 10))
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_virtual_dataset("cube", layout)
    refused(tmp_path / "b.h5", Kind.LINK_ESCAPES, error=InvalidInput)


def test_a_soft_link_in_a_circle_is_corrupt_and_a_dangling_one_is_not(tmp_path):
    refused(linked(tmp_path / "a.h5", a=h5py.SoftLink("/b"), b=h5py.SoftLink("/a")), Kind.FILE_MALFORMED, error=Corrupt)
    path = linked(tmp_path / "b.h5", a=h5py.SoftLink("/nowhere"), cube=CUBE)
    np.testing.assert_array_equal(consume(path)["data"], CUBE)


def test_groups_that_contain_themselves_are_walked_once(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["g/cube"] = CUBE
        file["g/g"] = file["g"]
    np.testing.assert_array_equal(consume(tmp_path / "a.h5")["data"], CUBE)


def test_a_missing_filter_names_the_package_that_has_it(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((2, 2, 2))
        plist.set_filter(32099, h5py.h5z.FLAG_OPTIONAL, ())
        h5py.h5d.create(file.id, b"cube", h5py.h5t.NATIVE_INT16, h5py.h5s.create_simple((4, 4, 4)), plist)
    error = refused(tmp_path / "a.h5", Kind.CODEC_FAILED, error=Corrupt)
    assert "32099" in str(error)
    assert "hdf5plugin" in error.hint


def test_a_name_that_is_no_array_suggests_the_nearest(tmp_path):
    error = refused(written(tmp_path, ".h5"), Kind.ARRAY_UNKNOWN, ReadHints(path="cubes"))
    assert "'cube'" in error.hint


def test_a_folder_is_no_file(tmp_path):
    (tmp_path / "a.h5").mkdir()
    refused(tmp_path / "a.h5", Kind.NOT_A_FILE, error=InvalidInput)
