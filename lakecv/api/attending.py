"""Following a run that somebody else drives, to its end or until nobody seems to drive it any more."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from lakecv import registry
from lakecv.api.detaching import drivers, notes
from lakecv.api.running import Runs
from lakecv.errors import Kind, LakeCVError, Unavailable
from lakecv.plan import Progress, Run, RunState

__all__ = ["attend"]

_LOOK_SECONDS = 0.5
_PAUSE_PER_LOOK = 10.0  # a listing that takes long is made less often
_GRACE_SECONDS = 10.0  # after the last record: somebody on another machine may have gone on where a driver of this one ended


@dataclass(frozen=True, slots=True)
class _Pulse:
    """What lies in a run's work areas: the stage of the newest record, how many it has, and when that one came."""

    stage: str
    done: int
    total: int
    newest: float


def attend(runs: Runs, run: str, watch: Callable[[Progress], None], quiet_seconds: float) -> Run:
    """Follow a run and return its record when it has ended; whoever drives it is left alone.

    Parameters
    ----------
    runs : Runs
        Of the lake.
    run : str
        Which one.
    watch : callable
        Is told how far it is.
    quiet_seconds : float
        Without a new record, and without a driver on this machine, after which nobody is taken to be at work.

    Raises
    ------
    Unavailable
        If nobody is at work, or on Ctrl-C (kind ``interrupted`` in either case).
    """
    clock = time.monotonic()
    try:
        while True:
            record, driven = runs.record(run), bool(drivers(run))
            if record.state is RunState.DONE or (record.state is RunState.FAILED and not driven):
                return record
            began = time.monotonic()
            pulse = _look(runs, record)
            watch(Progress("attach", pulse.stage, pulse.done, pulse.total, 0, time.monotonic() - clock))
            if not driven:
                _check(run, pulse, quiet_seconds)
            time.sleep(max(_LOOK_SECONDS, _PAUSE_PER_LOOK * (time.monotonic() - began)))
    except KeyboardInterrupt as err:
        raise Unavailable("stopped looking; whoever drives the run goes on", Kind.INTERRUPTED, f"lakecv attach {run}") from err


def _check(run: str, pulse: _Pulse, quiet_seconds: float) -> None:
    """Raise where nobody seems to be at work."""
    ended = notes(run)
    quiet = time.time() - pulse.newest
    if quiet > (_GRACE_SECONDS if ended else quiet_seconds):
        here = "its driver on this machine has ended" if ended else "this machine has no driver of it"
        raise Unavailable(
            f"nobody is at work on {run}: nothing came for {quiet:.0f} s, and {here}", Kind.INTERRUPTED, f"lakecv resume {run}",
        )


def _look(runs: Runs, record: Run) -> _Pulse:
    """List the records of all work areas; reads none of them."""
    area = runs.area(record.id)
    count: Counter[str] = Counter()
    newest, stage = datetime.fromisoformat(record.created).timestamp(), "waiting"
    for each in (area, *area.near.values()):
        with suppress(LakeCVError):  # a site that is away
            for info in registry.open_objects(each.url).list("commits"):
                name = info.key.split("/")[1]
                count[name] += not info.key.endswith("/state.json")
                if info.modified >= newest:
                    newest, stage = info.modified, name
    whole = stage == "map" or ("-reduce-" in stage and not stage.endswith("-merge"))
    return _Pulse(stage, count[stage], record.blocks if whole else 0, newest)
