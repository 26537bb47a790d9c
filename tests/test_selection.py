"""A part of a cube as a cube of its own: grids, axes, places on Earth and sky."""

from dataclasses import replace

import pytest

from lakecv.canonical import dumps
from lakecv.cube import ArraySpec, CubeSpec, Grid, Quantity, Role, SpectralAxis, Window
from lakecv.job import Job
from lakecv.selection import Selection

MAIN = ArraySpec("data", Role.DATA, ("y", "x", "spectral"), (100, 80, 10), "uint16", (32, 16, 10), (64, 64, 10))
OTHER = replace(MAIN, name="second")
MASK = ArraySpec("mask", Role.MASK, ("y", "x"), (100, 80), "uint8", (32, 16))
CUBE = CubeSpec(Grid(100, 80), SpectralAxis(10, Quantity.ENERGY, "keV", 1.0, 0.5), (MAIN, OTHER, MASK))


def test_a_window_keeps_its_chunks_where_they_are_stored():
    found = Selection(window=Window(40, 70, 16, 20)).of(CUBE)
    assert (found.main.shape, found.offset, found.cells.chunk) == ((30, 4, 10), (8, 0), (32, 16))
    assert found.cells.edges(0) == (0, 24, 30)
    assert [array.name for array in found.arrays] == ["data", "mask"]
    assert found.array("mask").shape == (30, 4)


def test_another_detector_is_read_in_place_of_the_main_one():
    assert Selection(detector="second").of(CUBE).main == replace(OTHER, shards=None)


@pytest.mark.parametrize(("runs", "expected"), [
    (((2, 5),), SpectralAxis(3, Quantity.ENERGY, "keV", 2.0, 0.5)),
    (((0, 1), (8, 10)), SpectralAxis(3, Quantity.ENERGY, "keV", values=(1.0, 5.0, 5.5))),
])
def test_channels_keep_their_energies(runs, expected):
    found = Selection(channels=runs).of(CUBE)
    assert (found.axis, found.main.shape, found.array("mask").shape) == (expected, (100, 80, 3), (100, 80))


def test_listed_values_and_names_of_channels_are_cut_with_them():
    cube = replace(CUBE, axis=SpectralAxis(10, Quantity.WAVELENGTH, "nm", values=tuple(range(10)), names=tuple("abcdefghij")))
    assert Selection(channels=((1, 2), (4, 6))).of(cube).axis == SpectralAxis(3, Quantity.WAVELENGTH, "nm", values=(1, 4, 5), names=("b", "e", "f"))


def test_pixels_stay_where_they_are_on_the_ground():
    grid = replace(CUBE.grid, crs="EPSG:32633", affine=(10.0, 1.0, 500.0, -2.0, -10.0, 4000.0))
    found = Selection(window=Window(3, 9, 5, 9)).of(replace(CUBE, grid=grid)).grid
    for y, x in ((0, 0), (2, 3)):
        a, b, c, d, e, f = grid.affine
        whole = (a * (x + 5) + b * (y + 3) + c, d * (x + 5) + e * (y + 3) + f)
        a, b, c, d, e, f = found.affine
        assert (a * x + b * y + c, d * x + e * y + f) == whole


@pytest.mark.parametrize("order", [(1, 2), (2, 3)])
def test_pixels_stay_where_they_are_in_the_sky(order):
    wcs = pytest.importorskip("astropy.wcs")
    x, y = order
    header = {f"CTYPE{x}": "RA---TAN", f"CTYPE{y}": "DEC--TAN", f"CRPIX{x}": 50.5, f"CRPIX{y}": 20.0, f"CDELT{x}": -0.01, f"CDELT{y}": 0.01,
              f"CRVAL{x}": 51.0, f"CRVAL{y}": 30.0, f"CUNIT{x}": "deg", f"CUNIT{y}": "deg"}  # fmt: skip
    cards = "\n".join(f"{name:8}= {(repr(text) if isinstance(text, str) else text)!s:>20} / as observed".ljust(80) for name, text in header.items())
    grid = replace(CUBE.grid, wcs=cards)
    found = Selection(window=Window(3, 90, 5, 70)).of(replace(CUBE, grid=grid)).grid.wcs

    def world(text, column, row):
        made = wcs.WCS("".join(text.split("\n")).encode()).celestial
        return [float(value) for value in made.pixel_to_world_values(column, row)]

    assert world(found, 7, 11) == pytest.approx(world(cards, 12, 14), abs=1e-12)
    assert all(len(card) == 80 for card in found.split("\n"))


@pytest.mark.parametrize(("crpix", "moved"), [("2.55D+01", 20.5), (None, -5.0)])
def test_reference_pixels_are_found_however_they_are_written(crpix, moved):
    cards = ["CTYPE1  = 'RA---TAN'", "CTYPE2  = 'DEC--TAN'", "CRPIX2  =                 10.0", *([f"CRPIX1  = {crpix:>20}"] if crpix else [])]
    wcs = Selection(window=Window(0, 9, 5, 9)).of(replace(CUBE, grid=replace(CUBE.grid, wcs="\n".join(card.ljust(80) for card in cards)))).grid.wcs
    found = {card[:8].strip(): card[10:].strip() for card in wcs.split("\n")}
    assert (float(found["CRPIX1"]), float(found["CRPIX2"])) == (moved, 10.0)


def test_a_job_that_reads_everything_is_the_job_that_it_was_before_there_were_selections():
    assert "selection" not in dumps(Job((), 0, (), "museo"))
    assert Job((), 0, (), "museo").selected(CUBE) is CUBE
