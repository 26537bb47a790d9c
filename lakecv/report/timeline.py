"""Outcomes of tasks arranged in lanes: who worked on what, when.

A run of 100,000 blocks must still be one small picture, so neighbors of one kind are joined where no eye could tell.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from lakecv.job import StageKind
from lakecv.plan import Outcome

__all__ = ["Bar", "arrange", "stage_kind"]

_LANES = 40
_HAIR = 1 / 1200  # of the whole width: less than a pixel


@dataclass(frozen=True, slots=True)
class Bar:
    """One piece of work: its lane, its seconds since the first task, its stage, whether it failed."""

    lane: int
    start: float
    stop: float
    kind: str
    failed: bool = False


def arrange(outcomes: Sequence[Outcome]) -> tuple[list[Bar], list[str], int]:
    """Lay outcomes in lanes, as many for a worker as it had tasks at once.

    Returns
    -------
    tuple
        The bars; the lanes' names (a worker's name on its first lane, else empty), at most 40; how many lanes were left out.
    """
    if not outcomes:
        return [], [], 0
    origin = min(outcome.started for outcome in outcomes)
    hair = _HAIR * max(outcome.started + outcome.seconds - origin for outcome in outcomes)
    workers: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in sorted(outcomes, key=lambda item: (item.started, item.task)):
        workers[outcome.worker].append(outcome)
    bars: list[Bar] = []
    names: list[str] = []
    for worker in sorted(workers):
        lanes = _lanes(workers[worker], origin)
        for index, lane in enumerate(lanes):
            bars += [replace(bar, lane=len(names)) for bar in _joined(lane, hair)]
            names.append(worker if index == 0 else "")
    return [bar for bar in bars if bar.lane < _LANES], names[:_LANES], max(0, len(names) - _LANES)


def _lanes(outcomes: Sequence[Outcome], origin: float) -> list[list[Bar]]:
    """Put each task in the first lane that is free when it starts."""
    lanes: list[list[Bar]] = []
    for outcome in outcomes:
        start = outcome.started - origin
        bar = Bar(0, start, start + outcome.seconds, stage_kind(outcome.task), not outcome.ok)
        free = next((lane for lane in lanes if lane[-1].stop <= start + 1e-6), None)
        if free is None:
            lanes.append([bar])
        else:
            free.append(bar)
    return lanes


def _joined(lane: Sequence[Bar], hair: float) -> list[Bar]:
    """Join neighbors of one kind that are both too thin, or too close, to be seen apart."""
    joined: list[Bar] = []
    for bar in lane:
        last = joined[-1] if joined else None
        alike = last is not None and (last.kind, last.failed) == (bar.kind, bar.failed)
        if last is not None and alike and bar.start - last.stop <= hair and bar.stop - bar.start <= 4 * hair:
            joined[-1] = replace(last, stop=max(last.stop, bar.stop))
        else:
            joined.append(bar)
    return joined


def stage_kind(task: str) -> str:
    """Read what a task did off its key, such as ``0-reduce-003/000012``; ``other`` where it does not say."""
    parts = task.partition("/")[0].split("-")
    return parts[1] if len(parts) > 1 and parts[1] in set(StageKind) else "other"
