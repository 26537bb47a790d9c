"""The PBS executor over stand-ins of qsub, qstat and qdel: jobs are processes of this machine."""

import os
import sys
from dataclasses import replace

import psutil
import pytest
from lakecv_plugins.sites.pbs import PbsSite

from lakecv.errors import Infeasible, Kind
from lakecv.site import Batch, Resources, Site
from lakecv.testing.sites import SiteContract, echo
from tests.plugins.sites.work import ROOT, drive, nap, tasks, until

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.timeout(90)]  # Dask warns of what is not ours


@pytest.fixture
def pbs(tmp_path, monkeypatch):
    """Put the stand-ins on the PATH; all their jobs are over in the end."""
    monkeypatch.setenv("PATH", f"{ROOT / 'deploy' / 'batch' / 'pbs'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("LAKECV_PBS_SPOOL", str(tmp_path / "spool"))
    monkeypatch.setenv("LAKECV_PBS_PYTHON", sys.executable)
    yield tmp_path / "spool"
    until(lambda: not processes(tmp_path))


@pytest.fixture
def site(pbs, tmp_path):  # noqa: ARG001  (it must be there)
    batch = Batch(interface="lo", folder=str(tmp_path / "jobs"), prologue=(f"export PYTHONPATH={ROOT}",))
    return Site("here", "pbs", Resources(1, 1 << 29), 2, batch=batch)


def processes(folder):
    """Processes that stand in this test's folder."""
    found = []
    for process in psutil.process_iter():
        try:
            found += [process] if process.cwd().startswith(str(folder)) else []
        except psutil.Error:
            continue
    return found


class TestPbsSite(SiteContract):
    @pytest.fixture
    def executor(self):
        return PbsSite()

    @pytest.fixture
    def site(self, site):
        return site


def test_a_job_that_dies_loses_no_task_and_nothing_is_left(site, tmp_path):
    with PbsSite().pool(site, 2, nap, "r-0") as pool:
        until(lambda: pool.standing().slots == 2)
        victim = next(process for process in processes(tmp_path) if "worker" in process.cmdline())
        done, _ = drive(pool, tasks(12), at=(2, victim.kill))
        until(lambda: pool.standing().slots == 2)
    assert len(done) == 12
    assert not list((tmp_path / "jobs").iterdir())


def test_a_queue_that_is_not_there_is_told(site, monkeypatch):
    monkeypatch.setenv("LAKECV_PBS_QUEUES", "long")
    wrong = replace(site, batch=replace(site.batch, partition="short"))
    with pytest.raises(Infeasible, match="Unknown queue") as caught:
        PbsSite().pool(wrong, 1, echo, "r-0").__enter__()
    assert caught.value.kind == Kind.JOB_REFUSED
