"""How claims and records are said in a DID's metadata: as plain JSON keys, or as the ICSC lake's "IDL" documents.

The record itself is the sealed document that every lakecv catalog keeps; beside it stand the facts that a search compares,
so that people find a dataset with Rucio's own tools too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from lakecv.annotation import Annotation
from lakecv.canonical import dump, load
from lakecv.errors import Corrupt, Kind
from lakecv.facts import Condition, Fact, facts_of
from lakecv.records import DID, Claim, Dataset
from lakecv_catalog.codec import decode, encode

__all__ = ["IDL", "JSON", "IdlWriter", "JsonWriter", "Writer"]

_STATE, _CLAIM, _DRAFT, _RECORD = "lakecv", "lakecv_claim", "lakecv_draft", "lakecv_record"
_SAID = "lakecv_annotation"
_CLAIMED, _REGISTERED, _ANNOTATED = "claim", "dataset", "annotation"
_OPERATORS = {"=": "", "!=": ".ne", ">": ".gt", ">=": ".gte", "<": ".lt", "<=": ".lte"}
_COLUMNS = frozenset((
    "access_cnt", "accessed_at", "account", "adler32", "availability", "bytes", "campaign", "closed_at", "complete", "constituent",
    "created_after", "created_at", "created_before", "datatype", "deleted_at", "did_type", "eol_at", "events", "expired_at", "guid",
    "hidden", "is_archive", "is_new", "is_open", "length", "lumiblocknr", "md5", "monotonic", "name", "obsolete", "panda_id",
    "phys_group", "prod_step", "project", "provenance", "purge_replicas", "run_number", "scope", "stream_name", "suppressed",
    "task_id", "transient", "type", "updated_at", "version",
))  # fmt: skip
"""Names of Rucio's own columns: a fact of that name would go there instead, or be refused."""


class Writer(Protocol):
    """A shape of metadata."""

    @property
    def plugin(self) -> str:
        """Rucio's name of the metadata plugin that is read."""

    def asked(self, name: str) -> str:
        """Name of a DID as that plugin wants to be asked."""

    @property
    def is_exact(self) -> bool:
        """True where what passes the filter of no condition is registered."""

    def claimed(self, claim: Claim, draft: Dataset | None = None) -> Mapping[str, object]:
        """Say a claim, and the record that is to follow where its data are stored already."""

    def registered(self, dataset: Dataset, claim: Claim) -> Mapping[str, object]:
        """Say a record, its facts, and the claim that it was made under."""

    def annotated(self, did: DID, annotation: Annotation) -> Mapping[str, object]:
        """Say an annotation, of the DID that is its entry."""

    def annotation(self, said: Mapping[str, Any]) -> Annotation | None:
        """Find the annotation in what is said of a DID."""

    def claim(self, said: Mapping[str, Any]) -> Claim | None:
        """Find the claim in what is said of a DID."""

    def draft(self, said: Mapping[str, Any]) -> Dataset | None:
        """Find the record that a claim announced."""

    def dataset(self, said: Mapping[str, Any]) -> Dataset | None:
        """Find the record in what is said of a DID; Corrupt where it cannot be read."""

    def narrowed(self, where: Sequence[Condition]) -> Mapping[str, Fact]:
        """Make a filter for the server: all that may fit pass it; the rest is compared here."""


class JsonWriter:
    """Plain keys, for Rucio's own JSON plugin."""

    plugin = "JSON"
    is_exact = True

    def asked(self, name: str) -> str:
        """Name of a DID as it is."""
        return name

    def claimed(self, claim: Claim, draft: Dataset | None = None) -> Mapping[str, object]:
        """Say a claim."""
        drafted = {_DRAFT: encode(draft).decode()} if draft is not None else {}
        return {_STATE: _CLAIMED, _CLAIM: dump(claim).decode(), **drafted}

    def registered(self, dataset: Dataset, claim: Claim) -> Mapping[str, object]:
        """Say a record and its facts."""
        facts = {_key(name): value for name, value in facts_of(dataset).items()}
        return {**facts, _STATE: _REGISTERED, _CLAIM: dump(claim).decode(), _RECORD: encode(dataset).decode()}

    def annotated(self, did: DID, annotation: Annotation) -> Mapping[str, object]:  # noqa: ARG002  (the protocol's signature)
        """Say an annotation."""
        return {_STATE: _ANNOTATED, _SAID: dump(annotation).decode()}

    def annotation(self, said: Mapping[str, Any]) -> Annotation | None:
        """Find the annotation."""
        return load(Annotation, str(said[_SAID]).encode()) if _SAID in said else None

    def claim(self, said: Mapping[str, Any]) -> Claim | None:
        """Find the claim."""
        return load(Claim, str(said[_CLAIM]).encode()) if _CLAIM in said else None

    def draft(self, said: Mapping[str, Any]) -> Dataset | None:
        """Find the record that a claim announced."""
        return decode(str(said[_DRAFT]).encode()) if _DRAFT in said else None

    def dataset(self, said: Mapping[str, Any]) -> Dataset | None:
        """Find the record."""
        return decode(str(said[_RECORD]).encode()) if said.get(_STATE) == _REGISTERED and _RECORD in said else None

    def narrowed(self, where: Sequence[Condition]) -> Mapping[str, Fact]:
        """Make a filter of one condition for each fact; a text with ``*`` would be a pattern there."""
        usable = (each for each in where if "*" not in str(each.value))
        return {_STATE: _REGISTERED, **{f"{_key(each.key)}{_OPERATORS[each.operator]}": each.value for each in usable}}


class IdlWriter:
    """One document under the key ``JSON``, of upper-case names and texts, as the ICSC lake's "IDL" plugin takes it.

    ``LINK`` is the DID and ``sha256`` the digest of the content.  Written after documents and code that its authors
    publish (idl-rucio, seen 2025-06); never tried on their server.
    """

    is_exact = False

    def __init__(self, plugin: str = "IDL") -> None:
        self.plugin = plugin

    def asked(self, name: str) -> str:
        """Name of a DID as that plugin takes it: what is before the colon tells it not to ask the blockchain."""
        return f"get-metadata_handling:{name}" if self.plugin == "IDL" else name

    def claimed(self, claim: Claim, draft: Dataset | None = None) -> Mapping[str, object]:
        """Say a claim."""
        drafted = {_DRAFT: encode(draft).decode()} if draft is not None else {}
        return _document(claim.did, claim.created, {_CLAIM: dump(claim).decode(), **drafted}, digest="")

    def registered(self, dataset: Dataset, claim: Claim) -> Mapping[str, object]:
        """Say a record, its facts, and what IDL has columns for."""
        facts = facts_of(dataset)
        frame = dataset.cube.axis.frame if dataset.cube.axis is not None else None
        columns = {"COMMENT": dataset.title, "REFERENCE_FRAME": frame or "", "MEAS_TYPE": facts.get("quantity", ""), "MEAS_UNIT": facts.get("axis_unit", ""),
                   "MEAS_FORMAT": facts["dtype"], "DATA_QUALITY": "L4" if dataset.made_by else "L0"}  # fmt: skip
        said = {**columns, **{f"lakecv_{name}": value for name, value in facts.items()}}
        said |= {_CLAIM: dump(claim).decode(), _RECORD: encode(dataset).decode()}
        return _document(dataset.did, dataset.created, said, digest=dataset.digest)

    def annotated(self, did: DID, annotation: Annotation) -> Mapping[str, object]:
        """Say an annotation."""
        return _document(did, annotation.created, {"COMMENT": annotation.text, _SAID: dump(annotation).decode()}, digest="")

    def annotation(self, said: Mapping[str, Any]) -> Annotation | None:
        """Find the annotation."""
        text = _opened(said).get(_SAID.upper())
        return load(Annotation, str(text).encode()) if text else None

    def claim(self, said: Mapping[str, Any]) -> Claim | None:
        """Find the claim."""
        text = _opened(said).get(_CLAIM.upper())
        return load(Claim, str(text).encode()) if text else None

    def draft(self, said: Mapping[str, Any]) -> Dataset | None:
        """Find the record that a claim announced."""
        text = _opened(said).get(_DRAFT.upper())
        return decode(str(text).encode()) if text else None

    def dataset(self, said: Mapping[str, Any]) -> Dataset | None:
        """Find the record."""
        text = _opened(said).get(_RECORD.upper())
        return decode(str(text).encode()) if text else None

    def narrowed(self, where: Sequence[Condition]) -> Mapping[str, Fact]:  # noqa: ARG002  (what its server compares is not known)
        """Let all pass."""
        return {"name": "*"}


def _key(name: str) -> str:
    """Name of a fact where Rucio has no column of that name."""
    return f"x_{name}" if name in _COLUMNS or name.startswith("lakecv") else name


def _document(did: DID, created: str, said: Mapping[str, object], digest: str) -> Mapping[str, object]:
    moment = created.partition("+")[0].rstrip("Z")
    columns = {"IDL_L4_VERS": "0.1", "CREATION_DATE": moment, "EPOCH": moment, "TIME_SYSTEM": "UTC", "ORIGINATOR": "lakecv",
               "PARTICIPANT_1": did.scope, "PARTICIPANT_2": did.name, "PATH": "", "LINK": str(did), "sha256": digest}  # fmt: skip
    return {"JSON": json.dumps({**columns, **{name.upper(): str(value) for name, value in said.items()}}, sort_keys=True)}


def _opened(said: Mapping[str, Any]) -> Mapping[str, Any]:
    """Take the document out of its key, where the plugin gave it back so."""
    if "JSON" not in said:
        return said
    try:
        document = json.loads(said["JSON"])
    except (TypeError, ValueError, RecursionError) as err:
        raise Corrupt(f"the metadata document cannot be read: {err}", Kind.FILE_MALFORMED, "ask who runs the catalog") from err
    return document if isinstance(document, dict) else {}


JSON: Writer = JsonWriter()
IDL: Writer = IdlWriter()
