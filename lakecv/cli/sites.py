"""Commands about where work can run: sites, site show, site add.  What a profile says needs no lake."""

from __future__ import annotations

from typing import Annotated

import typer

from lakecv.cli.layout import clean, facts
from lakecv.cli.options import Json
from lakecv.cli.output import emit
from lakecv.cli.session import opened, session_of

__all__ = ["site_add", "site_show", "sites"]


def sites(ctx: typer.Context, *, as_json: Json = False) -> None:
    """List the sites where work can run."""
    from lakecv.cli import cards, jsonout

    with opened(ctx, as_json=as_json) as lake:
        found = lake.sites()
    document: jsonout.Document = {"sites": [jsonout.value(site) for site in found]}
    tried = next((site for site in found if site.tested), found[0])
    emit(document, [*cards.sites(found), session_of(ctx).next("site", "show", tried.name)], as_json=as_json)


def site_show(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A site, or the path of a profile.")],
    *,
    as_json: Json = False,
) -> None:
    """Show one site. Its profile with every default filled in, and the files that it comes from."""
    from lakecv import config
    from lakecv.cli import cards, jsonout

    found = config.profile(name, config.load())
    document: jsonout.Document = {"site": jsonout.value(found.site), "files": list(found.files)}
    emit(document, [*cards.site(found), session_of(ctx).next("doctor", "--site", name)], as_json=as_json)


def site_add(
    ctx: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE", help="A profile, a TOML file.")],
    *,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Name of the site (default: the file's).")] = None,
    as_json: Json = False,
) -> None:
    """Check a site's profile and keep a copy of it. Among your own sites; another one of that name is never overwritten."""
    from lakecv import config
    from lakecv.cli import jsonout

    done = config.add(file, name)
    site = done.profile.site
    document: jsonout.Document = {
        "name": site.name, "path": done.path, "was_there": done.was_there, "replaces": done.replaces or None, "site": jsonout.value(site),
    }
    text = facts([
        ("site", site.name), ("", "was there already; nothing to do" if done.was_there else ""), ("path", clean(done.path)),
        ("replaces", done.replaces), ("tested", "" if site.tested else "no: nobody has run with this profile yet"),
    ])
    emit(document, [*text, session_of(ctx).next("doctor", "--site", site.name)], as_json=as_json)
