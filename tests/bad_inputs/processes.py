"""What only a process of its own shows: poor environments, signals, little memory, a model that hangs."""

import os
import signal
import subprocess
import threading
from pathlib import Path

import numpy as np

from tests.bad_inputs.runs import result
from tests.bad_inputs.settings import STRANGERS
from tests.bad_inputs.situation import ROOT, Typed, cube, saved


def alone(place):
    """The command gets a process of its own."""
    place.type = place.alone


def homeless(place):
    """No HOME, no XDG folders, no terminal to speak of."""
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
        place.patch.delenv(name)
    place.environment["TERM"] = "dumb"
    alone(place)


def read_only_home(place):
    """A home where nothing can be written."""
    place.environment |= {"HOME": "/proc", "XDG_CONFIG_HOME": "/proc", "XDG_DATA_HOME": "/proc", "XDG_CACHE_HOME": "/proc"}
    alone(place)


def closed_output(place):
    """Nobody reads the standard output."""

    def run(*words):
        done = subprocess.run(["/bin/sh", "-c", 'exec "$@" >&-', "sh", *place.argv(*words)], stderr=subprocess.PIPE, timeout=60, check=False)
        return Typed(done.returncode, "", done.stderr.decode())

    place.type = run


def odd(place):
    """Another hash seed, the C locale without UTF-8, a strange time zone, and a path that is no UTF-8."""
    usual = place.open().show(result(place)["result"]).digest
    path = Path(os.fsdecode(os.fsencode(place.folder) + b"/caf\xe9 \xff"))
    path.mkdir()
    place.environment |= {
        "PYTHONHASHSEED": "12345", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "TZ": "XXX-13:37",
        "LAKECV_MAX_WORKERS": "1",
    }  # fmt: skip
    alone(place)

    def same_result(_):
        run = place.alone("run", "kmeans", "museo:odd", "--set", "k=3", "--json")
        assert (run.code, place.open().show(run.json["output"]).digest) == (0, usual)

    place.after.append(same_result)
    return saved(path, cube(), "tavola\udce9.npy")


def little_memory(place):
    """One worker that may use 512 MB."""
    values = np.tile(cube(64, 64, 8), (3, 3, 32))
    place.open().register(saved(place.folder, values, "large.npy"), "museo:large")
    place.environment |= {"LAKECV_MAX_WORKERS": "1", "LAKECV_WORKER_MEMORY": "512MB"}
    place.changes_lake = True
    alone(place)

    def finished(typed):
        assert typed.json["state"] == "done"

    place.after.append(finished)


def hanging_model(place):
    """A stranger's model that never comes back, and a deadline of one second."""
    place.changes_lake = True
    paths = [STRANGERS, str(ROOT)]
    place.environment |= {"PYTHONPATH": os.pathsep.join(paths), "LAKECV_DEADLINE": "1", "LAKECV_MAX_WORKERS": "1"}
    alone(place)


def terminated(place):
    """SIGTERM in the middle of a pass."""
    values = np.tile(np.random.default_rng(0).integers(0, 99, (64, 64, 64), "u2"), (3, 3, 1))
    place.open().register(saved(place.folder, values, "large.npy"), "museo:large")
    place.environment["LAKECV_MAX_WORKERS"] = "1"
    place.changes_lake = True

    def run(*words):
        with subprocess.Popen(
            place.argv(*words), env={**os.environ, **place.environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        ) as process:
            while process.poll() is None and not any(place.lake.glob("work/*/commits/0-reduce-001/*.json")):
                threading.Event().wait(0.02)
            process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=60)
        return Typed(process.returncode, out, err)

    def waits_to_be_resumed(_):
        [record] = place.here("runs", "--json").json["runs"]
        assert record["state"] == "unfinished"

    place.type = run
    place.after.append(waits_to_be_resumed)
