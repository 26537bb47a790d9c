"""Annotations in Rucio: each is a DID of its own, created with its text in one transaction.

They are not keys of the dataset's metadata: Rucio's JSON plugin reads all keys of a DID and writes them back, so of two
people who write at once one would lose what they said.  A DID is create-only, and its name is never given again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from lakecv.annotation import Annotation
from lakecv.errors import Conflict
from lakecv.records import DID
from lakecv_catalog.rucio.metadata import Writer
from lakecv_catalog.rucio.server import Server

__all__ = ["annotations_in", "keep", "names_of"]


def keep(ask: Server, writer: Writer, annotation: Annotation, stored: Callable[[DID], Annotation | None]) -> None:
    """Create the entry of an annotation; one that is there already is its own, where a reply was lost."""
    did = DID(annotation.did.scope, f"{_prefix(annotation.did)}{annotation.entry}")
    try:
        ask.create(did, writer.annotated(did, annotation))
    except Conflict:
        if stored(did) != annotation:
            raise


def names_of(ask: Server, did: DID) -> list[DID]:
    """List the entries that were made for a dataset."""
    prefix = _prefix(did)
    return [DID(did.scope, name) for name in ask.find(did.scope, {"name": f"{prefix}*"}) if name.startswith(prefix)]


def annotations_in(writer: Writer, did: DID, said: Iterable[Mapping[str, Any]]) -> Sequence[Annotation]:
    """Read entries, oldest first; what only looks like one is left out."""
    found = (writer.annotation(each) for each in said)
    return sorted((each for each in found if each is not None and each.did == did), key=lambda each: each.entry)


def _prefix(did: DID) -> str:
    return f"{did.name}.annotation."
