"""The streamed thumbnail against a direct computation, and its independence of order."""

import io

import numpy as np
import pytest
from PIL import Image

from lakecv.cube import Window
from lakecv.numerics.quicklook import Quicklook


def _windows(ny, nx, height, width):
    return [
        Window(y, min(y + height, ny), x, min(x + width, nx)) for y in range(0, ny, height) for x in range(0, nx, width)
    ]


def _look(cube, windows, edge=512, valid=None):
    valid = np.ones(cube.shape[:2], bool) if valid is None else valid
    look = Quicklook(*cube.shape, edge=edge)
    for window in windows:
        look.add(window, cube[window.slices()], valid[window.slices()])
    return look.png()


@pytest.mark.parametrize("dtype", ["uint16", "float32", "float64"])
def test_the_picture_does_not_depend_on_the_order_of_the_windows(dtype):
    rng = np.random.default_rng(1)
    cube = (rng.gamma(1.0, 100.0, (61, 83, 40)) ** 1.5).astype(dtype)
    windows = _windows(61, 83, 16, 24)
    shuffled = [windows[i] for i in rng.permutation(len(windows))]
    assert _look(cube, windows, edge=10) == _look(cube, shuffled, edge=10)


def test_counts_give_the_same_picture_for_any_windows():
    cube = np.random.default_rng(2).poisson(5, (50, 70, 33)).astype(np.uint16)
    assert _look(cube, _windows(50, 70, 7, 11), edge=12) == _look(cube, [Window(0, 50, 0, 70)], edge=12)


def test_three_bands_become_blue_green_and_red():
    cube = np.random.default_rng(3).integers(50, 60, (20, 20, 3))
    pixels = np.asarray(Image.open(io.BytesIO(_look(cube, [Window(0, 20, 0, 20)]))))
    low, high = np.percentile(cube, [2, 98], axis=(0, 1))
    parts = np.clip((cube - low) / (high - low), 0, 1)[..., ::-1]
    grey = parts.mean(axis=-1, keepdims=True)
    assert np.array_equal(pixels[..., :3], np.rint(255 * (grey + 0.7 * (parts - grey))))


def test_a_thumbnail_pixel_is_the_mean_of_its_valid_pixels():
    cube = np.random.default_rng(4).random((9, 9, 1))
    valid = np.ones((9, 9), bool)
    valid[0, 0] = False
    cube[0, 0] = np.nan
    look = Quicklook(9, 9, 1, edge=3)
    look.add(Window(0, 9, 0, 9), cube, valid)
    assert look._sums[0, 0, 0] / look._counts[0, 0] == pytest.approx(np.nanmean(cube[:3, :3]), rel=1e-6)


def test_pixels_without_data_are_transparent():
    cube = np.random.default_rng(5).random((8, 8, 20))
    valid = np.ones((8, 8), bool)
    valid[:, 4:] = False
    pixels = np.asarray(Image.open(io.BytesIO(_look(cube, [Window(0, 8, 0, 8)], valid=valid))))
    assert (pixels[:, :4, 3] == 255).all()
    assert (pixels[:, 4:, 3] == 0).all()


@pytest.mark.parametrize("cube", [np.zeros((4, 4, 5)), np.ones((1, 1, 1)), -np.ones((3, 5, 2))])
def test_a_flat_cube_still_gives_a_picture(cube):
    assert Image.open(io.BytesIO(_look(cube, [Window(0, *cube.shape[:1], 0, cube.shape[1])]))).size == cube.shape[1::-1]


def test_a_picture_of_nothing_valid_is_all_transparent():
    picture = _look(np.ones((3, 3, 4)), [Window(0, 3, 0, 3)], valid=np.zeros((3, 3), bool))
    assert np.asarray(Image.open(io.BytesIO(picture)))[..., 3].max() == 0
