"""How a picture is cut into blocks: large enough to hide the scheduler, small enough to balance and to lose.

A block is made of whole chunks, so the cells inside it, and with them every sum, do not depend on the choice.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise

from lakecv.cube import Block, CellGrid, Window

__all__ = ["block_at", "choose_blocks"]

_SECONDS = 1.5  # of work per block: a scheduler costs about 1.3 ms a task, a killed worker loses one block
_BLOCKS_PER_SLOT = 4  # so that slots end together


def choose_blocks(grid: CellGrid, *, seconds_per_pixel: float, slots: int, most_pixels: int | None = None) -> tuple[Block, ...]:
    """Cut a picture into blocks of about ``_SECONDS`` of work and at least ``_BLOCKS_PER_SLOT`` for each slot.

    Parameters
    ----------
    grid : CellGrid
        Cells and chunks of the input.
    seconds_per_pixel : float
        Of the stage that costs most.
    slots : int
        Blocks that run at once.
    most_pixels : int, optional
        Memory's word: a block never has more, unless one chunk does.

    Returns
    -------
    tuple of Block
        Row by row; they tile the picture without gap or overlap.

    Examples
    --------
    >>> len(choose_blocks(CellGrid(640, 640, (64, 64)), seconds_per_pixel=1e-6, slots=2))
    10
    """
    rows, columns = grid.edges(0), grid.edges(1)
    wanted = min(_SECONDS / max(seconds_per_pixel, 1e-12), grid.ny * grid.nx / (_BLOCKS_PER_SLOT * slots))
    if most_pixels is not None:
        wanted = min(wanted, most_pixels)
    chunks = max(1, int(wanted // math.prod(grid.chunk)))
    across = min(len(columns) - 1, chunks)
    down = max(1, min(len(rows) - 1, chunks // across))
    spans = ((y, x) for y in pairwise(_every(down, rows)) for x in pairwise(_every(across, columns)))
    return tuple(Block(index, Window(*y, *x)) for index, (y, x) in enumerate(spans))


def _every(nth: int, edges: tuple[int, ...]) -> tuple[int, ...]:
    """Leave every nth edge and the last one."""
    return (*edges[:-1:nth], edges[-1])


def block_at(blocks: Sequence[Block], window: Window) -> int:
    """Find the block, of those that :func:`choose_blocks` gave, that a cell lies in."""
    found = bisect_right(blocks, (window.y0, window.x0), key=lambda block: (block.window.y0, block.window.x0))
    return next((block.index for block in reversed(blocks[:found]) if block.window.intersect(window)), 0)
