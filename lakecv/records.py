"""What the catalog knows: identifiers, replicas, manifests, datasets and artifacts.

A dataset is its manifest: every stored object with its size and checksums.  What is not in the manifest does not exist.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from lakecv.canonical import digest
from lakecv.cube import CubeSpec
from lakecv.errors import InvalidInput, Kind

__all__ = [
    "DID", "Access", "Claim", "Damage", "Dataset", "Manifest", "Replica", "Rule", "StoredObject", "flat_name", "flat_names",
]

_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)
_SCOPE_LIMIT, _NAME_LIMIT = 25, 250  # Rucio's own limits


@dataclass(frozen=True, slots=True, order=True)
class DID:
    """A data identifier, ``scope:name``, in the letters that every store, shell and catalog accepts.

    Examples
    --------
    >>> DID.parse("museo:tavola-3")
    DID(scope='museo', name='tavola-3')
    >>> str(DID("museo", "tavola-3"))
    'museo:tavola-3'
    """

    scope: str
    name: str

    def __post_init__(self) -> None:
        for part, text, limit in (("scope", self.scope, _SCOPE_LIMIT), ("name", self.name, _NAME_LIMIT)):
            if not _PART.fullmatch(text) or ".." in text:
                raise InvalidInput(
                    f"the {part} {text!r} of a DID may hold A-Z a-z 0-9 . _ - only and starts with a letter or digit",
                    Kind.DID_MALFORMED, "write it as scope:name; free text goes to --title",
                )
            if len(text) > limit:
                raise InvalidInput(
                    f"the {part} of a DID has {len(text)} characters; at most {limit} fit", Kind.DID_MALFORMED,
                    "choose a shorter one; free text goes to --title",
                )

    @classmethod
    def parse(cls, text: str, default_scope: str | None = None) -> DID:
        """Read ``scope:name``; without a colon the scope is ``default_scope``.

        Raises
        ------
        InvalidInput
            If the text is not a DID (kind ``did-malformed``).
        """
        scope, colon, name = text.partition(":")
        if colon:
            return cls(scope, name)
        if default_scope is None:
            raise InvalidInput(f"{text!r} has no scope", Kind.DID_MALFORMED, f"write it as scope:{text or 'name'}")
        return cls(default_scope, text)

    def __str__(self) -> str:
        return f"{self.scope}:{self.name}"


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object of a dataset: its key below the replica's url, its size and its checksums (8 hex digits each)."""

    key: str
    nbytes: int
    adler32: str
    crc32c: str


@dataclass(frozen=True)
class Manifest:
    """Every stored object of a dataset, sorted by key.  Absence is never trusted: an object that is not here is an error.

    ``objects`` are the data (at every replica); ``artifacts`` what is written about them (report, thumbnail, survey), at the
    dataset's home.
    """

    objects: tuple[StoredObject, ...]
    artifacts: tuple[StoredObject, ...] = ()

    @cached_property
    def by_key(self) -> dict[str, StoredObject]:
        """Index of data and artifacts by key."""
        return {item.key: item for item in (*self.objects, *self.artifacts)}

    @property
    def nbytes(self) -> int:
        """Stored bytes of the data, compressed as they are."""
        return sum(item.nbytes for item in self.objects)

    @property
    def digest(self) -> str:
        """Identity of the data: sha256 over keys, sizes and checksums; artifacts do not count."""
        return digest(self.objects)


class Access(StrEnum):
    """Whether a replica can be read now, and if not, why."""

    READY = "ready"
    TAPE = "tape"
    DOWN = "down"
    PARTIAL = "partial"
    NO_PROTOCOL = "no-protocol"


@dataclass(frozen=True, slots=True)
class Replica:
    """A copy of a dataset: the storage element that holds it and the url prefix below which the keys lie.

    A url without a scheme that does not start with ``/`` is relative to the lake, so that a lake can be moved.  ``site`` is
    where the catalog says that the storage element stands.  ``keys`` are the objects of a partial copy, with ``.`` for ``/`` as
    catalogs of files name them; None = all of them, or not known where ``access`` is PARTIAL.
    """

    rse: str
    url: str
    site: str = ""
    access: Access = Access.READY
    keys: tuple[str, ...] | None = None

    @property
    def is_readable(self) -> bool:
        """True where what it holds can be read now."""
        return self.access is Access.READY or (self.access is Access.PARTIAL and self.keys is not None)


@dataclass(frozen=True, slots=True)
class Dataset:
    """A catalogued dataset.  ``digest`` names its content; two datasets with the same digest hold the same bytes.

    ``home`` is the prefix in the lake that holds the manifest and the artifacts.  ``arrays_at`` maps an array to its path in
    the store where that is not its name.  ``parents`` are DIDs with digests.
    """

    did: DID
    cube: CubeSpec
    digest: str
    home: str
    replicas: tuple[Replica, ...]
    nobjects: int
    nbytes: int
    created: str
    title: str = ""
    metadata: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    arrays_at: tuple[tuple[str, str], ...] = ()
    parents: tuple[tuple[str, str], ...] = ()
    made_by: str | None = None

    def path_of(self, array: str) -> str:
        """Path of an array inside the store."""
        return dict(self.arrays_at).get(array, array)


@dataclass(frozen=True, slots=True)
class Damage:
    """An object of a replica that is gone or has other bytes than the manifest promises."""

    rse: str
    key: str
    text: str


@dataclass(frozen=True, slots=True)
class Rule:
    """A promise of the catalog to keep copies of a dataset where an expression of storage elements says.

    ``state`` is the catalog's word (OK, REPLICATING, STUCK, ...); ``ok``, ``moving`` and ``stuck`` count objects; ``expires``
    is a time in UTC, empty where the copies stay.
    """

    id: str
    did: DID
    rses: str
    state: str
    copies: int = 1
    ok: int = 0
    moving: int = 0
    stuck: int = 0
    expires: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Claim:
    """Who may write a DID: the first to claim it.  ``write_id`` is the run's id and the last part of the replica's url."""

    did: DID
    job_digest: str
    write_id: str
    created: str


def flat_name(prefix: str, key: str) -> str:
    """Name of a stored object where names have no folders: in a catalog of files, and in what was downloaded from one.

    Examples
    --------
    >>> flat_name("tavola.4f2a9c01b3de", "data/c/0/0/0")
    'tavola.4f2a9c01b3de.data.c.0.0.0'
    """
    return f"{prefix}.{key.replace('/', '.')}"


def flat_names(prefix: str, keys: Iterable[str]) -> dict[str, str]:
    """Flat name of each key; no two are the same.

    Raises
    ------
    InvalidInput
        If two keys would share a name, or a name does not fit a DID (kind ``did-malformed``).

    Examples
    --------
    >>> flat_names("a.1", ["zarr.json", "data/zarr.json"])
    {'zarr.json': 'a.1.zarr.json', 'data/zarr.json': 'a.1.data.zarr.json'}
    """
    names: dict[str, str] = {}
    owners: dict[str, str] = {}
    for key in keys:
        names[key] = name = flat_name(prefix, key)
        if owners.setdefault(name, key) != key:
            raise InvalidInput(
                f"the objects {owners[name]!r} and {key!r} would both be called {name!r}; a catalog of files has no folders",
                Kind.DID_MALFORMED, "rename one of the two arrays",
            )
        if len(name) > _NAME_LIMIT:
            raise InvalidInput(
                f"the object {key!r} would be called by {len(name)} characters; at most {_NAME_LIMIT} fit", Kind.DID_MALFORMED,
                "choose a shorter name for the dataset",
            )
    return names
