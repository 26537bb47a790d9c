"""Folders of Sentinel-2 bands become one cube on the finest grid, or are refused with what is missing."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from lakecv_plugins.formats.sentinel2 import Sentinel2Reader

from lakecv.cube import Quantity
from lakecv.errors import Corrupt, InvalidInput, Kind, LakeCVError, NotFound
from lakecv.ports import ReadHints, Source
from lakecv.testing.readers import ReaderContract

FINE = {name: (np.arange(12 * 18).reshape(12, 18) * 7 + start).astype("uint16") for start, name in enumerate(("B02", "B04", "B08"), 1)}
COARSE = {"B11": (np.arange(6 * 9).reshape(6, 9) * 11).astype("uint16"), "B09": (np.arange(2 * 3).reshape(2, 3) + 500).astype("uint16")}


def band(path, values, metres, corner=(600000.0, 4900000.0), **more):
    """One band of a tile, at a corner that all its bands share."""
    path.parent.mkdir(parents=True, exist_ok=True)
    place = rasterio.Affine(metres, 0.0, corner[0], 0.0, -metres, corner[1])
    options = {"QUALITY": 100, "REVERSIBLE": "YES"} if path.suffix == ".jp2" else {}
    driver = "JP2OpenJPEG" if path.suffix == ".jp2" else "GTiff"
    with rasterio.open(path, "w", driver, *values.shape[::-1], 1, dtype="uint16", crs="EPSG:32632", transform=place, **options, **more) as file:
        file.write(values, 1)


def loose(folder):
    for name, values in FINE.items():
        band(folder / f"{name}.tif", values, 10.0)
    band(folder / "B11.tif", COARSE["B11"], 20.0)
    band(folder / "B9.tiff", COARSE["B09"], 60.0)
    return Source(str(folder), folder)


def safe(folder):
    """The folders of a SAFE product; B02 is there in two sizes, as in level 2A."""
    product, at = folder / "S2B_MSIL2A.SAFE", "GRANULE/L2A_T32TQQ/IMG_DATA"
    for name, values in FINE.items():
        band(product / at / f"R10m/T32TQQ_20240601T101559_{name}_10m.jp2", values, 10.0)
    band(product / at / "R20m/T32TQQ_20240601T101559_B02_20m.jp2", FINE["B02"][::2, ::2], 20.0)
    band(product / at / "R20m/T32TQQ_20240601T101559_B11_20m.jp2", COARSE["B11"], 20.0)
    band(product / at / "R60m/T32TQQ_20240601T101559_B09_60m.jp2", COARSE["B09"], 60.0)
    return Source(str(product), product)


def opened(source, **hints):
    reader, said = Sentinel2Reader(), ReadHints(**hints)
    return reader.probe(source, said), reader.read(source, said)


def repeated(values, factor):
    return np.kron(values, np.ones((factor, factor), values.dtype))


class TestSentinel2(ReaderContract):
    @pytest.fixture
    def reader(self):
        return Sentinel2Reader()

    @pytest.fixture
    def truth(self):
        return {"data": np.dstack([*FINE.values(), repeated(COARSE["B09"], 6), repeated(COARSE["B11"], 2)])}

    @pytest.fixture(params=[loose, safe])
    def source(self, tmp_path, request):
        return request.param(tmp_path / "scene")


def test_bands_are_sorted_by_wavelength_and_repetition_is_said(tmp_path):
    spec, cube = opened(loose(tmp_path / "scene"))
    assert (spec.axis.quantity, spec.axis.unit, spec.axis.values) == (Quantity.WAVELENGTH, "nm", (490.0, 665.0, 842.0, 945.0, 1610.0))
    assert spec.axis.names == ("B02", "B04", "B08", "B09", "B11")
    assert (spec.grid.pixel_size, spec.grid.affine[:3]) == ((10.0, 10.0), (10.0, 0.0, 600000.0))
    assert cube.attrs["notes"] == ["pixels of coarser bands are repeated: B09 x6, B11 x2"]


def test_some_bands_may_be_chosen(tmp_path):
    spec, cube = opened(loose(tmp_path / "scene"), path="b11,B9")
    assert spec.axis.names == ("B09", "B11")
    np.testing.assert_array_equal(cube["data"].values, np.dstack([repeated(COARSE["B09"], 3), COARSE["B11"]]))


def test_a_band_that_is_not_there_is_named(tmp_path):
    with pytest.raises(NotFound, match="has no band B03, B12; it has B02, B04, B08, B09, B11") as caught:
        opened(loose(tmp_path / "scene"), path="B02,B03,B12")
    assert caught.value.kind is Kind.ARRAY_UNKNOWN


@pytest.mark.parametrize(
    ("values", "metres", "corner", "said"),
    [
        (np.ones((5, 9), "u2"), 20.0, (600000.0, 4900000.0), "no whole factor"),
        (np.ones((8, 12), "u2"), 15.0, (600000.0, 4900000.0), "no whole factor"),
        (np.ones((6, 9), "u2"), 20.0, (600010.0, 4900000.0), "do not lie at the same place"),
        (np.ones((6, 9), "u2"), 30.0, (600000.0, 4900000.0), "do not lie at the same place"),
    ],
)
def test_a_band_that_does_not_fit_the_grid_is_refused(tmp_path, values, metres, corner, said):
    source = loose(tmp_path / "scene")
    band(source.path / "B12.tif", values, metres, corner)
    with pytest.raises(InvalidInput, match=said) as caught:
        opened(source)
    assert caught.value.kind is Kind.SHAPE_INVALID


def test_two_tiles_in_one_folder_are_refused(tmp_path):
    source = loose(tmp_path / "scene")
    band(source.path / "T32TQP_20240601_B02_10m.tif", FINE["B02"], 10.0)
    with pytest.raises(InvalidInput, match="2 tiles or times: one without a name, T32TQP_20240601") as caught:
        opened(source)
    assert caught.value.kind is Kind.CUBE_AMBIGUOUS


def test_folders_without_bands_are_not_accepted_and_refused(tmp_path):
    assert not Sentinel2Reader().accepts(Source("x", tmp_path), b"")
    with pytest.raises(Corrupt, match="no band of Sentinel-2"):
        opened(Source("x", tmp_path))


@pytest.mark.parametrize("make", [loose, safe])
@pytest.mark.parametrize("percent", [0, 10, 50, 99])
def test_a_band_that_is_cut_off_is_corrupt(tmp_path, make, percent):
    source = make(tmp_path / "scene")
    path = next(path for path in sorted(source.path.rglob("*")) if "B04" in path.name)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * percent // 100])
    with pytest.raises(LakeCVError) as caught:
        opened(source)[1]["data"].load()
    assert isinstance(caught.value, Corrupt)
    assert path.name in str(caught.value)
