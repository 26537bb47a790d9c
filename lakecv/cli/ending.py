"""What a run came to: its facts, the next command, and the exit code that failed blocks have."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer

from lakecv.cli.output import emit, note
from lakecv.cli.session import session_of

if TYPE_CHECKING:
    from lakecv.plan import Run

__all__ = ["moment", "tell"]

_FAILED_BLOCKS = 1


def tell(ctx: typer.Context, record: Run, started: datetime, *, as_json: bool) -> None:
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


def moment() -> datetime:
    """Time to the second, as coarse as a run's record may be."""
    return datetime.now(UTC).replace(microsecond=0)


def _finished_before(record: Run, started: datetime) -> bool:
    """Say whether a run had ended before this command began: then it was found, and nothing moved."""
    if record.finished is None:
        return False
    finished = datetime.fromisoformat(record.finished)
    return (finished if finished.tzinfo else finished.replace(tzinfo=UTC)) < started
