import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakecv.errors import InternalError
from lakecv.numerics.exact import add, exponent, value
from lakecv.numerics.tally import group_sums, label_sums

INTEGERS = ["uint8", "int8", "uint16", "int16", "uint32", "int32"]


def expected(spectra, labels, nlabels):
    """Python integers: no overflow, no rounding."""
    return [[sum(int(v) for v in spectra[labels == own, band]) for band in range(spectra.shape[1])] for own in range(nlabels)]


@pytest.mark.parametrize("dtype", INTEGERS)
def test_sums_of_integers_are_exact_at_both_ends_of_the_type(dtype):
    info = np.iinfo(dtype)
    spectra = np.random.default_rng(0).choice(np.array([info.min, info.max], dtype), (700, 3))
    labels = np.arange(700) % 4
    counts, sums = label_sums(spectra, labels, np.ones(700, bool), 4, 0)
    assert counts.tolist() == [175] * 4
    assert sums.tolist() == expected(spectra, labels, 4)


def test_a_whole_cell_of_the_largest_uint16_does_not_overflow():
    _, sums = group_sums(np.full((40_000, 1), 65535, np.uint16), np.zeros(40_000, int), 1)
    assert sums[0, 0] == 40_000 * 65535


@settings(deadline=None)
@given(st.integers(0, 2**32), st.lists(st.integers(0, 199), max_size=6))
def test_any_split_adds_up_to_the_whole(seed, cuts):
    rng = np.random.default_rng(seed)
    spectra, labels, valid = rng.integers(0, 60000, (200, 3)).astype(np.uint16), rng.integers(0, 5, 200), rng.random(200) > 0.2
    whole = label_sums(spectra, labels, valid, 5, 0)
    total = {}
    for part in np.split(np.arange(200), sorted(cuts)):
        counts, sums = label_sums(spectra[part], labels[part], valid[part], 5, 0)
        total = add(total, {"counts": counts, "sums": sums})
    assert np.array_equal(total["counts"], whole[0])
    assert np.array_equal(total["sums"], whole[1])


def test_means_of_floats_are_those_of_numpy():
    rng = np.random.default_rng(1)
    spectra, labels = rng.normal(5000, 1, (4096, 7)).astype(np.float32), rng.integers(0, 3, 4096)
    e = exponent(6000, 4096)
    counts, sums = label_sums(spectra, labels, np.ones(4096, bool), 3, e)
    means = [spectra[labels == own].astype(np.float64).mean(axis=0) for own in range(3)]
    np.testing.assert_allclose(value(sums, e) / counts[:, None], means, rtol=1e-14)


def test_rows_in_no_group_are_left_out():
    counts, sums = group_sums(np.array([[1.0], [2.0], [np.nan]]), np.array([0, 5, -1]), 2)
    assert (counts.tolist(), sums.tolist()) == ([1, 0], [[1.0], [0.0]])


def test_labels_of_another_length_are_a_bug():
    with pytest.raises(InternalError):
        label_sums(np.zeros((3, 1)), np.zeros(2, int), np.ones(3, bool), 1, 0)
