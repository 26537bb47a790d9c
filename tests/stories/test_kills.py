"""Fifty drivers killed at random instants, ten with the lake in a bucket, and three through Dask."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kill_loop import commits, half_visible, kill_loop, make_cube, read_log, result_digest

from lakecv.api import Lake
from lakecv.ports import ReadHints
from tests.stories.lake_machine import reached

LAKECV = [sys.executable, "-c", "from lakecv.cli import main; raise SystemExit(main())"]


@pytest.mark.timeout(300)
def test_fifty_kills_leave_nothing_half_visible_and_nothing_is_done_twice(tmp_path):
    tally = kill_loop(tmp_path, kills=50, seed=int(os.environ.get("LAKECV_KILL_SEED", "20261121")))
    assert tally.kills >= 50
    assert (tally.half_visible, tally.recomputed, tally.different) == (0, 0, 0)


@pytest.mark.timeout(300)
def test_ten_kills_with_the_lake_in_a_bucket(tmp_path, moto_server):
    with reached(moto_server, moto_server.bucket()) as on:
        tally = kill_loop(tmp_path, 10, int(os.environ.get("LAKECV_KILL_SEED", "20261121")), f"s3://{on.bucket}/kills")
    assert tally.kills >= 10
    assert (tally.half_visible, tally.recomputed, tally.different) == (0, 0, 0)


@pytest.mark.timeout(240)
def test_three_drivers_killed_over_dask_end_in_the_same_result(tmp_path):
    make_cube(tmp_path / "cube.npy", ny=260, nx=260, depth=40)
    digests = []
    for name, kills in (("calm", 0), ("killed", 3)):
        lake = tmp_path / name
        Lake(lake, scope="kill").register(tmp_path / "cube.npy", "kill:cube", hints=ReadHints(dims="y,x,spectral"))
        rng = random.Random(7)
        for kill in range(kills + 1):
            before, begun = commits(lake), len(read_log(lake.with_suffix(".log")))
            driver = dask_driver(lake)
            if kill < kills:
                time.sleep(rng.uniform(1.5, 4.0))
                driver.send_signal(signal.SIGKILL)
            assert driver.wait(120) in {0, -signal.SIGKILL}
            assert half_visible(lake) == 0
            assert not before & set(read_log(lake.with_suffix(".log"))[begun:])
        assert read_log(lake.with_suffix(".log"))
        digests.append(result_digest(lake))
    assert digests[0] == digests[1]


def dask_driver(lake):
    """Start ``lakecv run``, whose workers note what they compute beside the lake."""
    command = [*LAKECV, "--lake", str(lake), "run", "pca+kmeans", "kill:cube", "--set", "k=3", "--set", "components=3",
               "--set", "pca.scaling=sqrt", "--scope", "kill"]
    log = {"DASK_DISTRIBUTED__WORKER__PRELOAD": str(Path(__file__).with_name("preload_log.py")), "KILL_LOG": f"{lake}.log"}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, start_new_session=True, env=os.environ | log, **quiet)
