"""What a dataset is found by: plain facts of its record, and conditions on them.

One list for every catalog: a catalog of documents compares them here, one with a server of its own stores them there and
lets it compare.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lakecv.errors import InvalidInput, Kind
from lakecv.records import Dataset

__all__ = ["KEY", "MEASURED", "Condition", "Fact", "facts_of", "plain"]

Fact = str | int | float

KEY = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)
"""What a fact may be called: the letters that every catalog takes."""

MEASURED = frozenset((
    "array", "axis_first", "axis_last", "axis_unit", "channels", "created", "digest", "dtype", "model", "nx", "ny", "objects", "parent",
    "quantity", "role", "run", "stored_bytes", "title",
))  # fmt: skip
"""Facts that a record itself gives."""

_CONDITION = re.compile(r"\s*([^<>=!\s]+)\s*(>=|<=|!=|=|>|<)\s*(.*?)\s*", re.DOTALL)
_OPERATORS: dict[str, Callable[[Fact, Fact], bool]] = {
    "=": operator.eq, "!=": operator.ne, ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le,
}  # fmt: skip


def plain(text: str) -> Fact:
    """Read a number where a text is one.

    Examples
    --------
    >>> plain("7"), plain("0.5"), plain("gold"), plain("nan")
    (7, 0.5, 'gold', 'nan')
    """
    for kind in (int, float):
        try:
            value = kind(text)
        except ValueError:
            continue
        return value if math.isfinite(value) else text
    return text


def facts_of(dataset: Dataset) -> dict[str, Fact]:
    """Collect the facts of a dataset; what a user said of it never replaces what is measured."""
    cube, main = dataset.cube, dataset.cube.main
    measured: dict[str, Fact] = {
        "array": main.name, "role": str(main.role), "dtype": main.dtype, "ny": cube.grid.ny, "nx": cube.grid.nx,
        "created": dataset.created, "digest": dataset.digest, "title": dataset.title, "objects": dataset.nobjects,
        "stored_bytes": dataset.nbytes,
    }
    if cube.axis is not None:
        coordinates = cube.axis.coordinates
        measured |= {"channels": cube.axis.size, "quantity": str(cube.axis.quantity), "axis_unit": cube.axis.unit or "",
                     "axis_first": float(coordinates[0]), "axis_last": float(coordinates[-1])}  # fmt: skip
    if dataset.made_by is not None:
        measured |= {"run": dataset.made_by, "model": dataset.title.partition(" of ")[0]}
    if dataset.parents:
        measured["parent"] = dataset.parents[0][0]
    said = {name: plain(value) for name, value in dataset.metadata if KEY.fullmatch(name)}
    return {**said, **{name: value for name, value in measured.items() if value != ""}}


@dataclass(frozen=True, slots=True)
class Condition:
    """A fact, how it is compared, and with what."""

    key: str
    operator: str
    value: Fact

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Read a condition as a user writes it.

        Raises
        ------
        InvalidInput
            If it is none (kind ``option-invalid``).

        Examples
        --------
        >>> Condition.parse("channels>=200")
        Condition(key='channels', operator='>=', value=200)
        >>> Condition.parse("quantity = energy")
        Condition(key='quantity', operator='=', value='energy')
        """
        match = _CONDITION.fullmatch(text)
        if match is None or not KEY.fullmatch(match[1]) or not match[3]:
            raise InvalidInput(
                f"{text!r} is not a condition", Kind.OPTION_INVALID, "write KEY=VALUE, with = != > >= < or <=, such as 'channels>=200'",
            )
        return cls(match[1], match[2], plain(match[3]))

    def holds(self, facts: Mapping[str, Fact]) -> bool:
        """Say whether it holds; of a fact that is not there, or of another type, it does not."""
        fact = facts.get(self.key)
        if fact is None or isinstance(fact, str) != isinstance(self.value, str):
            return False
        return _OPERATORS[self.operator](fact, self.value)
