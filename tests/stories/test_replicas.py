"""A dataset at two places, one of them damaged: the run reads on, its result is the same, the catalog is told once."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from lakecv_catalog.documents import DocumentCatalog

from lakecv import registry
from lakecv.api import Lake
from lakecv.errors import Kind, Unavailable
from lakecv.execution import worker
from lakecv.execution.bench import open_bench
from lakecv.plan import RunState
from lakecv.ports import ReadHints, ReportsDamage
from lakecv.records import Replica
from lakecv.testing.sites import InlineSite
from tests.lake_io.small import flipped

DID = "museo:tavola"
KEY = "data/c/0/0/0"


class TwoPlaces(DocumentCatalog):
    """Documents that know of a copy of every dataset that has one, in a folder beside the lake."""

    far = Path()

    def lookup(self, did):
        dataset = super().lookup(did)
        url = self.far / did.name
        return replace(dataset, replicas=(*dataset.replicas, Replica("CNAF", str(url)))) if url.is_dir() else dataset


class Told(TwoPlaces):
    """As above, and it wants to know of damage."""

    reports = ()
    error = None

    def report(self, dataset, damages):
        if self.error is not None:
            raise self.error
        Told.reports += ((str(dataset.did), tuple((damage.rse, damage.key) for damage in damages)),)
        return "suspicious"


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """Open the lake whose dataset lies at ``local`` and CNAF."""
    monkeypatch.setattr(registry, "site", lambda _: InlineSite(1))
    monkeypatch.setattr(TwoPlaces, "far", tmp_path / "cnaf")
    monkeypatch.setattr(Told, "reports", ())
    monkeypatch.setattr("lakecv.api.damages._told", set)

    def open_with(catalog=Told):
        monkeypatch.setattr(registry, "catalog", lambda objects, _: catalog(objects))
        return Lake(tmp_path / "lake", scope="museo")

    np.save(tmp_path / "cube.npy", np.random.default_rng(0).poisson(9.0, (70, 90, 6)).astype("uint16"))
    lake = open_with()
    lake.register(tmp_path / "cube.npy", DID, hints=ReadHints(dims="y,x,spectral"))
    shutil.copytree(tmp_path / "lake" / lake.show(DID).home, tmp_path / "cnaf" / "tavola")
    return open_with


def at(lake, place):
    """Objects of one of the places."""
    dataset = lake.show(DID)
    return registry.open_objects(f"{lake.url}/{dataset.home}" if place == "local" else dataset.replicas[1].url)


def spoilt(objects, key):
    """Leave no chunk of an object right."""
    nbytes = objects.head(key).nbytes
    objects.delete(key)
    objects.put(key, bytes(nbytes))


def run(lake):
    return lake.run("kmeans", DID, options={"k": 3}, again=True)


def digest(lake, done):
    return lake.show(str(done.output)).digest


def test_a_damaged_object_is_read_from_the_other_place_and_reported_once(opened):
    lake = opened()
    whole = digest(lake, run(lake))
    flipped(at(lake, "local"), KEY, 100)
    done = run(lake)
    assert (done.state, digest(lake, done)) == (RunState.DONE, whole)
    assert dict(done.facts)["damage"] == "1 object at local was bad; read from CNAF; reported as suspicious"
    assert Told.reports == ((DID, (("local", KEY),)),)
    assert lake.runs()[-1].facts == done.facts


def test_a_place_that_is_gone_as_a_whole_changes_nothing(opened, tmp_path):
    lake = opened()
    whole = digest(lake, run(lake))
    (tmp_path / "lake" / lake.show(DID).home).rename(tmp_path / "gone")
    done = run(lake)
    assert digest(lake, done) == whole
    assert "read from CNAF" in dict(done.facts)["damage"]


def test_a_catalog_that_takes_no_reports_leaves_the_run_its_fact(opened):
    lake = opened(TwoPlaces)
    flipped(at(lake, "local"), KEY, 100)
    done = run(lake)
    assert not isinstance(lake._catalog, ReportsDamage)
    assert dict(done.facts)["damage"] == "1 object at local was bad; read from CNAF"


def test_a_report_that_fails_does_not_fail_the_run(opened, monkeypatch):
    lake = opened()
    flipped(at(lake, "local"), KEY, 100)
    monkeypatch.setattr(Told, "error", Unavailable("the catalog is down", Kind.CATALOG_TIMEOUT))
    done = run(lake)
    assert done.state is RunState.DONE
    assert dict(done.facts)["damage"].endswith("not reported: the catalog is down")


def failing(stage):
    def fail(bench, task):
        stage(bench, task)
        raise RuntimeError("this block fails")

    return fail


def test_a_resumed_run_reports_nothing_twice(opened, monkeypatch):
    lake = opened()
    flipped(at(lake, "local"), KEY, 100)
    with monkeypatch.context() as patch:
        patch.setattr(worker, "_STAGES", {**worker._STAGES, "map": failing(worker._STAGES["map"])})
        failed = run(lake)
    assert (failed.state, dict(failed.facts)["damage"]) == (RunState.FAILED, "1 object at local was bad; reported as suspicious")
    open_bench.cache_clear()  # as in another process, which meets the damage anew
    done = lake.resume(failed.id)
    assert (done.state, len(Told.reports)) == (RunState.DONE, 1)
    assert dict(done.facts)["damage"] == "1 object at local was bad; read from CNAF; reported as suspicious"


def test_when_all_replicas_are_bad_the_failed_blocks_name_each(opened):
    lake = opened()
    for place in ("local", "CNAF"):
        spoilt(at(lake, place), KEY)
    done = run(lake)
    kind, text = done.failed[0].error
    assert (done.state, kind) == (RunState.FAILED, "checksum-mismatch")
    assert "local: its" in text
    assert "CNAF: its" in text
    assert Told.reports == ((DID, (("CNAF", KEY), ("local", KEY))),)


def test_what_is_opened_outside_of_a_run_is_told_at_once_and_once(opened, tmp_path, monkeypatch):
    lake, told = opened(), set()
    monkeypatch.setattr("lakecv.api.damages._told", lambda: told)
    expected = np.load(tmp_path / "cube.npy")
    flipped(at(lake, "local"), KEY, 100)
    for _ in range(2):
        np.testing.assert_array_equal(lake.open(DID)["data"], expected)
    assert Told.reports == ((DID, (("local", KEY),)),)
    assert [damage.rse for damage in lake.fetch(DID, tmp_path / "out").damages] == ["local"]
