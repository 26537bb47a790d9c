"""A dataset in a plain folder, without a lake: the tree that ``fetch`` writes, or the flat files of a catalog's own client.

The manifest in the folder says what belongs there.  Nothing proves that manifest itself: its digest is what the catalog
holds, for whoever wants to compare.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lakecv import registry
from lakecv.canonical import loads
from lakecv.errors import Denied, InvalidInput, Kind, NotFound
from lakecv.lake_io.copies import CopiedObjects, Holder
from lakecv.lake_io.fetch import Watch, at_once
from lakecv.lake_io.fsck import Finding, Flaw, judge
from lakecv.lake_io.publish import MANIFEST
from lakecv.ports import ObjectInfo, ObjectIO
from lakecv.records import Manifest, flat_name, flat_names

__all__ = ["Folder", "examine_folder", "find_folder"]

_FLAT = f".{MANIFEST}"
_HINT = "lakecv fetch DID FOLDER, or rucio download scope:name, makes such a folder"


@dataclass(frozen=True)
class Folder:
    """A folder that holds a dataset; ``prefix`` is what its flat names begin with, empty where it is a Zarr tree."""

    path: Path
    prefix: str

    @cached_property
    def stored(self) -> ObjectIO:
        """Objects under their keys, as they are."""
        plain = registry.open_objects(str(self.path))
        return _FlatObjects(plain, self.prefix) if self.prefix else plain

    @cached_property
    def manifest(self) -> Manifest:
        """What belongs there."""
        return loads(Manifest, self.stored.get(MANIFEST))

    @cached_property
    def objects(self) -> CopiedObjects:
        """Objects under their keys, each compared with the manifest."""
        return CopiedObjects([Holder("", self.stored.url, lambda: self.stored)], self.manifest)

    @cached_property
    def names(self) -> dict[str, str]:
        """Path of every object below the folder, by its key."""
        keys = [MANIFEST, *self.manifest.by_key]
        return flat_names(self.prefix, keys) if self.prefix else dict(zip(keys, keys, strict=True))


def find_folder(path: Path) -> Folder:
    """Find the dataset in a folder, or in the one folder below it: a client makes one named after the dataset.

    Raises
    ------
    NotFound
        If there is none.
    InvalidInput
        If there is more than one (kind ``cube-ambiguous``).
    """
    if "\0" in str(path) or not path.is_dir():
        raise NotFound(f"there is no folder {str(path)!r}", Kind.PATH_UNKNOWN, _HINT)
    try:
        found = _in(path) or [each for inside in sorted(path.iterdir()) if inside.is_dir() for each in _in(inside)]
    except PermissionError as err:
        raise Denied(f"{err.filename} may not be read", Kind.FORBIDDEN, f"ask its owner, or: chmod -R u+rX {path}") from err
    if not found:
        raise NotFound(f"there is no dataset in {str(path)!r}: no {MANIFEST}, nothing that ends in {_FLAT}", Kind.PATH_UNKNOWN, _HINT)
    if len(found) > 1:
        names = ", ".join(str(each.path / flat_name(each.prefix, MANIFEST) if each.prefix else each.path) for each in found)
        raise InvalidInput(
            f"there is more than one dataset in {str(path)!r}: {names}", Kind.CUBE_AMBIGUOUS, "move the files of one of them elsewhere",
        )
    return found[0]


def examine_folder(folder: Folder, watch: Watch) -> tuple[Finding, ...]:
    """Compare every file of a folder with the manifest; findings by flaw, then key."""
    places = [(folder.stored, item) for item in folder.manifest.by_key.values()]
    judged = at_once("open", folder.path.name, places, lambda place: judge(*place), watch)
    found = [finding for finding in judged if isinstance(finding, Finding)]
    known = set(folder.names.values())
    here = (each.relative_to(folder.path).as_posix() for each in folder.path.rglob("*") if each.is_file())
    found += [Finding(Flaw.EXTRA, name, "no manifest lists it") for name in here if name not in known]
    order = list(Flaw)
    return tuple(sorted(found, key=lambda finding: (order.index(finding.flaw), finding.key)))


def _in(path: Path) -> list[Folder]:
    """Datasets that lie in a folder itself."""
    if (path / MANIFEST).is_file():
        return [Folder(path, "")]
    flat = (each.name.removesuffix(_FLAT) for each in sorted(path.glob(f"*{_FLAT}")) if each.is_file())
    return [Folder(path, prefix) for prefix in flat if prefix]


class _FlatObjects:
    """Objects whose names have no folders, under their keys; read-only."""

    def __init__(self, objects: ObjectIO, prefix: str) -> None:
        self._objects, self._prefix = objects, prefix

    @property
    def url(self) -> str:
        return self._objects.url

    def get(self, key: str) -> bytes:
        return self._objects.get(flat_name(self._prefix, key))

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> Sequence[bytes | memoryview]:
        return self._objects.get_ranges(flat_name(self._prefix, key), ranges)

    def head(self, key: str) -> ObjectInfo | None:
        return self._objects.head(flat_name(self._prefix, key))

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        raise self._refusal([prefix])

    def put(self, key: str, data: bytes) -> None:  # noqa: ARG002  (the port names it)
        raise self._refusal([key])

    def delete(self, key: str) -> None:
        raise self._refusal([key])

    def _refusal(self, names: Iterable[str]) -> Denied:
        return Denied(f"{self.url} is only read: {', '.join(names)}", Kind.FORBIDDEN, "write into another folder")
