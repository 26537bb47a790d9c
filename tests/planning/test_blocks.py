"""Blocks tile the picture and are made of whole chunks, whatever is asked."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakecv.cube import CellGrid
from lakecv.planning.blocks import choose_blocks


@given(
    st.integers(1, 400), st.integers(1, 400), st.tuples(st.integers(1, 130), st.integers(1, 130)),
    st.floats(1e-9, 1e-2), st.integers(1, 16), st.one_of(st.none(), st.integers(1, 10**6)),
)
def test_blocks_tile_the_picture_with_whole_chunks(ny, nx, chunk, seconds, slots, most):  # noqa: PLR0917
    grid = CellGrid(ny, nx, chunk)
    blocks = choose_blocks(grid, seconds_per_pixel=seconds, slots=slots, most_pixels=most)
    covered = np.zeros((ny, nx), int)
    for number, block in enumerate(blocks):
        assert block.index == number
        assert block.window.y0 % chunk[0] == block.window.x0 % chunk[1] == 0
        assert block.window.y1 in {ny, *range(0, ny, chunk[0])}
        covered[block.window.slices()] += 1
    assert (covered == 1).all()


def test_every_slot_gets_several_blocks_where_there_are_chunks():
    grid = CellGrid(2048, 2048, (64, 64))
    assert len(choose_blocks(grid, seconds_per_pixel=1e-9, slots=8)) >= 32


def test_a_block_holds_about_a_second_and_a_half_of_work():
    grid = CellGrid(8192, 8192, (64, 64))
    blocks = choose_blocks(grid, seconds_per_pixel=1e-5, slots=2)
    seconds = [block.window.npixels * 1e-5 for block in blocks]
    assert 0.5 <= np.median(seconds) <= 5.0


@pytest.mark.parametrize("most", [64 * 64, 10 * 64 * 64])
def test_memory_has_the_last_word(most):
    blocks = choose_blocks(CellGrid(4096, 4096, (64, 64)), seconds_per_pixel=1e-9, slots=1, most_pixels=most)
    assert max(block.window.npixels for block in blocks) <= most
