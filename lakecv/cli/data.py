"""Commands about data: register, ls, show, report, export."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from lakecv.cli.completing import complete_did
from lakecv.cli.options import DIDArgument, Json, metadata_of, shape_of
from lakecv.cli.output import emit, note
from lakecv.cli.session import interruptible, opened, session_of
from lakecv.errors import InvalidInput, Kind

__all__ = ["export", "ls", "register", "report", "show"]

_Text = str | None


class Order(StrEnum):
    """How flat pixels run."""

    C = "C"
    F = "F"


def register(  # each option answers what one kind of file cannot tell
    ctx: typer.Context,
    path: Annotated[str, typer.Argument(metavar="PATH", help="File or folder that holds the cube.")],
    did: Annotated[_Text, typer.Argument(metavar="[DID]", help="Name in the lake, scope:name (default: yours, from the file).")] = None,
    *,
    name: Annotated[_Text, typer.Option(metavar="DID", help="The same as the DID argument.")] = None,
    title: Annotated[str, typer.Option(metavar="TEXT", help="Free text shown with the dataset.")] = "",
    in_place: Annotated[bool, typer.Option("--in-place", help="Leave a Zarr store where it is instead of copying it.")] = False,
    file_format: Annotated[_Text, typer.Option("--format", metavar="NAME", help="Reader to use (default: the one that knows the file).")] = None,
    dims: Annotated[_Text, typer.Option(metavar="NAMES", help="Stored order, such as spectral,y,x or spectral,pixel.")] = None,
    shape: Annotated[_Text, typer.Option(metavar="NY,NX", help="Rows and columns, where pixels are stored flat.")] = None,
    order: Annotated[Order | None, typer.Option(metavar="C|F", help="How flat pixels run: C row by row, F column by column.")] = None,
    inside: Annotated[_Text, typer.Option("--path", metavar="NAME", help="The array inside the file.")] = None,
    axis: Annotated[_Text, typer.Option(metavar="AXIS", help="Calibration: energy:keV:0.0:0.01, wavelength:nm:@ARRAY, or channel.")] = None,
    pixel_size: Annotated[_Text, typer.Option(metavar="SIZE", help="Side of a pixel, such as 0.5mm.")] = None,
    detector: Annotated[_Text, typer.Option(metavar="NAME", help="Detector to take: a name, sum or all.")] = None,
    mask: Annotated[_Text, typer.Option(metavar="NAME", help="Array whose zeros mark pixels not to be used.")] = None,
    rse: Annotated[_Text, typer.Option(metavar="NAME", help="Storage element that the data go to (default: as set, else the usual one).")] = None,
    metadata: Annotated[
        list[str] | None, typer.Option("--meta", metavar="KEY=VALUE", help="What it is to be found by; repeat it for more. See lakecv search."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Put a cube into the lake. It is copied, checksummed and named; the same file again does nothing."""
    from lakecv.cli import jsonout, render
    from lakecv.ports import ReadHints

    if did is not None and name is not None:
        raise InvalidInput("the name is given twice, as DID and as --name", Kind.OPTION_INVALID, "keep one of them")
    hints = ReadHints(
        dims=dims, shape=shape_of(shape), order=order.value if order else None, path=inside, axis=axis,
        pixel_size=pixel_size, detector=detector, mask=mask,
    )
    said = metadata_of(metadata)
    with interruptible(), opened(ctx, as_json=as_json) as lake:
        done = lake.register(
            path, name if did is None else did, hints=hints, title=title, in_place=in_place, format=file_format, rse=rse,
            metadata=said,
        )
    for line in render.remarks(done):
        note(line)
    following = session_of(ctx).next("run", "pca+kmeans", str(done.dataset.did))
    emit(jsonout.registered(done), [*render.registered(done), following], as_json=as_json)


def ls(ctx: typer.Context, *, scope: Annotated[_Text, typer.Option(metavar="SCOPE", help="Only this scope.")] = None, as_json: Json = False) -> None:
    """List the datasets of the lake."""
    from lakecv.cli import jsonout, render

    with opened(ctx, as_json=as_json) as lake:
        found = lake.ls(scope)
    session = session_of(ctx)
    following = session.next("show", str(found[-1].did)) if found else session.next("register", "FILE", "SCOPE:NAME")
    document: jsonout.Document = {"datasets": [jsonout.summary(item) for item in found]}
    emit(document, [*render.datasets(found), following], as_json=as_json)


def show(ctx: typer.Context, did: DIDArgument, *, as_json: Json = False) -> None:
    """Show all that is known about a dataset."""
    from lakecv.cli import jsonout, render

    with opened(ctx, as_json=as_json) as lake:
        item, said = lake.show(did), lake.annotations(did)
    words = ("report", str(item.did)) if item.made_by else ("run", "pca+kmeans", str(item.did))
    emit({**jsonout.dataset(item), "annotations": jsonout.said(said)}, [*render.dataset(item, said), session_of(ctx).next(*words)], as_json=as_json)


def report(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="DID|RUN", help="A result, or the run that made it.", autocompletion=complete_did)],
    *,
    to: Annotated[_Text, typer.Option(metavar="FILE", help="Where to write it (default: here).")] = None,
    as_json: Json = False,
) -> None:
    """Write the self-contained HTML report of a result."""
    from lakecv.cli import render

    with opened(ctx, as_json=as_json) as lake:
        written = lake.report(name, to)
    lines = render.written("report", written)
    emit({"name": name, "report": written}, [*lines, session_of(ctx).next("ls")], as_json=as_json)


def export(
    ctx: typer.Context,
    did: DIDArgument,
    *,
    array: Annotated[str, typer.Option(metavar="NAME", help="Array to write; lakecv show DID lists them.")],
    to: Annotated[str, typer.Option(metavar="FILE", help="File to write; its ending says how: .png .npy .csv .tif .hdr .fits .h5.")],
    as_json: Json = False,
) -> None:
    """Write one array to a file. For a look, numpy, a spreadsheet, a GIS (.tif), ENVI (.hdr), FITS or NeXus (.h5)."""
    from lakecv.cli import render

    with opened(ctx, as_json=as_json) as lake:
        written = lake.export(did, array=array, to=to)
    lines = render.written("exported", written)
    emit({"did": did, "array": array, "to": written}, [*lines, session_of(ctx).next("show", did)], as_json=as_json)
