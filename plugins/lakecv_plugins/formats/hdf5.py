"""HDF5 files: plain ones, NeXus (signal and axes say what is what) and MAPS of the APS (spectral axis first).

The three differ only in what they say of their arrays; choosing and reading is done in :mod:`container`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lakecv.cube import CubeSpec, Quantity, Role, SpectralAxis
from lakecv.ports import ReadHints, Source
from lakecv_plugins.formats.calibration import axis_from_vector, quantity_of_name, quantity_of_unit, spelled
from lakecv_plugins.formats.container import Container, Member
from lakecv_plugins.formats.hdf5_file import SIGNATURE, Group, HdfDataset, datasets, groups, links
from lakecv_plugins.formats.layout import dim_names
from lakecv_plugins.formats.lazy import CubeFile
from lakecv_plugins.formats.stored import regular_file

if TYPE_CHECKING:
    import xarray as xr

    from lakecv.ports import CubeReader

__all__ = ["Hdf5Reader"]

_ENDINGS = {".h5", ".hdf5", ".hdf", ".he5", ".nxs", ".nx", ".h5nx", ".lh5"}
_USER_BLOCKS = (0, 512, 1024, 2048)
_MAPS = "MAPS_RAW"
_FIRST = ("spectral", "y", "x")
_CALIBRATIONS = {Quantity.ENERGY, Quantity.WAVELENGTH, Quantity.WAVENUMBER}
_SPECTRAL_UNITS = {Quantity.ENERGY, Quantity.WAVENUMBER, Quantity.FREQUENCY}


class Hdf5Reader:
    """Reads HDF5."""

    def accepts(self, source: Source, head: bytes) -> bool:
        """Tell by the ending or the signature; MATLAB's own HDF5 files belong to another reader."""
        if head.startswith(b"MATLAB"):
            return False
        return source.path.suffix.lower() in _ENDINGS or (_is_hdf5(head) and source.path.suffix.lower() != ".mat")

    def probe(self, source: Source, hints: ReadHints) -> CubeSpec:
        """Read the headers."""
        return _open(source, hints).spec

    def read(self, source: Source, hints: ReadHints) -> xr.Dataset:
        """Open lazily."""
        return _open(source, hints).dataset()


def _open(source: Source, hints: ReadHints) -> CubeFile:
    regular_file(source, _is_hdf5, "HDF5")
    found, notes = datasets(source)
    members = tuple(_member(data) for data in found)
    if any(member.path.startswith(f"{_MAPS}/data_") for member in members):
        return Container(source.path.name, tuple(_maps(member) for member in members), hints, notes).cube()
    whole = Container(source.path.name, members, hints, notes)
    other_names = links(source)
    if hints.path is not None and hints.path.strip("/") in other_names:
        hints = replace(hints, path=other_names[hints.path.strip("/")])
        whole = replace(whole, hints=hints)
    signals = _signals(whole, _named(found, other_names), groups(source))
    if signals and hints.path is None:
        others = [member for member in members if member.path not in {signal.path for signal in signals} and not _is_cube_like(member)]
        return replace(whole, members=(*signals, *others)).cube()
    named = {signal.path: signal for signal in signals}
    return replace(whole, members=tuple(named.get(member.path, member) for member in members)).cube()


def _is_hdf5(head: bytes) -> bool:
    return any(head[start:].startswith(SIGNATURE) for start in _USER_BLOCKS)


def _is_cube_like(member: Member) -> bool:
    return len(member.stored.shape) >= 3  # noqa: PLR2004


def _member(data: HdfDataset) -> Member:
    unit = data.attributes.get("units", data.attributes.get("unit"))
    text = unit if isinstance(unit, str) else None
    return Member(data.path, data.stored, unit=text if len(data.stored.shape) > 1 else None, units=text)


def _maps(member: Member) -> Member:
    """Spectra of MAPS files are (channel, y, x); its other 3-D arrays (live time, counts) are no cubes.

    Source: Argonne's XRF-Maps, src/io/file/hdf5_io.cpp, "MAPS_RAW/data_a" to "data_d".
    """
    if member.path.startswith(f"{_MAPS}/data_"):
        return replace(member, dims=_FIRST)
    return replace(member, dims=None if not _is_cube_like(member) else _FIRST, role=Role.AUXILIARY)


def _named(found: Sequence[HdfDataset], known: Mapping[str, str]) -> dict[str, HdfDataset]:
    """Datasets by all their names: an NXdata group often holds nothing but links to what the detector wrote."""
    at = {data.path: data for data in found}
    return at | {name: at[path] for name, path in known.items() if path in at}


def _signals(whole: Container, at: Mapping[str, HdfDataset], known: Sequence[Group]) -> list[Member]:
    """Give the signals of NXdata groups with their dims and calibration; the default one alone, where one is named."""
    spots = [group for group in known if group.attributes.get("NX_class") == "NXdata"]
    default = _default(known)
    chosen = [group for group in spots if group.path == default] or spots
    signals = [_signal(whole, at, group) for group in chosen]
    return [signal for signal in signals if signal is not None and _is_cube_like(signal)]


def _default(known: Sequence[Group]) -> str:
    """Follow the ``default`` attributes from the root."""
    at = {group.path: group for group in known}
    path = ""
    for _step in range(8):
        step = at[path].attributes.get("default") if path in at else None
        if not isinstance(step, str):
            break
        path = f"{path}/{step}".strip("/")
    return path


def _signal(whole: Container, at: Mapping[str, HdfDataset], group: Group) -> Member | None:
    name = group.attributes.get("signal")
    old = [path for path, data in at.items() if path.rpartition("/")[0] == group.path and _is_one(data.attributes.get("signal"))]
    path = f"{group.path}/{name}".strip("/") if isinstance(name, str) else next(iter(old), "")
    if path not in at:
        return None
    member = _member(at[path])
    axes = _axes(group, at[path], len(member.stored.shape))
    vectors = [at.get(f"{group.path}/{axis}".strip("/")) for axis in axes]
    dims = _dims(axes, vectors)
    if dims is None:
        return member
    vector = vectors[dims.index("spectral")] if "spectral" in dims else None
    return replace(member, dims=dims, axis=_axis(whole, vector))


def _is_one(value: Any) -> bool:
    return value is not None and str(np.asarray(value).ravel()[:1].tolist()[:1]).strip("[]'b\"") == "1"


def _axes(group: Group, data: HdfDataset, ndim: int) -> list[str]:
    """Names of the axes, one per dim; ``.`` and what is missing = no name."""
    said = group.attributes.get("axes", data.attributes.get("axes"))
    if isinstance(said, str):
        said = said.strip("[]").replace(",", ":").split(":")
    names = [name.decode() if isinstance(name, bytes) else str(name) for name in np.asarray([] if said is None else said).ravel()]
    names = (names + ["."] * ndim)[:ndim]
    for key, value in group.attributes.items():
        places = np.asarray(value).ravel() if key.endswith("_indices") else np.empty(0)
        if len(places) == 1 and places.dtype.kind in "iu" and 0 <= places[0] < ndim and names[places[0]] == ".":
            names[places[0]] = key.removesuffix("_indices")
    return names


def _dims(axes: Sequence[str], vectors: Sequence[HdfDataset | None]) -> tuple[str, ...] | None:
    """Meaning of the axes: by name, else by the one whose unit is spectral (then y before x)."""
    named = dim_names(axes)
    if named is not None:
        return named
    units = [spelled(_text(vector, "units")) for vector in vectors]
    spectral = [
        place for place, (name, unit) in enumerate(zip(axes, units, strict=True))
        if quantity_of_unit(unit) in _SPECTRAL_UNITS or unit in {"nm", "Angstrom"} or "energy" in name.lower() or quantity_of_name(name) in _CALIBRATIONS
    ]  # fmt: skip
    if len(spectral) != 1 or len(axes) != 3:  # noqa: PLR2004
        return None
    places = iter(("y", "x"))
    return tuple("spectral" if place == spectral[0] else next(places) for place in range(3))


def _axis(whole: Container, vector: HdfDataset | None) -> SpectralAxis | None:
    if vector is None or len(vector.stored.shape) != 1:
        return None
    axis, _notes = axis_from_vector(whole.vector(vector.path), vector.path, _text(vector, "units"))
    return axis


def _text(data: HdfDataset | None, name: str) -> str | None:
    value = None if data is None else data.attributes.get(name)
    return value if isinstance(value, str) else None


if TYPE_CHECKING:
    _: CubeReader = Hdf5Reader()
