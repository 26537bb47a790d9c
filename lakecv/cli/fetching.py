"""Commands about datasets outside of a lake: fetch, open."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from lakecv.cli.options import DIDArgument, Json
from lakecv.cli.output import emit, note
from lakecv.cli.progress import shown
from lakecv.cli.session import interruptible, opened, session_of
from lakecv.errors import Corrupt, Kind

__all__ = ["fetch", "open_folder"]


def fetch(
    ctx: typer.Context,
    did: DIDArgument,
    to: Annotated[str, typer.Argument(metavar="DIR", help="A folder that does not exist yet.")],
    *,
    as_json: Json = False,
) -> None:
    """Write a dataset into a folder, as the Zarr store that it is. Every byte is proven; all of it comes or nothing."""
    from lakecv.cli import jsonout, render

    with interruptible(), opened(ctx, as_json=as_json) as lake:
        done = lake.fetch(did, to)
    following = session_of(ctx).next("open", done.folder)
    emit(jsonout.fetched(done), [*render.fetched(done), following], as_json=as_json)


def open_folder(
    ctx: typer.Context,
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="What lakecv fetch wrote, or what rucio download gave.")],
    *,
    as_json: Json = False,
) -> None:
    """Verify a fetched or downloaded folder and say what is in it. No lake is needed."""
    from lakecv.api import check_folder
    from lakecv.cli import jsonout, render

    with interruptible(), shown(quiet=as_json) as progress:
        found = check_folder(Path(folder), progress)
    session = session_of(ctx)
    again = session.next("fetch", found.did or "DID", "DIR")
    python = f"next: {shlex.join(['python', '-c', f'import lakecv; print(lakecv.open_folder({folder!r}))'])}"
    emit(jsonout.folder(found), [*render.folder(found), python if found.ok else again], as_json=as_json)
    if not found.ok:
        count = sum(finding.flaw != "extra" for finding in found.findings)
        note(f"error: {count} of {found.objects} objects in {found.folder} are not what was promised [{Kind.CHECKSUM_MISMATCH}]")
        note("hint: fetch or download them again")
        raise typer.Exit(Corrupt.exit_code)
