"""Named arrays to bytes and back: states as safetensors, what tasks leave as compressed pieces; never a pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from lakecv.errors import Corrupt, Kind
from lakecv.lake_io.codec import Bytes, pack_values, unpack_values
from lakecv.lake_io.objects import sha256_hex
from lakecv.plan import Piece
from lakecv.sheet import Array, State

__all__ = ["pack_pieces", "pack_state", "unpack_piece", "unpack_state"]

_ATTRIBUTES = "lakecv"


def pack_pieces(arrays: Mapping[str, Array]) -> tuple[bytes, tuple[Piece, ...]]:
    """Compress named arrays one behind the other, and say where each lies: equal arrays give equal bytes."""
    blobs: list[bytes] = []
    pieces: list[Piece] = []
    start = 0
    for name in sorted(arrays):
        blobs.append(pack_values(arrays[name]))
        pieces.append(Piece(name, arrays[name].dtype.str, arrays[name].shape, start, len(blobs[-1]), sha256_hex(blobs[-1])))
        start += len(blobs[-1])
    return b"".join(blobs), tuple(pieces)


def unpack_piece(piece: Piece, data: Bytes, part: str) -> Array:
    """Read one array, and compare its bytes with their digest; ``part`` is where it was found.

    Raises
    ------
    Corrupt
        If it differs.
    """
    if sha256_hex(data) != piece.digest:
        raise Corrupt(f"{piece.name} in {part} does not match its record", Kind.CHECKSUM_MISMATCH)
    return unpack_values(data, piece.dtype, piece.shape)


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
    try:
        arrays = load(data)
    except SafetensorError as err:
        raise Corrupt(f"named arrays cannot be read: {err}", Kind.FILE_MALFORMED, "the copy is damaged: run the model again") from err
    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        return State(arrays, json.loads(header["__metadata__"][_ATTRIBUTES]))
    except (ValueError, KeyError, TypeError) as err:
        raise Corrupt("these named arrays are not a model's state", Kind.FILE_MALFORMED, "run the model again") from err
