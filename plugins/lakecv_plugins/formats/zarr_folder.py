"""The arrays of a Zarr folder, found by walking its metadata; no Zarr library involved.

Links are followed only inside the folder, and a folder is of one format: v2 or v3, never both.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lakecv.errors import Corrupt, InvalidInput, Kind, LakeCVError
from lakecv_plugins.formats.stored import Sliceable
from lakecv_plugins.formats.zarr_metadata import ArrayMetadata, array_v2, array_v3, load_object

__all__ = ["ZarrArray", "ZarrNode", "coordinate", "holes", "is_zarr", "nodes"]

_V3, _V2 = "zarr.json", (".zarray", ".zgroup", ".zattrs")
_DEPTH_AT_MOST = 16
_SIZE_AT_MOST = (64 << 20) + 1


@dataclass(frozen=True)
class ZarrArray:
    """An array of a Zarr folder; zarr-python decodes the chunks that a window touches."""

    folder: Path
    meta: ArrayMetadata

    @property
    def shape(self) -> tuple[int, ...]:
        """As stored."""
        return self.meta.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Native type; objects for what is no number, so that it is refused where it is asked for."""
        try:
            return np.dtype(self.meta.dtype)
        except TypeError:
            return np.dtype(object)

    @property
    def chunks(self) -> tuple[int, ...]:
        """Unit of decoding."""
        return self.meta.chunks

    @contextmanager
    def open(self) -> Iterator[Sliceable]:
        """Open with zarr-python, read-only."""
        import zarr

        try:
            yield zarr.open_array(str(self.folder), mode="r", zarr_format=2 if self.meta.zarr_format == 2 else 3)  # noqa: PLR2004
        except (LakeCVError, FileNotFoundError, PermissionError):  # the caller knows what it means that a file is not there
            raise
        except (ValueError, RuntimeError, OSError, TypeError, KeyError) as err:
            raise Corrupt(f"a chunk of '{self.folder.name}' cannot be decoded: {err}", Kind.CODEC_FAILED, "copy it again") from err


@dataclass(frozen=True)
class ZarrNode:
    """One array: its path in the store (empty where the folder itself is the array)."""

    path: str
    array: ZarrArray

    @property
    def attributes(self) -> Mapping[str, Any]:
        """Its attributes."""
        return self.array.meta.attributes

    @property
    def names(self) -> tuple[str | None, ...]:
        """Names of its dims, None where it has none."""
        return self.array.meta.dimension_names or (None,) * len(self.array.shape)

    def text(self, *names: str) -> str | None:
        """Return the first of some attributes that is text."""
        return next((self.attributes[name] for name in names if isinstance(self.attributes.get(name), str)), None)


def is_zarr(folder: Path) -> bool:
    """Say whether a folder holds Zarr metadata."""
    return folder.is_dir() and any((folder / name).is_file() for name in (_V3, ".zgroup", ".zarray"))


def nodes(root: Path) -> tuple[ZarrNode, ...]:
    """List the arrays below a folder, sorted by path.

    Raises
    ------
    Corrupt
        Where metadata is malformed, of both formats, or names a codec that is not allowed.
    InvalidInput
        Where a link leads out of the folder (kind ``link-escapes``).
    """
    return tuple(_walk(root, root, "", 0))


def coordinate(found: tuple[ZarrNode, ...], node: ZarrNode, name: str | None) -> ZarrNode | None:
    """Find the 1-D numeric array named as a dim, in the same group."""
    folder = node.path.rpartition("/")[0]
    wanted = f"{folder}/{name}".strip("/")
    lines = (other for other in found if len(other.array.shape) == 1 and other.array.dtype.kind in "iuf")
    return next((other for other in lines if other.path == wanted), None)


def holes(node: ZarrNode) -> tuple[str, ...]:
    """Say how many objects of an array were never written: Zarr reads them as the fill value, without a word."""
    unit = node.array.meta.shards or node.array.chunks
    expected = math.prod(math.ceil(size / part) for size, part in zip(node.array.shape, unit, strict=True))
    there = sum(path.is_file() and path.name not in {_V3, *_V2} for path in node.array.folder.rglob("*"))
    name = node.path or node.array.folder.name
    if there >= expected:
        return ()
    return (f"{expected - there} of {expected} chunks of '{name}' are not there; they are read as the fill value",)


def _walk(root: Path, folder: Path, path: str, depth: int) -> Iterator[ZarrNode]:
    _check_inside(root, folder)
    label = f"{root.name}/{path}".rstrip("/")
    found = _array(folder, label)
    if found is not None:
        yield ZarrNode(path, ZarrArray(folder, found))
        return
    if depth == _DEPTH_AT_MOST:
        raise Corrupt(f"'{label}' is nested deeper than {_DEPTH_AT_MOST} groups", Kind.FILE_MALFORMED, "register a group of it")
    for child in sorted(folder.iterdir()):
        if child.is_dir() and any((child / name).is_file() for name in (_V3, *_V2)):
            yield from _walk(root, child, f"{path}/{child.name}".strip("/"), depth + 1)


def _array(folder: Path, label: str) -> ArrayMetadata | None:
    """Metadata of an array; None for a group."""
    old = [name for name in _V2 if (folder / name).is_file()]
    if (folder / _V3).is_file():
        if old:
            raise Corrupt(
                f"'{label}' has both {_V3} and {old[0]}", Kind.FILE_MALFORMED, "remove the metadata of the format that is not meant",
            )
        meta = _load(folder / _V3, f"{label}/{_V3}")
        if meta.get("zarr_format") == 3 and meta.get("node_type") == "group":  # noqa: PLR2004
            return None
        return array_v3(meta, f"{label}/{_V3}")
    if ".zarray" not in old:
        return None
    attributes = _load(folder / ".zattrs", f"{label}/.zattrs") if ".zattrs" in old else {}
    return array_v2(_load(folder / ".zarray", f"{label}/.zarray"), attributes, f"{label}/.zarray")


def _load(file: Path, label: str) -> dict[str, Any]:
    with file.open("rb") as opened:
        return load_object(opened.read(min(file.stat().st_size, _SIZE_AT_MOST)), label)


def _check_inside(root: Path, folder: Path) -> None:
    try:
        inside = folder.resolve(strict=True).is_relative_to(root.resolve())
    except (OSError, RuntimeError) as err:
        raise InvalidInput(f"'{folder.name}' is a link that leads nowhere: {err}", Kind.LINK_ESCAPES, "remove the link") from err
    files = [folder / name for name in (_V3, *_V2) if (folder / name).is_symlink()]
    if not inside or any(not file.resolve().is_relative_to(root.resolve()) for file in files):
        raise InvalidInput(f"'{folder.name}' is a link out of '{root.name}'", Kind.LINK_ESCAPES, "copy what it points to into the store")
