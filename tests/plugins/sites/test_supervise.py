"""The supervisor over a batch system in memory: what it submits, replaces, gives up, and takes back."""

import json
import threading
import time
from dataclasses import dataclass, field

import pytest
from lakecv_plugins.sites import supervise
from lakecv_plugins.sites.supervise import Supervisor
from lakecv_plugins.sites.systems import FOUND, KEEPER, VERDICT, BatchSystem, JobState, State

from lakecv.errors import Infeasible, InternalError, Kind, Unavailable
from lakecv.site import JOB_LOG, Resources, Site

SITE = Site("there", "memory", Resources(2, 1 << 30), 2)
DOWN = Unavailable("'sbatch' failed: the controller is away", Kind.QUEUE_DOWN)
RUNS, WAITS, HELD = JobState(State.RUNS), JobState(State.WAITS, "Priority"), JobState(State.HELD, "JobHeldUser")


@dataclass
class Memory(BatchSystem):
    """Jobs in a dictionary; each begins as ``begins`` says, with a worker or without."""

    begins: JobState = RUNS
    works: bool = True
    jobs: dict[str, JobState] = field(default_factory=dict)
    workers: dict[str, int] = field(default_factory=dict)
    submitted: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    down: Unavailable | None = None
    full_at: int = 100
    asked: int = 0
    name = title = "memory"

    def submit(self, site, folder):  # noqa: ARG002  (as in the port)
        if self.down or len(self.jobs) >= self.full_at:
            raise self.down or DOWN
        number = str(len(self.submitted) + 1)
        self.submitted.append(number)
        self.jobs[number] = self.begins
        if self.works:
            self.workers[f"{number}-0"] = 2
        return number

    def look(self, site, jobs, folder):  # noqa: ARG002
        self.asked += 1
        if self.down:
            raise self.down
        return {job: self.jobs[job] for job in jobs if job in self.jobs}

    def cancel(self, site, jobs, folder):  # noqa: ARG002
        self.cancelled += jobs
        for job in jobs:
            self.die(job)
        if self.down:
            raise self.down

    def die(self, job):
        self.jobs.pop(job, None)
        self.workers.pop(f"{job}-0", None)

    def written(self, site):
        raise NotImplementedError

    def number_in(self, answer):
        raise NotImplementedError


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(supervise, "LOOK_SECONDS", 0.005)
    monkeypatch.setattr(supervise, "_REFUSED_SECONDS", 0.02)


@pytest.fixture
def watched(tmp_path):
    """Start a supervisor over a system; it is stopped in any case."""
    started = []

    def start(system, wanted=2):
        supervisor = Supervisor(system, SITE, tmp_path, wanted=wanted, census=lambda: dict(system.workers), address="tls://driver:1234")
        supervisor.start()
        started.append(supervisor)
        return supervisor

    yield start
    for supervisor in started:
        supervisor.stop()


def until(holds):
    end = time.monotonic() + 10
    while not (found := holds()):
        assert time.monotonic() < end
        threading.Event().wait(0.002)
    return found


def failure(supervisor):
    """Wait for what its standing raises."""

    def raised():
        try:
            supervisor.standing()
        except (Infeasible, Unavailable, InternalError) as err:
            return err
        return None

    return until(raised)


def test_a_job_that_dies_is_replaced_by_one_other(watched):
    system = Memory()
    supervisor = watched(system)
    until(lambda: supervisor.standing().slots == 4)
    system.die("1")
    until(lambda: len(system.submitted) == 3)
    until(lambda: supervisor.standing().slots == 4)
    assert set(system.jobs) == {"2", "3"}


def test_jobs_that_die_before_a_worker_comes_end_it_with_the_end_of_the_log(watched, tmp_path):
    system = Memory(works=False)
    for number in range(1, 9):
        (tmp_path / JOB_LOG.format(number)).write_text(f"module: no such module\njob {number} died\n")
    supervisor = watched(system)

    def all_die():
        for job in list(system.jobs):
            system.die(job)
        return supervisor._failure

    until(all_die)
    error = failure(supervisor)
    assert error.kind == Kind.WORKER_LOST
    assert "module: no such module job" in str(error)
    assert len(system.submitted) <= 5


def test_what_a_job_says_itself_ends_it_at_once(watched, tmp_path):
    (tmp_path / VERDICT.format("1")).write_text(json.dumps({"kind": "versions-differ", "text": "numpy 1 here, 2 there"}))
    system = Memory(works=False)
    supervisor = watched(system, wanted=1)
    system.die("1")
    error = failure(supervisor)
    assert isinstance(error, Infeasible)
    assert (error.kind, "numpy 1 here, 2 there" in str(error)) == (Kind.VERSIONS_DIFFER, True)
    assert system.submitted == ["1"]


def test_jobs_that_are_all_held_end_it_with_the_systems_reason(watched):
    error = failure(watched(Memory(begins=HELD, works=False)))
    assert (error.kind, "JobHeldUser" in str(error)) == (Kind.JOB_REFUSED, True)


def test_jobs_that_run_and_send_no_worker_end_it_with_the_address(watched, monkeypatch):
    monkeypatch.setattr(supervise, "CONNECT_SECONDS", 0.02)
    error = failure(watched(Memory(works=False)))
    assert error.kind == Kind.WORKER_LOST
    assert "tls://driver:1234" in str(error)


def test_one_silent_job_among_others_is_replaced(watched, monkeypatch):
    monkeypatch.setattr(supervise, "CONNECT_SECONDS", 0.02)
    system = Memory()
    supervisor = watched(system)
    until(lambda: supervisor.standing().slots == 4)
    system.works = False
    system.die("1")
    until(lambda: "3" in system.submitted)
    system.works = True
    until(lambda: supervisor.standing().slots == 4)
    assert "3" in system.cancelled


def test_a_system_that_is_away_and_comes_back_costs_nothing(watched):
    system = Memory(begins=WAITS, works=False)
    supervisor = watched(system)
    system.down, asked = DOWN, system.asked
    until(lambda: system.asked > asked + 5)
    system.down = None
    system.jobs = dict.fromkeys(system.jobs, RUNS)
    system.workers = {"1-0": 2, "2-0": 2}
    until(lambda: supervisor.standing().slots == 4)
    assert system.submitted == ["1", "2"]


def test_a_system_that_is_away_too_long_while_nobody_works_is_told(watched, monkeypatch):
    monkeypatch.setattr(supervise, "AWAY_SECONDS", 0.03)
    system = Memory(begins=WAITS, works=False)
    supervisor = watched(system)
    system.down = DOWN
    assert failure(supervisor) is DOWN


def test_a_job_that_is_refused_while_others_are_there_waits(watched):
    system = Memory(full_at=1)
    supervisor = watched(system)
    until(lambda: supervisor.standing().slots == 2)
    assert "1 of 2 jobs wait at there ('sbatch' failed" in supervisor.standing().note
    system.full_at = 100
    until(lambda: supervisor.standing().slots == 4)
    assert supervisor.standing().note == ""


def test_what_is_waited_for_is_told_in_the_systems_words(watched):
    supervisor = watched(Memory(begins=WAITS, works=False))
    until(lambda: supervisor.standing().note == "2 of 2 jobs wait at there (Priority)")
    assert supervisor.standing().slots == 0


def test_the_job_with_the_scheduler_takes_the_pool_with_it(watched, tmp_path):
    (tmp_path / KEEPER).write_text("1")
    (tmp_path / FOUND).write_text("{}")
    system = Memory()
    supervisor = watched(system)
    until(lambda: supervisor.standing().slots == 4)
    system.die("1")
    error = failure(supervisor)
    assert (error.kind, "job 1 at there, in which the pool's scheduler ran" in str(error)) == (Kind.WORKER_LOST, True)


def test_a_scheduler_that_nobody_dialled_may_run_in_another_job(watched, tmp_path):
    (tmp_path / KEEPER).write_text("1")
    system = Memory(works=False)
    watched(system)
    system.die("1")
    until(lambda: len(system.submitted) == 3)
    assert not (tmp_path / KEEPER).exists()


def test_a_first_submission_that_fails_is_raised_and_leaves_nothing(watched):
    system = Memory(down=DOWN)
    with pytest.raises(Unavailable, match="away"):
        watched(system)
    assert system.submitted == []


def test_stop_takes_back_all_jobs_also_the_last_and_none_is_submitted_after(watched):
    system = Memory()
    supervisor = watched(system, wanted=3)
    system.die("2")
    supervisor.stop()
    assert set(system.submitted) - {"2"} <= set(system.cancelled)
    assert system.jobs == {}
    assert not supervisor._thread.is_alive()


def test_jobs_that_cannot_be_taken_back_are_logged_and_hide_no_other_error(watched, caplog):
    system = Memory()
    supervisor = watched(system)
    system.down = DOWN
    supervisor.stop()
    assert "not cancelled, they end by themselves" in caplog.text


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_bug_in_the_thread_does_not_leave_the_pool_waiting(watched):
    system = Memory()
    supervisor = watched(system)
    system.workers = None  # dict(None) raises
    assert failure(supervisor).kind == Kind.BUG
    system.workers = {}


def test_a_quiet_system_is_asked_less_often_and_at_once_where_a_worker_is_gone(monkeypatch, tmp_path):
    monkeypatch.setattr(supervise, "_CALM_SECONDS", 0.0)
    monkeypatch.setattr(supervise, "_CALM", 1000)
    census, system = [], Memory()
    usual = system.workers
    supervisor = Supervisor(system, SITE, tmp_path, wanted=2, census=lambda: census.append(1) or dict(usual), address="")
    supervisor.start()
    until(lambda: len(census) > 3)
    asked = system.asked
    until(lambda: len(census) > 20)
    assert system.asked == asked
    system.die("2")
    until(lambda: len(system.submitted) == 3)
    supervisor.stop()
