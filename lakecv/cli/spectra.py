"""The command that looks at spectra: spectrum."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lakecv.cli.layout import facts, table
from lakecv.cli.options import Axis, Detector, DIDArgument, Json, Mask, Window
from lakecv.cli.output import emit
from lakecv.cli.session import opened, session_of

if TYPE_CHECKING:
    from lakecv.api import Spectrum
    from lakecv.cli.jsonout import Document

__all__ = ["spectrum"]


def spectrum(
    ctx: typer.Context,
    did: DIDArgument,
    *,
    window: Window = None,
    axis: Axis = None,
    mask: Mask = None,
    detector: Detector = None,
    to: Annotated[str | None, typer.Option(metavar="FILE", help="File to write, too: .csv (axis, mean, sum) or .png.")] = None,
    as_json: Json = False,
) -> None:
    """Show the mean and sum spectrum. Of a dataset or a part of it, with its peaks and, on an energy axis, the lines near them."""
    with opened(ctx, as_json=as_json) as lake:
        found = lake.spectrum(did, window=window, axis=tuple(axis or ()), mask=mask, detector=detector)
        if to is not None:
            from lakecv.report.spectrum import write_spectrum

            write_spectrum(found, Path(to))
    lines = facts([
        ("spectrum", found.did),
        ("part", " ".join(found.part) or "all of it"),
        ("pixels", f"{found.npixels:,}"),
        ("axis", found.axis.label),
        ("written", to),
    ])
    emit({**_document(found), "to": to}, [*lines, "", *_peaks(found), session_of(ctx).next("run", "kmeans", found.did)], as_json=as_json)


def _peaks(found: Spectrum) -> list[str]:
    if not found.peaks:
        return ["no peaks"]
    unit = found.axis.unit or "channel"
    rows = [(f"{peak.position:.6g}", str(peak.channel), f"{peak.mean:.6g}", f"{peak.mean * found.npixels:.6g}", ", ".join(peak.lines) or "-") for peak in found.peaks]
    return table((f"PEAK [{unit}]", "CHANNEL", "MEAN", "SUM", "LINES NEAR IT"), rows)


def _document(found: Spectrum) -> Document:
    axis = found.axis
    return {
        "did": found.did, "part": list(found.part), "pixels": found.npixels, "quantity": str(axis.quantity), "unit": axis.unit,
        "axis": list(axis.coordinates), "mean": found.mean.tolist(), "sum": found.total.tolist(),
        "peaks": [{"channel": each.channel, "position": each.position, "mean": each.mean, "lines": list(each.lines)} for each in found.peaks],
    }  # fmt: skip
