"""The command line: one verb, one job; renders values and decides nothing.

Imports typer and errors only, so that ``lakecv --help`` answers at once; commands import what they need when they run.
"""

from __future__ import annotations

import os
from typing import Annotated

import typer

from lakecv.cli import (
    about,
    annotating,
    citing,
    comparing,
    data,
    fetching,
    following,
    keeping,
    replicas,
    runs,
    sites,
    spectra,
    worker,
)
from lakecv.cli.completing import join_words
from lakecv.cli.failures import EXIT_CODES, Verbs
from lakecv.cli.output import say, tolerate_any_text
from lakecv.cli.session import Session, session_of

__all__ = ["app", "main"]

_EPILOG = (
    "--lake and --debug may stand anywhere.\n\n\b\nExit codes:\n"
    + "\n".join(f"{code:>5}  {meaning}" for code, meaning in EXIT_CODES)
)
_NAMES = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(
    name="lakecv", cls=Verbs, epilog=_EPILOG, context_settings=_NAMES, invoke_without_command=True,
    rich_markup_mode=None,  # typer's rich help costs 0.18 s of start-up
    pretty_exceptions_enable=False,
)
config = typer.Typer(name="config", cls=Verbs, context_settings=_NAMES, rich_markup_mode=None, help="Settings of lakecv.")
site = typer.Typer(name="site", cls=Verbs, context_settings=_NAMES, rich_markup_mode=None, help="Profiles of sites.")

for verb in (
    about.demo, data.register, data.ls, replicas.search, data.show, spectra.spectrum, annotating.annotate, runs.plan, runs.run, runs.resume, runs.runs, following.watch,
    following.attach, following.logs, data.report, comparing.compare, citing.cite, data.export, fetching.fetch, replicas.replicate, replicas.rules, keeping.verify, keeping.repair, keeping.gc,
    sites.sites, about.models, about.plugins, about.doctor,
):
    app.command()(verb)
app.command("open")(fetching.open_folder)
app.command()(worker.worker)
config.command("show")(about.config_show)
app.add_typer(config)
site.command("show")(sites.site_show)
site.command("add")(sites.site_add)
app.add_typer(site)


@app.callback()
def lakecv(
    ctx: typer.Context,
    *,
    lake: Annotated[
        str | None, typer.Option(metavar="URL", help="The lake: a folder or url (default: $LAKECV_LAKE, then the settings).")
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of a failure.")] = False,  # noqa: ARG001  (read by failures)
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Spectral datacubes in a data lake: the model travels, the data stay."""
    ctx.obj = Session(lake)
    if version:
        from lakecv import __version__

        say([f"lakecv {__version__}"])
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        _greet(session_of(ctx))


def _greet(session: Session) -> None:
    """Print the three commands that a newcomer types next."""
    commands = (
        ("lakecv demo", "a painted picture, its scan, its pigments: offline, in a folder"),
        (session.command("register", "FILE", "SCOPE:NAME"), "put your own cube into the lake"),
        (session.command("ls"), "see what is there"),
    )
    width = max(len(command) for command, _ in commands)
    say([
        "lakecv: spectral datacubes in a data lake; the model travels, the data stay.",
        "",
        *(f"  {command:<{width}}   {meaning}" for command, meaning in commands),
        "",
        "lakecv --help lists all commands.",
    ])


def main() -> int:
    """Console entry point; ends the process with the exit code of the command."""
    tolerate_any_text()
    join_words(os.environ)
    app()
    return 0
