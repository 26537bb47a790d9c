"""Answers of batch systems, as recorded, and commands that fail, as real processes."""

import os
from dataclasses import replace

import pytest
from lakecv_plugins.sites.htcondor import HTCondor
from lakecv_plugins.sites.pbs import Pbs
from lakecv_plugins.sites.slurm import Slurm
from lakecv_plugins.sites.systems import JobState, State

from lakecv.errors import Infeasible, Kind, Unavailable
from lakecv.site import Batch, Resources, Site

SITE = Site("there", "slurm", Resources(1, 1 << 30), 2)

SQUEUE = """\
CLUSTER: north
11|RUNNING|None
12|PENDING|Resources
13|PENDING|(null)
14|PENDING|JobHeldUser
15|PENDING|launch failed requeued held
16|COMPLETING|None
17|CONFIGURING|None
18|REQUEUE_HOLD|None
19|PENDING|PartitionTimeLimit
20|SUSPENDED|None
21|FAILED|NonZeroExitCode
22|PENDING|AssocGrpCPUMinutesLimit
99|RUNNING|None
"""
SLURM_STATES = {
    "11": JobState(State.RUNS), "12": JobState(State.WAITS, "Resources"), "13": JobState(State.WAITS), "14": JobState(State.HELD, "JobHeldUser"),
    "15": JobState(State.HELD, "launch failed requeued held"), "16": JobState(State.GONE, "COMPLETING"), "17": JobState(State.WAITS),
    "18": JobState(State.HELD, "REQUEUE_HOLD"), "19": JobState(State.HELD, "PartitionTimeLimit"), "20": JobState(State.WAITS),
    "21": JobState(State.GONE, "NonZeroExitCode"), "22": JobState(State.WAITS, "AssocGrpCPUMinutesLimit"),
}  # fmt: skip
QSTAT = """\
Job id            Name             User              Time Use S Queue
----------------  ---------------- ----------------  -------- - -----
11.pbs            lakecv           ada               00:01:02 R workq
12.pbs            lakecv           ada                      0 Q workq
13.pbs            lakecv           ada                      0 H workq
14.pbs            lakecv           ada               00:00:01 E workq
15.pbs            lakecv           ada               00:00:01 F workq
99.pbs            other            bob               00:00:01 R workq
1234567.pbs.long* lakecv           ada                      0 Q workq
"""
PBS_STATES = {
    "11.pbs": JobState(State.RUNS), "12.pbs": JobState(State.WAITS), "13.pbs": JobState(State.HELD, "a hold"), "14.pbs": JobState(State.RUNS),
    "15.pbs": JobState(State.GONE), "1234567.pbs.long-name.example": JobState(State.WAITS),
}  # fmt: skip
CONDOR_Q = """\
11.0 1 undefined
12.0 2 undefined
13.0 5 Error from slot1@node: Failed to execute '/bin/sh': (errno=2)
14.0 4 undefined
15.0 3 undefined
16.0 6 undefined
17.0 7 undefined
99.0 2 undefined
"""
CONDOR_STATES = {
    "11.0": JobState(State.WAITS), "12.0": JobState(State.RUNS), "13.0": JobState(State.HELD, "Error from slot1@node: Failed to execute '/bin/sh': (errno=2)"),
    "14.0": JobState(State.GONE), "15.0": JobState(State.GONE), "16.0": JobState(State.RUNS), "17.0": JobState(State.WAITS),
}  # fmt: skip
SYSTEMS = {
    "slurm": (Slurm(), SQUEUE, SLURM_STATES), "pbs": (Pbs(), QSTAT, PBS_STATES), "htcondor": (HTCondor(), CONDOR_Q, CONDOR_STATES),
}  # fmt: skip


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Put a command on an otherwise usual PATH that says these things."""

    def put(name, out="", err="", code=0):
        (tmp_path / "out").write_text(out)
        (tmp_path / "err").write_text(err)
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/words\ncat {tmp_path}/out\ncat {tmp_path}/err >&2\nexit {code}\n')
        path.chmod(0o755)

    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}/usr/bin:/bin")
    return put


@pytest.mark.parametrize(("system", "answer", "states"), SYSTEMS.values(), ids=SYSTEMS)
def test_an_answer_is_read_and_other_jobs_in_it_are_not(system, answer, states, command, tmp_path):
    command(system.commands[1], answer)
    assert system.look(SITE, [*states, "4711"], tmp_path) == states


def test_a_job_that_is_over_is_no_failure_of_qstat(command, tmp_path):
    command("qstat", QSTAT, "qstat: Unknown Job Id 17.pbs\nqstat: 18.pbs Job has finished, use -x or -H\n", 153)
    assert Pbs().look(SITE, ["11.pbs", "17.pbs", "18.pbs"], tmp_path) == {"11.pbs": JobState(State.RUNS)}


AWAY = {
    "slurm": (Slurm(), "slurm_load_jobs error: Unable to contact slurm controller (connect failure)", 1),
    "pbs": (Pbs(), "qstat: cannot connect to server pbs (errno=15010)", 255),
    "htcondor": (HTCondor(), "-- Failed to fetch ads from: <127.0.0.1:9618> : Invalid reply", 1),
}  # fmt: skip


@pytest.mark.parametrize(("system", "words", "code"), AWAY.values(), ids=AWAY)
def test_a_system_that_is_away_is_told_and_no_job_is_taken_for_gone(system, words, code, command, tmp_path):
    command(system.commands[1], "", words, code)
    with pytest.raises(Unavailable, match=r"(connect|fetch)") as caught:
        system.look(SITE, ["11"], tmp_path)
    assert caught.value.kind == Kind.QUEUE_DOWN


@pytest.mark.parametrize(("system", "words", "code"), AWAY.values(), ids=AWAY)
def test_a_job_that_is_over_can_be_cancelled_and_a_system_that_is_away_cannot(system, words, code, command, tmp_path):
    gone = {"slurm": "scancel: error: Kill job error on job id 5: Invalid job id specified", "pbs": "qdel: Unknown Job Id 5.pbs",
            "htcondor": "Couldn't find/remove all jobs matching constraint (ClusterId == 5)"}  # fmt: skip
    command(system.commands[2], "", gone[system.name], 1)
    system.cancel(SITE, ["5"], tmp_path)
    command(system.commands[2], "", words, code)
    with pytest.raises(Unavailable):
        system.cancel(SITE, ["5"], tmp_path)


TAKEN = {
    "slurm": (Slurm(), "Submitted batch job 17 on cluster north\n", "17"), "pbs": (Pbs(), "17.pbs-1.example.org\n", "17.pbs-1.example.org"),
    "htcondor": (HTCondor(), "Submitting job(s).\n1 job(s) submitted to cluster 17.\n", "17.0"),
}  # fmt: skip


@pytest.mark.parametrize(("system", "answer", "number"), TAKEN.values(), ids=TAKEN)
def test_a_job_that_is_taken_has_a_number_and_the_sites_words_were_said(system, answer, number, command, tmp_path):
    command(system.commands[0], answer)
    assert system.submit(replace(SITE, batch=Batch(submit=("-M", "north"))), tmp_path) == number
    assert (tmp_path / "words").read_text() == "-M north job.sh\n"


@pytest.mark.parametrize(("system", "answer", "number"), TAKEN.values(), ids=TAKEN)
def test_an_odd_answer_is_told(system, answer, number, command, tmp_path):  # noqa: ARG001  (one table)
    command(system.commands[0], "Welcome to the cluster!\n")
    with pytest.raises(Unavailable, match=r"Welcome to the cluster.*number of a job was expected") as caught:
        system.submit(SITE, tmp_path)
    assert caught.value.kind == Kind.QUEUE_DOWN


REFUSED = {
    "partition": (Slurm(), "sbatch: error: Batch job submission failed: Invalid partition name specified"),
    "account": (Slurm(), "sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified"),
    "memory": (Slurm(), "sbatch: error: Memory specification can not be satisfied"),
    "node": (Slurm(), "sbatch: error: Batch job submission failed: Requested node configuration is not available"),
    "option": (Slurm(), "sbatch: unrecognized option '--nonsense'"),
    "queue": (Pbs(), "qsub: Unknown queue"),
    "resource": (Pbs(), "qsub: Unknown resource: Resource_List.gpu"),
    "limit": (Pbs(), "qsub: Job violates queue and/or server resource limits"),
    "file": (HTCondor(), "ERROR: Failed to parse command file (line 3)."),
    "requirement": (HTCondor(), "ERROR: Failed to commit job submission into the queue. ERROR: Submit requirement NeedsProject not met"),
}  # fmt: skip


@pytest.mark.parametrize(("system", "words"), REFUSED.values(), ids=REFUSED)
def test_a_job_that_is_refused_for_ever_is_told_in_the_systems_words(system, words, command, tmp_path):
    command(system.commands[0], "", words, 1)
    with pytest.raises(Infeasible) as caught:
        system.submit(SITE, tmp_path)
    assert caught.value.kind == Kind.JOB_REFUSED
    assert words in str(caught.value)


BUSY = {
    "slurm": (Slurm(), "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)"),
    "limit": (Slurm(), "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"),
    "pbs": (Pbs(), "qsub: cannot connect to server pbs (errno=15010)"),
    "htcondor": (HTCondor(), "ERROR: Can't find address of local schedd"),
    "silent": (Slurm(), ""),
}  # fmt: skip


@pytest.mark.parametrize(("system", "words"), BUSY.values(), ids=BUSY)
def test_a_system_that_cannot_take_a_job_now_is_told_in_its_words(system, words, command, tmp_path):
    command(system.commands[0], "", words, 1)
    with pytest.raises(Unavailable) as caught:
        system.submit(SITE, tmp_path)
    assert caught.value.kind == Kind.QUEUE_DOWN
    assert words in str(caught.value)


@pytest.mark.parametrize("system", [system for system, *_ in SYSTEMS.values()], ids=SYSTEMS)
def test_a_machine_without_the_system_is_told(system, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Infeasible, match=f"no command '{system.commands[0]}' here; {system.title} was expected") as caught:
        system.submit(SITE, tmp_path)
    assert caught.value.kind == Kind.BATCH_SYSTEM_MISSING


def test_a_folder_that_is_gone_is_not_taken_for_a_missing_command(command, tmp_path):
    command("sbatch", "Submitted batch job 1\n")
    with pytest.raises(Unavailable, match=r"folder .*away is gone"):
        Slurm().submit(SITE, tmp_path / "away")


def test_a_system_that_never_answers_is_told(command, tmp_path, monkeypatch):
    command("sbatch")
    (tmp_path / "bin" / "sbatch").write_text("#!/bin/sh\nexec sleep 60\n")
    monkeypatch.setattr("lakecv_plugins.sites.systems._SECONDS", 0.05)
    with pytest.raises(Unavailable, match="'sbatch' did not answer") as caught:
        Slurm().submit(SITE, tmp_path)
    assert caught.value.kind == Kind.QUEUE_DOWN
