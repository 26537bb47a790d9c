"""ENVI cubes written by GDAL are read as they were meant, in every order of samples and bytes."""

from __future__ import annotations

import warnings
from contextlib import suppress

import numpy as np
import pytest
import rasterio
from lakecv_plugins.formats.envi import EnviReader

from lakecv.cube import Quantity
from lakecv.errors import Corrupt, InvalidInput, Kind, LakeCVError
from lakecv.ports import ReadHints, Source
from lakecv.testing.readers import ReaderContract

CUBE = (np.arange(7 * 5 * 4).reshape(7, 5, 4) + 1).astype("float32")
PLACE = {"crs": "EPSG:32632", "transform": rasterio.Affine(10.0, 0.0, 500000.0, 0.0, -20.0, 4649776.0)}


def written(folder, cube=CUBE, lines="", name="a.img", **options):
    """A pair of files of GDAL's own making; ``lines`` are added to the header."""
    path = folder / name
    options = {"height": cube.shape[0], "width": cube.shape[1], "count": cube.shape[2], "dtype": cube.dtype} | options
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(path, "w", driver="ENVI", **options) as file:
            file.write(cube.transpose(2, 0, 1))
    header = path.with_suffix(".hdr")
    header.write_text(header.read_text() + lines)
    (folder / f"{name}.aux.xml").unlink(missing_ok=True)
    return Source(str(header), header)


def opened(source, **hints):
    reader, said = EnviReader(), ReadHints(**hints)
    return reader.probe(source, said), reader.read(source, said)


def refused(source, kind, error=Corrupt):
    with pytest.raises(error) as caught:
        opened(source)
    assert caught.value.kind is kind
    return str(caught.value)


class TestEnvi(ReaderContract):
    @pytest.fixture
    def reader(self):
        return EnviReader()

    @pytest.fixture
    def truth(self):
        return {"data": CUBE}

    @pytest.fixture(params=["bsq", "bil", "bip"])
    def source(self, tmp_path, request):
        return written(tmp_path, interleave=request.param, **PLACE)


class TestEnviBigEndianAfterAnOffset(TestEnvi):
    @pytest.fixture(params=[("i2", 2), ("u2", 12), ("u4", 13), ("f8", 5)])
    def kind(self, request):
        return request.param

    @pytest.fixture
    def truth(self, kind):
        return {"data": CUBE.astype(kind[0])}

    @pytest.fixture
    def source(self, tmp_path, truth, kind):
        raw = tmp_path / "scan.bil"
        raw.write_bytes(b"head" + truth["data"].transpose(0, 2, 1).astype(f">{kind[0]}").tobytes())
        (tmp_path / "scan.bil.hdr").write_text(
            f"ENVI\ndescription = {{\n  made by hand = no}}\nSamples = 5\nlines=7\nbands   = 4\nheader offset = 4\n"
            f"data type = {kind[1]}\ninterleave = BIL\nbyte order = 1\n; a comment = 5\n",
        )
        return Source(str(raw), raw)


def test_wavelengths_names_nodata_and_place_are_kept(tmp_path):
    lines = (
        "wavelength units = Nanometers\nwavelength = {\n 450.0, 550.5,\n 650.0, 850.0}\nband names = {b, g,\n r, n}\n"
        "data ignore value = -9999\nfwhm = {10, 10, 10, 10}\nbbl = {1, 1, 0, 1}\nreflectance scale factor = 10000\n"
    )
    source = written(tmp_path, **PLACE)
    text = source.path.read_text()
    source.path.write_text(text[: text.index("band names")] + lines)
    spec, cube = opened(source)
    assert (spec.axis.quantity, spec.axis.unit, spec.axis.values) == (Quantity.WAVELENGTH, "nm", (450.0, 550.5, 650.0, 850.0))
    assert (spec.axis.names, spec.main.nodata) == (("b", "g", "r", "n"), -9999.0)
    assert cube.attrs["notes"] == [
        "'reflectance scale factor' of the header is not applied", "the header marks 1 bands as bad; they are kept",
    ]


def test_the_place_is_the_one_that_gdal_reads(tmp_path):
    source = written(tmp_path, **PLACE)
    grid = opened(source)[0].grid
    assert "map info" in source.path.read_text()
    assert grid.affine == tuple(PLACE["transform"][:6])
    assert (grid.pixel_size, grid.pixel_unit) == ((20.0, 10.0), "m")
    with rasterio.open(tmp_path / "a.img") as file:
        assert rasterio.CRS.from_wkt(grid.crs) == file.crs


@pytest.mark.parametrize(
    ("unit", "quantity", "spelled"),
    [("Micrometers", Quantity.WAVELENGTH, "um"), ("Wavenumber", Quantity.WAVENUMBER, "cm-1"), ("GHz", Quantity.FREQUENCY, "GHz"),
     ("Index", Quantity.BAND, None)],
)  # fmt: skip
def test_units_of_envi_are_understood(tmp_path, unit, quantity, spelled):
    lines = f"wavelength units = {unit}\nwavelength = {{1, 2, 3, 4}}\n"
    axis = opened(written(tmp_path, lines=lines))[0].axis
    assert (axis.quantity, axis.unit) == (quantity, spelled)


def test_wavelengths_that_go_up_and_down_leave_bands(tmp_path):
    spec, cube = opened(written(tmp_path, lines="wavelength units = nm\nwavelength = {1, 3, 2, 4}\n", **PLACE))
    assert spec.axis.quantity is Quantity.BAND
    assert "goes up and down" in cube.attrs["notes"][0]


def test_a_spectral_library_is_a_column_of_spectra(tmp_path):
    source = written(tmp_path, CUBE[:, :, :1], lines="wavelength units = nm\nwavelength = {1, 2, 3, 4, 5}\n")
    source.path.write_text(source.path.read_text().replace("ENVI Standard", "ENVI Spectral Library"))
    spec, cube = opened(source)
    assert (spec.main.shape, spec.axis.size) == ((7, 1, 5), 5)
    np.testing.assert_array_equal(cube["data"].values[:, 0], CUBE[:, :, 0])


@pytest.mark.parametrize("dtype", ["u2", "i4", "f4", "f8"])
@pytest.mark.parametrize("mistaken", [True, False])
def test_a_byte_order_that_makes_no_sense_is_said(tmp_path, dtype, mistaken):
    cube = np.random.default_rng(0).normal(1000.0, 30.0, (20, 20, 8)).astype(dtype)
    source = written(tmp_path, cube)
    if mistaken:
        source.path.write_text(source.path.read_text().replace("byte order = 0", "byte order = 1"))
    said = [note for note in opened(source)[1].attrs["notes"] if "byte order" in note]
    assert len(said) == mistaken


def test_a_raw_file_without_a_header_is_refused(tmp_path):
    written(tmp_path, name="a.bsq").path.unlink()
    said = refused(Source("a.bsq", tmp_path / "a.bsq"), Kind.FILE_MALFORMED)
    assert "'a.bsq' has no ENVI header beside it; 'a.hdr' is expected" in said


def test_a_header_without_a_raw_file_is_refused(tmp_path):
    source = written(tmp_path)
    (tmp_path / "a.img").unlink()
    assert "is not beside it" in refused(source, Kind.FILE_MALFORMED)


@pytest.mark.parametrize("percent", [0, 10, 50, 99])
def test_a_raw_file_that_is_cut_off_is_corrupt(tmp_path, percent):
    source, raw = written(tmp_path), tmp_path / "a.img"
    raw.write_bytes(raw.read_bytes()[: CUBE.nbytes * percent // 100])
    assert "promises 560 (0 + 4 x 7 x 5 x 4)" in refused(source, Kind.SHORT_READ)


def test_a_raw_file_that_is_too_long_is_corrupt(tmp_path):
    source, raw = written(tmp_path), tmp_path / "a.img"
    raw.write_bytes(raw.read_bytes() + b"\0")
    refused(source, Kind.FILE_MALFORMED)


@pytest.mark.parametrize("percent", [0, 10, 50])
def test_a_header_that_is_cut_off_is_corrupt(tmp_path, percent):
    source = written(tmp_path)
    data = source.path.read_bytes()
    source.path.write_bytes(data[: len(data) * percent // 100])
    refused(source, Kind.FILE_MALFORMED)


@pytest.mark.parametrize(
    ("old", "new", "kind", "error"),
    [
        ("data type = 4", "data type = 6", Kind.SHORT_READ, Corrupt),
        ("data type = 4", "data type = 7", Kind.FILE_MALFORMED, Corrupt),
        ("lines   = 7", "lines = -7", Kind.FILE_MALFORMED, Corrupt),
        ("lines   = 7", "lines = seven", Kind.FILE_MALFORMED, Corrupt),
        ("interleave = bsq", "interleave = bsp", Kind.FILE_MALFORMED, Corrupt),
        ("interleave = bsq", "interleave = bsq\nfile compression = 1", Kind.FORMAT_UNKNOWN, InvalidInput),
        ("interleave = bsq", "interleave = bsq\nmap info = {UTM, 1, 1}", Kind.FILE_MALFORMED, Corrupt),
        ("interleave = bsq", "interleave = bsq\nwavelength = {1, 2, nan, 4}", Kind.FILE_MALFORMED, Corrupt),
        ("ENVI\n", "BYTEORDER I\n", Kind.FILE_MALFORMED, Corrupt),
    ],
)
def test_a_header_that_is_wrong_is_refused(tmp_path, old, new, kind, error):
    source = written(tmp_path)
    assert old in source.path.read_text()
    source.path.write_text(source.path.read_text().replace(old, new, 1))
    refused(source, kind, error)


def test_changed_bytes_of_the_header_end_in_a_named_error_or_in_an_array(tmp_path):
    source, random = written(tmp_path, lines="wavelength = {1, 2, 3, 4}\n", **PLACE), np.random.default_rng(1)
    good = source.path.read_bytes()
    for _round in range(150):
        data = bytearray(good)
        for place in random.integers(0, len(data), 3):
            data[place] = random.integers(256)
        source.path.write_bytes(data)
        with suppress(LakeCVError):
            assert opened(source)[1]["data"].values.ndim > 1


def test_a_tiff_beside_a_header_is_no_envi(tmp_path):
    written(tmp_path)
    (tmp_path / "a.tif").write_bytes(b"II*\0")
    assert not EnviReader().accepts(Source("a.tif", tmp_path / "a.tif"), b"II*\0")
    assert EnviReader().accepts(Source("a.img", tmp_path / "a.img"), b"\0\0")


def test_an_ignore_value_that_is_nan_is_none(tmp_path):
    assert opened(written(tmp_path, lines="data ignore value = NaN\n"))[0].main.nodata is None
