"""A job plus where and how: stages, blocks, replica, site, estimates and reasons; and what came of it.

A plan may differ from day to day while the job's digest stays.  It is data: ``--dry-run`` prints what would run.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from lakecv.cube import Block, CubeSpec, Window
from lakecv.job import Job, StageKind
from lakecv.records import DID, Damage, Replica

__all__ = ["Outcome", "Plan", "Progress", "Reason", "Run", "RunState", "Stage", "Task"]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why the planner chose or refused something."""

    subject: str
    chosen: bool
    text: str


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a plan: which link of the chain, what it does, how many tasks and (at most) passes, what it costs."""

    kind: StageKind
    link: int
    tasks: int
    passes: int
    nbytes_read: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Plan:
    """What will run where.

    ``output`` is the cube spec of the result (arrays only; tables join at publish time).  ``memory_nbytes`` is the peak
    over driver and workers together; ``seconds`` the wall time, both estimates.
    """

    job: Job
    input: CubeSpec
    output: CubeSpec
    blocks: tuple[Block, ...]
    stages: tuple[Stage, ...]
    site: str
    executor: str
    workers: int
    threads: int
    replica: Replica
    home: str
    nbytes_near: int
    nbytes_far: int
    memory_nbytes: int
    keep_nbytes: int
    seconds: float
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class Task:
    """One block of one stage: all a worker needs to find the rest in the work area.  Holds no data, no credential.

    ``stage`` names the pass and the directory of its commit records, such as ``0-reduce-003``; ``index`` is the block's
    number (of the cell for ``sample``, of the shard of ``array`` for ``pack``); ``states`` names, for each link that has
    learnt something, the stage whose state it is to apply.
    """

    work: str
    stage: str
    kind: StageKind
    link: int
    index: int
    window: Window
    states: tuple[str, ...] = ()
    array: str = ""
    attempt: int = 1

    @property
    def key(self) -> str:
        """Name of this task among all tasks of its run."""
        return f"{self.stage}/{self.array + '-' if self.array else ''}{self.index:06d}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a task.  ``part`` is the key of what it wrote and ``digest`` its sha256; ``error`` = kind and text.

    ``damaged`` are objects of the input that were found bad on the way, though another replica may have had them right.
    """

    task: str
    seconds: float
    started: float
    nbytes_read: int
    nbytes_written: int
    worker: str
    attempt: int = 1
    part: str | None = None
    digest: str | None = None
    error: tuple[str, str] | None = None
    damaged: tuple[Damage, ...] = ()

    @property
    def ok(self) -> bool:
        """True where the part was committed."""
        return self.error is None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a verb is: given to whoever watches, a few times a second.  ``total`` 0 = not known."""

    verb: str
    stage: str
    done: int
    total: int
    nbytes: int
    seconds: float
    note: str = ""


class RunState(StrEnum):
    """Where a run stands.  UNFINISHED covers running, interrupted and killed: ``resume`` does the same for each."""

    UNFINISHED = "unfinished"
    FAILED = "failed"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Run:
    """The record of a run: what, when, with which versions, what came out, what failed."""

    id: str
    job: Job
    output: DID
    state: RunState
    created: str
    finished: str | None = None
    seconds: float | None = None
    nbytes_near: int = 0
    nbytes_far: int = 0
    blocks: int = 0
    blocks_done: int = 0
    failed: tuple[Outcome, ...] = ()
    versions: tuple[tuple[str, str], ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
