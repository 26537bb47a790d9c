"""What this machine really offers: cores and memory after affinity masks and control groups.

A batch job or a container sees the whole machine in ``os.cpu_count``; workers sized by it are killed.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["cores", "memory_nbytes"]

_CGROUPS, _OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def cores() -> int:
    """Count the cores that this process may use, at least 1."""
    known = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for words in _limits("cpu.max"):
        if len(words) == 2 and words[0] != "max":  # noqa: PLR2004  (quota and period in microseconds)
            known = min(known, math.ceil(int(words[0]) / int(words[1])))
    return max(1, known)


def memory_nbytes() -> int:
    """Bytes of memory that this process may use."""
    known = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([known, *(int(words[0]) for words in _limits("memory.max") if words and words[0] != "max")])


def _limits(name: str, mount: Path = _CGROUPS, own: Path = _OWN) -> Iterator[list[str]]:
    """Words of a limit in this process's control group (version 2) and in those around it."""
    try:
        line = next(line for line in own.read_text().splitlines() if line.startswith("0::"))
    except (OSError, StopIteration):
        return
    group = mount / line.removeprefix("0::").strip("/")
    for folder in (group, *group.parents):
        if not folder.is_relative_to(mount):
            return
        try:
            yield (folder / name).read_text().split()
        except OSError:
            continue
