"""Mean and sum spectrum of a dataset or of a part of it, and its peaks: the look that comes before any model.

Of a whole dataset they are known since it was registered; of a part only the chunks that hold some of it are read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from lakecv.api.looking import read_artifact
from lakecv.api.selecting import Part, select
from lakecv.canonical import loads
from lakecv.cube import Quantity, Role, SpectralAxis
from lakecv.errors import InvalidInput, Kind, NotFound
from lakecv.execution.masks import MASK, unpack_mask
from lakecv.lake_io.convert import SURVEY
from lakecv.lake_io.copies import Seen, open_copies, open_manifest
from lakecv.lake_io.part import PartReader
from lakecv.lake_io.read import open_array
from lakecv.lake_io.sheets import read_sheets
from lakecv.lake_io.survey import Findings
from lakecv.numerics.peaks import find_peaks
from lakecv.ports import CatalogBackend
from lakecv.records import Dataset
from lakecv.selection import Selection

__all__ = ["Peak", "Spectrum", "spectrum_of"]

_IN_KEV = {"eV": 1e-3, "keV": 1.0, "MeV": 1e3}
_NOISE_KEV, _WIDTH = 0.08, 0.05  # a silicon detector: FWHM^2 = noise^2 + 2.355^2 F w E, and 2.355^2 * 0.115 * 3.66 eV of it
_LINES = ("Ka1", "La1", "Ma")
_COMMON = (  # in paintings, soils, metals and air: others are named only where none of these is near
    "Na", "Mg", "Al", "Si", "P", "S", "Cl", "Ar", "K", "Ca", "Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "As", "Se",
    "Br", "Rb", "Sr", "Zr", "Mo", "Ag", "Cd", "Sn", "Sb", "I", "Ba", "Au", "Hg", "Pb", "Bi",
)  # fmt: skip
_NEVER = ("Tc", "Pm", "Po", "At", "Rn", "Fr", "Ra", "Ac", "Pa")  # nothing has enough of them
_LIGHTEST, _HEAVIEST, _NAMES = 11, 92, 3


@dataclass(frozen=True, slots=True)
class Peak:
    """A peak: its channel, where that lies on the axis, the mean there, and X-ray lines within a detector's width (FWHM) of it."""

    channel: int
    position: float
    mean: float
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Spectrum:
    """``mean`` and ``total`` (spectral,) float64 over ``npixels`` usable pixels of ``part`` (empty = all of the dataset)."""

    did: str
    part: tuple[str, ...]
    axis: SpectralAxis
    unit: str | None
    mean: NDArray[np.float64]
    npixels: int
    peaks: tuple[Peak, ...]

    @property
    def total(self) -> NDArray[np.float64]:
        """Sum over the pixels."""
        return self.mean * self.npixels


def spectrum_of(lake: str, catalog: CatalogBackend, dataset: Dataset, part: Part, seen: Seen) -> Spectrum:
    """Add up the spectra of a part of a dataset.

    Raises
    ------
    InvalidInput
        If the dataset has no spectral axis (kind ``dims-ambiguous``), or no pixel of the part can be used (``nothing-valid``).
    """
    if len(dataset.cube.main.shape) < 3:  # noqa: PLR2004  (y, x and the spectral axis)
        raise InvalidInput(f"{dataset.did} has no spectral axis", Kind.DIMS_AMBIGUOUS, f"lakecv show {dataset.did} lists its arrays")
    selected = select(part, dataset, lake, catalog)
    selection = selected.selection or Selection()
    cube = selection.of(dataset.cube)
    mean, npixels = _surveyed(lake, dataset, seen) if selection == Selection() else (None, 0)
    if mean is None:
        mask = unpack_mask(dict(selected.given)[MASK], (cube.grid.ny, cube.grid.nx)) if selection.mask else None
        mean, npixels = _read(lake, dataset, selection, mask, seen)
    axis = cube.axis if cube.axis is not None and cube.axis.size == len(mean) else SpectralAxis(len(mean))
    return Spectrum(str(dataset.did), selection.parts, axis, cube.main.unit, mean, npixels, tuple(_peaks(mean, axis)))


def _surveyed(lake: str, dataset: Dataset, seen: Seen) -> tuple[NDArray[np.float64] | None, int]:
    """Mean of all pixels as it was found at registration; None where nobody surveyed (a result of a run)."""
    try:
        found = loads(Findings, read_artifact(lake, dataset, SURVEY, seen))
    except NotFound:
        return None, 0
    return np.array(found.mean_spectrum), found.npixels_usable


def _read(lake: str, dataset: Dataset, selection: Selection, mask: NDArray[np.bool_] | None, seen: Seen) -> tuple[NDArray[np.float64], int]:
    manifest = open_manifest(lake, dataset, seen)
    objects, cube = open_copies(lake, dataset, manifest, seen=seen), selection.of(dataset.cube)
    readers = {
        spec.name: PartReader(
            open_array(objects, dataset.cube.array(spec.name), manifest, dataset.path_of(spec.name), selection.channels if spec is cube.main else None),
            selection,
        )
        for spec in cube.arrays if spec is cube.main or spec.role is Role.MASK
    }
    total, npixels = np.zeros(cube.main.shape[2]), 0
    for _, sheet in read_sheets(cube, readers, cube.cells.window, mask):
        total += sheet.pixels.sum(axis=0, dtype=np.float64)  # samples of pixels that are not used are 0
        npixels += int(sheet.valid.sum())
    if not npixels:
        raise InvalidInput(f"no pixel of this part of {dataset.did} can be used", Kind.NOTHING_VALID, "check --window and --mask")
    return total / npixels, npixels


def _peaks(mean: NDArray[np.float64], axis: SpectralAxis) -> Iterator[Peak]:
    """List peaks from the left to the right."""
    positions = axis.coordinates
    factor = _IN_KEV.get(axis.unit or "", 0.0) if axis.quantity is Quantity.ENERGY else 0.0
    for channel in sorted(find_peaks(mean).tolist()):
        yield Peak(channel, positions[channel], float(mean[channel]), _lines_at(positions[channel] * factor) if factor else ())


def _lines_at(energy: float) -> tuple[str, ...]:
    """Name the main lines within a width of an energy in keV, those of common elements first; none where the tables are not installed."""
    width = float(np.hypot(_NOISE_KEV, _WIDTH * np.sqrt(max(energy, 0.0))))
    near = sorted((name.partition(" ")[0] not in _COMMON, abs(line - energy), name) for name, line in _main_lines() if abs(line - energy) <= width)
    return tuple(name for rare, _, name in near[:_NAMES] if rare is near[0][0])


@cache
def _main_lines() -> tuple[tuple[str, float], ...]:
    """Energies (keV) of the strongest line of each series, by xraydb (extra ``xrf``)."""
    try:
        import xraydb
    except ImportError:
        return ()
    found = []
    for number in range(_LIGHTEST, _HEAVIEST + 1):
        lines = xraydb.xray_lines(number)
        symbol = xraydb.atomic_symbol(number)
        if symbol in _NEVER:
            continue
        found += [(f"{symbol} {name[:2]}", lines[name].energy / 1e3) for name in _LINES if name in lines]
    return tuple(found)
