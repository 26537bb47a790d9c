"""One stage: what is committed is not run, what may pass is retried, what hangs is given up, Ctrl-C ends cleanly."""

import time

import numpy as np
import pytest

from lakecv.cube import Window
from lakecv.errors import Unavailable
from lakecv.execution.crew import Crew, Paces
from lakecv.execution.runarea import RunArea
from lakecv.execution.stagerun import run_stage
from lakecv.execution.station import Station
from lakecv.execution.tensors import unpack_state
from lakecv.job import StageKind
from lakecv.plan import Outcome, Plan, Task
from lakecv.sheet import State, Step
from lakecv.testing.fakes import MemoryObjects
from lakecv.testing.sites import InlinePool

PLAN = Plan(None, None, None, (), (), "", (), (), "", "local", 0, 0, 0.0)


def tasks(count):
    return [Task("w", "map", StageKind.MAP, 0, index, Window(index, index + 1, 0, 1)) for index in range(count)]


class Work:
    """Commits a part for each task; some fail at first, or always, as told."""

    def __init__(self, area, fail=None):
        self.area, self.fail, self.calls = area, fail or {}, []

    def __call__(self, task):
        self.calls.append((task.index, task.attempt))
        kind, times = self.fail.get(task.index, ("", 0))
        outcome = Outcome(task.key, 0.0, time.time(), 1, 0, "here", task.attempt)
        if task.attempt <= times:
            return Outcome(task.key, 0.0, time.time(), 0, 0, "here", task.attempt, error=(kind, "told to fail"))
        return self.area.commit(task, outcome, b"part of %d" % task.index)


def crew(area, work, deadline=60.0, pool=None):
    station = Station("", pool or InlinePool(work, None), 2)
    return Crew(area, {"": station}, PLAN, Paces(()), (), lambda _: None, deadline, time.monotonic())


@pytest.fixture
def area():
    found = RunArea(MemoryObjects("x"), None)
    found.near = {}
    return found


def test_all_tasks_come_back_committed(area):
    work = Work(area)
    done = run_stage(crew(area, work), "map", tasks(7))
    assert [area.part(done[task.key]) for task in tasks(7)] == [b"part of %d" % index for index in range(7)]


def test_a_task_with_a_commit_record_is_not_run_again(area):
    run_stage(crew(area, Work(area)), "map", tasks(3))
    again = Work(area)
    assert len(run_stage(crew(area, again), "map", tasks(5))) == 5
    assert [index for index, _ in again.calls] == [3, 4]


def test_what_may_pass_is_tried_three_times(area):
    work = Work(area, {1: ("worker-lost", 2), 2: ("store-unreachable", 9)})
    done = run_stage(crew(area, work), "map", tasks(3))
    assert [done[task.key].ok for task in tasks(3)] == [True, True, False]
    assert [call for call in work.calls if call[0] == 2] == [(2, 1), (2, 2), (2, 3)]


def test_a_broken_model_is_not_tried_again_and_the_rest_goes_on(area):
    work = Work(area, {0: ("contract-broken", 9)})
    done = run_stage(crew(area, work), "map", tasks(4))
    assert sum(outcome.ok for outcome in done.values()) == 3
    assert [call for call in work.calls if call[0] == 0] == [(0, 1)]
    assert [outcome.error[1] for outcome in area.failures()] == ["told to fail"]


def test_a_later_success_overrules_the_verdict(area):
    run_stage(crew(area, Work(area, {0: ("contract-broken", 9)})), "map", tasks(1))
    run_stage(crew(area, Work(area)), "map", tasks(1))
    assert area.failures() == ()


class Deaf(InlinePool):
    """A pool whose first task never ends."""

    def outcomes(self, timeout_seconds):
        self._queue = [task for task in self._queue if task.index]
        return super().outcomes(timeout_seconds)


def test_a_task_that_hangs_is_given_up_after_the_deadline(area):
    work = Work(area)
    done = run_stage(crew(area, work, deadline=0.05, pool=Deaf(work, None)), "map", tasks(3))
    assert done["map/000000"].error == ("contract-broken", "no result after 0 s")
    assert sum(outcome.ok for outcome in done.values()) == 2


def test_ctrl_c_ends_cleanly_and_says_what_is_safe(area):
    work = Work(area)

    def interrupted(task):
        if task.index == 2:
            raise KeyboardInterrupt
        return work(task)

    with pytest.raises(Unavailable, match="2 tasks are committed") as caught:
        run_stage(crew(area, interrupted), "map", tasks(5))
    assert caught.value.kind == "interrupted"


def test_of_two_commits_of_one_task_the_first_counts(area):
    [task] = tasks(1)
    outcome = Outcome(task.key, 0.0, 0.0, 1, 0, "here")
    first = area.commit(task, outcome, b"one")
    assert area.commit(task, outcome, b"two") == first
    assert area.part(first) == b"one"


def test_of_two_states_of_one_stage_the_first_counts(area):
    first = area.save_state("0-start", Step(State({"a": np.arange(3)}), done=False))
    second = area.save_state("0-start", Step(State({"a": np.arange(3) + 1}), done=True))
    assert second.done is first.done is False
    np.testing.assert_array_equal(second.state.arrays["a"], np.arange(3))
    np.testing.assert_array_equal(unpack_state(area.state_bytes("0-start")).arrays["a"], np.arange(3))
