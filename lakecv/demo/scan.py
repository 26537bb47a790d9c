"""The MA-XRF scan of a painting: a counting detector's cube, with lines, scatter and Poisson noise.

It makes data that behave like a scanner's (few counts, overlapping lines, ground shining through) at the size of a demo.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lakecv.cube import Grid, Quantity, SpectralAxis
from lakecv.demo.lines import LINES
from lakecv.demo.paint import MATERIALS, Painting

__all__ = ["AXIS", "GRID", "scan"]

GRID = Grid(120, 160, (1.0, 1.0), "mm")
AXIS = SpectralAxis(512, Quantity.ENERGY, "keV", 0.0, 0.04)

_RECIPES: dict[str, dict[str, float]] = {
    "azurite": {"Cu": 560, "Fe": 14, "Ca": 22, "Zn": 4},
    "lead white": {"Pb": 360, "Ca": 18},
    "lead-tin yellow": {"Pb": 240, "Sn": 110, "Ca": 8},
    "vermilion": {"Hg": 290, "S": 60, "Pb": 30, "Ca": 10},
    "umber": {"Fe": 420, "Mn": 150, "Ca": 60, "K": 22, "Ti": 8},
    "titanium white": {"Ti": 260, "Zn": 230, "Ba": 60, "Ca": 20},
    "chalk ground": {"Ca": 430, "Sr": 22, "Fe": 12, "S": 10},
    "copper green glaze": {"Cu": 420, "K": 10},
}
"""Counts in the strongest line of each element, for a full layer and the demo's dwell time."""
_GROUND_SHINES = 0.10
_SCATTER_COUNTS, _ROOM_AIR_COUNTS = 150.0, 12.0
_FANO, _PAIR_KEV, _FWHM_MN_KEV = 0.115, 3.66e-3, 0.140
_FWHM_PER_SIGMA = 2.3548
_ROWS = 10


def scan(painting: Painting, seed: int = 0) -> NDArray[np.uint16]:
    """Scan a painting: expected spectrum of each pixel's mixture, times thickness, then counted.

    Parameters
    ----------
    painting : Painting
        What is scanned.
    seed : int
        Of the Poisson draws.

    Returns
    -------
    (y, x, spectral) uint16
        Counts on ``AXIS``, about 600 to 1,200 per pixel.
    """
    rng = np.random.default_rng((seed, 2))
    pure = _pure_spectra()
    scatter = _scatter()
    cube: NDArray[np.uint16] = np.empty((*painting.pigments.shape, AXIS.size), np.uint16)
    for top in range(0, len(cube), _ROWS):
        rows = slice(top, top + _ROWS)
        expected = (painting.abundance[rows] * painting.thickness[rows, :, None]) @ pure + scatter
        cube[rows] = rng.poisson(expected)
    return cube


def _pure_spectra() -> NDArray[np.float64]:
    """Sum the expected counts (material, spectral) of a full layer of each material, with a little of the ground beneath."""
    spectra = np.stack([_spectrum(_RECIPES[name]) for name in MATERIALS])
    ground = spectra[MATERIALS.index("chalk ground")]
    return np.asarray(spectra + _GROUND_SHINES * ground)


def _spectrum(recipe: dict[str, float]) -> NDArray[np.float64]:
    """Add up the lines of a recipe as the detector sees them (spectral,)."""
    peaks = [
        counts * intensity * _peak(line) for element, counts in recipe.items() for line, intensity in LINES[element]
    ]
    return np.asarray(np.sum(peaks, axis=0))


def _peak(center: float) -> NDArray[np.float64]:
    """Gaussian of unit area; width = electronic noise and Fano's statistics, 140 eV at Mn Ka (Knoll, 4th ed., ch. 11)."""
    energy = np.array(AXIS.coordinates)
    noise = (_FWHM_MN_KEV / _FWHM_PER_SIGMA) ** 2 - _FANO * _PAIR_KEV * LINES["Mn"][0][0]
    sigma = np.sqrt(noise + _FANO * _PAIR_KEV * center)
    step = energy[1] - energy[0]
    return np.asarray(np.exp(-0.5 * ((energy - center) / sigma) ** 2) * step / (sigma * np.sqrt(2 * np.pi)))


def _scatter() -> NDArray[np.float64]:
    """Model what every pixel scatters (spectral,): the tube's continuum, its Compton peak, and the argon of the air."""
    energy = np.array(AXIS.coordinates)
    continuum = np.exp(-0.5 * ((energy - 12.0) / 5.0) ** 2) + 0.25 * np.exp(-0.5 * ((energy - 4.5) / 2.0) ** 2)
    compton = np.exp(-0.5 * ((energy - 18.7) / 0.45) ** 2)
    shape = continuum / continuum.sum() + 0.35 * compton / compton.sum()
    shape[energy < 1.0] = 0.0
    return np.asarray(_SCATTER_COUNTS * shape + _ROOM_AIR_COUNTS * _peak(LINES["Ar"][0][0]))
