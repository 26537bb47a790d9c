"""Three of each thing that a run over two sites of a real Slurm stands on are killed in the middle."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "stories"))

from slurm_kills import KINDS, slurm_kill_loop


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_outlives_what_it_stands_on_and_nothing_is_done_twice(kind, slurm_folder, tmp_path):
    tally = slurm_kill_loop(tmp_path, 3, int(os.environ.get("LAKECV_KILL_SEED", "20261121")), slurm_folder, kind)
    assert tally.kills >= 3
    assert (tally.half_visible, tally.recomputed, tally.different) == (0, 0, 0)
