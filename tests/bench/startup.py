"""How long a user waits before anything happens: help, a listing, the first byte of a catalog read.

Every figure is the median over fresh processes, from the moment before the process is started.
"""

import json
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from lakecv import registry
from lakecv.api import Lake
from lakecv.records import DID
from lakecv.testing.catalog import a_manifest
from tests.bench.cubes import write_counts
from tests.bench.table import Row

SECTION = "Start-up"
_LAKECV = "from lakecv.cli import main; raise SystemExit(main())"
# CLOCK_MONOTONIC is one for all processes, so the child can subtract the parent's reading
_FIRST_BYTE = """
import sys, time
began = float(sys.argv.pop(1))
from lakecv_plugins.storage.objects import ObstoreObjects
seen = []
def timed(usual):
    def call(self, *words):
        seen.append(time.monotonic() - began)
        return usual(self, *words)
    return call
for name in ("get", "get_ranges", "list", "head"):
    setattr(ObstoreObjects, name, timed(getattr(ObstoreObjects, name)))
import atexit
atexit.register(lambda: print(seen[0], file=sys.stderr))
"""


def measure(*, toy=False):
    """Rows for help, an empty listing, a listing of many datasets, and the first byte of ``show``."""
    times, count = (1, 3) if toy else (7, 100)
    with TemporaryDirectory(prefix="lakecv-bench-") as folder:
        full, empty = Path(folder) / "full", Path(folder) / "empty"
        _fill(full, count)
        listed, found = _timed(["ls", "--json"], full, times)
        if len(json.loads(found)["datasets"]) != count:
            raise RuntimeError(f"{count} datasets were registered and others listed")
        figures = [
            ("`lakecv --help`", _timed(["--help"], empty, times)[0], "0.30"),
            ("`lakecv ls`, no dataset", _timed(["ls"], empty, times)[0], ""),
            (f"`lakecv ls`, {count} datasets", listed, ""),
            ("`lakecv show`, first byte of I/O", _first_byte(["show", "bench:cube"], full, times), "1.0"),
        ]
    return [Row(SECTION, (what, f"{seconds:.3f}", bound)) for what, seconds, bound in figures]


def _fill(lake, count):
    """Register one small cube, then enter it under other names."""
    lake.mkdir()
    source = write_counts(lake.parent / "cube.npy", (8, 8, 16))
    dataset = Lake(lake, scope="bench").register(source, "bench:cube").dataset
    catalog = registry.catalog(registry.open_objects(str(lake)))
    for number in range(1, count):
        catalog.register(replace(dataset, did=DID("bench", f"cube-{number:03d}")), a_manifest())


def _timed(words, lake, times):
    """Median seconds of a command, and what it printed."""
    script = Path(sys.executable).with_name("lakecv")
    command = [str(script)] if script.exists() else [sys.executable, "-c", _LAKECV]
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        done = subprocess.run([*command, *words, "--lake", str(lake)], check=True, capture_output=True, text=True, timeout=60)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds), done.stdout


def _first_byte(words, lake, times):
    """Median seconds from before a process starts to its first look into the lake."""
    seconds = []
    for _ in range(times):
        command = [sys.executable, "-c", _FIRST_BYTE + _LAKECV, str(time.monotonic()), *words, "--lake", str(lake)]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
        seconds.append(float(done.stderr.splitlines()[-1]))
    return statistics.median(seconds)
