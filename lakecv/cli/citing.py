"""The command that says how a result is written about."""

from __future__ import annotations

from typing import Annotated

import typer

from lakecv.cli.completing import complete_did
from lakecv.cli.layout import clean
from lakecv.cli.options import Json
from lakecv.cli.output import emit, note
from lakecv.cli.session import opened, session_of

__all__ = ["cite"]


def cite(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="RUN|DID", help="A run, or the result that it made.", autocompletion=complete_did)],
    *,
    bibtex: Annotated[bool, typer.Option("--bibtex", help="Print the references as BibTeX, and nothing else.")] = False,
    as_json: Json = False,
) -> None:
    """Write the methods paragraph of a result. Models, options, versions, inputs and digests, with references."""
    from lakecv.cli import jsonout

    with opened(ctx, as_json=as_json) as lake:
        found = lake.cite(name)
    for model in found.models:
        if not model.references:
            note(f"note: the model '{clean(model.link.model)}' names no references, or is not installed here")
    if bibtex:
        text = [clean(line) for line in found.bibtex.splitlines()]
    else:
        listed = [f"  {clean(each.text)}" for each in found.references]
        text = [clean(found.text), "", "References", *listed, session_of(ctx).next("cite", name, "--bibtex")]
    emit(jsonout.citation(found), text, as_json=as_json)
