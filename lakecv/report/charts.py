"""Which chart shows a table: decided by its dims and name, never by the model that made it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lakecv.cube import SpectralAxis
from lakecv.job import TableSpec
from lakecv.report import figures
from lakecv.report.data import ReportData
from lakecv.report.palette import label_color
from lakecv.report.pictures import data_uri
from lakecv.report.text import named, number
from lakecv.report.timeline import arrange
from lakecv.sheet import Array

__all__ = ["Chart", "Grid2D", "charts", "is_mean_spectra", "timeline"]

_ROWS, _CELLS, _BARS = 6, 400, 64
_LOG_RANGE = 30.0
_CURVES = {"pass", "iteration", "epoch"}
_SVG = "image/svg+xml"


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart with its words.  ``log`` is the same chart on a logarithmic scale, where that shows more."""

    uri: str
    title: str
    section: str
    note: str = ""
    log: str = ""


@dataclass(frozen=True, slots=True)
class Grid2D:
    """A table shown as a table: column heads, row heads, formatted cells."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    note: str = ""


def charts(data: ReportData) -> Iterator[Chart | Grid2D]:
    """Show each table in the way its dims ask for; ``area`` is left to the table of clusters."""
    for spec, table in data.tables:
        values = np.asarray(table)
        if values.size == 0 or spec.name == "area":
            continue
        if (spec.dims[0] == "k" or spec.name == "silhouette") and values.ndim == 2:  # noqa: PLR2004
            yield _silhouette(spec, values)
        elif values.ndim == 2 and spec.dims[-1] == "spectral":  # noqa: PLR2004
            yield _spectra(spec, values, data.axis) if is_mean_spectra(spec) else _loadings(spec, values, data.axis)
        elif values.ndim == 1 and len(values) <= _BARS and spec.dims[0] != "label":
            yield _bars(spec, values)
        elif values.ndim <= 2:  # noqa: PLR2004
            yield _grid(spec, values)


def is_mean_spectra(spec: TableSpec) -> bool:
    """Say whether a table holds one spectrum for each label, in the unit of the data."""
    return spec.dims == ("label", "spectral")


def timeline(data: ReportData) -> Chart | None:
    """Draw when each worker did what; None where no task ended."""
    tasks, lanes, left_out = arrange(data.outcomes)
    if not tasks:
        return None
    note = f"{left_out} more lanes are not shown." if left_out else ""
    return Chart(data_uri(figures.timeline(tasks, lanes), _SVG), "Tasks by worker", "execution", note)


def _spectra(spec: TableSpec, values: Array, axis: SpectralAxis | None) -> Chart:
    curves = values.astype(float)
    x, label = _axis(axis, curves.shape[1])
    colors = [label_color(index) for index in range(len(curves))]
    words = (label, spec.unit or "")
    uri = data_uri(figures.spectra(x, curves, colors, words), _SVG)
    log = data_uri(figures.spectra(x, curves, colors, words, log=True), _SVG) if _wants_log(curves) else ""
    return Chart(uri, _title(spec), "spectra", _calibration(axis, curves.shape[1]), log)


def _loadings(spec: TableSpec, values: Array, axis: SpectralAxis | None) -> Chart:
    curves = values[:_ROWS].astype(float)
    x, label = _axis(axis, curves.shape[1])
    names = [_item(spec.dims[0], index) for index in range(len(curves))]
    more = f"The first {_ROWS} of {len(values)} are shown. " if len(values) > _ROWS else ""
    uri = data_uri(figures.loadings(x, curves, names, (label, "")), _SVG)
    return Chart(uri, _title(spec), "spectra", more + _calibration(axis, curves.shape[1]))


def _bars(spec: TableSpec, values: Array) -> Chart:
    heights = values.astype(float)
    if spec.dims[0] in _CURVES:
        uri = figures.curve(np.arange(1.0, len(heights) + 1), heights, None, (spec.dims[0], spec.unit or ""))
        return Chart(data_uri(uri, _SVG), _title(spec), "scores")
    names = [str(index + 1) for index in range(len(heights))]
    shares = bool((heights >= 0).all()) and 0 < heights.sum() <= 1 + 1e-6
    scaled, unit = (100 * heights, "percent") if shares else (heights, spec.unit or "")
    total = np.cumsum(scaled) if shares and len(heights) > 1 else None
    uri = figures.bars(scaled, names, (spec.dims[0], unit), total=total)
    return Chart(data_uri(uri, _SVG), _title(spec), "scores")


def _silhouette(spec: TableSpec, values: Array) -> Chart:
    columns = values.astype(float).T
    interval = (columns[2], columns[3]) if len(columns) > 3 else None  # noqa: PLR2004  (k, value, low, high)
    uri = figures.curve(columns[0], columns[1], interval, ("clusters k", spec.unit or ""))
    note = "The band is the interval of the sampled estimate." if interval else ""
    return Chart(data_uri(uri, _SVG), _title(spec), "scores", note)


def _grid(spec: TableSpec, values: Array) -> Grid2D:
    cells = np.atleast_2d(values.T).T
    title, names = named(_title(spec), len(cells))
    shown = cells[: max(1, _CELLS // cells.shape[1])]
    note = f"The first {len(shown)} of {len(cells)} rows are shown." if len(shown) < len(cells) else ""
    columns = tuple(_item(spec.dims[-1], index) for index in range(cells.shape[1])) if values.ndim > 1 else ("value",)
    heads = names or tuple(_item(spec.dims[0], index) for index in range(len(shown)))
    rows = tuple((head, tuple(number(float(value)) for value in row)) for head, row in zip(heads, shown, strict=False))
    return Grid2D(title, columns, rows, note)


def _item(dim: str, index: int) -> str:
    """Name of an entry along a dim: labels count from 0, as they are stored; all else from 1, as people do."""
    return f"{dim} {index if dim in {'label', 'cluster'} else index + 1}"


def _axis(axis: SpectralAxis | None, size: int) -> tuple[NDArray[np.float64], str]:
    """Coordinates and title of the spectral axis; channel numbers where it does not fit the table."""
    fits = axis if axis is not None and axis.size == size else SpectralAxis(size)
    return np.array(fits.coordinates), fits.label


def _calibration(axis: SpectralAxis | None, size: int) -> str:
    if axis is not None and axis.size == size and axis.is_calibrated:
        return ""
    return "The spectral axis is not calibrated: positions are channel numbers."


def _wants_log(curves: NDArray[np.float64]) -> bool:
    """Say whether a linear scale hides most of the axis: counts with strong lines over a weak background."""
    finite = curves[np.isfinite(curves)]
    if finite.size == 0 or finite.min() < 0 or finite.max() <= 0:
        return False
    return bool(finite.max() > _LOG_RANGE * np.median(finite))


def _title(spec: TableSpec) -> str:
    return spec.title or spec.name.replace("_", " ").capitalize()
