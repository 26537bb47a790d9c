"""Values to JSON and back, and the digest of a value.

One codec for every frozen dataclass, so that a plan, a record and a job read the same in a file, a test and a report.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from enum import Enum
from functools import cache
from hashlib import sha256
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints
from zlib import crc32

from lakecv.errors import Corrupt, Kind

__all__ = ["digest", "dump", "dumps", "from_json", "load", "loads", "seal", "to_json", "unseal"]

T = TypeVar("T")
_SEAL = b'{"crc32":"%s",'
_SEAL_NBYTES = len(_SEAL % (b"0" * 8))
Json = None | bool | int | float | str | list[Any] | dict[str, Any]


def to_json(value: object) -> Json:
    """Turn a value (dataclass, enum, tuple, scalar) into plain JSON data; a None that is the field's default is left out."""
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no word for it; read back where a float is expected
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    if dataclasses.is_dataclass(value):
        pairs = ((name, getattr(value, name)) for name in _fields(value.__class__))
        return {name: to_json(item) for name, item in pairs if item is not None or not _is_absent(value.__class__, name)}
    raise TypeError(f"{type(value).__name__} has no JSON form")


def dumps(value: object) -> str:
    """Canonical JSON: sorted keys, no spaces, ASCII; equal values give equal text."""
    return json.dumps(to_json(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest(value: object) -> str:
    """Hexadecimal sha256 of the canonical JSON of a value."""
    return sha256(dumps(value).encode()).hexdigest()


def loads(kind: type[T], text: str | bytes) -> T:
    """Read a value of ``kind`` from JSON text.

    Raises
    ------
    Corrupt
        If the text is not JSON or does not describe a ``kind`` (kind ``file-malformed``).
    """
    try:
        return from_json(kind, json.loads(text))
    except (ValueError, KeyError, TypeError, RecursionError) as err:
        raise Corrupt(f"a {kind.__name__} record cannot be read: {err}", Kind.FILE_MALFORMED) from err


def seal(document: bytes) -> bytes:
    """Put the crc32 of a JSON object into it, as its first member: a document that is read alone proves itself."""
    return _SEAL % (b"%08x" % crc32(document)) + document[1:]


def unseal(data: bytes) -> bytes:
    """Check a sealed document and give it back as it was.

    Raises
    ------
    Corrupt
        If it does not match its crc32, or has none (kind ``checksum-mismatch``).
    """
    document = b"{" + data[_SEAL_NBYTES:]
    if data[:_SEAL_NBYTES] != _SEAL % (b"%08x" % crc32(document)):
        raise Corrupt("a record does not match its checksum", Kind.CHECKSUM_MISMATCH, "try again; if it stays so, restore it from a backup")
    return document


def dump(value: object) -> bytes:
    """Write a value as a sealed document."""
    return seal(dumps(value).encode())


def load(kind: type[T], data: bytes) -> T:
    """Read a sealed document.

    Raises
    ------
    Corrupt
        If it does not match its checksum, or does not describe a ``kind``.
    """
    return loads(kind, unseal(data))


def from_json(kind: type[T], data: Any) -> T:
    """Build a value of ``kind`` from plain JSON data; the inverse of :func:`to_json`."""
    return typing.cast("T", _build(kind, data))


def _build(kind: Any, data: Any) -> Any:
    origin = get_origin(kind)
    if origin in {types.UnionType, typing.Union}:
        return None if data is None else _build(_choose(kind, data), data)
    if origin is tuple:
        return _tuple(get_args(kind), data)
    if origin is Literal:
        return _member(kind, data)
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, data)
    return kind(data) if issubclass(kind, Enum) else _scalar(kind, data)


def _member(kind: Any, data: Any) -> Any:
    if data not in get_args(kind):
        raise ValueError(f"{data!r} is not one of {get_args(kind)}")
    return data


def _scalar(kind: type, data: Any) -> Any:
    if kind is float and (type(data) is int or data in {"nan", "inf", "-inf"}):
        return math.nan if data == "nan" else float(data)
    if type(data) is not kind:
        raise TypeError(f"{data!r} is not a {kind.__name__}")
    return data


def _choose(kind: Any, data: Any) -> Any:
    """Pick the member of a union that the JSON type names: scalars match exactly, the rest is the first option."""
    options = [option for option in get_args(kind) if option is not type(None)]
    return next((option for option in options if option is type(data)), options[0])


def _tuple(members: tuple[Any, ...], data: Any) -> tuple[Any, ...]:
    if not isinstance(data, list):
        raise TypeError(f"{data!r} is not a list")
    if len(members) == 2 and members[1] is Ellipsis:  # noqa: PLR2004  (tuple[X, ...])
        return tuple(_build(members[0], item) for item in data)
    if len(members) != len(data):
        raise ValueError(f"{len(data)} items where {len(members)} were expected")
    return tuple(_build(member, item) for member, item in zip(members, data, strict=True))


def _dataclass(kind: Any, data: Any) -> Any:
    if not isinstance(data, dict):
        raise TypeError(f"{data!r} is not an object")
    hints = _hints(kind)
    unknown = set(data) - set(_fields(kind))
    if unknown:
        raise ValueError(f"{kind.__name__} has no field {min(unknown)!r}")
    return kind(**{name: _build(hints[name], item) for name, item in data.items()})


@cache
def _fields(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind) if field.init)


@cache
def _is_absent(kind: Any, name: str) -> bool:
    """Say whether a field that is not there means None."""
    return any(field.name == name and field.default is None for field in dataclasses.fields(kind))


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)
