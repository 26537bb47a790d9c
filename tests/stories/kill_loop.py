"""Kills drivers at random instants and looks at what is left: the story behind invariants 4 and 5 of the lake.

After every kill: what the catalog shows is whole and right, what it does not show no Zarr client sees half of, and no task
that had a commit record before is computed again.  Used by the tests with few kills and by the soak with many.
"""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lakecv.api import Lake
from lakecv.ports import ReadHints

SERVER = Path(__file__).with_name("kill_server.py")


@dataclass
class Tally:
    """What a loop of kills came to."""

    kills: int = 0
    runs: int = 0
    half_visible: int = 0
    recomputed: int = 0
    different: int = 0

    @property
    def violations(self):
        return self.half_visible + self.recomputed + self.different


def make_cube(path, ny=150, nx=140, depth=12, seed=5):
    """A picture of three materials in counts, in six chunks of the lake's own layout (cut by the spectral depth)."""
    rng = np.random.default_rng(seed)
    spectra = rng.gamma(2.0, 2.0, (3, depth))
    where = (np.add.outer(np.arange(ny), np.arange(nx)) // 40) % 3
    np.save(path, rng.poisson(spectra[where]).astype("uint16"))


def prepare(folder):
    """A lake with one registered cube, to be copied for every run."""
    source, lake = folder / "cube.npy", folder / "lake"
    make_cube(source)
    Lake(lake, scope="kill").register(source, "kill:cube", hints=ReadHints(dims="y,x,spectral"))
    return lake


class Server:
    """The fork server as a context."""

    def __enter__(self):
        self._process = subprocess.Popen(
            [sys.executable, str(SERVER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()

    def drive(self, lake, log, seed, kill_after=None):
        """Start a driver, kill it after some seconds (None = never); return exit status and seconds."""
        self._process.stdin.write(f"{lake} {log} {seed}\n")
        self._process.stdin.flush()
        started = time.monotonic()
        pid = int(self._process.stdout.readline())
        if kill_after is not None:
            time.sleep(kill_after)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        status = int(self._process.stdout.readline())
        return status, time.monotonic() - started


def commits(lake):
    """Tasks that have a commit record, as ``run task``."""
    found = set()
    for path in lake.glob("work/*/commits/**/*.json"):
        run, _, *task = path.relative_to(lake / "work").with_suffix("").parts
        found.add(f"{run} {'/'.join(task)}")
    return found


def half_visible(lake):
    """Count arrays that a plain Zarr client can open while objects of theirs are missing, and results that are not whole."""
    bad = 0
    for path in lake.glob("data/**/zarr.json"):
        metadata = json.loads(path.read_text())
        if metadata["node_type"] == "array":
            grid = metadata["chunk_grid"]["configuration"]["chunk_shape"]
            counts = [-(-size // chunk) for size, chunk in zip(metadata["shape"], grid, strict=True)]
            keys = ["/".join(["c", *map(str, at)]) for at in np.ndindex(*counts)]
            bad += not all((path.parent / key).is_file() for key in keys)
        else:
            names = metadata["consolidated_metadata"]["metadata"]
            bad += not all((path.parent / name / "zarr.json").is_file() for name in names)
    opened = Lake(lake, scope="kill")
    for dataset in opened.ls():
        bad += not opened.verify(str(dataset.did)).ok
    return bad


def read_log(log):
    return log.read_text().splitlines() if log.exists() else []


def kill_loop(folder, kills, seed):
    """Kill drivers until ``kills`` were killed; finish every run and compare it with one that was left alone."""
    rng, tally = random.Random(seed), Tally()
    template = prepare(folder)
    with Server() as server:
        calm, log = folder / "calm", folder / "calm.log"
        shutil.copytree(template, calm)
        status, _ = server.drive(calm, log, 0)
        assert status == 0
        shutil.rmtree(calm)
        shutil.copytree(template, calm)
        status, whole = server.drive(calm, folder / "calm2.log", 0)
        expected = result_digest(calm)
        while tally.kills < kills:
            one_run(server, template, folder / f"run-{tally.runs}", (rng, whole, expected), tally)
    return tally


def one_run(server, template, lake, known, tally):
    """One run, killed as often as chance will, then finished."""
    rng, whole, expected = known
    shutil.copytree(template, lake)
    log, status = lake.with_suffix(".log"), None
    while status != 0:
        before, begun = commits(lake), len(read_log(log))
        finish = rng.random() < 0.2
        status, _ = server.drive(lake, log, rng.randrange(1000), None if finish else rng.uniform(0, whole * 1.1))
        tally.kills += status == -signal.SIGKILL
        assert status in {0, -signal.SIGKILL}, f"the driver ended with {status}"
        tally.recomputed += len(before & set(read_log(log)[begun:]))
        tally.half_visible += half_visible(lake)
    tally.runs += 1
    tally.different += result_digest(lake) != expected
    shutil.rmtree(lake)
    log.unlink()


def results(lake):
    """Results that the catalog shows."""
    return [dataset for dataset in Lake(lake, scope="kill").ls() if dataset.made_by]


def result_digest(lake):
    """Digest of the data of the one result."""
    [result] = results(lake)
    return result.digest
