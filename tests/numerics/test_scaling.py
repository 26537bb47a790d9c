import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import StandardScaler, normalize

from lakecv.errors import InvalidInput
from lakecv.numerics.scaling import SCALINGS, check, limits, scaled, zscore

DTYPES = ["uint8", "uint16", "int16", "int32", "float32", "float64"]


def spectra(dtype, rows=700):
    return np.random.default_rng(0).integers(0, 120, (rows, 9)).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_sqrt_is_the_square_root_and_negative_samples_are_0(dtype):
    pixels = spectra(dtype)
    pixels[0, 0] = 0 if dtype.startswith("u") else -4
    expected = np.sqrt(np.maximum(pixels.astype(np.float64), 0)).astype(np.float32)
    np.testing.assert_allclose(scaled(pixels, "sqrt"), expected, rtol=1e-7)


@pytest.mark.parametrize("dtype", DTYPES)
def test_l2_is_sklearns_norm(dtype):
    np.testing.assert_allclose(scaled(spectra(dtype), "l2"), normalize(spectra(dtype).astype(float)), rtol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_snv_has_mean_0_and_spread_1(dtype):
    out = scaled(spectra(dtype), "snv").astype(np.float64)
    np.testing.assert_allclose(out.mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(out.std(axis=1), 1, rtol=1e-6)


def test_zscore_is_sklearns_scaler_and_a_constant_band_is_0():
    pixels = spectra("float64")
    pixels[:, 3] = 7
    out = zscore(pixels, pixels.mean(axis=0), pixels.std(axis=0))
    np.testing.assert_allclose(out, StandardScaler().fit_transform(pixels), atol=1e-6)
    assert not out[:, 3].any()


@pytest.mark.parametrize("name", ["l2", "snv", "sqrt"])
@pytest.mark.parametrize("level", [0.0, 0.1])
def test_a_flat_spectrum_gives_finite_values(name, level):
    out = scaled(np.full((3, 11), level), name)
    assert np.isfinite(out).all()
    assert name != "snv" or not out.any()


@pytest.mark.parametrize("name", SCALINGS)
def test_what_is_given_stays_and_results_are_float32(name):
    pixels = spectra("uint16")
    before = pixels.copy()
    out = scaled(pixels, name)
    assert np.array_equal(pixels, before)
    assert out is pixels if name in {"none", "zscore"} else out.dtype == np.float32


@settings(deadline=None)
@given(st.sampled_from(["sqrt", "l2", "snv"]), st.integers(0, 2**32), st.floats(-1e3, 0), st.floats(1e-3, 1e6))
def test_no_sample_leaves_the_limits(name, seed, low, high):
    pixels = np.random.default_rng(seed).uniform(low, high, (40, 5)) * np.random.default_rng(seed).integers(0, 2, (40, 5))
    bottom, top = limits(name, (min(low, 0.0), high), 5, 40)
    out = scaled(pixels, name)
    assert bottom <= out.min()
    assert out.max() <= top


def test_one_hot_pixel_does_not_leave_the_limits_of_a_zscore():
    pixels = np.zeros((50, 1))
    pixels[7] = 1e4
    assert zscore(pixels, pixels.mean(axis=0), pixels.std(axis=0)).max() <= limits("zscore", (0, 1e4), 1, 50)[1]


def test_physical_units_as_small_as_fluxes_keep_their_shape():
    flux = spectra("float64") * 1e-24
    np.testing.assert_allclose(scaled(flux, "l2"), scaled(spectra("float64"), "l2"), rtol=1e-5)


def test_an_unknown_scaling_is_refused_with_the_nearest():
    with pytest.raises(InvalidInput) as caught:
        check("sqrrt")
    assert "sqrt" in caught.value.hint
