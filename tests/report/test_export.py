"""Exported files, read back by numpy, Pillow and the csv module."""

import csv

import numpy as np
import pytest
from PIL import Image

from lakecv.cube import ArraySpec, Quantity, Role, SpectralAxis
from lakecv.errors import Conflict, InvalidInput, Kind, NotFound
from lakecv.report.export import export
from lakecv.report.palette import label_palette

AXIS = SpectralAxis(3, Quantity.ENERGY, "keV", 1.0, 0.1)


def _spec(array, role=Role.AUXILIARY, dims=("y", "x"), **more):
    return ArraySpec(more.pop("name", "a"), role, dims, array.shape, str(array.dtype), array.shape, **more)


def _rows(path):
    with path.open(newline="") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize("array", [np.arange(6.0, dtype="f4").reshape(2, 3), np.arange(24, dtype="u2").reshape(2, 3, 4)[:, ::-1]])
def test_npy_reads_back_without_pickle(tmp_path, array):
    dims = ("y", "x", "component")[: array.ndim]
    path = export(array, _spec(array, dims=dims), None, tmp_path / "a.npy")
    back = np.load(path, allow_pickle=False)
    assert back.dtype == array.dtype
    assert np.array_equal(back, array)


def test_objects_are_never_pickled(tmp_path):
    array = np.array([[None]])
    with pytest.raises(InvalidInput):
        export(array, _spec(np.zeros((1, 1))), None, tmp_path / "a.npy")
    assert list(tmp_path.iterdir()) == []


def test_labels_become_a_png_in_the_colors_of_the_report(tmp_path):
    labels = np.array([[0, 1], [255, 2]], np.uint8)
    path = export(labels, _spec(labels, Role.LABELS, nodata=255), None, tmp_path / "a.PNG")
    assert np.array_equal(np.asarray(Image.open(path)), label_palette(3)[[[0, 1], [3, 2]]])


def test_a_picture_in_colors_becomes_a_png_as_it_is(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 256, (3, 4, 3)).astype(np.uint8)
    path = export(rgb, _spec(rgb, Role.RGB, ("y", "x", "channel")), None, tmp_path / "a.png")
    assert np.array_equal(np.asarray(Image.open(path)), rgb)


def test_scores_of_many_components_are_no_png(tmp_path):
    scores = np.zeros((2, 2, 5))
    with pytest.raises(InvalidInput, match=r"needs \(y, x\)") as caught:
        export(scores, _spec(scores, Role.SCORES, ("y", "x", "component")), None, tmp_path / "a.png")
    assert "--array" in caught.value.hint


def test_spectra_become_columns_after_their_coordinate_with_a_row_of_units(tmp_path):
    spectra = np.array([[1.5, 2.0, 3.0], [0.1, 0.2, 0.3]], np.float32)
    spec = _spec(spectra, Role.TABLE, ("label", "spectral"), unit="counts")
    rows = _rows(export(spectra, spec, AXIS, tmp_path / "a.csv"))
    assert rows[:2] == [["energy", "label 0", "label 1"], ["keV", "counts", "counts"]]
    assert rows[2:] == [["1.0", "1.5", "0.1"], ["1.1", "2.0", "0.2"], ["1.2", "3.0", "0.3"]]


def test_a_label_map_becomes_rows_of_y_x_and_value_with_no_data_left_empty(tmp_path):
    labels = np.array([[0, 255], [1, 2]], np.uint8)
    rows = _rows(export(labels, _spec(labels, Role.LABELS, nodata=255, name="labels"), None, tmp_path / "a.csv"))
    assert rows[:2] == [["y", "x", "labels"], ["pixel", "pixel", ""]]
    assert rows[2:] == [["0", "0", "0"], ["0", "1", ""], ["1", "0", "1"], ["1", "1", "2"]]


def test_a_cube_becomes_a_column_for_each_channel(tmp_path):
    cube = np.arange(6, dtype=np.uint16).reshape(1, 2, 3)
    rows = _rows(export(cube, _spec(cube, Role.DATA, ("y", "x", "spectral"), unit="counts"), AXIS, tmp_path / "a.csv"))
    assert rows[0] == ["y", "x", "1 keV", "1.1 keV", "1.2 keV"]
    assert rows[2:] == [["0", "0", "0", "1", "2"], ["0", "1", "3", "4", "5"]]


def test_every_number_of_a_csv_reads_back_exactly(tmp_path):
    values = np.random.default_rng(1).normal(size=(40, 50)).astype(np.float32)
    rows = _rows(export(values, _spec(values), None, tmp_path / "a.csv"))
    assert np.array_equal(np.array([row[2] for row in rows[2:]], np.float32), values.ravel())


def test_a_name_that_a_spreadsheet_would_run_is_made_text(tmp_path):
    values = np.ones((1, 1))
    rows = _rows(export(values, _spec(values, name="=HYPERLINK(1)", unit="@x"), None, tmp_path / "a.csv"))
    assert (rows[0][2], rows[1][2]) == ("'=HYPERLINK(1)", "'@x")


def test_a_file_that_exists_is_never_overwritten(tmp_path):
    path = tmp_path / "a.npy"
    path.write_text("mine")
    with pytest.raises(Conflict) as caught:
        export(np.zeros((2, 2)), _spec(np.zeros((2, 2))), None, path)
    assert (caught.value.kind, path.read_text()) == (Kind.OUTPUT_EXISTS, "mine")


def test_a_link_that_leads_nowhere_counts_as_a_file(tmp_path):
    path = tmp_path / "a.npy"
    path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(Conflict):
        export(np.zeros((2, 2)), _spec(np.zeros((2, 2))), None, path)


def test_an_ending_that_names_no_format_is_refused_with_the_ones_that_do(tmp_path):
    with pytest.raises(InvalidInput) as caught:
        export(np.zeros((2, 2)), _spec(np.zeros((2, 2))), None, tmp_path / "a.xlsx")
    assert caught.value.kind is Kind.OPTION_INVALID
    assert ".png, .npy, .csv" in caught.value.hint


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(NotFound, match="no folder"):
        export(np.zeros((2, 2)), _spec(np.zeros((2, 2))), None, tmp_path / "no" / "a.npy")


def test_nothing_but_the_file_is_left_beside_it(tmp_path):
    export(np.zeros((2, 2)), _spec(np.zeros((2, 2))), None, tmp_path / "a.csv")
    assert [item.name for item in tmp_path.iterdir()] == ["a.csv"]
