"""How datasets are kept whole: verified, and repaired from a source whose bytes are proven."""

from __future__ import annotations

import ast
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from secrets import token_hex

from lakecv import registry
from lakecv.api.registering import check_path
from lakecv.api.values import Repair, Verification
from lakecv.canonical import dumps, loads
from lakecv.errors import Corrupt, Denied, InvalidInput, Kind, LakeCVError, NotFound
from lakecv.lake_io.child import Request, convert_apart
from lakecv.lake_io.fsck import Copy, Examined, Finding, Flaw, Watch, examine, examine_against, read_manifest
from lakecv.lake_io.mend import Mended, Shelf, mend, proven_manifest
from lakecv.lake_io.objects import describe
from lakecv.lake_io.place import data_prefix, join_url, locate
from lakecv.lake_io.publish import MANIFEST
from lakecv.plan import Progress
from lakecv.ports import CatalogBackend, KeepsChecksums, ObjectInfo, ObjectIO, ReadHints, ReportsDamage, StorageElements
from lakecv.records import DID, Access, Damage, Dataset, Manifest, Replica, StoredObject

__all__ = ["Keeper"]

_WRONG = {Flaw.MISSING, Flaw.CORRUPT}
_RECORD = "catalog"
_UNPROVEN = "no manifest is proven, neither here nor in the source, so nothing else can be"


@dataclass(frozen=True, slots=True)
class Keeper:
    """Looks after the datasets of one lake."""

    lake: str
    objects: ObjectIO
    catalog: CatalogBackend
    watch: Watch

    def verify(self, dataset: Dataset) -> Verification:
        """Read every object of every copy of a dataset and compare all that is known about it."""
        if not isinstance(self.catalog, StorageElements):
            found = self._examined(dataset, lambda: self._copy(dataset))
            return Verification(dataset.did, found.objects, found.nbytes, found.findings)
        each = [(replica.rse, self._examined_at(dataset, replica)) for replica in dataset.replicas]
        if isinstance(self.catalog, ReportsDamage):
            _report(self.catalog, dataset, each)
        findings = tuple(replace(finding, text=f"at {rse}: {finding.text}") for rse, one in each for finding in one.findings)
        return Verification(dataset.did, sum(one.objects for _, one in each), sum(one.nbytes for _, one in each), findings)

    def _examined(self, dataset: Dataset, opened: Callable[[], Copy]) -> Examined:
        try:
            return examine(opened(), dataset, self.watch)
        except LakeCVError as err:  # its replica cannot even be opened: a plugin or a server is absent
            return Examined(dataset.nobjects, dataset.nbytes, (Finding(Flaw.UNREADABLE, dataset.home, str(err)),))

    def _examined_at(self, dataset: Dataset, replica: Replica) -> Examined:
        """Examine the copy at one storage element, which holds manifest and artifacts as well, and what the catalog says of it."""
        if replica.access is not Access.READY:
            finding = Finding(Flaw.UNREADABLE, replica.url, f"it cannot be read now ({replica.access})")
            return Examined(dataset.nobjects, dataset.nbytes, (finding,))

        def opened() -> Copy:
            objects = registry.open_objects(replica.url)
            return Copy(objects, objects, is_managed=True)

        found = self._examined(dataset, opened)
        if isinstance(self.catalog, KeepsChecksums):
            try:
                manifest, _ = read_manifest(registry.open_objects(replica.url), dataset.digest)
                drift = tuple(_drift(self.catalog, replica, manifest)) if manifest else ()
            except LakeCVError as err:
                drift = (Finding(Flaw.UNREADABLE, _RECORD, str(err)),)
            found = replace(found, findings=(*found.findings, *drift))
        return found

    def verify_all(self, scope: str | None) -> Iterator[Verification]:
        """Verify all datasets in the order of their names."""
        for did in self.catalog.search(scope):
            try:
                dataset = self.catalog.lookup(did)
            except NotFound:  # it was there when the search began
                continue
            except LakeCVError as err:
                flaw = Flaw.CORRUPT if isinstance(err, Corrupt) else Flaw.UNREADABLE
                yield Verification(did, 0, 0, (Finding(flaw, _RECORD, str(err)),))
                continue
            yield self.verify(dataset)

    def repair(self, dataset: Dataset, source: str, reader: str | None, *, dry_run: bool) -> Repair:
        """Put right what is proven wrong; see :meth:`lakecv.api.Lake.repair`."""
        copy = self._managed(dataset)
        shelves, original = self._shelves(dataset, source, reader)
        with closing(original):
            done = self._repaired(copy, dataset, (*shelves, original), dry_run=dry_run)
        if original.failure is not None and not done.mended:
            raise original.failure
        return replace(done, source=source)

    def _repaired(self, copy: Copy, dataset: Dataset, shelves: Sequence[Shelf], *, dry_run: bool) -> Repair:
        manifest, lost = read_manifest(copy.home, dataset.digest)
        wanted: list[tuple[Finding, StoredObject]] = []
        if manifest is None and lost is not None:
            data = proven_manifest(shelves, copy.home, dataset.digest) if lost.flaw is not Flaw.UNREADABLE else None
            if data is None:
                return Repair(dataset.did, "", dry_run, left=(replace(lost, text=_UNPROVEN),))
            manifest = loads(Manifest, data)
            wanted.append((lost, describe(MANIFEST, data)))
        if manifest is None:
            return Repair(dataset.did, "", dry_run)
        found = examine_against(copy, dataset, manifest, self.watch).findings
        wanted += [
            (finding, manifest.by_key[finding.key])
            for finding in found if finding.flaw in _WRONG and finding.key in manifest.by_key
        ]
        results = list(mend(copy.home, wanted, shelves, dry_run=dry_run))
        mended = tuple(each.finding for each in results if not each.why)
        left = [_left(each) for each in results if each.why]
        left += [finding for finding in found if finding.flaw in {Flaw.DRIFT, Flaw.UNREADABLE}]
        return Repair(dataset.did, "", dry_run, mended, tuple(left))

    def _copy(self, dataset: Dataset) -> Copy:
        """Open the home and the first replica."""
        home = registry.open_objects(locate(self.lake, dataset.home))
        data = registry.open_objects(locate(self.lake, dataset.replicas[0].url)) if dataset.replicas else home
        return Copy(home, data, is_managed=_is_managed(self.lake, dataset))

    def _managed(self, dataset: Dataset) -> Copy:
        """Open a dataset that lakecv may write to: every replica is its home in this lake.

        Raises
        ------
        Denied
            If somebody else's store is part of it (kind ``forbidden``).
        """
        if isinstance(self.catalog, StorageElements):
            raise Denied(
                f"the replicas of {dataset.did} belong to the catalog, which copies a good one over a bad one itself", Kind.FORBIDDEN,
                f"lakecv verify {dataset.did} reports what is bad; lakecv replicate {dataset.did} --to RSE makes another copy",
            )
        if not _is_managed(self.lake, dataset):
            raise Denied(
                f"{dataset.did} was registered in place: lakecv only reads {dataset.replicas[0].url}", Kind.FORBIDDEN,
                "mend the store itself, or register a good copy under another name without --in-place",
            )
        return self._copy(dataset)

    def _shelves(self, dataset: Dataset, source: str, reader: str | None) -> tuple[list[Shelf], _Original]:
        """Find out what a source is: a url, something on this machine, or another dataset.

        Raises
        ------
        InvalidInput
            If it is the dataset itself (kind ``option-invalid``).
        NotFound
            If there is nothing of that name.
        """
        nothing = _Original(self, dataset, None, reader)
        if "://" in source and not source.startswith("file://"):
            return self._of_prefix(source, dataset), nothing
        path = Path(source.removeprefix("file://"))
        if ":" in source and not source.startswith("file://") and not path.exists():
            return self._of_dataset(DID.parse(source), dataset), nothing
        if path.is_dir():
            shelves = self._of_prefix(str(path.resolve()), dataset)
            if any(shelf.head(MANIFEST) for shelf in shelves):
                return shelves, nothing
            return shelves, _Original(self, dataset, check_path(source, self.lake), reader)
        return [], _Original(self, dataset, check_path(source, self.lake), reader)

    def _of_prefix(self, url: str, dataset: Dataset) -> list[Shelf]:
        """Take a prefix for a copy of the dataset, or of the whole lake."""
        home = registry.open_objects(locate(self.lake, dataset.home)).url
        shelves = [registry.open_objects(each) for each in (url, locate(url, dataset.home))]
        if any(shelf.url == home for shelf in shelves):
            raise _itself(dataset)
        return [*shelves]

    def _of_dataset(self, did: DID, dataset: Dataset) -> list[Shelf]:
        if did == dataset.did:
            raise _itself(dataset)
        copy = self._copy(self.catalog.lookup(did))
        return [copy.data] if copy.data.url == copy.home.url else [copy.data, copy.home]


class _Original:
    """The original file as a place to look: converted into a prefix of its own when the first object is asked for.

    Nobody else knows that prefix; it is removed at the end, and by ``gc`` where a kill came first.
    """

    def __init__(self, keeper: Keeper, dataset: Dataset, path: Path | None, reader: str | None) -> None:
        self._keeper, self._dataset, self._path, self._reader = keeper, dataset, path, reader
        self._prefix = data_prefix(dataset.did, token_hex(6))
        self._made: ObjectIO | None = None
        self.failure: LakeCVError | None = None

    @property
    def url(self) -> str:
        """What is converted."""
        return str(self._path) if self._path else ""

    def head(self, key: str) -> ObjectInfo | None:
        """Size of an object of the conversion."""
        return self._converted().head(key)

    def get(self, key: str) -> bytes:
        """Read an object of the conversion."""
        return self._converted().get(key)

    def close(self) -> None:
        """Remove what was converted."""
        for info in list(self._keeper.objects.list(self._prefix)) if self._path else ():
            self._keeper.objects.delete(info.key)

    def _converted(self) -> ObjectIO:
        if self._path is None:
            raise NotFound("there is no original file", Kind.OBJECT_UNKNOWN)
        if self.failure is not None:
            raise self.failure
        if self._made is None:
            try:
                self._made = self._convert(self._path)
            except LakeCVError as err:
                self.failure = err
                raise
        return self._made

    def _convert(self, path: Path) -> ObjectIO:
        clock, url = time.monotonic(), join_url(self._keeper.lake, self._prefix)

        def watch(done: int, total: int) -> None:
            self._keeper.watch(Progress("repair", "samples", done, total, done, time.monotonic() - clock))

        convert_apart(Request(str(path), url, _hints(self._dataset), self._reader or dict(self._dataset.metadata).get("format")), watch)
        made = registry.open_objects(url)
        if made.head(MANIFEST) is None:
            raise InvalidInput(
                f"the lake {self._keeper.lake} cannot be seen by other processes, so nothing can be converted into it",
                Kind.CONFIG_INVALID, "repair from a folder or from another dataset",
            )
        return made


def _drift(catalog: KeepsChecksums, replica: Replica, manifest: Manifest) -> Iterator[Finding]:
    """Compare what the catalog itself keeps of each object with the manifest."""
    items = {**manifest.by_key, MANIFEST: describe(MANIFEST, dumps(manifest).encode())}
    recorded = catalog.recorded(replica, sorted(items))
    for key, (nbytes, adler32) in sorted(recorded.items()):
        item = items[key]
        if (nbytes, adler32) != (item.nbytes, item.adler32):
            text = f"the catalog says {nbytes} bytes, adler32 {adler32}; the manifest {item.nbytes} bytes, adler32 {item.adler32}"
            yield Finding(Flaw.DRIFT, key, text)


def _report(catalog: ReportsDamage, dataset: Dataset, each: Sequence[tuple[str, Examined]]) -> None:
    """Tell the catalog what is proven wrong; that it does not listen changes no finding."""
    damages = [Damage(rse, finding.key, finding.text or str(finding.flaw)) for rse, one in each for finding in one.findings
               if finding.flaw in _WRONG]  # fmt: skip
    if damages:
        with suppress(LakeCVError):
            catalog.report(dataset, damages)


def _left(result: Mended) -> Finding:
    return replace(result.finding, text=result.why)


def _is_managed(lake: str, dataset: Dataset) -> bool:
    home = locate(lake, dataset.home)
    return all(locate(lake, replica.url) == home for replica in dataset.replicas)


def _hints(dataset: Dataset) -> ReadHints:
    """Hints that a dataset was registered with, from its record."""
    said = {name: text for name, text in dataset.metadata if name in ReadHints.__slots__}
    shape = said.pop("shape", None)
    try:
        ny, nx = ast.literal_eval(shape) if shape else (0, 0)
        return ReadHints(**said, shape=(int(ny), int(nx)) if shape else None)
    except (ValueError, TypeError, SyntaxError) as err:
        raise Corrupt(
            f"the shape {shape!r} that {dataset.did} was registered with cannot be read", Kind.FILE_MALFORMED,
            "repair from a folder or from another dataset",
        ) from err


def _itself(dataset: Dataset) -> InvalidInput:
    return InvalidInput(
        f"{dataset.did} cannot be repaired from itself", Kind.OPTION_INVALID,
        "give another dataset with the same bytes, a backup, or the original file",
    )
