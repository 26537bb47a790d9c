"""Workers that PBS starts (OpenPBS, PBS Pro, Torque): qsub, qstat, qdel."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lakecv.site import JOB_LOG, Site
from lakecv_plugins.sites.batch import BatchSite
from lakecv_plugins.sites.systems import BatchSystem, JobState, State, clock, rendered, worker_command

if TYPE_CHECKING:
    from lakecv.ports import SiteExecutor

__all__ = ["Pbs", "PbsSite"]

_ROW = re.compile(r"^(\S+)\s+\S+\s+\S+\s+\S+\s+([A-Z])\s+\S+\s*$", re.MULTILINE)
_STATES = {"Q": State.WAITS, "W": State.WAITS, "T": State.WAITS, "S": State.WAITS, "H": State.HELD, "R": State.RUNS, "E": State.RUNS, "B": State.RUNS}


class Pbs(BatchSystem):
    """The commands of PBS."""

    name, title = "pbs", "PBS"
    commands = ("qsub", "qstat", "qdel")
    number = "$PBS_JOBID"
    hopeless = re.compile(
        r"[Uu]nknown queue|[Uu]nauthorized [Rr]equest|[Ii]llegal attribute|[Uu]nknown resource|[Jj]ob violates queue|exceeds queue|[Ii]nvalid account|usage:",
    )
    over = re.compile(r"[Uu]nknown [Jj]ob|[Jj]ob has finished|[Ii]nvalid state for job|[Rr]equest invalid for (finished|state)")

    def look(self, site: Site, jobs: Sequence[str], folder: Path) -> dict[str, JobState]:
        """Ask for the jobs; of those that are over, qstat complains, and names the others all the same."""
        answer = self.asked([self.commands[1], *site.batch.submit, *jobs], folder)
        states = {self._whole(number, jobs): _STATES.get(letter, State.GONE) for number, letter in _ROW.findall(answer)}
        return {job: JobState(state, "a hold" if state is State.HELD else "") for job, state in states.items() if job in jobs}

    def written(self, site: Site) -> str:
        """Write the script.  PBS starts a job at home, and delivers its output when it is over: here nobody waits for that."""
        from dask_jobqueue.pbs import PBSJob

        batch, worker = site.batch, site.worker
        room = f"select=1:ncpus={worker.threads}:mem={-(-worker.memory_nbytes // 2**20)}mb{f':ngpus={worker.gpus}' if worker.gpus else ''}"
        log = JOB_LOG.format("$PBS_JOBID")
        before, *further = self.lines(site)
        lines = [before, 'cd "$PBS_O_WORKDIR" || exit 1', f'exec > "{log}" 2>&1', *further]
        account = [f"-A {batch.account}"] if batch.account else []
        job = PBSJob(
            **{**self.described(site), "job_directives_skip": ["#PBS -A"]}, account="",  # else it would take $PBS_ACCOUNT
            queue=batch.partition, walltime=clock(batch.walltime_seconds), resource_spec=room,
            job_extra_directives=[*account, "-j oe", "-o /dev/null", *batch.directives], job_script_prologue=lines,
        )
        return rendered(job, worker_command(site))

    def number_in(self, answer: str) -> str:
        """Read what qsub answers: the number alone, such as ``17.server``."""
        match = re.fullmatch(r"\s*(\d+(\[\])?(\.[\w.-]+)?)\s*", answer)
        return match[1] if match else ""

    @staticmethod
    def _whole(shown: str, jobs: Sequence[str]) -> str:
        """Find the number that a row stands for: a long one is cut off there."""
        return next((job for job in jobs if job.startswith(shown.rstrip("*"))), shown)


class PbsSite(BatchSite):
    """A site with PBS."""

    system = Pbs()


if TYPE_CHECKING:
    _: SiteExecutor = PbsSite()
