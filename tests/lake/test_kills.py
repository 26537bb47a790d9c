"""Ten drivers killed at random instants, with the lake on a real Ceph RGW."""

import os

import pytest

from tests.stories.kill_loop import kill_loop
from tests.stories.lake_machine import reached


@pytest.mark.timeout(300)
def test_ten_kills_leave_nothing_half_visible_and_nothing_is_done_twice(ceph_server, tmp_path):
    with reached(ceph_server, ceph_server.bucket()) as on:
        tally = kill_loop(tmp_path, 10, int(os.environ.get("LAKECV_KILL_SEED", "20261121")), f"s3://{on.bucket}/kills")
    assert tally.kills >= 10
    assert (tally.half_visible, tally.recomputed, tally.different) == (0, 0, 0)
