"""Where work can run: sites, what their workers offer, and the links between sites and storage.

A site is described by values only; what starts its workers is a plugin named in ``executor``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

__all__ = ["JOB_LOG", "Batch", "Link", "Resources", "Scheduler", "Site", "job_folders", "jobs_folder"]

JOB_LOG = "job-{}.log"
"""Log of a batch job by its number, in the folder of its pool."""


class Scheduler(StrEnum):
    """Where the Dask scheduler of a site's workers runs.

    DRIVER: beside the driver, and the workers dial in.  JOB: in the first job of the pool, and the driver dials in.
    ADDRESS: it runs already.
    """

    DRIVER = "driver"
    JOB = "job"
    ADDRESS = "address"


@dataclass(frozen=True, slots=True)
class Resources:
    """What one worker offers: a process with threads, or with GPUs one process for each of them."""

    threads: int
    memory_nbytes: int
    gpus: int = 0


@dataclass(frozen=True, slots=True)
class Link:
    """How fast a site reads from an RSE, the round trip to it, and how many requests may be on their way at once."""

    rse: str
    bytes_per_second: float
    latency_seconds: float
    streams: int = 10


@dataclass(frozen=True, slots=True)
class Batch:
    """What goes into the job scripts and commands of a batch system, in letters that are safe there.

    ``partition`` is the queue by whatever name the system has for it; ``directives`` are further lines of the script's
    header, without the word that starts them; ``submit`` are further arguments of every command that talks to the
    system; ``folder`` is shared between the submit host and the workers: job scripts, connection files and logs lie there.
    """

    account: str | None = None
    partition: str | None = None
    walltime_seconds: int | None = None
    prologue: tuple[str, ...] = ()
    ports: tuple[int, int] | None = None
    interface: str | None = None
    directives: tuple[str, ...] = ()
    submit: tuple[str, ...] = ()
    folder: str | None = None
    command: str | None = None


@dataclass(frozen=True, slots=True)
class Site:
    """A place with workers.

    ``near`` are the storage elements (RSEs), or the catalog's names of their sites, whose data count as local;
    ``work`` is the url of a prefix near the workers where they leave what they compute (None = the lake's own work area);
    ``speed`` is one thread's, 1 = a common CPU; ``wait_seconds`` how long the first worker usually lets one wait.
    """

    name: str
    executor: str
    worker: Resources
    max_workers: int
    near: tuple[str, ...] = ()
    links: tuple[Link, ...] = ()
    title: str = ""
    scheduler: Scheduler = Scheduler.DRIVER
    address: str | None = None
    work: str | None = None
    tested: bool = True
    speed: float = 1.0
    wait_seconds: float = 0.0
    batch: Batch = Batch()

    @property
    def slots(self) -> int:
        """Blocks that can be computed at once."""
        return self.worker.threads * self.max_workers

    def link(self, rse: str, *, near: bool) -> Link:
        """Link to an RSE; a site without a measured link is taken to be slow when far and fast when near."""
        for link in self.links:
            if link.rse == rse:
                return link
        return Link(rse, 1e9, 0.001) if near else Link(rse, 25e6, 0.05)


def jobs_folder(batch: Batch) -> Path:
    """Folder in which every pool of a batch system has one of its own: as the profile says, else in the user's state."""
    from platformdirs import user_state_path

    return Path(batch.folder).expanduser() if batch.folder else user_state_path("lakecv") / "jobs"


def job_folders(batch: Batch, run: str, site: str) -> tuple[Path, ...]:
    """Folders that pools of a run at a site have left, as they are named: ``<run>-<site>-<token>``."""
    return tuple(sorted(path for path in jobs_folder(batch).glob(f"{run}-{site}-*") if path.name.count("-") == run.count("-") + site.count("-") + 2))
