"""The command that job scripts type: become a worker of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from lakecv.errors import InvalidInput, Kind, PluginError

__all__ = ["worker"]


def worker(
    connection: Annotated[Path, typer.Option("--connection", metavar="FILE", help="What the run wrote for its jobs.")],
) -> None:
    """Be a worker of a run. Job scripts call it; it ends with the run."""
    from lakecv import registry
    from lakecv.ports import ServesJobs

    name = _executor(connection)
    site = registry.site(name)
    if not isinstance(site, ServesJobs):
        raise PluginError(f"the site plugin '{name}' has no jobs", Kind.CONTRACT_BROKEN, "lakecv plugins lists what is installed")
    site.serve(connection)


def _executor(connection: Path) -> str:
    """Name of the plugin that wrote a connection file."""
    try:
        return str(json.loads(connection.read_text(encoding="utf-8"))["executor"])
    except OSError as err:
        raise InvalidInput(f"{connection} cannot be read: {err.strerror or err}", Kind.CONFIG_INVALID, "a run writes it for its jobs") from err
    except (ValueError, KeyError, TypeError) as err:
        raise InvalidInput(f"{connection} is not a connection file", Kind.CONFIG_INVALID, "a run writes it for its jobs") from err
