"""Puts right what is proven wrong, from bytes that are proven right; whole objects are never touched.

A source is only somewhere to look: what counts is that its bytes have the size and both checksums of the manifest's record,
and that the manifest is the one whose digest the catalog holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from lakecv.canonical import loads
from lakecv.errors import Corrupt, LakeCVError, NotFound
from lakecv.lake_io.fsck import Finding, Flaw, judge
from lakecv.lake_io.objects import describe, put_checked
from lakecv.lake_io.publish import MANIFEST
from lakecv.ports import ObjectInfo, ObjectIO
from lakecv.records import Manifest, StoredObject

__all__ = ["Mended", "Shelf", "mend", "proven_manifest"]


class Shelf(Protocol):
    """Where right bytes may be: as much of :class:`lakecv.ports.ObjectIO` as it takes to look."""

    @property
    def url(self) -> str:
        """How it is called."""

    def head(self, key: str) -> ObjectInfo | None:
        """Size of an object, None where there is none."""

    def get(self, key: str) -> bytes:
        """Read a whole object."""


@dataclass(frozen=True, slots=True)
class Mended:
    """What became of one wrong object; ``why`` it was left as it is, empty where it is (or, in a dry run, would be) whole."""

    finding: Finding
    why: str = ""


def proven_manifest(sources: Sequence[Shelf], home: ObjectIO, digest: str) -> bytes | None:
    """Find a manifest that can stand for one that is lost.

    Its list of data is proven by the catalog's digest; its list of artifacts, which the digest does not cover, by the
    artifacts at home: all of them have to match.
    """
    for source in sources:
        try:
            data = source.get(MANIFEST)
            manifest = loads(Manifest, data)
        except LakeCVError:
            continue
        if manifest.digest == digest and not any(judge(home, item) for item in manifest.artifacts):
            return data
    return None


def mend(
    home: ObjectIO, wanted: Sequence[tuple[Finding, StoredObject]], sources: Sequence[Shelf], *, dry_run: bool,
) -> Iterator[Mended]:
    """Replace wrong objects one after the other.

    Parameters
    ----------
    home : ObjectIO
        The prefix that lakecv wrote.
    wanted : finding and record
        Objects that are missing or corrupt, and what they should be.
    sources : Shelf
        Where the right bytes may be, under the same keys; the first that has them counts.
    dry_run : bool
        Only say what could be done.
    """
    for finding, item in wanted:
        data, why = _right_bytes(sources, item)
        if data is not None and not dry_run:
            why = _replace(home, item, data)
        yield Mended(finding, why)


def _right_bytes(sources: Sequence[Shelf], item: StoredObject) -> tuple[bytes | None, str]:
    """Bytes that match the record, else why there are none."""
    whys = []
    for source in sources:
        try:
            info = source.head(item.key)
            data = source.get(item.key) if info is not None and info.nbytes == item.nbytes else None
        except LakeCVError as err:
            whys.append(f"{source.url}: {err}")
            continue
        if data is not None and describe(item.key, data) == item:
            return data, ""
        whys.append(f"{source.url} has {'none' if info is None else 'other bytes'} under this key")
    return None, "; ".join(whys) or "there is nowhere to take it from"


def _replace(home: ObjectIO, item: StoredObject, data: bytes) -> str:
    """Delete a wrong object and put the right one; says why where that failed.

    Judged once more right before: another repair may have been here.  Killed between the two steps the object is missing,
    which is what the next repair mends.
    """
    try:
        now = judge(home, item)
        if now is None:
            return ""
        if now.flaw is Flaw.UNREADABLE:
            return now.text
        home.delete(item.key)
        put_checked(home, item.key, data)
    except (Corrupt, NotFound) as err:
        return f"it was put but does not read back right: {err}"
    except LakeCVError as err:
        return f"it cannot be written: {err}"
    return ""
