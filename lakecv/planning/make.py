"""From a job and a dataset to a plan over sites; the one place where estimates meet.

Opens nothing: it gets the dataset's record, the models' workloads and the sites as values.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from lakecv.cube import ArraySpec, Block, CubeSpec, Window
from lakecv.errors import Infeasible, Kind, LakeCVError
from lakecv.job import Job, StageKind, Workload
from lakecv.plan import Plan, Read, Reason, Share, Stage
from lakecv.planning.assign import Assignment, Offer, assign
from lakecv.planning.blocks import choose_blocks
from lakecv.planning.cost import Memory, memory_of, pixel_seconds, stages_of, stored_nbytes
from lakecv.planning.offers import Need, budgets, grouped, offer, paces
from lakecv.planning.placement import choose_replica, is_near
from lakecv.planning.rates import Rates, with_rates
from lakecv.planning.reading import staging_pays
from lakecv.records import Dataset
from lakecv.site import Link, Site

__all__ = ["Wish", "make_plan"]


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be planned.

    A job, its input, what each link needs, the arrays that are to be stored, and where (None = where most of the input lies);
    ``holders`` says which replicas (their indices) hold all that a window reads, None where each holds everything.
    """

    job: Job
    dataset: Dataset
    workloads: tuple[Workload, ...]
    outputs: tuple[ArraySpec, ...]
    home: str | None = None
    holders: Callable[[Window], tuple[int, ...]] | None = None

    @property
    def cube(self) -> CubeSpec:
        """What is read: the part of the input that is selected, with all its channels, as they are stored together."""
        selection = self.job.selection
        return self.dataset.cube if selection is None else replace(selection, channels=None).of(self.dataset.cube)


def make_plan(
    wish: Wish, sites: Sequence[Site], *, rates: Rates | None = None, asked: str = "", ignore_locality: bool = False,
    given: tuple[Block, ...] | None = None,
) -> Plan:
    """Plan a job over the sites that may do it.

    Parameters
    ----------
    wish : Wish
        What is to be done.
    sites : sequence of Site
        Where it may run: one, or all that there are; those that cannot do it are left out with their reason.
    rates : Rates, optional
        What earlier runs have shown of these sites; it replaces what their profiles say.
    asked : str
        What the user named, for the record; else the one site's name.
    ignore_locality : bool
        Do not prefer near data.
    given : tuple of Block, optional
        Blocks of a run that has begun: another plan for it shares the same ones out.

    Raises
    ------
    Infeasible
        If one chunk does not fit into a worker's memory at any site (kind ``block-exceeds-memory``) or no replica can be read.
    Unavailable
        If the replicas cannot be read just now.
    """
    if wish.job.state is not None:
        wish = replace(wish, workloads=tuple(map(_applied, wish.workloads)))
    able, refused = _able(wish, sites)
    selected = wish.job.selected(wish.dataset.cube)
    cube, dataset = wish.cube, wish.dataset
    blocks = given or _blocks(wish, able)
    everywhere = tuple(range(len(dataset.replicas)))
    holders = tuple(wish.holders(block.window) if wish.holders else everywhere for block in blocks)
    memory = {site.name: _memory(wish, len(blocks), site) for site in able}
    kept = sum(memory[site.name].keep * site.max_workers for site in able) >= stored_nbytes(cube)
    likely = _stages(wish, len(blocks), sum(site.slots for site in able), able[0])
    turns = sum(map(_passes, likely[:-1]))
    stored = dataset.nbytes / max(dataset.cube.nbytes, 1)  # what is fetched is compressed
    written = sum(spec.nbytes for spec in wish.outputs)
    need = Need.of(cube, wish.workloads, packed=stored, written_nbytes=written, turns=turns, reads=1.0 if kept else turns)
    groups, members = grouped(blocks, holders, need)
    offers = _offers(wish, able, rates or Rates())
    made = assign(
        groups, offers, [*budgets(able, dataset)], replicas=[each.rse for each in dataset.replicas], ignore_locality=ignore_locality,
    )
    shares = tuple(_shares(able, made, members, dataset, nbytes=stored * _nbytes_read(likely, kept) / len(blocks)))
    stages = _stages(wish, len(blocks), sum(each.slots for each in shares), _site(able, shares[0].site))
    home = wish.home or _most_read(shares)
    return Plan(
        job=wish.job, input=selected, output=replace(selected, arrays=wish.outputs, offset=None), blocks=blocks, stages=stages, site=asked or shares[0].site,
        shares=shares, paces=tuple(paces(offers, dataset, max(groups, key=lambda each: each.count), turns)),
        packs=next((share.site for share in shares if home in _site(able, share.site).near), shares[0].site), home=home,
        memory_nbytes=memory[shares[0].site].driver + sum(memory[each.site].one * each.workers for each in shares),
        keep_nbytes=min(memory[each.site].keep for each in shares),
        seconds=sum(stage.seconds * _passes(stage) for stage in stages) if len(shares) == 1 else made.seconds,
        reasons=(*_reasons(able, made, wish), *refused, *_shape(blocks, cube, shares), *_staging(able, shares, wish, need)),
        holders=holders if any(held != everywhere for held in holders) else (),
    )


def _able(wish: Wish, sites: Sequence[Site]) -> tuple[list[Site], list[Reason]]:
    """Sites that can do it, and why the others cannot; raises where none can."""
    able: list[Site] = []
    refused: list[tuple[Reason, LakeCVError]] = []
    for site in sites:
        try:
            choose_replica(site, wish.dataset.replicas, stored_nbytes(wish.cube), wish.dataset.did)
            _check_memory(wish, site)
        except LakeCVError as err:
            refused.append((Reason(site.name, chosen=False, text=str(err)), err))
        else:
            able.append(site)
    if not able:
        if not refused:
            raise Infeasible("there is no site that could do it", Kind.NO_SITE, "lakecv sites; lakecv site add FILE")
        raise refused[-1][1]
    return able, [reason for reason, _ in refused]


def _check_memory(wish: Wish, site: Site) -> None:
    cube, blocks = wish.cube, _blocks(wish, [site])
    needed = _memory(wish, len(blocks), site).worker
    if needed > site.worker.memory_nbytes:
        raise Infeasible(
            f"one chunk of {'x'.join(map(str, cube.main.chunks))} {cube.main.dtype} needs {needed >> 20} MiB to work on; "
            f"a worker of {site.name} has {site.worker.memory_nbytes >> 20} MiB", Kind.BLOCK_EXCEEDS_MEMORY,
            "give workers more memory in the site's profile, or register a copy (without --in-place): its chunks are small",
        )


def _blocks(wish: Wish, sites: Sequence[Site]) -> tuple[Block, ...]:
    speed = min(pixel_seconds(wish.cube, wish.workloads, _link(site, wish)) for site in sites)
    return choose_blocks(
        wish.cube.cells, seconds_per_pixel=speed, slots=sum(site.slots for site in sites),
        most_pixels=min(_most_pixels(wish, site) for site in sites),
    )


def _stages(wish: Wish, blocks: int, slots: int, site: Site) -> tuple[Stage, ...]:
    """List the stages with what they cost on so many slots, read as one site reads."""
    return stages_of(wish.cube, wish.workloads, wish.outputs, blocks, slots=slots, link=_link(site, wish))


def _offers(wish: Wish, able: Sequence[Site], rates: Rates) -> list[Offer]:
    """Say what sites offer, by what earlier runs have shown of them."""
    return [replace(offer(with_rates(site, rates), wish.dataset, wish.home), success=rates.of(site.name).success) for site in able]


def _memory(wish: Wish, blocks: int, site: Site) -> Memory:
    workers = min(site.max_workers, math.ceil(blocks / site.worker.threads))
    return memory_of(wish.cube, wish.workloads, wish.outputs, blocks, site=site, workers=workers)


def _link(site: Site, wish: Wish) -> Link:
    """Link to the replica that a site reads fastest."""
    dataset = wish.dataset
    replica, _ = choose_replica(site, dataset.replicas, stored_nbytes(dataset.cube), dataset.did)
    return site.link(replica.rse, near=is_near(site, replica))


def _shares(able: Sequence[Site], made: Assignment, members: Sequence[list[int]], dataset: Dataset, *, nbytes: float) -> Iterator[Share]:
    """Name the blocks of each site, in the order of the picture; ``nbytes`` are read for one of them."""
    taken = [0] * len(members)
    blocks: dict[tuple[str, int], list[int]] = {}
    for each in made.shares:
        own = members[each.group][taken[each.group] : taken[each.group] + each.count]
        taken[each.group] += each.count
        blocks.setdefault((each.site, each.replica), []).extend(own)
    finish = dict(made.finish_seconds)
    for site in able:
        reads = [
            Read(replica.rse, is_near(site, replica), tuple(sorted(blocks[site.name, number])))
            for number, replica in enumerate(dataset.replicas) if blocks.get((site.name, number))
        ]
        if reads:
            near, far = (sum(len(read.blocks) for read in reads if read.near is close) for close in (True, False))
            workers = min(site.max_workers, math.ceil((near + far) / site.worker.threads))
            yield Share(
                site.name, site.executor, workers, site.worker.threads, tuple(reads), int(near * nbytes), int(far * nbytes),
                finish.get(site.name, 0.0), site.work or "",
            )


def _site(sites: Sequence[Site], name: str) -> Site:
    return next(site for site in sites if site.name == name)


def _most_read(shares: Sequence[Share]) -> str:
    """Find the storage element that most blocks are read from."""
    count: Counter[str] = Counter()
    for share in shares:
        for read in share.reads:
            count[read.rse] += len(read.blocks)
    return min(count, key=lambda rse: (-count[rse], rse))


def _reasons(able: Sequence[Site], made: Assignment, wish: Wish) -> tuple[Reason, ...]:
    """Say why these replicas, where one site was asked for, and why these sites, where there were more."""
    if len(able) > 1:
        return made.reasons
    _, reasons = choose_replica(able[0], wish.dataset.replicas, stored_nbytes(wish.cube), wish.dataset.did)
    return reasons


def _staging(able: Sequence[Site], shares: Sequence[Share], wish: Wish, need: Need) -> Iterator[Reason]:
    """Say where a copy near the site, made before the run, would cost less than reading from afar pass after pass."""
    npixels = wish.cube.grid.ny * wish.cube.grid.nx
    for share in shares:
        site = _site(able, share.site)
        blocks = sum(len(read.blocks) for one in shares for read in one.reads)
        for read in share.reads:
            far = site.link(read.rse, near=False)
            nbytes = need.nbytes_per_pixel * npixels * len(read.blocks) / blocks
            once = nbytes / far.bytes_per_second
            if site.near and not read.near and staging_pays(need.reads, once, once, nbytes / site.link(site.near[0], near=True).bytes_per_second):
                text = f"it reads {nbytes / 1e6:.0f} MB from {read.rse} {need.reads:.0f} times; a copy near it would pay: lakecv replicate {wish.dataset.did} --to {site.near[0]}"
                yield Reason(share.site, chosen=True, text=text)


def _applied(workload: Workload) -> Workload:
    """Leave of a workload what a given state does not spare: nothing is learnt, so nothing is read twice or kept."""
    return replace(workload, stages=(StageKind.MAP,), sample_pixels=0, passes=0, statistics_nbytes=0)


def _most_pixels(wish: Wish, site: Site) -> int:
    """Pixels whose outputs fill an eighth of a worker's memory."""
    per_pixel = sum(spec.nbytes for spec in wish.outputs) / (wish.cube.grid.ny * wish.cube.grid.nx)
    return int(site.worker.memory_nbytes / 8 / max(per_pixel, 1.0))


def _passes(stage: Stage) -> float:
    """Guess the passes that are likely: Lloyd's algorithm on a good start seldom needs a third of what it is allowed."""
    return stage.passes if stage.passes <= 1 else max(2.0, stage.passes / 4)


def _nbytes_read(stages: Sequence[Stage], kept: bool) -> int:  # noqa: FBT001  (a fact, not a mode)
    return int(sum(stage.nbytes_read * (1 if kept else _passes(stage)) for stage in stages[:-1]))


def _shape(blocks: Sequence[object], cube: CubeSpec, shares: Sequence[Share]) -> tuple[Reason, ...]:
    slots = sum(share.slots for share in shares)
    text = f"{len(blocks)} blocks of whole {cube.cells.chunk[0]} x {cube.cells.chunk[1]} chunks for {slots} slots"
    return (Reason("+".join(share.site for share in shares), chosen=True, text=text),)
