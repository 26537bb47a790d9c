"""Reading from afar: the model against what was measured on shaped links, and the rules of when it pays."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lakecv.planning.reading import delay_seconds, read_seconds, staging_pays, worth_stealing
from lakecv.site import Link

_CHUNK = 4 << 20  # bytes; 64 of them were read from a Zarr over S3, at MB/s as measured with so many streams
_M200, _M1000 = 23.5e6, 109.4e6  # bytes/s of the 200 Mbit/s and 1 Gbit/s links without delay, as measured
MEASURED = [
    (_M200, 0.020, 1, 12.2), (_M200, 0.020, 10, 23.3), (_M200, 0.020, 32, 20.9),
    (_M1000, 0.020, 1, 16.1), (_M1000, 0.020, 10, 79.9), (_M1000, 0.020, 32, 92.3),
    (_M200, 0.080, 1, 4.5), (_M200, 0.080, 32, 21.5),
]  # fmt: skip
ONE_CHUNK = [(25e6, 0.020, 0.340), (125e6, 0.020, 0.250), (25e6, 0.080, 0.919)]

amounts, times = st.floats(0, 1e12), st.floats(0, 1e4)
counts, rates, trips, streams = st.integers(1, 10**6), st.floats(1e3, 1e11), st.floats(0, 2), st.integers(1, 256)


@pytest.mark.parametrize(("rate", "trip", "streams", "speed"), MEASURED)
def test_a_pass_takes_as_long_as_was_measured(rate, trip, streams, speed):
    seconds = read_seconds(64 * _CHUNK, 64, Link("far", rate, trip, streams))
    assert seconds == pytest.approx(64 * _CHUNK / (speed * 1e6), rel=0.15)


@pytest.mark.parametrize(("rate", "trip", "seconds"), ONE_CHUNK)
def test_one_object_takes_as_long_as_was_measured(rate, trip, seconds):
    assert read_seconds(_CHUNK, 1, Link("far", rate, trip)) == pytest.approx(seconds, rel=0.15)


def test_where_the_model_is_wrong_it_says_too_much():
    measured = 64 * _CHUNK / 22.4e6  # 200 Mbit/s, 80 ms, 10 streams
    assert measured < read_seconds(64 * _CHUNK, 64, Link("far", _M200, 0.080, 10)) < 1.4 * measured


@given(amounts, amounts, counts, counts, rates, trips, streams)
def test_more_bytes_or_objects_never_take_less(nbytes, more, nobjects, others, rate, trip, streams):  # noqa: PLR0917
    link = Link("far", rate, trip, streams)
    seconds = read_seconds(nbytes, nobjects, link)
    assert read_seconds(nbytes + more, nobjects, link) >= seconds * (1 - 1e-12)
    full = max(nobjects, streams)  # up to there more objects only fill streams that were free
    assert read_seconds(nbytes, full + others, link) >= read_seconds(nbytes, full, link) * (1 - 1e-12)
    assert read_seconds(nbytes, min(nobjects + others, full), link) <= seconds * (1 + 1e-12)


@given(amounts, counts, rates, trips, streams, st.floats(1, 100))
def test_a_worse_link_never_takes_less(nbytes, nobjects, rate, trip, streams, worse):  # noqa: PLR0917
    seconds = read_seconds(nbytes, nobjects, Link("far", rate, trip, streams))
    assert read_seconds(nbytes, nobjects, Link("far", rate / worse, trip, streams)) >= seconds
    assert read_seconds(nbytes, nobjects, Link("far", rate, trip * worse, streams)) >= seconds
    assert read_seconds(nbytes, nobjects, Link("far", rate, trip, max(1, int(streams / worse)))) >= seconds


def test_nothing_to_read_takes_no_time():
    assert read_seconds(0, 0, Link("far", 1.0, 1.0)) == 0.0


@given(st.floats(1e-3, 1e4), times, times)
def test_waiting_and_then_going_far_takes_at_most_twice_the_best_in_hindsight(near, more, free_after):
    far = near + more
    wait = delay_seconds(far, near)
    taken = free_after + near if free_after <= wait else wait + far
    floor = 3.0 if 0 < far - near < 3.0 else 0.0
    assert taken <= 2 * min(free_after + near, far) + floor + 1e-9


@pytest.mark.parametrize(
    ("far", "near", "walltime", "wait"), [(60, 10, None, 50), (60, 10, 300, 30), (10.5, 10, None, 3), (10.5, 10, 20, 2), (9, 10, None, 0)],
)
def test_the_delay_is_what_far_costs_more_between_its_caps(far, near, walltime, wait):
    assert delay_seconds(far, near, walltime) == wait


def test_nothing_waits_for_a_site_without_workers():
    assert delay_seconds(60, 10, home_works=False) == 0.0


@given(st.floats(0, 1e6), st.floats(1e-3, 1e6), st.integers(0, 10**6), st.integers(1, 1000))
def test_nobody_ends_later_for_a_theft(near, far, blocks, slots):
    taken = worth_stealing(near, far, blocks, slots=slots)
    assert 0 <= taken <= (blocks + 1) // 2
    assert -(-taken // slots) * far <= near * (1 + 1e-9)


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.integers(1, 10**6))
def test_something_is_stolen_exactly_where_the_rest_lasts_longer_than_one_far_block(near, far, blocks):
    assert (worth_stealing(near, far, blocks) > 0) == (near > far)


def test_half_goes_at_once_where_the_other_site_is_as_able():
    assert worth_stealing(100.0, 1.0, 51) == 26
    assert worth_stealing(100.0, 0.0, 51) == 26


@given(st.integers(1, 100), times, times, times)
def test_staging_pays_where_it_ends_sooner(passes, far, copy, near):
    assume(abs(copy + passes * near - passes * far) > 1e-6)
    assert staging_pays(passes, far, copy, near) == (min(passes * far, copy + passes * near) != passes * far)
