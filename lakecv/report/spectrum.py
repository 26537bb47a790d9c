"""A spectrum as a file: a table for a spreadsheet, or a picture with its peaks named."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lakecv.cube import SpectralAxis
from lakecv.errors import InvalidInput, Kind
from lakecv.report import figures
from lakecv.report.export import created

__all__ = ["write_spectrum"]

_LOG_RANGE = 30.0


class _Peak(Protocol):
    @property
    def position(self) -> float: ...

    @property
    def mean(self) -> float: ...

    @property
    def lines(self) -> tuple[str, ...]: ...


class _Spectrum(Protocol):
    @property
    def axis(self) -> SpectralAxis: ...

    @property
    def unit(self) -> str | None: ...

    @property
    def mean(self) -> NDArray[np.float64]: ...

    @property
    def total(self) -> NDArray[np.float64]: ...

    @property
    def peaks(self) -> tuple[_Peak, ...]: ...


def write_spectrum(found: _Spectrum, to: Path) -> Path:
    """Write a spectrum to a new file; the ending says how.

    Raises
    ------
    InvalidInput
        If the ending is neither .csv nor .png (kind ``option-invalid``).
    Conflict
        If the file exists (kind ``output-exists``).
    """
    if to.suffix not in {".csv", ".png"}:
        raise InvalidInput(f"'{to.name}' is no file that a spectrum is written to", Kind.OPTION_INVALID, "end it with .csv or .png")
    content = _csv(found) if to.suffix == ".csv" else _png(found)
    with created(to) as part:
        part.write_bytes(content)
    return to


def _csv(found: _Spectrum) -> bytes:
    unit = found.unit or ""
    rows = zip(found.axis.coordinates, found.mean.tolist(), found.total.tolist(), strict=True)
    lines = [f"{found.axis.quantity},mean,sum", f"{found.axis.unit or ''},{unit},{unit}", *(f"{x!r},{mean!r},{total!r}" for x, mean, total in rows)]
    return ("\n".join(lines) + "\n").encode()


def _png(found: _Spectrum) -> bytes:
    positive = found.mean[found.mean > 0]
    log = positive.size > 0 and float(found.mean.min()) >= 0 and float(positive.max()) > _LOG_RANGE * float(np.median(positive))
    marks = [(peak.position, peak.mean, peak.lines[0] if peak.lines else f"{peak.position:.4g}") for peak in found.peaks]
    words = (found.axis.label, f"mean [{found.unit}]" if found.unit else "mean")
    return figures.peaks(np.array(found.axis.coordinates), found.mean, marks, words, log=log)
