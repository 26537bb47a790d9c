"""Several sites at one stage: every task once, windows kept, who fails is replaced, and who idles takes over when that pays."""

import math
from collections import Counter

import pytest

from lakecv import registry
from lakecv.errors import Denied, Infeasible, Kind, Unavailable
from lakecv.execution.crew import Crew
from lakecv.execution.stagerun import run_stage
from lakecv.execution.station import Station, manned
from lakecv.job import StageKind
from lakecv.plan import Outcome, Plan, Share
from lakecv.site import Resources, Site
from tests.execution.crews import Broken, Clock, Pool, Work, areas_of, by_url, crew_of, paces, tasks

GONE = Unavailable("the scheduler is gone", Kind.WORKER_LOST)
NEAR = paces(a="one:1 two:11", b="one:11 two:1")


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def area():
    return areas_of("a", "b")


def halves(area, number=20):
    """As many tasks for each of two sites."""
    return [*tasks(number, "a", "one", area=area), *tasks(number, "b", "two", area=area, first=number)]


# --- every task once --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("seed", range(8))
def test_every_task_is_done_exactly_once_over_three_sites_in_any_order(seed, clock, area):
    work = Work(by_url(area))
    pools = {site: Pool(work, clock, slots, 0.3 + slots / 10, seed) for site, slots in (("a", 3), ("b", 1), ("c", 2))}
    pace = paces(a="one:1", b="one:1", c="one:1")
    wanted = [task for number, site in enumerate("abc") for task in tasks(15, site, "one", area=area, first=15 * number)]
    done = run_stage(crew_of(area, pools, clock, pace=pace, rses=("one",)), "map", wanted)
    assert sorted(key for key, _, _ in work.calls) == sorted(done) == sorted(task.key for task in wanted)
    assert {area.part(outcome) for outcome in done.values()} == {b"part of %d" % index for index in range(45)}


@pytest.mark.parametrize("slots", [1, 2, 3, 8])
def test_no_site_has_more_on_the_way_than_its_window(slots, clock, area):
    work = Work(by_url(area))
    pools = {"a": Pool(work, clock, slots), "b": Pool(work, clock, 1)}
    crew = crew_of(area, pools, clock, pace=NEAR)
    crew.stations["a"].slots, crew.stations["b"].slots = slots, 1
    run_stage(crew, "map", halves(area, 60))
    assert pools["a"].most == math.ceil(2.5 * slots)
    assert pools["b"].most == 3


def test_a_site_gets_tasks_for_the_workers_that_are_there_and_none_before_they_come(clock, area):
    work = Work(by_url(area))
    pool = Pool(work, clock, slots=lambda now: 0 if now < 100 else 1)
    run_stage(crew_of(area, {"a": pool}, clock, pace=NEAR), "map", tasks(9, "a", "one", area=area))
    assert min(at for _, at in pool.submitted) >= 100
    assert pool.most == 3


def test_what_is_committed_near_a_site_is_not_run_again(clock, area):
    first = Work(by_url(area))
    run_stage(crew_of(area, {site: Pool(first, clock) for site in "ab"}, clock, pace=NEAR), "map", halves(area, 5))
    again = Work(by_url(area))
    done = run_stage(crew_of(area, {site: Pool(again, clock) for site in "ab"}, clock, pace=NEAR), "map", halves(area, 8))
    assert len(done) == 16
    assert len(again.calls) == 6


# --- a site ends ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("after", [0, 1, 5])
@pytest.mark.parametrize("where", ["standing", "submit", "outcomes"])
@pytest.mark.parametrize("error", [GONE, Infeasible("held", Kind.JOB_REFUSED), Denied("no"), ConnectionResetError("cut"), ValueError("a plugin's bug")], ids=lambda err: type(err).__name__)
def test_what_a_site_that_ends_has_left_is_done_elsewhere_and_nothing_that_was_committed_again(error, where, after, clock, area):
    work = Work(by_url(area))
    pools = {"a": Broken(work, clock, where, after, error, slots=3, seconds=0.7), "b": Pool(work, clock)}
    crew = crew_of(area, pools, clock, pace=NEAR)
    done = run_stage(crew, "map", halves(area))
    assert len(done) == 40
    assert all(outcome.ok for outcome in done.values())
    assert work.done_twice() == set()
    assert [station.site for station in crew.alive] == ["b"]
    assert str(error) in crew.said[0]


def test_outcomes_that_came_before_a_pool_broke_are_kept(clock, area):
    work = Work(by_url(area))
    pools = {"a": Broken(work, clock, "outcomes", 2, GONE, slots=5), "b": Pool(work, clock)}
    done = run_stage(crew_of(area, pools, clock, pace=NEAR), "map", tasks(5, "a", "one", area=area))
    assert len(done) == len(work.calls) == 5


def test_the_last_sites_failure_ends_the_stage(clock, area):
    work = Work(by_url(area))
    last = Infeasible("held", Kind.JOB_REFUSED)
    pools = {"a": Broken(work, clock, "outcomes", 3, GONE), "b": Broken(work, clock, "standing", 9, last)}
    with pytest.raises(Infeasible, match="held"):
        run_stage(crew_of(area, pools, clock, pace=NEAR), "map", halves(area))


def test_a_task_whose_worker_died_twice_has_its_last_attempt_at_another_site(clock, area):
    work = Work(by_url(area), {1: ("worker-lost", 2), 2: ("worker-lost", 9)})
    done = run_stage(crew_of(area, {site: Pool(work, clock) for site in "ab"}, clock, pace=NEAR), "map", tasks(4, "a", "one", area=area))
    assert [call[1:] for call in work.calls if call[0] == "map/000001"] == [("a", 1), ("a", 2), ("b", 3)]
    assert [outcome.ok for _, outcome in sorted(done.items())] == [True, True, False, True]


def test_a_site_that_reaches_no_storage_any_more_is_left_and_the_last_one_is_not(clock, area):
    work = Work(by_url(area), dict.fromkeys(range(20), ("store-unreachable", 9)))
    broken = {"a": Pool(work, clock), "b": Pool(Work(by_url(area)), clock)}
    crew = crew_of(area, broken, clock, pace=NEAR)
    assert all(outcome.ok for outcome in run_stage(crew, "map", tasks(20, "a", "one", area=area)).values())
    assert "in a row" in crew.said[0]
    alone = crew_of(areas_of(), {"a": Pool(Work({"lake": areas_of()}, work.fail), clock)}, clock, pace=NEAR)
    assert not any(outcome.ok for outcome in run_stage(alone, "map", tasks(9, "a", "one")).values())


def test_a_block_that_no_site_reaches_any_more_has_its_verdict_and_the_rest_is_done(clock, area):
    work = Work(by_url(area))
    pools = {"a": Broken(work, clock, "outcomes", 4, GONE), "b": Pool(work, clock)}
    holders = ((0,),) * 10 + ((0, 1),) * 10 + ((1,),) * 20
    crew = crew_of(area, pools, clock, pace=paces(a="one:1 two:1", b="two:1"), holders=holders)
    done = run_stage(crew, "map", halves(area))
    failed = {outcome.error[0] for outcome in done.values() if not outcome.ok}
    assert failed == {"no-replica-reachable"}
    assert all(done[f"map/{index:06d}"].ok for index in range(10, 40))
    assert len(area.failures()) == sum(not outcome.ok for outcome in done.values()) > 0


def test_a_block_that_moves_is_read_from_the_fastest_replica_that_holds_it(clock, area):
    work = Work(by_url(area))
    pools = {"a": Broken(work, clock, "standing", 0, GONE), "b": Pool(work, clock), "c": Pool(work, clock)}
    pace = paces(a="one:1 two:1", b="one:2 two:9 three:1", c="two:3")
    crew = crew_of(area, pools, clock, pace=pace, rses=("one", "two", "three"), holders=((0, 1),) * 5 + ((1,),) * 5)
    run_stage(crew, "map", tasks(10, "a", "one", area=area))
    went = {(site, task.rse) for site in "bc" for task, _ in pools[site].submitted}
    assert went <= {("b", "one"), ("b", "two"), ("c", "two")}
    assert {task.rse for task, _ in pools["b"].submitted if task.index < 5} == {"one"}


# --- stealing ---------------------------------------------------------------------------------------------------------
def test_an_idle_site_takes_blocks_in_bulk_and_not_before_waiting_has_cost_as_much(clock, area):
    work = Work(by_url(area))
    pools = {"a": Pool(work, clock), "b": Pool(work, clock, seconds=11.0)}
    done = run_stage(crew_of(area, pools, clock, pace=NEAR, rses=("one",)), "map", tasks(100, "a", "one", area=area))
    stolen = [at for _, at in pools["b"].submitted]
    assert len(done) == 100
    assert work.done_twice() == set()
    assert 10.0 <= min(stolen) < 10.5
    assert stolen.count(min(stolen)) >= 4
    assert clock() < 50.0  # what the first site needs alone


def test_a_site_that_reaches_no_replica_steals_nothing(clock, area):
    work = Work(by_url(area))
    pools = {"a": Pool(work, clock), "b": Pool(work, clock)}
    run_stage(crew_of(area, pools, clock, pace=paces(a="one:1", b="two:1"), rses=("one",)), "map", tasks(60, "a", "one", area=area))
    assert pools["b"].submitted == []


def test_only_blocks_that_the_thief_can_read_are_stolen(clock, area):
    work = Work(by_url(area))
    pools = {"a": Pool(work, clock), "b": Pool(work, clock)}
    pace, holders = paces(a="one:1 two:1", b="two:1"), tuple((index % 2,) for index in range(40))
    run_stage(crew_of(area, pools, clock, pace=pace, holders=holders), "map", tasks(40, "a", "one", area=area))
    assert pools["b"].submitted
    assert all(task.index % 2 == 1 and task.rse == "two" for task, _ in pools["b"].submitted)


@pytest.mark.parametrize("kind", [StageKind.PACK, StageKind.MERGE])
def test_what_reads_parts_stays_where_it_was_put_unless_nobody_works_there(kind, clock, area):
    work = Work(by_url(area))
    pools = {"a": Pool(work, clock), "b": Pool(work, clock)}
    run_stage(crew_of(area, pools, clock), "pack", tasks(30, "a", area=area, stage="pack", kind=kind))
    assert pools["b"].submitted == []
    pools = {"a": Pool(work, clock, slots=lambda _: 0), "b": Pool(work, clock)}
    done = run_stage(crew_of(area, pools, clock), "late", tasks(5, "a", area=area, stage="late", kind=kind))
    assert {task.work for task, _ in pools["b"].submitted} == {"near a" if kind is StageKind.MERGE else "near b"}
    assert all(area.part(outcome) for outcome in done.values())


MOVES = Counter()


class Counted(Crew):
    """Counts how often each task was sent to another site."""

    def place(self, task, site):
        MOVES[task.key] += 1
        return super().place(task, site)


@pytest.mark.parametrize("seed", range(4))
def test_no_block_goes_to_and_fro(seed, clock, area):
    MOVES.clear()
    work = Work(by_url(area))
    pools = {site: Pool(work, clock, slots=lambda now, odd=odd: 2 if int(now / 7) % 2 == odd else 0, seconds=0.5, seed=seed) for odd, site in enumerate("ab")}
    done = run_stage(crew_of(area, pools, clock, pace=paces(a="one:1 two:4", b="one:4 two:1"), kind=Counted), "map", halves(area, 60))
    assert len(done) == 120
    assert max(MOVES.values()) <= 2


def test_a_site_whose_jobs_wait_in_a_queue_for_ever_does_not_keep_its_blocks(clock, area):
    work = Work(by_url(area))
    pools = {"a": Pool(work, clock, slots=lambda _: 0), "b": Pool(work, clock)}
    done = run_stage(crew_of(area, pools, clock, pace=NEAR), "map", halves(area))
    assert len(done) == 40
    assert pools["a"].submitted == []


def test_what_was_begun_at_a_site_that_lost_all_its_workers_is_done_elsewhere(clock, area):
    work = Work(by_url(area))
    pools = {"a": Lost(work, clock, slots=lambda now: 2 if now < 3 else 0), "b": Pool(work, clock)}
    crew = crew_of(area, pools, clock, pace=paces(a="one:1 two:1", b="one:1 two:1"))
    done = run_stage(crew, "map", tasks(6, "a", "one", area=area) + tasks(6, "b", "two", area=area, first=6))
    assert len(done) == 12
    assert all(outcome.ok for outcome in done.values())
    assert work.done_twice() == set()
    assert clock() < 40


def test_what_was_committed_by_a_worker_before_its_site_was_deserted_is_not_done_again(clock, area):
    work = Work(by_url(area))
    pools = {"a": Mute(work, clock, slots=lambda now: 2 if now < 1 else 0), "b": Pool(work, clock)}
    crew = crew_of(area, pools, clock, pace=paces(a="one:1", b="one:1"))
    done = run_stage(crew, "map", tasks(2, "a", "one", area=area))
    assert {outcome.site for outcome in done.values()} == {"a"}
    assert work.done_twice() == set()


def test_where_no_other_site_can_read_it_what_was_begun_stays(clock, area):
    work = Work(by_url(area))
    pools = {"a": Lost(work, clock, slots=lambda now: 2 if not 3 <= now < 100 else 0), "b": Pool(work, clock)}
    crew = crew_of(area, pools, clock, pace=paces(a="one:1", b="two:1"), rses=("one",))
    done = run_stage(crew, "map", tasks(6, "a", "one", area=area))
    assert {outcome.site for outcome in done.values()} == {"a"}
    assert clock() > 100


def test_nothing_is_sent_from_one_deserted_site_to_another(clock, area):
    work = Work(by_url(area))
    pools = {"a": Lost(work, clock, slots=lambda now: 2 if now < 3 else 0), "b": Pool(work, clock),
             "c": Pool(work, clock, slots=lambda _: 0)}  # fmt: skip
    crew = crew_of(area, pools, clock, pace=paces(a="one:1", b="one:5", c="one:1"))
    done = run_stage(crew, "map", tasks(6, "a", "one", area=area))
    assert len(done) == 6
    assert clock() < 100


def test_a_site_that_is_deserted_for_a_while_keeps_what_another_lost_for_good_cannot_do(clock, area):
    work = Work(by_url(area))
    pools = {"a": Lost(work, clock, slots=lambda now: 2 if now < 3 else 0),
             "b": Lost(work, clock, slots=lambda now: 0 if 52 <= now < 80 else 2)}  # fmt: skip
    crew = crew_of(area, pools, clock, pace=paces(a="one:1", b="one:1"))
    run_stage(crew, "map", tasks(6, "a", "one", area=area))
    clock.sleep(50 - clock())
    done = run_stage(crew, "next", tasks(20, "b", "one", area=area, stage="next"))
    assert all(outcome.ok for outcome in done.values())
    assert clock() < 150


def test_where_the_lake_does_not_answer_a_recall_loses_nothing_and_blames_no_site(clock, area, monkeypatch):
    work = Work(by_url(area))
    pools = {"a": Lost(work, clock, slots=lambda now: 2 if now < 3 else 0), "b": Pool(work, clock)}
    crew = crew_of(area, pools, clock, pace=paces(a="one:1", b="one:1"))

    def away(_):
        raise Unavailable("the lake does not answer", Kind.STORE_UNREACHABLE)

    monkeypatch.setattr(area, "found", away)
    with pytest.raises(Unavailable, match="the lake does not answer"):
        run_stage(crew, "map", tasks(6, "a", "one", area=area))
    assert crew.said == ()


class Lost(Pool):
    """A site of which what runs is lost with its workers, and what waits in its queue stays there."""

    def outcomes(self, timeout_seconds):
        while not self.slots(self.clock()) and self.ends:
            *_, task = self.ends.pop()
            yield Outcome(task.key, 0.0, 0.0, 0, 0, "", task.attempt, error=("worker-lost", "it is gone"))
        yield from super().outcomes(timeout_seconds)


class Mute(Pool):
    """A site whose workers commit, and are gone before they can say so."""

    def outcomes(self, timeout_seconds):  # noqa: ARG002  (nothing is ever told)
        for task in self.waiting:
            self.work(task)
        self.waiting.clear()
        yield from ()


def test_a_site_without_workers_is_waited_for_once_and_not_in_every_stage(clock, area):
    work = Work(by_url(area))
    pools = {"a": Pool(work, clock, slots=lambda _: 0), "b": Pool(work, clock, slots=40)}
    crew = crew_of(area, pools, clock, pace=NEAR, rses=("one",))
    spent = []
    for stage in ("first", "next", "last"):
        began = clock()
        run_stage(crew, stage, tasks(8, "a", "one", area=area, stage=stage))
        spent.append(clock() - began)
    assert spent[0] > 10
    assert max(spent[1:]) < 5


# --- deadlines and progress -------------------------------------------------------------------------------------------
def test_nothing_is_late_where_no_worker_is(clock, area):
    work = Work(by_url(area))
    gone = Pool(work, clock, slots=lambda now: 1 if now < 1 or now > 500 else 0, seconds=2.0)
    done = run_stage(crew_of(area, {"a": gone}, clock, pace=NEAR, deadline=60.0), "map", tasks(3, "a", "one", area=area))
    assert gone.killed == []
    assert all(outcome.ok for outcome in done.values())


def test_what_hangs_has_its_verdict_and_the_other_sites_go_on(clock, area):
    work = Work(by_url(area))
    pools = {site: Pool(work, clock, seconds=lambda task: 1e9 if task.index == 3 else 1.0) for site in "ab"}
    done = run_stage(crew_of(area, pools, clock, pace=NEAR, deadline=60.0), "map", halves(area))
    assert pools["a"].killed == ["map/000003"]
    assert [key for key, outcome in done.items() if not outcome.ok] == ["map/000003"]
    assert 60 < clock() < 70


def test_progress_says_what_is_waited_for_and_which_site_is_out_a_few_times_a_second(clock, area):
    told = []
    work = Work(by_url(area))
    pools = {"a": Pool(work, clock, slots=lambda now: 2 if now > 50 else 0), "b": Broken(work, clock, "standing", 0, GONE)}
    run_stage(crew_of(area, pools, clock, pace=NEAR, watch=told.append), "map", halves(area, 4))
    assert any("1 job waits; b is out: the scheduler is gone" in each.note for each in told)
    assert (told[0].done, told[-1].done, told[-1].total) == (0, 8, 8)
    assert len(told) <= 12 * clock()


def test_ctrl_c_tells_every_pool_though_one_cannot_be_told_any_more(clock, area):
    class Deaf(Pool):
        def cancel(self):
            raise GONE

    def interrupted(_):
        raise KeyboardInterrupt

    pools = {"a": Deaf(interrupted, clock), "b": Pool(interrupted, clock)}
    with pytest.raises(Unavailable, match="0 tasks are committed") as caught:
        run_stage(crew_of(area, pools, clock, pace=NEAR), "map", halves(area))
    assert caught.value.kind is Kind.INTERRUPTED
    assert pools["b"].waiting == []


# --- pools open and close ---------------------------------------------------------------------------------------------
class Executor:
    """Opens pools as told by site: a list of what comes of each attempt."""

    def __init__(self, **attempts):
        self.attempts, self.closed = attempts, []

    def pool(self, site, *_):
        return _Opened(self, site.name, self.attempts[site.name].pop(0))


class _Opened:
    def __init__(self, executor, site, pool):
        self.executor, self.site, self.pool = executor, site, pool

    def __enter__(self):
        if isinstance(self.pool, BaseException):
            raise self.pool
        return self.pool

    def __exit__(self, kind, err, trace):
        self.executor.closed.append((self.site, kind))
        if self.site == "rude":
            raise Unavailable("scancel does not answer", Kind.QUEUE_DOWN)


def site_of(name):
    return Site(name, "any", Resources(1, 1 << 30), 1)


def plan_of(*sites):
    shares = tuple(Share(site, "any", 1, 1, (), 0, 0, 0.0) for site in sites)
    return Plan(None, None, None, (), (), "", shares, (), "", "local", 0, 0, 0.0)


def opened(monkeypatch, **attempts):
    executor = Executor(**attempts)
    monkeypatch.setattr(registry, "site", lambda _: executor)
    return executor


def test_a_site_that_cannot_be_opened_is_out_from_the_start_and_the_last_ones_error_is_raised(monkeypatch):
    executor = opened(monkeypatch, a=[GONE, GONE], b=["pool", Denied("no folder")])
    with manned(plan_of("a", "b"), site_of, None, "r-0") as stations:
        assert (stations["a"].failure, stations["b"].failure, stations["b"].pool) == (GONE, None, "pool")
        assert stations["a"].said == ["a was out: the scheduler is gone"]
    assert executor.closed == [("b", None)]
    with pytest.raises(Denied, match="no folder"), manned(plan_of("a", "b"), site_of, None, "r-0"):
        pass


@pytest.mark.parametrize("error", [KeyboardInterrupt(), GONE, ValueError("a bug")], ids=lambda err: type(err).__name__)
def test_pools_are_closed_whatever_happens_and_one_that_fails_to_close_hides_nothing(error, monkeypatch):
    executor = opened(monkeypatch, a=["pool"], rude=["pool"])
    with pytest.raises(type(error)), manned(plan_of("a", "rude"), site_of, None, "r-0"):
        raise error
    assert executor.closed == [("rude", type(error)), ("a", type(error))]


def test_ctrl_c_while_a_pool_opens_closes_those_that_are_open(monkeypatch):
    executor = opened(monkeypatch, a=["pool"], b=[KeyboardInterrupt()])
    with pytest.raises(KeyboardInterrupt), manned(plan_of("a", "b"), site_of, None, "r-0"):
        pass
    assert executor.closed == [("a", KeyboardInterrupt)]


def test_a_site_that_was_out_is_tried_again_between_stages_each_time_later(monkeypatch):
    executor = opened(monkeypatch, a=["pool", GONE, Unavailable("still", Kind.QUEUE_DOWN), "new"])
    with manned(plan_of("a"), site_of, None, "r-0") as stations:
        station = stations["a"]
        station.give_up(GONE, 0.0)
        tried = [(station.come_back(now), len(executor.attempts["a"]))[1] for now in (10, 31, 80, 92, 150, 211, 212)]
    assert tried == [3, 2, 2, 1, 1, 1, 0]
    assert (station.pool, station.failure) == ("new", None)


def test_a_site_that_refuses_for_good_is_not_tried_again():
    station = Station("a", None, 1, opened=lambda _: pytest.fail("it was opened"))
    station.give_up(Infeasible("held", Kind.JOB_REFUSED), 0.0)
    station.come_back(1e9)
    assert station.failure is not None


def test_a_site_that_came_back_works_in_the_next_stage(clock, area):
    work = Work(by_url(area))
    pools = {"a": Broken(work, clock, "outcomes", 1, GONE), "b": Pool(work, clock)}
    crew = crew_of(area, pools, clock, pace=NEAR)
    new = Pool(work, clock)
    crew.stations["a"].opened = lambda _: new
    run_stage(crew, "map", halves(area))
    clock.sleep(60)
    run_stage(crew, "next", tasks(9, "a", "one", area=area, stage="next"))
    assert new.submitted
    assert len(crew.said) == 1


def test_a_site_that_was_out_comes_back_within_a_stage_that_nobody_else_can_end(clock, area):
    work = Work(by_url(area))
    pools = {"a": Broken(work, clock, "outcomes", 1, GONE), "b": Pool(work, clock, slots=lambda _: 0)}
    crew = crew_of(area, pools, clock, pace=NEAR)
    crew.stations["a"].opened = lambda _: Pool(work, clock)
    done = run_stage(crew, "map", halves(area))
    assert {outcome.site for outcome in done.values()} == {"a"}
    assert work.done_twice() == set()
