"""How a dataset lies in a store: chunk and shard sizes, keys, and the Zarr v3 metadata documents.

All of it follows from an array's shape and dtype, never from a plan, so that any plan writes the same objects.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from lakecv.cube import ArraySpec, CubeSpec, SpectralAxis, Window
from lakecv.lake_io.codec import codecs_json, fill_value

__all__ = ["Shard", "array_json", "document", "group_json", "lay_out", "shards"]

_MIB = 1 << 20
_CHUNK_MOST, _CHUNK_LEAST, _SHARD_MOST = 8 * _MIB, 2 * _MIB, 128 * _MIB
_SIDE_USUAL, _SIDE_MOST = 64, 1024
_SPECTRAL_MOST = 16384  # beyond it the spectral axis is cut as well


@dataclass(frozen=True, slots=True)
class Shard:
    """One stored object of an image array: its number, its key below the array, the pixels it holds."""

    index: int
    key: str
    window: Window


def lay_out(spec: ArraySpec) -> ArraySpec:
    """Choose the default chunks and shards of an array.

    Images get chunks of 2-8 MiB with the third axis whole, 64 x 64 pixels where it allows, in shards of at most 128 MiB;
    anything else (a table) is one object.

    Examples
    --------
    >>> from lakecv.cube import Role
    >>> cube = ArraySpec("data", Role.DATA, ("y", "x", "spectral"), (2000, 3000, 1024), "uint16", (1, 1, 1))
    >>> lay_out(cube).chunks, lay_out(cube).shards
    ((64, 64, 1024), (256, 256, 1024))
    """
    if not spec.is_image:
        return replace(spec, chunks=tuple(max(size, 1) for size in spec.shape), shards=None)
    ny, nx, *third = spec.shape
    deep = tuple(min(size, _SPECTRAL_MOST) for size in third)
    side = _side(math.prod(third) * spec.itemsize)
    chunks = (min(side, ny), min(side, nx), *deep)
    raw = math.prod(chunks[:2]) * math.prod(third) * spec.itemsize
    across = 1
    while raw * (2 * across) ** 2 <= _SHARD_MOST:
        across *= 2
    counts = (min(across, math.ceil(ny / chunks[0])), min(across, math.ceil(nx / chunks[1])))
    whole = tuple(math.ceil(size / chunk) * chunk for size, chunk in zip(third, deep, strict=True))
    return replace(spec, chunks=chunks, shards=(counts[0] * chunks[0], counts[1] * chunks[1], *whole))


def _side(nbytes_per_pixel: int) -> int:
    side = _SIDE_USUAL
    while side > 1 and side * side * nbytes_per_pixel > _CHUNK_MOST:
        side //= 2
    while side < _SIDE_MOST and side * side * nbytes_per_pixel < _CHUNK_LEAST:
        side *= 2
    return side


def shards(spec: ArraySpec, within: Window | None = None) -> Iterator[Shard]:
    """Walk the stored objects of an image array, row by row; only those that touch ``within`` where it is given."""
    height, width, *rest = spec.shards or spec.chunks
    ny, nx = spec.shape[:2]
    across = math.ceil(nx / width)
    tail = "".join("/0" for _ in rest)
    inside = within or Window(0, ny, 0, nx)
    for row in range(inside.y0 // height, math.ceil(inside.y1 / height)):
        for column in range(inside.x0 // width, math.ceil(inside.x1 / width)):
            y0, x0 = row * height, column * width
            window = Window(y0, min(y0 + height, ny), x0, min(x0 + width, nx))
            yield Shard(row * across + column, f"c/{row}/{column}{tail}", window)


def array_json(spec: ArraySpec, axis: SpectralAxis | None = None) -> dict[str, object]:
    """Metadata of one array, as Zarr v3 has it."""
    fill: object = fill_value(spec)
    attributes: dict[str, object] = {"role": str(spec.role)}
    if spec.unit:
        attributes["units"] = spec.unit
    if spec.title:
        attributes["long_name"] = spec.title
    if axis is not None:
        attributes |= {"quantity": str(axis.quantity), "long_name": axis.label}
        attributes |= {"units": axis.unit} if axis.unit else {}
        attributes |= {"frame": axis.frame} if axis.frame else {}
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(spec.shape),
        "data_type": spec.dtype,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(spec.shards or spec.chunks)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": "NaN" if fill != fill else fill,  # noqa: PLR0124  (only NaN differs from itself)
        "codecs": codecs_json(spec),
        "attributes": attributes,
        "dimension_names": list(spec.dims),
        "storage_transformers": [],
    }


def group_json(cube: CubeSpec, arrays: Sequence[tuple[str, dict[str, object]]]) -> dict[str, object]:
    """Metadata of the dataset's group, with that of its arrays inside (consolidated), so that one read opens it."""
    grid = cube.grid
    attributes: dict[str, object] = {"main": cube.main.name}
    if grid.pixel_size:
        attributes |= {"pixel_size": list(grid.pixel_size), "pixel_unit": grid.pixel_unit}
    if grid.crs:
        attributes |= {"crs": grid.crs}
    if grid.affine:
        attributes |= {"affine": list(grid.affine)}
    if grid.wcs:
        attributes |= {"wcs": grid.wcs}
    consolidated = {"kind": "inline", "must_understand": False, "metadata": dict(arrays)}
    return {"zarr_format": 3, "node_type": "group", "attributes": attributes, "consolidated_metadata": consolidated}


def document(data: dict[str, object]) -> bytes:
    """JSON text of a metadata document."""
    return json.dumps(data, indent=2, sort_keys=True).encode()
