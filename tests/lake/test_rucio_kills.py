"""Ten drivers killed at random instants of a registration, a run or a publication, on a real Rucio lake."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "stories"))  # as tests/stories/conftest.py does

from tests.stories.kill_loop import rucio_kill_loop


@pytest.mark.timeout(300)
def test_ten_kills_leave_nothing_half_visible_and_nothing_is_there_twice(real_lake, tmp_path):
    tally = rucio_kill_loop(tmp_path, 10, int(os.environ.get("LAKECV_KILL_SEED", "20261121")), real_lake)
    assert tally.kills >= 10
    assert (tally.half_visible, tally.recomputed, tally.different) == (0, 0, 0)
