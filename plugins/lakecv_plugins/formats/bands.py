"""The spectral axis of files whose channels are bands: names, and wavelengths where the file has one for each.

Wavelengths that cannot be an axis (out of order, too few, an unknown unit) leave numbered bands and a note.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lakecv.cube import Quantity, SpectralAxis
from lakecv.errors import InvalidInput
from lakecv_plugins.formats.calibration import axis_from_vector

__all__ = ["band_axis"]


def band_axis(
    size: int, names: Sequence[str] | None = None, wavelengths: Sequence[float] | None = None, unit: str | None = None,
) -> tuple[SpectralAxis, tuple[str, ...]]:
    """Make the axis of ``size`` bands, with notes about what was left out.

    Examples
    --------
    >>> axis, notes = band_axis(3, ["blue", "red", "red"], [480.0, 660.0, 830.0], "nm")
    >>> axis.label, axis.names, notes
    ('wavelength [nm]', ('blue', 'red', 'red'), ("2 bands are called 'red'; they are told apart by their place",))
    """
    given = tuple(names or ())
    given = given if any(given) else ()
    notes: tuple[str, ...] = ()
    if given and len(given) != size:
        given, notes = (), (f"the file names {len(given)} bands and has {size}; the names are left out",)
    notes += tuple(
        f"{count} bands are called '{name}'; they are told apart by their place"
        for name, count in Counter(given).items() if name and count > 1
    )  # fmt: skip
    bands = SpectralAxis(size, Quantity.BAND, names=given or None)
    if wavelengths is None:
        return bands, notes
    if len(wavelengths) != size:
        return bands, (*notes, f"the file has {len(wavelengths)} wavelengths for {size} bands; bands are numbered instead")
    try:
        axis, more = axis_from_vector(np.array(wavelengths, np.float64), "wavelength", unit)
    except InvalidInput as err:
        return bands, (*notes, f"the wavelengths were not taken as the spectral axis: {err}; bands are numbered instead")
    return replace(axis, names=given or None), (*notes, *more)
