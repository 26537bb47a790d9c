"""What deploy/lake has for stacks of servers in one folder, taken from there so that it exists once."""

# ruff: noqa: INP001  (it lies beside the scripts that import it)
from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lake"))

from folder import Failed, Folder, Server, end, locked, own, write
from launch import Launch, PortTaken, free_ports, listening

__all__ = ["Failed", "Folder", "Launch", "PortTaken", "Server", "Stack", "end", "free_ports", "listening", "locked", "own", "write"]


class Stack(Folder):
    """A folder whose clients find it by a script for the shell, named after what runs there."""

    @property
    def env(self) -> Path:
        """To be sourced: `. FOLDER/slurm.env`."""
        return self.path / f"{Path(self.script).stem}.env"
