"""Rows of docs/benchmarks.md: where each goes, and what stands beside every number.

A row is appended below the last one of its section's table; nothing that was measured before is touched.
"""

import os
import platform
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lakecv.config.machine import cores, memory_nbytes

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "benchmarks.md"


@dataclass(frozen=True)
class Row:
    """One measurement: the heading that it belongs under and what its columns hold after date, commit and machine."""

    section: str
    cells: tuple[str, ...]


def stamp():
    """What is the same for all rows of one call: date, commit (``+`` = with changes), machine with its load."""
    done = _git("rev-parse", "--short=10", "HEAD")
    changed = "+" if _git("status", "--porcelain", "--untracked-files=no") else ""
    load = os.getloadavg()[0]
    machine = f"{_processor()}, {cores()} cores, {memory_nbytes() / 2**30:.0f} GiB; load {load:.1f}"
    return datetime.now(UTC).date().isoformat(), f"{done or 'none'}{changed}", machine


def append(page, rows, before):
    """Text of the page with rows added, ``before`` being the first three cells of each."""
    lines = page.splitlines()
    for row in rows:
        place = _end_of_table(lines, row.section)
        cells = (*before, *row.cells)
        wanted = lines[_start_of_table(lines, row.section)].count("|") - 1
        if len(cells) != wanted:
            raise ValueError(f"a row of {len(cells)} cells does not fit the table of '{row.section}' with {wanted}")
        lines.insert(place, f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _start_of_table(lines, section):
    heading = lines.index(f"## {section}")
    return next(number for number in range(heading, len(lines)) if lines[number].startswith("|"))


def _end_of_table(lines, section):
    place = _start_of_table(lines, section)
    while place < len(lines) and lines[place].startswith("|"):
        place += 1
    return place


def _git(*words):
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _processor():
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0].replace("(R)", "") if names else platform.processor() or platform.machine()
