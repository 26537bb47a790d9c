"""What a job takes for its own: GPUs, a name, an interface, the one scheduler of its pool."""

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import pytest
from lakecv_plugins.sites import connection, serve
from lakecv_plugins.sites.connection import Connection

from lakecv.errors import Infeasible, Kind, Unavailable

USUAL = Connection("slurm", "", {"ca": "A", "cert": "B", "key": "C"}, 4, 1 << 30, versions=connection.versions())
GIVEN = {"by number": ("0,3", ["0", "3"]), "by name": ("GPU-aa,GPU-bb,GPU-cc", ["GPU-aa", "GPU-bb", "GPU-cc"]), "unsaid": (None, ["0", "1"])}


@pytest.mark.parametrize(("given", "names"), GIVEN.values(), ids=GIVEN)
def test_a_job_uses_the_gpus_that_it_was_given(given, names, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if given:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert serve._gpus(2) == names


@pytest.mark.parametrize("given", ["", "0"])
def test_a_job_never_takes_a_gpu_that_it_was_not_given(given, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    with pytest.raises(Infeasible, match=f"was given {1 if given else 0} GPUs") as caught:
        serve._gpus(2)
    assert caught.value.kind == Kind.JOB_REFUSED


def test_an_interface_that_this_machine_has_not_is_left_out():
    assert serve._interface(replace(USUAL, interface="lo")) == {"interface": "lo"}
    assert serve._interface(replace(USUAL, interface="ib77")) == {}


def test_a_scheduler_runs_in_one_job_alone(tmp_path):
    (tmp_path / "scheduler.job").write_text("1")
    assert asyncio.run(serve._own_scheduler(USUAL, tmp_path / "connection.json")) is None
    assert [path.name for path in tmp_path.iterdir()] == ["scheduler.job"]


def test_an_address_that_the_first_job_never_writes_is_told(tmp_path):
    with pytest.raises(Unavailable, match=r"the first job wrote no scheduler\.json"):
        asyncio.run(serve._found(tmp_path / "connection.json", 0.0))


def test_a_scheduler_whose_driver_is_gone_ends(monkeypatch):
    monkeypatch.setattr(serve, "_LOOK_SECONDS", 0.005)
    monkeypatch.setattr(serve, "_DESERTED_SECONDS", 0.02)
    clients = {"fire-and-forget", "Client-1"}

    async def story():
        watch = asyncio.create_task(serve._deserted(SimpleNamespace(clients=clients)))
        assert not (await asyncio.wait([watch], timeout=0.1))[0]
        clients.remove("Client-1")
        await asyncio.wait_for(watch, 5)

    asyncio.run(story())
