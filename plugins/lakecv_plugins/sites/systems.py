"""A batch system: how a job script begins, how one is submitted, looked at and cancelled, and what its answers mean.

Headers of scripts come from dask-jobqueue; the commands are run here, because there a command that fails is only logged
(dask/dask-jobqueue#142), and a job that dies is not replaced.
"""

from __future__ import annotations

import importlib
import os
import re
import shlex
import signal
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from lakecv.errors import Infeasible, Kind, PluginError, Unavailable
from lakecv_plugins.sites.connection import FILE

if TYPE_CHECKING:
    from dask_jobqueue.core import Job

    from lakecv.site import Site

__all__ = ["FOUND", "KEEPER", "SCRIPT", "VERDICT", "BatchSystem", "JobState", "State", "clock", "rendered", "worker_command"]

SCRIPT, VERDICT = "job.sh", "job-{}.verdict"
FOUND, KEEPER = "scheduler.json", "scheduler.job"  # where the scheduler listens that runs in a job, and in which one
_SECONDS = 60.0  # a schedd or slurmctld that is busy answers late
_GOES_ON = "lakecv resume goes on when it answers again"
_SETTINGS = (
    "interface", "death-timeout", "local-directory", "extra", "log-directory", "queue", "account", "walltime", "env-extra", "job-extra",
    "header-skip", "job-cpu", "job-mem", "resource-spec", "disk",
)  # that dask-jobqueue reads where it is given None; the rest it is told


class State(StrEnum):
    """Where a job stands.  HELD: it will not start unless somebody does something."""

    WAITS = "waits"
    HELD = "held"
    RUNS = "runs"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class JobState:
    """Where a job stands, and why in the batch system's own words."""

    state: State
    reason: str = ""


class BatchSystem(ABC):
    """One batch system.

    ``hopeless`` are words of a refusal that no waiting will change; ``over`` those said of a job that has ended already;
    ``number`` is what a shell has for the job's.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    commands: ClassVar[tuple[str, str, str]]  # submit, look, cancel
    number: ClassVar[str]
    hopeless: ClassVar[re.Pattern[str]]
    over: ClassVar[re.Pattern[str]]

    def script(self, site: Site) -> str:
        """Job script of one worker: the same for every job of a site."""
        try:
            _import_jobqueue()
            with _no_settings(self.name):
                return self.written(site)
        except ImportError as err:
            raise PluginError(
                "'dask_jobqueue' is not installed; it comes with the extra lakecv[batch]", Kind.MISSING_EXTRA, "pip install 'lakecv[batch]'",
            ) from err

    def submit(self, site: Site, folder: Path) -> str:
        """Submit the script that lies in a folder; returns the job's number.

        Raises
        ------
        Infeasible
            If there is no such batch system here (kind ``batch-system-missing``), or it will never take such a job (``job-refused``).
        Unavailable
            If it does not answer (kind ``queue-down``); the text is its own.
        """
        done = self.call([self.commands[0], *site.batch.submit, SCRIPT], folder)
        if done.returncode:
            said = _said(done)
            if self.hopeless.search(said):
                hint = "correct the site's profile: lakecv site show NAME"
                raise Infeasible(f"'{self.commands[0]}' refused the job: {said}", Kind.JOB_REFUSED, hint)
            raise Unavailable(f"'{self.commands[0]}' failed: {said}", Kind.QUEUE_DOWN, _GOES_ON)
        found = self.number_in(done.stdout)
        if not found:
            said = f"'{self.commands[0]}' answered {done.stdout.strip()[:200]!r}; the number of a job was expected"
            raise Unavailable(said, Kind.QUEUE_DOWN, _GOES_ON)
        return found

    def cancel(self, site: Site, jobs: Sequence[str], folder: Path) -> None:
        """Take jobs back; those that are gone already do not matter.  Raises Unavailable where the system does not answer."""
        if jobs:
            self.asked([self.commands[2], *site.batch.submit, *jobs], folder)

    @abstractmethod
    def look(self, site: Site, jobs: Sequence[str], folder: Path) -> dict[str, JobState]:
        """Say where jobs stand; one that the system no longer knows is not named.  Raises as :meth:`submit`."""

    @abstractmethod
    def written(self, site: Site) -> str:
        """Write the script."""

    @abstractmethod
    def number_in(self, answer: str) -> str:
        """Find the number of the job in the answer to a submission, "" where there is none."""

    def asked(self, command: Sequence[str], folder: Path) -> str:
        """Ask about jobs that were taken; where not all that it complains of is that some are over, it is Unavailable."""
        done = self.call(command, folder)
        complaints = [line for line in (done.stderr or done.stdout).splitlines() if line.strip() and not self.over.search(line)]
        if done.returncode and complaints:
            raise Unavailable(f"'{command[0]}' failed: {_said(done)}", Kind.QUEUE_DOWN, _GOES_ON)
        return done.stdout

    def call(self, command: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
        """Run a command of the system; raises as :meth:`submit` where it cannot be run, or does not end."""
        try:
            return subprocess.run(  # noqa: S603  (a fixed program with words that keep the profile's grammar)
                command, cwd=folder, env={**os.environ, "PWD": str(folder)}, capture_output=True, text=True, errors="replace",
                timeout=_SECONDS, check=False, stdin=subprocess.DEVNULL,
                process_group=0,  # a Ctrl-C at the terminal is the driver's, who takes the jobs back
            )
        except (FileNotFoundError, PermissionError) as err:
            if not folder.is_dir():
                raise Unavailable(f"the folder {folder} is gone; jobs need it", Kind.QUEUE_DOWN, "lakecv resume makes another") from err
            raise Infeasible(
                f"there is no command '{command[0]}' here; {self.title} was expected", Kind.BATCH_SYSTEM_MISSING,
                f"type this where {self.title} jobs are submitted, or name another --site",
            ) from err
        except subprocess.TimeoutExpired as err:
            raise Unavailable(f"'{command[0]}' did not answer within {_SECONDS:.0f} s", Kind.QUEUE_DOWN, _GOES_ON) from err
        except OSError as err:
            raise Unavailable(f"'{command[0]}' cannot be started: {err.strerror or err}", Kind.QUEUE_DOWN, _GOES_ON) from err

    def lines(self, site: Site) -> list[str]:
        """List what a script does before the worker starts."""
        return ["umask 077", *site.batch.prologue, f'export LAKECV_JOB="{self.number}"']

    def described(self, site: Site) -> dict[str, Any]:
        """Describe a job as dask-jobqueue asks of every system."""
        return {
            "scheduler": "", "name": "lakecv", "job_name": "lakecv", "cores": site.worker.threads, "processes": 1,
            "memory": f"{site.worker.memory_nbytes} B", "python": sys.executable, "shebang": "#!/bin/bash", "worker_extra_args": [],
            "job_directives_skip": [], "worker_command": "lakecv", "config_name": self.name,
        }


def _said(done: subprocess.CompletedProcess[str]) -> str:
    return " ".join((done.stderr or done.stdout).split())[-400:] or f"exit code {done.returncode}, and not a word"


def rendered(job: Job, command: str) -> str:
    """Write a script around our own command: dask-jobqueue's names a scheduler, which is known only when a pool is open."""
    job._command_template = command  # noqa: SLF001  (dask-jobqueue 0.9 has no other door)
    return str(job.job_script())


def worker_command(site: Site) -> str:
    """Command that becomes a worker; it is the same for every run, what differs lies in the connection file."""
    usual = shlex.quote(str(Path(sys.prefix, "bin", "lakecv")))
    return f"exec {site.batch.command or usual} worker --connection {FILE}"


def clock(seconds: int | None) -> str | None:
    """Write a walltime as HH:MM:SS."""
    return None if seconds is None else f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def _import_jobqueue() -> None:
    """Import dask-jobqueue without what it does to Ctrl-C.

    Version 0.9 sets a handler for SIGINT when it is imported (runner.py), which ends the process with 0, and fails off the main thread.
    """
    usual = signal.signal
    signal.signal = lambda *_: None
    try:
        importlib.import_module("dask_jobqueue")
    finally:
        signal.signal = usual


@contextmanager
def _no_settings(system: str) -> Iterator[None]:
    """Leave out what a user's own jobqueue.yaml says: a script follows from the profile alone."""
    import dask

    with dask.config.set({"jobqueue": {system: dict.fromkeys(_SETTINGS)}}):
        yield
