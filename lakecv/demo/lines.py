"""X-ray emission lines of the elements in old paint: a small table of public physical constants.

Energies in keV and relative intensities are rounded from the X-ray Data Booklet (LBNL/PUB-490 Rev. 3, 2009), table 1-2
and 1-3; intensities are relative to the strongest line of each shell.  L and M lines are grouped as a silicon detector
sees them.
"""

from __future__ import annotations

__all__ = ["LINES", "Line"]

Line = tuple[float, float]

LINES: dict[str, tuple[Line, ...]] = {
    "P": ((2.014, 1.0), (2.139, 0.03)),
    "S": ((2.308, 1.0), (2.464, 0.05)),
    "Ar": ((2.958, 1.0), (3.191, 0.10)),
    "K": ((3.314, 1.0), (3.590, 0.11)),
    "Ca": ((3.692, 1.0), (4.013, 0.13)),
    "Ti": ((4.511, 1.0), (4.932, 0.13)),
    "Mn": ((5.899, 1.0), (6.490, 0.13)),
    "Fe": ((6.404, 1.0), (7.058, 0.13)),
    "Co": ((6.930, 1.0), (7.649, 0.13)),
    "Ni": ((7.478, 1.0), (8.265, 0.13)),
    "Cu": ((8.048, 1.0), (8.905, 0.13)),
    "Zn": ((8.639, 1.0), (9.572, 0.13)),
    "Sr": ((14.165, 1.0), (15.836, 0.15)),
    "Sn": ((3.444, 1.0), (3.663, 0.60), (3.905, 0.20), (4.131, 0.08), (3.045, 0.04)),
    "Ba": ((4.466, 1.0), (4.828, 0.60), (5.157, 0.20), (5.531, 0.09), (3.954, 0.04)),
    "Au": ((9.713, 1.0), (11.442, 0.67), (13.382, 0.13), (8.494, 0.05), (2.123, 0.30)),
    "Hg": ((9.989, 1.0), (11.823, 0.67), (13.830, 0.14), (8.721, 0.05), (2.195, 0.25)),
    "Pb": ((10.552, 1.0), (12.614, 0.66), (14.765, 0.14), (9.185, 0.06), (2.346, 0.22)),
}
"""Element -> its lines as (energy in keV, intensity relative to the strongest)."""
