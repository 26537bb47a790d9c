#!/usr/bin/env python3
"""One job over two sites, three times: near the data, placed by nobody, and far from them; with the bytes that crossed each link.

    demo_sites.py                a cube of 512 MiB, half of it at each site: less than two minutes
    demo_sites.py --large        a cube of 4 GiB, ten passes as lakecv plans them: which part of it crosses wide-area links
    demo_sites.py --one-network  without namespaces, as where one is not root
    demo_sites.py --sweep        end what demonstrations left that were killed

Both sites are partitions of a real Slurm, each with an S3 server of its own; see two_sites.py.  What the three placements are
stands in placements.py.  They must end with the same bytes, else the exit code is 1.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import network
from halves import Cube
from placements import PLACEMENTS, PLANNED, Measured, measure
from two_sites import SITES, sweep, two_sites

from lakecv.errors import Kind, LakeCVError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

__all__ = ["LARGE", "SMALL", "demonstrate", "main"]

_PREFIX = "lakecv-sites-"
_COLUMNS = ("placement", "passes s", "MB/s", "all s", "pg->na MB", "na->pg MB", "driver MB", "far input MB", "digest")
_OPTIONS = {"k": 4, "tolerance": 0.0}
_INTERRUPTED = 130
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LARGE, SMALL = Cube(2048, 1024, 1024, faint=True), Cube(2048, 512, 128)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demonstration."""
    given = _parser().parse_args(arguments)
    _sweep_dead()
    if given.sweep:
        return 0
    cube = LARGE if given.large else replace(SMALL, ny=given.rows)
    found = demonstrate(cube, given.mbit, one_network=given.one_network)
    _say(_table(found, cube.nbytes))
    _say(_share(found[0], cube.nbytes) if given.large else _ratios(found))
    return 0 if len({each.digest for each in found}) == 1 else 1


def demonstrate(cube: Cube, mbit: float, *, one_network: bool = False) -> list[Measured]:
    """Start both sites, run k-means over the cube as often as there are placements to show, and end the sites."""
    reason = "as asked" if one_network else network.able()
    how = f"in one network ({reason}): a relay slows and counts what would cross a link" if reason else "each in a namespace of its own"
    _say(f"two sites, {mbit:g} Mbit/s between them, {how}")
    placements, passes = ((PLANNED,), 10) if cube == LARGE else (PLACEMENTS, 2)
    with _as_before(), _folder() as folder, two_sites(folder, namespaces=not reason) as two:
        try:
            return measure(two, mbit, cube, placements, options={**_OPTIONS, "passes": passes}, say=_say)
        finally:
            _be_deaf()


# --- what is told -----------------------------------------------------------------------------------------------------
def _table(found: Sequence[Measured], nbytes: int) -> str:
    """Lay the runs out in columns; MB/s are those of the decoded cube."""
    rows = [_COLUMNS, *(_row(each, nbytes) for each in found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True)) for row in rows)


def _row(each: Measured, nbytes: int) -> tuple[str, ...]:
    one, other = SITES
    far = "-" if each.placement == "unpinned" else f"{each.run.nbytes_far / 1e6:.1f}"  # there lakecv knows of no near
    links = [each.links[f"{one}>{other}"], each.links[f"{other}>{one}"], each.driver_nbytes]
    return (
        each.placement, f"{each.pass_seconds:.1f}", f"{each.npasses * nbytes / 1e6 / each.pass_seconds:.0f}", f"{each.seconds:.1f}",
        *(f"{nbytes / 1e6:.1f}" for nbytes in links), far, each.digest[:12],
    )


def _ratios(found: Sequence[Measured]) -> str:
    """Say how much faster the first is than the others."""
    first, *others = found
    told = [
        f"{each.pass_seconds / first.pass_seconds:.1f} x faster than {each.placement} ({each.seconds / first.seconds:.1f} x with what starts and ends a run)"
        for each in others
    ]
    same = "all three are the same bytes" if len({each.digest for each in found}) == 1 else "THE RESULTS DIFFER"
    return f"{first.placement} is {', '.join(told)}; {same}"


def _share(each: Measured, nbytes: int) -> str:
    """Say which part of the cube crossed wide-area links."""
    return (
        f"{each.npasses} passes over {nbytes / 1e9:.2f} GB: {each.wan_nbytes / nbytes:.2%} of that crossed the link between the sites, "
        f"{each.driver_nbytes / nbytes:.2%} those to the driver; sample, states, statistics, labels and report are in it"
    )


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


# --- the command ------------------------------------------------------------------------------------------------------
def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="demo_sites.py", description="One job over two sites: near the data, placed by nobody, far from them.")
    parser.add_argument("--mbit", type=float, default=200.0, help="rate of every link, each way")
    parser.add_argument("--rows", type=int, default=SMALL.ny, help="rows of the cube, 256 KiB each")
    parser.add_argument("--large", action="store_true", help="4 GiB and ten passes, near only")
    parser.add_argument("--one-network", action="store_true", help="no namespaces, as where one is not root")
    parser.add_argument("--sweep", action="store_true", help="only end what was left by demonstrations that were killed")
    return parser


@contextmanager
def _folder() -> Iterator[Path]:
    """Make a folder of our own, and remove it; its name says whose it is."""
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep_dead() -> None:
    """End what is left of demonstrations whose process is gone."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        owner = folder.name.removeprefix(_PREFIX).partition("-")[0]
        with suppress(FileNotFoundError):
            if folder.stat().st_uid == os.geteuid() and not Path("/proc", owner).exists():
                sweep(folder)


@contextmanager
def _as_before() -> Iterator[None]:
    """Leave signals, environment and the folder for temporary files as they were."""
    before, environment, temporary = [signal.getsignal(number) for number in _SIGNALS], dict(os.environ), tempfile.tempdir
    try:
        yield
    finally:
        for number, handler in zip(_SIGNALS, before, strict=True):
            signal.signal(number, handler)
        os.environ.clear()
        os.environ.update(environment)
        tempfile.tempdir = temporary


def _be_deaf() -> None:
    """Let nothing interrupt what ends the sites: what is left then would be found by its folder, and that goes last."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _interrupted(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    for each in _SIGNALS:
        signal.signal(each, _interrupted)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    except (LakeCVError, RuntimeError) as err:
        sys.stderr.write(f"demo_sites.py: {err}\n")
        sys.exit(_INTERRUPTED if isinstance(err, LakeCVError) and err.kind is Kind.INTERRUPTED else 1)
