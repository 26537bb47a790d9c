import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from lakecv.errors import InvalidInput
from lakecv.numerics.scores import adjusted_rand_index, distances, inertia, silhouette, silhouette_of


def blobs(n=600, spread=2.0, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, n)
    return (rng.normal(0, 6, (4, 5))[labels] + rng.normal(0, spread, (n, 5)) + 1000).astype(np.float32), labels


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), min_size=2, max_size=80))
def test_the_rand_index_is_sklearns(pairs):
    a, b = np.array(pairs).T
    assert adjusted_rand_index(a, b) == pytest.approx(metrics.adjusted_rand_score(a, b), abs=1e-12)


def test_the_rand_index_of_a_large_picture_does_not_overflow():
    a = np.random.default_rng(0).integers(0, 3, 2_000_000)
    assert adjusted_rand_index(a, (a + 1) % 3) == 1.0


def test_label_maps_of_different_size_cannot_be_compared():
    with pytest.raises(InvalidInput):
        adjusted_rand_index(np.zeros(3, int), np.zeros(4, int))


def test_the_silhouette_is_sklearns():
    points, labels = blobs()
    assert silhouette(points, labels, 0)[0] == pytest.approx(metrics.silhouette_score(points.astype(float), labels), abs=1e-5)


def test_a_point_alone_in_its_cluster_counts_0():
    points, labels = blobs(60)
    labels[7] = 9
    assert silhouette_of(distances(points), labels)[0] == pytest.approx(
        metrics.silhouette_score(points.astype(float), labels), abs=1e-5)


def test_the_interval_of_a_sample_covers_the_whole_19_times_in_20():
    points, labels = blobs(4000, 3.0)
    truth = metrics.silhouette_score(points.astype(float), labels)
    spans = [silhouette(points, labels, seed, 200) for seed in range(100)]
    assert sum(low <= truth <= high for _, low, high in spans) >= 89


def test_one_cluster_has_no_silhouette():
    assert np.isnan(silhouette(blobs(20)[0], np.zeros(20, int), 0)).all()


def test_inertia_is_the_sum_of_squared_distances():
    points, labels = blobs()
    centroids = np.stack([points[labels == own].astype(float).mean(axis=0) for own in range(4)])
    assert inertia(points, labels, centroids) == pytest.approx(((points.astype(float) - centroids[labels]) ** 2).sum(), rel=1e-12)
