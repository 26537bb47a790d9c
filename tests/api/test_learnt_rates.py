"""What runs show of sites is kept in the lake and changes plans, never a job's digest or a result."""

import numpy as np
import pytest

from lakecv import registry
from lakecv.api import Lake
from lakecv.api.rates import known_rates
from lakecv.planning.rates import Rates
from lakecv.ports import ReadHints
from lakecv.testing.sites import InlineSite

OPTIONS = {"k": 3, "scaling": "none"}


@pytest.fixture
def lake(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "site", lambda _: InlineSite(7))
    lake = Lake(tmp_path / "lake", scope="museo")
    np.save(tmp_path / "cube.npy", np.random.default_rng(0).poisson(5.0, (96, 64, 8)).astype("uint16"))
    lake.register(tmp_path / "cube.npy", "museo:tavola", hints=ReadHints(dims="y,x,spectral"))
    return lake


def test_a_lake_without_runs_has_learnt_nothing(lake):
    assert known_rates(lake._objects) == Rates()


def test_a_run_leaves_its_speed_its_reads_and_its_wait(lake):
    lake.run("kmeans", "museo:tavola", options=OPTIONS)
    seen = known_rates(lake._objects).of("local")
    assert seen.speed > 0
    assert [link.rse for link in seen.links] == ["local"]
    assert seen.links[0].bytes_per_second > 0
    assert seen.wait_seconds >= 0
    assert seen.success == 1.0


def test_what_was_learnt_changes_the_plan_and_neither_the_job_nor_the_labels(lake):
    before = lake.plan("kmeans", "museo:tavola", options=OPTIONS)
    first = lake.run("kmeans", "museo:tavola", options=OPTIONS)
    after = lake.plan("kmeans", "museo:tavola", options=OPTIONS)
    second = lake.run("kmeans", "museo:tavola", options=OPTIONS, again=True)
    assert after.paces != before.paces
    assert after.job.digest == before.job.digest
    assert lake.show(str(first.output)).digest == lake.show(str(second.output)).digest


def test_a_damaged_document_is_one_run_less_to_learn_from(lake):
    lake.run("kmeans", "museo:tavola", options=OPTIONS)
    [info] = lake._objects.list("rates")
    lake._objects.put("rates/9999.json", b"{")
    assert known_rates(lake._objects).of("local").speed > 0
    assert info.key.endswith(".json")
    lake._objects.delete(info.key)
    assert known_rates(lake._objects) == Rates()
