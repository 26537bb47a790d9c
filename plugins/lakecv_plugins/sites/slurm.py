"""Workers that Slurm starts: sbatch, squeue, scancel."""

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

__all__ = ["Slurm", "SlurmSite"]

_HELD = re.compile(
    r"JobHeld|BadConstraints|PartitionTimeLimit|PartitionNodeLimit|InvalidAccount|InvalidQOS|requeued[ _]held|AccountNotAllowed"
    r"|QOSNotAllowed|MaxMemPerLimit|MaxCpuPerNode|MaxWallDurationPerJobLimit|DependencyNeverSatisfied"
)
_WAITS = {"PENDING", "CONFIGURING", "REQUEUED", "SUSPENDED", "STOPPED"}
_STUCK = {"REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD"}
_RUNS = {"RUNNING", "SIGNALING", "RESIZING"}  # not COMPLETING: its processes are on their way out, and no task will come of it


class Slurm(BatchSystem):
    """The commands of Slurm."""

    name, title = "slurm", "Slurm"
    commands = ("sbatch", "squeue", "scancel")
    number = "$SLURM_JOB_ID"
    hopeless = re.compile(
        r"[Ii]nvalid (partition|account|qos|generic resource|feature|time limit|constraint|wckey)|node configuration is not available"
        r"|group not permitted|[Mm]emory specification can not be satisfied|time limit is invalid|[Uu]nrecognized option"
        r"|processors requested than permitted|CPU count per node can not be satisfied|[Ii]nvalid (--|option|argument|[Tt]res)"
    )
    over = re.compile(r"[Ii]nvalid job id|already (completing|completed)|has already")

    def look(self, site: Site, jobs: Sequence[str], folder: Path) -> dict[str, JobState]:
        """Ask for all jobs of the user: asked for a number that is too old, squeue fails."""
        answer = self.asked([self.commands[1], *site.batch.submit, "--me", "--noheader", "--format=%i|%T|%r"], folder)
        rows = [line.strip().split("|", 2) for line in answer.splitlines()]
        return {row[0]: _state(row[1], row[2]) for row in rows if len(row) == 3 and row[0] in jobs}  # noqa: PLR2004  (as the format says)

    def written(self, site: Site) -> str:
        """Write the script."""
        from dask_jobqueue.slurm import SLURMJob

        batch = site.batch
        own = [f"-o {JOB_LOG.format('%j')}", *([f"--gres=gpu:{site.worker.gpus}"] if site.worker.gpus else [])]
        job = SLURMJob(
            **self.described(site), queue=batch.partition, account=batch.account, walltime=clock(batch.walltime_seconds),
            job_mem=f"{-(-site.worker.memory_nbytes // 2**20)}M",
            job_extra_directives=[*own, *batch.directives], job_script_prologue=self.lines(site),
        )
        return rendered(job, worker_command(site))

    def number_in(self, answer: str) -> str:
        """Read what sbatch answers."""
        match = re.search(r"Submitted batch job (\d+)", answer)
        return match[1] if match else ""


def _state(word: str, reason: str) -> JobState:
    reason = "" if reason in {"None", "(null)"} else reason
    if word in _RUNS:
        return JobState(State.RUNS)
    if word in _STUCK:
        return JobState(State.HELD, reason or word)
    if word in _WAITS:
        return JobState(State.HELD if _HELD.search(reason) else State.WAITS, reason)
    return JobState(State.GONE, reason or word)


class SlurmSite(BatchSite):
    """A site with Slurm."""

    system = Slurm()


if TYPE_CHECKING:
    _: SiteExecutor = SlurmSite()
