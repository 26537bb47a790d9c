"""What each format says of its axes, detectors, units and neighbours is kept; what nobody says is noted."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
from astropy import units
from astropy.io import fits
from astropy.wcs import WCS
from lakecv_plugins.formats.fits import FitsReader
from lakecv_plugins.formats.hdf5 import Hdf5Reader
from lakecv_plugins.formats.matlab import MatlabReader
from lakecv_plugins.formats.numpy import NumpyReader

from lakecv.cube import Quantity, Role
from lakecv.errors import InvalidInput, Kind, NotFound
from lakecv.ports import ReadHints, Source

CUBE = np.arange(4 * 5 * 6, dtype="f4").reshape(4, 5, 6)


def opened(reader, file, **hints):
    source, said = Source(str(file), file), ReadHints(**hints)
    return reader.probe(source, said), reader.read(source, said)


def nxdata(path, **attributes):
    """A NeXus file whose default plot holds links to what the detector and the motors wrote."""
    with h5py.File(path, "w") as file:
        file.attrs.update({"NX_class": "NXroot", "default": "entry"})
        entry = file.create_group("entry")
        entry.attrs.update({"NX_class": "NXentry", "default": "map"})
        entry["detector/counts"], entry["detector/bins"] = CUBE, np.arange(6) * 0.5
        entry["detector/bins"].attrs["units"] = "keV"
        entry["another/counts"] = CUBE * 2
        plot = entry.create_group("map")
        plot.attrs.update({"NX_class": "NXdata", "signal": "counts"} | attributes)
        for name in ("counts", "bins"):
            plot[name] = h5py.SoftLink(f"/entry/detector/{name}") if name == "counts" else entry["detector/bins"]
        plot["samy"], plot["samx"], plot["wl"] = np.arange(4) * 0.1, np.arange(5) * 0.1, np.arange(6) * 0.1 + 0.4
        for name, unit in (("samy", "mm"), ("samx", "mm"), ("wl", "um")):
            plot[name].attrs["units"] = unit
    return path


@pytest.mark.parametrize(
    ("attributes", "label"),
    [
        ({"axes": ["samy", "samx", "bins"]}, "energy [keV]"),
        ({"axes": [".", ".", "bins"], "bins_indices": 2}, "energy [keV]"),
        ({"samy_indices": 0, "samx_indices": [1], "bins_indices": np.array([2])}, "energy [keV]"),
        ({"axes": ["samy", "samx", "wl"]}, "wavelength [um]"),
    ],
)
def test_the_default_plot_of_nexus_may_be_links(tmp_path, attributes, label):
    spec, cube = opened(Hdf5Reader(), nxdata(tmp_path / "a.nxs", **attributes))
    assert (cube["data"].attrs["path"], spec.axis.label, cube.attrs["notes"]) == ("entry/detector/counts", label, [])
    np.testing.assert_array_equal(cube["data"].values, CUBE)


def test_an_array_may_be_chosen_by_the_name_of_a_link(tmp_path):
    spec, cube = opened(Hdf5Reader(), nxdata(tmp_path / "a.nxs", axes=["samy", "samx", "bins"]), path="/entry/map/counts")
    assert (cube["data"].attrs["path"], spec.axis.label) == ("entry/detector/counts", "energy [keV]")


def test_a_link_of_nexus_out_of_the_file_is_not_followed(tmp_path):
    nxdata(tmp_path / "other.nxs", axes=["samy", "samx", "bins"])
    path = nxdata(tmp_path / "a.nxs", axes=["samy", "samx", "bins"])
    with h5py.File(path, "r+") as file:
        del file["entry/map/counts"], file["entry/another"]
        file["away"] = h5py.ExternalLink("other.nxs", "/entry/another/counts")
        file["entry/map/counts"] = h5py.SoftLink("/away")
    cube = opened(Hdf5Reader(), path)[1]
    assert cube["data"].attrs["path"] == "entry/detector/counts"
    np.testing.assert_array_equal(cube["data"].values, CUBE)
    assert "leaves the file" in cube.attrs["notes"][0]


def fits_file(path, extras=(), data=CUBE, **cards):
    first = fits.PrimaryHDU(data)
    first.header.update(cards)
    fits.HDUList([first, *extras]).writeto(path)
    return path


SKY = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CUNIT1": "deg", "CUNIT2": "deg", "CRVAL1": 10.0, "CRVAL2": 41.0}


@pytest.mark.parametrize(
    ("cards", "quantity", "unit"),
    [
        ({"CTYPE3": "FREQ", "CUNIT3": "Hz", "CRVAL3": 1.4e9, "CDELT3": -1e4, "CRPIX3": 3.0}, Quantity.FREQUENCY, "Hz"),
        ({"CTYPE3": "VRAD", "CUNIT3": "km/s", "CRVAL3": -20.0, "CDELT3": 0.5, "CRPIX3": 1.0}, Quantity.VELOCITY, "km/s"),
        ({"CTYPE3": "AWAV", "CUNIT3": "Angstrom", "CRVAL3": 4750.0, "CDELT3": 1.25, "CRPIX3": 1.0}, Quantity.WAVELENGTH, "Angstrom"),
        ({"CTYPE3": "WAVE", "CRVAL3": 4.75e-7, "CDELT3": 1e-10, "CRPIX3": 2.0}, Quantity.WAVELENGTH, "m"),
        ({"CTYPE3": "WAVE-LOG", "CUNIT3": "nm", "CRVAL3": 400.0, "CDELT3": 2.0, "CRPIX3": 2.0}, Quantity.WAVELENGTH, "nm"),
        ({"CTYPE3": "ENER", "CUNIT3": "J", "CRVAL3": 1e-16, "CDELT3": 1e-18, "CRPIX3": 1.0}, Quantity.ENERGY, "eV"),
    ],
)
def test_the_spectral_axis_of_fits_agrees_with_astropy(tmp_path, cards, quantity, unit):
    path = fits_file(tmp_path / "a.fits", **SKY, **cards)
    axis = opened(FitsReader(), path)[0].axis
    with fits.open(path) as file:
        wcs = WCS(file[0].header).spectral
    expected = (wcs.wcs_pix2world(np.arange(4), 0)[0] * wcs.wcs.cunit[0]).to_value(units.Unit(unit))
    assert (axis.quantity, axis.unit) == (quantity, unit)
    np.testing.assert_allclose(axis.coordinates, expected, rtol=1e-9)


@pytest.mark.parametrize("cards", [{"CTYPE3": "VOPT-F2W", "CUNIT3": "m/s", "CDELT3": 1.0}, {"CTYPE3": "PRESSURE", "CUNIT3": "Pa", "CDELT3": 1.0}])
def test_an_axis_that_is_not_linear_or_not_known_is_left_as_channels_with_a_note(tmp_path, cards):
    spec, cube = opened(FitsReader(), fits_file(tmp_path / "a.fits", **cards))
    assert spec.axis.quantity is Quantity.CHANNEL
    assert "channels are numbered" in cube.attrs["notes"][0]


@pytest.mark.parametrize(
    "cards",
    [{"CDELT1": -0.002, "CDELT2": 0.001}, {"CD1_1": -0.002, "CD2_2": 0.001}, {"CDELT1": 1.0, "CDELT2": 1.0, "PC1_1": -0.002, "PC2_2": 0.001},
     {"CD1_2": 0.001, "CD2_1": 0.002, "CD1_1": 0.0, "CD2_2": 0.0}],
)  # fmt: skip
def test_the_pixel_size_of_fits_is_in_arcsec_along_y_and_x(tmp_path, cards):
    grid = opened(FitsReader(), fits_file(tmp_path / "a.fits", **SKY, **cards))[0].grid
    assert grid.pixel_unit == "arcsec"
    np.testing.assert_allclose(grid.pixel_size, (3.6, 7.2))


def test_the_celestial_header_makes_the_same_wcs_again(tmp_path):
    path = fits_file(tmp_path / "a.fits", **SKY, CDELT1=-0.002, CDELT2=0.001, CRPIX1=2.5, CTYPE3="VRAD", OBJECT="M31")
    text = opened(FitsReader(), path)[0].grid.wcs
    again = WCS(fits.Header.fromstring(text, sep="\n")).celestial
    expected = WCS(fits.getheader(path)).celestial
    np.testing.assert_allclose(again.wcs_pix2world([[3, 4]], 0), expected.wcs_pix2world([[3, 4]], 0))
    assert "OBJECT" not in text


def test_data_come_before_other_cubes_and_the_rest_is_named_in_a_note(tmp_path):
    extras = [fits.ImageHDU(CUBE, name=name) for name in ("SCI", "ERR", "STAT")]
    spec, cube = opened(FitsReader(), fits_file(tmp_path / "a.fits", extras, data=None))
    assert [(item.name, item.role, item.title) for item in spec.arrays] == [("data", Role.DATA, "SCI"), ("variance", Role.VARIANCE, "STAT")]
    assert cube.attrs["notes"] == ["only HDU 'SCI' is read; left out: ERR"]


def test_two_cubes_of_equal_rank_ask_for_a_path(tmp_path):
    path = fits_file(tmp_path / "a.fits", [fits.ImageHDU(CUBE, name="RED"), fits.ImageHDU(CUBE + 1, name="BLUE")], data=None)
    with pytest.raises(InvalidInput, match=r"RED .* BLUE") as caught:
        opened(FitsReader(), path)
    assert caught.value.kind is Kind.CUBE_AMBIGUOUS
    assert opened(FitsReader(), path, path="BLUE")[1]["data"].values.min() == 1


def test_unit_blank_and_scale_of_fits_are_kept(tmp_path):
    path = tmp_path / "a.fits"
    hdu = fits.PrimaryHDU(CUBE.astype("i2"))
    hdu.header.update({"BUNIT": "Jy/beam", "BLANK": -1})
    hdu.writeto(path)
    assert (opened(FitsReader(), path)[0].main.unit, opened(FitsReader(), path)[0].main.nodata) == ("Jy/beam", -1.0)
    path.write_bytes(path.read_bytes().replace(b"BLANK   =", b"BSCALE  =", 1).replace(b"                  -1", b"                 0.5", 1))
    np.testing.assert_array_equal(opened(FitsReader(), path)[1]["data"].values, CUBE.transpose(1, 2, 0) * np.float32(0.5))


def nexus(path, **attributes):
    with h5py.File(path, "w") as file:
        file.attrs["default"] = "entry"
        file.create_group("entry").attrs["default"] = "xrf"
        for name in ("xrf", "raw"):
            group = file.create_group(f"entry/{name}")
            group.attrs.update({"NX_class": "NXdata", "signal": "counts"} | attributes)
            group["counts"] = CUBE
            group["mca"] = np.arange(6) * 10.0
            group["mca"].attrs["units"] = "eV"
    return path


def test_the_default_nxdata_is_the_cube_and_its_axes_are_told_by_their_units(tmp_path):
    spec, cube = opened(Hdf5Reader(), nexus(tmp_path / "a.nxs", axes=["row_motor", "col_motor", "mca"]))
    assert (spec.main.title, spec.axis.label, spec.axis.coordinates[1]) == ("entry/xrf/counts", "energy [eV]", 10.0)
    assert cube.attrs["notes"] == []


def test_a_nexus_signal_without_axes_gets_the_usual_order_with_a_note(tmp_path):
    spec, cube = opened(Hdf5Reader(), nexus(tmp_path / "a.nxs"))
    assert spec.main.shape == CUBE.shape
    assert "axis order taken as y,x,spectral" in cube.attrs["notes"][0]


def maps(path):
    with h5py.File(path, "w") as file:
        for number, name in enumerate("abcd"):
            file[f"MAPS_RAW/data_{name}"] = CUBE.astype("i2") + number
    return path


def test_several_detectors_are_never_added_or_chosen_in_silence(tmp_path):
    with pytest.raises(InvalidInput) as caught:
        opened(Hdf5Reader(), maps(tmp_path / "a.h5"))
    assert caught.value.kind is Kind.CUBE_AMBIGUOUS
    assert "a|b|c|d, sum or all" in caught.value.hint


def test_one_detector_is_chosen_by_name_with_the_spectral_axis_first_on_disk(tmp_path):
    spec, cube = opened(Hdf5Reader(), maps(tmp_path / "a.h5"), detector="c")
    assert (spec.main.title, spec.main.shape) == ("MAPS_RAW/data_c", (5, 6, 4))
    np.testing.assert_array_equal(cube["data"].values, CUBE.transpose(1, 2, 0) + 2)


def test_an_unknown_detector_suggests_those_there_are(tmp_path):
    with pytest.raises(NotFound, match="'e'"):
        opened(Hdf5Reader(), maps(tmp_path / "a.h5"), detector="e")
    np.save(tmp_path / "a.npy", CUBE)
    with pytest.raises(InvalidInput, match="no detectors"):
        opened(NumpyReader(), tmp_path / "a.npy", detector="sum")


def test_a_calibration_in_a_matlab_file_is_found_unless_it_goes_up_and_down(tmp_path):
    scipy.io.savemat(tmp_path / "a.mat", {"cube": CUBE, "wavelengths": np.linspace(400, 900, 6)})
    assert opened(MatlabReader(), tmp_path / "a.mat")[0].axis.label == "wavelength [nm]"
    scipy.io.savemat(tmp_path / "b.mat", {"cube": CUBE, "wavelengths": [1.0, 2, 3, 2, 4, 5]})
    spec, cube = opened(MatlabReader(), tmp_path / "b.mat")
    assert spec.axis.quantity is Quantity.CHANNEL
    assert any("up and down" in note for note in cube.attrs["notes"])
    with pytest.raises(InvalidInput, match="up and down"):
        opened(MatlabReader(), tmp_path / "b.mat", axis="wavelength:nm:@wavelengths")


def test_matlab_types_are_those_that_scipy_gives(tmp_path):
    for dtype in ("uint8", "int16", "uint16", "int32", "int64", "float32", "float64"):
        scipy.io.savemat(tmp_path / "a.mat", {"cube": CUBE.astype(dtype)}, do_compression=True)
        assert opened(MatlabReader(), tmp_path / "a.mat")[0].main.dtype == scipy.io.loadmat(tmp_path / "a.mat")["cube"].dtype.name


def test_pixel_size_and_mask_come_from_hints(tmp_path):
    np.savez(tmp_path / "a.npz", cube=CUBE, good=np.array([[np.nan, 0, 1, 2, -1]] * 4))
    spec, cube = opened(NumpyReader(), tmp_path / "a.npz", pixel_size="0.5mm,0.4mm", mask="good")
    assert (spec.grid.pixel_size, spec.grid.pixel_unit) == ((0.5, 0.4), "mm")
    assert cube["mask"].values[0].tolist() == [0, 0, 1, 1, 1]


def test_a_mask_of_another_size_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", cube=CUBE, good=np.ones((5, 4)))
    with pytest.raises(InvalidInput, match="mask 'good'"):
        opened(NumpyReader(), tmp_path / "a.npz", mask="good")


@pytest.mark.parametrize(
    ("hints", "kind"),
    [
        ({"dims": "y,x"}, Kind.DIMS_AMBIGUOUS), ({"dims": "y,x,depth"}, Kind.DIMS_AMBIGUOUS), ({"dims": "y,y,x"}, Kind.DIMS_AMBIGUOUS),
        ({"dims": "-,y,x"}, Kind.DIMS_AMBIGUOUS), ({"shape": (5, 4)}, Kind.SHAPE_INVALID), ({"order": "Z"}, Kind.OPTION_INVALID),
    ],
)  # fmt: skip
def test_hints_that_do_not_fit_are_named(tmp_path, hints, kind):
    np.save(tmp_path / "a.npy", CUBE)
    with pytest.raises(InvalidInput) as caught:
        opened(NumpyReader(), tmp_path / "a.npy", **hints)
    assert caught.value.kind is kind


@pytest.mark.parametrize("shape", [(3, 3), (2, 4), (0, 12), (-3, -4)])
def test_a_shape_that_does_not_make_the_pixels_is_refused(tmp_path, shape):
    np.save(tmp_path / "a.npy", np.ones((12, 7)))
    with pytest.raises(InvalidInput) as caught:
        opened(NumpyReader(), tmp_path / "a.npy", dims="pixel,spectral", shape=shape)
    assert caught.value.kind is Kind.SHAPE_INVALID


def test_files_are_told_apart_by_their_first_bytes():
    head = b"MATLAB 7.3 MAT-file".ljust(512) + b"\x89HDF\r\n\x1a\n"
    path = Source("a.mat", Path("a.mat"))
    assert MatlabReader().accepts(path, head)
    assert not Hdf5Reader().accepts(path, head)
