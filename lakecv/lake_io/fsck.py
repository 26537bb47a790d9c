"""Whether a dataset is still what it was promised to be: every object read again, every record compared with the others.

A flaw is a finding, never an exception, so that the first one does not hide the rest; objects are read in parallel, a
piece at a time, so that memory does not grow with their size.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import StrEnum

import google_crc32c

from lakecv.canonical import loads
from lakecv.errors import Corrupt, LakeCVError, NotFound, Unavailable
from lakecv.lake_io.drift import METADATA_NBYTES, catalog_drift, is_metadata, metadata_drift, promised_keys
from lakecv.lake_io.publish import MANIFEST
from lakecv.plan import Progress
from lakecv.ports import ObjectIO
from lakecv.records import Dataset, Manifest, StoredObject

__all__ = ["Copy", "Examined", "Finding", "Flaw", "examine", "examine_against", "judge", "read_manifest"]

_THREADS = 4
_PIECE_NBYTES = 16 << 20
_GIVE_UP = 3  # a store that did not answer so often in a row is down: the rest is not tried


class Flaw(StrEnum):
    """What is wrong with an object or a record; EXTRA breaks no promise, UNREADABLE proves nothing."""

    MISSING = "missing"
    CORRUPT = "corrupt"
    UNREADABLE = "unreadable"
    DRIFT = "drift"
    EXTRA = "extra"


_PROVEN = {Flaw.MISSING, Flaw.CORRUPT}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: what, with which object, and what was found where what was expected."""

    flaw: Flaw
    key: str
    text: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Copy:
    """Where a dataset lies: its home, the objects of one replica, and whether lakecv itself wrote those (``is_managed``)."""

    home: ObjectIO
    data: ObjectIO
    is_managed: bool


@dataclass(frozen=True, slots=True)
class Examined:
    """What reading a copy again gave; ``objects`` and ``nbytes`` are what its manifest lists."""

    objects: int
    nbytes: int
    findings: tuple[Finding, ...]


Watch = Callable[[Progress], None]


def examine(copy: Copy, dataset: Dataset, watch: Watch) -> Examined:
    """Compare catalog, manifest, metadata and every object of a copy with each other.

    Parameters
    ----------
    copy : Copy
        What is read.
    dataset : Dataset
        The catalog's record of it.
    watch : callable
        Given the progress, object by object.

    Returns
    -------
    Examined
        Findings by flaw, then key.
    """
    manifest, flaw = read_manifest(copy.home, dataset.digest)
    if manifest is not None:
        return examine_against(copy, dataset, manifest, watch)
    findings = [*([flaw] if flaw else ()), *_listed_wrong(copy, dataset, None)]
    return Examined(dataset.nobjects, dataset.nbytes, _sorted(findings))


def examine_against(copy: Copy, dataset: Dataset, manifest: Manifest, watch: Watch) -> Examined:
    """As :func:`examine`, where the manifest is known."""
    findings = list(_listed_wrong(copy, dataset, manifest))
    places = [(copy.data, item) for item in manifest.objects] + [(copy.home, item) for item in manifest.artifacts]
    wrong = list(_examined(places, str(dataset.did), watch))
    findings += wrong
    findings += [Finding(Flaw.DRIFT, key, text) for key, text in catalog_drift(dataset, manifest)]
    documents = dict(_documents(copy.data, manifest, {finding.key for finding in wrong}))
    findings += [Finding(Flaw.DRIFT, key, text) for key, text in metadata_drift(dataset, documents)]
    changed = [finding for finding in wrong if finding.flaw in _PROVEN and finding.key in _keys(manifest.objects)]
    if changed and not copy.is_managed:
        text = f"{len(changed)} of its objects are not as they were when it was registered in place"
        findings.append(Finding(Flaw.DRIFT, copy.data.url, text))
    return Examined(len(places), sum(item.nbytes for _, item in places), _sorted(findings))


def read_manifest(home: ObjectIO, digest: str) -> tuple[Manifest | None, Finding | None]:
    """Read a manifest and hold it against the catalog's digest: it, or what is wrong with it."""
    try:
        manifest = loads(Manifest, home.get(MANIFEST))
    except LakeCVError as err:
        return None, _failed(MANIFEST, err)
    if manifest.digest != digest:
        text = f"it describes other data ({manifest.digest[:12]}); the catalog says {digest[:12]}. Nothing can be compared with it"
        return None, Finding(Flaw.DRIFT, MANIFEST, text)
    return manifest, None


def judge(objects: ObjectIO, item: StoredObject) -> Finding | None:
    """Read one object and compare its size and checksums with its record; None where it is whole."""
    try:
        info = objects.head(item.key)
        if info is None:
            return Finding(Flaw.MISSING, item.key)
        if info.nbytes != item.nbytes:
            return Finding(Flaw.CORRUPT, item.key, f"it has {info.nbytes} bytes; {item.nbytes} were promised")
        found = _describe(objects, item)
    except LakeCVError as err:
        return _failed(item.key, err)
    if found == item:
        return None
    text = f"its {item.nbytes} bytes have crc32c {found.crc32c}; {item.crc32c} was promised"
    if found.crc32c == item.crc32c:
        text = f"its {item.nbytes} bytes have adler32 {found.adler32}; {item.adler32} was promised"
    return Finding(Flaw.CORRUPT, item.key, text)


def _describe(objects: ObjectIO, item: StoredObject) -> StoredObject:
    """Size and checksums of an object that should be like ``item``, read piece by piece where it is large."""
    adler, crc, seen = 1, 0, 0
    for data in _pieces(objects, item):
        adler, crc, seen = zlib.adler32(data, adler), google_crc32c.extend(crc, bytes(data)), seen + len(data)
    return StoredObject(item.key, seen, f"{adler:08x}", f"{crc:08x}")


def _pieces(objects: ObjectIO, item: StoredObject) -> Iterator[bytes | memoryview]:
    if item.nbytes <= _PIECE_NBYTES:
        yield objects.get(item.key)
        return
    for start in range(0, item.nbytes, _PIECE_NBYTES):
        yield from objects.get_ranges(item.key, [(start, min(start + _PIECE_NBYTES, item.nbytes))])


class _Patience:
    """Judges objects until the store has not answered several times in a row."""

    def __init__(self) -> None:
        self._unanswered = 0

    def judge(self, place: tuple[ObjectIO, StoredObject]) -> Finding | None:
        objects, item = place
        if self._unanswered >= _GIVE_UP:
            return Finding(Flaw.UNREADABLE, item.key, f"not tried: {objects.url} does not answer")
        finding = judge(objects, item)
        lost = finding is not None and finding.flaw is Flaw.UNREADABLE and finding.text.startswith(_NO_ANSWER)
        self._unanswered = self._unanswered + 1 if lost else 0
        return finding


_NO_ANSWER = "no answer: "


def _examined(places: list[tuple[ObjectIO, StoredObject]], did: str, watch: Watch) -> Iterator[Finding]:
    """Judge objects in parallel; findings in the order of the manifest."""
    clock, seen = time.monotonic(), 0
    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="verify")
    try:
        for done, finding in enumerate(pool.map(_Patience().judge, places), 1):
            seen += places[done - 1][1].nbytes
            watch(Progress("verify", "objects", done, len(places), seen, time.monotonic() - clock, did))
            if finding is not None:
                yield finding
    finally:
        pool.shutdown(cancel_futures=True)


def _listed_wrong(copy: Copy, dataset: Dataset, manifest: Manifest | None) -> Iterator[Finding]:
    """Compare listings with the manifest (what is there but not listed), or with the catalog where no manifest is left."""
    places = {copy.home.url: copy.home, copy.data.url: copy.data}
    try:
        found = {url: {info.key for info in objects.list()} for url, objects in places.items()}
    except LakeCVError as err:
        yield replace(_failed(copy.data.url, err), flaw=Flaw.UNREADABLE)
        return
    if manifest is None:
        gone = promised_keys(dataset) - found[copy.data.url]
        yield from (Finding(Flaw.MISSING, key, "the catalog promises it") for key in gone)
        return
    known: dict[str, set[str]] = {url: set() for url in places}
    known[copy.home.url] |= {MANIFEST, *_keys(manifest.artifacts)}
    known[copy.data.url] |= _keys(manifest.objects)
    for url, keys in found.items():
        yield from (Finding(Flaw.EXTRA, key, "no manifest lists it") for key in keys - known[url])


def _documents(objects: ObjectIO, manifest: Manifest, wrong: set[str]) -> Iterator[tuple[str, bytes]]:
    """Zarr metadata whose bytes are whole."""
    for item in manifest.objects:
        if is_metadata(item.key) and item.key not in wrong and item.nbytes <= METADATA_NBYTES:
            try:
                yield item.key, objects.get(item.key)
            except LakeCVError:  # it went away since it was judged: the next look tells
                continue


def _failed(key: str, err: LakeCVError) -> Finding:
    if isinstance(err, NotFound):
        return Finding(Flaw.MISSING, key)
    if isinstance(err, Corrupt):
        return Finding(Flaw.CORRUPT, key, str(err))
    return Finding(Flaw.UNREADABLE, key, f"{_NO_ANSWER if isinstance(err, Unavailable) else ''}{err}")


def _keys(items: Iterable[StoredObject]) -> set[str]:
    return {item.key for item in items}


def _sorted(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    order = list(Flaw)
    return tuple(sorted(findings, key=lambda finding: (order.index(finding.flaw), finding.key)))
