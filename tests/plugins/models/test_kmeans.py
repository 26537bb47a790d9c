from pathlib import Path

import numpy as np
import pytest
from lakecv_plugins.models.kmeans import KMeans
from lakecv_plugins.models.kmeans_start import far_apart, lloyd, plus_plus
from scipy import stats
from sklearn.cluster import KMeans as Peer
from sklearn.preprocessing import StandardScaler, normalize

from lakecv.errors import InvalidInput
from lakecv.testing.models import spec_of
from lakecv.testing.serial import cut, fit

DATA = Path(__file__).parents[3].parent / "shared" / "data"
SCALINGS = ["none", "sqrt", "l2", "snv", "zscore"]


def counts():
    rng = np.random.default_rng(0)
    return rng.poisson(rng.uniform(0, 40, (6, 20))[rng.integers(0, 6, (40, 50))]).astype(np.uint16)


def offset_numbers():
    rng = np.random.default_rng(1)
    return (5000 + rng.normal(0, 60, (5, 12))[rng.integers(0, 5, (37, 41))] + rng.normal(0, 40, (37, 41, 12))).astype(np.int16)


def reflectances():
    rng = np.random.default_rng(2)
    return np.abs(rng.dirichlet(np.ones(4), (33, 45)) @ rng.uniform(0, 1, (4, 30)) + rng.normal(0, 0.02, (33, 45, 30))).astype(np.float32)


def salinas():
    file = DATA / "hsi" / "SalinasA_corrected.mat"
    if not file.exists():
        pytest.skip("the development data are not here")
    from scipy.io import loadmat

    return loadmat(file)["salinasA_corrected"]


CUBES = {each.__name__: each for each in (counts, offset_numbers, reflectances, salinas)}


def scaled(cube, scaling):
    """Scale with formulas or scikit-learn, not with lakecv."""
    pixels = cube.reshape(-1, cube.shape[2]).astype(np.float64)
    return {
        "none": lambda: pixels,
        "sqrt": lambda: np.sqrt(np.maximum(pixels, 0)),
        "l2": lambda: normalize(pixels),
        "snv": lambda: stats.zscore(pixels, axis=1),
        "zscore": lambda: StandardScaler().fit_transform(pixels),
    }[scaling]()


def first_centroids(model, cube, spec, options):
    """Centroids that the first pass assigns pixels to, in the units of the table."""
    once = fit(model, cube, spec, model.Options(**{**options, "passes": 1}), 3)
    return once.tables["centroids"]


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("name", CUBES)
def test_inertia_is_scikit_learns_from_the_same_start(name, scaling):
    cube, options = CUBES[name](), {"k": 5, "scaling": scaling, "tolerance": 0.0}
    spec = spec_of(cube, (16, 16))
    fitted = fit(KMeans(), cube, spec, KMeans.Options(**options), 3)
    start = first_centroids(KMeans(), cube, spec, options)
    points = scaled(cube, scaling)
    peer = Peer(5, init=start, n_init=1, tol=0, max_iter=300, algorithm="lloyd").fit(points)
    labels, centroids = fitted.arrays["labels"].ravel(), fitted.tables["centroids"]
    inertia = np.square(points - centroids[labels]).sum()
    assert inertia == pytest.approx(peer.inertia_, rel=1e-6)
    assert fitted.state.attributes["inertia"] == pytest.approx(inertia, rel=1e-6)


@pytest.mark.parametrize("name", CUBES)
def test_the_map_agrees_with_what_was_counted_to_the_pixel(name):
    cube, model = CUBES[name](), KMeans()
    spec, options = spec_of(cube, (16, 16)), KMeans.Options(k=13, passes=4)
    seen = []

    class Counting(KMeans):
        def update(self, state, sums, options):
            seen.append(sums["counts"])
            return model.update(state, sums, options)

    labels = fit(Counting(), cube, spec, options, 3).arrays["labels"]
    assert np.bincount(labels.ravel(), minlength=13).tolist() == sorted(seen[-1].tolist(), reverse=True)


@pytest.mark.parametrize("scaling", SCALINGS)
def test_distances_and_margins_are_those_to_the_centroids_of_the_table(scaling):
    cube = counts()
    fitted = fit(KMeans(), cube, spec_of(cube, (16, 16)), KMeans.Options(k=4, scaling=scaling), 3)
    apart = np.sqrt(np.square(scaled(cube, scaling)[:, None] - fitted.tables["centroids"]).sum(axis=2))
    apart.sort(axis=1)
    np.testing.assert_allclose(fitted.arrays["distance"].ravel(), apart[:, 0], rtol=2e-5)
    np.testing.assert_allclose(fitted.arrays["margin"].ravel(), apart[:, 1] - apart[:, 0], atol=2e-4)


def test_sums_of_counts_are_whole_numbers_without_error():
    cube, model, options = counts(), KMeans(), KMeans.Options(k=3)
    spec = spec_of(cube, (64, 64))
    state = fit(model, cube, spec, options, 3).first
    [cell] = spec.cells.cells(spec.cells.window)
    sums = model.accumulate({"cube": cut(cube, spec, cell)}, state, options)
    assert sums["sums"].sum(axis=0).tolist() == cube.reshape(-1, 20).sum(axis=0, dtype=np.int64).tolist()


def test_labels_go_by_decreasing_area():
    cube = counts()
    areas = np.bincount(fit(KMeans(), cube, spec_of(cube, (16, 16)), KMeans.Options(k=6), 3).arrays["labels"].ravel())
    assert areas.tolist() == sorted(areas.tolist(), reverse=True)


def test_clusters_that_are_there_are_found():
    rng = np.random.default_rng(4)
    truth = rng.integers(0, 6, (32, 32))
    cube = rng.poisson((np.eye(6) * 80 + 5).repeat(4, axis=1)[truth]).astype(np.uint16)
    labels = fit(KMeans(), cube, spec_of(cube, (16, 16)), KMeans.Options(k="auto"), 3).arrays["labels"]
    assert len(set(zip(truth.ravel(), labels.ravel(), strict=True))) == 6


def test_more_clusters_than_different_spectra_end_and_stay_finite():
    cube = np.zeros((12, 12, 3), np.uint8)
    cube[:6] = 9
    fitted = fit(KMeans(), cube, spec_of(cube, (8, 8)), KMeans.Options(k=5), 3)
    assert np.bincount(fitted.arrays["labels"].ravel()).tolist() == [72, 72]
    assert np.isfinite(fitted.tables["centroids"]).all()


def test_a_constant_picture_is_one_cluster():
    cube = np.full((9, 9, 4), 3.3, np.float64)
    for scaling in SCALINGS:
        fitted = fit(KMeans(), cube, spec_of(cube, (8, 8)), KMeans.Options(k=2, scaling=scaling), 3)
        assert not fitted.arrays["labels"].any()


def test_an_empty_cluster_gets_a_spectrum_that_nothing_is_near():
    cube = counts()
    spec, model, options = spec_of(cube, (64, 64)), KMeans(), KMeans.Options(k=4)
    state = fit(model, cube, spec, options, 3).first
    state.arrays["centroids"][2] = 1e6  # nothing is near it
    [cell] = spec.cells.cells(spec.cells.window)
    sheet = {"cube": cut(cube, spec, cell)}
    step = model.update(state, model.accumulate(sheet, state, options), options)
    assert model.accumulate(sheet, step.state, options)["counts"].min() > 0


@pytest.mark.parametrize("k", [0, 1, -3, "ten", 2.5, True, "", 10**6])
def test_what_is_no_number_of_clusters_is_refused(k):
    with pytest.raises(InvalidInput):
        KMeans.Options(k=k)


@pytest.mark.parametrize("bad", [{"init": "kmeans"}, {"restarts": 0}, {"passes": 0}, {"tolerance": -1}, {"tolerance": np.nan}, {"scaling": "log"}])
def test_options_are_checked_when_they_are_made(bad):
    with pytest.raises(InvalidInput):
        KMeans.Options(**bad)


def test_more_clusters_than_pixels_are_refused_before_anything_runs():
    cube = counts()[:2, :3]
    with pytest.raises(InvalidInput):
        KMeans().workload({"cube": spec_of(cube, (2, 3))}, KMeans.Options(k=7))


@pytest.mark.parametrize(("k", "dtype", "nodata"), [(255, "uint8", 255), (256, "uint16", 65535), ("auto", "uint8", 255)])
def test_labels_leave_the_highest_value_for_no_data(k, dtype, nodata):
    labels = KMeans().workload({"cube": spec_of(counts(), (16, 16))}, KMeans.Options(k=k)).outputs[0]
    assert (labels.dtype, labels.nodata) == (dtype, nodata)


def test_plus_plus_draws_by_the_square_of_the_distance():
    points = np.array([[0.0], [1.0], [2.0], [3.0]], np.float32)
    rng = np.random.default_rng(5)
    pairs = np.array([plus_plus(points, 2, rng) for _ in range(6000)])
    seconds = np.bincount(pairs[pairs[:, 0] == 0, 1], minlength=4)
    assert seconds[0] == 0
    assert stats.chisquare(seconds[1:], seconds.sum() * np.array([1, 4, 9]) / 14).pvalue > 1e-4
    assert stats.chisquare(np.bincount(pairs[:, 0])).pvalue > 1e-4


def test_plus_plus_never_draws_a_point_twice():
    points = np.repeat(np.array([[1.0], [2.0]], np.float32), 4, axis=0)
    assert sorted(plus_plus(points, 8, np.random.default_rng(0)).tolist()) == list(range(8))


def test_lloyd_on_the_sample_is_scikit_learns():
    points = counts().reshape(-1, 20).astype(np.float32)
    start = points[:5].astype(np.float64)
    peer = Peer(5, init=start, n_init=1, tol=0, max_iter=300).fit(points.astype(np.float64))
    assert lloyd(points, start, 300)[2] == pytest.approx(peer.inertia_, rel=1e-6)


def test_spares_lie_far_from_centroids_and_from_each_other():
    points = np.array([[0.0], [1.0], [10.0], [10.5], [-7.0]], np.float32)
    assert far_apart(points, np.array([[0.0]]), 3)[:, 0].tolist() == [10.5, -7.0, 1.0]
