"""Named arrays to bytes and back: states, statistics and parts as safetensors, never a pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import accumulate

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from lakecv.errors import Corrupt, Kind
from lakecv.lake_io.objects import sha256_hex
from lakecv.plan import Piece
from lakecv.sheet import Array, State

__all__ = ["pack_arrays", "pack_pieces", "pack_state", "unpack_arrays", "unpack_piece", "unpack_state"]

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


def pack_pieces(arrays: Mapping[str, Array]) -> tuple[bytes, tuple[Piece, ...]]:
    """Store named arrays one behind the other, and say where each lies: equal arrays give equal bytes."""
    blobs = {name: pack_arrays({name: arrays[name]}) for name in sorted(arrays)}
    ends = accumulate(map(len, blobs.values()))
    pieces = (Piece(name, end - len(blob), len(blob), sha256_hex(blob)) for (name, blob), end in zip(blobs.items(), ends, strict=True))
    return b"".join(blobs.values()), tuple(pieces)


def unpack_piece(piece: Piece, data: bytes, part: str) -> Array:
    """Read one array, and compare it with its digest; ``part`` is where it was found.

    Raises
    ------
    Corrupt
        If it differs.
    """
    if sha256_hex(data) != piece.digest:
        raise Corrupt(f"{piece.name} in {part} does not match its record", Kind.CHECKSUM_MISMATCH)
    return unpack_arrays(data)[piece.name]


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
