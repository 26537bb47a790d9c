"""The full counts, by hand: 1,000 kills of a driver in process and 200 of one with Dask workers.

Appends what it did to ``docs/soak.md``: machine, commit, seed, counts.  ``python tests/stories/soak.py [--kills N] [--dask N]``.
"""

import argparse
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from kill_loop import Tally, commits, half_visible, kill_loop, prepare, read_log, result_digest, results  # noqa: E402
from test_kills import dask_driver  # noqa: E402


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


def row(name, tally, seed, seconds):
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    machine = f"{os.cpu_count()} cores {platform.machine()}, Python {platform.python_version()}"
    return (
        f"| {datetime.now(UTC):%Y-%m-%d} | {commit} | {machine} | {name} | {seed} | {tally.kills} | {tally.runs} | "
        f"{tally.half_visible} | {tally.recomputed} | {tally.different} | {seconds:.0f} s |\n"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--dask", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    given = parser.parse_args()
    page = HERE.parents[1] / "docs" / "soak.md"
    bad = 0
    for name, loop, count in (("driver in process", kill_loop, given.kills), ("driver with Dask workers", dask_kills, given.dask)):
        if count:
            started = time.monotonic()
            with tempfile.TemporaryDirectory() as folder:
                tally = loop(Path(folder), count, given.seed)
            line = row(name, tally, given.seed, time.monotonic() - started)
            print(line, end="", flush=True)
            with page.open("a") as file:
                file.write(line)
            bad += tally.violations
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
