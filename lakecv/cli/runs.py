"""Commands about work: plan, run, resume, runs, watch."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer

from lakecv.cli.options import DIDArgument, Json, Scope, Seed, Set, Site, State, To, options_of
from lakecv.cli.output import emit, note
from lakecv.cli.progress import describe, shown
from lakecv.cli.session import interruptible, opened, session_of

if TYPE_CHECKING:
    from lakecv.plan import Run

__all__ = ["plan", "resume", "run", "runs", "watch"]

_FAILED_BLOCKS = 1
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

    def keywords(self) -> _Keywords:
        """As the lake takes it."""
        return {
            "site": self.site, "options": options_of(self.settings), "seed": self.seed, "state": self.state, "scope": self.scope,
            "to": self.to,
        }

    def words(self, *, again: bool) -> list[str]:
        """As ``lakecv run`` takes it."""
        named = (("--site", self.site), ("--state", self.state), ("--scope", self.scope), ("--to", self.to))
        return [
            "run", self.model, self.did,
            *(word for name, text in named if text is not None for word in (name, text)),
            *(word for setting in self.settings for word in ("--set", setting)),
            *(("--seed", str(self.seed)) if self.seed else ()),
            *(("--again",) if again else ()),
        ]


def plan(
    ctx: typer.Context, model: _ModelArgument, did: DIDArgument, *, site: Site = None, settings: Set = None, seed: Seed = 0,
    state: State = None, scope: Scope = None, to: To = None, as_json: Json = False,
) -> None:
    """Say what would run where, and why. Also what it reads, writes and costs; nothing is started."""
    _plan(ctx, _Request(model, did, site, tuple(settings or ()), seed, state, scope, to), again=False, as_json=as_json)


def run(
    ctx: typer.Context, model: _ModelArgument, did: DIDArgument, *, site: Site = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop; the same as lakecv plan.")] = False,
    settings: Set = None, seed: Seed = 0, state: State = None,
    again: Annotated[bool, typer.Option("--again", help="Compute it also where it was done before.")] = False,
    scope: Scope = None, to: To = None, as_json: Json = False,
) -> None:
    """Run a model where the data are. The result goes into the lake, verified and catalogued."""
    request = _Request(model, did, site, tuple(settings or ()), seed, state, scope, to)
    if dry_run:
        _plan(ctx, request, again=again, as_json=as_json)
        return
    keywords, started = request.keywords(), _now()
    with interruptible(), opened(ctx, as_json=as_json) as lake:
        record = lake.run(model, did, again=again, **keywords)
    _tell(ctx, record, started, as_json=as_json)


def resume(ctx: typer.Context, name: _RunArgument = None, *, as_json: Json = False) -> None:
    """Go on with a run that did not end. What is committed is not computed again."""
    started = _now()
    with interruptible(), opened(ctx, as_json=as_json) as lake:
        record = lake.resume(name)
    _tell(ctx, record, started, as_json=as_json)


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


def _plan(ctx: typer.Context, request: _Request, *, again: bool, as_json: bool) -> None:
    from lakecv.cli import jsonout, render

    keywords = request.keywords()
    with opened(ctx, as_json=as_json) as lake:
        made = lake.plan(request.model, request.did, **keywords)
        scripts = lake.job_scripts(made)
    following = session_of(ctx).next(*request.words(again=again))
    emit(jsonout.plan(made, scripts), [*render.plan(made), *render.scripts(scripts), following], as_json=as_json)


def _tell(ctx: typer.Context, record: Run, started: datetime, *, as_json: bool) -> None:
    """Print what a run came to; failed blocks end the command with 1."""
    from lakecv.cli import jsonout, render
    from lakecv.plan import RunState

    session = session_of(ctx)
    words = ("resume", record.id) if record.state is not RunState.DONE else ("report", str(record.output))
    found = record.state is RunState.DONE and _finished_before(record, started)
    emit(jsonout.run(record), [*render.run(record, found=found), session.next(*words)], as_json=as_json)
    if record.state is RunState.FAILED:
        failed = len(record.failed)
        note(f"error: {failed} task{'s' if failed > 1 else ''} failed; what is done stays committed [blocks-failed]")
        for outcome in record.failed:
            note(f"  {render.failed_block(outcome)}")
        note(f"hint: {session.command('resume', record.id)}")
        raise typer.Exit(_FAILED_BLOCKS)


def _now() -> datetime:
    """Time to the second, as coarse as a run's record may be."""
    return datetime.now(UTC).replace(microsecond=0)


def _finished_before(record: Run, started: datetime) -> bool:
    """Say whether a run had ended before this command began: then it was found, and nothing moved."""
    if record.finished is None:
        return False
    finished = datetime.fromisoformat(record.finished)
    return (finished if finished.tzinfo else finished.replace(tzinfo=UTC)) < started
