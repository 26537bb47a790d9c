"""A work area reads each record once, sees what others add or take away, and never mixes up two lives of one key."""

from threading import Barrier, Event

import pytest
from lakecv_plugins.storage.file import FileStorage

from lakecv.cube import Window
from lakecv.errors import Corrupt, NotFound, Unavailable
from lakecv.execution.workarea import WorkArea
from lakecv.job import StageKind
from lakecv.patience import many
from lakecv.plan import Outcome, Task
from lakecv.sheet import State, Step
from lakecv.testing.fakes import MemoryObjects


class Counting(MemoryObjects):
    """Notes the key of every read and the folder of every listing."""

    def __init__(self):
        super().__init__()
        self.gets, self.lists = [], []

    def get(self, key):
        self.gets.append(key)
        return super().get(key)

    def list(self, prefix=""):
        self.lists.append(prefix)
        return super().list(prefix)


@pytest.fixture
def objects():
    return Counting()


@pytest.fixture
def area(objects):
    return WorkArea(objects)


def task(index, stage="map"):
    return Task("w", stage, StageKind.MAP, 0, index, Window(index, index + 1, 0, 1))


def outcome(index, stage="map", started=1.0, error=None):
    return Outcome(task(index, stage).key, 0.5, started, 8, 0, "here", error=error)


def commit(objects, index, stage="map", part=b"part"):
    """Commit as another process does."""
    return WorkArea(objects).commit(task(index, stage), outcome(index, stage), part)


def test_a_record_is_read_once(objects, area):
    made = {task(index).key: commit(objects, index) for index in range(50)}
    assert area.outcomes("map") == made
    objects.gets.clear()
    assert area.outcomes("map") == area.outcomes() == made
    assert objects.gets == []


def test_only_new_records_are_read(objects, area):
    commit(objects, 0)
    area.outcomes()
    objects.gets.clear()
    late = commit(objects, 1)
    assert area.outcomes("map")[task(1).key] == late
    assert objects.gets == ["commits/map/000001.json"]


def test_records_of_another_stage_and_states_are_not_among_a_stages_outcomes(objects, area):
    one, other = commit(objects, 0), commit(objects, 0, "0-reduce-001")
    area.save_state("0-reduce-001", Step(State({}, {}), done=True))
    assert list(area.outcomes("map").values()) == [one]
    assert list(area.outcomes("0-reduce-001").values()) == [other]
    assert len(area.outcomes()) == 2


def test_outcomes_come_in_the_order_of_their_keys(objects, area):
    for index in (3, 1):
        commit(objects, index)
    area.outcomes()
    for index in (2, 0):
        commit(objects, index)
    assert list(area.outcomes()) == [task(index).key for index in range(4)]


def test_what_another_process_cleared_is_not_told_again(objects, area):
    commit(objects, 0)
    area.outcomes()
    WorkArea(objects).clear()
    assert area.outcomes() == {}


def test_a_record_that_took_the_place_of_a_cleared_one_is_read(tmp_path):
    objects = FileStorage().objects(str(tmp_path))
    area = WorkArea(objects)
    commit(objects, 0, part=b"old")
    before = area.outcomes()[task(0).key]
    WorkArea(objects).clear()
    after = commit(objects, 0, part=b"new")
    assert area.outcomes() == {task(0).key: after} != {task(0).key: before}
    assert area.part(after) == b"new"


def test_a_clear_leaves_the_setup_and_nothing_else(objects, area):
    objects.put("setup.json", b"{}")
    for index in range(40):
        commit(objects, index)
    area.fail(outcome(41, error=("bug", "?")))
    area.save_state("0-start", Step(State({}, {}), done=False))
    area.outcomes()
    area.clear()
    assert [info.key for info in objects.list()] == ["setup.json"]
    assert area.outcomes() == {}


def test_a_record_that_vanishes_between_listing_and_reading_is_an_error(objects, area, monkeypatch):
    commit(objects, 0)
    usual = objects.get

    def get(key):
        objects.delete(key)
        return usual(key)

    monkeypatch.setattr(objects, "get", get)
    with pytest.raises(NotFound):
        area.outcomes()


def test_a_damaged_record_is_corrupt_each_time(objects, area):
    objects.put("commits/map/000000.json", b"{")
    for _ in range(2):
        with pytest.raises(Corrupt):
            area.outcomes()


def test_the_newest_verdict_counts_until_a_commit_overrules_it(objects, area):
    for started in (2.0, 3.0, 1.0):
        area.fail(outcome(0, started=started, error=("bug", f"at {started}")))
    area.fail(outcome(1, "pack", error=("bug", "?")))
    assert [(each.task, each.error[1]) for each in area.failures()] == [("map/000000", "at 3.0"), ("pack/000001", "?")]
    commit(objects, 0)
    objects.gets.clear()
    assert [each.task for each in area.failures()] == ["pack/000001"]
    assert objects.gets == []


def test_no_failure_costs_one_listing(objects, area):
    commit(objects, 0)
    objects.lists.clear()
    assert area.failures() == ()
    assert objects.lists == ["failures"]


def test_a_setup_is_read_once(objects, area, monkeypatch):
    monkeypatch.setattr("lakecv.execution.workarea.load", lambda _, data: data)
    objects.put("setup.json", b"all that is fixed")
    assert area.setup() == area.setup() == b"all that is fixed"
    assert objects.gets == ["setup.json"]


def test_many_asks_at_once_and_answers_in_order():
    company = Barrier(16)  # nobody passes it alone
    done = many(lambda number: (company.wait(10), -number)[1], range(64))
    assert done == [-number for number in range(64)]


def test_an_error_ends_many_before_all_were_asked():
    asked = []

    def ask(number):
        asked.append(number)
        if number == 0:
            raise Unavailable("gone")
        Event().wait(0.002)  # as long as a server takes

    with pytest.raises(Unavailable):
        many(ask, range(5000))
    assert len(asked) < 5000
