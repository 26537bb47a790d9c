import numpy as np
import pytest
from scipy.spatial.distance import cdist

from lakecv.errors import InvalidInput
from lakecv.numerics.neighbours import Space, assign, nearest_two, squares

DTYPES = ["uint8", "uint16", "int16", "int32", "float32", "float64"]


def case(dtype="uint16", rows=1100, bands=17, k=5, offset=0):
    rng = np.random.default_rng(0)
    values = (rng.integers(0, 100, (rows, bands)) + offset).astype(dtype)
    space = Space.around(values.mean(axis=0, dtype=float), 100.0)
    return values, space, space.points(rng.integers(0, 100, (k, bands)) + offset)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_nearest_two_are_scipys(dtype):
    values, space, centroids = case(dtype)
    apart = np.sort(cdist(space.points(values), centroids), axis=1)
    labels, near, second = nearest_two(values, space, centroids)
    assert np.array_equal(labels, cdist(space.points(values), centroids).argmin(axis=1))
    np.testing.assert_allclose(near, apart[:, 0], rtol=1e-5)
    np.testing.assert_allclose(second, apart[:, 1], rtol=1e-5)


def test_spectra_on_a_high_offset_are_told_apart():
    values, space, centroids = case("float64", offset=10_000_000)
    expected = cdist(values - 1e7, space.spectra(centroids) - 1e7).argmin(axis=1)
    assert np.array_equal(assign(values, space, centroids), expected)


def test_a_distance_of_0_is_0():
    values, space, _ = case()
    _, near, second = nearest_two(values, space, space.points(values[:3]))
    assert near[:3].tolist() == [0, 0, 0]
    assert (second[:3] > 0).all()


def test_equally_near_centroids_give_the_lowest_index():
    values, space, centroids = case()
    assert assign(values, space, np.repeat(centroids[:1], 3, axis=0)).max() == 0


@pytest.mark.parametrize("size", [1e-22, 1e22])
def test_very_small_and_very_large_units_give_the_same_labels(size):
    values, space, centroids = case("float64")
    other = Space.around(values.mean(axis=0) * size, 100.0 * size)
    assert np.array_equal(assign(values * size, other, other.points(space.spectra(centroids) * size)),
                          assign(values, space, centroids))


def test_squares_leave_out_what_is_not_valid():
    values, space, _ = case()
    valid = np.random.default_rng(1).random(len(values)) > 0.3
    assert squares(values, space, valid) == pytest.approx(np.square(space.points(values[valid])).sum(), rel=1e-6)


def test_a_band_without_spread_goes_to_the_centre_and_back():
    space = Space.standard(np.array([1.0, 2.0]), np.array([0.0, 4.0]))
    assert space.points(np.array([9.0, 10.0])).tolist() == [0.0, 2.0]
    assert space.spectra(np.array([0.0, 2.0])).tolist() == [1.0, 10.0]


def test_data_on_another_axis_are_refused():
    _, space, centroids = case()
    with pytest.raises(InvalidInput):
        assign(np.zeros((4, 3), np.uint8), space, centroids)
