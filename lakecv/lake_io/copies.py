"""Reads of a dataset that lies at several places: every byte is proven, and a place that fails is followed by the next.

One way through for one replica and for many.  An object up to 16 MiB is fetched whole from a place before parts of it are
trusted there, and compared with the manifest.  Of a larger shard the index is, from which its crc32c follows; then a range
that ends with its own crc32c, as every chunk and every index that lakecv writes does, proves itself.  For any other the
whole object is fetched.  That leaves one thing that only whole reads see, as those of ``verify`` and ``fetch``: two
shards above 16 MiB that were swapped, all of whose chunks have the same lengths, one by one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from copy import copy as copied
from dataclasses import dataclass
from functools import cached_property, partial
from threading import Lock

from lakecv import registry
from lakecv.errors import Corrupt, Denied, Infeasible, Kind, LakeCVError, NotFound, Unavailable
from lakecv.lake_io.objects import DAMAGED, describe
from lakecv.lake_io.place import LOCAL, locate
from lakecv.lake_io.proof import Blobs, Kept, covers, prove_themselves, shard_crc32c
from lakecv.lake_io.publish import MANIFEST, load_manifest
from lakecv.ports import ObjectInfo, ObjectIO
from lakecv.records import Access, Damage, Dataset, Manifest, Replica, StoredObject

__all__ = ["CopiedObjects", "Holder", "Seen", "ignore", "open_artifacts", "open_copies", "open_manifest"]

Seen = Callable[[Damage], None]
"""Told of every damaged object, once."""

_SMALL_NBYTES = 1 << 20  # up to here a part costs what the whole does
_WHOLE_NBYTES = 16 << 20  # up to here an object is read whole once, before parts of it are
_MISSING = "it is in the manifest but missing"


def ignore(_: Damage) -> None:
    """Take a damage and tell nobody."""


@dataclass(frozen=True)
class Holder:
    """A place that holds a copy of a dataset's objects, opened when it is first read."""

    rse: str
    url: str
    open: Callable[[], ObjectIO]
    keys: frozenset[str] | None = None

    def holds(self, key: str) -> bool:
        """Say whether an object should be there."""
        return self.keys is None or key.replace("/", ".") in self.keys

    @cached_property
    def objects(self) -> ObjectIO:
        """What it holds."""
        return self.open()


class _Bad(Exception):
    """A copy was reached and does not have what the manifest promises."""


class CopiedObjects:
    """The objects of a dataset, read-only, from the first of its copies that has the right bytes.

    Parameters
    ----------
    copies : Holder
        In the order in which they are tried; one that was out of reach once goes to the end.
    manifest : Manifest
        What every object is compared with.
    seen : callable
        Told of an object that a copy lacks or has wrong, once; that a copy cannot be reached is no damage.

    Examples
    --------
    >>> from lakecv.lake_io.objects import describe
    >>> from lakecv.testing.fakes import MemoryObjects
    >>> bad, good = MemoryObjects(), MemoryObjects()
    >>> bad.put("a", b"spectrun"), good.put("a", b"spectrum")
    (None, None)
    >>> copies = [Holder("INFN-PG", "x", lambda: bad), Holder("CNAF", "y", lambda: good)]
    >>> damages = []
    >>> CopiedObjects(copies, Manifest((describe("a", b"spectrum"),)), damages.append).get("a")
    b'spectrum'
    >>> [(damage.rse, damage.key) for damage in damages]
    [('INFN-PG', 'a')]
    """

    def __init__(self, copies: Sequence[Holder], manifest: Manifest, seen: Seen = ignore) -> None:
        self._copies, self._manifest, self._seen = [*copies], manifest, seen
        self._lock = Lock()
        self._count: Callable[[str, int, float], None] = _uncounted
        self._bad: set[tuple[str, str]] = set()
        self._told: set[tuple[str, str]] = set()
        self._bound: set[tuple[str, str]] = set()
        self._tails: dict[str, tuple[tuple[int, int], bytes]] = {}
        self._kept = Kept()

    @property
    def url(self) -> str:
        """Where the copy lies that is tried first."""
        return self._copies[0].url

    def counted(self, count: Callable[[str, int, float], None]) -> CopiedObjects:
        """Give a view of the same copies, with all that is known of them, that tells ``count`` of each read: RSE, bytes, seconds."""
        view = copied(self)
        view._count = count  # noqa: SLF001  (of the same class)
        return view

    def get(self, key: str) -> bytes:
        """Read a whole object and compare it with the manifest.

        Raises
        ------
        NotFound
            If the manifest lists no such object.
        Corrupt
            If every copy was reached and none has the right bytes.
        Unavailable, Denied
            If a copy that may have them could not be reached.
        """
        record = self._record(key)
        failures: list[tuple[Holder, Exception]] = []
        for copy in self._order(key):
            try:
                data = self._proven(copy, record)
            except _Bad as err:
                self._accuse(copy, key, str(err))
                failures.append((copy, err))
            except LakeCVError as err:
                self._put_last(copy)
                failures.append((copy, err))
            else:
                self._bad.discard((copy.url, key))
                self._bound.add((copy.url, key))
                return data
        raise _verdict(key, failures)

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> Blobs:
        """Read half-open byte ranges; all of them proven, as bytes and as those of this object.

        What is up to 16 MiB is fetched whole the first time, and kept for the next ranges.  Larger, the index or the whole
        object is proven first, place by place; see the module on what that leaves.
        """
        record = self._record(key)
        if any(stop > record.nbytes for _, stop in ranges):
            raise Corrupt(f"{self.url}/{key} ends at byte {record.nbytes}", Kind.SHORT_READ, DAMAGED)
        data = self._kept.get(key)
        if data is None:
            order = self._order(key)
            blobs = None if covers(ranges, record.nbytes) else self._first_ranges(order, record, ranges)
            if blobs is not None:
                return blobs
            try:
                data = self.get(key)
            except Corrupt:
                blobs = self._any_ranges(order, record, ranges)
                if blobs is None:
                    raise
                return blobs
            self._kept.put(key, data)
        return [memoryview(data)[start:stop] for start, stop in ranges]

    def put(self, key: str, data: bytes) -> None:  # noqa: ARG002  (the port names it)
        """Refuse."""
        raise self._refusal(key)

    def delete(self, key: str) -> None:
        """Refuse."""
        raise self._refusal(key)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Objects of a folder, as the manifest has them."""
        start = f"{prefix.rstrip('/')}/" if prefix else ""
        yield from (ObjectInfo(key, item.nbytes) for key, item in sorted(self._manifest.by_key.items()) if key.startswith(start))

    def head(self, key: str) -> ObjectInfo | None:
        """Size of an object, as the manifest has it."""
        record = self._manifest.by_key.get(key)
        return None if record is None else ObjectInfo(key, record.nbytes)

    def _record(self, key: str) -> StoredObject:
        record = self._manifest.by_key.get(key)
        if record is None:
            raise NotFound(f"the manifest lists no object '{key}'", Kind.OBJECT_UNKNOWN, DAMAGED)
        return record

    def _order(self, key: str) -> Sequence[Holder]:
        """Order the copies that should have an object: one that had it wrong comes last, but may have been mended since."""
        copies = [copy for copy in self._copies if copy.holds(key)]
        if not copies:
            raise Corrupt(f"no replica is said to hold '{key}'", Kind.OBJECT_MISSING, DAMAGED)
        return sorted(copies, key=lambda copy: (copy.url, key) in self._bad) if self._bad else copies

    def _proven(self, copy: Holder, record: StoredObject) -> bytes:
        """Read an object from one copy; twice before it is called wrong for the first time: a bit may flip on its way."""
        data, wrong = self._look(copy, record)
        if wrong not in {"", _MISSING} and (copy.url, record.key) not in self._bad:
            data, wrong = self._look(copy, record)
        if wrong:
            raise _Bad(wrong)
        return data

    def _look(self, copy: Holder, record: StoredObject) -> tuple[bytes, str]:
        began = time.perf_counter()
        data, wrong = _look(copy.objects, record)
        self._count(copy.rse, len(data), time.perf_counter() - began)
        return data, wrong

    def _fetch(self, copy: Holder, key: str, ranges: Sequence[tuple[int, int]]) -> Blobs:
        began = time.perf_counter()
        blobs = copy.objects.get_ranges(key, ranges)
        self._count(copy.rse, sum(map(len, blobs)), time.perf_counter() - began)
        return blobs

    def _first_ranges(self, order: Sequence[Holder], record: StoredObject, ranges: Sequence[tuple[int, int]]) -> Blobs | None:
        """Ranges from the first copy that can be reached; None where they prove nothing."""
        failures: list[tuple[Holder, Exception]] = []
        for copy in order:
            try:
                return self._ranges(copy, record, ranges)
            except LakeCVError as err:
                if _is_damage(err):
                    return None
                self._put_last(copy)
                failures.append((copy, err))
        raise _verdict(record.key, failures)

    def _any_ranges(self, copies: Sequence[Holder], record: StoredObject, ranges: Sequence[tuple[int, int]]) -> Blobs | None:
        """Ranges from a copy that is not whole, where they prove themselves and its index is this object's."""
        for copy in copies:
            with suppress(LakeCVError):
                blobs = self._ranges(copy, record, ranges)
                if blobs is not None:
                    return blobs
        return None

    def _ranges(self, copy: Holder, record: StoredObject, ranges: Sequence[tuple[int, int]]) -> Blobs | None:
        """Ranges of an object as one copy has them; None where they, or that they are of this object, are not proven."""
        key, place = record.key, (copy.url, record.key)
        if record.nbytes <= _SMALL_NBYTES or (record.nbytes <= _WHOLE_NBYTES and place not in self._bound):
            return None
        if place in self._bound:
            blobs = self._fetch(copy, key, ranges)
            return blobs if prove_themselves(blobs, ranges) else None
        if len(ranges) == 1 and ranges[0][1] == record.nbytes:
            return self._index(copy, record, ranges)
        span, tail = self._tails.get(key, (None, b""))
        if span is None:
            return None
        *blobs, found = self._fetch(copy, key, [*ranges, span])
        if bytes(found) != tail or not prove_themselves(blobs, ranges):
            return None
        self._bound.add(place)
        return blobs

    def _index(self, copy: Holder, record: StoredObject, ranges: Sequence[tuple[int, int]]) -> Blobs | None:
        """Read the last bytes of a shard; None where they are not the index that the shard's crc32c follows from."""
        [found] = blobs = self._fetch(copy, record.key, ranges)
        span, tail = self._tails.get(record.key, (None, b""))
        if span != ranges[0] or bytes(found) != tail:
            crc = shard_crc32c(found, record.nbytes) if prove_themselves(blobs, ranges) else None
            if crc is None or f"{crc:08x}" != record.crc32c:
                return None
            self._tails[record.key] = ranges[0], bytes(found)
        self._bound.add((copy.url, record.key))
        return blobs

    def _put_last(self, copy: Holder) -> None:
        """Try the others first from now on: nobody waits for an answer that did not come, object after object."""
        with self._lock:
            self._copies[:] = [*(each for each in self._copies if each is not copy), copy]

    def _accuse(self, copy: Holder, key: str, text: str) -> None:
        with self._lock:
            self._bad.add((copy.url, key))
            is_new = (copy.rse, key) not in self._told
            self._told.add((copy.rse, key))
        if is_new:
            self._seen(Damage(copy.rse, key, text))

    def _refusal(self, key: str) -> Denied:
        return Denied(f"{self.url}/{key} is only read", Kind.FORBIDDEN, "write it as a dataset of its own")


def open_copies(
    lake: str, dataset: Dataset, manifest: Manifest, first: Replica | None = None, seen: Seen = ignore,
) -> CopiedObjects:
    """Open the data of a dataset: at ``first``, then at every other replica that can be read now.

    Raises
    ------
    Infeasible
        If there is none (kind ``no-replica-reachable``).
    """
    chosen = [*([first] if first is not None else []), *(each for each in dataset.replicas if each.is_readable)]
    if not dataset.replicas:
        chosen.append(Replica(LOCAL, dataset.home))
    if not chosen:
        states = ", ".join(f"{each.rse} ({each.access})" for each in dataset.replicas)
        raise Infeasible(
            f"no replica of {dataset.did} can be read now: {states}", Kind.NO_REPLICA_REACHABLE, f"lakecv rules {dataset.did}",
        )
    return CopiedObjects(_copies(lake, chosen), manifest, seen)


def open_artifacts(lake: str, dataset: Dataset, manifest: Manifest, seen: Seen = ignore) -> CopiedObjects:
    """Open what is written about a dataset: at its home, then at replicas that may hold it, too.

    Only the home promises artifacts, so that only there one that is absent is a damage.
    """
    copies = _homes(lake, dataset)
    return CopiedObjects(copies, manifest, lambda damage: seen(damage) if damage.rse == copies[0].rse else None)


def open_manifest(lake: str, dataset: Dataset, seen: Seen = ignore) -> Manifest:
    """Read a dataset's manifest at its home, else at the first replica that holds the right one.

    Raises
    ------
    Corrupt
        If it is nowhere.
    Unavailable, Denied
        If a place that may have it could not be reached.
    """
    failures: list[tuple[Holder, Exception]] = []
    for copy in _homes(lake, dataset):
        try:
            manifest = load_manifest(copy.objects, dataset.digest)
        except LakeCVError as err:
            failures.append((copy, err))
        else:
            home, first = failures[0] if failures else (copy, None)
            if isinstance(first, Corrupt):
                seen(Damage(home.rse, MANIFEST, str(first)))
            return manifest
    raise _worst(failures)


def _homes(lake: str, dataset: Dataset) -> Sequence[Holder]:
    """Places of a manifest and of artifacts; the home is called as the replica that lies there."""
    rse = next((each.rse for each in dataset.replicas if each.url == dataset.home), LOCAL)
    ready = (each for each in dataset.replicas if each.access is Access.READY)
    return _copies(lake, [Replica(rse, dataset.home), *ready])


def _copies(lake: str, replicas: Sequence[Replica]) -> list[Holder]:
    """Name the different places, in order; none of them is opened yet."""
    places: dict[str, Replica] = {}
    for replica in replicas:
        places.setdefault(locate(lake, replica.url), replica)
    return [
        Holder(each.rse, url, partial(registry.open_objects, url), None if each.keys is None else frozenset(each.keys))
        for url, each in places.items()
    ]


def _uncounted(_rse: str, _nbytes: int, _seconds: float) -> None:
    """Count nothing."""


def _look(objects: ObjectIO, record: StoredObject) -> tuple[bytes, str]:
    """Read an object: its bytes, and what is wrong with them (empty where nothing is)."""
    try:
        data = objects.get(record.key)
    except (NotFound, Corrupt) as err:
        if not _is_damage(err):
            raise
        return b"", _MISSING if isinstance(err, NotFound) else str(err)
    found = describe(record.key, data)
    if found == record:
        return data, ""
    return data, f"its {_told(found)} do not match the manifest ({_told(record)})"


def _told(record: StoredObject) -> str:
    return f"{record.nbytes} bytes, adler32 {record.adler32}, crc32c {record.crc32c}"


def _is_damage(err: LakeCVError) -> bool:
    """Say whether an error tells of an object, and not of a store that is not there or cannot be opened."""
    return isinstance(err, Corrupt) or err.kind is Kind.OBJECT_UNKNOWN


def _verdict(key: str, failures: Sequence[tuple[Holder, Exception]]) -> LakeCVError:
    """Say of every copy what came of it, under the error that decides what helps."""
    worst, cause = _worst(failures), failures[-1][1]
    if worst is cause and len(failures) == 1:
        return worst
    told = "; ".join(f"{copy.rse}: {err}" for copy, err in failures)
    text = f"'{key}' cannot be read from any replica. {told}" if len(failures) > 1 else f"{failures[0][0].url}/{key} is damaged: {cause}"
    verdict = type(worst)(text, worst.kind, worst.hint)
    verdict.__cause__ = cause
    return verdict


def _worst(failures: Sequence[tuple[Holder, Exception]]) -> LakeCVError:
    """Find the error to raise: what may pass comes first, then what needs a right, then what was found."""
    told = [err for _, err in failures if isinstance(err, LakeCVError)]
    for kind in (Unavailable, Denied, Corrupt):
        for err in told:
            if isinstance(err, kind):
                return err
    if told:
        return told[0]
    is_gone = all(str(err) == _MISSING for _, err in failures)
    return Corrupt("", Kind.OBJECT_MISSING if is_gone else Kind.CHECKSUM_MISMATCH, DAMAGED)
