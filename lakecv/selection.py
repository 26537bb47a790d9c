"""Which part of a dataset a job reads: a window, some channels, pixels of a mask, another detector.

What is selected is a cube of its own: models, plans and results never see what was left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from lakecv.cube import ArraySpec, CubeSpec, Grid, Role, SpectralAxis, Window

__all__ = ["MaskSource", "Runs", "Selection"]

Runs = tuple[tuple[int, int], ...]
"""Half-open runs of channels, rising, with a gap between any two."""

_SKY = re.compile(r"CTYPE(\d)\s*=\s*'\s*(?:RA|DEC|[A-Z]LON|[A-Z]LAT|[A-Z]{2}LN|[A-Z]{2}LT)(?:-|'| )")


@dataclass(frozen=True, slots=True)
class MaskSource:
    """Where a mask came from, as it was named, and the sha256 of its packed bits."""

    name: str
    digest: str


@dataclass(frozen=True, slots=True)
class Selection:
    """A part of a dataset, in rows, columns and channels as they are stored.

    ``channels`` are half-open runs, rising, with a gap between any two: however the same channels were named, the job is the same.
    ``detector`` names the array that is read in place of the main one.
    """

    window: Window | None = None
    channels: Runs | None = None
    mask: MaskSource | None = None
    detector: str | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """Name the part as ``lakecv run`` takes it, word by word; channels by their numbers."""
        window, axis = self.window, (f"{start}:{stop}ch" for start, stop in self.channels or ())
        return (
            *(() if window is None else ("--window", f"{window.y0}:{window.y1},{window.x0}:{window.x1}")),
            *(word for text in axis for word in ("--axis", text)),
            *(("--mask", self.mask.name) if self.mask else ()),
            *(("--detector", self.detector) if self.detector else ()),
        )

    @property
    def parts(self) -> tuple[str, ...]:
        """Say what is selected, an option at a time."""
        words = self.words
        return tuple(f"{option} {text}" for option, text in zip(words[::2], words[1::2], strict=True))

    def main(self, cube: CubeSpec) -> ArraySpec:
        """Array of a stored cube that models read."""
        return cube.main if self.detector is None else cube.array(self.detector)

    def whole(self, cube: CubeSpec) -> Window:
        """Pixels of a stored cube that are read."""
        return self.window or Window(0, cube.grid.ny, 0, cube.grid.nx)

    def stored(self, window: Window) -> Window:
        """Say where pixels of the selected cube lie in the stored one."""
        if self.window is None:
            return window
        y0, x0 = self.window.y0, self.window.x0
        return Window(window.y0 + y0, window.y1 + y0, window.x0 + x0, window.x1 + x0)

    def of(self, cube: CubeSpec) -> CubeSpec:
        """Describe what is selected of a stored cube: the array that models read, and its masks.

        Chunks stay where they are stored, so a window that begins inside one has an ``offset``.
        """
        window, main = self.whole(cube), self.main(cube)
        kept = (main, *(spec for spec in cube.arrays if spec.role is Role.MASK))
        offset = (window.y0 % main.chunks[0], window.x0 % main.chunks[1])
        arrays = tuple(self._cut(spec, window) for spec in kept)
        axis = cube.axis if cube.axis is None or self.channels is None else _taken(cube.axis, self.channels)
        return CubeSpec(_part(cube.grid, window), axis, arrays, offset if any(offset) else None)

    def _cut(self, spec: ArraySpec, window: Window) -> ArraySpec:
        third = spec.shape[2:]
        if self.channels is not None and spec.role is Role.DATA:
            third = (sum(stop - start for start, stop in self.channels),)
        return replace(spec, shape=(window.height, window.width, *third), chunks=(*spec.chunks[:2], *third), shards=None)


def _part(grid: Grid, window: Window) -> Grid:
    """Cut the picture plane; the place on the Earth or on the sky stays that of each pixel."""
    part = replace(grid, ny=window.height, nx=window.width)
    if grid.affine is not None:
        a, b, c, d, e, f = grid.affine
        part = replace(part, affine=(a, b, c + a * window.x0 + b * window.y0, d, e, f + d * window.x0 + e * window.y0))
    if grid.wcs is not None and (window.y0 or window.x0):
        part = replace(part, wcs=_moved(grid.wcs, window))
    return part


def _moved(wcs: str, window: Window) -> str:
    """Move the reference pixel of FITS cards: of the two axes on the sky the first counts columns (papers I and II)."""
    cards = wcs.split("\n")
    sky = sorted(match[1] for card in cards if (match := _SKY.match(card)))
    by = dict(zip((f"CRPIX{axis}" for axis in sky), (window.x0, window.y0), strict=False))
    there = {card[:8].strip() for card in cards if card[8:10] == "= "}
    cards += [f"{name:8}= {0.0!r:>20}".ljust(80) for name in by if name not in there]  # the standard's default
    return "\n".join(_less(card, by[name]) if (name := card[:8].strip()) in by and card[8:10] == "= " else card for card in cards)


def _less(card: str, pixels: int) -> str:
    value, slash, comment = card[10:].partition("/")
    return f"{card[:8]}= {float(value.upper().replace('D', 'E')) - pixels!r:>20}{f' / {comment.strip()}' if slash else ''}".ljust(80)[:80]


def _taken(axis: SpectralAxis, runs: Runs) -> SpectralAxis:
    """Leave some channels of an axis; one run of an even axis is even."""
    numbers = [channel for start, stop in runs for channel in range(start, stop)]
    names = None if axis.names is None else tuple(axis.names[channel] for channel in numbers)
    first = runs[0][0]
    if axis.values is not None:
        values = tuple(axis.values[channel] for channel in numbers)
        return replace(axis, size=len(numbers), names=names, values=values)
    if len(runs) == 1:
        step = 1.0 if axis.step is None else axis.step
        start = (0.0 if axis.start is None else axis.start) + step * first
        return replace(axis, size=len(numbers), names=names, start=start, step=step)
    known = axis.coordinates
    return replace(axis, size=len(numbers), names=names, start=None, step=None, values=tuple(known[channel] for channel in numbers))
