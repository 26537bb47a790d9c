"""Datasets outside of a lake: fetched into a folder, and opened from one."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lakecv.api.looking import as_xarray, check_target
from lakecv.canonical import load
from lakecv.errors import LakeCVError
from lakecv.lake_io.copies import Seen, open_artifacts, open_copies, open_manifest
from lakecv.lake_io.fetch import Origin, Watch, fetch
from lakecv.lake_io.folder import Folder, examine_folder, find_folder
from lakecv.lake_io.fsck import Finding, Flaw
from lakecv.plan import Run
from lakecv.records import DID, Damage, Dataset

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Fetched", "FolderArray", "FolderCheck", "check_folder", "fetch_dataset", "open_folder"]


@dataclass(frozen=True, slots=True)
class Fetched:
    """A dataset that was written into a folder; ``damages`` are bad objects that another replica had right."""

    did: DID
    folder: str
    objects: int
    nbytes: int
    seconds: float
    damages: tuple[Damage, ...] = ()


@dataclass(frozen=True, slots=True)
class FolderArray:
    """One array of an opened folder."""

    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class FolderCheck:
    """What is in a folder and what is wrong with it.

    ``did`` is known of results only, ``title`` where the store says it; ``is_flat`` = the files are named as in a catalog of
    files.  ``arrays`` is empty where something is wrong.
    """

    folder: str
    digest: str
    objects: int
    nbytes: int
    is_flat: bool
    did: str = ""
    title: str = ""
    arrays: tuple[FolderArray, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def ok(self) -> bool:
        """True where every byte is as the manifest promises; an extra file breaks no promise."""
        return all(finding.flaw is Flaw.EXTRA for finding in self.findings)


def fetch_dataset(lake: str, dataset: Dataset, to: Path, seen: Seen, watch: Watch) -> Fetched:
    """Write a dataset into a new folder; see :meth:`lakecv.api.Lake.fetch`."""
    clock, damages = time.monotonic(), list[Damage]()

    def note(damage: Damage) -> None:
        damages.append(damage)
        seen(damage)

    place = Path(to).absolute()
    check_target(place, lake, dataset)
    manifest = open_manifest(lake, dataset, note)
    data, artifacts = open_copies(lake, dataset, manifest, seen=note), open_artifacts(lake, dataset, manifest, note)
    fetch(Origin(str(dataset.did), manifest, data, artifacts), place, watch)
    nbytes = sum(item.nbytes for item in manifest.by_key.values())
    return Fetched(dataset.did, str(to), len(manifest.by_key), nbytes, time.monotonic() - clock, tuple(damages))


def open_folder(path: str | Path) -> xr.Dataset:
    """Open a dataset that lies in a folder as lazy xarray; every object is checked when it is read, no lake is needed.

    Parameters
    ----------
    path : path
        What ``lakecv fetch`` wrote, or what ``rucio download scope:name`` gave.

    Raises
    ------
    NotFound, InvalidInput
        If there is no dataset in it, or more than one.
    """
    return _opened(find_folder(Path(path)))


def check_folder(path: Path, watch: Watch | None = None) -> FolderCheck:
    """Compare every file of a folder with its manifest, and say what is in it."""
    folder = find_folder(path)
    findings = examine_folder(folder, watch or (lambda _: None))
    records = folder.manifest.by_key.values()
    found = FolderCheck(
        str(folder.path), folder.manifest.digest, len(records), sum(item.nbytes for item in records), bool(folder.prefix), findings=findings,
    )
    if not found.ok:
        return found
    opened = _opened(folder)
    arrays = tuple(
        FolderArray(str(name), tuple(map(str, each.dims)), tuple(each.shape), str(each.dtype)) for name, each in opened.variables.items()
    )
    return FolderCheck(
        found.folder, found.digest, found.objects, found.nbytes, found.is_flat, str(opened.attrs.get("did", "")),
        str(opened.attrs.get("title", "")), arrays, findings,
    )


def _opened(folder: Folder) -> xr.Dataset:
    opened = as_xarray(folder.objects, folder.manifest)
    opened.attrs |= {"digest": folder.manifest.digest, **_named(folder)}
    return opened


def _named(folder: Folder) -> dict[str, str]:
    """DID of a result: its own run record tells it."""
    if "run.json" not in folder.manifest.by_key:
        return {}
    try:
        return {"did": str(load(Run, folder.objects.get("run.json")).output)}
    except LakeCVError:  # somebody else's file of that name
        return {}
