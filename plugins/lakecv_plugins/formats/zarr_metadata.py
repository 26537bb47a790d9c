"""Zarr metadata, validated before any Zarr library sees it.

A stranger's zarr.json decides which codecs run and how much memory a chunk takes: so only known fields, known codecs and
sizes that can exist are let through.  Sources: Zarr core specifications v2 and v3.0, zarr-python 3.1 codec names.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lakecv.errors import Corrupt, Kind

__all__ = ["CODECS_V2", "CODECS_V3", "ArrayMetadata", "array_v2", "array_v3", "load_object"]

_NBYTES_AT_MOST, _DEPTH_AT_MOST, _DIMS_AT_MOST = 64 << 20, 64, 32
_SIZE_AT_MOST, _TOTAL_AT_MOST = 1 << 40, 1 << 60
CODECS_V2 = frozenset({
    "blosc", "zlib", "gzip", "bz2", "lzma", "lz4", "zstd",
    "delta", "fixedscaleoffset", "quantize", "bitround", "shuffle", "packbits", "astype",
    "crc32", "crc32c", "adler32", "fletcher32", "jenkins_lookup3",
})  # fmt: skip
CODECS_V3 = frozenset({"bytes", "blosc", "gzip", "zstd", "crc32c", "transpose", "sharding_indexed"}) | frozenset(
    f"numcodecs.{name}" for name in CODECS_V2
)
_TEXT_CODECS = frozenset({"vlen-utf8", "vlen-bytes"})
_TEXT_TYPES = frozenset({"string", "bytes", "variable_length_bytes", "fixed_length_utf32", "null_terminated_bytes", "raw_bytes"})
_FIELDS_V3 = frozenset({
    "zarr_format", "node_type", "shape", "data_type", "chunk_grid", "chunk_key_encoding", "codecs", "fill_value",
    "attributes", "dimension_names", "storage_transformers", "consolidated_metadata",
})  # fmt: skip
_TYPE_V2 = re.compile(r"[<>|](?:b1|[iu][1248]|f[248]|c(?:8|16)|[MmSUV]\d*(?:\[[^\]]+\])?)")
_TYPE_V3 = re.compile(r"bool|u?int(?:8|16|32|64)|float(?:16|32|64)|complex(?:64|128)|r\d+|[a-z][a-z0-9_.]*")
_KINDS = {"b": "bool", "i": "int", "u": "uint", "f": "float", "c": "complex"}
_TEXT = "text"


@dataclass(frozen=True)
class ArrayMetadata:
    """What the metadata of one array says, after validation.

    ``dtype`` is a numpy name in native byte order, or the name of a type without numbers (text, dates).  ``chunks`` are
    the unit of decoding, ``shards`` the unit of storage (None = one object per chunk).
    """

    zarr_format: int
    shape: tuple[int, ...]
    dtype: str
    chunks: tuple[int, ...]
    shards: tuple[int, ...] | None
    codecs: tuple[str, ...]
    dimension_names: tuple[str | None, ...] | None
    attributes: Mapping[str, Any]


def load_object(data: bytes, name: str) -> dict[str, Any]:
    """Parse a JSON object of at most 64 MiB and 64 levels.

    Raises
    ------
    Corrupt
        If it is not that (kind ``file-malformed``).
    """
    if len(data) > _NBYTES_AT_MOST:
        raise _bad(name, f"has {len(data)} bytes; metadata has at most {_NBYTES_AT_MOST}")
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as err:
        raise _bad(name, f"is not JSON: {err}") from err
    if not isinstance(found, dict):
        raise _bad(name, "is no JSON object")
    level: list[Any] = [found]
    for _depth in range(_DEPTH_AT_MOST):
        level = [child for item in level for child in (item.values() if isinstance(item, dict) else item)]
        level = [child for child in level if isinstance(child, dict | list)]
        if not level:
            return found
    raise _bad(name, f"is nested deeper than {_DEPTH_AT_MOST} levels")


def array_v3(meta: Mapping[str, Any], name: str) -> ArrayMetadata:
    """Validate the zarr.json of an array.

    Raises
    ------
    Corrupt
        ``codec-failed`` for a codec that is not allowed, ``file-malformed`` for all else.
    """
    strange = [key for key, value in meta.items() if key not in _FIELDS_V3 and not _may_be_ignored(value)]
    if strange or meta.get("storage_transformers"):
        raise _bad(name, f"needs the unknown extension '{(strange or ['storage_transformers'])[0]}'")
    if meta.get("zarr_format") != 3 or meta.get("node_type") != "array":  # noqa: PLR2004
        raise _bad(name, "is no Zarr v3 array")
    dtype = _dtype_v3(meta.get("data_type"), name)
    shape = _shape(meta.get("shape"), name, dtype)
    outer = _chunks(_configured(meta.get("chunk_grid"), "regular", name).get("chunk_shape"), shape, name)
    encoding = meta.get("chunk_key_encoding")
    key_name = encoding.get("name") if isinstance(encoding, Mapping) else encoding
    if key_name not in {"default", "v2"}:
        raise _bad(name, f"has the unknown chunk key encoding {key_name!r}")
    codecs, inner = _codecs_v3(meta.get("codecs"), outer, dtype, name)
    return ArrayMetadata(
        3, shape, dtype, inner or outer, outer if inner else None, codecs,
        _names(meta.get("dimension_names"), shape, name), _attributes(meta.get("attributes", {}), name),
    )  # fmt: skip


def array_v2(meta: Mapping[str, Any], attributes: Mapping[str, Any], name: str) -> ArrayMetadata:
    """Validate a .zarray with its .zattrs; xarray's ``_ARRAY_DIMENSIONS`` are the names of the dims.

    Raises
    ------
    Corrupt
        ``codec-failed`` for a codec or an object type that is not allowed, ``file-malformed`` for all else.
    """
    if meta.get("zarr_format") != 2:  # noqa: PLR2004
        raise _bad(name, "is no Zarr v2 array")
    filters = meta.get("filters") or []
    if not isinstance(filters, list):
        raise _bad(name, "has filters that are no list")
    codecs = tuple(_codec_id(item, name) for item in (*filters, *([meta["compressor"]] if meta.get("compressor") else [])))
    dtype = _dtype_v2(meta.get("dtype"), codecs, name)
    allowed = CODECS_V2 | (_TEXT_CODECS if dtype == _TEXT else frozenset())
    _check_codecs(codecs, allowed, name)
    shape = _shape(meta.get("shape"), name, dtype)
    chunks = _chunks(meta.get("chunks"), shape, name)
    if meta.get("order", "C") not in {"C", "F"} or meta.get("dimension_separator", ".") not in {".", "/"}:
        raise _bad(name, "has an unknown order or dimension_separator")
    return ArrayMetadata(
        2, shape, dtype, chunks, None, codecs, _names(attributes.get("_ARRAY_DIMENSIONS"), shape, name), attributes,
    )


def _bad(name: str, why: str) -> Corrupt:
    return Corrupt(f"'{name}' {why}", Kind.FILE_MALFORMED, "write the store again with zarr-python or xarray")


def _may_be_ignored(value: Any) -> bool:
    return isinstance(value, Mapping) and value.get("must_understand") is False


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _sizes(value: Any, name: str, what: str) -> tuple[int, ...]:
    if not isinstance(value, list) or len(value) > _DIMS_AT_MOST or not all(_whole(size) for size in value):
        raise _bad(name, f"has {what} {str(value)[:80]}; whole numbers are expected")
    return tuple(value)


def _shape(value: Any, name: str, dtype: str) -> tuple[int, ...]:
    shape = _sizes(value, name, "the shape")
    if any(size < 0 or size > _SIZE_AT_MOST for size in shape):
        raise _bad(name, f"has the shape {list(shape)}; sizes are 0 to 2**40")
    if math.prod(shape) * _itemsize(dtype) > _TOTAL_AT_MOST:
        raise _bad(name, f"has the shape {list(shape)}: more than 2**60 bytes")
    return shape


def _itemsize(dtype: str) -> int:
    digits = re.search(r"\d+$", dtype)
    return max(1, int(digits.group()) // 8) if digits else 1


def _chunks(value: Any, shape: tuple[int, ...], name: str) -> tuple[int, ...]:
    chunks = _sizes(value, name, "chunks")
    if len(chunks) != len(shape):
        raise _bad(name, f"has chunks {list(chunks)} that cannot cover the shape {list(shape)}")
    if any(size < 1 or size > _SIZE_AT_MOST for size in chunks):
        raise _bad(name, f"has chunks {list(chunks)}; every size is at least 1")
    return chunks


def _configured(value: Any, expected: str, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or value.get("name") != expected or not isinstance(value.get("configuration"), Mapping):
        raise _bad(name, f"has no {expected} chunk grid but {str(value)[:80]}")
    configuration: Mapping[str, Any] = value["configuration"]
    return configuration


def _codec_id(value: Any, name: str, key: str = "id") -> str:
    found = value.get(key) if isinstance(value, Mapping) else value
    if not isinstance(found, str):
        raise _bad(name, f"has a codec without a name: {str(value)[:80]}")
    return found


def _check_codecs(codecs: tuple[str, ...], allowed: frozenset[str], name: str) -> None:
    for codec in codecs:
        if codec not in allowed:
            raise Corrupt(
                f"'{name}' is packed with the codec '{codec}', which lakecv does not run", Kind.CODEC_FAILED,
                f"write it again with one of {', '.join(sorted(allowed & CODECS_V2 or allowed))}",
            )


def _codecs_v3(
    value: Any, outer: tuple[int, ...], dtype: str, name: str,
) -> tuple[tuple[str, ...], tuple[int, ...] | None]:
    """Check a codec chain, and the one inside shards; gives their names and the chunks inside a shard."""
    if not isinstance(value, list) or not value:
        raise _bad(name, "has no list of codecs")
    codecs = tuple(_codec_id(item, name, "name") for item in value)
    _check_codecs(codecs, CODECS_V3 | (_TEXT_CODECS if dtype == _TEXT else frozenset()), name)
    if "sharding_indexed" not in codecs:
        return codecs, None
    sharding = _configured(value[codecs.index("sharding_indexed")], "sharding_indexed", name)
    inner = _chunks(sharding.get("chunk_shape"), outer, name)
    if any(shard % chunk for shard, chunk in zip(outer, inner, strict=True)):
        raise _bad(name, f"has shards {list(outer)} that chunks {list(inner)} cannot cover")
    inside, nested = _codecs_v3(sharding.get("codecs"), inner, dtype, name)
    index, _none = _codecs_v3(sharding.get("index_codecs"), (1,), "uint64", name)
    if "sharding_indexed" in index:
        raise _bad(name, "has a sharded shard index")
    return codecs + inside, nested or inner


def _dtype_v3(value: Any, name: str) -> str:
    found = value.get("name") if isinstance(value, Mapping) else value
    if not isinstance(found, str) or not _TYPE_V3.fullmatch(found):
        raise _bad(name, f"has the data type {str(value)[:80]}")
    return _TEXT if found in _TEXT_TYPES else found


def _dtype_v2(value: Any, codecs: tuple[str, ...], name: str) -> str:
    if isinstance(value, list):
        return "record"
    if value == "|O":
        if codecs and codecs[0] in _TEXT_CODECS:
            return _TEXT
        raise Corrupt(f"'{name}' holds Python objects, which lakecv never unpacks", Kind.CODEC_FAILED, "convert it to numbers")
    if not isinstance(value, str) or not _TYPE_V2.fullmatch(value):
        raise _bad(name, f"has the dtype {str(value)[:80]}")
    if value[1] not in _KINDS:
        return {"M": "datetime64", "m": "timedelta64", "V": "record"}.get(value[1], _TEXT)
    return "bool" if value[1] == "b" else f"{_KINDS[value[1]]}{8 * int(value[2:])}"


def _names(value: Any, shape: tuple[int, ...], name: str) -> tuple[str | None, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != len(shape) or not all(isinstance(item, str | None) for item in value):
        raise _bad(name, f"names its dims {str(value)[:80]} for {len(shape)} dims")
    return tuple(value)


def _attributes(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _bad(name, "has attributes that are no object")
    return value


