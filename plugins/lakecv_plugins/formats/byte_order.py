"""Whether raw samples make sense in the byte order that a text file beside them claims.

Nothing in a raw file tells its byte order, and headers are copied and mistyped; a few pages of samples, read both ways,
show the mistake: neighbours in a cube are alike, and floats of either sign of the exponent's end are not.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lakecv.sheet import Array
from lakecv_plugins.formats.stored import FlatFile

__all__ = ["order_notes"]

_PAGES, _SAMPLES = 4, 4096
_ROUGHER, _STRANGE, _USUAL = 8.0, 0.1, 0.01
_TINY, _HUGE = 1e-20, 1e20


def order_notes(flat: FlatFile) -> tuple[str, ...]:
    """Warn where the other byte order is far more plausible than the one that is claimed."""
    if flat.dtype.itemsize == 1 or flat.dtype.kind not in "iuf":
        return ()
    told, other = _pages(flat, flat.dtype), _pages(flat, flat.dtype.newbyteorder())
    wrong = _strange_floats(told, other) if flat.dtype.kind == "f" else _rougher(told, other)
    claimed, better = ("big", "little") if _is_big(flat.dtype) else ("little", "big")
    if not wrong:
        return ()
    return (f"the samples look implausible as {claimed}-endian and usual as {better}-endian; check the byte order in the header",)


def _pages(flat: FlatFile, dtype: np.dtype[Any]) -> list[Array]:
    """Read runs of samples from the start to the end of the file, widened to float64."""
    count = (flat.end - flat.offset) // dtype.itemsize
    starts = sorted({page * max(0, count - _SAMPLES) // (_PAGES - 1) for page in range(_PAGES)})
    with flat.path.open("rb") as file:
        runs = []
        for start in starts:
            file.seek(flat.offset + start * dtype.itemsize)
            data = file.read(min(_SAMPLES, count) * dtype.itemsize)
            runs.append(np.frombuffer(data, dtype, len(data) // dtype.itemsize))
    with np.errstate(all="ignore"):  # signalling NaNs among wrongly read floats
        return [run.astype(np.float64) for run in runs]


def _rougher(told: list[Array], other: list[Array]) -> bool:
    """Compare how much neighbours differ."""
    rough, smooth = (sum(float(np.abs(np.diff(run)).sum()) for run in runs) for runs in (told, other))
    return rough > _ROUGHER * smooth > 0.0


def _strange_floats(told: list[Array], other: list[Array]) -> bool:
    """Compare how many values are beyond what anybody measures."""
    return _strangeness(told) > _STRANGE and _strangeness(other) < _USUAL


def _strangeness(runs: list[Array]) -> float:
    values = np.abs(np.concatenate(runs))
    strange = (values > _HUGE) | ((values < _TINY) & (values > 0.0))
    return float(strange.mean()) if values.size else 0.0


def _is_big(dtype: np.dtype[Any]) -> bool:
    return dtype.newbyteorder("=") != dtype if np.little_endian else dtype.newbyteorder("=") == dtype
