"""How far a verb is, on stderr: a bar on a terminal, one plain line per 30 s elsewhere.

Showing progress must never end the work it shows, so a stderr that cannot be written is ignored.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lakecv.cli.layout import clean, duration, rate, size
from lakecv.cli.output import is_terminal, note

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from lakecv.plan import Progress

__all__ = ["Lines", "Watcher", "describe", "eta_seconds", "shown"]

Watcher = Callable[["Progress"], None]
_EVERY_SECONDS = 30.0
_BYTES = "samples"
_NAMED = {"objects", "datasets"}  # stages that are called what they count; all others but the samples count blocks


@contextmanager
def shown(*, quiet: bool) -> Iterator[Watcher | None]:
    """Give a function that shows progress until the block ends; None where nobody wants to see it.

    Parameters
    ----------
    quiet
        True where the output is for a program (``--json``).
    """
    if quiet:
        yield None
        return
    watcher: _Rich | Lines = _Rich() if is_terminal(sys.stderr) else Lines()
    try:
        yield watcher
    finally:
        watcher.close()


def eta_seconds(progress: Progress) -> float | None:
    """Seconds that are left at the pace so far; None while there is no pace."""
    if progress.total <= 0 or progress.done <= 0 or progress.seconds <= 0:
        return None
    return progress.seconds * max(0, progress.total - progress.done) / progress.done


def describe(progress: Progress) -> str:
    """One line without a bar, such as ``run 0-map: 12/24 blocks, 1.2 GB, 85.0 MB/s, 14 s left``."""
    left = eta_seconds(progress)
    parts = [
        _counted(progress),
        size(progress.nbytes) if progress.nbytes and progress.stage != _BYTES else "",
        rate(progress.nbytes, progress.seconds),
        f"{duration(left)} left" if left else "",
        clean(progress.note),
    ]
    return f"{clean(progress.verb)} {clean(progress.stage)}".rstrip() + ": " + ", ".join(part for part in parts if part)


def _counted(progress: Progress) -> str:
    """Done and total in the unit of the stage: registering counts bytes, verifying objects, gc datasets, all else blocks."""
    if progress.stage == _BYTES:
        return f"{size(progress.done)} of {size(progress.total)}"
    counted = f"{progress.done}/{progress.total}" if progress.total > 0 else str(progress.done)
    return f"{counted} {progress.stage if progress.stage in _NAMED else 'blocks'}"


class Lines:
    """Plain lines, at most one per 30 s, and the last word at the end."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, write: Callable[[str], None] = note) -> None:
        self._clock, self._write = clock, write
        self._spoken = clock()
        self._last: str | None = None

    def __call__(self, progress: Progress) -> None:
        """Take note of progress; write it where the last line is old."""
        self._last = describe(progress)
        if self._clock() - self._spoken >= _EVERY_SECONDS:
            self._spoken = self._clock()
            self._flush()

    def close(self) -> None:
        """Write what has not been said yet."""
        self._flush()

    def _flush(self) -> None:
        if self._last is not None:
            self._write(self._last)
        self._last = None


class _Rich:
    """A bar that is gone when the result is printed; rich is imported at the first sign of progress."""

    def __init__(self) -> None:
        self._bar: Bar | None = None
        self._task: TaskID | None = None

    def __call__(self, progress: Progress) -> None:
        """Move the bar."""
        if self._bar is None or self._task is None:
            self._bar = _bar()
            self._task = self._bar.add_task("", total=None, counted="", rate="", left="", note="")
            self._bar.start()
        left = eta_seconds(progress)
        self._bar.update(
            self._task, description=f"{clean(progress.verb)} {clean(progress.stage)}", completed=progress.done,
            total=progress.total or None, counted=_counted(progress), rate=rate(progress.nbytes, progress.seconds),
            left="" if left is None else f"{duration(left)} left", note=clean(progress.note),
        )

    def close(self) -> None:
        """Take the bar off the screen."""
        if self._bar is not None:
            self._bar.stop()


def _bar() -> Bar:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    return Bar(
        TextColumn("  {task.description}", markup=False),
        BarColumn(bar_width=28),
        TextColumn("{task.fields[counted]}", markup=False),
        TextColumn("{task.fields[rate]}", markup=False),
        TextColumn("{task.fields[left]}", markup=False),
        TextColumn("{task.fields[note]}", markup=False),
        console=Console(stderr=True, markup=False, highlight=False),
        transient=True,
    )
