"""The datasets of an HDF5 file, listed without leaving the file and without reading samples.

HDF5 can point outside itself (external links, external storage, virtual datasets): a stranger's file must not make
lakecv read another one, so such arrays are refused, never followed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from lakecv.errors import Corrupt, InvalidInput, Kind, LakeCVError
from lakecv.ports import Source
from lakecv_plugins.formats.stored import Sliceable

__all__ = ["SIGNATURE", "Group", "HdfArray", "HdfDataset", "datasets", "groups", "links"]

SIGNATURE = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class HdfArray:
    """A dataset of an HDF5 file, opened for each window."""

    path: Path
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunks: tuple[int, ...] | None

    @contextmanager
    def open(self) -> Iterator[Sliceable]:
        """Open the file and the dataset."""
        import h5py

        _filters()
        with translated(self.path), h5py.File(self.path, "r") as file:
            yield file[self.name]


@dataclass(frozen=True)
class HdfDataset:
    """What the file says of one dataset."""

    path: str
    stored: HdfArray
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Group:
    """What the file says of one group (``path`` empty for the root)."""

    path: str
    attributes: Mapping[str, Any]


@dataclass
class _Walk:
    """What was met on the way."""

    datasets: list[HdfDataset] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    seen: dict[tuple[int, int], str] = field(default_factory=dict)
    links: dict[str, tuple[int, int]] = field(default_factory=dict)


def datasets(source: Source) -> tuple[tuple[HdfDataset, ...], tuple[str, ...]]:
    """List the datasets, and notes about links that were not followed.

    Raises
    ------
    Corrupt
        ``short-read``, ``file-malformed`` (also for soft links that go in a circle), ``codec-failed`` where a filter
        is not installed.
    InvalidInput
        If all there is lies outside the file (kind ``link-escapes``).
    """
    walk = _walked(source)
    if walk.outside and not any(len(found.stored.shape) > 1 for found in walk.datasets):
        raise InvalidInput(
            f"'{source.path.name}': {walk.outside[0]} leaves the file", Kind.LINK_ESCAPES,
            "register the file that it points to, or copy the data into one file (h5repack, h5copy)",
        )
    return tuple(walk.datasets), tuple(f"not followed: {found} leaves the file" for found in walk.outside)


def groups(source: Source) -> tuple[Group, ...]:
    """List the groups with their attributes, the root first."""
    return tuple(_walked(source).groups)


def links(source: Source) -> Mapping[str, str]:
    """Other names of objects, soft or hard, with the path under which the object is listed; those that leave the file are not."""
    walk = _walked(source)
    return {name: walk.seen[target] for name, target in walk.links.items() if target in walk.seen}


def _walked(source: Source) -> _Walk:
    import h5py

    _filters()
    walk = _Walk()
    with translated(source.path), h5py.File(source.path, "r") as file:
        todo = [("", file["/"])]
        while todo:
            path, group = todo.pop(0)
            walk.groups.append(Group(path, _attributes(group)))
            todo.extend(_children(walk, path, group, source.path))
    return walk


def _children(walk: _Walk, path: str, group: Any, file: Path) -> Iterator[tuple[str, Any]]:
    """Add the datasets of a group; give its groups, each once however many links lead to it."""
    import h5py

    for name in group:
        here = f"{path}/{name}".strip("/")
        link = group.get(name, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            walk.outside.append(f"the link '{here}' to '{link.filename}'")
            continue
        if isinstance(link, h5py.SoftLink):
            target = _soft(group, name, here)
            walk.links |= {} if target is None else {here: target}
            continue
        item = group[name]
        identity = _identity(item)
        if identity in walk.seen:
            walk.links[here] = identity
            continue
        walk.seen[identity] = here
        if isinstance(item, h5py.Group):
            yield here, item
        elif isinstance(item, h5py.Dataset) and item.shape is not None:
            _add(walk, here, item, file)


def _identity(item: Any) -> tuple[int, int]:
    """Tell an object by its file and its place there, whatever its name; unlike its id, this outlives the open file."""
    import h5py

    info = h5py.h5o.get_info(item.id)
    return info.fileno, info.addr


def _soft(group: Any, name: str, path: str) -> tuple[int, int] | None:
    """Return what a link leads to; refuse one in a circle; one that leads to nothing (None) is common and harmless."""
    try:
        return _identity(group[name])
    except (KeyError, RuntimeError, OSError) as err:
        if "too many" in str(err).lower() or "links" in str(err).lower():
            raise Corrupt(f"the soft link '{path}' leads back to itself", Kind.FILE_MALFORMED, "mend or remove the link") from err
    return None


def _add(walk: _Walk, path: str, item: Any, file: Path) -> None:
    sources = {origin.file_name for origin in item.virtual_sources()} if item.is_virtual else set()
    outside = sorted(sources - {"."}) or [name for name, _offset, _size in item.external or ()]
    if outside:
        walk.outside.append(f"the array '{path}', stored in '{outside[0]}',")
        return
    _check_filters(item, path)
    stored = HdfArray(file, f"/{path}", tuple(item.shape), item.dtype, item.chunks)
    walk.datasets.append(HdfDataset(path, stored, _attributes(item)))


def _check_filters(item: Any, path: str) -> None:
    import h5py

    plist = item.id.get_create_plist()
    for number in range(plist.get_nfilters()):
        code, _flags, _values, name = plist.get_filter(number)
        if not h5py.h5z.filter_avail(code):
            raise Corrupt(
                f"array '{path}' is packed with HDF5 filter {code} ({name.decode(errors='replace')}), which is not installed",
                Kind.CODEC_FAILED, "pip install hdf5plugin",
            )


def _filters() -> None:
    """Make the filters of hdf5plugin known, where it is installed: importing it does."""
    with suppress(ImportError):
        import_module("hdf5plugin")


def _attributes(item: Any) -> dict[str, Any]:
    """Attributes as text, numbers and arrays; those that cannot be read are left out."""
    found: dict[str, Any] = {}
    for name in item.attrs:
        with suppress(OSError, TypeError, ValueError, KeyError):
            value = item.attrs[name]
            found[name] = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return found


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn what the HDF5 library raises into what it means."""
    try:
        yield
    except (LakeCVError, FileNotFoundError, PermissionError):  # the caller knows what it means that a file is not there
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as err:
        text = str(err)
        kind = Kind.SHORT_READ if "truncated" in text or "eof" in text.lower() else Kind.FILE_MALFORMED
        if "filter" in text and "opening" not in text:
            kind = Kind.CODEC_FAILED
        raise Corrupt(f"'{path.name}' cannot be read as HDF5: {text}", kind, "copy or download it again") from err
