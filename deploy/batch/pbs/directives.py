"""What a submitter asks of PBS: options of qsub, and lines `#PBS ...` of the script; the command line wins.

Only what job scripts of Dask and lakecv need: -N -q -l -o -e -j -V -v -A; -r -m -M -p mean nothing here. Anything else is refused,
so no script relies on what these stand-ins would overlook.
"""

# ruff: noqa: INP001  (it lies beside the script that imports it)
from __future__ import annotations

import getopt
import os
import re
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Refused", "Request", "read"]

BAD_VALUE, UNKNOWN_RESOURCE = 15014 & 255, 15035 & 255
OPTIONS = "N:q:l:o:e:j:Vv:A:r:m:M:p:"
RESOURCES = {"select", "place", "ncpus", "ngpus", "mem", "walltime", "nodes", "ppn"}
CHUNK = {"ncpus", "ngpus", "mem", "mpiprocs", "ompthreads"}  # what one chunk of a select may ask for
VALUES = {"ncpus": r"\d+", "ngpus": r"\d+", "mem": r"\d+([kmgt]?[bw])?", "walltime": r"\d+(:\d\d?){0,2}"}


class Refused(Exception):
    """What PBS says, and the exit code it says it with."""

    def __init__(self, what: str, code: int) -> None:
        super().__init__(what)
        self.code = code


@dataclass
class Request:
    """What was asked for."""

    name: str
    queue: str = ""
    output: str = ""
    error: str = ""
    join: str = ""
    account: str = ""
    environment: bool = False
    variables: dict[str, str] = field(default_factory=dict)
    resources: dict[str, object] = field(default_factory=dict)


def read(words: list[str]) -> tuple[Request, str]:
    """Read a command line and the script that it names (else the standard input)."""
    given, files = _options(words)
    if len(files) > 1:
        raise Refused("usage: qsub [options] [script]", 2)
    try:
        script = Path(files[0]).read_text() if files else sys.stdin.read()
    except OSError as error:
        raise Refused(f"script file:: {error.strerror}", 1) from error
    request = Request(Path(files[0]).name if files else "STDIN")
    for option, value in [*_directives(script), *given]:
        _take(request, option, value)
    request.resources = {"ncpus": _cores(request.resources), "nodect": 1, "place": "pack"} | request.resources
    return request, script


def _directives(script: str) -> list[tuple[str, str]]:
    """Read the lines `#PBS` before the first command."""
    found: list[tuple[str, str]] = []
    for line in script.splitlines():
        if line.startswith("#PBS"):
            options, rest = _options(shlex.split(line[4:], comments=True))
            if rest:
                raise Refused(f"directive error: {line[4:].strip()}", 1)
            found += options
        elif line.strip() and not line.startswith("#"):
            break
    return found


def _options(words: list[str]) -> tuple[list[tuple[str, str]], list[str]]:
    try:
        return getopt.getopt(words, OPTIONS)
    except getopt.GetoptError as error:
        raise Refused(f"{error}\nusage: qsub [-N name] [-q queue] [-l resources] [-o path] [-e path] [-j oe] [-V] [-v list] [-A account] [script]", 2) from error


def _take(request: Request, option: str, value: str) -> None:
    names = {"-N": "name", "-q": "queue", "-o": "output", "-e": "error", "-A": "account", "-j": "join"}
    if option in names:
        setattr(request, names[option], value)
    elif option == "-V":
        request.environment = True
    elif option == "-v":
        pairs = [one.partition("=") for one in value.split(",")]
        request.variables |= {name: text if sign else os.environ.get(name, "") for name, sign, text in pairs}
    elif option == "-l":
        for one in value.split(","):
            name, _, text = one.partition("=")
            _check(name, text, RESOURCES)
            for part in text.split(":")[1:] if name == "select" else []:
                _check(*part.partition("=")[::2], CHUNK)
            request.resources[name] = text


def _check(name: str, value: str, known: set[str]) -> None:
    if name not in known:
        raise Refused(f"Unknown resource Resource_List.{name}", UNKNOWN_RESOURCE)
    if not re.fullmatch(VALUES.get(name, ".+"), value, re.IGNORECASE):
        raise Refused(f"Illegal attribute or resource value Resource_List.{name}", BAD_VALUE)


def _cores(resources: dict[str, object]) -> int:
    """Count what a job may use: of the select if there is one."""
    found = re.search(r"ncpus=(\d+)", str(resources.get("select", "")))
    return int(found[1]) if found else int(str(resources.get("ncpus", 1)))
