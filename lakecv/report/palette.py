"""Colors: one per label, told apart by people with any color vision, and the color maps of scalar pictures.

The label colors follow the qualitative sets of Okabe and Ito (2008) and Paul Tol (SRON/EPS/TN/09-002, issue 3.2),
ordered so that neighbors in number differ in lightness too.  A label keeps its color in every figure of a report.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["ACCENT", "FAILED", "LABEL_COLORS", "STAGE_COLORS", "color_map", "gradient", "label_color", "label_palette"]

ACCENT = "#0f6b73"
FAILED = "#b3261e"
LABEL_COLORS = (
    "#0072b2", "#e69f00", "#009e73", "#cc3311", "#56b4e9", "#882255", "#cc79a7", "#999933", "#332288", "#44aa99",
    "#d4b95e", "#8c564b", "#117733", "#aa4499", "#777777", "#ee7733", "#7fc4e8", "#661100", "#a9b92e", "#222222",
)  # fmt: skip
STAGE_COLORS = {"sample": "#d4b95e", "reduce": "#7fb3b8", "map": "#0f6b73", "pack": "#c2693d", "other": "#8a8f98"}
_STOPS = 9


def label_color(label: int) -> str:
    """Color of a label, as ``#rrggbb``; the set repeats after 20."""
    return LABEL_COLORS[label % len(LABEL_COLORS)]


def label_palette(labels: int) -> NDArray[np.uint8]:
    """Colors of labels 0 .. n-1 and, last, of no data, which is transparent: (labels + 1, 4) uint8."""
    colors = [(*bytes.fromhex(label_color(label)[1:]), 255) for label in range(labels)]
    return np.array([*colors, (0, 0, 0, 0)], np.uint8)


@cache
def color_map(name: str) -> NDArray[np.uint8]:
    """Colors of a map of matplotlib, from low to high: (256, 3) uint8."""
    from matplotlib import colormaps

    return np.asarray(np.rint(colormaps[name](np.arange(256))[:, :3] * 255), np.uint8)


def gradient(name: str) -> str:
    """Color map as a CSS gradient, for a color bar."""
    stops = color_map(name)[np.linspace(0, 255, _STOPS).astype(int)]
    return f"linear-gradient(90deg,{','.join('#' + bytes(stop).hex() for stop in stops)})"
