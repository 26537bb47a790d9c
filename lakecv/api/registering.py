"""How a file becomes a dataset: look before reading, convert in a child process, enter into the catalog last."""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex

from lakecv import registry
from lakecv.api.values import Registered
from lakecv.canonical import digest
from lakecv.errors import Conflict, Denied, InvalidInput, Kind, LakeCVError, NotFound, nearest
from lakecv.facts import KEY, MEASURED
from lakecv.lake_io.child import Request, convert_apart
from lakecv.lake_io.convert import Converted, Watch
from lakecv.lake_io.place import is_run, locate, place
from lakecv.lake_io.publish import MANIFEST, load_manifest
from lakecv.patience import many
from lakecv.ports import CatalogBackend, ObjectIO, ReadHints, StorageElements
from lakecv.records import DID, Dataset, Manifest, Replica

__all__ = ["Wanted", "check_path", "check_said", "default_name", "now", "register"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be registered, and how."""

    path: Path
    did: DID
    hints: ReadHints
    title: str
    in_place: bool
    reader: str | None
    rse: str | None = None
    said: tuple[tuple[str, str], ...] = ()


def check_path(text: str, lake: str) -> Path:
    """Look at a path before anything is opened.

    Raises
    ------
    InvalidInput
        If it is a url that cannot be read from, or the lake itself.
    NotFound
        If there is nothing that could be read: no such path, an empty folder, a device, a link that leads out.
    Denied
        If it may not be read.
    """
    if "://" in text and not text.startswith("file://"):
        raise InvalidInput(
            f"{text} is not on this machine; only files and folders can be registered", Kind.PATH_MALFORMED,
            "copy it here first",
        )
    path = Path(text.removeprefix("file://"))
    mode = _mode(path)
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise NotFound(f"{path} is neither a file nor a folder", Kind.NOT_A_FILE, "give a file that holds a cube")
    if not os.access(path, os.R_OK, effective_ids=os.access in os.supports_effective_ids):
        raise Denied(f"{path} may not be read", Kind.FORBIDDEN, f"ask its owner, or: chmod u+r {path}")
    path = path.resolve()
    root = Path(lake.removeprefix("file://")).resolve() if "://" not in lake.removeprefix("file://") else None
    if root is not None and (path == root or root in path.parents or path in root.parents):
        raise InvalidInput(f"{path} is the lake itself, inside it or around it", Kind.PATH_MALFORMED, "give another path")
    if path.is_dir():
        _check_folder(path)
    return path


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except FileNotFoundError as err:
        folder = path.parent
        known = [item.name for item in folder.iterdir()] if folder.is_dir() else []
        raise NotFound(f"there is no {path}", Kind.PATH_UNKNOWN, nearest(path.name, known, "files there")) from err
    except PermissionError as err:
        raise Denied(f"{path} may not be reached", Kind.FORBIDDEN, "ask the owner of its folder") from err
    except OSError as err:
        raise NotFound(f"{path} leads nowhere: {err.strerror}", Kind.PATH_UNKNOWN, "check the links on the way") from err
    except ValueError as err:
        raise InvalidInput(f"{str(path)!r} is not a path: {err}", Kind.PATH_MALFORMED, "give a path to a file") from err


def _check_folder(folder: Path) -> None:
    """Look at every entry once; no link is followed out, nothing is opened."""
    found, todo = False, [str(folder)]
    while todo:
        for entry in _entries(todo.pop()):
            if entry.is_symlink():
                _check_link(Path(entry.path), folder)
            elif entry.is_dir():
                todo.append(entry.path)
            elif not entry.is_file():
                raise NotFound(f"{entry.path} is neither a file nor a folder", Kind.NOT_A_FILE, f"remove it: rm {entry.path}")
            found = found or entry.is_file()
    if not found:
        raise NotFound(f"the folder {folder} is empty", Kind.PATH_UNKNOWN, "give a Zarr store or a file")


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except PermissionError as err:
        raise Denied(f"{folder} may not be read", Kind.FORBIDDEN, f"ask its owner, or: chmod -R u+rX {folder}") from err


def _check_link(link: Path, folder: Path) -> None:
    try:
        inside = link.resolve(strict=True).is_relative_to(folder)
    except (OSError, RuntimeError) as err:  # RuntimeError: a loop, until Python 3.13
        raise NotFound(f"the link {link} leads nowhere", Kind.LINK_ESCAPES, f"remove it: rm {link}") from err
    if not inside:
        raise NotFound(f"the link {link} leads out of {folder.name}", Kind.LINK_ESCAPES, "copy what it points to")


def check_said(key: str) -> str:
    """Check the name of a fact that a user gives.

    Raises
    ------
    InvalidInput
        If not every catalog could take it (kind ``option-invalid``).
    """
    if not KEY.fullmatch(key):
        raise InvalidInput(f"{key!r} cannot be the name of a fact", Kind.OPTION_INVALID, "use a-z, 0-9 and _, a letter first")
    if key in {*MEASURED, *ReadHints.__slots__, "source", "format"}:
        raise InvalidInput(f"{key!r} is what lakecv itself says of a dataset", Kind.OPTION_INVALID, f"choose another name, such as my_{key}")
    return key


def default_name(path: Path) -> str:
    """Make a DID's name of a file's stem."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", path.name.partition(".")[0]).strip("-_")
    return name or "cube"


def register(lake: str, catalog: CatalogBackend, wanted: Wanted, watch: Watch) -> Registered:
    """Convert (or digest in place) and enter into the catalog.

    Raises
    ------
    Conflict
        If the DID names other content (kind ``did-means-something-else``); what was written is removed.
    LakeCVError
        Whatever reading or writing raised; nothing is left.
    """
    clock = time.perf_counter()
    if wanted.in_place and isinstance(catalog, StorageElements):
        raise InvalidInput(
            "a store on this machine cannot stay where it is: others look for its data on a storage element", Kind.OPTION_INVALID,
            "leave --in-place out: it is then copied",
        )
    similar = _similar(catalog, wanted.did)
    _check_free(catalog, wanted.did)
    home = place(catalog, wanted.did, token_hex(6), wanted.rse)
    objects = registry.open_objects(locate(lake, home.url))
    put: list[str] = []
    try:
        request = Request(str(wanted.path), locate(lake, home.url), wanted.hints, wanted.reader, wanted.in_place)
        done = convert_apart(request, watch, put.append)
        manifest = _seen(objects, done)
    except BaseException:  # Ctrl-C too: nothing half-written stays
        with suppress(LakeCVError):  # what made us come here counts
            _remove(objects, put)
        raise
    stored = _entered(objects, catalog, _dataset(wanted, done, home), manifest)
    notes = (*done.notes, *similar)
    return Registered(stored, stored.home != home.url, time.perf_counter() - clock, done.cube.nbytes, notes)


def _entered(objects: ObjectIO, catalog: CatalogBackend, mine: Dataset, manifest: Manifest) -> Dataset:
    """Enter into the catalog; what was written is removed only where the catalog is seen to hold another dataset.

    An interrupt or a lost reply may come when the entry is there already: then the data belong to it.
    """
    try:
        stored = catalog.register(mine, manifest)
        if digest(stored.cube) != digest(mine.cube):
            raise Conflict(
                f"{mine.did} has the same bytes with another axis, grid or arrays", Kind.DID_MEANS_SOMETHING_ELSE,
                "register it under another name, or leave the hints out",
            )
    finally:
        if _holds_another(catalog, mine):
            _remove(objects, [MANIFEST, *manifest.by_key])
    return stored


def _holds_another(catalog: CatalogBackend, mine: Dataset) -> bool:
    """Say whether what was written belongs to nobody: another dataset is there, or not even a claim is ours.

    What is claimed is finished by the next registration of the same content, with the data that lie there.
    """
    try:
        return catalog.lookup(mine.did).home != mine.home
    except NotFound:
        claims = catalog.claims(mine.did.scope, mine.did.name)
        return all(claim.did != mine.did or mine.home.rpartition("/")[2] != claim.write_id for claim in claims)


def _check_free(catalog: CatalogBackend, did: DID) -> None:
    """Refuse a name that a run has claimed for its result; what another registration claimed, the catalog decides."""
    for claim in catalog.claims(did.scope, did.name):
        if claim.did == did and is_run(claim.write_id):
            raise Conflict(
                f"{did} is the name of a result of run {claim.write_id}", Kind.DID_MEANS_SOMETHING_ELSE, "choose another name",
            )


def _dataset(wanted: Wanted, done: Converted, home: Replica) -> Dataset:
    replica = replace(home, url=str(wanted.path)) if wanted.in_place else home
    said = [(name, str(value)) for name, value in (*_hints_given(wanted.hints), ("format", wanted.reader)) if value is not None]
    return Dataset(
        wanted.did, done.cube, done.digest, home.url, (replica,), done.nobjects, done.nbytes, now(), title=wanted.title,
        metadata=(("source", wanted.path.name), *said, *wanted.said), warnings=done.warnings,
    )


def _hints_given(hints: ReadHints) -> list[tuple[str, object]]:
    pairs = ((name, getattr(hints, name)) for name in hints.__slots__)
    return [(name, value) for name, value in pairs if value is not None]


def _seen(objects: ObjectIO, done: Converted) -> Manifest:
    """Read the manifest that the child wrote; a lake in this process's memory is not shared with it."""
    if objects.head(MANIFEST) is None:
        raise InvalidInput(
            f"the lake at {objects.url} cannot be seen by other processes", Kind.CONFIG_INVALID, "use a folder: --lake ./lake",
        )
    return load_manifest(objects, done.digest)


def _similar(catalog: CatalogBackend, did: DID) -> tuple[str, ...]:
    names = [other for other in catalog.search(did.scope) if other != did and other.name.lower() == did.name.lower()]
    return tuple(f"{other} differs from {did} by upper and lower case only" for other in names)


def _remove(objects: ObjectIO, put: Sequence[str]) -> None:
    """Remove what was written: what the store lists and, as not every store can list what is in no catalog, what was put."""
    many(objects.delete, sorted({info.key for info in objects.list()} | set(put)))


def now() -> str:
    """Time in UTC, to the second, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


