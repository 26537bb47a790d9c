import importlib.util
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from lakecv_plugins.models.indices import NO_VALUE, Indices, otsu

from lakecv.cube import Quantity, SpectralAxis
from lakecv.errors import InvalidInput, Kind, PluginError
from lakecv.testing.models import spec_of
from lakecv.testing.serial import fit

DATA = Path(__file__).parents[3].parent / "shared" / "data" / "sentinel2_fire"
NAMES = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
LETTERS = dict(zip(["A", "B", "G", "R", "RE1", "RE2", "RE3", "N", "N2", "WV", "S1", "S2"], range(12), strict=True))  # of spyndex, for Sentinel-2
SENTINEL = SpectralAxis(12, Quantity.BAND, names=NAMES)
HYPERSPECTRAL = SpectralAxis(211, Quantity.WAVELENGTH, "um", 0.4, 0.01)
needs_tables = pytest.mark.skipif(importlib.util.find_spec("spyndex") is None, reason="the extra eo is not installed")


def reflectances(axis=SENTINEL, seed=0):
    return np.random.default_rng(seed).uniform(0.02, 0.6, (17, 14, axis.size))


def spec(cube, axis):
    return replace(spec_of(cube, (8, 8)), axis=axis)


def fitted(cube, axis=SENTINEL, **options):
    return fit(Indices(), cube, spec(cube, axis), Indices.Options(**options), 1)


def refused(axis=SENTINEL, **options):
    with pytest.raises(InvalidInput) as caught:
        Indices().workload({"cube": spec(reflectances(axis), axis)}, Indices.Options(**options))
    assert "\n" not in str(caught.value)
    return caught.value


def computable():
    """Indices of spyndex that Sentinel-2 can give with the usual constants."""
    if importlib.util.find_spec("spyndex") is None:
        return []
    import spyndex

    constants = {name for name, one in spyndex.constants.items() if one.default is not None}
    return sorted(name for name, one in spyndex.indices.items() if {*one.bands} <= {*LETTERS, *constants} and {*one.bands} & {*LETTERS})


@needs_tables
def test_all_indices_of_sentinel_2_are_those_of_spyndex():
    import spyndex

    cube, names = reflectances(), computable()
    got = fitted(cube, indices=",".join(names)).arrays["indices"]
    constants = {name: float(one.default) for name, one in spyndex.constants.items() if one.default is not None}
    bands = {letter: cube[..., index] for letter, index in LETTERS.items()}
    assert len(names) > 150
    assert {"NDVI", "EVI", "SAVI", "NBR", "NDWI", "NDMI", "GNDVI", "MSAVI", "NBR2", "NDRE"} & {*names} >= {"NDVI", "EVI", "SAVI", "NBR"}
    for number, name in enumerate(names):
        with np.errstate(all="ignore"):
            expected = spyndex.computeIndex(name, {key: (bands | constants)[key] for key in spyndex.indices[name].bands})
        expected = np.where(np.isfinite(expected), expected, NO_VALUE)
        np.testing.assert_allclose(got[..., number], expected, rtol=2e-6, atol=1e-30, err_msg=name)


@needs_tables
@pytest.mark.parametrize(("platform", "names", "near_infrared"), [
    ("sentinel2a", ("B4", "B8"), 1), ("sentinel2b", ("b04", "b08"), 1), ("landsat8", ("B5", "B4"), 0), ("modis", ("B1", "B2"), 1),
])  # fmt: skip
def test_bands_are_found_by_the_platforms_names(platform, names, near_infrared):
    axis = SpectralAxis(2, Quantity.BAND, names=names)
    cube = reflectances(axis)
    n, r = cube[..., near_infrared], cube[..., 1 - near_infrared]
    np.testing.assert_allclose(fitted(cube, axis, indices="NDVI", platform=platform).arrays["indices"][..., 0], (n - r) / (n + r), rtol=1e-6)


@needs_tables
def test_a_band_that_is_called_green_is_no_gain():
    axis = SpectralAxis(4, Quantity.BAND, names=("B", "G", "R", "N"))
    cube = reflectances(axis)
    b, _, r, n = np.moveaxis(cube, 2, 0)
    np.testing.assert_allclose(fitted(cube, axis, indices="EVI").arrays["indices"][..., 0], 2.5 * (n - r) / (n + 6 * r - 7.5 * b + 1), rtol=1e-5)


@needs_tables
def test_bands_of_a_hyperspectral_cube_are_found_by_wavelength():
    cube = reflectances(HYPERSPECTRAL)
    n, r = cube[..., 43], cube[..., 26]  # Sentinel-2A: B8 at 832.8 nm, B4 at 664.6 nm; channels of 10 nm from 400 nm
    np.testing.assert_allclose(fitted(cube, HYPERSPECTRAL, indices="NDVI").arrays["indices"][..., 0], (n - r) / (n + r), rtol=1e-6)


def test_a_formula_reads_the_channels_nearest_to_its_wavelengths():
    cube = reflectances(HYPERSPECTRAL)
    got = fitted(cube, HYPERSPECTRAL, formula="nd=(R(804nm)-R(0.67um))/(R(804nm)+R(0.67um)); R(500) + C(3)")
    n, r = cube[..., 40], cube[..., 27]
    np.testing.assert_allclose(got.arrays["indices"], np.stack([(n - r) / (n + r), cube[..., 10] + cube[..., 3]], axis=2), rtol=1e-6)
    assert got.state.attributes["nd"] == "(R(804nm)-R(0.67um))/(R(804nm)+R(0.67um)) from 0.67 um, 0.8 um"


def test_scale_and_offset_make_reflectances_of_numbers():
    cube = (reflectances() * 10000).astype(np.uint16)
    got = fitted(cube, formula="B08 + 0*B04", scale=0.0001, offset=-0.1).arrays["indices"]
    np.testing.assert_allclose(got[..., 0], cube[..., 7] * 0.0001 - 0.1, rtol=1e-5, atol=1e-7)


def test_two_dates_in_one_cube_give_the_change():
    axis = SpectralAxis(4, Quantity.BAND, names=("B8_pre", "B12_pre", "B8_post", "B12_post"))
    cube = reflectances(axis)
    n, s, later_n, later_s = np.moveaxis(cube, 2, 0)
    expected = (n - s) / (n + s) - (later_n - later_s) / (later_n + later_s)
    np.testing.assert_allclose(fitted(cube, axis, indices="dNBR").arrays["indices"][..., 0], expected, rtol=1e-5, atol=1e-7)


def test_a_division_by_0_is_no_data_and_below_the_threshold():
    cube = reflectances()
    cube[3, 4] = 0.0
    made = fitted(cube, formula="(B8-B4)/(B8+B4)", threshold=-2.0).arrays
    assert made["indices"][3, 4, 0] == NO_VALUE
    assert made["labels"][3, 4] == 0
    assert made["labels"].sum() == made["labels"].size - 1


def inside(values, cut):
    """Variance inside two classes, by definition."""
    return sum((part.size / values.size) * part.var() for part in (values[values <= cut], values[values > cut]))


def test_the_threshold_is_otsus():
    rng = np.random.default_rng(3)
    cube = np.where(rng.random((60, 50, 1)) < 0.3, rng.normal(0.6, 0.08, (60, 50, 1)), rng.normal(0.1, 0.1, (60, 50, 1)))
    axis = SpectralAxis(1)
    got = fitted(cube, axis, formula="C(0)", threshold="otsu")
    values = got.arrays["indices"].ravel().astype(float)
    least = min(inside(values, cut) for cut in np.sort(values)[1:-1])
    assert inside(values, got.state.attributes["threshold"]) == pytest.approx(least, rel=1e-4)
    assert np.array_equal(got.arrays["labels"], got.arrays["indices"][..., 0] > got.state.attributes["threshold"])
    assert got.tables["histogram"][:, 1].sum() == values.size


@pytest.mark.parametrize(("histogram", "expected"), [([3, 0, 0, 0, 5], 1), ([0, 0, 7, 0, 7], 2), ([1, 1], 0)])
def test_between_two_classes_the_threshold_lies_in_the_middle(histogram, expected):
    assert otsu(np.array(histogram)) == expected


def test_an_index_that_is_the_same_everywhere_is_one_class():
    cube = np.full((9, 9, 12), 0.25)
    assert fitted(cube, formula="B8 - B4", threshold="otsu").arrays["labels"].max() == 0


@pytest.mark.parametrize(("options", "kind", "words", "hint"), [
    ({}, Kind.OPTION_INVALID, "no index is named", "indices=NDVI"),
    ({"formula": "x=B8; x=B4"}, Kind.OPTION_INVALID, "comes twice", ""),
    ({"formula": "1 + 2"}, Kind.OPTION_INVALID, "reads no band", "R(800nm)"),
    ({"formula": "a b=B8"}, Kind.OPTION_INVALID, "no name for an index", "letters"),
    ({"formula": "C(12)"}, Kind.OPTION_INVALID, "there is no channel 12", "C(0) to C(11)"),
    ({"formula": "R(800nm)"}, Kind.AXIS_MISMATCH, "needs a wavelength axis or names of bands", "C(3)"),
    ({"axis": HYPERSPECTRAL, "formula": "R(800kg)"}, Kind.AXIS_UNIT_UNKNOWN, "'kg' in 'R(800kg)'", "units"),
    ({"axis": HYPERSPECTRAL, "formula": "R(3000nm)"}, Kind.OPTION_INVALID, "the nearest channel is 500 nm away", "tolerance="),
])  # fmt: skip
def test_what_cannot_be_computed_is_refused(options, kind, words, hint):
    error = refused(**options)
    assert error.kind is kind
    assert words in str(error)
    assert hint in error.hint


@needs_tables
@pytest.mark.parametrize(("options", "words", "hint"), [
    ({"indices": "NDVII"}, "there is no index 'NDVII'", "did you mean 'NDVI'?"),
    ({"formula": "B8 - B13"}, "there is no band 'B13'", "did you mean"),
    ({"indices": "NDVI", "platform": "sentinel2"}, "there is no platform 'sentinel2'", "did you mean 'sentinel2"),
])  # fmt: skip
def test_an_unknown_name_is_told_with_the_nearest(options, words, hint):
    error = refused(**options)
    assert words in str(error)
    assert hint in error.hint


@pytest.mark.parametrize("options", [{"threshold": "li"}, {"threshold": float("nan")}, {"scale": 0.0}, {"tolerance": -1.0}, {"offset": float("inf")}])
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(InvalidInput):
        Indices.Options(indices="NDVI", **options)


def test_without_the_extra_the_command_that_brings_it_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "spyndex", None)
    with pytest.raises(PluginError) as caught:
        Indices().workload({"cube": spec(reflectances(), SENTINEL)}, Indices.Options(indices="NDVI"))
    assert (caught.value.kind, caught.value.hint) == (Kind.MISSING_EXTRA, 'pip install "lakecv[eo]"')


@needs_tables
def test_the_tables_bring_no_heavy_library():
    code = "import sys, spyndex; print(sorted({'pandas', 'xarray', 'dask', 'matplotlib', 'torch', 'ee'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_burnt_areas_are_found_as_well_as_a_threshold_can():
    """Seven fires: Otsu's threshold on the dNBR of each window, intersection over union with the fire service's perimeter.

    The numbers are those of Otsu's method on these files, written anew with NumPy's histogram, 1,024 bins from least to greatest.
    """
    if not DATA.exists():
        pytest.skip("the development data are not here")
    from PIL import Image

    scores = []
    for file in sorted((DATA / "dnbr").iterdir()):
        change, burnt = np.asarray(Image.open(file))[..., None], np.asarray(Image.open(DATA / "masks" / file.name)) > 0
        found = fitted(change, SpectralAxis(1), formula="C(0)", threshold="otsu").arrays["labels"] == 1
        scores.append((found & burnt).sum() / (found | burnt).sum())
    assert np.round(scores, 3).tolist() == pytest.approx([0.729, 0.871, 0.817, 0.774, 0.730, 0.615, 0.879], abs=0.012)
    assert np.mean(scores) == pytest.approx(0.774, abs=0.004)
