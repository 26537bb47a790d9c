"""A PNG encoder: 8-bit grey, palette, RGB and RGBA.

Thumbnails are made below the layer that may load an imaging library, and the bytes must be the same everywhere; the
format needs thirty lines (W3C Portable Network Graphics, 3rd edition, 2025).
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from lakecv.errors import InvalidInput, Kind

__all__ = ["encode_png"]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB, _PALETTE, _RGBA = 0, 2, 3, 6
_COLOR_TYPE = {1: _GREY, 3: _RGB, 4: _RGBA}


def encode_png(pixels: NDArray[np.uint8], palette: NDArray[np.uint8] | None = None) -> bytes:
    """Encode a picture.

    Parameters
    ----------
    pixels : (y, x) or (y, x, 3) or (y, x, 4) uint8
        Grey values or palette indices, RGB, RGBA.
    palette : (n, 3) or (n, 4) uint8, optional
        Colors (and opacities) of the indices in a (y, x) picture.

    Returns
    -------
    bytes
        A PNG file; equal pixels give equal bytes with one zlib version.

    Raises
    ------
    InvalidInput
        If the array has no such shape or dtype, or an index has no color (kind ``shape-invalid``).
    """
    channels = _channels(pixels, palette)
    height, width = pixels.shape[:2]
    color_type = _COLOR_TYPE[channels] if palette is None else _PALETTE
    rows = np.zeros((height, 1 + width * channels), np.uint8)  # a leading 0 on each row: no filter
    rows[:, 1:] = pixels.reshape(height, width * channels)
    header = struct.pack(">IIBBBBB", width, height, 8, color_type, 0, 0, 0)
    parts = [_chunk(b"IHDR", header)]
    if palette is not None:
        parts.append(_chunk(b"PLTE", palette[:, :3].tobytes()))
        if palette.shape[1] == 4:  # noqa: PLR2004  (RGBA)
            parts.append(_chunk(b"tRNS", palette[:, 3].tobytes()))
    parts += [_chunk(b"IDAT", zlib.compress(rows.tobytes(), 9)), _chunk(b"IEND", b"")]
    return _SIGNATURE + b"".join(parts)


def _channels(pixels: NDArray[np.uint8], palette: NDArray[np.uint8] | None) -> int:
    """Check shapes; samples per pixel."""
    channels = pixels.shape[2] if pixels.ndim == 3 else 1  # noqa: PLR2004  (y, x, channel)
    if pixels.dtype != np.uint8 or pixels.ndim not in {2, 3} or channels not in _COLOR_TYPE or 0 in pixels.shape:
        raise InvalidInput(
            f"an array of {pixels.dtype} with shape {pixels.shape} is no picture", Kind.SHAPE_INVALID,
            "give (y, x), (y, x, 3) or (y, x, 4) of uint8",
        )
    if palette is not None and (channels != 1 or len(palette) > 256 or int(pixels.max()) >= len(palette)):  # noqa: PLR2004
        raise InvalidInput(
            f"{len(palette)} colors do not serve a picture of shape {pixels.shape} with values up to {pixels.max()}",
            Kind.SHAPE_INVALID, "give a (y, x) picture and a color for each index, 256 at most",
        )
    return channels


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
