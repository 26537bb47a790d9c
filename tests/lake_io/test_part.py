"""Reads of a part: what numpy would cut out, from no more chunks than it takes."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakecv.cube import CubeSpec, Grid, Window
from lakecv.lake_io.layout import array_json, document
from lakecv.lake_io.part import PartReader
from lakecv.lake_io.read import open_array
from lakecv.lake_io.sheets import read_sheets
from lakecv.selection import Selection
from lakecv.testing.fakes import MemoryObjects
from tests.lake_io.test_codec import spec_of, values_of, write

SHAPE = (23, 19, 11)


def stored(spec):
    """Objects of an array, its manifest and its values."""
    objects, values = MemoryObjects(), values_of(spec)
    manifest = write(objects, spec, values)
    return objects, manifest, values


@st.composite
def selections(draw):
    y0, x0 = draw(st.integers(0, SHAPE[0] - 1)), draw(st.integers(0, SHAPE[1] - 1))
    window = Window(y0, draw(st.integers(y0 + 1, SHAPE[0])), x0, draw(st.integers(x0 + 1, SHAPE[1])))
    taken = np.array(draw(st.lists(st.booleans(), min_size=SHAPE[2], max_size=SHAPE[2]).filter(any)))
    edges = np.flatnonzero(np.diff(np.concatenate([[False], taken, [False]]).astype(int)))
    return Selection(window, tuple(map(tuple, edges.reshape(-1, 2).tolist())))


@pytest.mark.parametrize("compressor", ["blosc-zstd-bitshuffle", None])
@given(selection=selections(), chunks=st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 11)), sharded=st.booleans())
def test_a_part_is_what_numpy_cuts_out(compressor, selection, chunks, sharded):
    shards = (2 * chunks[0], 2 * chunks[1], -(-SHAPE[2] // chunks[2]) * chunks[2]) if sharded else None
    spec = spec_of(SHAPE, "uint16", chunks, shards if sharded else (*chunks[:2], -(-SHAPE[2] // chunks[2]) * chunks[2]))
    objects, manifest, values = stored(spec)
    if compressor is None:
        objects.put("data/zarr.json", document(array_json(spec)))
        manifest = described(objects)
    reader = PartReader(open_array(objects, replace(spec, compressor=compressor), manifest, "data", selection.channels), selection)
    cube = selection.of(CubeSpec(Grid(*SHAPE[:2]), None, (spec,)))
    channels = [channel for start, stop in selection.channels for channel in range(start, stop)]
    expected = values[selection.window.slices()][..., channels]
    found = np.zeros(cube.main.shape, cube.main.dtype)
    for cell, sheet in read_sheets(cube, {"data": reader}, cube.cells.window):
        found[cell.window.slices()] = sheet.main[: cell.window.height, : cell.window.width]
        assert sheet.main.shape[:2] == cube.cells.cell
    np.testing.assert_array_equal(found, expected)


def described(objects):
    from lakecv.lake_io.objects import describe
    from lakecv.records import Manifest

    return Manifest(tuple(describe(info.key, objects.get(info.key)) for info in objects.list()))


class Counting(MemoryObjects):
    """Counts bytes that are asked for."""

    asked = 0

    def get_ranges(self, key, ranges):
        self.asked += sum(stop - start for start, stop in ranges)
        return super().get_ranges(key, ranges)


def test_chunks_that_hold_none_of_the_channels_are_not_fetched():
    spec = spec_of((8, 8, 64), "uint16", (8, 8, 8), (8, 8, 64))
    found = {}
    for channels in (None, ((16, 24),)):
        objects = Counting()
        manifest = write(objects, spec, np.random.default_rng(0).integers(0, 60000, spec.shape).astype("uint16"))
        open_array(objects, spec, manifest, "data", channels).read(Window(0, 8, 0, 8))
        found[channels] = objects.asked
    assert found[((16, 24),)] < found[None] / 5


def test_chunks_without_a_selected_pixel_are_not_read():
    spec = spec_of((16, 16, 3), "uint16", (8, 8, 3), (8, 8, 3))
    objects, manifest, values = stored(spec)
    objects.delete("data/c/0/1/0")  # it would be missed
    selected = np.zeros((16, 16), bool)
    selected[2:12, 1:7] = True
    cube = CubeSpec(Grid(16, 16), None, (spec,))
    for cell, sheet in read_sheets(cube, {"data": open_array(objects, spec, manifest, "data")}, Window(0, 16, 0, 16), selected):
        cut = cell.window.slices()
        np.testing.assert_array_equal(sheet.valid, selected[cut])
        np.testing.assert_array_equal(sheet.main, np.where(selected[cut][..., None], values[cut], 0))
