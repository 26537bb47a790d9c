"""One job over two sites with several placements: what is set up for it, how plans are changed, and what each run came to.

near      lakecv's own plan over both sites: every block is read where it lies, and none is moved.
unpinned  one Dask cluster with a worker at each site and no placement: a task goes to whoever is free, as Dask has it.
far       every block at the site where it does not lie.
as planned  lakecv's own plan, nothing changed: sheets are kept as memory allows, and a site that has nothing to do may take blocks.

But for the last one sheets are not kept between passes: the cube stands for one that does not fit into the workers' memory.
"""

# ruff: noqa: INP001  (it lies beside the script that imports it)
from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from halves import register_halves
from two_sites import DRIVER, SITES

from lakecv.api import Lake
from lakecv.lake_io.place import LOCAL
from lakecv.plan import Plan, Progress, Read, RunState
from lakecv.records import DID

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from halves import Cube
    from two_sites import TwoSites

    from lakecv.job import Job, Scalar
    from lakecv.plan import Run
    from lakecv.records import Dataset

__all__ = ["PLACEMENTS", "PLANNED", "Measured", "measure"]

PLACEMENTS = ("near", "unpinned", "far")
PLANNED = "as planned"
_DID, _LAKE, _ANYWHERE = "demo:halves", "s3://infn-pg@lake/l", "anywhere"
_NEVER_SECONDS = 1e9  # what a site is told that a block takes which it must not take over
_RSES = {site: site.upper() for site in SITES}
_OVER_ALL = re.compile(r"\d+-reduce-\d+|map")  # stages that read the whole cube
_SITE = """extends = "{site}"
near = {near}
work = "s3://{site}@work/w"
max_workers = 1
wait_seconds = 3
[worker]
threads = 2
memory = "2GiB"
[batch]
interface = "{interface}"
folder = "{folder}/jobs"
prologue = ["{prologue}"]
"""
_LINK = """[[links]]
rse = "{rse}"
bytes_per_second = {rate}
latency_seconds = 0.001
"""
_BOTH = """title = "one Dask cluster with workers at both sites"
executor = "slurm"
tested = false
max_workers = 2
[worker]
threads = 2
memory = "2GiB"
[batch]
interface = "{interface}"
folder = "{folder}/jobs"
directives = ["--partition={partitions}", "--exclusive"]
prologue = ["{prologue}"]
walltime = "01:00:00"
"""


@dataclass(frozen=True, slots=True)
class Measured:
    """What one run came to.

    ``pass_seconds`` are those of its passes over the whole cube, ``npasses`` of them; ``seconds`` are all, from the submission of jobs
    to the published result; ``links`` are bytes; ``digest`` names the bytes of the result.
    """

    placement: str
    run: Run
    npasses: int
    pass_seconds: float
    seconds: float
    links: Mapping[str, int]
    digest: str

    @property
    def ways(self) -> tuple[int, ...]:
        """Bytes between the two sites, each way."""
        return tuple(nbytes for link, nbytes in self.links.items() if DRIVER not in link)

    @property
    def wan_nbytes(self) -> int:
        """Bytes between the two sites, both ways."""
        return sum(self.ways)

    @property
    def driver_nbytes(self) -> int:
        """Bytes to and from the driver."""
        return sum(nbytes for link, nbytes in self.links.items() if DRIVER in link)


def measure(
    two: TwoSites, mbit: float, cube: Cube, placements: Sequence[str], *, options: Mapping[str, Scalar], say: Callable[[str], None],
) -> list[Measured]:
    """Make a cube at the sites, make the links slow, and run k-means with each placement."""
    _write_profiles(two, mbit)
    tempfile.tempdir = str(two.folder)  # Dask leaves a folder there
    os.environ.update({**two.environment, "LAKECV_SITES": str(two.folder / "sites"), "HOME": str(two.folder), "TMPDIR": str(two.folder)})
    _make_buckets()
    clock, watch = time.perf_counter(), _Stages()
    lake = _Placed(_LAKE, scope="demo", progress=watch)
    places = {_RSES[site]: f"s3://{site}@data/cube" for site in SITES}
    dataset = register_halves(lake.url, lake._catalog, DID.parse(_DID), cube, places)  # noqa: SLF001  (as Lake.register does)
    say(f"a cube of {cube.nbytes / 1e6:,.0f} MB ({dataset.nbytes / 1e6:,.0f} MB stored), half of it at each site, in {time.perf_counter() - clock:.0f} s")
    two.shape(mbit)
    found: list[Measured] = []
    for placement in placements:
        found.append(_measured(two.count, lake, watch, placement, options))
        say(f"{placement}: {found[-1].npasses} passes in {found[-1].pass_seconds:.1f} s, all in {found[-1].seconds:.1f} s")
    return found


def _measured(
    count: Callable[[], Mapping[str, int]], lake: _Placed, watch: _Stages, placement: str, options: Mapping[str, Scalar],
) -> Measured:
    lake.change = _CHANGES[placement]
    watch.seconds.clear()
    jobs, before, clock = _jobs(), count(), time.perf_counter()
    run = lake.run("kmeans", _DID, site=_ANYWHERE if placement == "unpinned" else "auto", options=options, again=True)
    seconds, after = time.perf_counter() - clock, count()
    if run.state is not RunState.DONE:
        raise RuntimeError(f"{placement}: {[outcome.error for outcome in run.failed][:1]}")
    if (used := {site for job, site in _jobs().items() if job not in jobs}) != {*SITES}:
        raise RuntimeError(f"{placement}: jobs ran only at {', '.join(used)}, so this says nothing of placement")
    over_all = [spent for stage, spent in watch.seconds.items() if _OVER_ALL.fullmatch(stage)]
    links = {link: after[link] - before[link] for link in after}
    return Measured(placement, run, len(over_all), sum(over_all), seconds, links, lake.show(str(run.output)).digest)


def _jobs() -> dict[str, str]:
    """Jobs that Slurm knows of, also those that are over, with the site of each."""
    told = subprocess.run(["squeue", "--noheader", "--states=all", "--format=%i %P"], check=True, capture_output=True, text=True, timeout=60)  # noqa: S607
    return dict(line.split() for line in told.stdout.splitlines())


class _Stages:
    """Seconds of each stage, from its first word to that of the next one."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._stage, self._since = "", 0.0

    def __call__(self, progress: Progress) -> None:
        now = time.perf_counter()
        if progress.stage != self._stage:
            self.seconds[self._stage] = now - self._since
            self._stage, self._since = progress.stage, now


# --- plans ------------------------------------------------------------------------------------------------------------
class _Placed(Lake):
    """A lake whose plans are changed before they run.

    Its first plan over both sites is what all of them are made of: later ones know how long the first run took.
    """

    change: Callable[[Plan], Plan]
    first: Plan | None = None

    def _plan(self, job: Job, dataset: Dataset, site: str | None, to: str | None, *, ignore_locality: bool) -> Plan:
        plan = super()._plan(job, dataset, site, to, ignore_locality=ignore_locality)
        if site == _ANYWHERE:
            return self.change(plan)
        self.first = self.first or plan
        return self.change(self.first)


def _unkept(plan: Plan) -> Plan:
    """Read everything in every pass."""
    return replace(plan, keep_nbytes=0)


def _pinned(plan: Plan, *, near: bool) -> Plan:
    """Have each site do what is near, or what is not, and leave the other's to it."""
    if len(plan.shares) != len(SITES):
        raise RuntimeError(f"the plan uses {len(plan.shares)} of {len(SITES)} sites: the cube is too small, give it more --rows")
    shares = []
    for share, other in (plan.shares, plan.shares[::-1]):
        rse = _RSES[share.site if near else other.site]
        number = [*_RSES.values()].index(rse)
        blocks = tuple(block for block, held in enumerate(plan.holders) if held == (number,))
        shares.append(replace(share, reads=(Read(rse, near, blocks),)))
    paces = tuple(pace if pace.near is near else replace(pace, seconds=_NEVER_SECONDS) for pace in plan.paces)
    return replace(_unkept(plan), shares=tuple(shares), paces=paces)


_CHANGES: dict[str, Callable[[Plan], Plan]] = {
    "near": lambda plan: _pinned(plan, near=True), "unpinned": _unkept, "far": lambda plan: _pinned(plan, near=False), PLANNED: lambda plan: plan,
}


# --- what is there before ---------------------------------------------------------------------------------------------
def _write_profiles(two: TwoSites, mbit: float) -> None:
    """Describe both sites, with the links as they are, and what a plain Dask cluster over both would be."""
    sites = two.folder / "sites"
    sites.mkdir(mode=0o700)
    known = {"folder": two.folder, "prologue": two.prologue}
    for site in SITES:
        near = [_RSES[site], *([LOCAL] if site == SITES[0] else [])]  # the lake itself lies at the first
        links = "".join(_LINK.format(rse=rse, rate=mbit * 1e6 / 8) for rse in (*_RSES.values(), LOCAL) if rse not in near)
        own = _SITE.format(site=site, near=json.dumps(near), interface=two.interfaces[site], **known)
        (sites / f"{site}.toml").write_text(own + links)
    both = _BOTH.format(interface=two.interfaces[SITES[0]], partitions=",".join(SITES), **known)
    (sites / f"{_ANYWHERE}.toml").write_text(both)


def _make_buckets() -> None:
    """Make what the runs need at each site."""
    from botocore.session import Session

    for site in SITES:
        client = Session(profile=site).create_client("s3")
        for bucket in ("data", "work", *(("lake",) if site == SITES[0] else ())):
            client.create_bucket(Bucket=bucket)
