"""Small pictures of a result: of bounded size, never empty, and whatever shards it is stored in the same but for means of cut blocks."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakecv.cube import ArraySpec, Role, Window
from lakecv.execution.overviews import join, overview


def spec_of(values, role, nodata=None):
    dims = ("y", "x", "component")[: values.ndim]
    return ArraySpec("a", role, dims, values.shape, str(values.dtype), values.shape, nodata=nodata)


def cut(values, height, width):
    """Windows of a grid, and what lies in them."""
    ny, nx = values.shape[:2]
    for y0 in range(0, ny, height):
        for x0 in range(0, nx, width):
            window = Window(y0, min(y0 + height, ny), x0, min(x0 + width, nx))
            yield window, values[window.slices(Window(0, ny, 0, nx))]


def picture(spec, values, height, width):
    return join(spec, [(window, overview(spec, window, part)) for window, part in cut(values, height, width)])


@pytest.mark.parametrize("role", [Role.DISTANCE, Role.LABELS])
@pytest.mark.parametrize("shape", [(2500, 7), (9, 3000), (2049, 5)])
def test_it_does_not_depend_on_the_shards(role, shape):
    values = np.random.default_rng(1).integers(0, 200, shape).astype("uint8" if role is Role.LABELS else "float32")
    spec = spec_of(values, role)
    step = -(-max(shape) // 1024)
    whole = picture(spec, values, *shape)
    for times in (1, 3, 50):
        np.testing.assert_array_equal(picture(spec, values, step * times, step * times), whole)
    assert max(whole.shape) <= 1024


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(1, 9))
def test_labels_keep_every_nth_pixel_in_whatever_shards(ny, nx, height, width, edge):
    values = np.arange(ny * nx, dtype="int64").reshape(ny, nx)
    spec = spec_of(values, Role.LABELS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lakecv.execution.overviews._EDGE", edge)
        step = -(-max(ny, nx) // edge)
        made = picture(spec, values, height, width)
    assert min(made.shape) >= 1
    np.testing.assert_array_equal(made, values[min(step // 2, ny // 2) :: step, min(step // 2, nx // 2) :: step])


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(1, 9))
def test_means_cover_the_whole_picture_in_whatever_shards(ny, nx, height, width, edge):
    values = np.full((ny, nx), 7.0, "float32")
    spec = spec_of(values, Role.DISTANCE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lakecv.execution.overviews._EDGE", edge)
        step = -(-max(ny, nx) // edge)
        made = picture(spec, values, height, width)
    assert made.shape == (-(-ny // step), -(-nx // step))
    assert (made == 7).all()


def test_what_is_not_usable_is_not_in_a_mean():
    values = np.full((2048, 4), 5.0, "float32")
    values[::2], values[100:102] = np.nan, np.nan
    made = picture(spec_of(values, Role.DISTANCE, np.nan), values, 512, 4)
    assert np.isnan(made[50]).all()
    assert (np.delete(made, 50, axis=0) == 5).all()
    counts = np.full((2048, 4), 6, "uint16")
    counts[::2], counts[100:102] = 65535, 65535
    made = picture(spec_of(counts, Role.AUXILIARY, 65535), counts, 512, 4)
    assert np.isnan(made[50]).all()
    assert (np.delete(made, 50, axis=0) == 6).all()


def test_a_small_picture_is_whole_and_of_many_components_it_has_six():
    values = np.random.default_rng(2).random((30, 20, 9)).astype("float32")
    np.testing.assert_array_equal(picture(spec_of(values, Role.SCORES), values, 16, 16), values[..., :6])


def test_what_nobody_looks_at_has_none():
    values = np.zeros((4, 4), "uint8")
    assert overview(spec_of(values, Role.MASK), Window(0, 4, 0, 4), values) is None


def test_sparse_counts_keep_their_mean():
    counts = np.random.default_rng(3).poisson(0.2, (2048, 64)).astype("uint16")
    made = picture(spec_of(counts, Role.AUXILIARY), counts, 512, 64)
    np.testing.assert_allclose(made, counts.reshape(1024, 2, 32, 2).mean((1, 3)), rtol=1e-6)


def test_colors_stay_colors():
    colors = np.random.default_rng(3).integers(0, 256, (1500, 1100, 3)).astype("uint8")
    made = picture(spec_of(colors, Role.RGB), colors, 512, 512)
    assert (made.dtype, made.shape) == (np.uint8, (750, 550, 3))


def test_a_large_shard_needs_little_beside_itself():
    values = np.zeros((4096, 4096), "float32")
    spec = spec_of(values, Role.DISTANCE)
    tracemalloc.start()
    overview(spec, Window(0, 4096, 0, 4096), values)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < values.nbytes
