"""The catalog of a Rucio lake: a dataset is a dataset DID, its objects are file DIDs, its record is metadata.

Order of a registration: files, dataset (that is the claim), attached, kept by a rule, described; what has no description is
no dataset to lakecv yet.  Every step may be repeated: a registration that was killed is finished by the next one.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lakecv.annotation import Annotation
from lakecv.canonical import dumps
from lakecv.errors import Conflict, Denied, InvalidInput, Kind, NotFound, nearest
from lakecv.facts import Condition, facts_of
from lakecv.patience import many, patiently
from lakecv.ports import Annotates, CatalogBackend, KeepsChecksums, ObjectIO, Replicates, ReportsDamage, StorageElements
from lakecv.records import DID, Access, Claim, Damage, Dataset, Manifest, Replica, Rule, StoredObject, flat_names
from lakecv_catalog.rucio.annotating import annotations_in, keep, names_of
from lakecv_catalog.rucio.metadata import IDL, JSON, Writer
from lakecv_catalog.rucio.places import Place
from lakecv_catalog.rucio.server import Element, Held, Server, here, server
from lakecv_catalog.rucio.storage import MANIFEST, stored_manifest

__all__ = ["IdlCatalog", "RucioCatalog"]

_MOST_LETTERS, _KEY_LETTERS = 250, 48
_SIGNED_SECONDS = 60  # urls that nobody uses
_WAIT_SECONDS = 180.0  # for a server that went away in the middle: what was computed for hours is not given up for that


class RucioCatalog:
    """Datasets in Rucio.  A lookup is a constant number of calls, a registration O(objects / 1000)."""

    def __init__(self, objects: ObjectIO, ask: Callable[[], Server] = server, writer: Writer = JSON) -> None:  # noqa: ARG002  (nothing lies in the lake's own folder)
        self._ask, self._writer = ask, writer

    # --- claims and records -------------------------------------------------------------------------------------------
    def claim(self, claim: Claim) -> Claim:
        """Claim a DID for writing; the dataset DID is created with the claim in one transaction."""
        return self._claimed(claim, None)[0]

    def _claimed(self, claim: Claim, draft: Dataset | None) -> tuple[Claim, Dataset | None]:
        """Claim, and announce the record: whoever finishes this registration enters that one and no other."""
        try:
            self._ask().create(claim.did, self._writer.claimed(claim, draft))
        except Conflict as err:
            said = self._said(claim.did)
            held = self._writer.claim(said)
            if held is None:
                raise Conflict(
                    f"{claim.did} is in Rucio already and was not made by lakecv", Kind.DID_MEANS_SOMETHING_ELSE, "choose another name",
                ) from err
            return held, self._writer.draft(said)
        return claim, draft

    def claims(self, scope: str, prefix: str) -> Iterator[Claim]:
        """List claims whose name starts with ``prefix``, finished or not, sorted by name."""
        names = self._ask().find(DID(scope, "any").scope, {"name": f"{prefix}*"})
        said = self._many([DID(scope, name) for name in names if name.startswith(prefix)])
        found = (self._writer.claim(said[did]) for did in sorted(said))
        yield from (claim for claim in found if claim is not None)

    def register(self, dataset: Dataset, manifest: Manifest) -> Dataset:
        """Register the objects and make the dataset visible; no-op for the same digest, Conflict for another.

        A registration of the same content that did not come to its end is finished with the data that it stored.
        """
        return patiently(lambda: self._registered(dataset, manifest), _WAIT_SECONDS)

    def _registered(self, dataset: Dataset, manifest: Manifest) -> Dataset:
        said = self._said(dataset.did)
        stored = self._writer.dataset(said)
        if stored is None:
            if self._writer.claim(said) is None:  # else a rule of ours may count in the quota already
                self._check_room(dataset)
            mine = self._at_home(dataset)
            write_id = Place.parse(mine.home).write_id
            files_of(mine, manifest)  # refused before a name is used up
            held, draft = self._claimed(Claim(mine.did, mine.digest, write_id, mine.created), mine)
            stored = self._record(mine.did) or self._finished(mine, manifest, held, draft)
        if stored.digest != dataset.digest:
            raise _taken(dataset, stored.digest)
        rse = Place.parse(stored.home).rse
        if not self._ask().own_rule(stored.did, rse):
            self._ask().add_rule(stored.did, rse, None)
        return self._with_replicas(stored)

    def _finished(self, mine: Dataset, manifest: Manifest, held: Claim, draft: Dataset | None) -> Dataset:
        """Enter my dataset, or what another writer of the same content had stored and announced before something stopped him.

        His data count if all of them are there; else they are gone, and mine take the name.
        """
        if held.write_id == Place.parse(mine.home).write_id:
            return self._entered(mine, manifest, held)
        if held.job_digest != mine.digest:
            raise _taken(mine, held.job_digest)
        theirs = stored_manifest(Place.parse(draft.home), mine.digest, self._ask) if draft is not None else None
        if draft is None or theirs is None:
            return self._entered(mine, manifest, held)
        return self._entered(draft, theirs, held)

    def _entered(self, dataset: Dataset, manifest: Manifest, claim: Claim) -> Dataset:
        place, ask = Place.parse(dataset.home), self._ask()
        files = files_of(dataset, manifest)
        ask.add_files(place.rse, place.did.scope, files)
        ask.attach(place.did, sorted(files))
        ask.add_rule(place.did, place.rse, None)
        if (described := self._record(place.did)) is not None:  # another finisher was here first, perhaps with his own data
            return described
        ask.describe(place.did, self._writer.registered(dataset, claim))
        return dataset

    def _at_home(self, dataset: Dataset) -> Dataset:
        place = Place.parse(dataset.home)
        return replace(dataset, replicas=(Replica(place.rse, place.url, self._element(place.rse).site),))

    def lookup(self, did: DID) -> Dataset:
        """Find a dataset and where it lies now; NotFound (``dataset-unknown``) with the nearest names."""
        found = self._record(did)
        if found is not None:
            return self._with_replicas(found)
        if self._ask().exists(did):
            raise self._unfinished(did)
        raise NotFound(f"there is no dataset {did}", Kind.DATASET_UNKNOWN, nearest(str(did), map(str, self.search(did.scope)), "datasets"))

    def _unfinished(self, did: DID) -> NotFound:
        if self._writer.claim(self._said(did)) is None:
            return NotFound(
                f"{did} is in Rucio, but is no dataset of lakecv", Kind.DATASET_UNKNOWN, f"rucio download {did}, then lakecv register FILE",
            )
        return NotFound(
            f"{did} is not finished", Kind.DATASET_UNKNOWN, "wait for whoever writes it, or type the command that was interrupted again",
        )

    def search(self, scope: str | None = None, where: Sequence[Condition] = ()) -> Iterator[DID]:
        """Find DIDs of a scope, or of all scopes that one owns, sorted; the server narrows, what fits is decided here."""
        if not where and self._writer.is_exact:
            yield from sorted(did for each in self._scopes(scope) for did in self._named(each, ()))
            return
        yield from (dataset.did for dataset in self._datasets(scope, where))

    def datasets(self, scope: str | None = None) -> Iterator[Dataset]:
        """List the records of a scope, or of all scopes that one owns, sorted; replicas as they were registered."""
        yield from self._datasets(scope, ())

    def _datasets(self, scope: str | None, where: Sequence[Condition]) -> list[Dataset]:
        dids = [did for each in self._scopes(scope) for did in self._named(each, where)]
        said = self._many(dids)
        found = [dataset for did in sorted(said) if (dataset := self._writer.dataset(said[did])) is not None]
        return [dataset for dataset in found if _fits(dataset, where)]

    def _named(self, scope: str, where: Sequence[Condition]) -> list[DID]:
        """Find candidates.  A fact that is a number here and a text there makes the server give up: then all are candidates."""
        try:
            names = self._ask().find(scope, self._writer.narrowed(where))
        except InvalidInput:
            names = self._ask().find(scope, self._writer.narrowed(()))
        return [DID(scope, name) for name in names]

    def _scopes(self, scope: str | None) -> list[str]:
        return self._ask().scopes() if scope is None else [DID(scope, "any").scope]

    def _said(self, did: DID) -> Mapping[str, Any]:
        return self._ask().facts(did, self._writer.asked(did.name), self._writer.plugin)

    def _many(self, dids: Sequence[DID]) -> Mapping[DID, Mapping[str, Any]]:
        if self._writer.plugin == JSON.plugin:
            return self._ask().many_facts(dids)
        return dict(zip(dids, many(self._said, dids), strict=True))

    def _record(self, did: DID) -> Dataset | None:
        return self._writer.dataset(self._said(did))

    # --- what people say ----------------------------------------------------------------------------------------------
    def annotate(self, annotation: Annotation) -> None:
        """Add an entry beside the dataset; the same again is a no-op."""
        self._check_scope(annotation.did.scope)
        keep(self._ask(), self._writer, annotation, lambda did: self._writer.annotation(self._said(did)))

    def annotations(self, did: DID) -> Sequence[Annotation]:
        """List all that was said of a dataset, oldest first."""
        names = names_of(self._ask(), did)
        return annotations_in(self._writer, did, self._many(names).values()) if names else ()

    # --- where data lie -----------------------------------------------------------------------------------------------
    @property
    def scope(self) -> str:
        """Scope of the account that asks."""
        return f"user.{self._ask().account}"[:25]

    def place(self, did: DID, write_id: str, rse: str | None) -> Replica:
        """Say where a new dataset goes, after all that could forbid it was asked."""
        self._check_scope(did.scope)
        _check_length(did, write_id)
        element = self._element(rse or self._usual())
        if element.is_tape or not element.writable or not element.schemes:
            why = "a tape" if element.is_tape else "closed for writing" if not element.writable else "behind protocols that lakecv does not speak"
            raise Denied(f"{element.name} is {why}", Kind.FORBIDDEN, "name another storage element: register --rse, run --to")
        room = self.room(element.name)
        if room is not None and room <= 0:
            raise Denied(
                f"{self._ask().account} has no quota left at {element.name}", Kind.QUOTA_EXCEEDED, "name another storage element (register --rse, run --to), or ask for more",
            )
        return Replica(element.name, Place(element.name, did, write_id).url, element.site)

    def room(self, rse: str) -> int | None:
        """Bytes that one may still add; 0 where one has no quota at all."""
        self._element(rse)  # says which there are, where this is none
        left = self._ask().room(rse)
        return left[rse] if rse in left else None if self._ask().is_admin() else 0

    def _check_room(self, dataset: Dataset) -> None:
        """Refuse what the quota cannot hold, before a name is used up: Rucio never gives one twice."""
        rse = Place.parse(dataset.home).rse
        room = self.room(rse)
        if room is not None and dataset.nbytes > room:
            raise Denied(
                f"{dataset.did} takes {dataset.nbytes} bytes at {rse}; your quota has {max(room, 0)} left", Kind.QUOTA_EXCEEDED,
                "name another storage element (register --rse, run --to), or ask for more",
            )

    def _usual(self) -> str:
        """Choose a storage element: the one at this site, else the only one that one has a quota at."""
        known = [self._element(name) for name in sorted(self._ask().room())]
        usable = [element for element in known if element.writable and not element.is_tape and element.schemes]
        near = [element.name for element in usable if here() and element.site == here()]
        names = near or [element.name for element in usable]
        if len(names) != 1:
            text = f"{', '.join(names)} could take the data" if names else "there is no storage element that you have a quota at"
            raise InvalidInput(text, Kind.OPTION_INVALID, "name one (register --rse, run --to), or set rse in the settings")
        return names[0]

    def _element(self, rse: str) -> Element:
        try:
            return self._ask().element(rse)
        except NotFound as err:
            hint = nearest(rse, self._ask().elements(), "storage elements")
            raise NotFound(f"there is no storage element {rse!r}", Kind.RSE_UNKNOWN, hint) from err

    def _check_scope(self, scope: str) -> None:
        """Refuse a scope that one may not write in, before anything is written."""
        own = self._ask().scopes()
        if scope in own or self._ask().is_admin():
            return
        if not self._ask().knows_scope(scope):
            raise NotFound(f"Rucio knows no scope {scope!r}", Kind.SCOPE_UNKNOWN, nearest(scope, own, "scopes of yours"))
        raise Denied(
            f"the scope {scope!r} is not yours: {self._ask().account} may not write in it", Kind.FORBIDDEN, f"use your own: register FILE {self.scope}:NAME, run --scope {self.scope}",
        )

    def _with_replicas(self, dataset: Dataset) -> Dataset:
        place = Place.parse(dataset.home)
        found = [self._replica(place, held) for held in self._ask().held(dataset.did) if held.available]
        return replace(dataset, replicas=tuple(sorted(found, key=lambda replica: (replica.rse != place.rse, replica.rse))))

    def _replica(self, place: Place, held: Held) -> Replica:
        element = self._element(held.rse)
        access = Access.READY
        if element.is_tape:
            access = Access.TAPE
        elif not element.readable:
            access = Access.DOWN
        elif held.available < held.total:
            access = Access.PARTIAL
        elif not element.schemes:
            access = Access.NO_PROTOCOL
        own = replace(place, rse=held.rse)
        keys = None
        if access is Access.PARTIAL and element.schemes:
            names = self._ask().located(place.did, held.rse, _SIGNED_SECONDS)
            keys = tuple(sorted(name.removeprefix(f"{own.prefix}.") for name in names if name.startswith(f"{own.prefix}.")))
        return Replica(held.rse, own.url, element.site, access, keys)

    # --- rules and damage ---------------------------------------------------------------------------------------------
    def replicate(self, did: DID, rses: str, lifetime_seconds: int | None) -> Rule:
        """Ask for a copy; the newest rule that asks for the same is given back."""
        self.lookup(did)  # says which there are, where this is none
        try:
            return self._ask().add_rule(did, rses, lifetime_seconds)
        except NotFound as err:
            hint = nearest(rses, self._ask().elements(), "storage elements")
            raise NotFound(f"no storage element fits {rses!r}", Kind.RSE_UNKNOWN, hint) from err

    def rules(self, did: DID) -> Sequence[Rule]:
        """List the rules of a dataset, oldest first."""
        try:
            return self._ask().rules(did)
        except NotFound:
            self.lookup(did)  # says which there are
            raise

    def report(self, dataset: Dataset, damages: Sequence[Damage]) -> str:
        """Declare files bad, or suspicious where one has no authority over the storage element."""
        place, said = Place.parse(dataset.home), set()
        for rse in sorted({damage.rse for damage in damages}):
            names = sorted({place.file(damage.key) for damage in damages if damage.rse == rse})
            urls = [self._ask().address(self._element(rse), place.did.scope, name, "read") for name in names]
            why = next(damage.text for damage in damages if damage.rse == rse)
            said.add(self._ask().report(rse, place.did.scope, names, urls, f"lakecv: {why}"[:255]))
        return " and ".join(sorted(said))

    def recorded(self, replica: Replica, keys: Sequence[str]) -> Mapping[str, tuple[int, str]]:
        """Size and adler32 that Rucio keeps of each file."""
        place = Place.parse(replica.url)
        files = self._ask().located(place.did, place.rse, _SIGNED_SECONDS)
        found = {key: files.get(place.file(key)) for key in keys}
        return {key: (file.nbytes, file.adler32) for key, file in found.items() if file is not None}


class IdlCatalog(RucioCatalog):
    """The same with metadata in the ICSC lake's shape."""

    def __init__(self, objects: ObjectIO) -> None:
        super().__init__(objects, writer=IDL)


def _fits(dataset: Dataset, where: Sequence[Condition]) -> bool:
    facts = facts_of(dataset) if where else {}
    return all(condition.holds(facts) for condition in where)


def files_of(dataset: Dataset, manifest: Manifest) -> dict[str, StoredObject]:
    """Name the files of a dataset: data, artifacts and the manifest itself.

    Raises
    ------
    InvalidInput
        If a name is too long for Rucio, or two keys would have one (kind ``did-malformed``).
    """
    data = dumps(manifest).encode()
    listing = StoredObject(MANIFEST, len(data), f"{zlib.adler32(data):08x}", "")
    objects = {item.key: item for item in (*manifest.objects, *manifest.artifacts, listing)}
    names = flat_names(Place.parse(dataset.home).prefix, list(objects))
    return {names[key]: item for key, item in objects.items()}


def _check_length(did: DID, write_id: str) -> None:
    """Leave room for the longest keys that lakecv makes; Rucio takes names of 250 letters."""
    room = _MOST_LETTERS - len(Place("x", did, write_id).prefix)
    if room < _KEY_LETTERS:
        raise InvalidInput(
            f"the name of {did} is {_KEY_LETTERS - room} letters too long for the names of its files", Kind.DID_MALFORMED, "choose a shorter one",
        )


def _taken(dataset: Dataset, other: str) -> Conflict:
    return Conflict(
        f"{dataset.did} is registered with other content (sha256 {other[:12]}, not {dataset.digest[:12]})",
        Kind.DID_MEANS_SOMETHING_ELSE, f"register it under another name, such as --name {dataset.did}.2",
    )


if TYPE_CHECKING:

    def _proof(objects: ObjectIO) -> tuple[CatalogBackend, StorageElements, Replicates, ReportsDamage, KeepsChecksums, Annotates]:
        catalog = RucioCatalog(objects)
        return catalog, catalog, catalog, catalog, catalog, catalog
