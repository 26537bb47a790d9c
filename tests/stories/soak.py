"""The full counts, by hand: kills of a driver in process, with Dask workers, on moto, Ceph and Rucio, and steps on whole lakes.

Appends what it did to ``docs/soak.md``: machine, commit, seed, counts.  ``python tests/stories/soak.py --help``.
"""

import argparse
import fcntl
import logging
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from fault_soak import named_server  # noqa: E402
from kill_loop import (  # noqa: E402
    Tally,
    commits,
    half_visible,
    kill_loop,
    prepare,
    read_log,
    result_digest,
    results,
    rucio_kill_loop,
)
from slurm_kills import KINDS, SLURM, slurm_kill_loop  # noqa: E402
from test_kills import dask_driver  # noqa: E402

from tests.servers import lake  # noqa: E402
from tests.stories.lake_machine import InAFolder, LakeMachine, reached, take_steps  # noqa: E402
from tests.stories.rucio_machine import standing_on  # noqa: E402


def dask_kills(folder, kills, seed):
    """Kill drivers that have Dask workers, at random instants; finish each run and compare."""
    import shutil

    rng, tally, template = random.Random(seed), Tally(), prepare(folder)
    calm = folder / "calm"
    shutil.copytree(template, calm)
    started = time.monotonic()
    assert dask_driver(calm).wait(300) == 0
    whole, expected = time.monotonic() - started, result_digest(calm)
    while tally.kills < kills:
        lake, status = folder / "lake-killed", None
        shutil.copytree(template, lake)
        while status != 0:
            before, begun = commits(lake), len(read_log(lake.with_suffix(".log")))
            driver = dask_driver(lake)
            if rng.random() < 0.85 and tally.kills < kills:
                time.sleep(rng.uniform(0.3, whole))
                driver.send_signal(signal.SIGKILL)
            status = driver.wait(300)
            tally.kills += status == -signal.SIGKILL
            tally.recomputed += len(before & set(read_log(lake.with_suffix(".log"))[begun:]))
            tally.half_visible += half_visible(lake)
            tally.different += bool(before - commits(lake)) and not results(lake)  # a record never goes before the result is there
        tally.runs += 1
        tally.different += result_digest(lake) != expected
        shutil.rmtree(lake)
        lake.with_suffix(".log").unlink(missing_ok=True)
    return tally


def kills_on(server):
    """Make a loop of kills whose lakes lie in a bucket."""

    def loop(folder, kills, seed):
        with named_server(server) as found, reached(found, found.bucket()) as on:
            return kill_loop(folder, kills, seed, f"s3://{on.bucket}/kills")

    return loop


def kills_on_rucio(folder, kills, seed):
    """Kill drivers that register and run on a real Rucio lake."""
    with a_rucio_lake() as real:
        return rucio_kill_loop(folder, kills, seed, real)


def kills_on_slurm(kind):
    """Make a loop that kills one kind of thing that a run over two sites of a real Slurm stands on."""

    def loop(folder, kills, seed):
        with tempfile.TemporaryDirectory(dir="/tmp") as place:  # sockets have short names
            slurm = Path(place) / "s"
            subprocess.run([*SLURM, "start", slurm], check=True, timeout=120, capture_output=True)
            try:
                return slurm_kill_loop(folder, kills, seed, slurm, kind)
            finally:
                subprocess.run([*SLURM, "stop", slurm], check=True, timeout=120, capture_output=True)

    return loop


@contextmanager
def a_rucio_lake():
    """Start a whole data lake: Rucio and its storage elements."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, lake(Path(folder) / "lake") as real:  # sockets have short names
        yield real


def steps_on(where):
    """Make a loop of steps, which ends at the first deviation."""

    def loop(_, steps, seed):
        if where in LOCAL:
            return take_steps(LOCAL[where], steps, seed=seed)
        if where == "rucio":
            with a_rucio_lake() as real, standing_on(real) as machine:
                return take_steps(machine, steps, seed=seed)
        with named_server(where) as server, reached(server, server.bucket()) as machine:
            return take_steps(machine, steps, seed=seed)

    return loop


LOCAL = {"memory": LakeMachine, "folder": InAFolder}
KILLS = {
    "kills": ("driver in process", kill_loop, 1000), "dask": ("driver with Dask workers", dask_kills, 200),
    "moto": ("driver in process, lake on moto", kills_on("moto"), 200),
    "ceph": ("driver in process, lake on Ceph", kills_on("ceph"), 200),
    "rucio": ("driver in process, lake on Rucio", kills_on_rucio, 200),
    **{f"slurm-{kind}": (f"{kind}, two sites of Slurm", kills_on_slurm(kind), 100) for kind in KINDS},
}
STEPS = {"memory": 12_000, "folder": 5000, "ceph": 2000, "moto": 1000, "rucio": 2000}


def made_on():
    """Date, commit (+ = changed since) and machine, as a row begins."""
    git = ["git", "-C", str(HERE)]
    commit, changed = (subprocess.run([*git, *words], capture_output=True, text=True, check=False).stdout.strip()
                       for words in (("rev-parse", "--short", "HEAD"), ("status", "--porcelain", "-uno")))  # fmt: skip
    machine = f"{os.cpu_count()} cores {platform.machine()}, Python {platform.python_version()}"
    return f"| {datetime.now(UTC):%Y-%m-%d} | {commit}{'+' if changed else ''} | {machine}"


def append(table, row):
    """Append a row to the table whose head begins so."""
    print(row, flush=True)
    page = HERE.parents[1] / "docs" / "soak.md"
    with page.open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # two soaks at once lose no row
        before, head, after = file.read().partition(table)
        rows, gap, rest = after.partition("\n\n")
        file.seek(0)
        file.write(f"{before}{head}{rows.rstrip()}\n{row}\n{gap[1:]}{rest}")


def timed(loop, count, seed):
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        done = loop(Path(folder), count, seed)
    return done, f"{time.monotonic() - started:.0f} s"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name, (what, _, usual) in KILLS.items():
        parser.add_argument(f"--{name}", type=int, default=usual, help=f"kills: {what} (default {usual})")
    for name, usual in STEPS.items():
        parser.add_argument(f"--{name}-steps", type=int, default=usual, help=f"steps on whole lakes: {name} (default {usual})")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    given, bad, begun = parser.parse_args(), 0, made_on()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    for name, (what, loop, _) in KILLS.items():
        if count := getattr(given, name.replace("-", "_")):
            tally, took = timed(loop, count, given.seed)
            counts = f"{tally.kills} | {tally.runs} | {tally.half_visible} | {tally.recomputed} | {tally.different}"
            append("| date | commit | machine | loop |", f"{begun} | {what} | {given.seed} | {counts} | {took} |")
            bad += tally.violations
    for name in STEPS:
        if count := getattr(given, f"{name}_steps"):
            taken, took = timed(steps_on(name), count, given.seed)
            append("| date | commit | machine | lake |", f"{begun} | {name} | {given.seed} | {taken} | 0 | {took} |")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
