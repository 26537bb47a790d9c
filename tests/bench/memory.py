"""Peak memory of registering and of running, against what the plan said.

PSS (proportional set size) counts a page that several processes share once; it is summed over the command and all its
children every 50 ms.  Memory that is mapped from files counts too.
"""

import json
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

import psutil

from lakecv.api import Lake
from tests.bench.cubes import size_of, write_counts
from tests.bench.table import Row

SECTION, REGISTER = "Peak memory", "Peak memory of register"
_LAKECV = [sys.executable, "-c", "from lakecv.cli import main; raise SystemExit(main())"]
_EVERY_SECONDS = 0.05
_OPTIONS = {"k": 8, "passes": 3, "restarts": 1}


@dataclass(frozen=True)
class Peak:
    """Peak bytes over all processes, and of the one that had most of it at that moment; how often was looked."""

    total: int
    parts: tuple[int, ...]
    looks: int
    seconds: float
    text: str


def measure(*, toy=False, sides=(724, 2048)):
    """Rows for each size: register, kmeans, pca+kmeans; cubes of 1.07 and 8.59 GB by default."""
    shapes = [(96, 80, 64)] if toy else [(side, side, 1024) for side in sides]
    models = ("pca+kmeans",) if toy else ("kmeans", "pca+kmeans")
    return (row for shape in shapes for row in _of_one(shape, models))


def _of_one(shape, models):
    with TemporaryDirectory(prefix="lakecv-bench-") as folder:
        url, source = Path(folder) / "lake", write_counts(Path(folder) / "cube.npy", shape)
        peak = watched(["register", str(source), "bench:cube", "--lake", str(url)])
        yield Row(REGISTER, (size_of(shape), _mib(peak.total), f"{peak.seconds:.0f} s"))
        source.unlink()
        lake = Lake(url)
        sets = [word for name, value in _OPTIONS.items() for word in ("--set", f"{name}={value}")]
        for model in models:
            plan = lake.plan(model, "bench:cube", options=_OPTIONS)
            peak = watched(["run", model, "bench:cube", *sets, "--json", "--lake", str(url)])
            if json.loads(peak.text)["state"] != "done":
                raise RuntimeError(f"{model} did not end: {peak.text[-500:]}")
            ratio = peak.total / plan.memory_nbytes
            parts = " + ".join(f"{part / 2**20:.0f}" for part in peak.parts)
            cells = (f"{model}, {size_of(shape)}", f"{plan.workers}", _mib(plan.memory_nbytes), f"{_mib(peak.total)} ({parts})", f"{ratio:.2f}")
            yield Row(SECTION, cells)


def watched(words, folder=None):
    """Run a command, in a folder, and watch its memory."""
    began, most, looks = time.perf_counter(), (), 0
    with TemporaryFile("w+") as out, TemporaryFile("w+") as err:
        child = psutil.Popen([*_LAKECV, *words], stdout=out, stderr=err, text=True, cwd=folder)
        while child.poll() is None:
            now = tuple(sorted(filter(None, map(_pss, _family(child))), reverse=True))
            most, looks = max(most, now, key=sum), looks + 1
            time.sleep(_EVERY_SECONDS)
        out.seek(0)
        err.seek(0)
        if child.returncode:
            raise RuntimeError(f"lakecv {' '.join(words)} ended with {child.returncode}: {err.read()[-500:]}")
        return Peak(sum(most), most, looks, time.perf_counter() - began, out.read())


def _family(process):
    with suppress(psutil.NoSuchProcess):
        return [process, *process.children(recursive=True)]
    return []


def _pss(process):
    """PSS of a process in bytes, 0 where it is gone."""
    with suppress(OSError):
        for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) << 10
    return 0


def _mib(nbytes):
    return f"{nbytes / 2**20:.0f} MiB"
