"""A job's mask as what it is given beside its models: one bit for each pixel of the selected cube."""

from __future__ import annotations

from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from lakecv.sheet import State

__all__ = ["MASK", "mask_digest", "pack_mask", "unpack_mask"]

MASK = "mask-given"
"""Where a run keeps it, among its states."""

_BITS = "bits"


def pack_mask(mask: NDArray[np.bool_]) -> State:
    """Pack a mask, (ny, nx), row by row."""
    return State({_BITS: np.packbits(mask.reshape(-1))})


def unpack_mask(state: State, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Unpack the mask of a picture of (ny, nx) pixels."""
    ny, nx = shape
    return np.unpackbits(state.arrays[_BITS], count=ny * nx).astype(np.bool_).reshape(shape)


def mask_digest(mask: NDArray[np.bool_]) -> str:
    """Hexadecimal sha256 of shape and packed bits."""
    return sha256(f"{mask.shape[0]},{mask.shape[1]};".encode() + np.packbits(mask.reshape(-1)).tobytes()).hexdigest()
