"""A job plus where and how: stages, blocks, replica, site, estimates and reasons; and what came of it.

A plan may differ from day to day while the job's digest stays.  It is data: ``--dry-run`` prints what would run.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from lakecv.cube import Block, CubeSpec, Window
from lakecv.job import Job, StageKind
from lakecv.records import DID, Damage

__all__ = ["Outcome", "Pace", "Piece", "Plan", "Progress", "Read", "Reason", "Run", "RunState", "Share", "Stage", "Task"]


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
class Read:
    """Blocks that a site reads from one replica; ``near`` = it lies at the site."""

    rse: str
    near: bool
    blocks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Share:
    """What one site does of a plan: with which workers, which blocks from where, and until when (estimated).

    ``work`` is the url of the work area that it has near itself, "" where it uses the run's own in the lake.
    """

    site: str
    executor: str
    workers: int
    threads: int
    reads: tuple[Read, ...]
    nbytes_near: int
    nbytes_far: int
    seconds: float
    work: str = ""

    @property
    def slots(self) -> int:
        """Blocks that it computes at once."""
        return self.workers * self.threads


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds that one thread of a site takes for a usual block, once through, read from an RSE; ``near`` = that lies there."""

    site: str
    rse: str
    near: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class Plan:
    """What will run where.

    ``output`` is the cube spec of the result (arrays only; tables join at publish time).  ``memory_nbytes`` is the peak
    over driver and workers together; ``seconds`` the wall time, both estimates.  ``shares`` say who does what, ``paces`` what
    it would cost elsewhere; ``packs`` is the site that writes the result's shards; ``holders`` give for each block the indices of the input's replicas that hold all of it (none at
    all = every replica holds every block).
    """

    job: Job
    input: CubeSpec
    output: CubeSpec
    blocks: tuple[Block, ...]
    stages: tuple[Stage, ...]
    site: str
    shares: tuple[Share, ...]
    paces: tuple[Pace, ...]
    packs: str
    home: str
    memory_nbytes: int
    keep_nbytes: int
    seconds: float
    reasons: tuple[Reason, ...] = ()
    holders: tuple[tuple[int, ...], ...] = ()

    @property
    def workers(self) -> int:
        """Workers at all sites."""
        return sum(share.workers for share in self.shares)

    @property
    def nbytes_near(self) -> int:
        """Bytes that will be read where they lie, estimated."""
        return sum(share.nbytes_near for share in self.shares)

    @property
    def nbytes_far(self) -> int:
        """Bytes that will come over a wide-area link, estimated."""
        return sum(share.nbytes_far for share in self.shares)


@dataclass(frozen=True, slots=True)
class Task:
    """One block of one stage: all a worker needs to find the rest in the work area.  Holds no data, no credential.

    ``stage`` names the pass and the directory of its commit records, such as ``0-reduce-003``; ``index`` is the block's
    number (of the cell for ``sample``, of the shard of ``array`` for ``pack``); ``states`` names, for each link that has
    learnt something, the stage whose state it is to apply.  ``site`` and ``rse`` say where it runs and which replica it reads
    first; they do not belong to its key.  ``merges`` are the tasks (of ``array``, a stage) that a merge adds up, as ranges.
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
    site: str = ""
    rse: str = ""
    merges: str = ""

    @property
    def key(self) -> str:
        """Name of this task among all tasks of its run."""
        return f"{self.stage}/{self.array + '-' if self.array else ''}{self.index:06d}"


@dataclass(frozen=True, slots=True)
class Piece:
    """Where one named array lies in a part, compressed, and the sha256 of its bytes there: each is read and checked by itself."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    nbytes: int
    digest: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a task.  ``part`` is the key of what it wrote, ``digest`` its sha256; ``error`` = kind and text.

    ``pieces`` are the arrays in the part.
    ``damaged`` are objects of the input that were found bad on the way, though another replica may have had them right.
    ``reads`` are the bytes of the input that came from each RSE, as they travelled: the proof of what was
    near; ``read_seconds`` is what they took, added up over requests that may have run at once.
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
    site: str = ""
    reads: tuple[tuple[str, int], ...] = ()
    read_seconds: float = 0.0
    pieces: tuple[Piece, ...] = ()

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
