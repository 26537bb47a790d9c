"""Outcomes in lanes."""

import pytest

from lakecv.plan import Outcome
from lakecv.report.timeline import arrange, stage_kind


def _outcome(index, started, seconds, worker="w", error=None):
    return Outcome(f"0-map-000/{index:06d}", seconds, started, 0, 0, worker, error=error)


def test_tasks_that_a_worker_had_at_once_lie_in_separate_lanes():
    bars, names, left_out = arrange([_outcome(0, 10.0, 2.0), _outcome(1, 11.0, 2.0), _outcome(2, 12.5, 1.0)])
    assert [(bar.lane, bar.start, bar.stop) for bar in bars] == [(0, 0.0, 2.0), (0, 2.5, 3.5), (1, 1.0, 3.0)]
    assert (names, left_out) == (["w", ""], 0)


def test_the_picture_does_not_depend_on_the_order_of_arrival():
    tasks = [_outcome(index, float(index), 0.9, f"w{index % 3}") for index in range(30)]
    assert arrange(tasks) == arrange(tasks[::-1])


def test_thousands_of_short_tasks_become_few_bars_of_the_same_extent():
    tasks = [_outcome(index, index * 0.01, 0.0099) for index in range(20_000)]
    bars, _, _ = arrange(tasks)
    assert len(bars) < 2000
    assert (bars[0].start, bars[-1].stop) == (0.0, pytest.approx(200.0, abs=0.001))


def test_a_failed_task_is_never_joined_with_one_that_went_well():
    tasks = [_outcome(index, index * 0.01, 0.0099, error=("bug", "") if index == 500 else None) for index in range(1000)]
    bars, _, _ = arrange(tasks)
    assert sum(bar.failed for bar in bars) == 1


def test_more_lanes_than_fit_are_counted():
    _, names, left_out = arrange([_outcome(index, 0.0, 1.0, f"w{index:03d}") for index in range(50)])
    assert (len(names), left_out) == (40, 10)


@pytest.mark.parametrize(
    ("task", "kind"), [("0-reduce-003/000012", "reduce"), ("1-pack/labels-000000", "pack"), ("odd", "other"), ("0-new-1/2", "other")]
)
def test_what_a_task_did_is_read_off_its_key(task, kind):
    assert stage_kind(task) == kind
