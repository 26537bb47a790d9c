"""Shapes as signed distances: negative inside, positive outside, in pixels.

A distance gives a soft edge and an outline of any width for free, which is all that painting in code needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

__all__ = ["Canvas", "Distance", "Point"]

Distance = NDArray[np.float64]
Point = tuple[float, float]
_CORNER_CUTS = 3


class Canvas:
    """Pixel centers of a picture, and the distance of each to a shape.  Points are (x, y), y downwards."""

    def __init__(self, ny: int, nx: int) -> None:
        self.y, self.x = np.meshgrid(np.arange(ny) + 0.5, np.arange(nx) + 0.5, indexing="ij")

    def ellipse(self, center: Point, radii: Point, tilt: float = 0.0) -> Distance:
        """Distance to an ellipse, tilted by ``tilt`` radians; first order in the distance (exact for a circle)."""
        dx, dy = self.x - center[0], self.y - center[1]
        u = (np.cos(tilt) * dx + np.sin(tilt) * dy) / radii[0]
        v = (np.cos(tilt) * dy - np.sin(tilt) * dx) / radii[1]
        scale = np.hypot(u, v)
        slope = np.maximum(np.hypot(u / radii[0], v / radii[1]), 1e-9)
        return np.asarray(scale * (scale - 1.0) / slope)

    def polygon(self, points: Sequence[Point], *, smooth: bool = False) -> Distance:
        """Distance to a closed polygon (even-odd rule); ``smooth`` rounds its corners."""
        corners = _cut_corners(np.array(points, float)) if smooth else np.array(points, float)
        nearest = np.full(self.x.shape, np.inf)
        inside = np.zeros(self.x.shape, bool)
        for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            nearest = np.minimum(nearest, self._segment((x0, y0), (x1, y1)))
            if y0 != y1:
                crossing = x0 + (self.y - y0) * (x1 - x0) / (y1 - y0)
                inside ^= ((y0 > self.y) != (y1 > self.y)) & (self.x < crossing)
        return np.where(inside, -nearest, nearest)

    def stroke(self, points: Sequence[Point], width: float) -> Distance:
        """Distance to an open line of the given width."""
        distance = np.min([self._segment(start, stop) for start, stop in pairwise(points)], axis=0)
        return np.asarray(distance - width / 2)

    def below(self, points: Sequence[Point]) -> Distance:
        """Distance (along y) to what lies below a line of hills through the points."""
        height = np.interp(self.x, [x for x, _ in points], [y for _, y in points])
        return np.asarray(height - self.y)

    def _segment(self, start: Point, stop: Point) -> Distance:
        dx, dy = stop[0] - start[0], stop[1] - start[1]
        along = ((self.x - start[0]) * dx + (self.y - start[1]) * dy) / max(dx * dx + dy * dy, 1e-12)
        along = np.clip(along, 0.0, 1.0)
        return np.asarray(np.hypot(self.x - start[0] - along * dx, self.y - start[1] - along * dy))


def _cut_corners(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Chaikin's rule, three times: each corner is replaced by points at 1/4 and 3/4 of its sides (Chaikin 1974)."""
    for _ in range(_CORNER_CUTS):
        following = np.roll(corners, -1, axis=0)
        corners = np.stack([0.75 * corners + 0.25 * following, 0.25 * corners + 0.75 * following], 1).reshape(-1, 2)
    return corners
