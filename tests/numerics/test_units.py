import pytest

from lakecv.cube import UNITS
from lakecv.numerics.units import converted


@pytest.mark.parametrize(("value", "unit", "to", "expected"), [
    (6404.0, "eV", "keV", 6.404), (0.0059, "MeV", "eV", 5900.0), (0.55, "um", "nm", 550.0), (5500.0, "Angstrom", "nm", 550.0),
    (2.0, "cm-1", "m-1", 200.0), (1.2, "THz", "GHz", 1200.0), (3.0, "km/s", "m/s", 3000.0), (2.0, "h", "min", 120.0), (1.0, "d", "s", 86400.0),
])  # fmt: skip
def test_a_value_in_another_unit_is_the_same_quantity(value, unit, to, expected):
    assert converted(value, unit, to) == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize("unit", [unit for units in UNITS.values() for unit in units])
def test_every_unit_of_an_axis_has_a_factor(unit):
    assert converted(7.1, unit, unit) == 7.1
    [known] = [units for units in UNITS.values() if unit in units]
    assert all(converted(converted(7.1, unit, other), other, unit) == pytest.approx(7.1, rel=1e-14) for other in known)
