"""GeoTIFFs written by GDAL are read as they were meant: bands, wavelengths, place, no-data value, mask."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio
from lakecv_plugins.formats.geotiff import GeoTiffReader

from lakecv.cube import Quantity, Role
from lakecv.errors import Corrupt, InvalidInput, Kind, NotFound
from lakecv.ports import ReadHints, Source
from lakecv.testing.readers import ReaderContract

DATA = Path(__file__).parents[4] / "shared" / "data"
CUBE = (np.arange(7 * 5 * 4).reshape(7, 5, 4) + 1).astype("float32")


def corner(x, y, width, height):
    """An affine whose rows run south."""
    return rasterio.Affine(width, 0.0, x, 0.0, -height, y)


PLACE = {"crs": "EPSG:32632", "transform": corner(500000.0, 4649776.0, 10.0, 20.0)}


def written(path, cube=CUBE, fill=None, **options):
    """A file of GDAL's own making; ``fill`` adds to it what its bands mean."""
    options = {"driver": "GTiff", "height": cube.shape[0], "width": cube.shape[1], "count": cube.shape[2], "dtype": cube.dtype} | options
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(path, "w", **options) as file:
            file.write(cube.transpose(2, 0, 1))
            if fill is not None:
                fill(file)
    return Source(str(path), path)


def opened(source, **hints):
    reader, said = GeoTiffReader(), ReadHints(**hints)
    return reader.probe(source, said), reader.read(source, said)


class TestGeoTiff(ReaderContract):
    @pytest.fixture
    def reader(self):
        return GeoTiffReader()

    @pytest.fixture
    def truth(self):
        return {"data": CUBE}

    @pytest.fixture(params=["plain", "packed", "pixel", "cog", "big"])
    def source(self, tmp_path, request):
        options = {
            "plain": {}, "packed": {"compress": "deflate", "predictor": 3}, "pixel": {"interleave": "pixel", "ENDIANNESS": "BIG"},
            "cog": {"driver": "COG", "compress": "zstd"},
            "big": {"BIGTIFF": "YES", "tiled": True, "blockxsize": 16, "blockysize": 16},
        }  # fmt: skip
        return written(tmp_path / "a.tif", **PLACE, **options[request.param])


class TestGeoTiffWithAlphaAndIntegers(TestGeoTiff):
    @pytest.fixture
    def truth(self):
        return {"data": CUBE[..., :3].astype("uint8"), "mask": (CUBE[..., 3] > 80).astype("uint8")}

    @pytest.fixture
    def source(self, tmp_path, truth):
        return written(tmp_path / "a.tif", np.dstack([truth["data"], 255 * truth["mask"]]), photometric="RGB", ALPHA="YES", **PLACE)


class TestGeoTiffWithInternalMask(TestGeoTiff):
    @pytest.fixture
    def truth(self):
        return {"data": CUBE, "mask": (CUBE[..., 0] % 3 > 0).astype("uint8")}

    @pytest.fixture
    def source(self, tmp_path, truth):
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
            return written(tmp_path / "a.tif", CUBE, lambda file: file.write_mask(truth["mask"] > 0), **PLACE)


def test_place_names_and_nodata_are_kept(tmp_path):
    def names(file):
        file.descriptions = ("B02", "B03", "B04", "B08")

    spec, cube = opened(written(tmp_path / "a.tif", fill=names, nodata=-9999.0, **PLACE))
    assert (spec.axis.quantity, spec.axis.names) == (Quantity.BAND, ("B02", "B03", "B04", "B08"))
    assert spec.grid.affine == (10.0, 0.0, 500000.0, 0.0, -20.0, 4649776.0)
    assert (spec.grid.pixel_size, spec.grid.pixel_unit) == ((20.0, 10.0), "m")
    assert spec.grid.crs.startswith('PROJCS["WGS 84 / UTM zone 32N"')
    assert (spec.main.nodata, spec.main.role, cube.attrs["notes"]) == (-9999.0, Role.DATA, [])


@pytest.mark.parametrize(
    ("tag", "namespace", "factor", "unit"),
    [("wavelength", None, 1000.0, "nm"), ("CENTRAL_WAVELENGTH_UM", "IMAGERY", 1.0, "um")],
)
def test_wavelengths_of_all_bands_are_the_axis(tmp_path, tag, namespace, factor, unit):
    values = [0.49 * factor, 0.56 * factor, 0.665 * factor, 0.842 * factor]

    def tags(file):
        for number, value in enumerate(values, 1):
            file.update_tags(number, ns=namespace, **{tag: str(value)})
            file.update_tags(number, wavelength_units="Nanometers")

    axis = opened(written(tmp_path / "a.tif", fill=tags, **PLACE))[0].axis
    assert (axis.quantity, axis.unit, axis.values) == (Quantity.WAVELENGTH, unit, tuple(values))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "the file names no CRS"),
        ({"crs": 'LOCAL_CS["somewhere",UNIT["metre",1]]', "transform": PLACE["transform"]}, "the CRS is a local one"),
        ({"crs": "EPSG:4326", "transform": corner(500000.0, 4649776.0, 10.0, 10.0)}, "the CRS counts in degrees, the pixels are 10 x 10"),
        ({"crs": "EPSG:32632", "transform": corner(12.0, 43.0, 1e-4, 1e-4)}, "the CRS counts in m, the pixels are 0.0001 wide"),
    ],
)
def test_a_place_that_cannot_be_right_is_said(tmp_path, options, said):
    [note] = opened(written(tmp_path / "a.tif", **options))[1].attrs["notes"]
    assert said in note


def test_bands_of_one_name_and_a_scale_are_said(tmp_path):
    def odd(file):
        file.descriptions, file.scales = ("red", "red", "nir", ""), (0.0001,) * 4

    notes = opened(written(tmp_path / "a.tif", fill=odd, **PLACE))[1].attrs["notes"]
    assert notes == ["2 bands are called 'red'; they are told apart by their place", "the scale and offset that the file gives are not applied"]


def test_of_several_pictures_one_is_chosen_by_its_number(tmp_path):
    written(tmp_path / "a.tif", **PLACE)
    source = written(tmp_path / "a.tif", CUBE * 2, APPEND_SUBDATASET="YES", **PLACE)
    with pytest.raises(InvalidInput, match="2 pictures") as caught:
        opened(source)
    assert caught.value.kind is Kind.CUBE_AMBIGUOUS
    np.testing.assert_array_equal(opened(source, path="2")[1]["data"].values, CUBE * 2)
    with pytest.raises(NotFound):
        opened(source, path="3")


def test_files_beside_are_named_and_not_read(tmp_path):
    source = written(tmp_path / "a.tif", **PLACE)
    (tmp_path / "a.tif.msk").write_text("<VRTDataset/>")
    spec, cube = opened(source)
    assert cube.attrs["notes"] == ["'a.tif.msk' beside the file is not read"]
    assert [item.name for item in spec.arrays] == ["data"]


def test_a_complex_picture_is_refused(tmp_path):
    with pytest.raises(InvalidInput) as caught:
        opened(written(tmp_path / "a.tif", CUBE.astype("complex64"), **PLACE))
    assert caught.value.kind is Kind.DTYPE_UNSUPPORTED


def test_a_header_that_promises_more_than_the_file_can_hold_is_refused(tmp_path):
    with pytest.raises(Corrupt, match="its header promises") as caught:
        opened(sparse(tmp_path / "a.tif"))
    assert caught.value.kind is Kind.FILE_MALFORMED


def sparse(path):
    """A kilobyte that stands for 40,000 x 40,000 pixels: no tile was written, all would be read as zeros."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(path, "w", driver="GTiff", height=40_000, width=40_000, count=1, dtype="float64", SPARSE_OK=True,
                           tiled=True, blockxsize=8192, blockysize=8192):
            pass
    return Source(str(path), path)


needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the folder ../shared/data is not here")


@needs_data
def test_a_real_landsat_scene_lies_in_brazil():
    """EPSG:31985 is SIRGAS 2000 / UTM 25S; the corner in degrees is the one that gdalinfo gives."""
    path = DATA / "multispectral/L7_ETMs.tif"
    spec, cube = opened(Source("l7", path))
    assert (spec.main.shape, spec.main.dtype, spec.grid.pixel_unit) == ((352, 349, 6), "uint8", "m")
    assert spec.grid.crs.startswith('PROJCS["SIRGAS 2000 / UTM zone 25S"')
    with rasterio.open(path) as file:
        np.testing.assert_array_equal(cube["data"][100:150, 40:70].values, file.read()[:, 100:150, 40:70].transpose(1, 2, 0))


@needs_data
@pytest.mark.parametrize("name", ["APACHE_20240624", "CANAL_20240530"])
def test_real_sentinel_windows_keep_their_bands(name):
    path = DATA / f"sentinel2_fire/post_fire/{name}.tif"
    spec, cube = opened(Source(name, path))
    assert spec.axis.names == ("TCI_R", "TCI_G", "TCI_B", "B8", "B12")
    assert (spec.main.dtype, cube.attrs["notes"]) == ("float64", [])
    with rasterio.open(path) as file:
        np.testing.assert_array_equal(cube["data"].values, file.read().transpose(1, 2, 0))
