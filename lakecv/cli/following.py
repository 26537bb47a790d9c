"""Commands that look at a run which somebody else drives: watch, attach, logs."""

from __future__ import annotations

from typing import Annotated

import typer

from lakecv.cli.ending import moment, tell
from lakecv.cli.options import Json
from lakecv.cli.output import emit
from lakecv.cli.progress import describe, shown
from lakecv.cli.session import interruptible, opened, session_of

__all__ = ["attach", "logs", "watch"]

_RunArgument = Annotated[str | None, typer.Argument(metavar="[RUN]", help="Run id (default: the newest one).")]


def watch(ctx: typer.Context, name: _RunArgument = None, *, as_json: Json = False) -> None:
    """Follow a run until it ends. Works from anywhere that sees the lake."""
    from lakecv.cli import jsonout

    last = None
    with opened(ctx, as_json=as_json) as lake, shown(quiet=as_json) as progress:
        for last in lake.watch(name):
            if progress is not None:
                progress(last)
    document: jsonout.Document = {"run": name, "progress": None if last is None else jsonout.progress(last)}
    lines = ["nothing to watch" if last is None else describe(last), session_of(ctx).next("runs")]
    emit(document, lines, as_json=as_json)


def attach(ctx: typer.Context, name: _RunArgument = None, *, as_json: Json = False) -> None:
    """Follow a run, and end as it ends. Ctrl-C leaves it to whoever drives it; where nobody does, this says so."""
    started = moment()
    with interruptible(), opened(ctx, as_json=as_json) as lake:
        record = lake.attach(name)
    tell(ctx, record, started, as_json=as_json)


def logs(ctx: typer.Context, name: _RunArgument = None, *, as_json: Json = False) -> None:
    """Say what went wrong in a run. Verdicts and damages, from anywhere; logs of its driver and jobs where they are."""
    from lakecv.cli import explaining, jsonout
    from lakecv.plan import RunState

    with opened(ctx, as_json=as_json) as lake:
        found = lake.logs(name)
    record = found.run
    words = ("report", str(record.output)) if record.state is RunState.DONE else ("resume", record.id)
    if any(driver.alive for driver in found.drivers):
        words = ("attach", record.id)
    emit(jsonout.logs(found), [*explaining.logs(found), session_of(ctx).next(*words)], as_json=as_json)
