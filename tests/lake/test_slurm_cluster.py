"""deploy/batch/slurm.py starts a real Slurm in one folder, breaks it as asked, and leaves nothing behind."""

import fcntl
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests.tiers import LAKE, REQUIRED, require

SLURM = (sys.executable, Path(__file__).parents[2] / "deploy" / "batch" / "slurm.py")


class Cluster:
    """A running Slurm, as a user of this machine sees it."""

    def __init__(self, folder, work):
        self.folder, self.work = folder, work

    def run(self, *words, check=True):
        """Run one of Slurm's commands, in the folder that jobs are submitted from."""
        environment = {**os.environ, "SLURM_CONF": str(self.folder / "servers" / "slurm.conf")}
        done = subprocess.run(words, env=environment, cwd=self.work, capture_output=True, text=True, timeout=60, check=False)
        assert not check or done.returncode == 0, done.stderr
        return done

    def submit(self, script, *options):
        return self.run("sbatch", "--parsable", "--mem=100", *options, "--wrap", script).stdout.strip()

    def running(self, *options, script="sleep 300"):
        """Submit a job, wait until it runs; gives its number and its process."""
        noted = self.work / "pid"
        noted.unlink(missing_ok=True)
        job = self.submit(f"echo $$ > part; mv part {noted}; {script}", *options)
        until(noted.exists)
        return job, int(noted.read_text())

    def state(self, job):
        return self.run("squeue", "-h", "-t", "all", "-j", job, "-o", "%T").stdout.strip()

    def nodes(self):
        words = self.run("sinfo", "-h", "-N", "-o", "%N %T").stdout.split()
        return dict(zip(words[::2], words[1::2], strict=True))

    def cancel_all(self):
        self.run("scancel", "--me", "-s", "KILL")
        self.run("scancel", "--me")
        until(lambda: set(self.nodes().values()) == {"idle"})


def command(*arguments):
    return subprocess.run([*SLURM, *arguments], capture_output=True, text=True, timeout=110, check=False)


def until(claim, seconds=40):
    """Look again and again until something holds."""
    deadline = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < deadline


def alive(pid):
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def changed(path):
    """When a file was written; one that is being replaced is not there for a moment."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0


def processes(folder):
    """Everything alive that was started in a folder, whatever any pid file says."""
    found = psutil.process_iter(["cmdline", "status"])
    running = [process for process in found if process.info["status"] != psutil.STATUS_ZOMBIE]
    return sorted(process.pid for process in running if any(str(folder) in word for word in process.info["cmdline"] or ()))


@pytest.fixture(scope="module", autouse=True)
def on_request():
    if not LAKE and "slurm" not in REQUIRED:
        pytest.skip("the real servers start on request: make test-lake")
    if not shutil.which("sbatch"):
        require("slurm", "Slurm is not installed: run deploy/batch/install.sh")


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slurm") / "s"
    done = command("start", folder)
    assert done.returncode == 0, done.stderr
    yield folder
    assert command("stop", folder).returncode == 0


@pytest.fixture
def slurm(started, tmp_path):
    """The Slurm of this file, whole and idle again after each test."""
    cluster = Cluster(started, tmp_path)
    yield cluster
    dead = command("status", started).stdout.strip().partition(": not running: ")[2]
    for server in filter(None, dead.split(", ")):
        command("restore", started, server)
    cluster.cancel_all()


@pytest.fixture
def own(tmp_path):
    """A folder for one more Slurm; what it started ends in any case."""
    yield tmp_path / "s"
    command("stop", tmp_path / "s")


# --- what it is for ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("partition", "nodes"), [("infn-pg", {"pg1", "pg2"}), ("infn-na", {"na1", "na2"}), ("gpu", {"gpu1"})])
def test_a_job_runs_on_a_node_of_its_partition(slurm, partition, nodes):
    done = slurm.run("srun", "-p", partition, "printenv", "SLURM_JOB_PARTITION", "SLURMD_NODENAME")
    said, node = done.stdout.split()
    assert said == partition
    assert node in nodes


def test_a_job_works_in_the_folder_that_it_was_submitted_from(slurm):
    job = slurm.submit("pwd; exit 3", "-p", "infn-na")
    until(lambda: slurm.state(job) == "FAILED")
    assert (slurm.work / f"slurm-{job}.out").read_text() == f"{slurm.work}\n"
    assert "ExitCode=3:0" in slurm.run("scontrol", "show", "job", job).stdout


def test_a_gpu_is_given_where_there_is_one_and_refused_elsewhere(slurm):
    given = slurm.run("srun", "-p", "gpu", "--gres=gpu:1", "printenv", "CUDA_VISIBLE_DEVICES")
    refused = slurm.run("sbatch", "-p", "infn-pg", "--gres=gpu:1", "--wrap", "true", check=False)
    assert given.stdout == "0\n"
    assert (refused.returncode, "Requested node configuration is not available" in refused.stderr) == (1, True)


def test_the_file_for_the_shell_is_all_that_a_user_needs(slurm):
    done = subprocess.run(["sh", "-c", f". {slurm.folder}/slurm.env; sinfo -h -o %R"], capture_output=True, text=True, timeout=60, check=True)
    assert sorted(done.stdout.split()) == ["gpu", "infn-na", "infn-pg"]


# --- what breaks ------------------------------------------------------------------------------------------------------
def test_slurm_sees_by_itself_that_a_node_is_lost_and_takes_it_back(slurm):
    job, pid = slurm.running("-w", "na1", "-p", "infn-na")
    assert command("kill", slurm.folder, "na1").stdout == "na1: gone\n"
    assert not alive(pid)
    until(lambda: slurm.state(job) == "NODE_FAIL")
    assert command("restore", slurm.folder, "na1").stdout == "na1: back\n"
    assert slurm.nodes()["na1"] == "idle"


def test_a_node_that_slurm_is_told_of_is_down_at_once_and_its_neighbor_works_on(slurm):
    (job, _), (other, pid) = slurm.running("-w", "pg1"), slurm.running("-w", "pg2")
    command("kill", slurm.folder, "pg1", "--tell")
    assert (slurm.state(job), slurm.state(other), alive(pid)) == ("NODE_FAIL", "RUNNING", True)
    command("restore", slurm.folder, "pg1")
    assert slurm.nodes()["pg1"] == "idle"


def test_a_killed_node_takes_with_it_what_left_its_job(slurm):
    script = "setsid --fork sh -c 'echo $$ > left; exec sleep 300'; sleep 300"
    slurm.running("-w", "na2", "-p", "infn-na", script=script)
    until(lambda: (slurm.work / "left").exists() and (slurm.work / "left").read_text())
    pid = int((slurm.work / "left").read_text())
    assert alive(pid)
    command("kill", slurm.folder, "na2", "--tell")
    assert not alive(pid)


def test_a_controller_that_comes_back_knows_its_queue_and_jobs_ran_on(slurm):
    saved = slurm.folder / "servers" / "slurmctld" / "job_state"
    waits, (runs, pid) = slurm.submit("true", "--begin=now+1hour"), slurm.running("-w", "pg1")
    until(lambda: changed(saved) > changed(slurm.work / "pid"))  # every 5 s; of what came later it knows nothing
    command("kill", slurm.folder, "slurmctld")
    assert "Unable to contact slurm controller" in slurm.run("squeue", check=False).stderr
    command("restore", slurm.folder, "slurmctld")
    assert (slurm.state(waits), slurm.state(runs), alive(pid)) == ("PENDING", "RUNNING", True)


# --- starting and stopping --------------------------------------------------------------------------------------------
def test_a_second_start_of_a_running_folder_changes_nothing_and_says_the_same(slurm):
    before = processes(slurm.folder)
    again, seen = command("start", slurm.folder), command("status", slurm.folder)
    assert (again.returncode, seen.returncode, again.stderr) == (0, 0, "")
    assert again.stdout == seen.stdout
    assert processes(slurm.folder) == before


@pytest.mark.usefixtures("slurm")
def test_two_that_start_at_once_start_one_beside_the_others(own):
    with ThreadPoolExecutor() as pool:
        done = list(pool.map(lambda _: command("start", own), range(2)))
    assert [(one.returncode, one.stderr) for one in done] == [(0, "")] * 2
    assert len(processes(own)) == 7


def test_who_comes_second_waits_for_one_that_is_about_to_mark_the_folder(own, slurm):
    own.mkdir()
    handle = os.open(own, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    (own / "README").touch()
    with ThreadPoolExecutor() as pool:
        done = pool.submit(command, "stop", own)
        time.sleep(1)
        shutil.copy(slurm.folder / "README", own)
        os.close(handle)
    assert (done.result().returncode, done.result().stderr) == (0, "")


def test_after_stop_nothing_is_left_not_even_jobs_of_a_dead_slurmd_and_only_the_logs(own, slurm):
    command("start", own)
    _, pid = Cluster(own, own.parent).running("-w", "pg1")
    os.kill(int((own / "servers" / "pg1.pid").read_text()), signal.SIGKILL)
    assert command("status", own).stdout == f"{own}: not running: pg1\n"
    assert alive(pid)
    assert command("stop", own).stdout == f"{own}: not running\n"
    assert (alive(pid), processes(own)) == (False, [])
    assert sorted(path.name for path in own.iterdir()) == ["README", "log"]
    assert len(processes(slurm.folder)) >= 7


def test_the_folder_can_be_read_by_its_owner_only(slurm):
    secret = [slurm.folder, slurm.folder / "servers" / "munge.key"]
    assert [stat.filemode(path.stat().st_mode)[4:] for path in secret] == ["------"] * 2


def test_what_does_not_run_cannot_be_broken_and_a_name_must_be_known(own, slurm):
    absent, unknown = command("kill", own, "pg1"), command("kill", slurm.folder, "pg7")
    assert (absent.returncode, absent.stderr) == (1, f"slurm.py: {own}: not running. Start it first\n")
    assert unknown.returncode == 2


def test_a_namespace_for_a_site_that_is_not_there_is_refused(own):
    done = command("start", own, "--netns", "cnaf=lk-cnaf")
    assert done.returncode == 2
    assert "is not SITE=..., with a site of infn-pg, infn-na, gpu" in done.stderr
