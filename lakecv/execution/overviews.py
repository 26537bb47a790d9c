"""Small pictures of a result, made where its shards are written: a report needs no more of it, however large and far it is."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from lakecv.cube import ArraySpec, Role, Window
from lakecv.numerics.shrinking import block_means
from lakecv.sheet import Array

__all__ = ["join", "overview"]

_EDGE, _COMPONENTS = 1024, 6
_SHOWN = {Role.LABELS, Role.SCORES, Role.DISTANCE, Role.EMBEDDING, Role.RGB, Role.AUXILIARY, Role.DATA}


def overview(spec: ArraySpec, window: Window, values: Array) -> Array | None:
    """Make a window's part of a picture of at most 1,024 pixels along each side; None where the array is not for looking at.

    Labels keep every n-th pixel, the rest is means over samples that are usable; at most six components.
    """
    if spec.role not in _SHOWN:
        return None
    step, few = _step(spec), values[..., :_COMPONENTS] if values.ndim > 2 else values  # noqa: PLR2004
    if step == 1 or not values.size:
        return few
    if spec.role is Role.LABELS:
        return few[(step // 2 - window.y0) % step :: step, (step // 2 - window.x0) % step :: step]
    usable = few.astype(np.float64)
    if spec.nodata is not None:
        usable = np.where(few == spec.nodata, np.nan, usable)
    means = block_means(usable, step, (window.y0, window.x0))
    if few.dtype.kind == "f":
        return np.where(np.isnan(means) & (spec.nodata is not None), spec.nodata or 0.0, means).astype(few.dtype)
    return np.rint(np.where(np.isnan(means), spec.nodata or 0, means)).astype(few.dtype)


def join(spec: ArraySpec, parts: Sequence[tuple[Window, Array]]) -> Array:
    """Put the parts of a picture together; where a shard ends within a block of pixels, the later shard's mean stays."""
    step, lead = _step(spec), _lead(spec)
    ny, nx = (len(range(lead, size, step)) for size in spec.shape[:2])
    whole = np.empty((ny, nx, *parts[0][1].shape[2:]), spec.dtype)
    for window, part in parts:
        y, x = (math.ceil(max(0, first - lead) / step) if lead else first // step for first in (window.y0, window.x0))
        whole[y : y + part.shape[0], x : x + part.shape[1]] = part
    return whole


def _step(spec: ArraySpec) -> int:
    return max(1, math.ceil(max(spec.shape[:2]) / _EDGE))


def _lead(spec: ArraySpec) -> int:
    """Rows before the first one that is kept."""
    return _step(spec) // 2 if spec.role is Role.LABELS else 0
