"""PNG bytes, read back by Pillow."""

import io

import numpy as np
import pytest
from PIL import Image

from lakecv.errors import InvalidInput
from lakecv.numerics.png import encode_png


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3), (5, 7, 4), (1, 1), (1, 300, 3)])
def test_a_picture_reads_back_as_it_was(shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(encode_png(pixels)))), pixels)


def test_indices_become_the_colors_of_the_palette_with_their_opacity():
    palette = np.array([[255, 0, 0, 255], [0, 0, 255, 0]], np.uint8)
    pixels = np.array([[0, 1, 1]], np.uint8)
    image = Image.open(io.BytesIO(encode_png(pixels, palette))).convert("RGBA")
    assert np.array_equal(np.asarray(image), palette[pixels])


@pytest.mark.parametrize(
    ("pixels", "palette"),
    [
        (np.zeros((2, 2)), None),
        (np.zeros((2, 2, 2), np.uint8), None),
        (np.zeros((0, 2), np.uint8), None),
        (np.full((2, 2), 3, np.uint8), np.zeros((3, 3), np.uint8)),
        (np.zeros((2, 2, 3), np.uint8), np.zeros((3, 3), np.uint8)),
    ],
)
def test_what_is_no_picture_is_refused(pixels, palette):
    with pytest.raises(InvalidInput, match="picture"):
        encode_png(pixels, palette)
