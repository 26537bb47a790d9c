"""Named arrays to bytes and back: states, statistics and parts as safetensors, never a pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from lakecv.errors import Corrupt, Kind
from lakecv.sheet import Array, State

__all__ = ["pack_arrays", "pack_state", "unpack_arrays", "unpack_state"]

_ATTRIBUTES = "lakecv"


def pack_arrays(arrays: Mapping[str, Array]) -> bytes:
    """Store named arrays, in the order of their names: equal arrays give equal bytes."""
    return save({name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)})


def unpack_arrays(data: bytes) -> dict[str, Array]:
    """Read named arrays.

    Raises
    ------
    Corrupt
        If the bytes are not safetensors (kind ``file-malformed``).
    """
    try:
        return load(data)
    except SafetensorError as err:
        raise Corrupt(f"named arrays cannot be read: {err}", Kind.FILE_MALFORMED, "the copy is damaged: run the model again") from err


def pack_state(state: State) -> bytes:
    """Store a state: its arrays, and its attributes as JSON in the header."""
    arrays = {name: np.ascontiguousarray(state.arrays[name]) for name in sorted(state.arrays)}
    return save(arrays, metadata={_ATTRIBUTES: json.dumps(dict(state.attributes), sort_keys=True)})


def unpack_state(data: bytes) -> State:
    """Read a state.

    Raises
    ------
    Corrupt
        If the bytes are not a state (kind ``file-malformed``).
    """
    arrays = unpack_arrays(data)
    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        return State(arrays, json.loads(header["__metadata__"][_ATTRIBUTES]))
    except (ValueError, KeyError, TypeError) as err:
        raise Corrupt("these named arrays are not a model's state", Kind.FILE_MALFORMED, "run the model again") from err
