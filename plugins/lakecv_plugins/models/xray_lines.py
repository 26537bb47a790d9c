"""X-ray lines of the elements: where they lie, how wide a detector sees them, and which other elements' lines fall there.

The tables are those of xraydb (extra ``xrf``), loaded when an element is named and not before.  Energies are in keV.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from lakecv.errors import InvalidInput, Kind, PluginError, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Detector", "Lines", "is_element_like", "lines_of", "overlaps"]

Spans = Sequence[tuple[float, float]]

_ITEM = re.compile(r"([A-Z][a-z]?)(?:-([KLM](?:[a-z][0-9]?)?))?")
_SERIES = ("K", "L", "M")
_ATOMS = range(3, 93)
_WEAK = 0.1  # of the strongest line that fills the same hole
_FANO, _PAIR_KEV = 0.115, 3.66e-3  # silicon
_SIGMAS = 2.0 * math.sqrt(2.0 * math.log(2.0))  # full width at half maximum of a Gaussian
_SHARE = 0.25
_COMMON = (  # in paintings, soils, metals, and the air between them and the detector
    "Na", "Mg", "Al", "Si", "P", "S", "Cl", "Ar", "K", "Ca", "Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "As", "Se",
    "Br", "Sr", "Zr", "Mo", "Ag", "Cd", "Sn", "Sb", "I", "Ba", "Au", "Hg", "Pb", "Bi",
)  # fmt: skip
_MAIN = ("Ka", "La", "Ma")


@dataclass(frozen=True, slots=True)
class Detector:
    """An energy-dispersive silicon detector, by what its electronics add: a width (FWHM) of ``noise`` keV.

    Notes
    -----
    FWHM(E)^2 = noise^2 + (2.3548)^2 F w E, with the Fano factor F = 0.115 and w = 3.66 eV per electron-hole pair.  Source:
    Van Espen in Van Grieken and Markowicz (eds.) 2002, Handbook of X-Ray Spectrometry, chapter 4; values for silicon:
    Mazziotta 2008, Nucl. Instrum. Methods A 584, 436.

    Examples
    --------
    >>> round(Detector(0.07).fwhm(5.895), 4)
    0.1366
    """

    noise: float

    def fwhm(self, energy: float) -> float:
        """Full width at half maximum of a line, in keV."""
        return math.sqrt(self.noise**2 + _SIGMAS**2 * _FANO * _PAIR_KEV * energy)


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines that are looked at together, such as ``Fe-K``."""

    element: str
    family: str
    energies: tuple[float, ...]

    @property
    def name(self) -> str:
        """Element and family."""
        return f"{self.element}-{self.family}"


def is_element_like(text: str) -> bool:
    """Say whether a word is written as an element or one of its lines: ``Fe``, ``Cu-Ka``, ``Pb-L``, ``Fe-Ka1``."""
    return _ITEM.fullmatch(text) is not None


def lines_of(text: str, low: float, high: float, beam: float) -> Lines:
    """Find the lines of an element.

    Parameters
    ----------
    text : str
        ``Fe`` (the first of the K, L and M series whose strongest line lies on the axis), ``Pb-L`` (a series), ``Cu-Ka``
        (a family), ``Fe-Ka1`` (a line).
    low, high : float
        Ends of the axis, keV.
    beam : float
        Energy that excites, keV; 0 = not known.  Lines whose edge lies above it cannot be there.

    Returns
    -------
    Lines
        Lines on the axis with at least a tenth of the strongest that fills the same hole.

    Raises
    ------
    InvalidInput
        If there is no such element, or no such line on the axis (kind ``option-invalid``).
    PluginError
        If xraydb is not installed (kind ``missing-extra``).
    """
    match = _ITEM.fullmatch(text)
    if match is None or match[1] not in _symbols():
        raise InvalidInput(f"'{text}' is no element", Kind.OPTION_INVALID, nearest(text.partition("-")[0], _symbols(), "elements"))
    element, asked = match[1], match[2]
    for family in [asked] if asked else _SERIES:
        found = _strong(element, family, beam)
        energies = tuple(sorted({energy for energy, _ in found if low <= energy <= high}))
        if energies and (asked or low <= max(found, key=lambda line: line[1])[0] <= high):
            return Lines(element, family, energies)
    excited = f" that {beam:g} keV excite" if beam else ""
    raise InvalidInput(
        f"{text} has no line{excited} between {low:g} and {high:g} keV", Kind.OPTION_INVALID, _hint(element),
    )


def overlaps(wanted: Mapping[str, Spans], lines: Iterable[Lines], detector: Detector, reach: tuple[float, float, float]) -> list[str]:
    """Tell which strong lines of other elements fall into windows.

    Parameters
    ----------
    wanted : spans by name
        Windows, keV; the name of an element's window begins with it.
    lines : Lines
        All lines that windows were made for; and the main lines of common elements are looked at anyway.
    detector : Detector
        How wide it sees them.
    reach : (low, high, beam)
        As for :func:`lines_of`.

    Returns
    -------
    list of str
        Such as ``As-Ka in Pb-L (97 %)``: the share of the line that lies in the window, a quarter or more.
    """
    others = [*lines, *_common(reach)]
    said: dict[tuple[str, str], str] = {}
    for window, spans in wanted.items():
        for other in others:
            if other.element == window.partition("-")[0]:
                continue
            share = max(_inside(energy, spans, detector) for energy in other.energies)
            if share >= _SHARE:
                said.setdefault((window, other.element), f"{other.name} in {window} ({share:.0%})".replace("%", " %"))
    return list(said.values())


def _common(reach: tuple[float, float, float]) -> Iterator[Lines]:
    low, high, beam = reach
    for element in _COMMON:
        for family in _MAIN:
            energies = tuple(energy for energy, _ in _strong(element, family, beam) if low <= energy <= high)
            if energies:
                yield Lines(element, family, energies)


def _inside(energy: float, spans: Spans, detector: Detector) -> float:
    """Share of a Gaussian line that lies in a window."""
    line = NormalDist(energy, detector.fwhm(energy) / _SIGMAS)
    return sum(line.cdf(high) - line.cdf(low) for low, high in spans)


def _hint(element: str) -> str:
    main = [f"{element}-{family} {_strong(element, family, 0.0)[0][0]:.2f} keV" for family in _MAIN if _strong(element, family, 0.0)]
    return f"its lines: {', '.join(main)}" if main else "choose an element with lines on the axis"


@cache
def _strong(element: str, family: str, beam: float) -> tuple[tuple[float, float], ...]:
    """Energy and intensity of the lines of a family that matter, the strongest first."""
    edges = _tables().xray_edges(element)
    lines = {name: line for name, line in _tables().xray_lines(element).items() if not beam or _edge(edges, line) <= 1e3 * beam}
    best: dict[str, float] = {}
    for line in lines.values():
        best[line.initial_level] = max(best.get(line.initial_level, 0.0), line.intensity)
    kept = [
        (line.energy / 1e3, line.intensity) for name, line in lines.items()
        if (name == family or (name.startswith(family) and not family[-1].isdigit())) and line.intensity >= _WEAK * best[line.initial_level]
    ]
    return tuple(sorted(kept, key=lambda line: -line[1]))


def _edge(edges: Mapping[str, Any], line: Any) -> float:
    """Edge of the hole that a line fills, in eV; of a multiplet (``M4,5``) that of its first level."""
    edge = edges.get(line.initial_level.partition(",")[0])
    return float(edge.energy) if edge else 0.0


@cache
def _symbols() -> tuple[str, ...]:
    return tuple(_tables().atomic_symbol(number) for number in _ATOMS)


def _tables() -> Any:
    try:
        import xraydb
    except ImportError as err:
        raise PluginError(
            "'xraydb' is not installed; it comes with the extra xrf", Kind.MISSING_EXTRA, 'pip install "lakecv[xrf]"',
        ) from err
    return xraydb
