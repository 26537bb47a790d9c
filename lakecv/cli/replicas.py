"""Commands about where data lie: search, replicate, rules."""

from __future__ import annotations

from typing import Annotated

import typer

from lakecv.cli.layout import clean
from lakecv.cli.options import DIDArgument, Json, age_seconds
from lakecv.cli.output import emit, note
from lakecv.cli.session import interruptible, opened, session_of

__all__ = ["replicate", "rules", "search"]


def search(
    ctx: typer.Context,
    conditions: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CONDITION", help="One or more, such as quantity=energy model=pca+kmeans 'channels>=200' (= != > >= < <=). Quote > and < in a shell.",
        ),
    ] = None,
    *,
    scope: Annotated[str | None, typer.Option(metavar="SCOPE", help="Only this scope.")] = None,
    as_json: Json = False,
) -> None:
    """Find datasets by what is known of them. All conditions hold of what is listed; register --meta adds facts of your own."""
    from lakecv.cli import jsonout, render

    asked = conditions or ()
    with opened(ctx, as_json=as_json) as lake:
        found = lake.search(*asked, scope=scope)
        unknown = {} if found else lake.unknown_facts(*asked, scope=scope)
    for name, hint in unknown.items():
        note(f"note: {clean(name)!r} may be no fact here; {clean(hint)}")
    session = session_of(ctx)
    following = session.next("show", str(found[-1].did)) if found else session.next("ls", *(("--scope", scope) if scope else ()))
    document: jsonout.Document = {"datasets": [jsonout.summary(item) for item in found]}
    emit(document, [*(render.datasets(found) if found else ["nothing fits"]), following], as_json=as_json)


def replicate(
    ctx: typer.Context,
    did: DIDArgument,
    *,
    to: Annotated[str, typer.Option(metavar="RSE", help="Storage element, or an expression of the catalog such as site=CNAF.")],
    lifetime: Annotated[str | None, typer.Option(metavar="TIME", help="How long the copy is kept, such as 12h or 30d (default: it stays).")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Come back when the copy is there; Ctrl-C leaves the rule as it is.")] = False,
    as_json: Json = False,
) -> None:
    """Ask for a copy of a dataset elsewhere. The catalog moves the data by a rule; the same rule again does nothing."""
    from lakecv.cli import jsonout, render

    seconds = None if lifetime is None else age_seconds(lifetime, "--lifetime")
    with interruptible(), opened(ctx, as_json=as_json) as lake:
        rule = lake.replicate(did, to, seconds, wait=wait)
    words = ("show" if rule.state == "OK" else "rules", str(rule.did))
    emit(jsonout.rule(rule), [*render.rule(rule), session_of(ctx).next(*words)], as_json=as_json)


def rules(ctx: typer.Context, did: DIDArgument, *, as_json: Json = False) -> None:
    """List the rules that keep copies of a dataset, and where they stand."""
    from lakecv.cli import jsonout, render

    with opened(ctx, as_json=as_json) as lake:
        found = lake.rules(did)
    moving = any(rule.state != "OK" for rule in found)
    words = ("rules" if moving else "show", did) if found else ("replicate", did, "--to", "RSE")
    document: jsonout.Document = {"did": did, "rules": [jsonout.rule(rule) for rule in found]}
    emit(document, [*render.rules(found), session_of(ctx).next(*words)], as_json=as_json)
