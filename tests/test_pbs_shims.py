"""Stand-ins for PBS say and do what a client of PBS would see."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

SHIMS = Path(__file__).parents[1] / "deploy" / "batch" / "pbs"


class Pbs:
    """A spool of its own, the folder where jobs are submitted, and a home."""

    def __init__(self, path):
        self.work, self.home, self.spool = path / "work", path / "home", path / "spool"
        self.work.mkdir()
        self.home.mkdir()

    def run(self, program, *words, script=None, **environment):
        own = {"HOME": str(self.home), "LAKECV_PBS_SPOOL": str(self.spool), "LAKECV_PBS_KILL_DELAY": "0.2", "LAKECV_PBS_PYTHON": sys.executable}
        return subprocess.run(
            [SHIMS / program, *words], env={**os.environ, **own, **environment}, cwd=self.work, input=script or "",
            capture_output=True, text=True, timeout=30, check=False,
        )

    def submit(self, script, *words, **environment):
        """Submit a script by the name run.sh; gives the job's number."""
        (self.work / "run.sh").write_text(script)
        done = self.run("qsub", *words, "run.sh", **environment)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def noted(self, job):
        """Read what the spool says, which is what qstat shows."""
        return json.loads((self.spool / job.partition(".")[0] / "job.json").read_text())

    def ended(self, job):
        until(lambda: self.noted(job)["job_state"] == "F")
        return self.noted(job)["Exit_status"]

    def group(self, job):
        """Processes of a job."""
        until(lambda: "session_id" in self.noted(job))
        session = self.noted(job)["session_id"]
        return [process for process in psutil.process_iter() if _session(process) == session]


def _session(process):
    try:
        return os.getsid(process.pid) if process.status() != psutil.STATUS_ZOMBIE else None
    except (ProcessLookupError, psutil.NoSuchProcess):
        return None


def until(claim, seconds=20):
    deadline = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < deadline


@pytest.fixture
def pbs(tmp_path):
    made = Pbs(tmp_path)
    yield made
    for folder in made.spool.glob("[0-9]*"):
        (folder / "delete").touch()
        made.ended(folder.name)


# --- a job ------------------------------------------------------------------------------------------------------------
def test_jobs_are_numbered_and_start_at_home_knowing_where_they_came_from(pbs):
    jobs = [pbs.submit('pwd; echo "$PBS_O_WORKDIR $PBS_JOBID $PBS_JOBNAME $PBS_QUEUE"\n') for _ in range(2)]
    assert jobs == ["1.shim", "2.shim"]
    assert [pbs.ended(job) for job in jobs] == [0, 0]
    assert (pbs.work / "run.sh.o2").read_text() == f"{pbs.home}\n{pbs.work} 2.shim run.sh workq\n"


def test_directives_count_until_the_first_command_and_the_command_line_wins(pbs):
    script = "#!/bin/sh\n#PBS -N inner -o said\n#PBS -l select=1:ncpus=4:mem=2gb\n#PBS -l walltime=1:00:00\necho $NCPUS\n#PBS -q nowhere\n"
    job = pbs.submit(script, "-N", "outer")
    assert pbs.ended(job) == 0
    noted = pbs.noted(job)
    assert (noted["Job_Name"], noted["queue"], noted["Resource_List"]["ncpus"]) == ("outer", "workq", 4)
    assert noted["Resource_List"]["walltime"] == "1:00:00"
    assert (pbs.work / "said").read_text() == "4\n"


def test_a_job_has_the_callers_variables_only_where_it_asks_for_them(pbs):
    script = 'echo "$SEEN $PBS_ENVIRONMENT"\n'
    jobs = [pbs.submit(script, *words, SEEN="yes") for words in ([], ["-V"], ["-v", "SEEN"], ["-v", "SEEN=no,OTHER"])]
    assert [pbs.ended(job) for job in jobs] == [0] * 4
    said = [(pbs.work / f"run.sh.o{number}").read_text().split() for number in (1, 2, 3, 4)]
    assert said == [["PBS_BATCH"], ["yes", "PBS_BATCH"], ["yes", "PBS_BATCH"], ["no", "PBS_BATCH"]]


def test_output_and_errors_go_where_they_should_once_the_job_is_over(pbs):
    (pbs.work / "logs").mkdir()
    first = pbs.submit("echo out; echo err >&2; exit 3\n", "-o", "logs", "-e", f"host:{pbs.work}/err")
    second = pbs.submit("echo out; echo err >&2\n", "-j", "oe", "-o", "both")
    assert (pbs.ended(first), pbs.ended(second)) == (3, 0)
    assert ((pbs.work / "logs" / "1.shim.OU").read_text(), (pbs.work / "err").read_text()) == ("out\n", "err\n")
    assert (pbs.work / "both").read_text() == "out\nerr\n"
    assert sorted(path.name for path in pbs.work.iterdir()) == ["both", "err", "logs", "run.sh"]


def test_a_script_may_come_from_the_standard_input(pbs):
    done = pbs.run("qsub", script="echo hello\n")
    assert pbs.ended(done.stdout.strip()) == 0
    assert (pbs.work / "STDIN.o1").read_text() == "hello\n"


# --- how it ends ------------------------------------------------------------------------------------------------------
def test_a_job_is_killed_when_its_walltime_is_over(pbs):
    job = pbs.submit("sleep 300\n", "-l", "walltime=00:00:01")
    assert pbs.ended(job) == -29
    assert (pbs.work / "run.sh.e1").read_text() == "=>> PBS: job killed: walltime 1 exceeded limit 1\n"
    assert pbs.group(job) == []


def test_a_deleted_job_ends_with_all_its_processes_even_those_that_ignore_sigterm(pbs):
    job = pbs.submit("trap '' TERM\nsh -c 'sleep 300' &\nsleep 300; sleep 300\n")
    until(lambda: sum(process.name() == "sleep" for process in pbs.group(job)) == 2)  # some shells fork for the inner one
    assert pbs.run("qdel", job).returncode == 0
    assert pbs.ended(job) == 271
    assert pbs.group(job) == []


def test_a_script_that_is_killed_by_a_signal_says_which(pbs):
    assert pbs.ended(pbs.submit("kill -KILL $$\n")) == 256 + 9


def test_a_job_that_lost_its_node_is_seen_as_over(pbs):
    job = pbs.submit("sleep 300\n")
    until(lambda: len(pbs.group(job)) == 2)
    found = pbs.group(job)
    for process in [*found, psutil.Process(found[0].ppid())]:
        process.kill()
    until(lambda: pbs.run("qstat", job).returncode == 35)
    assert "Exit_status = -4\n" in pbs.run("qstat", "-x", "-f", job).stdout
    (pbs.spool / "1" / "job.json").write_text(json.dumps(pbs.noted(job) | {"job_state": "F", "Exit_status": -4}))


# --- what is shown ----------------------------------------------------------------------------------------------------
def test_qstat_shows_what_runs_as_a_table_as_lines_and_as_json(pbs):
    job = pbs.submit("sleep 300\n", "-N", "long")
    table, lines, told = pbs.run("qstat", job), pbs.run("qstat", "-f", job), pbs.run("qstat", "-f", "-F", "json", job)
    assert table.stdout.splitlines()[2].split()[:2] + table.stdout.splitlines()[2].split()[-2:] == ["1.shim", "long", "R", "workq"]
    assert "Job Id: 1.shim\n    Job_Name = long\n" in lines.stdout
    assert f"Variable_List = PBS_O_WORKDIR={pbs.work}," in lines.stdout
    assert json.loads(told.stdout)["Jobs"]["1.shim"]["job_state"] == "R"


def test_a_job_that_is_over_is_told_of_only_on_request(pbs):
    job = pbs.submit("exit 4\n")
    pbs.ended(job)
    done, asked = pbs.run("qstat", "1"), pbs.run("qstat", "-xf", job)
    assert (done.returncode, done.stdout) == (35, "")
    assert done.stderr == "qstat: 1.shim Job has finished, use -x or -H to obtain historical job information\n"
    assert "    job_state = F\n" in asked.stdout
    assert "    Exit_status = 4\n" in asked.stdout


@pytest.mark.parametrize(
    ("program", "words", "code", "said"),
    [
        ("qsub", ["-q", "nowhere"], 170, "qsub: Unknown queue\n"),
        ("qsub", ["-l", "foo=1"], 187, "qsub: Unknown resource Resource_List.foo\n"),
        ("qsub", ["-l", "select=1:ncpus=two"], 166, "qsub: Illegal attribute or resource value Resource_List.ncpus\n"),
        ("qsub", ["-l", "walltime=soon"], 166, "qsub: Illegal attribute or resource value Resource_List.walltime\n"),
        ("qsub", ["absent.sh"], 1, "qsub: script file:: No such file or directory\n"),
        ("qstat", ["9.shim"], 153, "qstat: Unknown Job Id 9.shim\n"),
        ("qdel", ["9"], 153, "qdel: Unknown Job Id 9.shim\n"),
    ],
)
def test_what_pbs_would_refuse_is_refused_in_its_words_and_leaves_no_job(pbs, program, words, code, said):
    done = pbs.run(program, *words, script="true\n")
    assert (done.returncode, done.stdout, done.stderr) == (code, "", said)
    assert list(pbs.spool.glob("*")) == []


def test_a_queue_is_known_where_the_settings_name_it(pbs):
    job = pbs.submit("true\n", "-q", "gpu", LAKECV_PBS_QUEUES="workq,gpu")
    assert pbs.noted(job)["queue"] == "gpu"


def test_without_a_spool_nothing_starts(pbs):
    done = pbs.run("qsub", script="true\n", LAKECV_PBS_SPOOL="")
    assert done.returncode == 15033 & 255
    assert "LAKECV_PBS_SPOOL names no folder" in done.stderr
