"""The command that names clusters, and says more of a dataset than was known when it was written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from lakecv.cli.options import DIDArgument, Json
from lakecv.cli.output import emit
from lakecv.cli.session import opened, session_of
from lakecv.errors import InvalidInput, Kind

__all__ = ["annotate", "said"]

_FORMS = {"cluster": "cluster N NAME", "note": "note TEXT", "title": "title TEXT"}
_MOST_DIGITS = 6


def annotate(
    ctx: typer.Context,
    did: DIDArgument,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[cluster N NAME | note TEXT | title TEXT]", help="What to say; without it all that was said is listed."),
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Name a cluster, add a note, give a title. Kept by the catalog; no data are touched, and nothing said is lost."""
    from lakecv.cli import jsonout, render

    what = said(words)
    with opened(ctx, as_json=as_json) as lake:
        found = lake.annotations(did) if what is None else lake.annotate(did, what[0], what[2], number=what[1])
    following = session_of(ctx).next("report" if found.names else "show", str(found.did))
    emit(jsonout.said(found), [*render.said(found), following], as_json=as_json)


def said(words: Sequence[str] | None) -> tuple[str, int | None, str] | None:
    """Read what is to be said: what it is about, the number of a cluster, the text; None where nothing is.

    Raises
    ------
    InvalidInput
        If it has another form (kind ``option-invalid``).

    Examples
    --------
    >>> said(["cluster", "3", "lead white"]), said(["note", "seen by Ada"]), said([])
    (('cluster', 3, 'lead white'), ('note', None, 'seen by Ada'), None)
    """
    if not words:
        return None
    form = _FORMS.get(words[0])
    if form is None:
        raise InvalidInput(f"{words[0]!r} is nothing to annotate", Kind.OPTION_INVALID, f"write {', '.join(_FORMS.values())}")
    if len(words) != len(form.split()):
        raise InvalidInput(
            f"{len(words)} words are given, but '{form}' has {len(form.split())}", Kind.OPTION_INVALID, "put quotes around text with spaces",
        )
    if len(words) == 2:  # noqa: PLR2004  (no number)
        return words[0], None, words[1]
    if not (words[1].isascii() and words[1].isdigit() and len(words[1]) <= _MOST_DIGITS):
        raise InvalidInput(f"{words[1]!r} is not the number of a cluster", Kind.OPTION_INVALID, "write it as cluster 3 'lead white'")
    return words[0], int(words[1]), words[2]
