"""Listing and following runs: what is read, in what order, and that nothing is read twice."""

from dataclasses import replace

import numpy as np
import pytest

from lakecv import registry
from lakecv.api import Lake
from lakecv.api.running import Runs
from lakecv.canonical import dump
from lakecv.errors import Corrupt, Kind, NotFound
from lakecv.lake_io.place import run_key, work_prefix
from lakecv.plan import Outcome, RunState
from lakecv.ports import ReadHints
from lakecv.testing.fakes import MemoryObjects
from lakecv.testing.sites import InlineSite


class Counting(MemoryObjects):
    """Notes each request; opened anew at a prefix it is the same lake."""

    def __init__(self, stored=None, log=None, prefix=""):
        super().__init__()
        self.root, self.log, self.prefix = stored or self, [] if log is None else log, prefix

    def get(self, key):
        self.log.append(("get", self.prefix + key))
        return MemoryObjects.get(self.root, self.prefix + key)

    def put(self, key, data):
        MemoryObjects.put(self.root, self.prefix + key, data)

    def head(self, key):
        self.log.append(("head", self.prefix + key))
        return MemoryObjects.head(self.root, self.prefix + key)

    def list(self, prefix=""):
        self.log.append(("list", self.prefix + prefix))
        for info in MemoryObjects.list(self.root, (self.prefix + prefix).rstrip("/")):
            yield replace(info, key=info.key.removeprefix(self.prefix))

    def delete(self, key):
        MemoryObjects.delete(self.root, self.prefix + key)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Setup and record of one real run."""
    folder = tmp_path_factory.mktemp("model")
    np.save(folder / "cube.npy", np.random.default_rng(0).gamma(2.0, 3.0, (70, 70, 4)).astype("float32"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "site", lambda _: InlineSite(1))
        lake = Lake(folder / "lake", scope="museo")
        lake.register(folder / "cube.npy", "museo:tavola", hints=ReadHints(dims="y,x,spectral"))
        run = lake.run("pca", "museo:tavola", options={"components": 2})
    return lake._runs.area(run.id).setup(), run


@pytest.fixture
def objects():
    return Counting()


@pytest.fixture
def runs(objects, monkeypatch):
    monkeypatch.setattr(registry, "open_objects", lambda url: Counting(objects, objects.log, url.removeprefix("fake://lake/") + "/"))
    return Runs("fake://lake", objects, None, lambda _: None, None, 60.0)


def name(number):
    return f"r-{number:010x}"


def begin(objects, model, number, second, *, done):
    """Leave what a run leaves: a setup, and its record where it is done."""
    created = f"2026-01-01T00:00:{second:06.3f}+00:00"
    objects.put(f"{work_prefix(name(number))}/setup.json", dump(replace(model[0], run=name(number), created=created)))
    if done:
        objects.put(run_key(name(number)), dump(replace(model[1], id=name(number), created=created)))


def block(objects, number, index):
    outcome = Outcome(f"map/{index:06d}", 1.0, float(index), 8, 8, "here")
    objects.put(f"{work_prefix(name(number))}/commits/{outcome.task}.json", dump(outcome))


def test_two_hundred_finished_runs_are_two_hundred_small_reads(objects, runs, model):
    for number in range(200):
        begin(objects, model, number, 59 - number % 60, done=True)
    found = runs.all()
    assert sorted(objects.log) == sorted([*(("get", run_key(name(number))) for number in range(200)), ("list", "work"), ("list", "runs")])
    assert len(found) == 200
    assert [run.created for run in found] == sorted(run.created for run in found)


def test_a_list_of_runs_tells_where_each_stands(objects, runs, model):
    begin(objects, model, 1, 30, done=True)
    begin(objects, model, 2, 10, done=False)
    begin(objects, model, 3, 20, done=False)
    block(objects, 2, 0)
    failed = Outcome("map/000001", 1.0, 1.0, 0, 0, "here", error=("bug", "?"))
    objects.put(f"{work_prefix(name(3))}/failures/x.json", dump(failed))
    states = [(run.id, run.state, run.blocks_done) for run in runs.all()]
    assert states[:2] == [(name(2), RunState.UNFINISHED, 1), (name(3), RunState.FAILED, 0)]
    assert states[2][:2] == (name(1), RunState.DONE)


def test_the_newest_run_is_the_one_that_began_last_within_the_second(objects, runs, model):
    for number, second in ((9, 5.001), (5, 5.003), (7, 5.002)):
        begin(objects, model, number, second, done=False)
    begin(objects, model, 1, 5.004, done=True)
    assert runs.newest(unfinished=True) == name(5)
    assert runs.newest(unfinished=False) == name(1)


def test_the_newest_unfinished_run_is_found_without_reading_finished_ones(objects, runs, model):
    for number in range(5):
        begin(objects, model, number, number, done=number != 2)
    assert runs.newest(unfinished=True) == name(2)
    assert [entry for entry in objects.log if entry[0] != "list"] == [("get", f"{work_prefix(name(2))}/setup.json")]


def test_where_there_is_no_run_there_is_no_newest(objects, runs, model):
    assert runs.newest(unfinished=False) is None
    begin(objects, model, 1, 1, done=True)
    assert runs.newest(unfinished=True) is None
    assert runs.all()[0].id == name(1)


def test_whoever_watches_reads_each_record_once(objects, runs, model):
    begin(objects, model, 1, 1, done=False)
    for index in range(20):
        block(objects, 1, index)
        assert runs.record(name(1)).blocks_done == index + 1
    read = [key for verb, key in objects.log if verb == "get" and not key.startswith("runs/")]
    assert len(read) == len(set(read)) == 21


def test_a_run_that_ends_while_it_is_looked_at_is_done(objects, runs, model, monkeypatch):
    begin(objects, model, 1, 1, done=False)
    block(objects, 1, 0)
    usual = runs.area(name(1)).failures

    def failures():
        objects.put(run_key(name(1)), dump(replace(model[1], id=name(1))))
        objects.delete(f"{work_prefix(name(1))}/commits/map/000000.json")
        return usual()

    monkeypatch.setattr(runs.area(name(1)), "failures", failures)
    assert runs.record(name(1)).state is RunState.DONE


def test_what_is_no_run_is_not_listed(objects, runs, model):
    begin(objects, model, 1, 1, done=True)
    for key in ("runs/README.md", "runs/r-1.json", "work/notes/setup.json", "work/r-00000000ff/parts/setup.json", "runs/a/r-0000000002.json"):
        objects.put(key, b"?")
    assert [run.id for run in runs.all()] == [name(1)]


def test_an_unknown_run_names_the_nearest_and_reads_no_record_of_another(objects, runs, model):
    begin(objects, model, 1, 1, done=True)
    for unknown in ("r-0000000002", "r-1", "../work", ""):
        with pytest.raises(NotFound) as caught:
            runs.record(unknown)
        assert caught.value.kind is Kind.RUN_UNKNOWN
        assert name(1) in caught.value.hint
    assert ("get", run_key(name(1))) not in objects.log


def test_a_damaged_record_of_a_run_is_corrupt(objects, runs, model):
    begin(objects, model, 1, 1, done=False)
    objects.put(run_key(name(1)), b"{")
    with pytest.raises(Corrupt):
        runs.all()


def test_no_more_work_areas_are_kept_than_are_of_use(objects, runs, model):
    for number in range(30):
        begin(objects, model, number, number, done=False)
    assert len(runs.all()) == 30
    assert len(runs._areas) == 8
    assert runs.area(name(29)) is runs.area(name(29))
