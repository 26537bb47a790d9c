"""Pixels of the pictures of a report, read back by Pillow."""

import base64
import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from lakecv.cube import ArraySpec, Grid, Role
from lakecv.report.palette import LABEL_COLORS, color_map, label_palette
from lakecv.report.pictures import aspect, pictures, scale_bar


def _spec(role, shape, dtype="float32", nodata=None):
    return ArraySpec("a", role, ("y", "x", "component")[: len(shape)], shape, dtype, shape, nodata=nodata)


def _pixels(picture):
    content = base64.b64decode(picture.uri.partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGBA"))


def test_a_label_map_is_drawn_in_the_labels_colors_and_no_data_is_transparent():
    labels = np.array([[0, 1, 2], [255, 2, 0]], np.uint8)
    (picture,) = pictures(_spec(Role.LABELS, (2, 3), "uint8", 255), labels)
    expected = label_palette(3)[np.where(labels == 255, 3, labels)]
    assert np.array_equal(_pixels(picture), expected)


def test_a_label_map_with_more_than_256_labels_is_drawn_too():
    labels = np.arange(600, dtype=np.uint16).reshape(20, 30)
    (picture,) = pictures(_spec(Role.LABELS, (20, 30), "uint16"), labels)
    assert tuple(_pixels(picture)[19, 29, :3]) == tuple(bytes.fromhex(LABEL_COLORS[599 % 20][1:]))


def test_a_map_of_only_no_data_is_all_transparent():
    (picture,) = pictures(_spec(Role.LABELS, (2, 2), "uint8"), np.full((2, 2), 255, np.uint8))
    assert _pixels(picture)[..., 3].max() == 0


def test_a_scalar_map_runs_from_its_2nd_to_its_98th_percentile():
    values = np.linspace(0.0, 100.0, 101).reshape(1, 101)
    (picture,) = pictures(_spec(Role.DISTANCE, (1, 101)), values)
    pixels = _pixels(picture)
    assert np.array_equal(pixels[0, [0, 2], :3], color_map("viridis")[[0, 0]])
    assert np.array_equal(pixels[0, 100, :3], color_map("viridis")[255])
    assert (picture.bar.low, picture.bar.high) == ("2", "98")


def test_signed_scores_are_white_at_zero():
    values = np.array([[[-4.0], [0.0], [1.0]]])
    (picture,) = pictures(_spec(Role.SCORES, (1, 3, 1)), values)
    assert (_pixels(picture)[0, 1, :3] > 240).all()


@pytest.mark.parametrize("role", [Role.DISTANCE, Role.SCORES, Role.AUXILIARY])
def test_samples_that_are_not_finite_are_transparent(role):
    values = np.array([[1.0, np.nan], [np.inf, 3.0]])
    (picture,) = pictures(_spec(role, (2, 2)), values)
    assert _pixels(picture)[..., 3].tolist() == [[255, 0], [0, 255]]


def test_a_large_map_is_drawn_as_the_mean_of_blocks():
    values = np.tile([[0.0, 2.0]], (2, 1024))
    (picture,) = pictures(_spec(Role.DISTANCE, (2, 2048)), values)
    assert _pixels(picture).shape == (1, 1024, 4)
    assert (picture.bar.low, picture.bar.high) == ("1", "1")


def test_a_picture_in_colors_is_drawn_as_it_is():
    rgb = np.random.default_rng(0).integers(0, 256, (5, 6, 3)).astype(np.uint8)
    (picture,) = pictures(_spec(Role.RGB, (5, 6, 3), "uint8"), rgb)
    assert np.array_equal(_pixels(picture)[..., :3], rgb)


def test_the_cube_itself_is_not_drawn_band_by_band():
    assert list(pictures(_spec(Role.DATA, (4, 4, 9)), np.zeros((4, 4, 9)))) == []


def test_a_scale_bar_is_round_and_at_most_a_quarter_of_the_width():
    percent, words = scale_bar(Grid(120, 160, (0.5, 0.5), "mm"))
    assert (percent, words) == (25.0, "20 mm")
    assert scale_bar(Grid(120, 160)) is None


def test_pixels_that_are_not_square_keep_their_shape():
    grid = Grid(100, 100, (2.0, 1.0), "mm")
    assert aspect(grid) == 0.5
    assert aspect(replace(grid, pixel_size=None)) == 1.0
    assert aspect(Grid(875, 1)) == pytest.approx(1 / 6)


def test_a_title_that_ends_with_the_names_of_the_components_names_the_pictures():
    spec = replace(_spec(Role.SCORES, (2, 2, 3)), title="net sum: Fe-K, Cu-K, 2:3keV")
    drawn = list(pictures(spec, np.arange(12.0).reshape(2, 2, 3)))
    assert [picture.title for picture in drawn] == ["net sum: first three", "Fe-K, net sum", "Cu-K, net sum", "2:3keV, net sum"]
    assert drawn[0].note.startswith("Fe-K red, Cu-K green, 2:3keV blue; ")


def test_named_components_are_all_drawn_up_to_32_and_unnamed_ones_up_to_8():
    names = ", ".join(f"w{index}" for index in range(12))
    values = np.zeros((2, 2, 12))
    assert len(list(pictures(replace(_spec(Role.SCORES, values.shape), title=f"sum: {names}"), values))) == 13
    assert len(list(pictures(replace(_spec(Role.SCORES, values.shape), title="sum"), values))) == 9
