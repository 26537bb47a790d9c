"""Tasks as futures: what a pool says of workers and schedulers that are gone."""

import threading
import time

import pytest
from distributed import Client, LocalCluster
from lakecv_plugins.sites.address import AddressSite
from lakecv_plugins.sites.coming import ComingPool
from lakecv_plugins.sites.pool import DaskPool, _result

from lakecv.errors import Infeasible, InvalidInput, Kind, Unavailable
from lakecv.ports import Standing
from lakecv.site import Resources, Scheduler, Site
from lakecv.testing.sites import SiteContract, echo
from tests.plugins.sites.work import drive, tasks

pytestmark = pytest.mark.filterwarnings("default")  # Dask warns of what is not ours


@pytest.fixture
def cluster(tmp_path):
    own = {"protocol": "tcp://", "host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "silence_logs": 50, "local_directory": tmp_path}
    with LocalCluster(n_workers=1, threads_per_worker=2, processes=False, **own) as found:
        yield found


@pytest.fixture
def client(cluster):
    with Client(cluster, set_as_default=False) as found:
        yield found


@pytest.fixture
def site(cluster):
    return Site("hub", "address", Resources(2, 1 << 30), 1, scheduler=Scheduler.ADDRESS, address=cluster.scheduler_address)


def ready():
    return Standing(2)


class TestAddressSite(SiteContract):
    kills = False  # here the workers are threads of this process

    @pytest.fixture
    def executor(self):
        return AddressSite()

    @pytest.fixture
    def site(self, site):
        return site


def test_an_address_where_nobody_is_is_told(monkeypatch):
    monkeypatch.setattr("lakecv_plugins.sites.address._TIMEOUT", "0.3 s")
    nobody = Site("hub", "address", Resources(1, 1 << 30), 1, scheduler=Scheduler.ADDRESS, address="tcp://127.0.0.1:1")
    with pytest.raises(Unavailable, match=r"tcp://127\.0\.0\.1:1 cannot be reached") as caught:
        AddressSite().pool(nobody, 1, echo, "r-0").__enter__()
    assert caught.value.kind == Kind.QUEUE_DOWN
    assert [ability.holds for ability in AddressSite().probe(nobody)] == [False]


def test_a_site_without_an_address_is_told():
    with pytest.raises(InvalidInput, match="has no address"):
        AddressSite().pool(Site("hub", "address", Resources(1, 1 << 30), 1), 1, echo, "r-0").__enter__()


def test_a_scheduler_without_workers_is_told(site, cluster):
    assert all(ability.holds for ability in AddressSite().probe(site))
    cluster.scale(0)
    with AddressSite().pool(site, 1, echo, "r-0") as pool:
        while pool.standing().slots:
            time.sleep(0.01)
        assert pool.standing().note == "no worker is connected at hub"


def test_workers_of_other_versions_are_refused(site, monkeypatch):
    monkeypatch.setattr("lakecv_plugins.sites.address.versions", lambda: {"python": str(threading.get_ident())})
    with pytest.raises(Infeasible, match=r"python \d+ here, \d+ there") as caught:
        AddressSite().pool(site, 1, echo, "r-0").__enter__()
    assert caught.value.kind == Kind.VERSIONS_DIFFER


def test_a_block_whose_worker_is_gone_runs_at_another(client):
    pool = DaskPool(client, echo, ready)
    pool._had[0, 0] = "tcp://127.0.0.1:1"
    assert len(drive(pool, tasks(1), seconds=10)[0]) == 1


def test_dask_learns_how_long_tasks_of_a_stage_take(client):
    """It can neither hold tasks back nor balance them where it knows only tasks of unknown length."""
    drive(DaskPool(client, echo, ready), tasks(8), seconds=10)
    assert client.run_on_scheduler(_learnt) == {tasks(1)[0].stage}


def _learnt(dask_scheduler):
    return {name for name, prefix in dask_scheduler.task_prefixes.items() if prefix.duration_average >= 0 and "_learnt" not in name}


def lacks(task):
    raise ModuleNotFoundError(f"No module named 'lakecv.{task.index}'")


def test_a_worker_without_what_a_task_needs_is_no_lost_worker(client):
    pool = DaskPool(client, lacks, ready)
    pool.submit(tasks(1)[0])
    outcome = next(pool.outcomes(10))
    assert outcome.error[0] == "versions-differ"
    assert "lakecv.0" in outcome.error[1]


def test_a_pool_that_can_have_no_worker_says_so_where_nothing_comes(client):
    def standing():
        raise Unavailable("nobody comes", Kind.WORKER_LOST)

    with pytest.raises(Unavailable, match="nobody comes"):
        list(DaskPool(client, echo, standing).outcomes(0.01))


def test_a_pool_whose_client_is_closed_says_so(client):
    pool = DaskPool(client, echo, ready)
    client.close()
    with pytest.raises(Unavailable, match="scheduler is gone"):
        list(pool.outcomes(0.01))
    with pytest.raises(Unavailable, match="scheduler is gone"):
        pool.submit(tasks(1)[0])


def test_tasks_wait_for_a_scheduler_that_is_yet_to_come(client):
    came = []
    pool = ComingPool(lambda: came[0] if came else None, echo, ready)
    killed, *others = tasks(4)
    pool.submit(killed)
    pool.kill(killed)
    for task in others:
        pool.submit(task)
    assert list(pool.outcomes(0.01)) == []
    came.append(client)
    found = []
    while len(found) < 3:
        found += pool.outcomes(5)
    assert {outcome.task for outcome in found} == {task.key for task in others}


def test_tasks_that_wait_for_a_scheduler_can_be_cancelled(client):
    came = []
    pool = ComingPool(lambda: came[0] if came else None, echo, ready)
    pool.submit(tasks(1)[0])
    pool.cancel()
    came.append(client)
    assert list(pool.outcomes(0.3)) == []


def test_a_scheduler_that_will_not_come_is_told():
    def standing():
        raise Infeasible("the jobs are held", Kind.JOB_REFUSED)

    with pytest.raises(Infeasible, match="held"):
        list(ComingPool(lambda: None, echo, standing).outcomes(1))


def test_a_task_whose_worker_is_gone_with_all_others_runs_on_the_next_that_comes(cluster, client):
    pool, [task] = DaskPool(client, echo, ready), tasks(1)
    drive(pool, [task])
    cluster.scale(0)
    until = time.monotonic() + 20
    while client.run_on_scheduler(_count):
        assert time.monotonic() < until
    pool.submit(task)
    cluster.scale(1)
    found = []
    while not found:
        assert time.monotonic() < until
        found += pool.outcomes(0.2)
    assert found[0].ok


def _count(dask_scheduler):
    return len(dask_scheduler.workers)


class Fetched:
    """A future whose result lies at a worker that is gone: asked for it, Dask would compute it anew and waits for a worker."""

    def __init__(self):
        self.status, self.asked = "finished", 0

    def result(self, timeout):
        assert timeout < 5
        self.asked += 1
        if self.asked == 2:
            self.status = "pending"
        raise TimeoutError


def test_a_result_that_went_with_its_worker_is_lost_and_not_waited_for():
    future = Fetched()
    assert _result(future) is None
    assert future.asked == 2
