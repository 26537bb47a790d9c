"""Workers that HTCondor starts: condor_submit, condor_q, condor_rm.

A schedd on another machine is named by ``submit = ["-name", "schedd.example"]``.  HTCondor brings the connection file to the
worker; only where the first job runs the scheduler must the folder be shared, for that job leaves its address there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lakecv.site import JOB_LOG, Scheduler, Site
from lakecv_plugins.sites.batch import BatchSite
from lakecv_plugins.sites.connection import FILE
from lakecv_plugins.sites.systems import BatchSystem, JobState, State, rendered, worker_command

if TYPE_CHECKING:
    from lakecv.ports import SiteExecutor

__all__ = ["HTCondor", "HTCondorSite"]

_STATES = {"1": State.WAITS, "2": State.RUNS, "5": State.HELD, "6": State.RUNS, "7": State.WAITS}
_DISK = "1 GB"  # dask-jobqueue asks for it; a worker spills nothing


class HTCondor(BatchSystem):
    """The commands of HTCondor."""

    name, title = "htcondor", "HTCondor"
    commands = ("condor_submit", "condor_q", "condor_rm")
    number = "$LAKECV_JOB"
    hopeless = re.compile(r"[Ff]ailed to parse|[Ii]nvalid|[Nn]ot a valid|Unknown command|Submit requirement", re.ASCII)
    over = re.compile(r"not found|Couldn't find|already (removed|completed)")

    def look(self, site: Site, jobs: Sequence[str], folder: Path) -> dict[str, JobState]:
        """Ask for the jobs by number."""
        form = ["-af:j", "JobStatus", "HoldReason"]
        answer = self.asked([self.commands[1], *site.batch.submit, *jobs, *form], folder)
        rows = [line.split(None, 2) for line in answer.splitlines()]
        return {row[0]: _state(*row[1:]) for row in rows if len(row) == 3 and row[0] in jobs}  # noqa: PLR2004  (as the format says)

    def written(self, site: Site) -> str:
        """Write the submit file."""
        from dask_jobqueue.htcondor import HTCondorJob

        batch, shared = site.batch, site.scheduler is Scheduler.JOB
        log = JOB_LOG.format("$(ClusterId).$(ProcId)")
        own: dict[str, object] = {
            "batch_name": "lakecv", "Environment": "\"LAKECV_JOB=$(ClusterId).$(ProcId) LAKECV_FOLDER='$ENV(PWD)'\"", "Output": log, "Error": log,
            "Stream_Output": True, "Stream_Error": True, "transfer_executable": False, "should_transfer_files": "YES",
            "transfer_input_files": FILE, "transfer_output_files": '""', "getenv": "PATH, HOME",
        }
        if site.worker.gpus:
            own["request_gpus"] = site.worker.gpus
        if batch.walltime_seconds:
            own["+MaxRuntime"] = batch.walltime_seconds
        if batch.account:
            own["accounting_group"] = batch.account
        further = (line.partition("=") for line in batch.directives)
        own |= {key.strip(): value.strip() for key, _, value in further}
        job = HTCondorJob(
            **self.described(site), disk=_DISK, job_extra_directives=own, job_script_prologue=[], submit_command_extra=[], cancel_command_extra=[],
        )
        to = ['cd "$LAKECV_FOLDER"'] if shared else []
        return rendered(job, "; ".join([*self.lines(site)[:-1], *to, worker_command(site)]))

    def number_in(self, answer: str) -> str:
        """Read what condor_submit answers."""
        match = re.search(r"submitted to cluster (\d+)", answer)
        return f"{match[1]}.0" if match else ""


def _state(number: str, reason: str) -> JobState:
    return JobState(_STATES.get(number, State.GONE), "" if reason == "undefined" else reason)


class HTCondorSite(BatchSite):
    """A site with HTCondor."""

    system = HTCondor()


if TYPE_CHECKING:
    _: SiteExecutor = HTCondorSite()
