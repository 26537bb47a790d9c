"""The dataset record as a JSON document, and the JSON Schema that says what is in it.

The document names its own format, so that an older lakecv says what is wrong instead of misreading a newer record.
"""

from __future__ import annotations

import dataclasses
import json
import re
import types
import typing
from enum import Enum
from functools import cache
from typing import Any, get_args, get_origin, get_type_hints

from lakecv.canonical import Json, from_json, seal, to_json, unseal
from lakecv.errors import Corrupt, InvalidInput, Kind
from lakecv.records import Dataset

__all__ = ["FORMAT", "decode", "encode", "json_schema", "parse"]

FORMAT = "lakecv-dataset-1"
_MARKER = re.compile(r"lakecv-dataset-(\d+)", re.ASCII)
_SCALARS: dict[Any, str] = {bool: "boolean", int: "integer", float: "number", str: "string"}


def encode(dataset: Dataset) -> bytes:
    """Write a record as a document; equal records give equal bytes."""
    fields = typing.cast("dict[str, Json]", to_json(dataset))
    return seal((json.dumps({"format": FORMAT, **fields}, indent=1, sort_keys=True, allow_nan=False) + "\n").encode())


def decode(document: bytes) -> Dataset:
    """Read a document.

    Raises
    ------
    InvalidInput
        If a newer lakecv wrote it (kind ``record-newer``).
    Corrupt
        If it is no record (kind ``file-malformed``) or does not match its checksum (``checksum-mismatch``).
    """
    return parse(unseal(document))


def parse(document: bytes) -> Dataset:
    """Read a document that was taken out of its seal; errors as of :func:`decode`."""
    try:
        fields = json.loads(document)
        marker = fields.pop("format")
        newer = _MARKER.fullmatch(marker)
        if marker == FORMAT:
            return from_json(Dataset, fields)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as err:
        raise Corrupt(
            f"a dataset record cannot be read: {err}", Kind.FILE_MALFORMED, "restore the catalog's document from a backup",
        ) from err
    if newer:
        raise InvalidInput(
            f"the dataset record has the format {marker}; this lakecv reads {FORMAT}", Kind.RECORD_NEWER,
            "a newer lakecv wrote it: pip install --upgrade lakecv",
        )
    raise Corrupt(f"a dataset record has the format {marker!r}; {FORMAT} was expected", Kind.FILE_MALFORMED)


def json_schema() -> dict[str, Any]:
    """JSON Schema of the document, from the dataclasses themselves."""
    definitions: dict[str, Any] = {}
    record = _object(Dataset, definitions)
    seal_of = {"type": "string", "pattern": "^[0-9a-f]{8}$", "description": "Of the document without this member."}
    record["properties"] = {"crc32": seal_of, "format": {"const": FORMAT}, **record["properties"]}
    record["required"] = ["crc32", "format", *record["required"]]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema", "title": "lakecv dataset record, version 1",
        **record, "$defs": dict(sorted(definitions.items())),
    }


def _object(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    hints = _hints(kind)
    fields = [field for field in dataclasses.fields(kind) if field.init]
    return {
        "type": "object",
        "description": (kind.__doc__ or "").split("\n", 1)[0],
        "properties": {field.name: _property(field, hints[field.name], definitions) for field in fields},
        "required": [field.name for field in fields if field.default is dataclasses.MISSING and not _optional(hints[field.name])],
        "additionalProperties": False,
    }


def _property(field: dataclasses.Field[Any], kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    """Describe a field.  Where None is not what an absent field means, it is written as null."""
    schema = _schema(kind, definitions)
    spoken = _optional(kind) and field.default not in {None, dataclasses.MISSING}
    return {"anyOf": [schema, {"type": "null"}]} if spoken else schema


def _schema(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    """Describe one type of field.  None is written by leaving the field out, so an optional type is its own schema."""
    if _optional(kind):
        return _schema(next(option for option in get_args(kind) if option is not type(None)), definitions)
    if get_origin(kind) is tuple:
        return _list(get_args(kind), definitions)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return {"enum": [str(member.value) for member in kind]}
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        if kind.__name__ not in definitions:
            definitions[kind.__name__] = {}
            definitions[kind.__name__] = _object(kind, definitions)
        return {"$ref": f"#/$defs/{kind.__name__}"}
    return {"type": _SCALARS[kind]}


def _list(members: tuple[Any, ...], definitions: dict[str, Any]) -> dict[str, Any]:
    if len(members) == 2 and members[1] is Ellipsis:  # noqa: PLR2004  (tuple[X, ...])
        return {"type": "array", "items": _schema(members[0], definitions)}
    items = [_schema(member, definitions) for member in members]
    return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}


def _optional(kind: Any) -> bool:
    return get_origin(kind) in {types.UnionType, typing.Union} and type(None) in get_args(kind)


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _main() -> None:
    """Write the schema beside this module; the tests compare the two."""
    from pathlib import Path

    text = json.dumps(json_schema(), indent=2, ensure_ascii=False)
    Path(__file__).with_name("schema").joinpath("dataset-v1.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    _main()
