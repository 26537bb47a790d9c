"""One site at work: its pool, opened and after a failure opened again, what waits for it and what runs there."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from lakecv import registry
from lakecv.errors import InternalError, Kind, LakeCVError, Unavailable
from lakecv.plan import Outcome, Plan, Share, Task
from lakecv.ports import Standing
from lakecv.site import Site

if TYPE_CHECKING:
    from types import TracebackType

    from lakecv.ports import WorkerPool

__all__ = ["Station", "manned"]

_log = logging.getLogger(__name__)
_WINDOW_PER_SLOT = 2.5  # enough that no slot waits, few enough that a cancelled run loses little
_STANDING_SECONDS = 0.5  # between two questions: where somebody else runs the scheduler, each is a round trip
_DESERTED_SECONDS = 10.0  # without a worker, then what was begun there goes elsewhere: a job that is replaced comes sooner
_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 30.0, 600.0


@dataclass(slots=True, eq=False)
class Station:
    """One site at work.

    ``slots`` are those that the plan counts on, ``stands`` is what its pool last said; ``opened`` opens the pool anew (None =
    that cannot be done); ``said`` is what it has failed with so far.
    """

    site: str
    pool: WorkerPool | None
    slots: int
    opened: Callable[[LakeCVError], WorkerPool] | None = None
    failure: LakeCVError | None = None
    waiting: deque[Task] = field(default_factory=deque)
    running: dict[str, tuple[Task, float]] = field(default_factory=dict)
    stands: Standing = field(default_factory=lambda: Standing(0))
    said: list[str] = field(default_factory=list)
    idle_since: float | None = None
    absent_since: float | None = None
    look_from: float = 0.0
    unreachable: int = 0
    _asked: float = -math.inf
    _recall_from: float = -math.inf
    _try_from: float = 0.0
    _pause: float = _PAUSE_SECONDS

    @property
    def working(self) -> int:
        """Slots that are there now, of those that the plan counts on."""
        return min(self.slots, self.stands.slots)

    @property
    def free(self) -> int:
        """Tasks that may still be sent there; none while there is no worker, so that others can have them."""
        return 0 if self.failure else max(0, math.ceil(_WINDOW_PER_SLOT * self.working) - len(self.running))

    @property
    def has_free_slot(self) -> bool:
        """Say whether a worker is there that has nothing to do."""
        return self.failure is None and len(self.running) < self.working

    @property
    def load(self) -> int:
        """Tasks that it has not done yet."""
        return len(self.waiting) + len(self.running)

    def look(self, now: float) -> None:
        """Ask the pool how it stands, now and then."""
        if now - self._asked >= _STANDING_SECONDS:
            with self._at_work() as pool:
                self.stands, self._asked = pool.standing(), now
            self.absent_since = None if self.stands.slots else now if self.absent_since is None else self.absent_since

    def deserted(self, now: float) -> bool:
        """Say whether no worker has been there for a while: nobody knows when one comes.  Asked often, it says so once a second."""
        if self.absent_since is None or now - self.absent_since < _DESERTED_SECONDS or now < self._recall_from:
            return False
        self._recall_from = now + 1.0
        return True

    def recall(self, able: Callable[[Task], bool]) -> list[Task]:
        """Take back what was begun, of that what others can do; the rest waits for a worker."""
        begun = [task for task, _ in self.running.values()]
        if any(map(able, begun)):
            self.cancel()
            self.running.clear()
        else:
            begun = []
        begun += [task for task in self.waiting if task.attempt > 1]
        taken = [task for task in begun if able(task)]
        self.forget(begun)
        self.waiting.extendleft(task for task in reversed(begun) if not able(task))
        return taken

    def submit(self, task: Task, now: float) -> None:
        """Send a task there."""
        self.running[task.key] = (task, now)
        with self._at_work() as pool:
            pool.submit(task)

    def outcomes(self, timeout_seconds: float) -> Iterator[Outcome]:
        """Take what is ready of that which was sent there, waiting at most so long for the first."""
        with self._at_work() as pool:
            for outcome in pool.outcomes(timeout_seconds):
                if outcome.task in self.running:
                    yield outcome

    def kill(self, task: Task) -> None:
        """Stop a task that hangs."""
        with self._at_work() as pool:
            pool.kill(task)

    def cancel(self) -> None:
        """Stop everything there."""
        with self._at_work() as pool:
            pool.cancel()

    @contextmanager
    def _at_work(self) -> Iterator[WorkerPool]:
        """Go through the door to the site's plugin."""
        if self.pool is None:
            raise self.failure or InternalError(f"{self.site} has no pool", Kind.BUG)
        with _door(self.site):
            yield self.pool

    def forget(self, tasks: Iterable[Task]) -> None:
        """Take tasks off what waits."""
        keys = {task.key for task in tasks}
        self.waiting = deque(task for task in self.waiting if task.key not in keys)

    def clear(self) -> list[Task]:
        """Take everything off; returns what it had not done, what was begun first."""
        left = [task for task, _ in self.running.values()] + [*self.waiting]
        self.running.clear()
        self.waiting.clear()
        return left

    def give_up(self, failure: LakeCVError, now: float) -> list[Task]:
        """Note that nothing can be had there just now; returns what it had not done."""
        self.failure, self.stands, self._asked, self.absent_since = failure, Standing(0), -math.inf, None
        self.said.append(f"{self.site} was out: {failure}")
        self._try_from = now + self._pause
        _log.warning("station site=%s out=%s", self.site, failure)
        return self.clear()

    def come_back(self, now: float) -> None:
        """Open the pool anew where waiting may have helped; each time it did not, the next attempt is later."""
        failure = self.failure
        if not isinstance(failure, Unavailable) or self.opened is None or now < self._try_from:
            return
        self._pause = min(2 * self._pause, _LONGEST_PAUSE_SECONDS)
        try:
            self.pool = self.opened(failure)
        except LakeCVError as err:
            self.failure = err
            self._try_from = now + self._pause
        else:
            self.failure, self.unreachable = None, 0
            _log.warning("station site=%s back", self.site)


@contextmanager
def _door(site: str) -> Iterator[None]:
    """Turn whatever a site's plugin raises into an error of lakecv's, so that a site ends and not the run."""
    try:
        yield
    except LakeCVError:
        raise
    except Exception as err:  # it is foreign code on an engine that may lose its connection at any line
        raise Unavailable(f"{site} failed: {type(err).__name__}: {err}", Kind.WORKER_LOST, "lakecv resume goes on with what is committed") from err


@contextmanager
def manned(plan: Plan, sites: Callable[[str], Site], work: Callable[[Task], Outcome], run: str) -> Iterator[dict[str, Station]]:
    """Open the pools of a plan's sites.

    A site that cannot be opened is a station that is out from the start, unless it is the last one: then its error is raised.
    """
    stations: dict[str, Station] = {}
    with ExitStack() as stack:
        for share in plan.shares:
            opening = stack.enter_context(_Opening(share, sites, work, run))
            station = stations[share.site] = Station(share.site, None, share.slots, opening.again)
            try:
                station.pool = opening.open()
            except LakeCVError as err:
                if len(plan.shares) == sum(each.failure is not None for each in stations.values()) + 1:
                    raise
                station.give_up(err, time.monotonic())
        yield stations


class _Opening:
    """The way to the pool of one site; what was opened is closed at exit, and an error there ends nothing."""

    def __init__(self, share: Share, sites: Callable[[str], Site], work: Callable[[Task], Outcome], run: str) -> None:
        self._share, self._sites, self._work, self._run = share, sites, work, run
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None) -> None:
        try:
            with _door(self._share.site):
                self._stack.__exit__(kind, err, trace)
        except LakeCVError as failure:
            if failure is not err:
                _log.warning("station site=%s closed=%s", self._share.site, failure)

    def open(self) -> WorkerPool:
        """Open it."""
        executor, site = registry.site(self._share.executor), self._sites(self._share.site)
        with _door(site.name):
            return self._stack.enter_context(executor.pool(site, self._share.workers, self._work, self._run))

    def again(self, failure: LakeCVError) -> WorkerPool:
        """Close what failed, and open another one."""
        self.__exit__(type(failure), failure, failure.__traceback__)
        self._stack = ExitStack()
        return self.open()
