"""Commands about what is installed and configured: models, plugins, doctor, config show, demo."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from lakecv.cli import session
from lakecv.cli.layout import clean
from lakecv.cli.options import Json
from lakecv.cli.output import emit, note
from lakecv.cli.progress import shown
from lakecv.cli.session import Session, interruptible, opened, session_of
from lakecv.errors import Kind, NotFound, nearest

__all__ = ["config_show", "demo", "doctor", "models", "plugins"]


def models(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="[MODEL]", help="Show the options of this model.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """List the models, or the options of one."""
    from lakecv.cli import cards, jsonout

    with opened(ctx, as_json=as_json) as lake:
        found = lake.models()
    known = [card.name for card in found]
    if name is not None and name not in known:
        raise NotFound(f"there is no model '{name}'", Kind.MODEL_UNKNOWN, nearest(name, known, "models"))
    chosen = [card for card in found if name in {None, card.name}]
    here = session_of(ctx)
    text = cards.models(chosen) if name is None else cards.model(chosen[0])
    words = ("models", known[0]) if name is None and known else ("run", name or "MODEL", "DID")
    document: jsonout.Document = {"models": [jsonout.model(card) for card in chosen]}
    emit(document, [*text, here.next(*words)], as_json=as_json)


def plugins(
    ctx: typer.Context, *,
    check: Annotated[bool, typer.Option("--check", help="Load each one and say what fails; else none is imported.")] = False,
    as_json: Json = False,
) -> None:
    """List what is plugged in. Storage, formats, catalogs, models and sites, with where each comes from."""
    from lakecv.cli import cards, jsonout

    with opened(ctx, as_json=as_json) as lake:
        found = lake.plugins(check=check)
    for card in found:
        if card.problem:
            note(f"warning: {clean(card.problem)}")
    document: jsonout.Document = {"plugins": [jsonout.plugin(card) for card in found]}
    emit(document, [*cards.plugins(found), session_of(ctx).next(*(("models",) if check else ("plugins", "--check")))], as_json=as_json)


def doctor(
    ctx: typer.Context, *,
    site: Annotated[str | None, typer.Option(metavar="NAME", help="Also try what workers need at this site; none is started.")] = None,
    as_json: Json = False,
) -> None:
    """Say what may keep commands from working. The lake and its server, plugins, settings of Dask; exit code 1 on an error."""
    from lakecv import config
    from lakecv.api.examining import examine_site
    from lakecv.cli import cards, jsonout

    there = examine_site(site, config.load()) if site is not None else ()
    with opened(ctx, as_json=as_json) as lake:
        found = (*lake.doctor(), *there)
    for check in found:
        if check.verdict != "ok":
            note(f"{check.verdict}: {clean(check.name)}: {clean(check.text)}")
            if check.hint:
                note(f"hint: {clean(check.hint)}")
    document: jsonout.Document = {"checks": [jsonout.value(check) for check in found]}
    words = ("plan", "MODEL", "DID", "--site", site) if site is not None else ("ls",)
    emit(document, [*cards.checks(found), session_of(ctx).next(*words)], as_json=as_json)
    if any(check.verdict == "error" for check in found):
        raise typer.Exit(1)


def config_show(ctx: typer.Context, *, as_json: Json = False) -> None:
    """Show every setting and where it comes from."""
    from lakecv.cli import cards, jsonout

    with opened(ctx, as_json=as_json) as lake:
        found = lake.config()
    document: jsonout.Document = {"settings": [jsonout.setting(item) for item in found]}
    emit(document, [*cards.settings(found), session_of(ctx).next("sites")], as_json=as_json)


def demo(
    *,
    folder: Annotated[str, typer.Option(metavar="FOLDER", help="Folder of the demonstration lake.")] = "./lakecv-demo",
    as_json: Json = False,
) -> None:
    """Find the pigments of a painted picture. Painted and scanned in code, offline, in a folder of its own."""
    from lakecv.cli import jsonout, render

    with interruptible(), shown(quiet=as_json) as progress:
        done = session.lake_type().demo(folder, progress=progress)
    removal = f"  to delete it: {shlex.join(['rm', '-r', str(done.folder)])}"
    following = Session(f"{done.folder}/lake").next("show", str(done.run.output))
    emit(jsonout.demo(done), [*render.demo(done), removal, following], as_json=as_json)
