"""Which processes run on a node of ours, and how to end them all at once, as a node that loses power.

slurmstepd leaves its slurmd, so no line of parents leads to it. Each node has its own copy of that program, and what a job
starts has the names of its cluster and node in its environment, whoever its parent is by now.
"""

# ruff: noqa: INP001  (it lies beside the script that imports it)
from __future__ import annotations

import os
import signal
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from slurm_conf import cluster_name
from stack import Failed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from stack import Folder

__all__ = ["on_node", "stepd", "wipe"]

WIPE_SECONDS = 10


def stepd(folder: Folder, node: str) -> Path:
    """Where a node's own copy of slurmstepd lies."""
    return folder.servers / node / "slurmstepd"


def on_node(folder: Folder, node: str) -> set[int]:
    """Find the processes of all jobs on a node, whether or not its slurmd is alive."""
    parents = {pid: parent for path in Path("/proc").glob("[0-9]*") if (parent := _parent(pid := int(path.name))) is not None}
    step, marks = str(stepd(folder, node)), (f"SLURM_CLUSTER_NAME={cluster_name(folder.path)}", f"SLURMD_NODENAME={node}")
    found = {pid for pid in parents if _runs(pid, step) or _carries(pid, marks)}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def wipe(find: Callable[[], Iterable[int]]) -> None:
    """End all that is found, until nothing is. All stop before any ends: a slurmd or slurmstepd would tell what it saw die."""
    deadline = time.monotonic() + WIPE_SECONDS
    while pids := set(find()):
        with ExitStack() as opened:
            handles: dict[int, int] = {}
            for pid in pids:
                with suppress(ProcessLookupError):
                    handles[pid] = os.pidfd_open(pid)
                    opened.callback(os.close, handles[pid])
            ours = set(find()) & set(handles)  # a number may have changed hands before it was opened
            for number in (signal.SIGSTOP, signal.SIGKILL):
                for pid in ours:
                    with suppress(ProcessLookupError):
                        signal.pidfd_send_signal(handles[pid], number)
        if time.monotonic() > deadline:
            raise Failed(f"processes {sorted(pids)} did not end, even by SIGKILL: see what they wait for, then try again")
        time.sleep(0.01)


def _parent(pid: int) -> int | None:
    """Parent of a process; None where it has ended (proc(5): the name may hold spaces and brackets)."""
    try:
        state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return None
    return None if state in "ZX" else int(parent)


def _runs(pid: int, program: str) -> bool:
    """Whether a process runs a program, also one that has been removed since."""
    with suppress(OSError):
        return str(Path(f"/proc/{pid}/exe").readlink()).removesuffix(" (deleted)") == program
    return False


def _carries(pid: int, variables: Iterable[str]) -> bool:
    """Whether a process was started with variables."""
    with suppress(OSError):
        return {os.fsencode(one) for one in variables} <= set(Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"))
    return False
