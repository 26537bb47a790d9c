"""What a plan costs: seconds, bytes and memory, from workloads and links; nothing is measured here.

The figures decide the size of blocks and what the user is told, never a result.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from lakecv.cube import ArraySpec, CubeSpec, Role
from lakecv.job import StageKind, Workload
from lakecv.plan import Stage
from lakecv.site import Link, Site

__all__ = ["Memory", "memory_of", "pixel_seconds", "stages_of", "stored_nbytes"]

DECODE_NBYTES_PER_SECOND = 1.2e9  # of raw samples, one core: zstd + bitshuffle + crc32c
SAMPLE_CELLS = 32  # at most so many cells are read for a sample
_DRIVER_NBYTES = 145 << 20  # measured: interpreter, scheduler, what the driver imports, and Python's resource tracker
_WORKER_NBYTES = 132 << 20  # measured 85 MiB: interpreter and what a worker imports; 32 MiB of proven objects; the rest is the allocator's slack
_STATISTICS_AT_WORK = 6  # measured with PCA: a sum, one cell's statistics, and temporaries as large, of which adding makes three
_STATISTICS_AT_UPDATE = 15  # measured 9 with PCA, and 6 inside LAPACK's eigensolver
_SAMPLE_NBYTES = 20  # measured with k-means, for each sample: as read, in float32, in float64, and one of them again
_KEEP_SHARE = 0.25  # of a worker's memory, for sheets that later passes read again


@dataclass(frozen=True, slots=True)
class Memory:
    """Peak bytes: the driver, one worker without its kept sheets, the kept sheets of one worker."""

    driver: int
    worker: int
    keep: int

    @property
    def one(self) -> int:
        """Peak of one worker with its kept sheets."""
        return self.worker + self.keep


def stored_nbytes(cube: CubeSpec) -> int:
    """Bytes, decoded, that one pass over a dataset reads: the main array and the mask."""
    return sum(spec.nbytes for spec in cube.arrays if spec is cube.main or spec.role is Role.MASK)


def pixel_seconds(cube: CubeSpec, workloads: tuple[Workload, ...], link: Link) -> float:
    """Seconds of one thread for one pixel of a pass: fetch, decode, and the arithmetic of every link."""
    nbytes = stored_nbytes(cube) / (cube.grid.ny * cube.grid.nx)
    reading = nbytes / DECODE_NBYTES_PER_SECOND + nbytes / link.bytes_per_second
    return reading + sum(workload.seconds_per_pixel for workload in workloads)


def stages_of(
    cube: CubeSpec, workloads: tuple[Workload, ...], outputs: tuple[ArraySpec, ...], blocks: int, *, slots: int, link: Link,
) -> tuple[Stage, ...]:
    """List the stages of a chain with their cost: sample and passes for each link that learns, then map, then pack."""
    npixels = cube.grid.ny * cube.grid.nx
    raw, slots = stored_nbytes(cube), max(1, min(slots, blocks))
    stages = []
    for number, workload in enumerate(workloads):
        seconds = npixels * pixel_seconds(cube, workloads[: number + 1], link) / slots
        if StageKind.SAMPLE in workload.stages:
            cells = min(SAMPLE_CELLS, len(cube.cells))
            share = min(1.0, cells / max(len(cube.cells), 1))
            stages.append(Stage(StageKind.SAMPLE, number, cells, 1, int(raw * share), seconds * share))
        if StageKind.REDUCE in workload.stages:
            stages.append(Stage(StageKind.REDUCE, number, blocks, workload.passes, raw, seconds))
    last = len(workloads) - 1
    seconds = npixels * pixel_seconds(cube, workloads, link) / slots
    stages.append(Stage(StageKind.MAP, last, blocks, 1, raw, seconds))
    nbytes = sum(spec.nbytes for spec in outputs)
    stages.append(Stage(StageKind.PACK, last, len(outputs), 1, nbytes, nbytes / 150e6 / slots))
    return tuple(stages)


def memory_of(
    cube: CubeSpec, workloads: tuple[Workload, ...], outputs: tuple[ArraySpec, ...], blocks: int, *, site: Site,
    workers: int,
) -> Memory:
    """Peak memory of a plan: what a worker holds at once is one chunk, one cell's scratch, statistics and a block's outputs."""
    chunk_pixels = math.prod(cube.cells.chunk)
    cell_pixels = math.prod(cube.cells.cell)
    per_pixel = stored_nbytes(cube) / (cube.grid.ny * cube.grid.nx)
    scratch = sum(workload.scratch_nbytes_per_pixel for workload in workloads) * cell_pixels
    learning = sum(_STATISTICS_AT_WORK * workload.statistics_nbytes + workload.state_nbytes for workload in workloads)
    block = sum(spec.nbytes for spec in outputs) / blocks
    shard = max((math.prod(spec.shards or spec.chunks) * spec.itemsize for spec in outputs), default=0)
    thread = int(2.5 * chunk_pixels * per_pixel + scratch + learning + max(3 * block, 2 * shard))
    passes = max((workload.passes for workload in workloads), default=0)
    budget = min(int(site.worker.memory_nbytes * _KEEP_SHARE), math.ceil(stored_nbytes(cube) / workers))
    return Memory(
        _DRIVER_NBYTES + max(_learning(cube, workloads), default=0),
        _WORKER_NBYTES + site.worker.threads * thread,
        budget if passes else 0,
    )


def _learning(cube: CubeSpec, workloads: tuple[Workload, ...]) -> Iterator[int]:
    """Bytes that the driver needs for each link at once: to start from its sample, or to update its state."""
    third = cube.main.shape[2:]
    for workload in workloads:
        npixels = min(workload.sample_pixels, cube.grid.ny * cube.grid.nx)
        sample = npixels * math.prod(third) * _SAMPLE_NBYTES
        yield max(sample, _STATISTICS_AT_UPDATE * workload.statistics_nbytes)
        third = next(iter(workload.outputs), cube.main).shape[2:]
