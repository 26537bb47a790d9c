"""Where text goes: results to stdout, everything else to stderr.

A reader that has seen enough (``| head``) ends the command quietly; a broken stderr never stops a run.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TextIO

import typer

from lakecv.errors import Kind, Unavailable

__all__ = ["CLOSED_PIPE", "emit", "is_terminal", "note", "say", "tolerate_any_text"]

CLOSED_PIPE = 141  # what a shell reports of a program ended by SIGPIPE (128 + 13)
_LABEL = re.compile(r"^  (\S+)(?=  )")
_NEXT = re.compile(r"^(next:) (.*)$")


def emit(document: Mapping[str, object], text: Iterable[str], *, as_json: bool) -> None:
    """Print a result: exactly one JSON document, or its text."""
    say([json.dumps(document, indent=2, allow_nan=False)] if as_json else text)


def say(lines: Iterable[str]) -> None:
    """Print lines to stdout now.

    Raises
    ------
    typer.Exit
        With 141 where nobody reads any more.
    Unavailable
        If stdout cannot be written, as on a full disk (kind ``store-unreachable``).
    """
    if sys.stdout is None:
        return
    paint = _painted if is_terminal(sys.stdout) and not os.environ.get("NO_COLOR") else str
    try:
        sys.stdout.write("".join(paint(line) + "\n" for line in lines))
        sys.stdout.flush()
    except BrokenPipeError as err:
        _forget_stdout()
        raise typer.Exit(CLOSED_PIPE) from err
    except OSError as err:
        _forget_stdout()
        raise Unavailable(
            f"the result cannot be written to the standard output: {err.strerror}", Kind.STORE_UNREACHABLE,
            "free the place that the output goes to, and type the command again",
        ) from err


def note(line: str) -> None:
    """Print a line to stderr; where that cannot be, nothing happens."""
    with suppress(OSError, ValueError, AttributeError):  # AttributeError: sys.stderr is None where it was closed
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


def is_terminal(stream: TextIO | None) -> bool:
    """Say whether a person watches this stream on a terminal that can move its cursor."""
    if stream is None or os.environ.get("TERM", "") in {"", "dumb"}:
        return False
    try:
        return stream.isatty()
    except ValueError:  # it was closed
        return False


def tolerate_any_text() -> None:
    """Write letters that the locale lacks as escapes instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def _painted(line: str) -> str:
    """Dim the label of a fact, embolden the command to type next."""
    labelled = _LABEL.sub("  \x1b[36m\\1\x1b[0m", line)
    return _NEXT.sub("\x1b[2m\\1\x1b[0m \x1b[1m\\2\x1b[0m", labelled)


def _forget_stdout() -> None:
    """Point stdout at nothing, so that the interpreter's own flush at exit stays quiet."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
