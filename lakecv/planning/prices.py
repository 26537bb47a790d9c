"""The linear program of an assignment, solved by prices: one for each site and each wide-area link.

Standard library only: a plan has some hundred groups of blocks and some ten machines, which takes a tenth of a second.
"""

from __future__ import annotations

import math
from collections import defaultdict

__all__ = ["TINY", "Column", "Program"]

TINY = 1e-9
"""Amounts and prices below are taken as nothing."""

Column = tuple[int, float, int, float, int, float, float]  # site, its load, WAN, its load, WAN of writing, its load, far share
"""Loads of a whole group of blocks for one way to do it."""

_GAP = 1e-4  # of the finish time: how near to the best the prices must come
_CLOSED = 1e30  # price of a site that is not in yet: nobody pays it
_SLACK = -1  # stands for the group of what a machine has left


class Program:
    """Least finish time by the primal simplex method with generalised upper bounds (Dantzig and Van Slyke 1967).

    Variables are the shares of each group that go to its options; one option per group, its key, takes what the others leave,
    so that the basis has a row per machine and none per group.  The dual values of the machines are their prices: they add up
    to 1, and a group changes to an option whose loads cost less.  Every step keeps a solution; stopping early is safe.
    """

    def __init__(self, columns: list[list[Column]], waits: list[float], nsites: int, opened: int) -> None:
        self.columns, self.waits, self.nsites, self.opened, self.toll = columns, waits, nsites, opened, 0.0
        self.key, loads = _greedy(columns, [wait if machine < opened else 0.0 for machine, wait in enumerate(waits)], opened)
        self.split: dict[int, list[int]] = {}  # positions in the basis of the further options of a group
        size = len(waits)
        self.last = max(range(size), key=lambda machine: loads[machine])  # position of the finish time; it never leaves
        self.basis = [(_SLACK, machine if machine != self.last else -1) for machine in range(size)]
        self.values = [loads[self.last] - load for load in loads]
        self.values[self.last] = loads[self.last]
        self.inverse = [[float(row == machine) - float(machine == self.last) for machine in range(size)] for row in range(size)]
        self.inverse[self.last] = [-float(machine == self.last) for machine in range(size)]
        self.reprice(0.0)

    def reprice(self, toll: float) -> None:
        """Take what far bytes cost into account and compute all prices anew."""
        self.toll = toll
        prices = [-value for value in self.inverse[self.last]]
        for group, positions in self.split.items():
            column = self.columns[group]
            for position in positions:
                more = toll * (column[self.basis[position][1]][6] - column[self.key[group]][6])
                prices = [price - more * value for price, value in zip(prices, self.inverse[position], strict=True)]
        self.prices = [*prices, 0.0]
        for site in range(self.opened, self.nsites):
            self.prices[site] = _CLOSED

    def open(self, site: int) -> None:
        """Let a site in whose wait is shorter than the finish time: it is idle, so only its slack changes."""
        self.values[self.basis.index((_SLACK, site))] -= self.waits[site]
        self.prices[site] = 0.0
        self.opened = site + 1

    def improve(self) -> None:
        """Let groups change to cheaper options until no change is worth more than the gap."""
        steps, idle, group = 60 * (len(self.columns) + len(self.waits)), 0, 0
        while idle < len(self.columns) and steps > 0:
            idle += 1
            while (option := self._cheaper(group)) is not None and steps > 0:
                self._enter(group, option)
                while (machine := min(range(len(self.waits)), key=self.prices.__getitem__)) >= 0 and self.prices[machine] < -TINY:
                    self._enter(_SLACK, machine)
                    steps -= 1
                steps, idle = steps - 1, 0
            group = (group + 1) % len(self.columns)

    @property
    def seconds(self) -> float:
        """Finish time of the present shares."""
        return self.values[self.last]

    def shares(self, group: int) -> list[float]:
        """Share of each option of a group; they add up to 1."""
        found = [0.0] * len(self.columns[group])
        for position in self.split.get(group, ()):
            found[self.basis[position][1]] = max(0.0, self.values[position])
        found[self.key[group]] = self._left(group)
        return found

    def _left(self, group: int) -> float:
        return max(0.0, 1.0 - sum(self.values[position] for position in self.split.get(group, ())))

    def _price(self, group: int, option: int) -> float:
        site, load, wan, more, write, most, far = self.columns[group][option]
        return self.prices[site] * load + self.prices[wan] * more + self.prices[write] * most + self.toll * far

    def _cheaper(self, group: int) -> int | None:
        prices, toll, best = self.prices, self.toll, None
        lowest = self._price(group, self.key[group]) - _GAP * self.values[self.last] / len(self.columns)
        for option, (site, load, wan, more, write, most, far) in enumerate(self.columns[group]):
            price = prices[site] * load + prices[wan] * more + prices[write] * most + toll * far
            if price < lowest:
                lowest, best = price, option
        return best

    def _enter(self, group: int, which: int) -> None:
        """Bring an option of a group, or the slack of a machine, into the basis, as far as all amounts stay positive."""
        column = {which: 1.0} if group == _SLACK else self._difference(group, which)
        gain = self.prices[which] if group == _SLACK else self._price(group, which) - self._price(group, self.key[group])
        change = [sum(row[machine] * load for machine, load in column.items()) for row in self.inverse]
        step, position, leaving = math.inf, -1, -1
        for place, value in enumerate(change):
            if value > TINY and place != self.last and self.values[place] < step * value:
                step, position = self.values[place] / value, place
        for other in {group, *self.split} - {_SLACK}:
            rate = float(other == group) - sum(change[place] for place in self.split.get(other, ()))
            if rate > TINY and self._left(other) < step * rate:
                step, leaving = self._left(other) / rate, other
        if leaving >= 0 and leaving in self.split:
            rate = float(leaving == group) - sum(change[place] for place in self.split[leaving])
            position = self._swap(leaving)
            change[position] = rate
        self.values = [value - step * rate for value, rate in zip(self.values, change, strict=True)]
        if leaving >= 0 and leaving not in self.split:
            self.key[group] = which
        else:
            self._pivot(position, change, gain)
            self._replace(position, (group, which), step)

    def _difference(self, group: int, option: int) -> dict[int, float]:
        """Take the loads of the group's key from those of an option."""
        found: dict[int, float] = defaultdict(float)
        for sign, column in ((1.0, self.columns[group][option]), (-1.0, self.columns[group][self.key[group]])):
            for machine, load in zip(column[0:6:2], column[1:6:2], strict=True):
                if machine < len(self.waits):
                    found[int(machine)] += sign * load
        return found

    def _swap(self, group: int) -> int:
        """Make the largest further option of a group its key; the old key takes its position."""
        position = max(self.split[group], key=self.values.__getitem__)
        left = self._left(group)
        self.inverse[position] = [-sum(column) for column in zip(*(self.inverse[place] for place in self.split[group]), strict=True)]
        self.key[group], self.basis[position] = self.basis[position][1], (group, self.key[group])
        self.values[position] = left
        return position

    def _pivot(self, position: int, change: list[float], gain: float) -> None:
        pivot = [value / change[position] for value in self.inverse[position]]
        for place, rate in enumerate(change):
            if rate and place != position:
                self.inverse[place] = [value - rate * new for value, new in zip(self.inverse[place], pivot, strict=True)]
        self.inverse[position] = pivot
        self.prices = [*(price - gain * new for price, new in zip(self.prices, pivot, strict=False)), 0.0]

    def _replace(self, position: int, entering: tuple[int, int], value: float) -> None:
        group = self.basis[position][0]
        if group != _SLACK:
            self.split[group].remove(position)
            if not self.split[group]:
                del self.split[group]
        self.basis[position], self.values[position] = entering, value
        if entering[0] != _SLACK:
            self.split.setdefault(entering[0], []).append(position)


def _greedy(columns: list[list[Column]], starts: list[float], opened: int) -> tuple[list[int], list[float]]:
    """Give each group whole to the option whose machines end first; the larger the group, the earlier it chooses."""
    key, loads = [0] * len(columns), [*starts, 0.0]
    for group in sorted(range(len(columns)), key=lambda group: -min(column[1] for column in columns[group])):
        ends = [
            (max(loads[site] + load, loads[wan] + more, loads[write] + most), far, option)
            for option, (site, load, wan, more, write, most, far) in enumerate(columns[group]) if site < opened
        ]
        key[group] = min(ends)[2]
        site, load, wan, more, write, most, _ = columns[group][key[group]]
        loads[site] += load
        loads[wan] += more
        loads[write] += most
    return key, loads[:-1]
