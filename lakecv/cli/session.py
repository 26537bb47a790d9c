"""One invocation: which lake was named, how it is opened, what stops it, and how the next command is spelt."""

from __future__ import annotations

import shlex
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING

import typer

from lakecv.cli.progress import shown
from lakecv.errors import Kind, Unavailable

if TYPE_CHECKING:
    from lakecv.api import Lake

_Handler = Callable[[int, FrameType | None], None]
_Previous = Callable[[int, FrameType | None], object] | int | None
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

__all__ = ["Session", "interruptible", "lake_type", "opened", "session_of"]


@dataclass(frozen=True, slots=True)
class Session:
    """The global options of one invocation."""

    url: str | None = None

    def command(self, *words: str) -> str:
        """Spell a command that reaches the same lake, quoted for a shell.

        Examples
        --------
        >>> Session("./my lake").command("show", "museo:tavola")
        "lakecv --lake './my lake' show museo:tavola"
        """
        return shlex.join(["lakecv", *(("--lake", self.url) if self.url else ()), *words])

    def next(self, *words: str) -> str:
        """Last line of a command's text."""
        return f"next: {self.command(*words)}"


def session_of(ctx: typer.Context) -> Session:
    """Global options of the invocation that a command belongs to."""
    found = ctx.find_root().obj
    return found if isinstance(found, Session) else Session()


def lake_type() -> type[Lake]:
    """Import the Python face: late, because it brings the arrays along."""
    from lakecv.api import Lake

    return Lake


@contextmanager
def opened(ctx: typer.Context, *, as_json: bool) -> Iterator[Lake]:
    """Open the lake of this invocation, showing progress on stderr until the block ends (never with ``--json``)."""
    with shown(quiet=as_json) as progress:
        yield lake_type()(session_of(ctx).url, progress=progress)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C, SIGTERM and SIGHUP end long work cleanly; a second one ends it at once.

    The first signal raises KeyboardInterrupt in the main thread, which the lake turns into ``interrupted`` after a clean
    stop.  Where it struck before the lake could see it, this does.
    """
    seen: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        seen.append(number)
        raise KeyboardInterrupt

    before = _install(stop)
    try:
        yield
    except KeyboardInterrupt as err:
        if len(seen) > 1:
            raise
        raise Unavailable(
            "interrupted; what was committed is safe", Kind.INTERRUPTED, "type the same command again, or lakecv resume",
        ) from err
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _install(stop: _Handler) -> dict[signal.Signals, _Previous]:
    """Set the handler where that is allowed (the main thread) and wanted (nohup ignores SIGHUP); returns the old ones."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    wanted = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    return {number: signal.signal(number, stop) for number in wanted}
