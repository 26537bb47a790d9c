"""From stored shards to a dataset that can be seen.

No ``zarr.json`` exists until all data are stored: to any client there is no array.  Then tables and artifacts, the arrays'
metadata, the root, the manifest; the catalog entry comes last and belongs to the caller.  Each step is create-only and
idempotent, so a killed publish is simply done again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from lakecv.canonical import dumps, loads
from lakecv.cube import ArraySpec, CubeSpec, Role, SpectralAxis
from lakecv.errors import Conflict, Corrupt, Kind, NotFound
from lakecv.lake_io.codec import encode_chunk
from lakecv.lake_io.layout import array_json, document, group_json, lay_out
from lakecv.lake_io.objects import describe, put_checked
from lakecv.ports import ObjectIO
from lakecv.records import Manifest, StoredObject
from lakecv.sheet import Array

__all__ = ["MANIFEST", "Published", "load_manifest", "publish", "table_spec", "write_table"]

MANIFEST = "manifest.json"
_AXIS = "spectral"
_LOST = "restore it from a backup, or register the original again under another name"


@dataclass(frozen=True, slots=True)
class Published:
    """What publishing gave: the cube spec with its tables and the manifest."""

    cube: CubeSpec
    manifest: Manifest


def publish(
    objects: ObjectIO, cube: CubeSpec, stored: Iterable[StoredObject], *, tables: Mapping[ArraySpec, Array],
    artifacts: Mapping[str, bytes],
) -> Published:
    """Make stored shards readable.

    Parameters
    ----------
    objects : ObjectIO
        The dataset's prefix.
    cube : CubeSpec
        With the image arrays, all of whose shards are stored.
    stored : StoredObject
        Those shards.
    tables : spec and values
        Small arrays to write beside them.
    artifacts : bytes by key
        Kept as they are where a killed publish already wrote them.
    """
    written = [write_table(objects, spec, values) for spec, values in tables.items()]
    extra = [_put_once(objects, key, data) for key, data in sorted(artifacts.items())]
    whole = CubeSpec(cube.grid, cube.axis, (*cube.arrays, *tables))
    metadata = _metadata(whole)
    if cube.axis is not None:
        spec = _axis_spec(cube.axis)
        written.append(write_table(objects, spec, np.array(cube.axis.coordinates)))
        metadata.append((_AXIS, array_json(spec, cube.axis)))
    for name, data in metadata:
        written.append(put_checked(objects, f"{name}/zarr.json", document(data)))
    written.append(put_checked(objects, "zarr.json", document(group_json(whole, metadata))))
    manifest = Manifest(tuple(sorted([*stored, *written], key=_by_key)), tuple(extra))
    put_checked(objects, MANIFEST, dumps(manifest).encode())
    return Published(whole, manifest)


def table_spec(name: str, dims: tuple[str, ...], values: Array, title: str = "", unit: str | None = None) -> ArraySpec:
    """Spec of a small array that is stored whole."""
    dtype = str(values.dtype)
    return lay_out(ArraySpec(name, Role.TABLE, dims, values.shape, dtype, values.shape, unit=unit, title=title or None))


def write_table(objects: ObjectIO, spec: ArraySpec, values: Array) -> StoredObject:
    """Store a table as one chunk."""
    key = "/".join([spec.name, "c", *("0" for _ in spec.shape)])
    return put_checked(objects, key, encode_chunk(values, spec))


def load_manifest(objects: ObjectIO, digest: str) -> Manifest:
    """Read a dataset's manifest and compare it with the digest that the catalog holds.

    Raises
    ------
    Corrupt
        If it is missing or describes other data.
    """
    try:
        manifest = loads(Manifest, objects.get(MANIFEST))
    except NotFound as err:
        raise Corrupt(f"{objects.url}/{MANIFEST} is missing", Kind.OBJECT_MISSING, _LOST) from err
    if manifest.digest != digest:
        raise Corrupt(
            f"{objects.url}/{MANIFEST} does not match the catalog's digest {digest[:12]}", Kind.CHECKSUM_MISMATCH, _LOST,
        )
    return manifest


def _metadata(cube: CubeSpec) -> list[tuple[str, dict[str, object]]]:
    return [(spec.name, array_json(spec)) for spec in cube.arrays]


def _axis_spec(axis: SpectralAxis) -> ArraySpec:
    return ArraySpec(_AXIS, Role.TABLE, (_AXIS,), (axis.size,), "float64", (axis.size,), unit=axis.unit)


def _put_once(objects: ObjectIO, key: str, data: bytes) -> StoredObject:
    """Create an artifact; where there is one already (with other times in it), that one counts."""
    try:
        return put_checked(objects, key, data)
    except Conflict:
        return describe(key, objects.get(key))


def _by_key(item: StoredObject) -> str:
    return item.key
