"""What blocks need and what sites offer, in the terms that :func:`lakecv.planning.assign.assign` shares out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from lakecv.cube import Block, CubeSpec
from lakecv.job import Workload
from lakecv.plan import Pace
from lakecv.planning.assign import Budget, Group, Offer, block_seconds
from lakecv.planning.cost import DECODE_NBYTES_PER_SECOND, stored_nbytes
from lakecv.planning.placement import is_near
from lakecv.records import Dataset
from lakecv.site import Site

__all__ = ["Need", "budgets", "grouped", "offer", "paces"]


@dataclass(frozen=True, slots=True)
class Need:
    """What every pixel costs: seconds of a common CPU over all ``turns``, bytes as stored, and how often those are fetched."""

    seconds_per_pixel: float
    nbytes_per_pixel: float
    written_per_pixel: float
    chunk_pixels: int
    turns: float
    reads: float

    @classmethod
    def of(
        cls, cube: CubeSpec, workloads: Sequence[Workload], *, packed: float, written_nbytes: int, turns: float, reads: float,
    ) -> Need:
        """Add up what a chain of models needs that reads a cube; ``packed`` is what is fetched for a byte of it."""
        npixels = cube.grid.ny * cube.grid.nx
        raw = stored_nbytes(cube) / npixels
        seconds = turns * sum(workload.seconds_per_pixel for workload in workloads) + reads * raw / DECODE_NBYTES_PER_SECOND
        height, width = cube.cells.chunk
        return cls(seconds, raw * packed, written_nbytes / npixels, height * width, turns, reads)


def grouped(blocks: Sequence[Block], holders: Sequence[tuple[int, ...]], need: Need) -> tuple[list[Group], list[list[int]]]:
    """Put equal blocks together; returns the groups, and for each the blocks in it."""
    members: dict[tuple[int, tuple[int, ...]], list[int]] = defaultdict(list)
    for block, held in zip(blocks, holders, strict=True):
        members[block.window.height * block.window.width, held].append(block.index)
    groups = [
        Group(
            len(indices), npixels * need.seconds_per_pixel, int(npixels * need.nbytes_per_pixel), max(1, npixels // need.chunk_pixels), held,
            need.reads, int(npixels * need.written_per_pixel),
        )
        for (npixels, held), indices in members.items()
    ]
    return groups, list(members.values())


def offer(site: Site, dataset: Dataset, home: str | None) -> Offer:
    """Say how a site reaches each replica, and the output's home."""
    near = tuple(is_near(site, replica) for replica in dataset.replicas)
    links = tuple(
        site.link(replica.rse, near=close) if replica.is_readable else None
        for replica, close in zip(dataset.replicas, near, strict=True)
    )
    wans = tuple("" if close else _wan(replica.rse, site) for replica, close in zip(dataset.replicas, near, strict=True))
    write = site.link(home, near=False) if home and home not in site.near else None
    return Offer(site.name, site.slots, near, links, wans, write, "", site.speed, site.wait_seconds)


def budgets(sites: Sequence[Site], dataset: Dataset) -> Iterator[Budget]:
    """Say what each wide-area link carries in total: many slots that read over it share it."""
    for site in sites:
        for replica in dataset.replicas:
            if not is_near(site, replica):
                yield Budget(_wan(replica.rse, site), site.link(replica.rse, near=False).bytes_per_second)


def paces(offers: Sequence[Offer], dataset: Dataset, usual: Group, turns: float) -> Iterator[Pace]:
    """Say what a usual block costs once through, at every site from every replica that it reaches."""
    once = replace(usual, reads=1.0, seconds=usual.seconds / max(1.0, turns))
    for each in offers:
        for number, replica in enumerate(dataset.replicas):
            if each.links[number] is not None:
                yield Pace(each.name, replica.rse, each.near[number], block_seconds(once, each, number))


def _wan(rse: str, site: Site) -> str:
    return f"{rse} > {site.name}"
