"""The command that holds a result against a truth: compare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lakecv.cli.layout import facts, table
from lakecv.cli.options import Json
from lakecv.cli.output import emit
from lakecv.cli.session import opened, session_of

if TYPE_CHECKING:
    from lakecv.api import Comparison
    from lakecv.cli.jsonout import Document

__all__ = ["compare"]

_MOST_COLUMNS = 20


def compare(
    ctx: typer.Context,
    result: Annotated[str, typer.Argument(metavar="RESULT", help="Run, DID#array or file#array: labels, or abundances.")],
    truth: Annotated[str, typer.Argument(metavar="TRUTH", help="Ground truth or another result, named alike.")],
    *,
    background: Annotated[str, typer.Option(metavar="VALUE|none", help="Value of a truth that means no label.")] = "0",
    above: Annotated[float | None, typer.Option(metavar="X", help="Only pixels whose largest abundance is above this.")] = None,
    picture: Annotated[str | None, typer.Option(metavar="FILE", help="PNG to write: truth, result, and where they differ.")] = None,
    as_json: Json = False,
) -> None:
    """Say how far a result agrees with a ground truth. Or with another result; labels are matched one to one."""
    with opened(ctx, as_json=as_json) as lake:
        found = lake.compare(result, truth, background=background, above=above, picture=picture)
    lines = [*_scores(found), *([] if picture is None else facts([("picture", picture)])), "", *_confusion(found)]
    following = session_of(ctx).next("report", found.result.partition("#")[0]) if ":" in found.result else session_of(ctx).next("ls")
    emit({**_document(found), "picture": picture}, [*lines, following], as_json=as_json)


def _scores(found: Comparison) -> list[str]:
    scores = found.scores
    return facts([
        ("result", found.result),
        ("truth", found.truth),
        ("pixels", f"{found.npixels:,} with a label in both"),
        ("oa", f"{scores.oa:.4f}"),
        ("kappa", f"{scores.kappa:.4f}"),
        ("nmi", f"{scores.nmi:.4f}"),
        ("ari", f"{scores.ari:.4f}"),
    ])


def _confusion(found: Comparison) -> list[str]:
    """Table of pixels, a row for each label of the result and a column for each of the truth; a star where they are matched."""
    scores = found.scores
    if len(scores.columns) > _MOST_COLUMNS:
        return [f"{len(scores.rows)} x {len(scores.columns)} labels: the table is in --json"]
    rows = [
        (str(label), *(f"{count:,}{'*' if at == column else ''}" for column, count in enumerate(counts)))
        for label, counts, at in zip(scores.rows.tolist(), scores.counts.tolist(), scores.match.tolist(), strict=True)
    ]
    return table(("RESULT \\ TRUTH", *map(str, scores.columns.tolist())), rows)


def _document(found: Comparison) -> Document:
    scores = found.scores
    return {
        "result": found.result, "truth": found.truth, "pixels": found.npixels,
        "oa": scores.oa, "kappa": scores.kappa, "nmi": scores.nmi, "ari": scores.ari,
        "labels": scores.rows.tolist(), "truth_labels": scores.columns.tolist(), "counts": scores.counts.tolist(),
        "match": [scores.columns[at].item() if at >= 0 else None for at in scores.match.tolist()],
    }  # fmt: skip
