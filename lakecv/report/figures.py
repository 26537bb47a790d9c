"""Charts of a report as SVG: spectra, loadings, bars, curves with an interval, the timeline of tasks.

Each takes plain arrays and words and gives the same bytes for the same input.  Text stays text, in the reader's own
font; matplotlib is used without pyplot, so no window system and no global figure is touched.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lakecv.report.palette import ACCENT, FAILED, STAGE_COLORS
from lakecv.report.text import clean
from lakecv.report.timeline import Bar

__all__ = ["bars", "curve", "loadings", "peaks", "spectra", "timeline"]

Array = NDArray[np.float64]
_INK, _MUTED, _RULE = "#1d2733", "#5b6775", "#d9dee4"
_FONT, _READER_FONT = "DejaVu Sans", "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
_WIDTH = 8.6
_PATH, _DIGITS = re.compile(rb'\sd="[^"]*"'), re.compile(rb"(\.\d)\d+|\n")  # a tenth of a point is enough
_STYLE: Any = {
    "svg.fonttype": "none", "svg.hashsalt": "lakecv", "font.family": _FONT, "font.size": 8.0, "text.parse_math": False,
    "text.color": _INK, "axes.edgecolor": _RULE, "axes.labelcolor": _MUTED, "axes.linewidth": 0.8, "axes.titlesize": 8.5,
    "axes.spines.top": False, "axes.spines.right": False, "axes.titlelocation": "left", "axes.grid": True,
    "axes.axisbelow": True, "grid.color": "#eceff2", "grid.linewidth": 0.7, "xtick.color": _RULE, "ytick.color": _RULE,
    "xtick.labelcolor": _MUTED, "ytick.labelcolor": _MUTED, "xtick.major.size": 3.0, "ytick.major.size": 0.0,
    "legend.frameon": False, "lines.linewidth": 1.25, "lines.solid_joinstyle": "round", "path.simplify_threshold": 0.2,
    "axes.formatter.useoffset": False, "axes.unicode_minus": True, "timezone": "UTC",
}  # fmt: skip


def spectra(x: Array, curves: Array, colors: Sequence[str], words: tuple[str, str], *, log: bool = False) -> bytes:
    """Spectra (n, spectral) over the axis ``x`` in given colors; ``words`` are the titles of both axes."""
    with _style():
        figure, axes = _axes(3.1)
        for values, color in zip(curves, colors, strict=True):
            axes.plot(x, np.where(values > 0, values, np.nan) if log else values, color=color)
        if log:
            _log_scale(axes, curves)
        elif np.nanmin(curves, initial=0.0) >= 0:
            axes.set_ylim(bottom=0.0)
        _frame(axes, x, words)
        return _svg(figure)


def peaks(x: Array, y: Array, marks: Sequence[tuple[float, float, str]], words: tuple[str, str], *, log: bool) -> bytes:
    """Draw one spectrum with words at its peaks (x, y, text), as a PNG."""
    with _style():
        figure, axes = _axes(3.6)
        axes.plot(x, y, color=ACCENT, linewidth=0.9)
        for at, height, text in marks:
            axes.annotate(clean(text), (at, height), (0, 4), textcoords="offset points", ha="center", rotation=90, fontsize=7, color=_MUTED)
        if log:
            _log_scale(axes, y[None, :])
        else:
            axes.margins(y=0.28)
        _frame(axes, x, words)
        content = io.BytesIO()
        figure.savefig(content, format="png", dpi=150, metadata={"Software": None})
        return content.getvalue()


def loadings(x: Array, curves: Array, names: Sequence[str], words: tuple[str, str]) -> bytes:
    """Signed spectra (n, spectral), one row each above a common axis."""
    with _style():
        figure, rows = _axes(0.45 + 0.82 * len(curves), len(curves))
        for axes, values, name in zip(np.atleast_1d(rows), curves, names, strict=True):
            axes.axhline(0.0, color=_RULE, linewidth=0.8)
            axes.fill_between(x, values, 0.0, color=ACCENT, alpha=0.13, linewidth=0)
            axes.plot(x, values, color=ACCENT)
            axes.set_title(clean(name), color=_INK, pad=2)
            _frame(axes, x, ("", ""))
            axes.locator_params(axis="y", nbins=3)
            axes.tick_params(labelbottom=axes is np.atleast_1d(rows)[-1])
        np.atleast_1d(rows)[-1].set_xlabel(clean(words[0]))
        return _svg(figure)


def bars(values: Array, names: Sequence[str], words: tuple[str, str], *, total: Array | None = None) -> bytes:
    """Bars with their values written on them; ``total`` (n,) adds a line of cumulated values."""
    with _style():
        figure, axes = _axes(2.6, width=0.5 * _WIDTH)
        place = np.arange(len(values))
        axes.bar(place, values, width=0.62, color=ACCENT)
        if total is not None:
            axes.plot(place, total, color=_INK, marker="o", markersize=3, linewidth=1.0)
            axes.annotate("cumulated", (place[-1], total[-1]), (0, 5), textcoords="offset points", ha="right", color=_INK)
        every = max(1, len(values) // 16)
        axes.set_xticks(place[::every], [clean(name) for name in names[::every]])
        axes.grid(visible=False, axis="x")
        axes.margins(x=0.02, y=0.14)
        _words(axes, words)
        return _svg(figure)


def curve(x: Array, y: Array, interval: tuple[Array, Array] | None, words: tuple[str, str]) -> bytes:
    """Draw a curve with its interval; the best point is marked and named."""
    with _style():
        figure, axes = _axes(2.6, width=0.5 * _WIDTH)
        if interval is not None:
            axes.fill_between(x, *interval, color=ACCENT, alpha=0.16, linewidth=0)
        axes.plot(x, y, color=ACCENT, marker="o", markersize=3.2)
        if np.isfinite(y).any():
            best = int(np.nanargmax(y))
            axes.plot(x[best], y[best], marker="o", markersize=6.5, color=ACCENT, markeredgecolor="white")
            axes.annotate(f"{y[best]:.3g} at {x[best]:g}", (x[best], y[best]), (0, 8), textcoords="offset points", ha="center")
        axes.margins(x=0.05, y=0.22)
        axes.xaxis.get_major_locator().set_params(integer=True)
        _words(axes, words)
        return _svg(figure)


def timeline(tasks: Sequence[Bar], lanes: Sequence[str]) -> bytes:
    """Bars of work over time, a lane for each worker and thread; color = stage."""
    with _style():
        figure, axes = _axes(0.75 + 0.22 * max(3, len(lanes)))
        kinds = [kind for kind in STAGE_COLORS if any(bar.kind == kind for bar in tasks)]
        for kind in kinds:
            for failed in (False, True):
                chosen = [bar for bar in tasks if bar.kind == kind and bar.failed is failed]
                _boxes(axes, chosen, FAILED if failed else STAGE_COLORS[kind])
        axes.set_ylim(len(lanes) - 0.4, -0.6)
        axes.set_xlim(0.0, max((bar.stop for bar in tasks), default=1.0) * 1.01)
        axes.set_yticks(range(len(lanes)), [clean(lane) for lane in lanes])
        axes.grid(visible=False, axis="y")
        failures = {"failed": FAILED} if any(bar.failed for bar in tasks) else {}
        _legend(axes, {kind: STAGE_COLORS[kind] for kind in kinds} | failures)
        _words(axes, ("time since the first task [s]", ""))
        return _svg(figure)


def _boxes(axes: Any, tasks: Sequence[Bar], color: str) -> None:
    from matplotlib.collections import PolyCollection

    corners = [
        [(bar.start, bar.lane - 0.36), (bar.stop, bar.lane - 0.36), (bar.stop, bar.lane + 0.36), (bar.start, bar.lane + 0.36)]
        for bar in tasks
    ]
    axes.add_collection(PolyCollection(corners, facecolors=color, edgecolors="white", linewidths=0.3), autolim=False)


def _legend(axes: Any, colors: dict[str, str]) -> None:
    from matplotlib.patches import Patch

    keys = [Patch(color=color, label=name) for name, color in colors.items()]
    axes.legend(
        handles=keys, ncols=max(1, len(keys)), loc="lower right", bbox_to_anchor=(1.0, 1.0), handlelength=0.9, handleheight=0.9,
        columnspacing=1.4, borderaxespad=0.2,
    )  # fmt: skip


def _log_scale(axes: Any, curves: Array) -> None:
    """Logarithmic, over the four decades below the top at most: what is lower is noise."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    top = float(np.nanmax(curves))
    lowest = curves[curves > 0].min(initial=top)
    axes.set_yscale("log")
    axes.set_ylim(max(lowest, top * 1e-4) * 0.8, top * 1.6)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(which="minor", length=0)


def _frame(axes: Any, x: Array, words: tuple[str, str]) -> None:
    if len(x) > 1:
        axes.set_xlim(float(x.min()), float(x.max()))
    _words(axes, words)


def _words(axes: Any, words: tuple[str, str]) -> None:
    """Title of the x axis below it; of the y axis above it, upright, where it is read without turning the head."""
    axes.set_xlabel(clean(words[0]))
    if words[1]:
        axes.set_title(clean(words[1]), color=_MUTED, fontsize=8.0, pad=6)


def _axes(height: float, rows: int = 1, width: float = _WIDTH) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    if rows == 1:
        figure = Figure(figsize=(width, height), layout="constrained")
        return figure, figure.subplots()
    figure = Figure(figsize=(width, height))  # a constrained layout of many rows costs as much as drawing them
    edges = {"left": 0.06, "right": 0.995, "bottom": 0.45 / height, "top": 1 - 0.18 / height, "hspace": 0.42}
    return figure, figure.subplots(rows, 1, sharex=True, gridspec_kw=edges)


@contextmanager
def _style() -> Iterator[None]:
    import matplotlib as mpl

    with warnings.catch_warnings(), mpl.rc_context(_STYLE):
        warnings.simplefilter("ignore", UserWarning)  # letters that the measuring font lacks: the reader's font has them
        yield


def _svg(figure: Any) -> bytes:
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    buffer = io.BytesIO()
    canvas: Any = FigureCanvasSVG(figure)
    canvas.print_svg(buffer, metadata={"Date": None, "Creator": None})
    short = _PATH.sub(lambda path: _DIGITS.sub(rb"\1", path[0]), buffer.getvalue())
    return short.replace(f"'{_FONT}'".encode(), _READER_FONT.encode())
