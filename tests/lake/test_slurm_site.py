"""Workers that a real Slurm starts: they come, they are replaced, they leave nothing behind."""

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from distributed import LocalCluster
from lakecv_plugins.sites.slurm import SlurmSite

from lakecv.errors import Infeasible, Kind, Unavailable
from lakecv.site import Batch, Resources, Scheduler, Site
from lakecv.testing.sites import SiteContract, echo
from tests.plugins.sites.work import ROOT, drive, grow_at_three, long_nap, nap, tasks, until

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.timeout(240)]  # Dask warns of what is not ours

COMMAND = (sys.executable, ROOT / "deploy" / "batch" / "slurm.py")


@pytest.fixture
def slurm(slurm_folder, monkeypatch):
    """The commands of that Slurm find it; each test ends with an empty queue."""
    monkeypatch.setenv("SLURM_CONF", str(slurm_folder / "servers" / "slurm.conf"))
    yield slurm_folder
    until(lambda: not numbers())


@pytest.fixture
def site(slurm, tmp_path):  # noqa: ARG001  (it must run)
    batch = Batch(
        partition="infn-pg", interface="lo", folder=str(tmp_path / "jobs"), prologue=(f"export PYTHONPATH={ROOT}",), walltime_seconds=600,
    )
    return Site("infn-pg", "slurm", Resources(1, 1 << 29), 2, ("INFN-PG",), batch=batch)


class TestSlurmSite(SiteContract):
    @pytest.fixture
    def executor(self):
        return SlurmSite()

    @pytest.fixture
    def site(self, site):
        return site


class TestSchedulerInAJob(TestSlurmSite):
    @pytest.fixture
    def site(self, site):
        return replace(site, scheduler=Scheduler.JOB)


def slurm_says(*words):
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=True).stdout.split()


def numbers(*states):
    """Jobs that there are, in these states."""
    return slurm_says("squeue", "-h", "-o", "%i", *([f"--states={','.join(states)}"] if states else []))


def folder_of(site):
    return next(Path(site.batch.folder).iterdir())


def changed(site, **batch):
    return replace(site, batch=replace(site.batch, **batch))


def test_a_job_that_is_cancelled_loses_no_task_and_is_replaced(site):
    with SlurmSite().pool(site, 2, nap, "r-0") as pool:
        until(lambda: pool.standing().slots == 2)
        before = set(numbers("RUNNING"))
        done, _ = drive(pool, tasks(24), at=(4, lambda: slurm_says("scancel", min(before))))
        assert len(done) == 24
        began = time.monotonic()
        until(lambda: pool.standing().slots == 2)
        assert set(numbers("RUNNING")) - before
    assert time.monotonic() - began < 45


def test_a_pool_whose_scheduler_is_in_a_job_ends_with_that_job(site, capfd):
    def cancel_it():
        slurm_says("scancel", next(Path(site.batch.folder).glob("*/scheduler.job")).read_text())

    with pytest.raises(Unavailable, match="the pool's scheduler ran, is gone") as caught, \
            SlurmSite().pool(replace(site, scheduler=Scheduler.JOB), 2, nap, "r-0") as pool:
        drive(pool, tasks(200), at=(4, cancel_it))
    assert caught.value.kind == Kind.WORKER_LOST
    assert capfd.readouterr() == ("", "")


def test_a_partition_that_is_not_there_is_told_in_the_words_of_slurm(site):
    with pytest.raises(Infeasible, match="invalid partition specified: nowhere") as caught:
        SlurmSite().pool(changed(site, partition="nowhere"), 2, nap, "r-0").__enter__()
    assert caught.value.kind == Kind.JOB_REFUSED
    assert not list(Path(site.batch.folder).iterdir())


def test_more_memory_than_any_node_has_is_told(site):
    with pytest.raises(Infeasible, match=r"[Mm]emory|node configuration") as caught:
        SlurmSite().pool(replace(site, worker=Resources(1, 1 << 40)), 1, nap, "r-0").__enter__()
    assert caught.value.kind == Kind.JOB_REFUSED


def test_jobs_that_are_held_are_told(site):
    held = changed(site, directives=("--hold",))
    with pytest.raises(Infeasible, match="JobHeldUser") as caught, SlurmSite().pool(held, 2, nap, "r-0") as pool:
        drive(pool, tasks(1), seconds=30)
    assert caught.value.kind == Kind.JOB_REFUSED


def test_a_worker_that_cannot_start_is_told_by_the_end_of_its_log(site):
    broken = changed(site, command="/no/such/lakecv")
    with pytest.raises(Unavailable, match="/no/such/lakecv") as caught, SlurmSite().pool(broken, 1, nap, "r-0") as pool:
        drive(pool, tasks(1))
    assert caught.value.kind == Kind.WORKER_LOST
    assert list(folder_of(site).glob("job-*.log"))
    assert not (folder_of(site) / "connection.json").exists()


def test_versions_that_differ_are_told_at_once(site, monkeypatch):
    from lakecv_plugins.sites import connection

    usual = connection.versions()
    monkeypatch.setattr(connection, "versions", lambda: {**usual, "numpy": "1.2.3"})
    with pytest.raises(Infeasible, match=f"numpy {usual['numpy']} here, 1.2.3 there") as caught, SlurmSite().pool(site, 1, nap, "r-0") as pool:
        drive(pool, tasks(1))
    assert caught.value.kind == Kind.VERSIONS_DIFFER


def test_memory_that_a_task_exhausts_costs_the_worker_and_not_the_job(site):
    with SlurmSite().pool(site, 1, grow_at_three, "r-0") as pool:
        until(lambda: pool.standing().slots == 1)
        before = numbers("RUNNING")
        pool.submit(tasks(4)[3])
        lost = until(lambda: list(pool.outcomes(0.5)), 90)
        assert lost[0].error[0] == "worker-lost"
        done, _ = drive(pool, tasks(3))
        assert numbers("RUNNING") == before
    assert len(done) == 3


@pytest.mark.parametrize("where", list(Scheduler)[:2])
def test_everything_listens_on_the_loopback_address_alone_and_says_nothing_without_tls(site, where):
    with SlurmSite().pool(replace(site, scheduler=where), 2, echo, "r-0") as pool:
        drive(pool, tasks(4))
        until(lambda: pool.standing().slots == 2)
        doors = {door for process in family(site) for door in listening(process)}
        assert {address for address, _ in doors} == {"127.0.0.1"}
        assert len(doors) >= 5  # a scheduler, two nannies, two workers
        spoken = [greeting(port) for _, port in doors]
    assert all(b"pickle" not in words and b"compression" not in words for words in spoken)


@pytest.mark.parametrize("where", list(Scheduler)[:2])
def test_what_lies_in_the_folder_is_the_owners_alone_and_goes_with_the_pool(site, where):
    with SlurmSite().pool(replace(site, scheduler=where), 2, echo, "r-0") as pool:
        drive(pool, tasks(4))
        folder = folder_of(site)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE((folder / "connection.json").stat().st_mode) == 0o600
        script = (folder / "job.sh").read_text()
        assert "PRIVATE KEY" not in script
        assert str(folder) not in script
    assert not list(Path(site.batch.folder).iterdir())


@pytest.mark.parametrize("where", list(Scheduler)[:2])
def test_jobs_of_a_driver_that_was_killed_end_by_themselves(site, where, tmp_path):
    (tmp_path / "driver.py").write_text(DRIVER)
    words = [sys.executable, tmp_path / "driver.py", site.batch.folder, where]
    with subprocess.Popen(words, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout.readline() == "working\n"
        workers = [process for process in family(site) if process.pid not in {driver.pid, os.getpid()}]
        assert len(workers) >= 4
        driver.send_signal(signal.SIGKILL)
        driver.wait(10)
    began = time.monotonic()
    until(lambda: not numbers(), 120)
    assert time.monotonic() - began < (45 if where is Scheduler.DRIVER else 90)
    assert not psutil.wait_procs(workers, 10)[1]


def test_a_walltime_costs_no_task_and_the_pool_goes_on(site):
    short = changed(site, walltime_seconds=60)
    with SlurmSite().pool(short, 2, long_nap, "r-0") as pool:
        until(lambda: pool.standing().slots == 2)
        first = set(numbers("RUNNING"))
        done, lost = drive(pool, tasks(40), seconds=200)
        assert first.isdisjoint(numbers("RUNNING"))
    assert len(done) == 40
    assert [outcome.error for outcome in lost] == []


def test_a_controller_that_is_away_for_a_while_stops_nothing(site, slurm):
    def away():
        subprocess.run([*COMMAND, "kill", slurm, "slurmctld"], check=True, timeout=60, capture_output=True)

    with SlurmSite().pool(site, 2, nap, "r-0") as pool:
        until(lambda: pool.standing().slots == 2)
        try:
            done, lost = drive(pool, tasks(24), at=(4, away))
            assert pool.standing().slots == 2
        finally:
            subprocess.run([*COMMAND, "restore", slurm, "slurmctld"], check=True, timeout=60, capture_output=True)
        more, _ = drive(pool, tasks(8, first=24))
    assert len(done) + len(more) == 32
    assert lost == []


def test_the_probe_of_a_site_that_is_there_finds_no_fault(site):
    assert [ability.lost for ability in SlurmSite().probe(site) if not ability.holds] == []


DRIVER = """
import sys
from dataclasses import replace
from lakecv_plugins.sites.slurm import SlurmSite
from lakecv.site import Batch, Resources, Scheduler, Site
from tests.plugins.sites.work import ROOT, drive, nap, tasks, until
batch = Batch(partition="infn-pg", interface="lo", folder=sys.argv[1], prologue=(f"export PYTHONPATH={ROOT}",), walltime_seconds=600)
site = Site("infn-pg", "slurm", Resources(1, 1 << 29), 2, scheduler=Scheduler(sys.argv[2]), batch=batch)
with SlurmSite().pool(site, 2, nap, "r-0") as pool:
    drive(pool, tasks(400), at=(8, lambda: (until(lambda: pool.standing().slots == 2), print("working", flush=True))), seconds=300)
"""


def family(site):
    """This process, and all that stand in the folder of a job, with their children."""
    found = [psutil.Process()]
    for process in psutil.process_iter():
        try:
            if process.cwd().startswith(site.batch.folder):
                found.append(process)
        except psutil.Error:
            continue
    return found


def listening(process):
    try:
        return {(each.laddr.ip, each.laddr.port) for each in process.net_connections("inet") if each.status == "LISTEN"}
    except psutil.NoSuchProcess:  # a command of Slurm, which has ended
        return set()


def greeting(port):
    """Hear what a server says to one who brings no key: Dask's first words name compression and pickle protocol."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(b"\x00" * 64)
        try:
            return client.recv(4096)
        except OSError:
            return b""


def test_a_server_without_tls_would_have_been_heard():
    with LocalCluster(n_workers=0, processes=False, protocol="tcp://", host="127.0.0.1", dashboard_address="127.0.0.1:0", silence_logs=50) as plain:
        assert b"pickle" in greeting(int(plain.scheduler_address.rpartition(":")[2]))
