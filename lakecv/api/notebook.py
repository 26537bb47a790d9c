"""Progress in a notebook: one line that changes in place, without a widget, a websocket of its own or a script."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from html import escape
from typing import Any

from lakecv.plan import Progress

__all__ = ["default_watch"]

_EVERY_SECONDS = 0.25


def default_watch() -> Callable[[Progress], None]:
    """Show progress where a notebook's kernel runs this, else nothing."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return _Line() if hasattr(shell, "kernel") else _silent


def _silent(_: Progress) -> None:
    pass


class _Line:
    """A bar that is redrawn a few times a second; a new stage starts at once."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._verb, self._stage, self._drawn = "", "", 0.0

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        ends = progress.done == progress.total
        if progress.stage == self._stage and not ends and now - self._drawn < _EVERY_SECONDS:
            return
        self._draw(progress)
        self._stage, self._drawn = progress.stage, now

    def _draw(self, progress: Progress) -> None:
        from IPython.display import HTML, display

        if self._handle is None or self._verb != progress.verb:
            self._handle, self._verb = display(HTML(_bar(progress)), display_id=True), progress.verb  # type: ignore[no-untyped-call]
        else:
            self._handle.update(HTML(_bar(progress)))  # type: ignore[no-untyped-call]


def _bar(progress: Progress) -> str:
    text = f"{escape(progress.verb)} {escape(progress.stage)} {progress.done}/{progress.total or '?'} in {progress.seconds:.0f} s"
    return f'<progress value="{progress.done}" max="{max(progress.total, 1)}"></progress> {text}'
