"""Copies a dataset into a folder of the user: every object proven, all of the folder or nothing."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

from lakecv import registry
from lakecv.canonical import dumps
from lakecv.errors import Conflict, Corrupt, Denied, Kind, NotFound
from lakecv.lake_io.objects import DAMAGED, put_checked
from lakecv.lake_io.publish import MANIFEST
from lakecv.plan import Progress
from lakecv.ports import ObjectIO
from lakecv.records import Manifest, StoredObject

__all__ = ["Origin", "Watch", "at_once", "check_free", "fetch"]

_THREADS = 6
_BUDGET_NBYTES = 1 << 30  # objects that are in memory at once, together

Watch = Callable[[Progress], None]


@dataclass(frozen=True, slots=True, eq=False)
class Origin:
    """Where a dataset is taken from: its name, its manifest, and what gives proven data and artifacts."""

    did: str
    manifest: Manifest
    data: ObjectIO
    artifacts: ObjectIO


def fetch(origin: Origin, to: Path, watch: Watch) -> None:
    """Write a dataset's objects, artifacts and manifest under their keys into a new folder.

    Written beside it first and renamed when it is whole.

    Raises
    ------
    Conflict
        If there is something already (kind ``output-exists``).
    NotFound, Denied
        If the folder that it would lie in does not exist, or may not be written, or is full.
    """
    check_free(to)
    part = to.with_name(f"{to.name}.part-{token_hex(4)}")
    target = registry.open_objects(str(part))
    manifest = origin.manifest
    places = [(origin.data, item) for item in manifest.objects] + [(origin.artifacts, item) for item in manifest.artifacts]
    try:
        with closing(at_once("fetch", origin.did, places, lambda place: _copy(target, *place), watch)) as done:
            for _ in done:
                pass
        put_checked(target, MANIFEST, dumps(manifest).encode())
        _rename(part, to)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def at_once(
    verb: str, did: str, places: Sequence[tuple[ObjectIO, StoredObject]], work: Callable[[tuple[ObjectIO, StoredObject]], object],
    watch: Watch,
) -> Generator[object]:
    """Do something with every object, several at once; results as they come, the first error ends it."""
    clock, nbytes = time.monotonic(), 0
    largest = max((item.nbytes for _, item in places), default=0)
    pool = ThreadPoolExecutor(max(1, min(_THREADS, _BUDGET_NBYTES // max(1, largest))), thread_name_prefix=verb)
    try:
        coming = {pool.submit(work, place): place for place in places}
        for done, future in enumerate(as_completed(coming), 1):
            result = future.result()
            nbytes += coming[future][1].nbytes
            watch(Progress(verb, "objects", done, len(places), nbytes, time.monotonic() - clock, did))
            yield result
    finally:
        pool.shutdown(cancel_futures=True)


def check_free(to: Path) -> None:
    """Refuse a folder that holds something, a file, and a place where no folder can be made."""
    if "\0" in str(to) or not to.name:
        raise NotFound(f"{str(to)!r} cannot be the name of a new folder", Kind.PATH_UNKNOWN, "name one that does not exist yet")
    if os.path.lexists(to) and (to.is_symlink() or not to.is_dir() or any(to.iterdir())):
        raise _exists(to)
    if not to.parent.is_dir():
        raise NotFound(f"there is no folder {str(to.parent)!r}", Kind.PATH_UNKNOWN, f"mkdir -p {to.parent}")


def _copy(target: ObjectIO, source: ObjectIO, item: StoredObject) -> None:
    if put_checked(target, item.key, source.get(item.key)) != item:
        raise Corrupt(f"{source.url}/{item.key} does not have the adler32 of the manifest, {item.adler32}", Kind.CHECKSUM_MISMATCH, DAMAGED)


def _rename(part: Path, to: Path) -> None:
    """Name a whole folder; an empty one in its place goes."""
    try:
        part.rename(to)
    except (FileExistsError, NotADirectoryError) as err:
        raise _exists(to) from err
    except OSError as err:
        if to.is_dir() and any(to.iterdir()):
            raise _exists(to) from err
        raise Denied(f"{str(to)!r} cannot be written: {err.strerror}", Kind.FORBIDDEN, "choose another place or name") from err


def _exists(to: Path) -> Conflict:
    return Conflict(f"{str(to)!r} exists and is not overwritten", Kind.OUTPUT_EXISTS, "remove it or choose another name")
