"""Files for other programs, read back by other libraries than those that wrote them: spectral, tifffile, astropy.wcs, silx."""

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from lakecv.cube import ArraySpec, Grid, Quantity, Role, SpectralAxis
from lakecv.errors import Conflict, InvalidInput, Kind, NotFound, PluginError
from lakecv.report import export as exporting
from lakecv.report.export import export
from lakecv.report.palette import label_color

ENERGY = SpectralAxis(4, Quantity.ENERGY, "keV", 1.0, 0.5)
LISTED = SpectralAxis(4, Quantity.WAVELENGTH, "nm", values=(400.0, 420.0, 480.0, 700.0))
UTM = Grid(3, 5, (10.0, 10.0), "m", crs="EPSG:32632", affine=(10.0, 0.0, 300000.0, 0.0, -10.0, 5000000.0))
NAMES = {0: "lead white", 2: "azurite, <b>{fine}</b>"}
LABELS = np.array([[0, 1, 2, 255, 0], [1, 1, 2, 2, 0], [3, 3, 0, 255, 255]], np.uint8)
CUBE = np.random.default_rng(3).normal(size=(3, 5, 4)).astype(np.float32)
FILES = ("a.tif", "a.hdr", "a.fits", "a.h5")
SKY = (
    "WCSAXES =                    3", "CRPIX1  =                  2.5", "CRPIX2  =                  1.5", "CRPIX3  =                  1.0",
    "CD1_1   =  -5.5555555555556E-05", "CD1_2   =              1.0E-06", "CD2_1   =              1.0E-06", "CD2_2   =   5.5555555555556E-05",
    "CD3_3   =                 1.25", "CUNIT1  = 'deg     '", "CUNIT2  = 'deg     '", "CUNIT3  = 'Angstrom'", "CTYPE1  = 'RA---TAN'",
    "CTYPE2  = 'DEC--TAN'", "CTYPE3  = 'AWAV    '", "CRVAL1  =     338.2401234567890", "CRVAL2  =     -35.7001234567890",
    "CRVAL3  =              4749.91", "RADESYS = 'FK5     '", "EQUINOX =               2000.0",
)  # fmt: skip


def _sky(lines=SKY):
    return Grid(3, 5, (0.2, 0.2), "arcsec", wcs="\n".join(f"{line:<80}" for line in lines))


def _labels(tmp_path, name, grid=None):
    spec = ArraySpec("labels", Role.LABELS, ("y", "x"), LABELS.shape, "uint8", LABELS.shape, nodata=255.0)
    return export(LABELS, spec, ENERGY, tmp_path / name, grid=grid, names=NAMES, source="museo:tavola.kmeans.1 sha256 ab")


def _cube(tmp_path, name, axis=ENERGY, grid=None, array=CUBE):
    spec = ArraySpec("counts", Role.DATA, ("y", "x", "spectral"), array.shape, str(array.dtype), array.shape, unit="count")
    return export(array, spec, axis, tmp_path / name, grid=grid)


def names(folder):
    return [path.name for path in folder.iterdir()]


# --- ENVI ---------------------------------------------------------------------------------------------------------------
def test_labels_in_envi_are_a_classification_with_the_names_and_colors_of_the_report(tmp_path):
    spectral = pytest.importorskip("spectral")
    file = spectral.open_image(str(_labels(tmp_path, "a.hdr")))
    assert np.array_equal(np.asarray(file.load()).squeeze(), LABELS)
    assert file.metadata["file type"] == "ENVI Classification"
    assert file.metadata["class names"] == ["lead white", "cluster 1", "azurite; <b>(fine)</b>", "cluster 3"]
    lookup = np.array(file.metadata["class lookup"], int).reshape(-1, 3)
    assert ["#" + bytes(color).hex() for color in lookup.tolist()] == [label_color(label) for label in range(4)]
    assert (file.metadata["classes"], file.metadata["data ignore value"]) == ("4", "255")


@pytest.mark.parametrize(("axis", "unit"), [(ENERGY, "keV"), (LISTED, "Nanometers")])
def test_a_cube_in_envi_keeps_samples_and_wavelengths(tmp_path, axis, unit):
    spectral = pytest.importorskip("spectral")
    file = spectral.open_image(str(_cube(tmp_path, "a.hdr", axis)))
    assert np.array_equal(np.asarray(file.load()), CUBE)
    assert (file.bands.centers, file.bands.band_unit) == (list(axis.coordinates), unit)


def test_samples_of_another_byte_order_are_written_in_the_one_that_the_header_says(tmp_path):
    spectral = pytest.importorskip("spectral")
    swapped = CUBE.astype(">f8")
    spec = ArraySpec("a", Role.DATA, ("y", "x", "spectral"), CUBE.shape, "float64", CUBE.shape)
    file = spectral.open_image(str(export(swapped, spec, None, tmp_path / "a.hdr")))
    assert np.array_equal(np.asarray(file.open_memmap()), swapped)


def test_envi_says_where_a_utm_grid_lies(tmp_path):
    spectral = pytest.importorskip("spectral")
    pytest.importorskip("rasterio")
    said = spectral.open_image(str(_cube(tmp_path, "a.hdr", grid=UTM))).metadata
    assert said["map info"] == ["UTM", "1", "1", "300000.0", "5000000.0", "10.0", "10.0", "32", "North", "WGS-84", "units=Meters"]
    assert "UTM_Zone_32N" in (tmp_path / "a.hdr").read_text()


def test_a_turned_grid_is_no_envi_file(tmp_path):
    turned = Grid(3, 5, affine=(1.0, 0.5, 0.0, 0.5, -1.0, 0.0))
    with pytest.raises(InvalidInput, match="turned"):
        _cube(tmp_path, "a.hdr", grid=turned)
    assert list(tmp_path.iterdir()) == []


# --- GeoTIFF ------------------------------------------------------------------------------------------------------------
def test_labels_in_a_geotiff_have_place_colors_and_no_data(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    pytest.importorskip("rasterio")
    with tifffile.TiffFile(_labels(tmp_path, "a.tif", UTM)) as file:
        page = file.pages[0]
        assert np.array_equal(page.asarray(), LABELS)
        assert page.tags["GDAL_NODATA"].value == "255"
        assert page.geotiff_tags["ProjectedCSTypeGeoKey"] == 32632
        assert (page.tags["ModelPixelScaleTag"].value[:2], page.tags["ModelTiepointTag"].value[3:5]) == ((10.0, 10.0), (300000.0, 5000000.0))
        colors = page.colormap[:, :4].T >> 8
        assert ["#" + bytes(color.tolist()).hex() for color in colors] == [label_color(label) for label in range(4)]
        assert 'name="class_0" sample="0">lead white<' in page.tags["GDAL_METADATA"].value


def test_the_names_of_classes_lie_where_gdal_looks_for_them(tmp_path):
    pytest.importorskip("rasterio")
    from rasterio.shutil import copy

    copy(_labels(tmp_path, "a.tif", UTM), tmp_path / "copy.png", driver="PNG")  # GDAL writes beside it what it has read
    names = [each.text for each in ET.parse(tmp_path / "copy.png.aux.xml").iter("Category")]
    assert names == ["lead white", "cluster 1", NAMES[2], "cluster 3"]


def test_a_cube_in_a_geotiff_has_a_band_for_each_channel(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    pytest.importorskip("rasterio")
    with tifffile.TiffFile(_cube(tmp_path, "a.tif", grid=Grid(3, 5))) as file:
        assert np.array_equal(file.asarray(), np.moveaxis(CUBE, 2, 0))
        assert all(text in file.pages[0].tags["GDAL_METADATA"].value for text in ("1 keV", "2.5 keV", ">count<"))


def test_samples_of_another_byte_order_are_the_same_in_a_geotiff(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    pytest.importorskip("rasterio")
    assert np.array_equal(tifffile.imread(_cube(tmp_path, "a.tif", array=CUBE.astype(">f4"))), np.moveaxis(CUBE, 2, 0))


def test_a_turned_grid_is_kept_by_a_geotiff(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    pytest.importorskip("rasterio")
    grid = Grid(3, 5, affine=(1.0, 0.5, 7.0, 0.25, -1.0, 9.0))
    with tifffile.TiffFile(_cube(tmp_path, "a.tif", grid=grid)) as file:
        matrix = file.pages[0].tags["ModelTransformationTag"].value
    assert (matrix[0], matrix[1], matrix[3], matrix[4], matrix[5], matrix[7]) == grid.affine


def test_a_reference_system_that_nobody_knows_is_refused(tmp_path):
    pytest.importorskip("rasterio")
    with pytest.raises(InvalidInput, match="not known to GDAL"):
        _cube(tmp_path, "a.tif", grid=Grid(3, 5, crs="EPSG:999999"))


# --- FITS ---------------------------------------------------------------------------------------------------------------
def test_pixels_of_a_fits_export_are_at_the_same_place_on_the_sky(tmp_path):
    wcs = pytest.importorskip("astropy.wcs")
    fits = pytest.importorskip("astropy.io.fits")
    grid = _sky()
    before = wcs.WCS(fits.Header.fromstring(grid.wcs, sep="\n")).celestial
    x, y = np.meshgrid(np.arange(5), np.arange(3))
    for path in (_cube(tmp_path, "a.fits", grid=grid), _labels(tmp_path, "b.fits", grid)):
        after = wcs.WCS(fits.getheader(path))
        assert after.naxis == fits.getheader(path)["NAXIS"]
        assert np.array_equal(before.wcs_pix2world(x, y, 0), after.celestial.wcs_pix2world(x, y, 0))


def test_celestial_cards_are_carried_letter_by_letter(tmp_path):
    fits = pytest.importorskip("astropy.io.fits")
    cards = {str(card).strip() for card in fits.getheader(_cube(tmp_path, "a.fits", grid=_sky())).cards}
    assert {line.strip() for line in SKY if "3" not in line.partition("=")[0] and not line.startswith("WCSAXES")} <= cards


def test_a_plane_that_is_not_on_the_first_two_axes_is_said_anew(tmp_path):
    wcs = pytest.importorskip("astropy.wcs")
    fits = pytest.importorskip("astropy.io.fits")
    swapped = {"CD1_1": "CD2_2", "CD1_2": "CD2_3", "CD2_1": "CD3_2", "CD2_2": "CD3_3", "CD3_3": "CD1_1"}
    turned = [swapped[line[:5]] + line[5:] if line[:5] in swapped else line for line in SKY]
    axes = str.maketrans("123", "231")
    turned = [line[:5] + line[5].translate(axes) + line[6:] if line.startswith(("CRPIX", "CUNIT", "CTYPE", "CRVAL")) else line for line in turned]
    grid = _sky(turned)
    before = wcs.WCS(fits.Header.fromstring(_sky().wcs, sep="\n")).celestial
    after = wcs.WCS(fits.getheader(_labels(tmp_path, "a.fits", grid))).celestial
    assert np.allclose(before.wcs_pix2world(1, 2, 0), after.wcs_pix2world(1, 2, 0), rtol=0, atol=1e-10)


@pytest.mark.parametrize("grid", [None, _sky()], ids=["alone", "with a sky of CD cards"])
@pytest.mark.parametrize("axis", [ENERGY, LISTED], ids=["a step", "a list of values"])
def test_the_spectral_axis_of_a_fits_cube_is_calibrated(tmp_path, axis, grid):
    wcs = pytest.importorskip("astropy.wcs")
    fits = pytest.importorskip("astropy.io.fits")
    with fits.open(_cube(tmp_path, "a.fits", axis, grid)) as file:
        assert np.array_equal(np.moveaxis(file[0].data, 0, 2), CUBE)
        assert file[0].header["BUNIT"] == "count"
        said = wcs.WCS(file[0].header, file)
        world = said.wcs_pix2world(np.zeros(4), np.zeros(4), np.arange(4), 0)[2] * said.wcs.cunit[2]
    assert np.allclose(world.to_value(axis.unit), axis.coordinates, rtol=1e-6)  # wcslib has an older electronvolt


def test_labels_in_fits_keep_numbers_blank_names_and_colors(tmp_path):
    fits = pytest.importorskip("astropy.io.fits")
    with fits.open(_labels(tmp_path, "a.fits"), do_not_scale_image_data=True, checksum=True) as file:
        assert np.array_equal(file[0].data, LABELS)
        assert (file[0].header["BLANK"], file[0].header["EXTNAME"]) == (255, "labels")
        table = file["CLASSES"].data
        assert list(table["NAME"]) == ["lead white", "cluster 1", NAMES[2], "cluster 3"]
        assert bytes(table["COLOR"][0].tolist()).hex() == label_color(0)[1:]


def test_no_data_of_many_labels_is_blank_in_what_is_stored(tmp_path):
    fits = pytest.importorskip("astropy.io.fits")
    labels = np.array([[0, 300, 65535]], np.uint16)
    spec = ArraySpec("labels", Role.LABELS, ("y", "x"), labels.shape, "uint16", labels.shape, nodata=65535.0)
    path = export(labels, spec, None, tmp_path / "a.fits")
    with fits.open(path, do_not_scale_image_data=True) as file:
        assert (file[0].data[0, 2], int(file[0].data[0, 0]) + file[0].header["BZERO"]) == (file[0].header["BLANK"], 0)


def test_unsigned_samples_read_back_the_same(tmp_path):
    fits = pytest.importorskip("astropy.io.fits")
    counts = np.array([[[0, 65535, 32768, 1]]], np.uint16)
    assert np.array_equal(np.moveaxis(fits.getdata(_cube(tmp_path, "a.fits", array=counts)), 0, 2), counts)


@pytest.mark.skipif(not Path("/work/shared/data").is_dir(), reason="the real data are not here")
def test_a_real_cube_of_muse_is_at_the_same_place_after_an_export(tmp_path):
    pytest.importorskip("astropy")
    from lakecv_plugins.formats.fits import FitsReader

    from lakecv.ports import ReadHints, Source
    wcs = pytest.importorskip("astropy.wcs")
    fits = pytest.importorskip("astropy.io.fits")
    paths = [path for path in sorted(Path("/work/shared/data/astro").rglob("*.fits")) if "muse" in str(path).lower()]
    if not paths:
        pytest.skip("there is no cube of MUSE")
    with fits.open(paths[0]) as file:
        header = next(hdu.header for hdu in file if hdu.header["NAXIS"] == 3)
    spec = FitsReader().probe(Source(str(paths[0]), paths[0]), ReadHints())
    grid = spec.grid
    plane = np.zeros((grid.ny, grid.nx), np.float32)
    flat = ArraySpec("distance", Role.DISTANCE, ("y", "x"), plane.shape, "float32", plane.shape)
    after = wcs.WCS(fits.getheader(export(plane, flat, spec.axis, tmp_path / "a.fits", grid=grid)))
    x, y = np.meshgrid(np.arange(0, grid.nx, 7), np.arange(0, grid.ny, 7))
    assert np.array_equal(wcs.WCS(header).celestial.wcs_pix2world(x, y, 0), after.celestial.wcs_pix2world(x, y, 0))


# --- NXdata -------------------------------------------------------------------------------------------------------------
def test_the_default_of_an_h5_export_is_the_cube_with_its_axes(tmp_path):
    nxdata = pytest.importorskip("silx.io.nxdata")
    h5py = pytest.importorskip("h5py")
    with h5py.File(_cube(tmp_path, "a.h5", grid=Grid(3, 5, (0.5, 0.25), "mm"))) as file:
        found = nxdata.get_default(file)
        assert found.is_valid
        assert np.array_equal(found.signal, CUBE)
        assert found.interpretation == "spectrum"
        assert found.axes_names == ["y [mm]", "x [mm]", "energy [keV]"]
        y, x, energy = (axis[()] for axis in found.axes)
        assert (y.tolist(), x.tolist()) == ([0.0, 0.5, 1.0], [0.0, 0.25, 0.5, 0.75, 1.0])
        assert energy.tolist() == list(ENERGY.coordinates)
        assert [axis.attrs["units"] for axis in found.axes] == ["mm", "mm", "keV"]


def test_the_default_of_labels_is_an_image_with_its_names_beside(tmp_path):
    nxdata = pytest.importorskip("silx.io.nxdata")
    h5py = pytest.importorskip("h5py")
    with h5py.File(_labels(tmp_path, "a.nxs", UTM)) as file:
        found = nxdata.get_default(file)
        assert (found.is_valid, found.interpretation, found.signal.attrs["_FillValue"]) == (True, "image", 255)
        assert [name.decode() for name in file["entry/labels/name"]] == ["lead white", "cluster 1", NAMES[2], "cluster 3"]
        assert (file["entry/grid/crs"][()].decode(), tuple(file["entry/grid/affine"])) == (UTM.crs, UTM.affine)


def test_a_table_of_spectra_is_a_default_too(tmp_path):
    nxdata = pytest.importorskip("silx.io.nxdata")
    h5py = pytest.importorskip("h5py")
    curves = np.arange(8.0).reshape(2, 4)
    spec = ArraySpec("spectral", Role.TABLE, ("label", "spectral"), curves.shape, "float64", curves.shape)
    with h5py.File(export(curves, spec, ENERGY, tmp_path / "a.h5")) as file:
        found = nxdata.get_default(file)
        assert (found.is_valid, found.axes_names) == (True, ["label", "energy [keV]"])


# --- all of them --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", FILES)
def test_a_file_or_one_beside_it_is_never_overwritten(tmp_path, name):
    beside = {"a.hdr": "a.img", "a.tif": "a.tif.aux.xml"}.get(name, name)
    (tmp_path / beside).write_text("mine")
    with pytest.raises(Conflict) as caught:
        _labels(tmp_path, name)
    assert (caught.value.kind, names(tmp_path), (tmp_path / beside).read_text()) == (Kind.OUTPUT_EXISTS, [beside], "mine")


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_left_where_the_name_was_taken_meanwhile(tmp_path, name, monkeypatch):
    publish = exporting._publish

    def late(part, to):
        if to.name == name:
            to.write_text("theirs")
        publish(part, to)

    monkeypatch.setattr(exporting, "_publish", late)
    with pytest.raises(Conflict):
        _labels(tmp_path, name)
    assert (names(tmp_path), (tmp_path / name).read_text()) == ([name], "theirs")


@pytest.mark.parametrize("name", FILES)
def test_a_folder_that_is_not_there_is_named(tmp_path, name):
    with pytest.raises(NotFound, match="no folder"):
        _labels(tmp_path / "no", name)


@pytest.mark.parametrize("name", ["a.tif", "a.hdr", "a.fits"])
def test_a_table_is_no_image(tmp_path, name):
    spec = ArraySpec("centroids", Role.TABLE, ("cluster", "spectral"), (2, 4), "float64", (2, 4))
    with pytest.raises(InvalidInput, match=r"dims \(cluster, spectral\)"):
        export(np.zeros((2, 4)), spec, ENERGY, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("dtype", ["bool", "int8", "float16", "uint64"])
def test_every_dtype_of_a_lake_can_be_written(tmp_path, name, dtype):
    if name.endswith("fits") and dtype == "uint64":
        pytest.importorskip("astropy")
    array = np.ones((3, 5), dtype)
    spec = ArraySpec("mask", Role.MASK, ("y", "x"), array.shape, dtype, array.shape)
    assert export(array, spec, None, tmp_path / name).stat().st_size > 0


@pytest.mark.parametrize(("name", "module", "extra"), [("a.tif", "rasterio", "formats-eo"), ("a.fits", "astropy.io", "formats-astro"), ("a.h5", "h5py", "formats-hdf5")])
def test_a_library_that_is_not_installed_is_named_with_its_extra(tmp_path, monkeypatch, name, module, extra):
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(PluginError, match=f"extra {extra}") as caught:
        _labels(tmp_path, name)
    assert (caught.value.kind, list(tmp_path.iterdir())) == (Kind.MISSING_EXTRA, [])
