"""Snapshots of the catalog: many dataset documents in one object, so that listing 10,000 of them is not 10,000 requests.

A snapshot is a copy and never the truth.  Its name holds the sha256 of its bytes; each of its lines holds a document with
the size and time that a listing gave for it.  What does not match the listing of today is read from the document itself.
Snapshots are create-only as everything in the catalog: whoever lists and finds many documents outside of the newest one
leaves a newer one.  Snapshots that are superseded are never read again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from lakecv.canonical import unseal
from lakecv.errors import Conflict, Corrupt, Denied, InvalidInput, NotFound, Unavailable
from lakecv.ports import ObjectInfo, ObjectIO
from lakecv.records import DID, Dataset
from lakecv_catalog.codec import parse

__all__ = ["FOLDER", "Entry", "Snapshot", "is_due", "newest", "write"]

FOLDER = "catalog/_index"
"""Where snapshots lie: no scope starts with an underscore, so no dataset lies there."""

_NAME = re.compile(r"v1-(\d{1,18})-([0-9a-f]{64})\.txt", re.ASCII)
_LOOSE = 64  # documents outside of the newest snapshot: few enough to be read at once, in about two round trips
_SHARE = 16  # of those inside it as well: all snapshots that were ever written then hold some 17 times the newest, not n^2/128
_MOST_NBYTES = 1 << 28  # of a snapshot: it is held in memory, whoever wrote it; documents beyond it stay outside
_BREAKS = re.compile(rb"\n *")


@dataclass(frozen=True, slots=True)
class Entry:
    """The document of a dataset on one line, and what a listing said of the document's own object."""

    nbytes: int
    modified: float
    document: bytes

    @classmethod
    def of(cls, info: ObjectInfo, document: bytes) -> Entry:
        """Make an entry of a document that was read after it was listed; JSON has no line breaks inside a text."""
        return cls(info.nbytes, float(info.modified), _BREAKS.sub(b"", unseal(document)))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the newest snapshot holds; nothing where there is none that can be trusted."""

    sequence: int = 0
    entries: Mapping[DID, Entry] = field(default_factory=dict)

    def dataset(self, did: DID, info: ObjectInfo) -> Dataset | None:
        """Find a dataset as its document says it, None where only the document itself can tell."""
        entry = self.entries.get(did)
        if entry is None or (entry.nbytes, entry.modified) != (info.nbytes, info.modified):
            return None
        try:
            return parse(entry.document)
        except (Corrupt, InvalidInput):
            return None


def newest(objects: ObjectIO) -> Snapshot:
    """Read the newest snapshot of a lake; one that is damaged, too large or out of reach is as good as none."""
    named = [(match, info) for info in objects.list(FOLDER) if (match := _NAME.fullmatch(info.key.rpartition("/")[2]))]
    if not named:
        return Snapshot()
    name, info = max(named, key=lambda each: (int(each[0][1]), each[1].nbytes, each[1].key))
    sequence = int(name[1])
    if info.nbytes > _MOST_NBYTES:
        return Snapshot(sequence)
    try:
        data = objects.get(info.key)
    except (NotFound, Corrupt, Denied):
        return Snapshot(sequence)
    return Snapshot(sequence, _entries(data) if sha256(data).hexdigest() == name[2] else {})


def is_due(kept: Mapping[DID, Entry], fresh: Mapping[DID, Entry]) -> bool:
    """Say whether so many documents had to be read that a newer snapshot is worth its bytes."""
    return len(fresh) > max(_LOOSE, len(kept) // _SHARE)


def write(objects: ObjectIO, sequence: int, kept: Mapping[DID, Entry], fresh: Mapping[DID, Entry]) -> None:
    """Leave a snapshot, all of it or nothing; a listing does not fail because it could not."""
    lines: list[bytes] = []
    room = _MOST_NBYTES
    for did, entry in {**kept, **fresh}.items():
        line = b"%s %d %s %s\n" % (str(did).encode(), entry.nbytes, repr(entry.modified).encode(), entry.document)
        room -= len(line)
        if room < 0:
            break
        lines.append(line)
    if len(lines) <= len(kept):
        return
    data = b"".join(sorted(lines))
    try:
        objects.put(f"{FOLDER}/v1-{sequence + 1:08d}-{sha256(data).hexdigest()}.txt", data)
    except (Conflict, Denied, Unavailable):
        return


def _entries(data: bytes) -> dict[DID, Entry]:
    """Take a snapshot apart; its documents are decoded when they are asked for."""
    try:
        parts = (line.split(b" ", 3) for line in data.split(b"\n")[:-1])
        return {DID.parse(did.decode()): Entry(int(size), float(time), text) for did, size, time, text in parts}
    except ValueError:  # InvalidInput is one: a name that is none
        return {}
