"""Commands that keep a lake whole and tidy: verify, repair, gc."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from lakecv.cli.options import DIDArgument, Json, age_seconds
from lakecv.cli.output import emit, note, say
from lakecv.cli.session import Session, interruptible, opened, session_of
from lakecv.errors import Corrupt, InvalidInput, Kind, Unavailable

if TYPE_CHECKING:
    from lakecv.api import Verification

__all__ = ["gc", "repair", "verify"]



def verify(
    ctx: typer.Context,
    did: Annotated[str | None, typer.Argument(metavar="[DID]", help="Dataset, scope:name (default: all of them).")] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Verify every dataset; the same as no DID.")] = False,
    scope: Annotated[str | None, typer.Option(metavar="SCOPE", help="Only the datasets of this scope.")] = None,
    as_json: Json = False,
) -> None:
    """Read every byte again. Compares objects, manifest, metadata and catalog with each other."""
    from lakecv.cli import jsonout, render

    if did is not None and (everything or scope is not None):
        raise InvalidInput("a DID is given and all datasets are asked for", Kind.OPTION_INVALID, "keep one of them")
    session = session_of(ctx)
    if did is None:
        with interruptible():
            _verify_all(ctx, session, scope, as_json=as_json)
        return
    with interruptible(), opened(ctx, as_json=as_json) as lake:
        done = lake.verify(did)
    emit(jsonout.verification(done), [*render.verification(done), _after(session, done)], as_json=as_json)
    _end([done])


def _verify_all(ctx: typer.Context, session: Session, scope: str | None, *, as_json: bool) -> None:
    """Tell of each dataset as soon as it is read; the JSON comes whole at the end."""
    from lakecv.cli import jsonout, render

    done: list[Verification] = []
    with opened(ctx, as_json=as_json) as lake:
        for each in lake.verify_all(scope):
            done.append(each)
            if not as_json:
                say(render.verification(each))
    wrong = next((each for each in done if not each.ok), None)
    lines = [] if done else ["no datasets yet"]
    emit(jsonout.verifications(done), [*lines, _after(session, wrong)], as_json=as_json)
    _end(done)


def _after(session: Session, done: Verification | None) -> str:
    """Spell the next command: repair what is wrong, else look at it."""
    if done is None:
        return session.next("ls")
    can_be_mended = (done.missing or done.corrupt) and not done.drift and done.objects
    return session.next("repair", str(done.did), "--from", "SOURCE") if can_be_mended else session.next("show", str(done.did))


def _end(done: Sequence[Verification]) -> None:
    """Exit with 8 where something is wrong, with one line per dataset."""
    wrong = [each for each in done if not each.ok]
    if not wrong:
        return
    for each in wrong:
        count = len(each.findings) - len(each.extra)
        what = f"{count} of {each.objects} objects" if each.objects else "the record"
        note(f"error: {what} of {each.did} {'are' if each.objects else 'is'} not what was promised [{Kind.CHECKSUM_MISMATCH}]")
    broken = next((each for each in wrong if each.missing or each.corrupt), None)
    unread = next((each for each in wrong if each.unreadable), None)
    if broken is None and unread is None:
        note(f"hint: no byte is wrong; records disagree with each other: lakecv show {wrong[0].did}, and ask who runs the catalog")
    elif broken is None:
        note("hint: nothing is known of what could not be read: type the same command again when it can be reached")
    else:
        note(f"hint: lakecv repair {broken.did} --from SOURCE: another dataset with the same bytes, a backup folder or the original file")
    raise typer.Exit(Corrupt.exit_code)


def repair(
    ctx: typer.Context,
    did: DIDArgument,
    *,
    source: Annotated[str, typer.Option("--from", metavar="SOURCE", help="Another dataset, a folder or url with its objects, or the original file.")],
    file_format: Annotated[str | None, typer.Option("--format", metavar="NAME", help="Reader of the original file (default: the one that knows it).")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what could be mended; change nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Put right what is damaged. Only objects proven wrong are replaced, only by bytes proven right."""
    from lakecv.cli import jsonout, render

    with interruptible(), opened(ctx, as_json=as_json) as lake:
        done = lake.repair(did, source, format=file_format, dry_run=dry_run)
    words = ("repair", did, "--from", source) if dry_run and done.mended else ("verify", did)
    emit(jsonout.repair(done), [*render.repair(done), session_of(ctx).next(*words)], as_json=as_json)
    if not done.ok:
        note(f"error: {len(done.left)} objects of {done.did} cannot be repaired from {source} [{Kind.CHECKSUM_MISMATCH}]")
        note("hint: try another source; what is whole was not touched")
        raise typer.Exit(Corrupt.exit_code)


def gc(
    ctx: typer.Context,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Remove it; without this it is only listed.")] = False,
    older_than: Annotated[str, typer.Option(metavar="TIME", help="Keep what changed since, such as 12h or 7d; 0 = any age.")] = "1d",
    scope: Annotated[str | None, typer.Option(metavar="SCOPE", help="Whose leftovers (default: those of your own scope).")] = None,
    as_json: Json = False,
) -> None:
    """List what nobody needs any more, and remove it with --yes. Data of a dataset or an unfinished run always stay."""
    from lakecv.cli import jsonout, render

    seconds = age_seconds(older_than)
    with interruptible(), opened(ctx, as_json=as_json) as lake:
        done = lake.gc(remove=yes, older_than_seconds=seconds, scope=scope)
    again = ["gc", "--yes", *(("--older-than", older_than) if older_than != "1d" else ()), *(("--scope", scope) if scope else ())]
    words = again if done.dry_run and done.nbytes else ["ls"]
    emit(jsonout.sweep(done), [*render.sweep(done), session_of(ctx).next(*words)], as_json=as_json)
    if not done.ok:
        note(f"error: some of what was to be removed is still there [{Kind.STORE_UNREACHABLE}]")
        note("hint: the list says why; type the same command again")
        raise typer.Exit(Unavailable.exit_code)
