"""What a failure becomes: a line, a hint, an exit code.  And the group of commands in which that happens.

Every way out of a command passes through :func:`attempt`, also under a test runner, so there is one place to read.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from lakecv.cli.layout import clean
from lakecv.cli.output import CLOSED_PIPE, emit, note
from lakecv.errors import InternalError, InvalidInput, Kind, LakeCVError, Unavailable, nearest

__all__ = ["EXIT_CODES", "INTERRUPTED", "Verbs", "attempt", "exit_code"]

INTERRUPTED = 75  # EX_TEMPFAIL of sysexits.h: try again later
_STOPPED_AT_ONCE = 130

EXIT_CODES = (
    (0, "done"),
    (1, "finished with failed blocks; lakecv resume"),
    (2, "what was given cannot be used"),
    (3, "a name that means nothing here"),
    (4, "the name means something else already"),
    (5, "the right to do it is missing"),
    (6, "something outside did not answer; try again later"),
    (7, "no plan can do it with these resources"),
    (8, "bytes are not what they were promised to be"),
    (9, "a plugin is absent or breaks its contract"),
    (70, "a bug in lakecv"),
    (75, "interrupted (Ctrl-C, SIGTERM); lakecv resume"),
    (130, "stopped at once (second Ctrl-C)"),
)


def exit_code(error: LakeCVError) -> int:
    """Exit code of an error; an interruption has its own, since what is committed is safe."""
    return INTERRUPTED if error.kind is Kind.INTERRUPTED else error.exit_code


def attempt(work: Callable[[], object], words: Sequence[str]) -> int:
    """Run a command and return its exit code, whatever happens.

    Parameters
    ----------
    work
        Runs the command; an int that it returns is the exit code.
    words
        What was typed, for ``--json``, ``--debug`` and the report command.
    """
    try:
        return _translated(work, words)
    except typer.Exit as err:
        return err.exit_code


def _translated(work: Callable[[], object], words: Sequence[str]) -> int:
    try:
        result = work()
    except typer.TyperException as err:
        return _report(_usage(err), words)
    except LakeCVError as err:
        return _report(err, words)
    except SystemExit as err:
        if isinstance(err.__context__, BrokenPipeError):  # typer printed its help to a reader that had left
            return CLOSED_PIPE
        raise
    except Exception as err:  # noqa: BLE001  (the last line of defence: a bug becomes a line, a hint and an exit code)
        return _report(_bug(err, words), words)
    if result == _STOPPED_AT_ONCE:
        note("stopped at once")
    return result if isinstance(result, int) else 0


def _report(error: LakeCVError, words: Sequence[str]) -> int:
    message, hint, code = clean(error), clean(error.hint), exit_code(error)
    if _given("--debug", words):
        import traceback

        note("".join(traceback.format_exception(error)).rstrip())
    note(f"error: {message} [{error.kind}]")
    if hint:
        note(f"hint: {hint}")
    if _given("--json", words):
        facts = {"kind": str(error.kind), "message": message, "hint": hint, "exit_code": code}
        emit({"error": facts}, (), as_json=True)
    return code


def _usage(error: typer.TyperException) -> LakeCVError:
    """Say what was wrong with the words of a command, and the nearest right ones."""
    command = getattr(getattr(error, "ctx", None), "command", None)
    path = getattr(getattr(error, "ctx", None), "command_path", "lakecv")
    message = error.format_message().partition(" (Possible options:")[0].rstrip(".")
    if hasattr(error, "possibilities"):
        known = [name for param in getattr(command, "params", ()) for name in param.opts if name.startswith("--")]
        hint = nearest(str(getattr(error, "option_name", "")), known, "options")
        return InvalidInput(message, Kind.OPTION_UNKNOWN, hint).with_traceback(error.__traceback__)
    hint = f"{path} --help shows what it takes"
    return InvalidInput(message, Kind.OPTION_INVALID, hint).with_traceback(error.__traceback__)


def _bug(error: Exception, words: Sequence[str]) -> LakeCVError:
    again = shlex.join(["lakecv", "--debug", *(word for word in words if word != "--debug")])
    bug = InternalError(
        f"lakecv made a mistake: {type(error).__name__}: {error}", Kind.BUG,
        f"please report it with all that this prints: {again}",
    )
    bug.__cause__ = error
    return bug


def _given(flag: str, words: Sequence[str]) -> bool:
    ends = words.index("--") if "--" in words else len(words)
    return flag in words[:ends]


class Verbs(TyperGroup):
    """A group of commands whose failures are told in the house's way, and whose global options may stand anywhere."""

    def main(
        self, args: Sequence[str] | None = None, prog_name: str | None = None, complete_var: str | None = None,
        standalone_mode: bool = True, windows_expand_args: bool = True, **extra: Any,  # noqa: FBT001, FBT002  (typer's signature)
    ) -> Any:
        """Run the command line; ends the process with its exit code, or returns that where not ``standalone_mode``."""
        words = _globals_first(sys.argv[1:] if args is None else args)
        run = super().main

        def work() -> object:
            return run(
                words, prog_name, complete_var, standalone_mode=False, windows_expand_args=windows_expand_args, **extra,
            )

        code = attempt(work, words)
        if not standalone_mode:
            return code
        sys.exit(code)

    def invoke(self, ctx: Any) -> Any:
        """Run a command; a broken connection inside it is not taken for a closed stdout."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as err:
            raise Unavailable(
                "a connection broke off", Kind.STORE_UNREACHABLE, "type the same command again in a while",
            ) from err

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find a command; the nearest spelling where there is none."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-") and not ctx.resilient_parsing:
            raise InvalidInput(
                f"there is no command '{name}'", Kind.COMMAND_UNKNOWN, nearest(name, self.list_commands(ctx), "commands"),
            )
        return super().resolve_command(ctx, args)


def _globals_first(words: Sequence[str]) -> list[str]:
    """Move ``--lake URL`` and ``--debug`` to the front: people type them where they think of them.

    Examples
    --------
    >>> _globals_first(["ls", "--lake", "./lake", "--scope", "museo"])
    ['--lake', './lake', 'ls', '--scope', 'museo']
    >>> _globals_first(["show", "--", "--debug"])
    ['show', '--', '--debug']
    """
    front: list[str] = []
    rest = list(words)
    back: list[str] = []
    while rest:
        word = rest.pop(0)
        if word == "--":
            return [*front, *back, word, *rest]
        if word == "--lake" and rest:
            front += [word, rest.pop(0)]
        elif word == "--debug" or word.startswith("--lake="):
            front.append(word)
        else:
            back.append(word)
    return [*front, *back]
