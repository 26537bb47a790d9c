"""Fifty drivers killed at random instants, and three through Dask."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest
from kill_loop import half_visible, kill_loop, make_cube, result_digest

from lakecv.api import Lake
from lakecv.ports import ReadHints

LAKECV = [sys.executable, "-c", "from lakecv.cli import main; raise SystemExit(main())"]


@pytest.mark.timeout(300)
def test_fifty_kills_leave_nothing_half_visible_and_nothing_is_done_twice(tmp_path):
    tally = kill_loop(tmp_path, kills=50, seed=int(os.environ.get("LAKECV_KILL_SEED", "20261121")))
    assert tally.kills >= 50
    assert (tally.half_visible, tally.recomputed, tally.different) == (0, 0, 0)


@pytest.mark.timeout(240)
def test_three_drivers_killed_over_dask_end_in_the_same_result(tmp_path):
    make_cube(tmp_path / "cube.npy", ny=260, nx=260, depth=40)
    digests = []
    for name, kills in (("calm", 0), ("killed", 3)):
        lake = tmp_path / name
        Lake(lake, scope="kill").register(tmp_path / "cube.npy", "kill:cube", hints=ReadHints(dims="y,x,spectral"))
        rng = random.Random(7)
        for _ in range(kills):
            driver = dask_driver(lake)
            time.sleep(rng.uniform(1.5, 4.0))
            driver.send_signal(signal.SIGKILL)
            driver.wait(30)
            assert half_visible(lake) == 0
        assert dask_driver(lake).wait(120) == 0
        digests.append(result_digest(lake))
    assert digests[0] == digests[1]


def dask_driver(lake):
    command = [*LAKECV, "--lake", str(lake), "run", "pca+kmeans", "kill:cube", "--set", "k=3", "--set", "components=3",
               "--set", "pca.scaling=sqrt", "--scope", "kill"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
