"""Axis and pixel-size hints: the grammar, the spellings, and what each mistake is called."""

from __future__ import annotations

import numpy as np
import pytest
from lakecv_plugins.formats.calibration import axis_from_hint, axis_from_vector, pixel_size

from lakecv.cube import Quantity
from lakecv.errors import InvalidInput, Kind

VECTORS = {"wl": np.array([[400.0], [500.0], [600.0]])}


@pytest.mark.parametrize(
    ("text", "quantity", "unit", "coordinates"),
    [
        ("energy:keV:0.5:0.25", Quantity.ENERGY, "keV", (0.5, 0.75, 1.0)),
        ("wavelength:nm:@wl", Quantity.WAVELENGTH, "nm", (400.0, 500.0, 600.0)),
        ("wavelength:microns:0.4,0.5,0.7", Quantity.WAVELENGTH, "um", (0.4, 0.5, 0.7)),
        ("wavenumber:1/cm:900,800,700", Quantity.WAVENUMBER, "cm-1", (900.0, 800.0, 700.0)),
        ("velocity:km s-1:-1:0.5", Quantity.VELOCITY, "km/s", (-1.0, -0.5, 0.0)),
        ("channel", Quantity.CHANNEL, None, (0.0, 1.0, 2.0)),
    ],
)
def test_an_axis_is_read_as_written(text, quantity, unit, coordinates):
    axis = axis_from_hint(text, 3, VECTORS.__getitem__)
    assert (axis.quantity, axis.unit, axis.coordinates) == (quantity, unit, coordinates)


@pytest.mark.parametrize(
    ("text", "kind", "hint"),
    [
        ("energy:keVV:0:1", Kind.AXIS_UNIT_UNKNOWN, "keV"),
        ("energy:nm:0:1", Kind.AXIS_UNIT_UNKNOWN, "eV"),
        ("enrgy:keV:0:1", Kind.OPTION_INVALID, "energy"),
        ("energy", Kind.OPTION_INVALID, "start, step"),
        ("energy:keV:a:b", Kind.OPTION_INVALID, "start, step"),
        ("energy:keV:nan:1", Kind.OPTION_INVALID, "start, step"),
        ("energy:keV:0:1:2", Kind.OPTION_INVALID, "start, step"),
        ("energy:keV:0:0", Kind.AXIS_NOT_MONOTONIC, "step"),
        ("energy:keV:1,2", Kind.AXIS_MISMATCH, "one value per channel"),
        ("energy:keV:1,3,2", Kind.AXIS_NOT_MONOTONIC, "--axis channel"),
    ],
)
def test_a_mistake_in_an_axis_is_named(text, kind, hint):
    with pytest.raises(InvalidInput) as caught:
        axis_from_hint(text, 3, VECTORS.__getitem__)
    assert caught.value.kind is kind
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("name", "values", "unit"),
    [("wavelengths", [400.0, 900.0], "nm"), ("wl", [0.4, 2.5], "um"), ("energy", [0.0, 40.9], "keV"), ("wavenumber", [600.0, 1800.0], "cm-1")],
)
def test_a_vector_without_unit_gets_the_usual_one_with_a_note(name, values, unit):
    axis, notes = axis_from_vector(np.array(values), name)
    assert axis.unit == unit
    assert "--axis" in notes[0]


@pytest.mark.parametrize(("text", "expected"), [("0.5mm", ((0.5, 0.5), "mm")), ("0.5mm,0.4mm", ((0.5, 0.4), "mm")), ("20 meters", ((20.0, 20.0), "m"))])
def test_a_pixel_size_is_read_as_written(text, expected):
    assert pixel_size(text) == expected


@pytest.mark.parametrize("text", ["", "5", "mm", "-1mm", "0mm", "1mm,2cm", "1mm,2mm,3mm", "1e999mm", "1.2.3mm"])
def test_a_mistake_in_a_pixel_size_is_named(text):
    with pytest.raises(InvalidInput) as caught:
        pixel_size(text)
    assert caught.value.kind is Kind.OPTION_INVALID
