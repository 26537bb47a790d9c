import numpy as np
import pytest
from lakecv_plugins.models.noise import edge_of_counts, edge_of_differences
from lakecv_plugins.models.pca import PCA
from scipy.linalg import eigh, subspace_angles, svd
from sklearn.preprocessing import StandardScaler, normalize

from lakecv.errors import InvalidInput, Kind
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


# --- by signal to noise -----------------------------------------------------------------------------------------------------
def stripes(noise, seed=0, bands=16, shape=(48, 48)):
    """Three smooth patterns of falling strength, under noise that is much larger in the last bands (float64)."""
    rng = np.random.default_rng(seed)
    y, x = np.meshgrid(*(np.linspace(0, 1, size) for size in shape), indexing="ij")
    patterns = np.stack([np.sin(2 * y), np.cos(2 * x), x * y], axis=2)
    spectra = rng.uniform(0, 1, (3, bands)) * np.array([[8.0], [4.0], [2.0]])
    return patterns @ spectra + rng.normal(0, 1, (*shape, bands)) * noise * np.geomspace(0.2, 20, bands)


def neighbours(pixels, step=16):
    """Noise covariance from neighbours in a row, none across the cells of 16 by 16 pixels (NumPy alone)."""
    parts = [np.diff(pixels[:, start : start + step], axis=1).reshape(-1, pixels.shape[2]) for start in range(0, pixels.shape[1], step)]
    differences = np.concatenate(parts)
    return differences.T @ differences / (2 * len(differences))


def fitted_on(pixels, **options):
    return fit(PCA(), pixels, spec_of(pixels, (16, 16)), PCA.Options(**options), 3)


def test_noise_adjusted_components_are_those_of_the_generalised_eigenproblem():
    pixels = stripes(1.0)
    got = fitted_on(pixels, components=16, noise="differences")
    covariance = np.cov(pixels.reshape(-1, 16), rowvar=False)
    ratios, vectors = eigh(covariance, neighbours(pixels))
    np.testing.assert_allclose(got.tables["explained_variance"], ratios[::-1], rtol=1e-6)
    for mine, theirs in zip(got.tables["loadings"][:3], vectors[:, ::-1].T[:3], strict=True):
        assert abs(mine @ theirs) / np.linalg.norm(mine) / np.linalg.norm(theirs) == pytest.approx(1.0, abs=1e-7)


def test_the_noise_is_equally_large_in_all_components_and_filters_are_no_longer_than_1():
    pixels = stripes(1.0)
    got = fitted_on(pixels, components=16, noise="differences")
    filters, spread = got.tables["loadings"], got.state.attributes["noise"]
    np.testing.assert_allclose(filters @ neighbours(pixels) @ filters.T, spread**2 * np.eye(16), atol=1e-6 * spread**2)
    assert np.linalg.norm(filters, axis=1).max() == pytest.approx(1.0)


def test_a_pattern_below_loud_noise_is_found_where_variance_does_not_find_it():
    pixels, clean = stripes(1.0), stripes(0.0).reshape(-1, 16)
    truth = svd(clean - clean.mean(axis=0), full_matrices=False)[0][:, :1]
    best = {}
    for noise in ("none", "differences"):
        scores = fitted_on(pixels, components=1, noise=noise).arrays["scores"].reshape(-1, 1).astype(np.float64)
        best[noise] = abs(np.corrcoef(scores[:, 0], truth[:, 0])[0, 1])
    assert best["differences"] > 0.95
    assert best["none"] < 0.5


@pytest.mark.parametrize("seed", range(3))
def test_the_rank_of_three_patterns_is_three_and_that_of_noise_is_none(seed):
    assert fitted_on(stripes(0.02, seed), components=8, noise="differences").state.attributes["above_noise"] == 3
    alone = np.random.default_rng(seed).normal(0, 1, (64, 64, 16)) * np.geomspace(0.1, 10, 16)
    assert fitted_on(alone, components=8, noise="differences").state.attributes["above_noise"] == 0


@pytest.mark.parametrize("seed", range(3))
def test_the_rank_of_counts_is_the_number_of_independent_sources(seed):
    rng = np.random.default_rng(seed)
    spectra = rng.gamma(0.5, 12.0, (4, 60))
    counts = rng.poisson(rng.dirichlet(np.ones(4), (50, 60)) @ spectra).astype(np.uint16)
    got = fitted_on(counts, components=8, noise="poisson", rank="auto")
    assert got.state.attributes["above_noise"] == 3  # four sources that add up to one have three degrees of freedom
    assert np.abs(got.arrays["scores"][..., :3]).max() > 0
    assert np.abs(got.arrays["scores"][..., 3:]).max() == 0


def test_counts_are_divided_by_the_root_of_the_mean_spectrum():
    counts = cube("counts")
    pixels = counts.reshape(-1, 24).astype(np.float64)
    scaled = pixels / np.sqrt(pixels.mean(axis=0))
    got = fitted_on(counts, components=4, noise="poisson")
    expected = np.linalg.eigvalsh(np.cov(scaled, rowvar=False))[::-1][:4]
    np.testing.assert_allclose(got.tables["explained_variance"], expected, rtol=1e-8)
    projected = (scaled - scaled.mean(axis=0)) @ got.tables["loadings"].T
    np.testing.assert_allclose(got.arrays["scores"].reshape(-1, 4), projected, atol=1e-5 * np.abs(projected).max())


def test_a_band_without_counts_does_no_harm():
    counts = cube("counts")
    counts[..., 7] = 0
    for noise in ("poisson", "differences"):
        got = fitted_on(counts, components=3, noise=noise)
        assert np.isfinite(got.arrays["scores"]).all()
        assert np.abs(got.tables["loadings"][:, 7]).max() < 1e-9


def test_the_edge_of_the_noise_is_that_of_simulated_counts():
    """The largest of 300 pictures of noise alone lies above the limit in about 1 of 100 (5 standard deviations of that)."""
    rng = np.random.default_rng(5)
    largest = [np.linalg.eigvalsh(np.cov(rng.normal(size=(400, 40)), rowvar=False))[-1] for _ in range(300)]
    assert np.mean(largest > np.float64(edge_of_counts(400, 40))) <= 0.01 + 5 * np.sqrt(0.01 * 0.99 / 300)
    assert np.median(largest) > 0.9 * edge_of_counts(400, 40)


def test_the_edge_of_measured_noise_lies_above_that_of_known_noise_and_needs_enough_pairs():
    assert edge_of_differences(4000, 3900, 40) > edge_of_counts(4000, 40)
    assert edge_of_differences(10**9, 10**9, 4) == pytest.approx(1.0, abs=1e-3)
    assert edge_of_differences(400, 50, 40) == np.inf


@pytest.mark.parametrize("options", [{"noise": "poisson", "scaling": "sqrt"}, {"noise": "differences", "scaling": "zscore"}, {"rank": "auto"}])
def test_weights_that_contradict_each_other_are_refused(options):
    with pytest.raises(InvalidInput) as caught:
        PCA.Options(**options)
    assert caught.value.kind is Kind.OPTION_INVALID


def test_samples_below_0_are_no_counts():
    pixels = stripes(1.0)
    with pytest.raises(InvalidInput, match="counts are not below 0"):
        PCA().workload({"cube": spec_of(pixels, (16, 16))}, PCA.Options(noise="poisson"))


def test_pixels_without_neighbours_have_no_noise_to_measure():
    pixels = stripes(1.0)[:, :1]
    with pytest.raises(InvalidInput, match="no pixel has a usable neighbour") as caught:
        fitted_on(pixels, components=2, noise="differences")
    assert caught.value.kind is Kind.NOTHING_VALID


def test_a_picture_without_noise_is_refused():
    with pytest.raises(InvalidInput, match="never differ"):
        fitted_on(np.repeat(stripes(1.0)[:, :1], 20, axis=1), components=2, noise="differences")
