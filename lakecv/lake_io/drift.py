"""Where the catalog's record, the manifest and the Zarr metadata disagree, though each is whole by itself.

Pure: takes the values and the documents, gives pairs of key and text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from lakecv.cube import ArraySpec
from lakecv.lake_io.layout import array_json, shards
from lakecv.records import Dataset, Manifest

__all__ = ["METADATA_NBYTES", "catalog_drift", "is_metadata", "metadata_drift", "promised_keys"]

METADATA_NBYTES = 16 << 20  # a larger metadata document is not looked into
_ROOT, _AXIS = "zarr.json", "spectral"
_NAMES = {"zarr.json", ".zarray"}
_STRUCTURE = {"shape": "shape", "data_type": "dtype", "chunk_grid": "chunks", "dimension_names": "dims"}


def is_metadata(key: str) -> bool:
    """Say whether a key is that of an array's or a group's Zarr metadata."""
    return key.rpartition("/")[2] in _NAMES


def promised_keys(dataset: Dataset) -> set[str]:
    """Keys that the catalog's record alone promises; none where the store was registered in place, in a layout of its own."""
    if not _is_own(dataset):
        return set()
    keys = {_ROOT} | {f"{spec.name}/zarr.json" for spec in dataset.cube.arrays}
    if dataset.cube.axis is not None:
        keys |= {f"{_AXIS}/zarr.json", f"{_AXIS}/c/0"}
    for spec in dataset.cube.arrays:
        stored = [shard.key for shard in shards(spec)] if spec.is_image else ["/".join(["c", *("0" for _ in spec.shape)])]
        keys |= {f"{spec.name}/{key}" for key in stored}
    return keys


def catalog_drift(dataset: Dataset, manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Compare the catalog's record with the manifest."""
    listed = {item.key for item in manifest.objects}
    for key in sorted(promised_keys(dataset) - listed):
        yield key, "the catalog's record promises it; the manifest does not list it"
    if dataset.nobjects != len(manifest.objects):
        yield "manifest.json", f"it lists {len(manifest.objects)} objects; the catalog says {dataset.nobjects}"
    if dataset.nbytes != manifest.nbytes:
        yield "manifest.json", f"it lists {manifest.nbytes} bytes; the catalog says {dataset.nbytes}"


def metadata_drift(dataset: Dataset, documents: Mapping[str, bytes]) -> Iterator[tuple[str, str]]:
    """Compare the catalog's record with the arrays' metadata, and those with what the group says of them.

    Parameters
    ----------
    dataset : Dataset
        The catalog's record.
    documents : bytes by key
        Metadata whose bytes are whole; what is not here is not compared.
    """
    read: dict[str, dict[str, Any]] = {}
    for key, data in documents.items():
        document = _parsed(data)
        if document is None:
            yield key, "it cannot be read as Zarr metadata"
        else:
            read[key] = document
    for spec in dataset.cube.arrays:
        if spec.compressor is None:
            yield from _foreign_drift(dataset, spec, read)
        elif f"{dataset.path_of(spec.name)}/zarr.json" in read:
            key = f"{dataset.path_of(spec.name)}/zarr.json"
            yield from ((key, text) for text in _own_drift(spec, read[key]))
    if _is_own(dataset):
        yield from _axis_drift(dataset, read)
        yield from _group_drift(read)


def _own_drift(spec: ArraySpec, document: dict[str, Any]) -> Iterator[str]:
    expected = array_json(spec)
    for name, word in _STRUCTURE.items():
        if document.get(name) != expected[name]:
            yield f"its {word} is {_plain(document.get(name))}; the catalog says {_plain(expected[name])}"
    if spec.shards is not None and _inner_chunks(document) != list(spec.chunks):
        yield f"its chunks inside a shard are {_plain(_inner_chunks(document))}; the catalog says {_plain(list(spec.chunks))}"


def _foreign_drift(dataset: Dataset, spec: ArraySpec, read: Mapping[str, dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Compare shape and, of the main array, dtype: the rest is the business of whoever wrote the store."""
    for name in sorted(_NAMES):
        key = f"{dataset.path_of(spec.name)}/{name}"
        if key not in read:
            continue
        shape = read[key].get("shape")
        if shape != list(spec.shape):
            yield key, f"its shape is {_plain(shape)}; the catalog says {_plain(list(spec.shape))}"
        dtype = _dtype_of(read[key])
        if spec is dataset.cube.main and dtype not in {"", spec.dtype}:
            yield key, f"its dtype is {dtype}; the catalog says {spec.dtype}"


def _axis_drift(dataset: Dataset, read: Mapping[str, dict[str, Any]]) -> Iterator[tuple[str, str]]:
    key, axis = f"{_AXIS}/zarr.json", dataset.cube.axis
    if axis is not None and key in read and read[key].get("shape") != [axis.size]:
        yield key, f"its shape is {_plain(read[key].get('shape'))}; the catalog's axis has {axis.size} channels"


def _group_drift(read: Mapping[str, dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Compare what the group repeats of its arrays with what they say themselves."""
    whole = read.get(_ROOT, {}).get("consolidated_metadata")
    repeated = whole.get("metadata") if isinstance(whole, dict) else None
    for name, document in repeated.items() if isinstance(repeated, dict) else ():
        if f"{name}/zarr.json" in read and read[f"{name}/zarr.json"] != document:
            yield _ROOT, f"what it says of '{name}' is not what {name}/zarr.json says"


def _is_own(dataset: Dataset) -> bool:
    """Say whether lakecv chose the layout."""
    return all(spec.compressor is not None for spec in dataset.cube.arrays)


def _parsed(data: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _inner_chunks(document: dict[str, Any]) -> object:
    try:
        return document["codecs"][0]["configuration"]["chunk_shape"]
    except (KeyError, IndexError, TypeError):
        return None


def _dtype_of(document: dict[str, Any]) -> str:
    """Name of the dtype in a v2 or v3 document; empty where it is not a plain number."""
    said = document.get("data_type", document.get("dtype"))
    try:
        return np.dtype(said).name if isinstance(said, str) else ""
    except TypeError:
        return ""


def _plain(value: object) -> str:
    if isinstance(value, dict) and isinstance(value.get("configuration"), dict):
        return _plain(value["configuration"].get("chunk_shape"))
    if isinstance(value, list):
        return " x ".join(str(item) for item in value) or "scalar"
    return "not given" if value is None else str(value)
