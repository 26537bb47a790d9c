"""How near the assignment comes to the bound of a linear program that another solver solves, and how long it takes.

``python tests/bench/assignment.py [--toy]`` prints a table: 1,000 random instances, 100,000 blocks on 10 sites with 3 replicas,
and the rest of each instance without a site that died.
"""

import argparse
import math
import random
import resource
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from heapq import heapreplace
from pathlib import Path

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csr_array

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from lakecv.errors import Infeasible
from lakecv.planning.assign import Budget, Group, Offer, assign
from lakecv.site import Link
from tests.bench.table import Row

SECTION = "Assignment"


@dataclass(frozen=True)
class Way:
    """A way to do a block of a group, computed apart from the code that is measured: seconds of a slot, seconds of WAN links."""

    group: int
    site: int
    replica: int
    seconds: float
    wans: tuple[tuple[str, float], ...]


def instance(seed, *, most_groups=60, blocks=200):
    """2-6 sites, 1-4 replicas, 5-60 groups, links of 10 MB/s to 1 GB/s, speeds 0.25-4, 1-64 slots, waits 0-100 s."""
    rng = random.Random(seed)
    nsites, nreplicas, ngroups = rng.randint(2, 6), rng.randint(1, 4), rng.randint(5, most_groups)
    homes = [rng.randrange(nsites) for _ in range(nreplicas)]
    offers = [_offer(rng, site, nsites, homes) for site in range(nsites)]
    cuts = sorted(rng.sample(range(1, blocks), ngroups - 1))
    counts = [after - before for before, after in zip([0, *cuts], [*cuts, blocks], strict=True)]
    groups = [_group(rng, count, nreplicas) for count in counts]
    return groups, offers, [Budget(f"wan-{site}", 10 ** rng.uniform(7, 9)) for site in range(nsites)]


def _group(rng, count, nreplicas):
    holders = tuple(sorted(rng.sample(range(nreplicas), rng.randint(1, nreplicas))))
    return Group(count, 10 ** rng.uniform(-0.5, 1.5), int(10 ** rng.uniform(6, 9)), rng.randint(1, 64), holders,
                 float(rng.choice((1, 1, 5))), int(10 ** rng.uniform(4, 7)))


def _offer(rng, site, nsites, homes):
    near = tuple(home == site for home in homes)
    links = tuple(
        Link(f"rse-{home}", 1e9, 0.001) if home == site
        else None if nsites > 2 and home != 0 and rng.random() < 0.1
        else Link(f"rse-{home}", 10 ** rng.uniform(7, 9), rng.uniform(0.001, 0.1), rng.choice((4, 10, 32)))
        for home in homes
    )
    wans = tuple("" if home == site else f"wan-{home}" for home in homes)
    wait = rng.choice((0.0, rng.uniform(0, 100)))
    return Offer(
        f"site-{site}", rng.randint(1, 64), near, links, wans, None if site == homes[0] else Link("home", 1e8, 0.02),
        "" if site == homes[0] else f"wan-{homes[0]}", 2 ** rng.uniform(-2, 2), wait, rng.choice((1.0, rng.uniform(0.5, 1.0))),
    )


def ways(groups, offers, budgets):
    """All ways, from the formulas of the literature and not from the planner."""
    rates = {budget.wan: budget.bytes_per_second for budget in budgets}
    return [
        Way(number, site, replica, _seconds(group, offer, replica), _wans(group, offer, replica, rates))
        for number, group in enumerate(groups) for site, offer in enumerate(offers) for replica in group.holders
        if offer.links[replica] is not None and offer.success > 0 and offer.slots > 0
    ]


def _seconds(group, offer, replica):
    reading = group.reads * _transfer(group.nbytes, group.nobjects, offer.links[replica])
    writing = _transfer(group.nbytes_written, 1, offer.write)
    return (max(reading, group.seconds / offer.speed) + writing) / offer.success


def _transfer(nbytes, nobjects, link):
    if link is None or nbytes == 0:
        return 0.0
    start = 1 + np.log2(max(np.e / 2, nbytes / nobjects / 14600))
    return float(nbytes / link.bytes_per_second + max(1, nobjects / link.streams) * link.latency_seconds * start)


def _wans(group, offer, replica, rates):
    carried = [(offer.wans[replica], group.nbytes * group.reads), (offer.write_wan, group.nbytes_written)]
    return tuple((wan, nbytes / rates[wan]) for wan, nbytes in carried if wan in rates)


def lp_bound(groups, offers, budgets):
    """Least finish time if blocks could be split at will: HiGHS, for each number of sites that one might wait for."""
    known = ways(groups, offers, budgets)
    order = sorted(range(len(offers)), key=lambda site: offers[site].wait_seconds)
    return min(_program(groups, offers, budgets, [way for way in known if way.site in order[:used]], order[:used])
               for used in range(1, len(order) + 1))


def _program(groups, offers, budgets, known, used):
    if {way.group for way in known} != set(range(len(groups))):
        return math.inf
    wans = {budget.wan: len(offers) + row for row, budget in enumerate(budgets)}
    rows, columns, data = [], [], []
    for column, way in enumerate(known):
        for row, load in [(way.site, way.seconds / offers[way.site].slots), *((wans[wan], load) for wan, load in way.wans)]:
            rows.append(row), columns.append(column), data.append(load)
    last, nrows = len(known), len(offers) + len(budgets)
    rows.extend([*used, *wans.values()])
    columns.extend([last] * (len(used) + len(wans)))
    data.extend([-1.0] * (len(used) + len(wans)))
    limits = [-offers[row].wait_seconds if row in used else 0.0 for row in range(nrows)]
    whole = csr_array(([1.0] * last, ([way.group for way in known], range(last))), shape=(len(groups), last + 1))
    done = linprog([0.0] * last + [1.0], csr_array((data, (rows, columns)), shape=(nrows, last + 1)), limits,
                   whole, [group.count for group in groups], method="highs")
    if done.status != 0:
        raise RuntimeError(done.message)
    return done.fun


def played(groups, offers, budgets, done):
    """Play an assignment block by block; give its makespan and the finish of every site, or say what is wrong with it."""
    table = {(way.group, offers[way.site].name, way.replica): way for way in ways(groups, offers, budgets)}
    placed, queues, carried = defaultdict(int), defaultdict(list), defaultdict(float)
    for share in done.shares:
        way = table[share.group, share.site, share.replica]  # a KeyError is a block where nobody can read it
        placed[share.group] += share.count
        queues[way.site].extend([way.seconds] * share.count)
        for wan, seconds in way.wans:
            carried[wan] += seconds * share.count
    if [placed[number] for number in range(len(groups))] != [group.count for group in groups]:
        raise RuntimeError("blocks were lost or doubled")
    ends = {site: _played(offers[site], sorted(queue, reverse=True)) for site, queue in queues.items()}
    return max([*ends.values(), *carried.values()])


def _played(offer, queue):
    slots = [offer.wait_seconds] * offer.slots
    for seconds in queue:
        heapreplace(slots, slots[0] + seconds)
    return max(slots)


def bound(groups, offers, budgets, plain):
    """Least T for which ways that end within T can do all within T (Lenstra, Shmoys, Tardos 1990); no blocks can be done sooner.

    The plain program spreads one long block over many slots; where blocks are long, nothing whole comes near its finish.
    """
    known, order = ways(groups, offers, budgets), sorted(range(len(offers)), key=lambda site: offers[site].wait_seconds)

    def least(limit):
        short = [way for way in known if offers[way.site].wait_seconds + way.seconds <= limit]
        return min(_program(groups, offers, budgets, [way for way in short if way.site in order[:used]], order[:used])
                   for used in range(1, len(order) + 1))

    low = high = plain
    while least(high) > high * (1 + 1e-9):
        low, high = high, high * 1.5
    while high > low * 1.01:
        middle = (low + high) / 2
        low, high = (low, middle) if least(middle) <= middle else (middle, high)
    return low


def longest_useful(groups, offers, budgets, limit):
    """Longest time of a block's way that ends within the limit, or of its first way to end where none does."""
    found = defaultdict(list)
    for way in ways(groups, offers, budgets):
        found[way.group].append((offers[way.site].wait_seconds + way.seconds, way.seconds))
    return max(max([seconds for end, seconds in known if end <= limit], default=min(known)[0]) for known in found.values())


@dataclass(frozen=True)
class Nearness:
    """Makespan of one instance beside the plain bound, the bound with whole blocks, and what is allowed above it."""

    seconds: float
    plain: float
    whole: float
    allowed: float

    @property
    def ok(self):
        return self.seconds <= self.whole + self.allowed

    @property
    def at_once(self):
        """True where it is within what the plain bound allows."""
        return self.whole == self.plain and self.ok


def nearness(groups, offers, budgets, *, allowed=0.05):
    """Assign, play and compare; the dearer bound only where the plain one does not do."""
    seconds = played(groups, offers, budgets, assign(groups, offers, budgets))
    whole = plain = lp_bound(groups, offers, budgets)
    more = max(allowed * plain, longest_useful(groups, offers, budgets, plain))
    if seconds > plain + more:
        whole = bound(groups, offers, budgets, plain)
        more = max(allowed * whole, longest_useful(groups, offers, budgets, whole))
    return Nearness(seconds, plain, whole, more)


def after_a_death(seed, *, blocks=5000):
    """Makespan over bound of half of an instance's blocks without the site that did most, all others being up; None = it alone could."""
    groups, offers, budgets = instance(seed, blocks=blocks)
    done = defaultdict(int)
    for share in assign(groups, offers, budgets).shares:
        done[share.site] += share.count
    dead = max(done, key=done.get)
    rest = [replace(group, count=(group.count + 1) // 2) for group in groups]
    others = [replace(offer, wait_seconds=0.0) for offer in offers if offer.name != dead]
    try:
        seconds = played(rest, others, budgets, assign(rest, others, budgets))
    except Infeasible:
        return None
    return seconds / bound(rest, others, budgets, lp_bound(rest, others, budgets))


def many(blocks, *, ngroups, nsites=10, nreplicas=3):
    """A plan of many blocks: random holders and a few sizes, ten sites, three replicas."""
    rng = random.Random(0)
    homes = list(range(nreplicas))
    offers = [_offer(rng, site, nsites, homes) for site in range(nsites)]
    counts = [blocks // ngroups + (number < blocks % ngroups) for number in range(ngroups)]
    groups = [_group(rng, count, nreplicas) for count in counts]
    return groups, offers, [Budget(f"wan-{site}", 10 ** rng.uniform(7, 9)) for site in range(nsites)]


def measure(*, toy=False):
    """Rows of what was measured, what came out and what is wanted."""
    yield from _large(*((2000, 60) if toy else (100_000, 480)))  # first, while the process is small
    yield from _instances(3 if toy else 1000)
    yield from _deaths(2 if toy else 100)


def _instances(number):
    found, seconds = [], 0.0
    for seed in range(number):
        groups, offers, budgets = instance(seed)
        began = time.perf_counter()
        assign(groups, offers, budgets)
        seconds += time.perf_counter() - began
        found.append(nearness(groups, offers, budgets))
    if not all(each.ok for each in found):
        raise RuntimeError(f"instances {[seed for seed, each in enumerate(found) if not each.ok]} are too far from the bound")
    ratios = sorted(each.seconds / each.whole for each in found)
    plain = sum(each.at_once for each in found)
    yield Row(SECTION, (
        f"{number} random instances",
        (f"{plain} within the plain bound, {number - plain} more within that of whole blocks; "
         f"median {ratios[number // 2]:.3f} x, worst {ratios[-1]:.2f} x; {seconds / number * 1e3:.1f} ms each"),
        "all within max(5 %, one block)",
    ))


def _large(blocks, ngroups):
    given, before = many(blocks, ngroups=ngroups), _peak()
    began = time.perf_counter()
    done = assign(*given)
    seconds = time.perf_counter() - began
    more = _peak() - before
    if assign(*given) != done:
        raise RuntimeError("the same question had two answers")
    over = played(*given, done) / lp_bound(*given)
    yield Row(SECTION, (
        f"{blocks} blocks, 10 sites, 3 replicas",
        f"{seconds:.2f} s; peak of the process {before:.0f} MiB before, {more:.0f} MiB more; {over:.4f} x the plain bound", "5 s, 1 GB",
    ))


def _peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # MiB, on Linux


def _deaths(number):
    ratios = sorted(ratio for ratio in map(after_a_death, range(number)) if ratio is not None)
    within = sum(ratio <= 1.25 for ratio in ratios)
    yield Row(SECTION, (
        f"{number} times the busiest site dies",
        (f"{within} of {len(ratios)} that can go on; median {ratios[len(ratios) // 2]:.3f} x, "
         f"worst {ratios[-1]:.3f} x the bound of the rest"),
        "within 25 %",
    ))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--toy", action="store_true", help="small sizes")
    print("| what | came out | wanted |\n|---|---|---|")
    for row in measure(toy=parser.parse_args().toy):
        print(f"| {' | '.join(row.cells)} |", flush=True)


if __name__ == "__main__":
    main()
