"""Drivers on this machine: noted while they work, left alone by who looks, alone when the terminal is gone, dead without a trace."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from lakecv import registry
from lakecv.api import Lake, attending, detaching
from lakecv.api.detaching import Driver, at_work, check, driver_log, drivers, notes, start
from lakecv.api.logs import without_secrets
from lakecv.canonical import dump
from lakecv.errors import Denied, Infeasible, Kind, NotFound, Unavailable
from lakecv.execution.workarea import DamageReport
from lakecv.plan import Outcome, RunState
from lakecv.ports import ReadHints
from lakecv.records import Damage
from lakecv.site import Batch, job_folders, jobs_folder
from lakecv.testing.sites import InlineSite

RUN = "r-0123456789"
HERE = "from lakecv import registry; from lakecv.testing.sites import InlineSite; registry.site = lambda _: InlineSite()\n"
MAIN = "import sys; from lakecv.cli import main; sys.exit(main())"
SLEEPER = "import sys, time; from lakecv.api.detaching import at_work\nwith at_work(sys.argv[-1]) as begun: begun(); time.sleep(60)"


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(attending, "_LOOK_SECONDS", 0.01)
    return tmp_path / "state" / "lakecv" / "runs"


@pytest.fixture(scope="module")
def registered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("registered")
    np.save(folder / "cube.npy", np.random.default_rng(0).gamma(2.0, 3.0, (20, 20, 4)).astype("float32"))
    lake = Lake(folder / "lake", scope="museo")
    lake.register(folder / "cube.npy", "museo:tavola", hints=ReadHints(dims="y,x,spectral"))
    return folder / "lake"


@pytest.fixture
def lake(registered, tmp_path, monkeypatch):
    import shutil

    monkeypatch.setattr(registry, "site", lambda _: InlineSite())
    shutil.copytree(registered, tmp_path / "lake")
    return Lake(tmp_path / "lake", scope="museo", max_workers=1)


def begun(lake):
    """A run that is claimed and that nobody drives."""
    return lake._begin("pca", "museo:tavola", options={"components": 2})


def program(monkeypatch, text):
    monkeypatch.setattr(detaching, "_PROGRAM", ("-P", "-c", text))


def ended(pid):
    with suppress(psutil.NoSuchProcess):
        psutil.Process(pid).wait(10)


def test_who_drives_is_noted_until_the_run_has_ended(state):
    with at_work(RUN):
        assert [driver.pid for driver in drivers(RUN)] == [os.getpid()]
    assert notes(RUN) == ()
    assert list(state.iterdir()) == []


def test_a_driver_that_gives_up_stays_known_as_one_that_ended():
    with pytest.raises(KeyboardInterrupt), at_work(RUN):
        raise KeyboardInterrupt
    assert ([driver.ended for driver in notes(RUN)], drivers(RUN)) == ([True], ())


def test_a_process_that_has_only_the_number_of_a_driver_is_none(state):
    with at_work(RUN):
        [path] = state.glob("*.json")
        path.write_text(json.dumps({**json.loads(path.read_text()), "started": 1.0}))
        assert (len(notes(RUN)), drivers(RUN)) == (1, ())


def test_a_driver_of_another_machine_is_not_known_here(monkeypatch):
    with at_work(RUN):
        monkeypatch.setattr(detaching.socket, "gethostname", lambda: "elsewhere")
        assert notes(RUN) == ()


def test_a_state_folder_that_cannot_be_written_stops_no_run_but_no_driver_can_detach(monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/nowhere")
    with at_work(RUN) as begun:
        begun()
    with pytest.raises(Denied, match="cannot be written"):
        check()


def test_what_is_older_than_a_month_goes_but_not_what_a_living_driver_noted(state):
    with at_work(RUN):
        (state / "r-00000000aa.log").write_text("old")
        (state / "r-00000000bb.log").write_text("new")
        for path in (state / "r-00000000aa.log", *state.glob("*.json")):
            os.utime(path, (0, 0))
        with at_work("r-00000000cc"):
            pass
        assert len(drivers(RUN)) == 1
    assert [path.name for path in state.iterdir()] == ["r-00000000bb.log"]


@pytest.mark.parametrize("text", ["", "[]", "{}", "\x00", '{"run": 1, "pid": "x"}'])
def test_a_note_that_is_none_is_passed_over(state, text):
    state.mkdir(parents=True)
    (state / f"{RUN}-1.json").write_text(text)
    assert notes(RUN) == ()


def test_a_driver_starts_in_a_session_of_its_own_with_a_private_log_and_no_terminal(monkeypatch, state):
    program(monkeypatch, f"import os, sys; print(os.getsid(0) == os.getpid(), repr(sys.stdin.read()), os.environ['LAKECV_SCOPE'], flush=True)\n{SLEEPER}")
    driver = start(RUN, "/lake", {"LAKECV_SCOPE": "museo"})
    try:
        assert driver.begun
        assert driver_log(RUN).read_text() == "True '' museo\n"
        assert [oct(path.stat().st_mode & 0o777) for path in (driver_log(RUN), state)] == ["0o600", "0o700"]
    finally:
        os.kill(driver.pid, signal.SIGKILL)
        ended(driver.pid)
    assert drivers(RUN) == ()


def test_a_driver_outlives_the_hangup_of_the_terminal_that_it_was_typed_at():
    leader, follower = os.openpty()
    code = f"import os, sys, time; os.open({os.ttyname(follower)!r}, os.O_RDWR); from lakecv.api import detaching\ndetaching._PROGRAM = ('-c', {SLEEPER!r})\nprint(detaching.start({RUN!r}, '/', {{}}).pid, flush=True); time.sleep(60)"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=follower, stdout=subprocess.PIPE, stderr=follower, text=True, start_new_session=True,
    ) as shell:  # fmt: skip  (a session's leader that opens a terminal gets it for its own)
        os.close(follower)
        pid = int(shell.stdout.readline())
        os.close(leader)  # the terminal is gone: its session gets SIGHUP
        assert shell.wait(10) == -signal.SIGHUP
    assert [driver.pid for driver in drivers(RUN)] == [pid]
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while drivers(RUN) and time.monotonic() < deadline:
        pass
    assert drivers(RUN) == ()


def test_a_driver_that_ends_leaves_no_zombie_in_a_process_that_lives_on(monkeypatch):
    program(monkeypatch, SLEEPER)
    pid = start(RUN, "/", {}).pid
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 10
    while psutil.pid_exists(pid) and time.monotonic() < deadline:
        pass
    assert not psutil.pid_exists(pid)


@pytest.mark.parametrize(("code", "said", "error", "kind"), [
    (7, "error: old [no-site]\\nerror: sbatch is missing [batch-system-missing]\\nhint: name another site", Infeasible, "batch-system-missing"),
    (75, "error: stopped [interrupted]\\nhint: lakecv resume", Unavailable, "interrupted"),
    (6, "error: odd [something-new]", Unavailable, "unspecified"),
    (3, "no word", Unavailable, "worker-lost"),
])  # fmt: skip
def test_a_driver_that_dies_at_once_is_told_as_what_it_said(monkeypatch, code, said, error, kind):
    program(monkeypatch, f"import sys; print('{said}', file=sys.stderr); sys.exit({code})")
    with pytest.raises(error) as caught:
        start(RUN, "/lake", {})
    assert caught.value.kind == kind


def test_a_driver_that_is_killed_at_once_is_told_with_the_signal(monkeypatch):
    program(monkeypatch, "import os; os.kill(os.getpid(), 9)")
    with pytest.raises(Unavailable, match="was ended by signal 9") as caught:
        start(RUN, "/lake", {})
    assert caught.value.hint == f"lakecv logs {RUN}"


def test_what_an_earlier_driver_said_is_not_taken_for_this_ones_word(monkeypatch, state):
    state.mkdir(parents=True)
    driver_log(RUN).write_text("error: the old one [forbidden]\n")
    program(monkeypatch, "import sys; sys.exit(5)")
    with pytest.raises(Unavailable, match="said nothing"):
        start(RUN, "/lake", {})


def test_a_log_that_is_a_link_is_not_followed(state, tmp_path):
    state.mkdir(parents=True)
    driver_log(RUN).symlink_to(tmp_path / "mine")
    with pytest.raises(Denied):
        start(RUN, "/lake", {})
    assert not (tmp_path / "mine").exists()


def test_a_detached_run_is_brought_to_its_end_by_another_process(lake, monkeypatch):
    program(monkeypatch, HERE + MAIN)
    done = lake.detach("pca", "museo:tavola", options={"components": 2})
    record = lake.attach(done.run.id)
    assert (record.state, record.output) == (RunState.DONE, done.run.output)
    if done.driver is not None:
        ended(done.driver.pid)
    assert f"{record.id}, pca, done" in Path(done.log).read_text()
    assert lake.detach("pca", "museo:tavola", options={"components": 2}).driver is None


def test_a_run_that_somebody_drives_gets_no_second_driver(lake, monkeypatch):
    run = begun(lake)
    monkeypatch.setattr(detaching, "start", lambda *_: pytest.fail("a second driver"))
    with at_work(run):
        found = lake.detach("pca", "museo:tavola", options={"components": 2})
    assert (found.run.id, found.driver.pid) == (run, os.getpid())


def test_a_driver_gets_the_settings_that_were_given_to_this_lake_only(lake, monkeypatch):
    seen = {}
    monkeypatch.setattr(detaching, "start", lambda _, url, environment: seen.update(environment, url=url))
    lake.detach("pca", "museo:tavola", options={"components": 2})
    assert seen == {"LAKECV_LAKE": lake.url, "LAKECV_SCOPE": "museo", "LAKECV_MAX_WORKERS": "1", "url": lake.url}


def test_the_one_who_drives_is_noted_while_blocks_are_worked_on(lake):
    seen = []
    lake._watch = lambda _: seen.append([driver.begun for driver in drivers(lake._newest(unfinished=True))])
    lake.run("pca", "museo:tavola", options={"components": 2})
    assert all(each == [True] for each in seen)
    assert seen


def test_attach_to_a_run_whose_driver_was_killed_says_so_and_how_to_go_on(lake, monkeypatch):
    run = begun(lake)
    with pytest.raises(RuntimeError), at_work(run):
        raise RuntimeError
    monkeypatch.setattr(attending, "_GRACE_SECONDS", -1.0)
    with pytest.raises(Unavailable, match="its driver on this machine has ended") as caught:
        lake.attach(run)
    assert (caught.value.kind, caught.value.hint) == (Kind.INTERRUPTED, f"lakecv resume {run}")


def test_attach_to_a_run_without_any_sign_of_life_gives_up_after_the_deadline(lake):
    run = begun(lake)
    lake._settings = replace(lake._settings, deadline=-1.0)
    with pytest.raises(Unavailable, match="this machine has no driver of it"):
        lake.attach()
    with at_work(run):
        lake._watch = interrupt
        with pytest.raises(Unavailable, match="whoever drives the run goes on") as caught:
            lake.attach()
    assert caught.value.hint == f"lakecv attach {run}"


def interrupt(_):
    raise KeyboardInterrupt


def test_attach_tells_the_stage_that_the_newest_record_is_of(lake):
    run = begun(lake)
    area = lake._runs.area(run)
    outcome = Outcome("0-reduce-001/000000", 1.0, 0.0, 8, 8, "here")
    area._objects.put(f"commits/{outcome.task}.json", dump(outcome))
    seen = []

    def watch(progress):
        seen.append((progress.stage, progress.done, progress.total))
        raise KeyboardInterrupt

    lake._watch = watch
    with pytest.raises(Unavailable):
        lake.attach(run)
    assert seen == [("0-reduce-001", 1, 1)]


def test_attach_to_failed_blocks_ends_with_them_unless_somebody_tries_again(lake):
    run = begun(lake)
    lake._runs.area(run).fail(Outcome("map/000000", 1.0, 0.0, 0, 0, "w", 3, error=("worker-lost", "it died")))
    assert lake.attach(run).state is RunState.FAILED
    lake._watch = interrupt
    with at_work(run), pytest.raises(Unavailable, match="goes on"):
        lake.attach(run)


def test_logs_gather_verdicts_and_every_log_that_lies_here(lake, tmp_path):
    run = begun(lake)
    lake._runs.area(run).fail(Outcome("map/000000", 1.0, 0.0, 0, 0, "w", 3, error=("worker-lost", "it died")))
    jobs = tmp_path / "state" / "lakecv" / "jobs"
    for folder in (f"{run}-local-0a1b", f"{run}-local-pg-0a1b", "r-ffffffffff-local-0a1b"):
        (jobs / folder).mkdir(parents=True)
        (jobs / folder / "job-7.log").write_text(f"of {folder}\n")
    (jobs / f"{run}-local-0a1b" / "connection.json").write_text("a secret")
    driver_log(run).parent.mkdir(parents=True, exist_ok=True)
    driver_log(run).write_text("said\n")
    found = lake.logs()
    assert [(file.who, file.lines) for file in found.files] == [("driver", ("said",)), ("job at local", (f"of {run}-local-0a1b",))]
    assert [outcome.error for outcome in found.run.failed] == [("worker-lost", "it died")]


def test_job_logs_lie_where_the_profile_says(tmp_path):
    (tmp_path / "r-0-here-0a").mkdir()
    (tmp_path / "r-0-here-2-0a").mkdir()
    assert job_folders(Batch(folder=str(tmp_path)), "r-0", "here") == (tmp_path / "r-0-here-0a",)
    assert jobs_folder(Batch()) == tmp_path / "state" / "lakecv" / "jobs"


def test_logs_tell_each_damaged_object_once(lake):
    run = begun(lake)
    damage, other = Damage("local", "data/c/0/0/0", "it is short"), Damage("far", "data/c/0/0/0", "it is gone")
    area = lake._runs.area(run)
    area.note_damages(DamageReport((damage,)))
    area.fail(Outcome("map/000000", 1.0, 0.0, 0, 0, "w", 3, error=("checksum-mismatch", "all are bad"), damaged=(damage, other)))
    assert lake.logs(run).damages == (other, damage)


def test_of_a_long_log_only_the_end_is_read(lake):
    run = begun(lake)
    driver_log(run).parent.mkdir(parents=True, exist_ok=True)
    driver_log(run).write_text("".join(f"line {number} {'x' * 200}\n" for number in range(1000)))
    [file] = lake.logs(run).files
    assert (file.cut, len(file.lines), file.lines[-1][:8]) == (True, 200, "line 999")


@pytest.mark.parametrize("make", [lambda path: path.symlink_to("/etc/hostname"), os.mkfifo, Path.mkdir], ids=["link", "pipe", "folder"])
def test_what_is_no_plain_file_is_not_read_as_a_log(lake, make):
    run = begun(lake)
    driver_log(run).parent.mkdir(parents=True, exist_ok=True)
    make(driver_log(run))
    assert lake.logs(run).files == ()


@pytest.mark.parametrize("verb", ["attach", "logs", "resume"])
def test_a_run_that_is_not_there_is_told_with_the_nearest_one(lake, verb):
    run = begun(lake)
    with pytest.raises(NotFound) as caught:
        getattr(lake, verb)(run[:-1] + ("0" if run[-1] != "0" else "1"))
    assert run in caught.value.hint


@pytest.mark.parametrize(("line", "shown"), [
    ("X-Rucio-Auth-Token: ada-abc-123", "X-Rucio-Auth-Token: ***"),
    ("curl -H 'Authorization: Bearer abcdefgh12345'", "curl -H 'Authorization: ***"),
    ("sent bearer abcdefgh12345 there", "sent bearer *** there"),
    ("AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI and more", "AWS_SECRET_ACCESS_KEY=*** and more"),
    ("{'password': 'hunter2', 'user': 'ada'}", "{'password': ***, 'user': 'ada'}"),
    ("s3://ada:hunter2@host/bucket", "s3://ada:***@host/bucket"),
    ("GET /a?x=1&X-Amz-Credential=AKIA/2026&y=2", "GET /a?x=1&X-Amz-Credential=***&y=2"),
    ("token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln", "token ***"),
    ("worker 3 read 4 blocks of museo:tavola", "worker 3 read 4 blocks of museo:tavola"),
])  # fmt: skip
def test_what_looks_like_a_secret_is_not_shown(line, shown):
    assert list(without_secrets([line])) == [shown]


def test_a_private_key_is_not_shown_line_by_line():
    lines = ["a", "-----BEGIN EC PRIVATE KEY-----", "MHcCAQEE", "-----END EC PRIVATE KEY-----", "b"]
    assert list(without_secrets(lines)) == ["a", "***", "***", "***", "b"]


def test_a_run_at_a_site_that_was_named_by_its_file_finds_that_file_again(lake, tmp_path, monkeypatch):
    (tmp_path / "mine.toml").write_text('executor = "local"\nmax_workers = 1\n')
    monkeypatch.chdir(tmp_path)
    run = lake._begin("pca", "museo:tavola", options={"components": 2}, site="./mine.toml")
    monkeypatch.chdir("/")
    assert lake.resume(run).state is RunState.DONE


def test_a_drivers_note_says_no_more_than_who_it_is():
    assert list(Driver.__dataclass_fields__) == ["run", "pid", "host", "started", "begun", "ended"]
