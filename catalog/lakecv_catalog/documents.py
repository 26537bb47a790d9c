"""The catalog as create-only JSON documents in the lake's own objects: a folder, a bucket or memory.

No server: ``catalog/<scope>/<name>/claim.json`` says who may write a dataset, ``dataset.json`` that it exists.  Whoever
creates a document first has it; nothing is ever rewritten, so no reader can see half of a change.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from lakecv.canonical import dumps, loads
from lakecv.errors import Conflict, Kind, NotFound, nearest
from lakecv.ports import CatalogBackend, ObjectIO
from lakecv.records import DID, Claim, Dataset
from lakecv_catalog.codec import decode, encode

__all__ = ["DocumentCatalog"]

_ROOT, _CLAIM, _DATASET = "catalog", "claim.json", "dataset.json"


class DocumentCatalog:
    """Datasets and claims as documents.  Every call but a search touches O(1) objects."""

    def __init__(self, objects: ObjectIO) -> None:
        self._objects = objects

    def claim(self, claim: Claim) -> Claim:
        """Claim a DID for writing; returns the claim that holds, which is somebody else's where they were first.

        A reply that was lost is no conflict: the claim that is found then holds our own write id.
        """
        key = _key(claim.did, _CLAIM)
        try:
            self._objects.put(key, dumps(claim).encode())
        except Conflict:
            return self._read_claim(key)
        return claim

    def claims(self, scope: str, prefix: str) -> Iterator[Claim]:
        """Claims in a scope whose name starts with ``prefix``, finished or not, sorted by name."""
        for did in self._found(_CLAIM, scope):
            if did.name.startswith(prefix):
                yield self._read_claim(_key(did, _CLAIM))

    def register(self, dataset: Dataset) -> Dataset:
        """Make a dataset visible; the same digest again is a no-op, another is Conflict (``did-means-something-else``)."""
        key = _key(dataset.did, _DATASET)
        try:
            self._objects.put(key, encode(dataset))
        except Conflict as err:
            stored = decode(self._objects.get(key))
            if stored.digest == dataset.digest:
                return stored
            raise Conflict(
                f"{dataset.did} is registered with other content (sha256 {stored.digest[:12]}, not {dataset.digest[:12]})",
                Kind.DID_MEANS_SOMETHING_ELSE, f"register it under another name, such as --name {dataset.did}.2",
            ) from err
        return dataset

    def lookup(self, did: DID) -> Dataset:
        """Find a dataset; NotFound (``dataset-unknown``) with the nearest names."""
        try:
            return decode(self._objects.get(_key(did, _DATASET)))
        except NotFound as err:
            hint = nearest(str(did), map(str, self.search()), "datasets")
            raise NotFound(f"there is no dataset {did}", Kind.DATASET_UNKNOWN, hint) from err

    def search(self, scope: str | None = None) -> Iterator[DID]:
        """Find registered DIDs, sorted; of one scope or of all."""
        return self._found(_DATASET, scope)

    def _found(self, document: str, scope: str | None) -> Iterator[DID]:
        """DIDs that have a document; what is not laid out as a document is not part of the catalog."""
        folder = _ROOT if scope is None else f"{_ROOT}/{DID(scope, 'any').scope}"
        parts = (info.key.split("/") for info in self._objects.list(folder))
        yield from sorted(DID(key[1], key[2]) for key in parts if key[3:] == [document])

    def _read_claim(self, key: str) -> Claim:
        return loads(Claim, self._objects.get(key))


def _key(did: DID, document: str) -> str:
    return f"{_ROOT}/{did.scope}/{did.name}/{document}"


if TYPE_CHECKING:

    def _proof(objects: ObjectIO) -> CatalogBackend:
        return DocumentCatalog(objects)
