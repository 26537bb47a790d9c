"""Kills what a run over a real Slurm stands on: a worker, a job, a node, a site's scheduler, the driver.

After every kill the run goes on, by itself or by typing the command again; in the end the bits are those of a run that was left
alone, and no task that had a commit record before a kill was computed after it.
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
from pathlib import Path

import psutil
from kill_loop import Tally, commits, half_visible, make_cube, read_log, result_digest

from lakecv.api import Lake
from lakecv.ports import ReadHints

__all__ = ["KINDS", "SLURM", "slurm_kill_loop"]

HERE = Path(__file__).resolve().parent
LAKECV = [sys.executable, "-c", "from lakecv.cli import main; raise SystemExit(main())"]
SLURM = (sys.executable, HERE.parents[1] / "deploy" / "batch" / "slurm.py")
NODES = {"infn-pg": ("pg1", "pg2"), "infn-na": ("na1", "na2")}
PROFILE = """extends = "{name}"
near = ["local"]
scheduler = "{scheduler}"
max_workers = 2
[worker]
threads = 1
memory = "700MiB"
[batch]
interface = "lo"
folder = "{folder}"
"""
LOST = {0, 1, 6, 7, -signal.SIGKILL}  # done; blocks lost too often, nothing can be had there now: type it again; killed
_AT_MOST = 3  # kills of one drive
_SETTLED_SECONDS = 900.0


class Ground:
    """A folder with two sites of a running Slurm, and lakes to run on."""

    def __init__(self, folder, slurm, kind):
        self.folder, self.slurm, self.kind = Path(folder), slurm, kind
        self.jobs = self.folder / "jobs"
        for name in NODES:
            text = PROFILE.format(name=name, folder=self.jobs, scheduler="job" if kind == "scheduler" else "driver")
            (self.folder / f"{name}.toml").write_text(text)
        make_cube(self.folder / "cube.npy", ny=260, nx=260, depth=40)
        self.template = self.folder / "template"
        Lake(self.template, scope="kill").register(self.folder / "cube.npy", "kill:cube", hints=ReadHints(dims="y,x,spectral"))

    def environment(self, lake):
        """What driver and jobs see; workers note what they compute."""
        known = {
            "SLURM_CONF": str(self.slurm / "servers" / "slurm.conf"), "LAKECV_SITES": str(self.folder), "KILL_LOG": f"{lake}.log",
            "DASK_DISTRIBUTED__WORKER__PRELOAD": str(HERE / "preload_log.py"),
        }
        return os.environ | known

    def drive(self, lake):
        """Start a driver, by itself in its session."""
        options = ("--set", "k=3", "--set", "components=3", "--set", "pca.scaling=sqrt", "--scope", "kill", "--site", "auto")
        with Path(f"{lake}.out").open("ab") as out:
            return subprocess.Popen(
                [*LAKECV, "--lake", str(lake), "run", "pca+kmeans", "kill:cube", *options], start_new_session=True, env=self.environment(lake),
                stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            )

    def command(self, *words):
        """Run one of Slurm's commands."""
        return subprocess.run(words, env=self.environment("x"), capture_output=True, text=True, timeout=60, check=False).stdout

    def kill(self, rng, driver):
        """Kill one thing of this kind; says whether there was one."""
        if self.kind == "driver":
            driver.send_signal(signal.SIGKILL)
            return True
        return getattr(self, f"_{self.kind}")(rng)

    def mend(self):
        """Bring killed nodes back."""
        for node in (node for nodes in NODES.values() for node in nodes):
            if self.command("sinfo", "-h", "-n", node, "-o", "%T").strip() not in {"idle", "mixed", "allocated", "completing"}:
                subprocess.run([*SLURM, "restore", self.slurm, node], check=False, timeout=60, capture_output=True)

    def settled(self):
        """Wait until nothing is left in the queue: jobs of a dead driver end by themselves, those that were not begun after two minutes."""
        deadline = time.monotonic() + _SETTLED_SECONDS
        while self.command("squeue", "-h").strip():
            assert time.monotonic() < deadline, self.command("squeue")
            time.sleep(0.2)

    def _worker(self, rng):
        found = [child for job in self._served() for child in job.children(recursive=True)]
        return bool(found) and _slain(rng.choice(found))

    def _job(self, rng):
        running = self.command("squeue", "--me", "-h", "-t", "R", "-o", "%i").split()
        if not running:
            return False
        self.command("scancel", "-f", "-s", "KILL", rng.choice(running))
        return True

    def _slurmd(self, rng):
        nodes = sorted(set(self.command("squeue", "--me", "-h", "-t", "R", "-o", "%N").split()))
        if not nodes:
            return False
        subprocess.run([*SLURM, "kill", self.slurm, rng.choice(nodes), "--tell"], check=True, timeout=60, capture_output=True)
        return True

    def _scheduler(self, rng):
        files = sorted(self.jobs.glob("*/scheduler.json"))
        ports = {int(json.loads(path.read_text())["address"].rpartition(":")[2]) for path in files}
        found = [job for job in self._served() if any(at.status == "LISTEN" and at.laddr.port in ports for at in job.net_connections("inet"))]
        return bool(found) and _slain(rng.choice(found))

    def _served(self):
        """First process of each job that is a worker of ours."""
        found = []
        for process in psutil.process_iter(["cmdline"]):
            words = process.info["cmdline"] or []
            with contextlib.suppress(psutil.Error):
                if words[-3:] == ["worker", "--connection", "connection.json"] and str(self.jobs) in process.cwd():
                    found.append(process)
        return found


def _slain(process):
    with contextlib.suppress(psutil.NoSuchProcess):
        process.kill()
    return True


def slurm_kill_loop(folder, kills, seed, slurm, kind):
    """Run over two sites until ``kills`` things of one kind were killed; finish each run and compare."""
    rng, tally, ground = random.Random(f"{seed} {kind}"), Tally(), Ground(folder, slurm, kind)
    calm = ground.folder / "calm"
    shutil.copytree(ground.template, calm)
    started = time.monotonic()
    assert ground.drive(calm).wait(180) == 0, Path(f"{calm}.out").read_text()
    whole, expected = time.monotonic() - started, result_digest(calm)
    while tally.kills < kills:
        lake, status = ground.folder / f"run-{tally.runs}", None
        shutil.copytree(ground.template, lake)
        log = Path(f"{lake}.log")
        while status != 0:
            looks = []
            driver = ground.drive(lake)
            while tally.kills < kills and len(looks) < _AT_MOST and driver.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    driver.wait(rng.uniform(0.2, 0.7) * whole)
                if driver.poll() is None:
                    looks.append((commits(lake), len(read_log(log))))
                    tally.kills += ground.kill(rng, driver)
            status = driver.wait(240)
            assert status in LOST, Path(f"{lake}.out").read_text()[-2000:]
            tally.recomputed += len({task for before, begun in looks for task in before & set(read_log(log)[begun:])})
            tally.half_visible += half_visible(lake)
            ground.mend()
        tally.runs += 1
        tally.different += result_digest(lake) != expected
        for path in (lake, log, Path(f"{lake}.out")):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    ground.settled()
    return tally


KINDS = ("worker", "job", "slurmd", "scheduler", "driver")
