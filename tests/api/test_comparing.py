"""Results held against truths: which pixels count, and how labels are matched."""

import io

import numpy as np
import pytest
from matplotlib.image import imread

from lakecv import registry
from lakecv.api import Lake
from lakecv.api.comparing import comparison_picture
from lakecv.errors import Conflict, LakeCVError
from lakecv.ports import ReadHints
from lakecv.testing.sites import InlineSite

TRUTH = (np.add.outer(np.arange(60) // 10, np.arange(50) // 13) % 3 + 1).astype("uint8")
TRUTH[:4] = 0


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("comparing"), np.random.default_rng(7)
    np.save(folder / "cube.npy", rng.normal(np.eye(4, 6)[TRUTH] * 9, 1.0).astype("float32"))
    np.save(folder / "truth.npy", TRUTH)
    abundances = np.eye(3)[np.maximum(TRUTH, 1) - 1] * 0.9 + 0.05
    abundances[20:30] = [0.3, 0.36, 0.34]
    np.save(folder / "abundances.npy", abundances)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(registry, "site", lambda _: InlineSite(1))
        lake = Lake(folder / "lake", scope="museo")
        lake.register("cube.npy", "museo:cube", hints=ReadHints(dims="y,x,spectral"))
        yield lake


@pytest.fixture(scope="module")
def run(lake):
    return lake.run("kmeans", "museo:cube", options={"k": 3}, mask="truth.npy")


def test_a_result_that_is_right_scores_one(lake, run):
    found = lake.compare(run.id, "truth.npy")
    scores = found.scores
    assert (scores.oa, scores.kappa, scores.nmi, scores.ari) == pytest.approx((1, 1, 1, 1))
    assert found.npixels == (TRUTH > 0).sum()
    assert sorted(scores.match) == [0, 1, 2]


def test_the_value_of_the_background_is_told(lake, run):
    assert lake.compare(str(run.output), "truth.npy", background="2").scores.columns.tolist() == [1, 3]


def test_the_largest_abundance_is_the_label(lake, run):
    whole = lake.compare(run.id, "abundances.npy")
    sure = lake.compare(run.id, "abundances.npy", above=0.5)
    assert whole.scores.oa < 0.95
    assert sure.scores.oa == 1.0
    assert whole.npixels - sure.npixels == 10 * 50


def test_a_result_of_a_window_is_compared_where_it_is(lake):
    part = lake.run("kmeans", "museo:cube", options={"k": 3}, mask="truth.npy", window="2:40,5:45")
    found = lake.compare(part.id, "truth.npy")
    assert (found.scores.oa, found.npixels) == (1.0, (TRUTH[2:40, 5:45] > 0).sum())


def test_a_result_of_a_part_of_a_part_is_compared_where_it_is(lake):
    scores = lake.run("pca", "museo:cube", options={"components": 3}, window="4:60,2:50")
    part = lake.run("kmeans", str(scores.output), options={"k": 3}, window="5:45,10:40")
    assert lake.compare(part.id, "truth.npy").scores.oa == 1.0


def test_no_data_is_no_label(lake, run):
    rasterio = pytest.importorskip("rasterio")
    labels = np.where(np.arange(60)[:, None] < 12, 255, TRUTH)
    with rasterio.open("truth.tif", "w", driver="GTiff", height=60, width=50, count=1, dtype="uint8", nodata=255, crs="EPSG:32633",
                       transform=rasterio.Affine(10, 0, 0, 0, -10, 0)) as file:  # fmt: skip
        file.write(labels, 1)
    assert lake.compare(run.id, "truth.tif").scores.columns.tolist() == [1, 2, 3]


def test_an_array_called_labels_that_no_run_made_has_its_background(lake, run):
    import zarr

    for name, values in (("whole.zarr", TRUTH), ("float.zarr", np.where(TRUTH == 0, np.nan, TRUTH))):
        group = zarr.open_group(name, mode="w", zarr_format=3)
        group.create_array("labels", data=values, dimension_names=("y", "x"))
        assert lake.compare(run.id, f"{name}#labels").npixels == (TRUTH > 0).sum()


def test_two_results_are_compared_where_both_have_labels(lake, run):
    part = lake.run("kmeans", "museo:cube", options={"k": 3}, mask="truth.npy", window="2:40,5:45")
    assert lake.compare(run.id, part.id).npixels == (TRUTH[2:40, 5:45] > 0).sum()
    assert lake.compare(part.id, run.id).scores.oa == 1.0


def test_the_picture_shows_truth_result_and_what_differs(lake, run):
    np.save("wrong.npy", np.where(np.arange(60)[:, None] == 20, 3, TRUTH))
    picture = imread(io.BytesIO(comparison_picture(lake.compare(run.id, "wrong.npy"))))
    there, here, apart = picture[:, :50], picture[:, 58:108], picture[:, 116:]
    assert picture.shape == (60, 166, 4)
    wrong = (TRUTH[20] != 3)
    assert ((there[20] != here[20]).any(axis=-1) == wrong).all()
    assert ((apart[20, :, :3] < 0.2).all(axis=-1) == wrong).all()
    assert (np.delete(there, 20, axis=0) == np.delete(here, 20, axis=0)).all()
    assert (picture[:4, :50, 3] == 0).all()


def test_a_picture_is_never_written_over(lake, run, tmp_path):
    lake.compare(run.id, "truth.npy", picture=tmp_path / "a.png")
    with pytest.raises(Conflict):
        lake.compare(run.id, "truth.npy", picture=tmp_path / "a.png")


@pytest.mark.parametrize(("truth", "more", "words"), [
    ("small.npy", {}, "small.npy is 5 x 5"), ("zeros.npy", {}, "no pixel has a label"), ("halves.npy", {}, "holds fractions"), ("huge.npy", {}, "holds fractions or values beyond"), ("many.npy", {}, "labels; at most"),
    ("truth.npy", {"above": 0.5}, "--above is for abundances"), ("truth.npy", {"background": "x"}, "is not a number"),
    ("nothing.npy", {}, "there is no nothing.npy"), ("museo:cube#data2", {}, "there is no array 'data2'"),
])
def test_what_cannot_be_compared_is_told(lake, run, truth, more, words):
    np.save("small.npy", np.ones((5, 5), int))
    np.save("zeros.npy", np.zeros((60, 50), int))
    np.save("huge.npy", np.full((60, 50), 1e30))
    np.save("many.npy", np.arange(3000).reshape(60, 50))
    np.save("halves.npy", np.full((60, 50), 0.5))
    with pytest.raises(LakeCVError, match=words):
        lake.compare(run.id, truth, **more)
