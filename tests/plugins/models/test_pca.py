import numpy as np
import pytest
from lakecv_plugins.models.pca import PCA
from scipy.linalg import subspace_angles, svd
from sklearn.preprocessing import StandardScaler, normalize

from lakecv.errors import InvalidInput
from lakecv.testing.models import spec_of
from lakecv.testing.serial import fit


def cube(kind):
    rng = np.random.default_rng(0)
    mixed = rng.dirichlet(np.ones(5) / 2, (37, 43)) @ rng.uniform(0, 50, (5, 24))
    return {
        "counts": lambda: rng.poisson(mixed).astype(np.uint16),
        "offset": lambda: (20000 + mixed + rng.normal(0, 2, mixed.shape)).astype(np.int16),
        "float": lambda: (mixed + rng.normal(0, 1, mixed.shape)).clip(0).astype(np.float32),
        "flux": lambda: (mixed + rng.normal(0, 1, mixed.shape)).clip(0) * 1e-17,
        "large": lambda: (mixed + rng.normal(0, 1, mixed.shape)).clip(0) * 1e20,
    }[kind]()


def centred(pixels, scaling):
    pixels = pixels.reshape(-1, pixels.shape[-1]).astype(np.float64)
    made = {"none": lambda: pixels, "sqrt": lambda: np.sqrt(pixels), "l2": lambda: normalize(pixels),
            "snv": lambda: StandardScaler().fit_transform(pixels.T).T, "zscore": lambda: pixels / pixels.std(axis=0, ddof=1)}
    points = made[scaling]()
    return points - points.mean(axis=0)


def fitted(kind="counts", **options):
    pixels = cube(kind)
    return pixels, fit(PCA(), pixels, spec_of(pixels, (16, 16)), PCA.Options(**options), 3)


@pytest.mark.parametrize(("kind", "scaling"), [(kind, "none") for kind in ("counts", "offset", "float", "flux", "large")]
                         + [("counts", scaling) for scaling in ("sqrt", "l2", "snv", "zscore")] + [("flux", "zscore")])
def test_components_and_variances_are_those_of_a_full_svd(kind, scaling):
    pixels, got = fitted(kind, components=4, scaling=scaling)
    _, singular, vectors = svd(centred(pixels, scaling), full_matrices=False)
    variance = singular**2 / (pixels.shape[0] * pixels.shape[1] - 1)
    rtol = 1e-8 if scaling in {"none", "zscore"} else 1e-6  # the others scale in float32
    np.testing.assert_allclose(got.tables["explained_variance"], variance[:4], rtol=rtol)
    np.testing.assert_allclose(got.tables["explained_variance_ratio"], (variance / variance.sum())[:4], rtol=rtol)
    assert subspace_angles(got.tables["loadings"].T, vectors[:4].T).max() < 1e-5


@pytest.mark.parametrize("kind", ["counts", "offset", "flux"])
@pytest.mark.parametrize("scaling", ["none", "zscore"])
def test_scores_are_the_projections(kind, scaling):
    pixels, got = fitted(kind, components=3, scaling=scaling)
    expected = centred(pixels, scaling) @ got.tables["loadings"].T
    np.testing.assert_allclose(got.arrays["scores"].reshape(-1, 3), expected, atol=1e-5 * np.abs(expected).max())


def test_the_largest_loading_of_every_component_is_positive():
    loadings = fitted(components=6)[1].tables["loadings"]
    assert (loadings[np.arange(6), np.abs(loadings).argmax(axis=1)] > 0).all()


def test_the_mean_is_that_of_all_pixels():
    pixels, got = fitted(components=2)
    np.testing.assert_allclose(got.tables["mean"], pixels.reshape(-1, 24).mean(axis=0), rtol=1e-13)


def test_a_constant_band_has_no_loading_under_zscore():
    pixels = cube("float")
    pixels[..., 5] = 3.3
    got = fit(PCA(), pixels, spec_of(pixels, (16, 16)), PCA.Options(components=3, scaling="zscore"), 3)
    assert np.abs(got.tables["loadings"][:, 5]).max() < 1e-12
    assert np.isfinite(got.arrays["scores"]).all()


@pytest.mark.parametrize("components", [0, -1])
def test_no_components_are_refused(components):
    with pytest.raises(InvalidInput):
        PCA.Options(components=components)


def test_more_components_than_channels_are_refused():
    with pytest.raises(InvalidInput):
        PCA().workload({"cube": spec_of(cube("counts"), (16, 16))}, PCA.Options(components=25))


def test_variances_under_zscore_are_the_eigenvalues_of_the_correlation_matrix():
    pixels, got = fitted("offset", components=24, scaling="zscore")
    expected = np.linalg.eigvalsh(np.corrcoef(pixels.reshape(-1, 24).astype(np.float64), rowvar=False))[::-1]
    np.testing.assert_allclose(got.tables["explained_variance"], expected, rtol=1e-8)
