from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakecv.cube import ArraySpec, Role
from lakecv.errors import Corrupt, InternalError, InvalidInput
from lakecv.numerics.exact import add, exponent, fixed, limits_of, value


@given(st.floats(1e-300, 1e300), st.integers(1, 10**12))
def test_the_scale_is_the_largest_that_cannot_overflow(limit, terms):
    e = exponent(limit, terms)
    assert Fraction(limit) * terms * Fraction(2) ** e < 2**62 <= Fraction(limit) * terms * Fraction(2) ** (e + 1)


def test_nothing_but_zeros_needs_no_scale():
    assert exponent(0.0, 10) == 0


@pytest.mark.parametrize(("limit", "terms"), [(np.inf, 1), (np.nan, 1), (-1.0, 1), (1.0, 0)])
def test_a_sum_without_bounds_has_no_scale(limit, terms):
    with pytest.raises(InvalidInput):
        exponent(limit, terms)


@given(st.lists(st.integers(-(2**50), 2**50), min_size=1))
def test_whole_numbers_are_kept_at_scale_0(numbers):
    sums = fixed(np.array(numbers, np.float64), 0)
    assert sums.tolist() == numbers
    assert value(sums, 0).tolist() == numbers


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=50))
def test_rounding_is_at_most_half_a_step(numbers):
    e = exponent(1e3, 50)
    assert np.all(np.abs(value(fixed(np.array(numbers), e), e) - numbers) <= np.maximum(2.0**-e, np.spacing(np.abs(numbers))))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300, -(2.0**63)])
def test_what_does_not_fit_is_corrupt(bad):
    with pytest.raises(Corrupt) as caught:
        fixed(np.array([0.0, bad]), 0)
    assert "register" in caught.value.hint


@given(st.lists(st.floats(-7, 7), min_size=2, max_size=60), st.randoms())
def test_any_order_and_grouping_gives_the_same_bits(numbers, random):
    e = exponent(7, len(numbers))
    terms = [{"sum": fixed(np.array([number]), e)} for number in numbers]
    whole = {}
    for term in terms:
        whole = add(whole, term)
    while len(terms) > 1:
        random.shuffle(terms)
        terms.append(add(terms.pop(), terms.pop()))
    assert terms[0]["sum"].tobytes() == whole["sum"].tobytes()


def test_a_name_that_one_side_lacks_counts_as_0_and_is_no_view():
    a = {"x": np.array([1], np.int64)}
    total = add(a, {"y": np.array([2], np.int64)})
    total["x"][0] = 5
    assert (a["x"][0], total["y"][0]) == (1, 2)


@pytest.mark.parametrize("other", [np.zeros(2, np.int64), np.zeros(1, np.float64), np.zeros(1, np.int32)])
def test_sums_of_different_kinds_cannot_be_added(other):
    with pytest.raises(InternalError):
        add({"x": np.zeros(1, np.int64)}, {"x": other})


@pytest.mark.parametrize("sign", [1, -1])
def test_a_sum_that_wraps_around_is_found_out(sign):
    near = {"x": np.array([sign * (2**63 - 1)], np.int64)}
    with pytest.raises(Corrupt):
        add(near, near)


def test_an_array_without_limits_says_what_to_do():
    with pytest.raises(InvalidInput) as caught:
        limits_of(ArraySpec("data", Role.DATA, ("y", "x"), (1, 1), "uint8", (1, 1)))
    assert "register" in caught.value.hint
