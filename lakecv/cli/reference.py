"""The page docs/cli.md, written from the commands themselves so that it cannot drift.

``python -m lakecv.cli.reference > docs/cli.md`` writes it; a test compares.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from lakecv.cli import app
from lakecv.cli.failures import EXIT_CODES
from lakecv.cli.output import say

__all__ = ["markdown"]

_HEAD = """\
# The command line

This page is generated: `python -m lakecv.cli.reference > docs/cli.md`.

Results go to stdout, progress and warnings to stderr. The last line of each result is the next command to type. With
`--json` a command prints exactly one JSON document, described in `docs/schema/<command>.json` (a failure in
`docs/schema/error.json`; `run --dry-run` in `plan.json`). Global options may stand anywhere.
"""
_COMPLETION = """\
## Completion

`lakecv --install-completion` sets it up for your shell; `lakecv --show-completion` prints it. DIDs of the lake are completed, too: of the one that
`--lake` before the command, the environment or the settings name.
"""


def markdown() -> str:
    """Write the whole page."""
    from typer.main import get_command

    root: Any = get_command(app)
    sections = [_HEAD, "## Global options\n\n" + _options(root), *_commands(root, "lakecv"), _exit_codes(), _COMPLETION]
    return "\n".join(sections)


def _commands(group: Any, path: str) -> Iterator[str]:
    """One section per command; groups are gone through."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{path} {name}")
            continue
        arguments = [_argument(param) for param in command.params if param.param_type_name == "argument"]
        usage = " ".join([path, name, *arguments, "[OPTIONS]"])
        yield f"## {path} {name}\n\n```\n{usage}\n```\n\n{inspect.cleandoc(command.help or '')}\n\n{_options(command)}"


def _argument(param: Any) -> str:
    return str(param.metavar or param.name.upper()).strip("{}")


def _options(command: Any) -> str:
    """Table of arguments and options."""
    rows = [f"| {_spelling(param)} | {_cell(param.help or '')}{_default(param)} |" for param in command.params]
    return "\n".join(["| | |", "|---|---|", *rows]) + "\n"


def _spelling(param: Any) -> str:
    if param.param_type_name == "argument":
        return f"`{_argument(param)}`"
    value = "" if param.is_flag else f" {param.metavar or param.name.upper()}"
    return ", ".join(f"`{_cell(name + value)}`" for name in param.opts)


def _default(param: Any) -> str:
    plain = param.default is None or param.required or getattr(param, "is_flag", False) or param.default == ""
    return "" if plain else f" Default: `{param.default}`."


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _exit_codes() -> str:
    rows = [f"| {code} | {meaning} |" for code, meaning in EXIT_CODES]
    return "\n".join(["## Exit codes\n", "| code | meaning |", "|---|---|", *rows]) + "\n"


if __name__ == "__main__":
    say(markdown().rstrip("\n").split("\n"))
