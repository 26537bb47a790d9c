"""How often a run asks the catalog: as often for many blocks as for one."""

from functools import partial

import numpy as np
import pytest
from lakecv_catalog.rucio.server import _server

from lakecv import registry
from lakecv.api import Lake
from lakecv.lake_io import child
from lakecv.plan import RunState
from lakecv.planning import make
from lakecv.ports import ReadHints
from lakecv.testing.sites import InlineSite
from tests.rucio_server import FakeRucio


@pytest.fixture
def rucio(tmp_path, monkeypatch):
    with FakeRucio() as rucio:
        rucio.add_account("ada")
        for scope in ("user.ada", "one", "many"):
            rucio.add_scope(scope, "ada")
        rucio.add_rse("INFN-PG", "INFN-PG", tmp_path / "INFN-PG")
        rucio.set_quota("ada", "INFN-PG", None)
        monkeypatch.setenv("RUCIO_HOME", str(rucio.home(tmp_path, "ada")))
        monkeypatch.setattr(registry, "site", lambda _: InlineSite(1))
        monkeypatch.setattr("lakecv.api.registering.convert_apart", child.serve)
        yield rucio
    _server.cache_clear()


def _cut(usual, seconds, grid, **more):
    return usual(grid, **{**more, "seconds_per_pixel": seconds, "slots": 0.01})


def test_a_run_of_many_blocks_asks_the_catalog_as_often_as_one_of_one(rucio, tmp_path, monkeypatch):
    np.save(tmp_path / "cube.npy", np.random.default_rng(1).poisson(20.0, (128, 64, 256)).astype("uint16"))
    lake = Lake(tmp_path / "lake", catalog="rucio", rse="INFN-PG")
    lake.register(tmp_path / "cube.npy", "user.ada:tavola", hints=ReadHints(dims="y,x,spectral"))
    calls, blocks, usual = [], [], make.choose_blocks
    for scope, seconds in (("one", 1e-9), ("many", 1.0)):  # of work per pixel, as the planner is made to think
        monkeypatch.setattr(make, "choose_blocks", partial(_cut, usual, seconds))
        rucio.calls.clear()
        run = lake.run("pca", "user.ada:tavola", options={"components": 2}, scope=scope)
        assert run.state is RunState.DONE
        calls.append(len(rucio.calls))
        blocks.append(run.blocks)
    assert blocks == [1, 2]
    assert calls[0] == calls[1]
