"""A run that could not go on at one site goes on at another: by typing it again with another --site, or by resume --site."""

from contextlib import contextmanager

import numpy as np
import pytest

from lakecv import registry
from lakecv.api import Lake
from lakecv.errors import Kind, Unavailable
from lakecv.plan import RunState
from lakecv.ports import ReadHints
from lakecv.testing.sites import InlineSite

OPTIONS = {"k": 3, "scaling": "none"}
PROFILE = 'executor = "{name}"\nmax_workers = 2\nnear = ["local"]\nwork = "{work}"\n[worker]\nmemory = "1GiB"\n'


class Fading(InlineSite):
    """A site that ends after so many tasks."""

    def __init__(self, tasks):
        super().__init__(1)
        self._left = tasks

    @contextmanager
    def pool(self, site, workers, work, label):
        def counted(task):
            if not self._left:
                raise Unavailable("its queue is down", Kind.QUEUE_DOWN, "lakecv resume")
            self._left -= 1
            return work(task)

        with super().pool(site, workers, counted, label) as pool:
            yield pool


@pytest.fixture
def lake(tmp_path, monkeypatch):
    """A lake with two sites; the one called ``fading`` ends in the middle."""
    sites = {"fading": Fading(3), "steady": InlineSite(2), "local": InlineSite(3)}
    monkeypatch.setattr(registry, "site", sites.get)
    (tmp_path / "sites").mkdir(mode=0o700)
    for name in ("fading", "steady"):
        (tmp_path / "sites" / f"{name}.toml").write_text(PROFILE.format(name=name, work=tmp_path / f"work-{name}"))
    monkeypatch.setenv("LAKECV_SITES", str(tmp_path / "sites"))
    lake = Lake(tmp_path / "lake", scope="museo")
    np.save(tmp_path / "cube.npy", np.random.default_rng(0).poisson(5.0, (200, 140, 40)).astype("uint16"))
    lake.register(tmp_path / "cube.npy", "museo:tavola", hints=ReadHints(dims="y,x,spectral"))
    with pytest.raises(Unavailable, match="its queue is down"):
        lake.run("kmeans", "museo:tavola", site="fading", options=OPTIONS)
    return lake


@pytest.mark.parametrize("how", ["run", "resume"])
def test_a_run_goes_on_where_it_is_asked_for_now_and_nothing_is_done_twice(lake, how, tmp_path):
    [begun] = [run.id for run in lake.runs()]
    before = lake._runs.area(begun).outcomes()
    assert len(before) == 3
    if how == "run":
        done = lake.run("kmeans", "museo:tavola", site="steady", options=OPTIONS)
    else:
        done = lake.resume(begun, site="steady")
    assert (done.id, done.state) == (begun, RunState.DONE)
    [page] = [path.read_bytes() for path in (tmp_path / "lake").rglob("run.json")]
    assert b'"blocks_done"' in page
    assert done.nbytes_near > 0 == done.nbytes_far
    alone = lake.run("kmeans", "museo:tavola", site="local", options=OPTIONS, again=True)
    assert lake.show(str(done.output)).digest == lake.show(str(alone.output)).digest
    assert not [path for name in ("fading", "steady") for path in (tmp_path / f"work-{name}").rglob("*") if path.is_file()]


def test_a_run_goes_on_where_it_went_so_far_unless_something_else_is_said(lake):
    with pytest.raises(Unavailable, match="its queue is down"):
        lake.resume()
    [begun] = [run.id for run in lake.runs()]
    assert lake._runs.area(begun).current().plan.site == "fading"
    assert len(lake._runs.area(begun).plans()) == 1
