"""From a job and a dataset to a plan; the one place where estimates meet.

Opens nothing: it gets the dataset's record, the models' workloads and the site as values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from lakecv.cube import ArraySpec, CubeSpec
from lakecv.errors import Infeasible, Kind
from lakecv.job import Job, StageKind, Workload
from lakecv.plan import Plan, Reason, Stage
from lakecv.planning.blocks import choose_blocks
from lakecv.planning.cost import memory_of, pixel_seconds, stages_of, stored_nbytes
from lakecv.planning.placement import choose_replica, is_near
from lakecv.records import Dataset
from lakecv.site import Site

__all__ = ["Wish", "make_plan"]


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be planned: a job, its input, what each link needs, the arrays that are to be stored, and where (None = at the input)."""

    job: Job
    dataset: Dataset
    workloads: tuple[Workload, ...]
    outputs: tuple[ArraySpec, ...]
    home: str | None = None


def make_plan(wish: Wish, site: Site) -> Plan:
    """Plan a job at a site.

    Raises
    ------
    Infeasible
        If one chunk does not fit into a worker's memory (kind ``block-exceeds-memory``) or no replica can be read.
    """
    cube = wish.dataset.cube
    if wish.job.state is not None:
        wish = replace(wish, workloads=tuple(map(_applied, wish.workloads)))
    nbytes = stored_nbytes(cube)
    replica, reasons = choose_replica(site, wish.dataset.replicas, nbytes, wish.dataset.did)
    near = is_near(site, replica)
    link = site.link(replica.rse, near=near)
    speed = pixel_seconds(cube, wish.workloads, link)
    blocks = choose_blocks(cube.cells, seconds_per_pixel=speed, slots=site.slots, most_pixels=_most_pixels(wish, site))
    workers = min(site.max_workers, math.ceil(len(blocks) / site.worker.threads))
    stages = stages_of(cube, wish.workloads, wish.outputs, len(blocks), site=site, link=link)
    memory = memory_of(cube, wish.workloads, wish.outputs, len(blocks), site=site, workers=workers)
    if memory.worker > site.worker.memory_nbytes:
        raise Infeasible(
            f"one chunk of {'x'.join(map(str, cube.main.chunks))} {cube.main.dtype} needs {memory.worker >> 20} MiB to work on; "
            f"a worker of {site.name} has {site.worker.memory_nbytes >> 20} MiB", Kind.BLOCK_EXCEEDS_MEMORY,
            "give workers more memory in the site's profile, or register a copy (without --in-place): its chunks are small",
        )
    stored = wish.dataset.nbytes / max(cube.nbytes, 1)  # what is fetched is compressed
    total = int(stored * _nbytes_read(stages, memory.keep * workers >= nbytes))
    return Plan(
        job=wish.job, input=cube, output=replace(cube, arrays=wish.outputs), blocks=blocks, stages=stages,
        site=site.name, executor=site.executor, workers=workers, threads=site.worker.threads, replica=replica,
        home=wish.home or replica.rse, nbytes_near=total if near else 0, nbytes_far=0 if near else total,
        memory_nbytes=memory.total(workers), keep_nbytes=memory.keep,
        seconds=sum(stage.seconds * _passes(stage) for stage in stages),
        reasons=(*reasons, *_shape(blocks, cube, site)),
    )


def _applied(workload: Workload) -> Workload:
    """Leave of a workload what a given state does not spare: nothing is learnt, so nothing is read twice or kept."""
    return replace(workload, stages=(StageKind.MAP,), sample_pixels=0, passes=0, statistics_nbytes=0)


def _most_pixels(wish: Wish, site: Site) -> int:
    """Pixels whose outputs fill an eighth of a worker's memory."""
    per_pixel = sum(spec.nbytes for spec in wish.outputs) / (wish.dataset.cube.grid.ny * wish.dataset.cube.grid.nx)
    return int(site.worker.memory_nbytes / 8 / max(per_pixel, 1.0))


def _passes(stage: Stage) -> float:
    """Guess the passes that are likely: Lloyd's algorithm on a good start seldom needs a third of what it is allowed."""
    return stage.passes if stage.passes <= 1 else max(2.0, stage.passes / 4)


def _nbytes_read(stages: Sequence[Stage], kept: bool) -> int:  # noqa: FBT001  (a fact, not a mode)
    return int(sum(stage.nbytes_read * (1 if kept else _passes(stage)) for stage in stages[:-1]))


def _shape(blocks: Sequence[object], cube: CubeSpec, site: Site) -> tuple[Reason, ...]:
    text = f"{len(blocks)} blocks of whole {cube.cells.chunk[0]} x {cube.cells.chunk[1]} chunks for {site.slots} slots"
    return (Reason(site.name, chosen=True, text=text),)
