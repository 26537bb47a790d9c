"""Which site computes which blocks, from which replica: the earliest finish that the links allow.

A linear program over groups of equal blocks, solved by prices: every site and every WAN link is a machine with a price, every
group of blocks looks for its cheapest option, and prices move until nobody wants to move.  Pure; standard library only.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import heapreplace
from typing import NamedTuple

from lakecv.errors import Infeasible, Kind
from lakecv.plan import Reason
from lakecv.planning.prices import TINY, Column, Program
from lakecv.planning.reading import read_seconds
from lakecv.site import Link

__all__ = ["Assignment", "Budget", "Group", "Offer", "Share", "assign", "block_seconds"]

_TOLL = 0.01  # of the finish time, for all bytes read from afar: what locality may cost, and what a far read must win
_GAP = 1e-5  # of the finish time: how near to the best the prices must come
_FULL = 0.98  # of the makespan: a WAN link that is busy for longer is why nobody else reads over it


@dataclass(frozen=True, slots=True, order=True)
class Group:
    """A number of equal blocks.

    ``seconds`` of one thread of a common CPU over all passes; ``nbytes`` in ``nobjects`` are fetched ``reads`` times (once,
    where sheets are kept); ``nbytes_written`` go home; ``holders`` are the indices of the replicas that hold the blocks.
    """

    count: int
    seconds: float
    nbytes: int
    nobjects: int
    holders: tuple[int, ...]
    reads: float = 1.0
    nbytes_written: int = 0


@dataclass(frozen=True, slots=True)
class Offer:
    """What a site offers.

    ``near``, ``links`` (None = cannot be reached) and ``wans`` (name of the WAN link in between, "" = none that is shared) have
    one member per replica; ``write`` leads to the output's home (None = it costs nothing) over ``write_wan``.  ``success`` is
    the share of blocks that succeed there.
    """

    name: str
    slots: int
    near: tuple[bool, ...]
    links: tuple[Link | None, ...]
    wans: tuple[str, ...] = ()
    write: Link | None = None
    write_wan: str = ""
    speed: float = 1.0
    wait_seconds: float = 0.0
    success: float = 1.0


@dataclass(frozen=True, slots=True)
class Budget:
    """What a WAN link carries in total, whichever sites share it."""

    wan: str
    bytes_per_second: float


@dataclass(frozen=True, slots=True, order=True)
class Share:
    """So many blocks of a group (its index) at a site, read from a replica (its index)."""

    group: int
    site: str
    replica: int
    count: int


@dataclass(frozen=True, slots=True)
class Assignment:
    """Who does what, when each site that works ends, and the bytes that cross each WAN link with a name.

    ``seconds`` is the makespan: the latest of all sites, queue waits included, and of all WAN links with a budget.
    """

    shares: tuple[Share, ...]
    seconds: float
    finish_seconds: tuple[tuple[str, float], ...]
    wan_nbytes: tuple[tuple[str, int], ...]
    nbytes_near: int
    nbytes_far: int
    reasons: tuple[Reason, ...]


def block_seconds(group: Group, offer: Offer, replica: int) -> float:
    """Seconds of one slot for one block: the longer of reading (which runs ahead) and computing, then writing; inf = not there."""
    link = offer.links[replica]
    if link is None or offer.success <= 0 or offer.speed <= 0 or offer.slots < 1:
        return math.inf
    reading = group.reads * read_seconds(group.nbytes, group.nobjects, link)
    writing = read_seconds(group.nbytes_written, 1, offer.write) if offer.write else 0.0
    return (max(reading, group.seconds / offer.speed) + writing) / offer.success


def assign(
    groups: Sequence[Group], offers: Sequence[Offer], budgets: Sequence[Budget] = (), *, replicas: Sequence[str] = (),
    ignore_locality: bool = False,
) -> Assignment:
    """Share blocks out over sites and replicas so that all is done as early as possible.

    Parameters
    ----------
    groups : sequence of Group
        All blocks, equal ones together.
    offers : sequence of Offer
        Sites with different names that could do them.
    budgets : sequence of Budget
        Of WAN links; one without a budget carries anything.
    replicas : sequence of str, optional
        Names of the replicas, for what is said.
    ignore_locality : bool
        Do not prefer near data.  Else all reads from afar together must win more than 1 % of the finish time, and each its part.

    Returns
    -------
    Assignment
        The same for any order of offers and groups.

    Raises
    ------
    Infeasible
        If no site reaches any replica of some blocks (kind ``no-replica-reachable``).

    Notes
    -----
    The relaxed program has a basic solution with few split groups (at most one for each site and link); they are rounded so
    that a site gets at most one block more, and list scheduling on its slots adds less than one (Lenstra, Shmoys, Tardos 1990;
    Graham 1969): makespan <= optimum + one block, and the 1 % of locality.  Options that would outlast the whole are left out,
    as there.  The theorem knows no links between sites; for them the bench holds the promise on 1,000 random instances.
    """
    table = _Table(groups, offers, budgets, replicas)
    amounts = _relax(table, 0.0 if ignore_locality else _TOLL)
    counts = _round(table, amounts)
    return _report(table, counts)


class _Option(NamedTuple):
    """One way to do a block of a group: its seconds, when it could end at the earliest, and its load on up to three machines."""

    site: int
    replica: int
    seconds: float
    end: float
    wan: int
    wan_seconds: float
    write_wan: int
    write_seconds: float
    nbytes: float
    far_nbytes: float


class _Table:
    """The program in numbers.  Machines: sites by wait and name, then WAN links with a budget, then one that is free."""

    def __init__(self, groups: Sequence[Group], offers: Sequence[Offer], budgets: Sequence[Budget], replicas: Sequence[str]) -> None:
        self.replicas = replicas
        self.order = sorted((index for index, group in enumerate(groups) if group.count > 0), key=lambda index: groups[index])
        self.groups = [groups[index] for index in self.order]
        self.offers = sorted(offers, key=lambda offer: (offer.wait_seconds, offer.name))
        self.rates = {budget.wan: budget.bytes_per_second for budget in sorted(budgets, key=lambda budget: (budget.wan, -budget.bytes_per_second))}
        self.wans = {name: len(offers) + index for index, name in enumerate(self.rates)}
        self.free = len(offers) + len(self.wans)
        self.waits = [offer.wait_seconds for offer in self.offers] + [0.0] * len(self.wans)
        self.nbytes = sum(group.count * group.nbytes * group.reads for group in self.groups) or 1.0
        self.options = [self._options(group) for group in self.groups]

    def names(self, indices: Iterable[int]) -> str:
        """Names of replicas as they were given, else their numbers."""
        return ", ".join(self.replicas[index] if index < len(self.replicas) else f"replica {index}" for index in sorted(indices))

    def parts(self, option: _Option) -> tuple[tuple[int, float], ...]:
        """Machines that one block loads, and how long it keeps each busy."""
        share = option.seconds / self.offers[option.site].slots
        return (option.site, share), (option.wan, option.wan_seconds), (option.write_wan, option.write_seconds)

    def column(self, group: Group, option: _Option, unit: float) -> Column:
        """Give the loads of a whole group, in units of time, and its share of all bytes if it is far."""
        (site, load), (wan, more), (write, most) = self.parts(option)
        scale = group.count / unit
        return site, load * scale, wan, more * scale, write, most * scale, group.count * option.far_nbytes / self.nbytes

    def loads(self, counts: Sequence[Sequence[float]]) -> list[float]:
        """When each machine would be done if its load were a liquid; where there is none, when it could begin."""
        loads = [*self.waits, 0.0]
        for options, row in zip(self.options, counts, strict=True):
            for option, count in zip(options, row, strict=True):
                for machine, load in self.parts(option) if count else ():
                    loads[machine] += count * load
        return loads

    def _options(self, group: Group) -> list[_Option]:
        found = [self._option(group, site, replica) for site in range(len(self.offers)) for replica in sorted(set(group.holders), key=lambda number: (self.names([number]), number))]
        options = [option for option in found if math.isfinite(option.seconds)]
        if not options:
            raise _unreachable(self, group)
        return options

    def _option(self, group: Group, site: int, replica: int) -> _Option:
        offer = self.offers[site]
        seconds = block_seconds(group, offer, replica)
        nbytes = group.nbytes * group.reads
        wan = offer.wans[replica] if offer.wans else ""
        return _Option(
            site, replica, seconds, offer.wait_seconds + seconds,
            self.wans.get(wan, self.free), nbytes / self.rates.get(wan, math.inf),
            self.wans.get(offer.write_wan, self.free), group.nbytes_written / self.rates.get(offer.write_wan, math.inf),
            nbytes, 0.0 if offer.near[replica] else nbytes,
        )


def _relax(table: _Table, toll: float) -> list[list[float]]:
    """Share every group out in fractions; no option may take longer than the whole (Lenstra, Shmoys, Tardos 1990)."""
    if not table.groups:
        return []
    low, amounts = _solve(table, math.inf, toll)
    low = max(low, *(min(option.end for option in options) for options in table.options))
    if all(option.end <= low for row, options in zip(amounts, table.options, strict=True)
           for amount, option in zip(row, options, strict=True) if amount > TINY):
        return amounts
    high, amounts = _solve(table, low, toll)
    while high > 1.02 * low:
        middle = (low + high) / 2
        seconds, found = _solve(table, middle, toll)
        if seconds <= middle:
            high, amounts = middle, found
        else:
            low = middle
    return amounts


def _solve(table: _Table, limit: float, toll: float) -> tuple[float, list[list[float]]]:
    """Least finish time with the options that can end within a limit, and the blocks of each group for each of its options."""
    chosen = [[index for index, option in enumerate(options) if option.end <= limit] for options in table.options]
    unit = sum(group.count * min(o.seconds for o in options) for group, options in zip(table.groups, table.options, strict=True))
    unit = unit / sum(max(0, offer.slots) for offer in table.offers) or 1.0
    columns = [
        [table.column(group, options[index], unit) for index in indices]
        for group, options, indices in zip(table.groups, table.options, chosen, strict=True)
    ]
    nsites = len(table.offers)
    first = max(min(column[0] for column in group) for group in columns)
    opened = sum(wait <= table.waits[first] for wait in table.waits[:nsites])
    program = Program(columns, [wait / unit for wait in table.waits], nsites, opened)
    program.improve()
    while program.opened < nsites and table.waits[program.opened] < program.seconds * unit:
        program.open(program.opened)
        program.improve()
    seconds = program.seconds * unit
    if toll:
        program.reprice(toll * program.seconds)
        program.improve()
    amounts = [[0.0] * len(options) for options in table.options]
    for number, (group, indices) in enumerate(zip(table.groups, chosen, strict=True)):
        for index, share in zip(indices, program.shares(number), strict=True):
            amounts[number][index] = share * group.count
    return seconds, amounts


def _round(table: _Table, amounts: list[list[float]]) -> list[list[int]]:
    """Whole blocks: what is left of the few split groups goes, largest first, where it ends first."""
    counts = [[int(amount + 1e-6) for amount in row] for row in amounts]
    loads = table.loads(counts)
    aim = max((load for load, wait in zip(table.loads(amounts), [*table.waits, 0.0], strict=True) if load > wait), default=0.0)
    rest = [(group, group_.count - sum(row)) for group, (group_, row) in enumerate(zip(table.groups, counts, strict=True))]
    longest = sorted(rest, key=lambda item: (-max(option.seconds for option in table.options[item[0]]), item[0]))
    for group in (group for group, count in longest for _ in range(count)):
        ends = []
        for index, option in enumerate(table.options[group]):
            end = max(option.end, *(loads[machine] + load for machine, load in table.parts(option)))
            ends.append((max(aim, end), option.far_nbytes, end, index))
        best = min(ends)[3]
        counts[group][best] += 1
        for machine, load in table.parts(table.options[group][best]):
            loads[machine] += load
    return counts


def _finish(offer: Offer, jobs: Iterable[tuple[float, int]]) -> float:
    """When a site ends that gives each block, the longest first, to the slot that is free first (Graham 1969)."""
    longest = sorted(jobs, reverse=True)
    slots = [offer.wait_seconds] * min(offer.slots, sum(count for _, count in longest))
    for seconds, count in longest:
        for _ in range(count):
            heapreplace(slots, slots[0] + seconds)
    return max(slots)


class _Chosen(NamedTuple):
    """Blocks of a group (its place in the table) that take an option."""

    group: int
    option: _Option
    blocks: int


def _report(table: _Table, counts: list[list[int]]) -> Assignment:
    """Add up what was chosen."""
    chosen = [
        _Chosen(group, option, count) for group, (options, row) in enumerate(zip(table.options, counts, strict=True))
        for option, count in zip(options, row, strict=True) if count
    ]
    jobs: dict[int, list[tuple[float, int]]] = defaultdict(list)
    wans: dict[str, float] = defaultdict(float)
    for group, option, count in chosen:
        offer = table.offers[option.site]
        jobs[option.site].append((option.seconds, count))
        wans[offer.wans[option.replica] if offer.wans else ""] += count * option.nbytes
        wans[offer.write_wan] += count * table.groups[group].nbytes_written
    finish = {site: _finish(table.offers[site], parts) for site, parts in jobs.items()}
    carried = {wan: nbytes / table.rates[wan] for wan, nbytes in wans.items() if wan in table.rates}
    seconds = max([*finish.values(), *carried.values()], default=0.0)
    full = {wan for wan, busy in carried.items() if busy > _FULL * seconds}
    reasons = [_reason(table, site, [each for each in chosen if each.option.site == site], seconds, full) for site in range(len(table.offers))]
    return Assignment(
        tuple(sorted(Share(table.order[group], table.offers[option.site].name, option.replica, count) for group, option, count in chosen)),
        seconds,
        tuple(sorted((table.offers[site].name, end) for site, end in finish.items())),
        tuple(sorted((wan, round(nbytes)) for wan, nbytes in wans.items() if wan and nbytes)),
        round(sum(count * (option.nbytes - option.far_nbytes) for _, option, count in chosen)),
        round(sum(count * option.far_nbytes for _, option, count in chosen)),
        tuple(sorted(reasons, key=lambda reason: reason.subject)),
    )


def _reason(table: _Table, site: int, chosen: list[_Chosen], seconds: float, full: set[str]) -> Reason:
    """Say in numbers why a site was taken or not."""
    offer = table.offers[site]
    if not chosen:
        return Reason(offer.name, chosen=False, text=_refusal(table, site, seconds, full))
    count, far = (sum(each.blocks for each in some) for some in (chosen, [each for each in chosen if each.option.far_nbytes]))
    end = _finish(offer, [(each.option.seconds, each.blocks) for each in chosen])
    text = f"{count} blocks, {count - far} of them near; done after {end:.1f} s"
    if far:
        longest = max((each for each in chosen if each.option.far_nbytes), key=lambda each: (each.option.seconds, -each.group))
        text += f"; far: {_compared(table, longest.group, longest.option)}"
    return Reason(offer.name, chosen=True, text=text)


def _refusal(table: _Table, site: int, seconds: float, full: set[str]) -> str:
    offer = table.offers[site]
    known = [(option.end, group, option) for group, options in enumerate(table.options) for option in options if option.site == site]
    for wrong, text in (
        (offer.slots < 1, "it has no slots"),
        (offer.success <= 0, "nothing has succeeded there of late"),
        (not known, f"it reaches no replica of any block ({table.names(set().union(*(group.holders for group in table.groups)))})"),
        (offer.wait_seconds >= seconds, f"queue wait of {offer.wait_seconds:.0f} s is longer than all work elsewhere ({seconds:.1f} s)"),
    ):
        if wrong:
            return text
    end, group, option = min(known)
    if end > seconds:
        return f"its first block would end after {end:.1f} s, all work elsewhere after {seconds:.1f} s"
    wan = offer.wans[option.replica] if offer.wans else ""
    if full & {wan, offer.write_wan}:
        return f"the link {min(full & {wan, offer.write_wan})} is full until {seconds:.1f} s without it"
    return ("far: " if option.far_nbytes else "no earlier end with it: ") + _compared(table, group, option)


def _compared(table: _Table, group: int, option: _Option) -> str:
    """Time for a block here and, if there is another site for it, the best elsewhere."""
    text = f"{option.seconds:.1f} s for a block from {table.names([option.replica])}"
    others = [(other.seconds, table.offers[other.site].name) for other in table.options[group] if other.site != option.site]
    return text + (f", {min(others)[0]:.1f} s at {min(others)[1]}" if others else "")


def _unreachable(table: _Table, group: Group) -> Infeasible:
    sites = ", ".join(sorted(offer.name for offer in table.offers)) or "none"
    return Infeasible(
        f"{group.count} blocks lie at {table.names(group.holders) or 'no replica'} only, which no site can reach and work on (sites: {sites})",
        Kind.NO_REPLICA_REACHABLE, "add a site with a link to it, or copy the dataset: lakecv replicate DID --to RSE",
    )
