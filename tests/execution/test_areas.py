"""Work areas near sites: everything is where it is needed, read where it lies, counted once, and gone at the end."""

from dataclasses import replace

import numpy as np
import pytest

from lakecv.errors import Corrupt, Kind, Unavailable
from lakecv.execution.masks import MASK, pack_mask, unpack_mask
from lakecv.execution.runarea import RunArea
from lakecv.execution.tensors import pack_pieces
from lakecv.execution.workarea import Setup, WorkArea
from lakecv.lake_io.place import CLEARED
from lakecv.plan import Outcome
from lakecv.planning.make import make_plan
from lakecv.selection import MaskSource, Selection
from lakecv.sheet import State, Step
from lakecv.testing.fakes import MemoryObjects
from tests.execution.crews import tasks
from tests.planning.test_make import halves, two_sites, wish


class Store(MemoryObjects):
    """Counts reads, and does not answer while it is away."""

    def __init__(self, url):
        super().__init__(url)
        self.away, self.gets = False, 0

    def get(self, key):
        self._answer()
        self.gets += 1
        return super().get(key)

    def put(self, key, data):
        self._answer()
        super().put(key, data)

    def list(self, prefix=""):
        self._answer()
        return super().list(prefix)

    def delete(self, key):
        self._answer()
        super().delete(key)

    def _answer(self):
        if self.away:
            raise Unavailable(f"{self.url} is away", Kind.STORE_UNREACHABLE)

    def keys(self):
        return {info.key for info in super().list()}


@pytest.fixture
def stores():
    return {url: Store(url) for url in ("lake", "near pg", "near na")}


@pytest.fixture
def setup():
    plan = make_plan(replace(wish(replicas=("pg", "na")), holders=halves), two_sites(), asked="auto")
    plan = replace(plan, shares=tuple(replace(share, work=f"near {share.site}") for share in plan.shares))
    return Setup("r-0123456789", "lake", plan, wish().dataset, wish().dataset.did, "home", "now")


def opened(stores):
    """The run's areas as another process sees them."""
    return RunArea(stores["lake"], stores.__getitem__)


@pytest.fixture
def area(stores, setup):
    made = opened(stores)
    made.start(setup)
    made.prepare()
    return made


@pytest.fixture
def reader(stores, area):
    """What another process makes of the same run."""
    return opened(stores) if area else None


def step(value=1):
    return Step(State({"a": np.arange(3) + value}), done=False)


def commit(stores, site, index, part=b"part", stage="map"):
    """Commit as a worker at a site does."""
    url = f"near {site}" if site else "lake"
    [task] = tasks(1, site, first=index, stage=stage)
    return replace(task, work=url), WorkArea(stores[url]).commit(task, Outcome(task.key, 0.5, 1.0, 8, 0, "here", site=site), part)


def commit_arrays(stores, site, index, **arrays):
    """Commit named arrays as a worker at a site does."""
    url = f"near {site}" if site else "lake"
    [task] = tasks(1, site, first=index, stage="map")
    part, pieces = pack_pieces(arrays)
    outcome = Outcome(task.key, 0.5, 1.0, 8, 0, "here", site=site, pieces=pieces)
    return replace(task, work=url), WorkArea(stores[url]).commit(task, outcome, part)


def test_setup_and_given_states_lie_near_each_site(stores, setup):
    area = opened(stores)
    area.give("0-given", step().state)
    area.start(setup)
    area.prepare()
    for site in ("pg", "na"):
        near = WorkArea(stores[f"near {site}"])
        assert near.setup() == setup
        assert near.load_state("0-given").done
        assert area.url_at(site) == f"near {site}"


def test_a_mask_lies_near_each_site_where_the_job_has_one(stores, setup):
    masked = replace(setup, plan=replace(setup.plan, job=replace(setup.plan.job, selection=Selection(mask=MaskSource("a.npy", "0")))))
    area, mask = opened(stores), np.eye(3, 5, dtype=bool)
    area.give(MASK, pack_mask(mask))
    area.start(masked)
    area.prepare()
    for site in ("pg", "na"):
        np.testing.assert_array_equal(unpack_mask(WorkArea(stores[f"near {site}"]).load_state(MASK).state, (3, 5)), mask)


def test_a_state_is_copied_near_each_site_and_once(stores, area):
    area.save_state("0-start", step())
    for site in ("pg", "na"):
        np.testing.assert_array_equal(WorkArea(stores[f"near {site}"]).load_state("0-start").state.arrays["a"], np.arange(3) + 1)
    reads = stores["near pg"].gets
    area.mirror("0-start")
    assert stores["near pg"].gets == reads


def test_a_state_whose_copies_a_kill_prevented_is_copied_by_the_next_driver(stores, reader):
    WorkArea(stores["lake"]).save_state("0-start", step())
    again = reader
    again.prepare()
    assert again.mirror("0-start") is not None
    assert WorkArea(stores["near na"]).load_state("0-start") is not None
    assert again.mirror("0-reduce-001") is None


def test_an_area_with_another_state_is_left_out(stores, area):
    WorkArea(stores["near na"]).save_state("0-start", step(2))
    area.save_state("0-start", step(1))
    assert area.url_at("na") == "lake"
    assert "another state of 0-start" in area.said[0]


def test_an_area_of_another_run_is_left_out(stores, setup):
    WorkArea(stores["near pg"]).start(replace(setup, run="r-9999999999"))
    area = opened(stores)
    area.start(setup)
    area.prepare()
    assert (area.url_at("pg"), area.url_at("na")) == ("lake", "near na")
    assert "belongs to another run" in area.said[0]


def test_parts_are_read_where_they_lie(stores, area):
    made = {site: commit(stores, site, index, site.encode())[1] for index, site in enumerate(("", "pg", "na"))}
    assert {outcome.task for outcome in opened(stores).outcomes("map").values()} == {outcome.task for outcome in made.values()}
    area.outcomes()
    assert [area.part(outcome) for outcome in made.values()] == [b"", b"pg", b"na"]
    assert [area.site_of(outcome) for outcome in made.values()] == ["", "pg", "na"]


@pytest.mark.parametrize("wanted", [None, "b".__eq__])
def test_arrays_are_read_where_they_lie(wanted, stores, area):
    made = [commit_arrays(stores, site, index, a=np.arange(3), b=np.full(2, index)) for index, site in enumerate(("", "pg", "na"))]
    area.outcomes()
    found = [area.arrays(outcome, wanted) for _, outcome in made]
    assert [each["b"].tolist() for each in found] == [[0, 0], [1, 1], [2, 2]]
    assert all(("a" in each) is (wanted is None) for each in found)


def test_arrays_that_nobody_wants_are_not_asked_for(stores, area):
    task, outcome = commit_arrays(stores, "na", 0, a=np.arange(3))
    area.took(task, outcome)
    stores["near na"].away = True
    assert area.arrays(outcome, "b".__eq__) == {}


@pytest.mark.parametrize(("places", "counts"), [(("na", "pg"), "pg"), (("pg", "na", ""), ""), (("na", ""), "")])
def test_of_two_records_of_a_task_one_counts_and_its_part_is_that_ones(places, counts, stores, area):
    for site in places:
        commit(stores, site, 0, f"at {site}".encode())
    [found] = area.outcomes("map").values()
    assert (area.site_of(found), area.part(found)) == (counts, f"at {counts}".encode())
    [asked] = [opened(stores).outcome(found.task)]
    assert asked == found


def test_what_a_driver_took_counts_though_the_same_task_is_committed_elsewhere_later(stores, area):
    task, outcome = commit(stores, "na", 0, b"mine")
    area.took(task, outcome)
    commit(stores, "pg", 0, b"late")
    assert (area.site_of(outcome), area.part(outcome)) == ("na", b"mine")


def test_a_lost_tasks_record_is_looked_for_where_it_worked(stores, area):
    task, outcome = commit(stores, "na", 0)
    [other] = tasks(1, first=1)
    assert area.found([task, other]) == {task.key: outcome}
    assert area.site_of(outcome) == "na"
    assert stores["near pg"].gets == 0


@pytest.mark.parametrize("call", ["outcomes", "found", "part", "arrays", "one array", "save_state", "check", "committed"])
def test_for_a_driver_an_area_that_went_out_of_reach_stays_so(call, stores, area):
    task, outcome = commit_arrays(stores, "na", 0, a=np.arange(3))
    area.took(task, outcome)
    stores["near na"].away = True
    calls = {"outcomes": lambda: area.outcomes("map"), "found": lambda: area.found([task]), "part": lambda: area.part(outcome),
             "arrays": lambda: area.arrays(outcome), "one array": lambda: area.arrays(outcome, "a".__eq__),
             "save_state": lambda: area.save_state("0-start", step()), "check": area.check, "committed": lambda: area.committed("map")}
    if call in {"part", "arrays", "one array"}:
        with pytest.raises(Unavailable):
            calls[call]()
    else:
        calls[call]()
    stores["near na"].away = False
    assert area.url_at("na") == "lake"
    assert area.outcomes("map") == {}
    assert area.said == ["the work area near na was left out: near na is away"]


def test_who_only_reads_asks_again_after_a_while(stores, reader, monkeypatch):
    _, outcome = commit(stores, "na", 0)
    now = [100.0]
    monkeypatch.setattr("lakecv.execution.runarea.time.monotonic", lambda: now[0])
    stores["near na"].away = True
    assert reader.outcomes("map") == {}
    with pytest.raises(Unavailable, match="the area near na is not"):
        reader.outcome(outcome.task)
    stores["near na"].away = False
    now[0] += 61
    assert reader.outcome(outcome.task) == outcome


def test_a_lake_that_is_away_is_an_error(stores, area):
    stores["lake"].away = True
    with pytest.raises(Unavailable, match="lake is away"):
        area.outcomes("map")
    assert area.url_at("na") == "near na"


def test_a_success_near_a_site_overrules_a_verdict(stores, area):
    for index in (0, 1):
        [task] = tasks(1, first=index)
        area.fail(Outcome(task.key, 0.0, 0.0, 0, 0, "", error=("bug", "?")))
    commit(stores, "na", 0)
    assert [outcome.task for outcome in opened(stores).failures()] == ["map/000001"]


@pytest.mark.parametrize("damage", [b"foreign", None])
@pytest.mark.parametrize("read", [RunArea.part, RunArea.arrays, lambda area, outcome: area.arrays(outcome, "a".__eq__)])
def test_a_part_near_a_site_that_was_changed_or_lost_is_corrupt(damage, read, stores, area):
    task, outcome = commit_arrays(stores, "na", 0, a=np.arange(3))
    area.took(task, outcome)
    stores["near na"].delete(outcome.part)
    if damage:
        stores["near na"].put(outcome.part, damage)
    with pytest.raises(Corrupt, match="near na"):
        read(area, outcome)


def test_a_clear_leaves_nothing_near_sites(stores, area):
    area.save_state("0-start", step())
    commit(stores, "na", 0)
    commit(stores, "", 1)
    opened(stores).clear()
    assert stores["near pg"].keys() == stores["near na"].keys() == set()
    assert stores["lake"].keys() == {"setup.json"}


def test_while_an_area_cannot_be_cleared_the_lakes_stays_for_gc_to_find(stores, area):
    area.save_state("0-start", step())
    stores["near na"].away = True
    area.clear()
    assert stores["near pg"].keys() == set()
    assert any(info.key.startswith(CLEARED) for info in stores["lake"].list())
    stores["near na"].away = False
    area.clear()
    assert stores["near na"].keys() == set()
    assert stores["lake"].keys() == {"setup.json"}


def test_a_record_that_was_told_of_is_not_read_and_one_that_differs_is(stores, area):
    told = [commit(stores, "na", index) for index in range(2)]
    area.took(*told[0])
    area.took(told[1][0], replace(told[1][1], worker="another one"))
    before = stores["near na"].gets
    assert area.outcomes("map") == {task.key: outcome for task, outcome in told}
    assert stores["near na"].gets == before + 1
