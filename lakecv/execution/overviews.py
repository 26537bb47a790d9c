"""Small pictures of a result, made where its shards are written: a report needs no more of it, however large and far it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from lakecv.cube import ArraySpec, Role, Window
from lakecv.numerics.shrinking import block_means
from lakecv.sheet import Array

__all__ = ["join", "overview"]

_EDGE, _COMPONENTS = 1024, 6
_STRIP_SAMPLES = 1 << 20  # that are averaged at once, in float64
_SHOWN = {Role.LABELS, Role.SCORES, Role.DISTANCE, Role.EMBEDDING, Role.RGB, Role.AUXILIARY, Role.DATA}


def overview(spec: ArraySpec, window: Window, values: Array) -> Array | None:
    """Make a window's part of a picture of at most 1,024 pixels along each side; None where the array is not for looking at.

    Labels keep every n-th pixel; the rest is means over samples that are usable, in float32 (colors keep their dtype); at most six
    components.
    """
    if spec.role not in _SHOWN:
        return None
    step, few = _step(spec), values[..., :_COMPONENTS] if values.ndim > 2 else values  # noqa: PLR2004
    if step == 1:
        return few
    if spec.role is Role.LABELS:
        (top, left), (y0, x0) = _lead(spec), (window.y0, window.x0)
        return few[(top - y0) % step :: step, (left - x0) % step :: step]
    rows = step * max(1, _STRIP_SAMPLES // max(1, step * math.prod(few.shape[1:])))
    ends = [0, *range(-window.y0 % rows or rows, few.shape[0], rows), few.shape[0]]
    means = np.concatenate([_means(spec, few[start:stop], step, (window.y0 + start, window.x0)) for start, stop in pairwise(ends)])
    return np.rint(means).astype(few.dtype) if spec.role is Role.RGB and few.dtype.kind in "iu" else means


def join(spec: ArraySpec, parts: Sequence[tuple[Window, Array]]) -> Array:
    """Put the parts of a picture together; where a shard ends within a block of pixels, the later shard's mean stays."""
    step, lead = _step(spec), _lead(spec)
    ny, nx = (len(range(first, size, step)) for first, size in zip(lead, spec.shape, strict=False))
    whole = np.empty((ny, nx, *parts[0][1].shape[2:]), parts[0][1].dtype)
    for window, part in parts:
        y, x = (_place(start, first, step) for start, first in zip((window.y0, window.x0), lead, strict=True))
        whole[y : y + part.shape[0], x : x + part.shape[1]] = part
    return whole


def _means(spec: ArraySpec, values: Array, step: int, origin: tuple[int, int]) -> Array:
    usable = values if spec.nodata is None else np.where(values == spec.nodata, np.nan, values)
    return block_means(usable, step, origin).astype(np.float32)


def _step(spec: ArraySpec) -> int:
    return max(1, math.ceil(max(spec.shape[:2]) / _EDGE))


def _lead(spec: ArraySpec) -> tuple[int, int]:
    """First row and column that is kept."""
    middle = _step(spec) // 2 if spec.role is Role.LABELS else 0
    return min(middle, spec.shape[0] // 2), min(middle, spec.shape[1] // 2)


def _place(start: int, lead: int, step: int) -> int:
    """Where in the small picture a part goes that begins at a row or column: of kept pixels the next, of means that which it is in."""
    return start // step if lead == 0 else max(0, -(-(start - lead) // step))
