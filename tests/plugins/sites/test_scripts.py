"""What is submitted, byte for byte; and what of a profile can reach it."""

import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lakecv_plugins.sites.htcondor import HTCondorSite
from lakecv_plugins.sites.pbs import PbsSite
from lakecv_plugins.sites.slurm import SlurmSite
from pydantic import ValidationError

from lakecv.config.grammar import BatchTable
from lakecv.site import Batch, Resources, Scheduler, Site

LAKECV = f"{sys.prefix}/bin/lakecv"
BATCH = Batch(
    account="icsc", partition="long", walltime_seconds=5400, prologue=("module load python/3.11",), directives=("--qos=night",),
    submit=("-M", "north"), command="/opt/lakecv/bin/lakecv",
)
PLAIN = Site("there", "slurm", Resources(2, 3 * 10**9), 4)
FULL = replace(PLAIN, batch=BATCH)
EXECUTORS = {"slurm": SlurmSite(), "pbs": PbsSite(), "htcondor": HTCondorSite()}

SLURM = f"""\
#!/bin/bash

#SBATCH -J lakecv
#SBATCH -n 1
#SBATCH --cpus-per-task=2
#SBATCH --mem=2862M
#SBATCH -o job-%j.log
umask 077
export LAKECV_JOB="$SLURM_JOB_ID"
exec {LAKECV} worker --connection connection.json
"""
SLURM_GPU = """\
#!/bin/bash

#SBATCH -J lakecv
#SBATCH -p long
#SBATCH -A icsc
#SBATCH -n 1
#SBATCH --cpus-per-task=4
#SBATCH --mem=2862M
#SBATCH -t 01:30:00
#SBATCH -o job-%j.log
#SBATCH --gres=gpu:2
#SBATCH --qos=night
umask 077
module load python/3.11
export LAKECV_JOB="$SLURM_JOB_ID"
exec /opt/lakecv/bin/lakecv worker --connection connection.json
"""
PBS = f"""\
#!/bin/bash

#PBS -N lakecv
#PBS -l select=1:ncpus=2:mem=2862mb
#PBS -j oe
#PBS -o /dev/null
umask 077
cd "$PBS_O_WORKDIR" || exit 1
exec > "job-$PBS_JOBID.log" 2>&1
export LAKECV_JOB="$PBS_JOBID"
exec {LAKECV} worker --connection connection.json
"""
PBS_FULL = """\
#!/bin/bash

#PBS -N lakecv
#PBS -q long
#PBS -l select=1:ncpus=4:mem=2862mb:ngpus=2
#PBS -l walltime=01:30:00
#PBS -A icsc
#PBS -j oe
#PBS -o /dev/null
#PBS -W x=y
umask 077
cd "$PBS_O_WORKDIR" || exit 1
exec > "job-$PBS_JOBID.log" 2>&1
module load python/3.11
export LAKECV_JOB="$PBS_JOBID"
exec /opt/lakecv/bin/lakecv worker --connection connection.json
"""
HTCONDOR = """\
#!/bin/bash

MY.DaskWorkerName = "htcondor--$F(MY.JobId)--"
batch_name = lakecv
RequestCpus = MY.DaskWorkerCores
RequestMemory = floor(MY.DaskWorkerMemory / 1048576)
RequestDisk = floor(MY.DaskWorkerDisk / 1024)
MY.JobId = "$(ClusterId).$(ProcId)"
MY.DaskWorkerCores = 4
MY.DaskWorkerMemory = 3000000000
MY.DaskWorkerDisk = 1000000000
Environment = "LAKECV_JOB=$(ClusterId).$(ProcId) LAKECV_FOLDER='$ENV(PWD)'"
Output = job-$(ClusterId).$(ProcId).log
Error = job-$(ClusterId).$(ProcId).log
Stream_Output = True
Stream_Error = True
transfer_executable = False
should_transfer_files = YES
transfer_input_files = connection.json
transfer_output_files = ""
getenv = PATH, HOME
request_gpus = 2
+MaxRuntime = 5400
accounting_group = icsc
+WantContainer = true

Arguments = "-c 'umask 077; module load python/3.11; exec /opt/lakecv/bin/lakecv worker --connection connection.json'"
Executable = /bin/sh

Queue
"""


def with_gpus(*directives):
    return replace(FULL, worker=Resources(4, 3 * 10**9, 2), batch=replace(BATCH, directives=directives))


CASES = {
    "slurm": ("slurm", PLAIN, SLURM), "slurm with GPUs": ("slurm", with_gpus("--qos=night"), SLURM_GPU),
    "pbs": ("pbs", PLAIN, PBS), "pbs with GPUs": ("pbs", with_gpus("-W x=y"), PBS_FULL),
    "htcondor": ("htcondor", with_gpus("+WantContainer = true"), HTCONDOR),
}  # fmt: skip


@pytest.mark.parametrize(("name", "site", "script"), CASES.values(), ids=CASES)
def test_a_script_is_this_and_nothing_else(name, site, script):
    assert EXECUTORS[name].job_script(site).rstrip("\n") == script.rstrip("\n")


@pytest.mark.parametrize(("name", "site", "script"), CASES.values(), ids=CASES)
def test_what_a_user_told_dask_or_the_shell_changes_nothing(name, site, script, monkeypatch):
    import dask

    words = ("queue", "account", "project", "walltime", "interface", "log-directory", "local-directory", "name", "shebang", "resource-spec",
             "job-mem", "disk", "python", "worker-command")  # fmt: skip
    stray = dict.fromkeys(words, "stray")
    lists = {key: ["stray"] for key in ("extra", "env-extra", "job-script-prologue", "job-extra", "job-extra-directives", "header-skip",
             "job-directives-skip", "worker-extra-args", "submit-command-extra", "cancel-command-extra")}  # fmt: skip
    monkeypatch.setenv("PBS_ACCOUNT", "stray")
    with dask.config.set({"jobqueue": {name: {**stray, **lists, "cores": 77, "job-cpu": 77, "processes": 7, "memory": "77 GB", "death-timeout": 7}}}):
        found = EXECUTORS[name].job_script(site)
    assert found.rstrip("\n") == script.rstrip("\n")


def test_the_worker_of_a_pool_whose_scheduler_is_in_a_job_stands_in_the_shared_folder():
    script = EXECUTORS["htcondor"].job_script(replace(PLAIN, scheduler=Scheduler.JOB))
    assert 'cd ""$LAKECV_FOLDER""; exec' in script


TEXT = st.text(st.sampled_from("ab1-+=:,./@%~ \n\r\t$(){}`;&|<>\"'\\#!*?\u2028\x00"), max_size=12)
FIELDS = {
    "account": st.none() | TEXT, "partition": st.none() | TEXT, "command": st.none() | TEXT, "directives": st.lists(TEXT, max_size=2),
    "prologue": st.lists(TEXT, max_size=2), "interface": st.none() | TEXT, "folder": st.none() | TEXT, "submit": st.lists(TEXT, max_size=2),
}  # fmt: skip
_OWN = ("$SLURM_JOB_ID", "$PBS_JOBID", "$PBS_O_WORKDIR", "|| exit", '" 2>&1', "exec > ", "$LAKECV_FOLDER", "$F(MY.JobId)",
        "$(ClusterId).$(ProcId)", "$ENV(PWD)", "'umask 077; ")  # fmt: skip


@given(st.sampled_from(sorted(FIELDS)).flatmap(lambda name: st.tuples(st.just(name), FIELDS[name])), st.sampled_from(sorted(EXECUTORS)))
def test_no_text_that_keeps_the_grammar_makes_a_script_say_more(field, name):
    try:
        table = BatchTable.model_validate({field[0]: field[1]})
    except ValidationError:
        return
    held = getattr(table, field[0])
    lines = len(EXECUTORS[name].job_script(PLAIN).splitlines())
    script = EXECUTORS[name].job_script(replace(PLAIN, batch=Batch(**{field[0]: held})))
    for own in _OWN:
        script = script.replace(own, "")
    assert len(script.splitlines()) <= lines + 2
    commands = script.partition("Arguments")[2].replace("; ", "").partition("\n")[0] if name == "htcondor" else script.partition("umask")[2]
    assert not set("$`;&|<>\\") & set(commands)




IMPORTING = """
import signal, sys, threading
from lakecv.site import Resources, Site
from lakecv_plugins.sites.slurm import SlurmSite
site, scripts = Site("x", "slurm", Resources(1, 1 << 30), 1), []
write = lambda: scripts.append(SlurmSite().job_script(site))
thread = threading.Thread(target=write)
thread.start() if "thread" in sys.argv else write()
thread.join() if "thread" in sys.argv else None
assert scripts and signal.getsignal(signal.SIGINT) is signal.default_int_handler
"""


@pytest.mark.parametrize("where", ["main", "thread"])
def test_writing_a_script_leaves_ctrl_c_as_it_is(where):
    subprocess.run([sys.executable, "-c", IMPORTING, where], check=True, timeout=60)
