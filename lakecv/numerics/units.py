"""Units of spectral axes in each other: factors within one quantity, never from one quantity to another."""

from __future__ import annotations

__all__ = ["converted"]

_IN_BASE = {
    "eV": 1.0, "keV": 1e3, "MeV": 1e6,
    "nm": 1.0, "um": 1e3, "mm": 1e6, "cm": 1e7, "m": 1e9, "Angstrom": 0.1,
    "cm-1": 100.0, "m-1": 1.0,
    "Hz": 1.0, "kHz": 1e3, "MHz": 1e6, "GHz": 1e9, "THz": 1e12,
    "m/s": 1.0, "km/s": 1e3,
    "ns": 1.0, "us": 1e3, "ms": 1e6, "s": 1e9, "min": 60e9, "h": 3600e9, "d": 86400e9,
}  # fmt: skip


def converted(value: float, unit: str, to: str) -> float:
    """Give a value in another unit of the same quantity.

    Parameters
    ----------
    value : float
        In ``unit``.
    unit, to : str
        Of one row of :data:`lakecv.cube.UNITS`; that they belong together is the caller's to check.

    Examples
    --------
    >>> converted(6404.0, "eV", "keV"), converted(0.55, "um", "nm"), converted(7.5, "nm", "nm")
    (6.404, 550.0, 7.5)
    """
    if unit == to:
        return value
    from_base, to_base = _IN_BASE[unit], _IN_BASE[to]
    return value * (from_base / to_base) if from_base >= to_base else value / (to_base / from_base)
