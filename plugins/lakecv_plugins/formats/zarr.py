"""Zarr v2 and v3, as xarray, zarr-python and lakecv write them: named dims, coordinates, CRS.

Metadata is validated by :mod:`zarr_metadata` before zarr-python opens anything.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lakecv.cube import CubeSpec, Role, SpectralAxis
from lakecv.errors import Corrupt, InvalidInput, Kind
from lakecv.ports import ReadHints, Source
from lakecv_plugins.formats.calibration import axis_from_vector, quantity_of_unit, spelled
from lakecv_plugins.formats.container import Container, Member, entry, mask_entry
from lakecv_plugins.formats.layout import Layout, Oriented, dim_names, layout_of
from lakecv_plugins.formats.lazy import CubeFile, Entry
from lakecv_plugins.formats.zarr_folder import ZarrNode, coordinate, holes, is_zarr, nodes
from lakecv_plugins.formats.zarr_plane import grid_of

if TYPE_CHECKING:
    import xarray as xr

    from lakecv.ports import CubeReader

__all__ = ["ZarrReader"]

_ROLES = {"variance": Role.VARIANCE, "var": Role.VARIANCE, "stat": Role.VARIANCE, "mask": Role.MASK, "labels": Role.LABELS}
_SINCE = re.compile(r"(\w+) since (.+)")


class ZarrReader:
    """Reads a Zarr folder: one array, or a group of them."""

    def accepts(self, source: Source, head: bytes) -> bool:
        """Tell by the metadata files in the folder, or its ending."""
        return not head and source.path.is_dir() and (is_zarr(source.path) or source.path.suffix.lower() == ".zarr")

    def probe(self, source: Source, hints: ReadHints) -> CubeSpec:
        """Read the metadata and the coordinates."""
        return _open(source, hints).spec

    def read(self, source: Source, hints: ReadHints) -> xr.Dataset:
        """Open lazily."""
        return _open(source, hints).dataset()


def _open(source: Source, hints: ReadHints) -> CubeFile:
    if not source.path.is_dir():
        raise InvalidInput(f"'{source.url}' is not a folder", Kind.NOT_A_FILE, "give the folder that holds zarr.json or .zgroup")
    found = nodes(source.path)
    if not found:
        raise Corrupt(f"'{source.url}' holds no Zarr array", Kind.FILE_MALFORMED, "a folder with zarr.json or .zarray is expected")
    members = tuple(_member(node) for node in found)
    whole = Container(source.path.name, members, hints)
    main = _main(whole, found)
    layout, _notes = layout_of(main.stored.shape, hints, main.label, main.dims)
    node = next(node for node in found if node.path == main.path)
    main, notes = _calibrated(whole, found, node, main, layout)
    described = replace(whole, members=tuple(main if member.path == main.path else member for member in members), notes=notes)
    if main.path and hints.detector is None:
        described = replace(described, hints=replace(hints, path=main.path))
    grid, more = grid_of(found, node, layout)
    described = replace(described, notes=(*described.notes, *more, *holes(node)))
    cube = described.cube(grid, {main.path: main.leaf or "data"})
    beside = _beside(members, main, layout, hints) if hints.detector is None else []
    return replace(cube, entries=(*cube.entries[:1], *beside, *cube.entries[1:]))


def _main(whole: Container, found: tuple[ZarrNode, ...]) -> Member:
    """Choose the cube: what --path names, else the one whose role is ``data``, else by the container's rule."""
    if whole.hints.path is not None:
        return whole.find(whole.hints.path)
    said = [node.path for node in found if node.attributes.get("role") == Role.DATA or node.path == "data"]
    marked = [member for member in whole.members if member.path in said and len(member.stored.shape) > 1]
    if len(marked) == 1 and whole.hints.detector is None:
        return marked[0]
    return whole.candidates()[0]


def _member(node: ZarrNode) -> Member:
    attributes = node.attributes
    known = dim_names(node.names) if node.array.meta.dimension_names else None
    unit = node.text("units", "unit")
    said = str(attributes.get("role", ""))
    role = Role(said) if said in set(Role) else _ROLES.get(node.path.rpartition("/")[2].lower(), Role.DATA)
    is_coordinate = len(node.array.shape) == 1
    return Member(
        node.path, node.array, known, None if is_coordinate else unit, role, _nodata(attributes), units=unit,
        shards=node.array.meta.shards,
    )


def _calibrated(
    whole: Container, found: tuple[ZarrNode, ...], node: ZarrNode, main: Member, layout: Layout,
) -> tuple[Member, tuple[str, ...]]:
    """Read the coordinate of the spectral dim; say what is not applied."""
    notes: list[str] = []
    packed = {key: node.attributes[key] for key in ("scale_factor", "add_offset") if key in node.attributes}
    if packed:
        notes.append(f"stored numbers are read as they are; {packed} is not applied")
    if layout.spectral is None or whole.hints.axis is not None:
        return main, tuple(notes)
    name = node.names[layout.axes.index("spectral")]
    vector = coordinate(found, node, name)
    if vector is None:
        return main, tuple(notes)
    axis, more = _axis(whole, vector)
    return replace(main, axis=axis), (*notes, *more)


def _axis(whole: Container, vector: ZarrNode) -> tuple[SpectralAxis, tuple[str, ...]]:
    unit, frame = vector.text("units", "unit"), vector.text("frame")
    since = _SINCE.fullmatch(unit or "")
    if since:
        unit, frame = since.group(1), f"since {since.group(2)}"
    unit = spelled(unit)
    quantity = vector.text("quantity")
    if quantity is None and unit is not None and quantity_of_unit(unit) is None:
        unit = None
    return axis_from_vector(whole.vector(vector.path), vector.path, unit, quantity, frame)


def _beside(members: tuple[Member, ...], main: Member, layout: Layout, hints: ReadHints) -> list[Entry]:
    """Other arrays on the same pixels, in the same group and with the same named dims."""
    folder = main.path.rpartition("/")[0]
    kept: list[Entry] = []
    for member in members:
        other = member.dims
        fits = other is not None and set(other) <= {"y", "x", "spectral"} and member.path.rpartition("/")[0] == folder
        if member.path == main.path or not fits or other is None or member.leaf == hints.mask or layout.is_flat:
            continue
        sizes = dict(zip(other, member.stored.shape, strict=True))
        own = dict(zip(layout.axes, layout.shape, strict=True))
        if any(own.get(dim) != size for dim, size in sizes.items()):
            continue
        if member.role is Role.MASK and hints.mask is None:
            kept.append(mask_entry(member, layout, hints))
        elif member.is_numeric:
            role = Role.AUXILIARY if member.role is Role.DATA else member.role
            own_layout = Layout(other, member.stored.shape, layout.picture)
            kept.append(entry(member.leaf, replace(member, role=role), Oriented(member.stored, own_layout), own_layout))
    return kept


def _nodata(attributes: Mapping[str, Any]) -> float | None:
    value = attributes.get("_FillValue", attributes.get("nodata", attributes.get("missing_value")))
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and value is not None and math.isfinite(value) else None


if TYPE_CHECKING:
    _: CubeReader = ZarrReader()
