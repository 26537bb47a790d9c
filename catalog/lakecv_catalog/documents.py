"""The catalog as create-only JSON documents in the lake's own objects: a folder, a bucket or memory.

No server: ``catalog/<scope>/<name>/claim.json`` says who may write a dataset, ``dataset.json`` that it exists.  Whoever
creates a document first has it; nothing is ever rewritten, so no reader can see half of a change.  What people say of a dataset
lies in ``annotations/<scope>/<name>/``, one document for each saying, where no listing of datasets meets it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from lakecv.annotation import Annotation
from lakecv.canonical import dump, load
from lakecv.errors import Conflict, Kind, NotFound, nearest
from lakecv.facts import Condition, facts_of
from lakecv.patience import many
from lakecv.ports import Annotates, CatalogBackend, ObjectInfo, ObjectIO
from lakecv.records import DID, Claim, Dataset, Manifest
from lakecv_catalog.codec import decode, encode, parse
from lakecv_catalog.snapshots import Entry, is_due, newest, write

__all__ = ["DocumentCatalog"]

_ROOT, _CLAIM, _DATASET = "catalog", "claim.json", "dataset.json"
_SAID = "annotations"


class DocumentCatalog:
    """Datasets and claims as documents.  Every call but a listing touches O(1) objects."""

    def __init__(self, objects: ObjectIO) -> None:
        self._objects = objects

    def claim(self, claim: Claim) -> Claim:
        """Claim a DID for writing; returns the claim that holds, which is somebody else's where they were first.

        A reply that was lost is no conflict: the claim that is found then holds our own write id.
        """
        key = _key(claim.did, _CLAIM)
        try:
            self._objects.put(key, dump(claim))
        except Conflict:
            return self._read_claim(key)
        return claim

    def claims(self, scope: str, prefix: str) -> Iterator[Claim]:
        """Claims in a scope whose name starts with ``prefix``, finished or not, sorted by name."""
        keys = [_key(did, _CLAIM) for did in self._found(_CLAIM, scope) if did.name.startswith(prefix)]
        yield from many(self._read_claim, keys)

    def register(self, dataset: Dataset, manifest: Manifest) -> Dataset:  # noqa: ARG002  (it lies at the dataset's home)
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

    def search(self, scope: str | None = None, where: Sequence[Condition] = ()) -> Iterator[DID]:
        """Find registered DIDs, sorted; of one scope or of all, and of which all conditions hold."""
        if not where:
            yield from self._found(_DATASET, scope)
            return
        for dataset in self.datasets(scope):
            facts = facts_of(dataset)
            if all(condition.holds(facts) for condition in where):
                yield dataset.did

    def datasets(self, scope: str | None = None) -> Iterator[Dataset]:
        """List registered datasets, sorted by DID; of one scope or of all.

        The newest snapshot answers for what it holds; the other documents are read, many at once, and where they are many
        a new snapshot is left for the next to list.  One that is unregistered meanwhile is not shown.
        """
        listed = self._found(_DATASET, scope)
        snapshot = newest(self._objects)
        found = {did: dataset for did, info in listed.items() if (dataset := snapshot.dataset(did, info))}
        loose = [did for did in listed if did not in found]
        fresh = self._entries({did: listed[did] for did in loose})
        found |= {did: parse(entry.document) for did, entry in fresh.items()}
        kept = {did: entry for did, entry in snapshot.entries.items() if did in found or scope not in {None, did.scope}}
        if is_due(kept, fresh):
            write(self._objects, snapshot.sequence, kept, fresh)
        yield from (found[did] for did in listed if did in found)

    def annotate(self, annotation: Annotation) -> None:
        """Add a document of its own; the same again is a no-op."""
        key, document = f"{_said(annotation.did)}/{annotation.entry}.json", dump(annotation)
        try:
            self._objects.put(key, document)
        except Conflict:
            if self._objects.get(key) != document:
                raise

    def annotations(self, did: DID) -> Sequence[Annotation]:
        """List all that was said of a dataset, oldest first."""
        keys = [info.key for info in self._objects.list(_said(did)) if info.key.endswith(".json")]
        return sorted(many(self._read_annotation, keys), key=lambda each: each.entry)

    def _read_annotation(self, key: str) -> Annotation:
        return load(Annotation, self._objects.get(key))

    def _found(self, document: str, scope: str | None) -> dict[DID, ObjectInfo]:
        """List what has a document, sorted by DID; what is not laid out as a document is not part of the catalog."""
        folder = _ROOT if scope is None else f"{_ROOT}/{DID(scope, 'any').scope}"
        parts = ((info.key.split("/"), info) for info in self._objects.list(folder))
        found = {DID(key[1], key[2]): info for key, info in parts if key[3:] == [document]}
        return dict(sorted(found.items()))

    def _entries(self, listed: Mapping[DID, ObjectInfo]) -> dict[DID, Entry]:
        """Read documents, without those that are gone."""
        documents = zip(listed.items(), many(self._document, list(listed)), strict=True)
        return {did: Entry.of(info, document) for (did, info), document in documents if document is not None}

    def _document(self, did: DID) -> bytes | None:
        try:
            return self._objects.get(_key(did, _DATASET))
        except NotFound:
            return None

    def _read_claim(self, key: str) -> Claim:
        return load(Claim, self._objects.get(key))


def _key(did: DID, document: str) -> str:
    return f"{_ROOT}/{did.scope}/{did.name}/{document}"


def _said(did: DID) -> str:
    return f"{_SAID}/{did.scope}/{did.name}"


if TYPE_CHECKING:

    def _proof(objects: ObjectIO) -> tuple[CatalogBackend, Annotates]:
        catalog = DocumentCatalog(objects)
        return catalog, catalog
