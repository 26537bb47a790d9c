"""Options that several commands share, spelt and explained once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from lakecv.errors import InvalidInput, Kind

__all__ = ["DIDArgument", "Json", "Scope", "Seed", "Set", "Site", "State", "options_of", "shape_of"]

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document (docs/schema) instead of text.")]
DIDArgument = Annotated[str, typer.Argument(metavar="DID", help="Dataset, scope:name.")]
Scope = Annotated[str | None, typer.Option(metavar="SCOPE", help="Scope that the result goes to (default: yours).")]
Site = Annotated[str | None, typer.Option(metavar="NAME", help="Site to run at (default: the one nearest to the data).")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Option of the model; repeat it for more. See lakecv models MODEL."),
]
Seed = Annotated[int, typer.Option(min=0, metavar="N", help="Seed of everything random.")]
State = Annotated[str | None, typer.Option(metavar="DID", help="Result whose state is applied instead of fitting.")]


def options_of(pairs: Sequence[str] | None) -> dict[str, str]:
    """Read ``--set name=value``; what type a value has is the model's business.

    Raises
    ------
    InvalidInput
        If a pair has no name or no ``=``, or a name comes twice (kind ``option-invalid``).

    Examples
    --------
    >>> options_of(["k=6", "scaling=sqrt"])
    {'k': '6', 'scaling': 'sqrt'}
    """
    options: dict[str, str] = {}
    for pair in pairs or ():
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise InvalidInput(f"--set {pair!r} is not NAME=VALUE", Kind.OPTION_INVALID, f"write it as --set {name or 'k'}=6")
        if name in options:
            raise InvalidInput(f"--set {name} is given twice", Kind.OPTION_INVALID, "keep one of them")
        options[name] = value
    return options


def shape_of(text: str | None) -> tuple[int, int] | None:
    """Read ``--shape NY,NX``.

    Raises
    ------
    InvalidInput
        If the text is not two whole numbers of at least 1 (kind ``shape-invalid``).

    Examples
    --------
    >>> shape_of("480,620"), shape_of(None)
    ((480, 620), None)
    """
    if text is None:
        return None
    sides = text.split(",")
    if len(sides) != 2 or not all(side.isascii() and side.strip().isdigit() and int(side) > 0 for side in sides):  # noqa: PLR2004  (y and x)
        raise InvalidInput(
            f"--shape {text!r} is not NY,NX", Kind.SHAPE_INVALID, "give rows and columns, such as --shape 480,620",
        )
    return int(sides[0]), int(sides[1])
