"""Commands that plan and do work: plan, run, resume, runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypedDict

import typer

from lakecv.cli.ending import moment, tell
from lakecv.cli.options import (
    Axis,
    Detector,
    DIDArgument,
    IgnoreLocality,
    Json,
    Mask,
    Scope,
    Seed,
    Set,
    Site,
    State,
    To,
    Window,
    options_of,
)
from lakecv.cli.output import emit
from lakecv.cli.session import interruptible, opened, session_of

__all__ = ["plan", "resume", "run", "runs"]

_ModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help="Model, or a chain such as pca+kmeans.")]
_RunArgument = Annotated[str | None, typer.Argument(metavar="[RUN]", help="Run id (default: the newest unfinished one).")]


class _Keywords(TypedDict):
    """Keyword arguments of ``Lake.plan`` and ``Lake.run``."""

    site: str | None
    options: dict[str, str]
    seed: int
    state: str | None
    scope: str | None
    to: str | None
    ignore_locality: bool
    window: str | None
    axis: tuple[str, ...]
    mask: str | None
    detector: str | None


@dataclass(frozen=True, slots=True)
class _Request:
    """What was asked to run, as it was typed."""

    model: str
    did: str
    site: str | None
    settings: tuple[str, ...]
    seed: int
    state: str | None
    scope: str | None
    to: str | None
    ignore_locality: bool
    window: str | None
    axis: tuple[str, ...]
    mask: str | None
    detector: str | None

    def keywords(self) -> _Keywords:
        """As the lake takes it."""
        return {
            "site": self.site, "options": options_of(self.settings), "seed": self.seed, "state": self.state, "scope": self.scope,
            "to": self.to, "ignore_locality": self.ignore_locality, "window": self.window, "axis": self.axis, "mask": self.mask,
            "detector": self.detector,
        }

    def words(self, *, again: bool) -> list[str]:
        """As ``lakecv run`` takes it."""
        named = (
            ("--window", self.window), ("--mask", self.mask), ("--detector", self.detector),
            ("--site", self.site), ("--state", self.state), ("--scope", self.scope), ("--to", self.to),
        )
        return [
            "run", self.model, self.did,
            *(word for name, text in named if text is not None for word in (name, text)),
            *(word for text in self.axis for word in ("--axis", text)),
            *(word for setting in self.settings for word in ("--set", setting)),
            *(("--seed", str(self.seed)) if self.seed else ()),
            *(("--ignore-locality",) if self.ignore_locality else ()),
            *(("--again",) if again else ()),
        ]


def plan(
    ctx: typer.Context, model: _ModelArgument, did: DIDArgument, *, site: Site = None, window: Window = None, axis: Axis = None,
    mask: Mask = None, detector: Detector = None, settings: Set = None, seed: Seed = 0,
    state: State = None, scope: Scope = None, to: To = None, ignore_locality: IgnoreLocality = False,
    explain: Annotated[bool, typer.Option("--explain", help="Give the figures behind it: of every site, replica and share.")] = False,
    as_json: Json = False,
) -> None:
    """Say what would run where, and why. Also what it reads, writes and costs; nothing is started."""
    part = (window, tuple(axis or ()), mask, detector)
    request = _Request(model, did, site, tuple(settings or ()), seed, state, scope, to, ignore_locality, *part)
    _plan(ctx, request, again=False, explain=explain, as_json=as_json)


def run(
    ctx: typer.Context, model: _ModelArgument, did: DIDArgument, *, site: Site = None, window: Window = None, axis: Axis = None,
    mask: Mask = None, detector: Detector = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop; the same as lakecv plan.")] = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Begin it and come back: a process of its own goes on, also when you log out.")
    ] = False,
    settings: Set = None, seed: Seed = 0, state: State = None,
    again: Annotated[bool, typer.Option("--again", help="Compute it also where it was done before.")] = False,
    scope: Scope = None, to: To = None, ignore_locality: IgnoreLocality = False, as_json: Json = False,
) -> None:
    """Run a model where the data are. The result goes into the lake, verified and catalogued."""
    part = (window, tuple(axis or ()), mask, detector)
    request = _Request(model, did, site, tuple(settings or ()), seed, state, scope, to, ignore_locality, *part)
    if dry_run:
        _plan(ctx, request, again=again, explain=False, as_json=as_json)
    elif detach:
        _detach(ctx, request, again=again, as_json=as_json)
    else:
        keywords, started = request.keywords(), moment()
        with interruptible(), opened(ctx, as_json=as_json) as lake:
            record = lake.run(model, did, again=again, **keywords)
        tell(ctx, record, started, as_json=as_json)


def resume(ctx: typer.Context, name: _RunArgument = None, *, site: Site = None, as_json: Json = False) -> None:
    """Go on with a run that did not end. What is committed is not computed again, also at another --site."""
    started = moment()
    with interruptible(), opened(ctx, as_json=as_json) as lake:
        record = lake.resume(name, site=site)
    tell(ctx, record, started, as_json=as_json)


def runs(ctx: typer.Context, *, as_json: Json = False) -> None:
    """List the runs of the lake and where they stand."""
    from lakecv.cli import jsonout, render
    from lakecv.plan import RunState

    with opened(ctx, as_json=as_json) as lake:
        found = lake.runs()
    waiting = [record.id for record in found if record.state is not RunState.DONE]
    session = session_of(ctx)
    following = session.next("resume", waiting[-1]) if waiting else session.next("ls")
    document: jsonout.Document = {"runs": [jsonout.run(record) for record in found]}
    emit(document, [*render.runs(found), following], as_json=as_json)


def _plan(ctx: typer.Context, request: _Request, *, again: bool, explain: bool, as_json: bool) -> None:
    from lakecv.cli import explaining, jsonout, render

    keywords = request.keywords()
    with opened(ctx, as_json=as_json) as lake:
        made = lake.plan(request.model, request.did, **keywords)
        scripts = lake.job_scripts(made)
    following = session_of(ctx).next(*request.words(again=again))
    more = explaining.explained(made) if explain else []
    emit(jsonout.plan(made, scripts), [*render.plan(made), *more, *render.scripts(scripts), following], as_json=as_json)


def _detach(ctx: typer.Context, request: _Request, *, again: bool, as_json: bool) -> None:
    """Begin a run, and leave it; one that was done before, or has ended while one looked, is told as by ``run``."""
    from lakecv.cli import explaining, jsonout

    keywords, started = request.keywords(), moment()
    with interruptible(), opened(ctx, as_json=as_json) as lake:
        done = lake.detach(request.model, request.did, again=again, **keywords)
    if done.driver is None:
        tell(ctx, done.run, started, as_json=as_json)
        return
    emit(jsonout.detached(done), [*explaining.detached(done), session_of(ctx).next("watch", done.run.id)], as_json=as_json)
