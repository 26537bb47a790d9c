"""A table for a spreadsheet: a row of names, a row of units, then values that read back as the same numbers."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

import numpy as np

from lakecv.cube import ArraySpec, SpectralAxis
from lakecv.errors import InvalidInput, Kind
from lakecv.report.subject import Subject
from lakecv.report.text import clean
from lakecv.sheet import Array

__all__ = ["lines"]

_CSV_SAMPLES = 20_000_000
_CSV_ROWS = 65_536
_FORMULA = ("=", "+", "-", "@")


def lines(subject: Subject) -> Iterable[bytes]:
    """Write a row of names, a row of units, then values; no data is an empty cell."""
    array, spec, axis = subject.array, subject.spec, subject.axis
    if array.size > _CSV_SAMPLES or not 1 <= array.ndim <= 3:  # noqa: PLR2004
        raise InvalidInput(
            f"'{spec.name}' has {array.size:,} samples in {array.ndim} dims; a table takes {_CSV_SAMPLES:,} in at most 3",
            Kind.OPTION_INVALID, "write it to .npy",
        )
    names, units, columns = _image(array, spec, axis) if spec.is_image else _table(array, spec, axis)
    yield _lines([[_safe(name) for name in names], [_safe(unit) for unit in units]])
    for start in range(0, len(columns[0]), _CSV_ROWS):
        yield _lines(zip(*(_text(column[start : start + _CSV_ROWS], spec) for column in columns), strict=True))


_Columns = tuple[list[str], list[str], list[Array]]


def _image(array: Array, spec: ArraySpec, axis: SpectralAxis | None) -> _Columns:
    """Give a row to each pixel: y, x, and its value or values."""
    y, x = np.indices(array.shape[:2]).reshape(2, -1)
    flat = array.reshape(len(y), -1)
    names = [spec.name] if array.ndim == 2 else _entries(spec.dims[2], array.shape[2], axis)  # noqa: PLR2004
    units = ["pixel", "pixel", *[spec.unit or ""] * flat.shape[1]]
    return ["y", "x", *names], units, [y, x, *flat.T]


def _table(array: Array, spec: ArraySpec, axis: SpectralAxis | None) -> _Columns:
    """Give a row to each entry of the table's first dim; spectra stand in columns, after their coordinate."""
    unit = spec.unit or ""
    flat = array.reshape(len(array), -1)
    if spec.dims[-1] == "spectral":
        curves = np.atleast_2d(array).reshape(-1, array.shape[-1])
        known = axis if axis is not None and axis.size == array.shape[-1] else SpectralAxis(array.shape[-1])
        names = _entries(spec.dims[0], len(curves), None) if array.ndim > 1 else [spec.name]
        return [str(known.quantity), *names], [known.unit or "", *[unit] * len(curves)], [np.array(known.coordinates), *curves]
    names = [spec.name] if array.ndim == 1 else _entries(spec.dims[1], flat.shape[1], None)
    first = np.arange(len(array)) + (0 if spec.dims[0] == "label" else 1)
    return [spec.dims[0], *names], ["", *[unit] * flat.shape[1]], [first, *flat.T]


def _entries(dim: str, size: int, axis: SpectralAxis | None) -> list[str]:
    """Names along a dim: coordinates for ``spectral``, numbers from 0 for labels and from 1 for the rest."""
    if dim == "spectral":
        known = axis if axis is not None and axis.size == size else SpectralAxis(size)
        return [f"{value:.10g} {known.unit}" if known.unit else f"channel {value:g}" for value in known.coordinates]
    return [f"{dim} {index if dim == 'label' else index + 1}" for index in range(size)]


def _text(column: Array, spec: ArraySpec) -> list[str]:
    """Shortest decimal text that reads back as the same number; empty where there are no data."""
    text: list[str] = column.astype(str).tolist()
    if spec.nodata is None or column.dtype.str != np.dtype(spec.dtype).str:
        return text
    return ["" if absent else cell for cell, absent in zip(text, column == spec.nodata, strict=True)]


def _safe(text: str) -> str:
    """Keep a spreadsheet from running text as a formula (OWASP, CSV injection)."""
    plain = clean(text)
    return f"'{plain}" if plain.lstrip().startswith(_FORMULA) else plain


def _lines(rows: Iterable[Iterable[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()
