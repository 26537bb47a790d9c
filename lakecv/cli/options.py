"""Options that several commands share, spelt and explained once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated

import typer

from lakecv.cli.completing import complete_did
from lakecv.errors import InvalidInput, Kind

__all__ = [
    "Axis", "DIDArgument", "Detector", "IgnoreLocality", "Json", "Mask", "Scope", "Seed", "Set", "Site", "State", "To", "Window", "age_seconds", "metadata_of", "options_of", "shape_of",
]

_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|h|d)", re.ASCII)
_SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document (docs/schema) instead of text.")]
DIDArgument = Annotated[str, typer.Argument(metavar="DID", help="Dataset, scope:name.", autocompletion=complete_did)]
Scope = Annotated[str | None, typer.Option(metavar="SCOPE", help="Scope that the result goes to (default: yours).")]
Site = Annotated[
    str | None, typer.Option(metavar="NAME|auto", help="Site to run at, by name or by its profile; auto: all that can do it (default: as set).")
]
IgnoreLocality = Annotated[bool, typer.Option("--ignore-locality", help="Do not prefer near data where far ones are as fast.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Option of the model; repeat it for more. See lakecv models MODEL."),
]
Seed = Annotated[int, typer.Option(min=0, metavar="N", help="Seed of everything random.")]
State = Annotated[str | None, typer.Option(metavar="DID", help="Result whose state is applied instead of fitting.", autocompletion=complete_did)]
To = Annotated[
    str | None, typer.Option("--to", metavar="RSE", help="Storage element that the result goes to (default: where the input is read).")
]

Window = Annotated[str | None, typer.Option("--window", metavar="Y0:Y1,X0:X1", help="Rows and columns to read; ends are not included.")]
Axis = Annotated[
    list[str] | None,
    typer.Option("--axis", metavar="FROM:TOUNIT", help="Part of the spectral axis to read, as 1.5:20keV or 10:200ch; !FROM:TO is left out; repeat it for more."),
]
Mask = Annotated[
    str | None, typer.Option("--mask", metavar="NAME[#ARRAY]", help="Dataset or file whose zeros are not used; NAME#ARRAY=2,5 uses these values."),
]
Detector = Annotated[str | None, typer.Option("--detector", metavar="ARRAY", help="Array to read in place of the main one.")]


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
    return _pairs("--set", "k=6", pairs)


def metadata_of(pairs: Sequence[str] | None) -> dict[str, str]:
    """Read ``--meta key=value``; what a key may be called is the lake's business.

    Raises
    ------
    InvalidInput
        If a pair has no key or no ``=``, or a key comes twice (kind ``option-invalid``).

    Examples
    --------
    >>> metadata_of(["instrument=MA-XRF", "note=a=b"])
    {'instrument': 'MA-XRF', 'note': 'a=b'}
    """
    return _pairs("--meta", "instrument=MA-XRF", pairs)


def _pairs(option: str, example: str, pairs: Sequence[str] | None) -> dict[str, str]:
    found: dict[str, str] = {}
    usual, _, value = example.partition("=")
    for pair in pairs or ():
        name, equals, text = pair.partition("=")
        if not name or not equals:
            raise InvalidInput(f"{option} {pair!r} is not NAME=VALUE", Kind.OPTION_INVALID, f"write it as {option} {name or usual}={value}")
        if name in found:
            raise InvalidInput(f"{option} {name} is given twice", Kind.OPTION_INVALID, "keep one of them")
        found[name] = text
    return found


def age_seconds(text: str, option: str = "--older-than") -> float:
    """Read a time span, as ``--older-than`` and ``--lifetime`` take it.

    Raises
    ------
    InvalidInput
        If it is none (kind ``option-invalid``).

    Examples
    --------
    >>> age_seconds("12h"), age_seconds("0")
    (43200.0, 0.0)
    """
    if text.strip() == "0":
        return 0.0
    match = _AGE.fullmatch(text.strip())
    if match is None:
        raise InvalidInput(
            f"{option} {text!r} is not a time", Kind.OPTION_INVALID, "write a number with s, min, h or d, such as 12h, or 0",
        )
    return float(match[1]) * _SECONDS[match[2]]


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
