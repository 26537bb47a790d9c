"""Grids, windows, cells and axes."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakecv.cube import CELL_PIXELS, ArraySpec, CellGrid, CubeSpec, Grid, Quantity, Role, SpectralAxis, Window
from lakecv.errors import InvalidInput, NotFound

sides = st.integers(1, 300)
chunks = st.tuples(st.integers(1, 200), st.integers(1, 200))


@given(sides, sides, chunks)
def test_cells_tile_the_picture_without_gap_or_overlap(ny, nx, chunk):
    grid = CellGrid(ny, nx, chunk)
    covered = np.zeros((ny, nx), int)
    for cell in grid.cells(grid.window):
        covered[cell.window.slices()] += 1
        assert cell.window.height <= grid.cell[0]
        assert cell.window.width <= grid.cell[1]
    assert (covered == 1).all()
    assert math.prod(grid.cell) <= CELL_PIXELS


@given(sides, sides, chunks, st.data())
def test_a_cell_keeps_its_index_in_every_window_of_whole_chunks(ny, nx, chunk, data):
    grid = CellGrid(ny, nx, chunk)
    row = data.draw(st.integers(0, (ny - 1) // chunk[0])) * chunk[0]
    column = data.draw(st.integers(0, (nx - 1) // chunk[1])) * chunk[1]
    part = Window(row, ny, column, nx)
    whole = {cell.window: cell.index for cell in grid.cells(grid.window)}
    assert len(whole) == len(grid)
    for cell in grid.cells(part):
        assert whole[cell.window] == cell.index
        assert grid.at(cell.index) == cell


@given(sides, sides, chunks)
def test_a_cell_never_crosses_a_chunk(ny, nx, chunk):
    for cell in CellGrid(ny, nx, chunk).cells(Window(0, ny, 0, nx)):
        assert cell.window.y0 // chunk[0] == (cell.window.y1 - 1) // chunk[0]
        assert cell.window.x0 // chunk[1] == (cell.window.x1 - 1) // chunk[1]


@given(sides, sides, chunks, st.data())
def test_the_cells_of_a_part_lie_on_the_chunks_of_the_whole(ny, nx, chunk, data):
    y0, x0 = data.draw(st.integers(0, ny - 1)), data.draw(st.integers(0, nx - 1))
    part = Window(y0, data.draw(st.integers(y0 + 1, ny)), x0, data.draw(st.integers(x0 + 1, nx)))
    grid = CellGrid(part.height, part.width, chunk, (y0 % chunk[0], x0 % chunk[1]))
    covered = np.zeros((part.height, part.width), int)
    cells = list(grid.cells(grid.window))
    for number, cell in enumerate(cells):
        assert cell.index == number
        assert grid.at(number) == cell
        covered[cell.window.slices()] += 1
        assert cell.window.height <= grid.cell[0]
        assert cell.window.width <= grid.cell[1]
        assert (cell.window.y0 + y0) // chunk[0] == (cell.window.y1 - 1 + y0) // chunk[0]
        assert (cell.window.x0 + x0) // chunk[1] == (cell.window.x1 - 1 + x0) // chunk[1]
    assert (covered == 1).all()
    assert len(grid) == len(cells)
    in_chunks = sorted((cell for place in grid.chunks(grid.window) for cell in grid.cells(place)), key=lambda cell: cell.index)
    assert in_chunks == cells


def test_windows_intersect_as_rectangles_do():
    assert Window(0, 4, 0, 4).intersect(Window(2, 6, 3, 9)) == Window(2, 4, 3, 4)
    assert Window(0, 4, 0, 4).intersect(Window(4, 6, 0, 4)) is None


@pytest.mark.parametrize(("values", "unit", "kind"), [
    ((1.0, 3.0, 2.0), "nm", "axis-not-monotonic"), ((1.0, 2.0), "nm", "axis-mismatch"),
    ((1.0, 2.0, 3.0), "keVV", "axis-unit-unknown"),
])
def test_an_axis_that_makes_no_sense_is_refused(values, unit, kind):
    with pytest.raises(InvalidInput) as caught:
        SpectralAxis(3, Quantity.WAVELENGTH, unit, values=values)
    assert caught.value.kind == kind


def test_the_nearest_unit_is_suggested():
    with pytest.raises(InvalidInput) as caught:
        SpectralAxis(3, Quantity.ENERGY, "keVV")
    assert caught.value.hint == "did you mean 'keV'?"


def test_an_axis_without_calibration_says_so():
    assert SpectralAxis(3).label == "channel (not calibrated)"
    assert SpectralAxis(3).coordinates == (0.0, 1.0, 2.0)


def test_a_falling_axis_is_an_axis():
    assert SpectralAxis(3, Quantity.WAVENUMBER, "cm-1", values=(3.0, 2.0, 1.0)).is_calibrated


def test_an_unknown_array_is_named_with_the_nearest():
    spec = ArraySpec("data", Role.DATA, ("y", "x"), (2, 2), "uint8", (2, 2))
    with pytest.raises(NotFound, match="there is no array 'dat'") as caught:
        CubeSpec(Grid(2, 2), None, (spec,)).array("dat")
    assert caught.value.hint == "did you mean 'data'?"
