"""What a user types as a part of a dataset, and what a run makes of it."""

import numpy as np
import pytest

from lakecv import registry
from lakecv.api import Lake
from lakecv.api.selecting import Part, select
from lakecv.cube import ArraySpec, CubeSpec, Grid, Quantity, Role, SpectralAxis, Window
from lakecv.errors import LakeCVError
from lakecv.numerics.scores import adjusted_rand_index
from lakecv.planning import blocks
from lakecv.ports import ReadHints
from lakecv.records import DID, Dataset
from lakecv.selection import Selection
from lakecv.testing.sites import InlineSite

NODATA = 255


def dataset(axis):
    spec = ArraySpec("data", Role.DATA, ("y", "x", "spectral"), (20, 30, axis.size), "float32", (20, 30, axis.size))
    second = ArraySpec("second", Role.DATA, spec.dims, spec.shape, "float32", spec.chunks)
    return Dataset(DID("a", "b"), CubeSpec(Grid(20, 30), axis, (spec, second)), "", "", (), 0, 0, "")


ENERGY = SpectralAxis(100, Quantity.ENERGY, "keV", 0.0, 0.1)
FALLING = SpectralAxis(5, Quantity.WAVENUMBER, "cm-1", values=(3000.0, 2500.0, 2000.0, 1500.0, 1000.0))


@pytest.mark.parametrize(("axis", "texts", "expected"), [
    (ENERGY, ["1.5:2keV"], ((15, 21),)), (ENERGY, ["1500:2000eV"], ((15, 21),)), (ENERGY, [":0.25keV", "9.7:keV"], ((0, 3), (97, 100))),
    (ENERGY, ["1:4keV", "!2:3keV"], ((10, 20), (31, 41))), (ENERGY, ["!2:3keV"], ((0, 20), (31, 100))), (ENERGY, ["10:20ch"], ((10, 20),)),
    (ENERGY, ["0:1000keV"], None), (FALLING, ["1e3:1.6e3cm-1"], ((3, 5),)), (FALLING, ["200000:200000m-1"], ((2, 3),)),
    (SpectralAxis(8), ["2:5"], ((2, 5),)), (SpectralAxis(8), ["2:4", "4:5"], ((2, 5),)),
])
def test_ranges_of_the_axis_become_channels(axis, texts, expected):
    found = select(Part(axis=tuple(texts)), dataset(axis), "", None).selection
    assert found == (None if expected is None else Selection(channels=expected))


@pytest.mark.parametrize(("text", "expected"), [
    ("2:5,3:9", Window(2, 5, 3, 9)), (":5,3:", Window(0, 5, 3, 30)), ("0:20,0:30", None), (":,:", None),
])
def test_a_window_is_rows_and_columns(text, expected):
    found = select(Part(window=text), dataset(ENERGY), "", None).selection
    assert found == (None if expected is None else Selection(window=expected))


@pytest.mark.parametrize(("part", "kind", "words"), [
    (Part(window="2:5"), "option-invalid", "Y0:Y1,X0:X1"), (Part(window="-2:5,0:1"), "option-invalid", "Y0:Y1,X0:X1"),
    (Part(window="5:5,0:9"), "shape-invalid", "rows 5:5"), (Part(window="0:5,0:31"), "shape-invalid", "columns 0:31"),
    (Part(axis=("1:2",)), "axis-unit-unknown", "no unit"), (Part(axis=("1:2nm",)), "axis-mismatch", "nm measures wavelength"),
    (Part(axis=("1:2keVV",)), "axis-unit-unknown", "'keVV' is not a unit"), (Part(axis=("50:60keV",)), "nothing-valid", "holds no channel"),
    (Part(axis=("2:1keV",)), "nothing-valid", "holds no channel"), (Part(axis=("1:2keV", "!0:3keV")), "nothing-valid", "leaves no channel"),
    (Part(axis=("a:bkeV",)), "option-invalid", "FROM:TO"), (Part(axis=("1keV",)), "option-invalid", "FROM:TO"),
    (Part(axis=("e:1keV",)), "option-invalid", "FROM:TO"), (Part(detector="secnd"), "option-invalid", "no detector"),
])
def test_what_names_nothing_of_the_dataset_is_refused(part, kind, words):
    with pytest.raises(LakeCVError, match=words) as caught:
        select(part, dataset(ENERGY), "", None)
    assert caught.value.kind == kind


# --- runs -------------------------------------------------------------------------------------------------------------
LABELS = (np.add.outer(np.arange(300) // 40, np.arange(280) // 30) % 3).astype("uint8")


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    """Three materials that differ in channels 4 to 8 only; the others are much larger, and say nothing."""
    folder, rng = tmp_path_factory.mktemp("selecting"), np.random.default_rng(5)
    cube = rng.normal(0.0, 50.0, (*LABELS.shape, 30)).astype("float32")
    cube[..., 4:8] = np.eye(4, dtype="float32")[LABELS] * 10 + rng.normal(0, 1, (*LABELS.shape, 4)).astype("float32")
    np.save(folder / "cube.npy", cube)
    np.save(folder / "labels.npy", LABELS + np.uint8(1))
    mask = np.zeros(LABELS.shape, bool)
    mask[10:280, 20:265] = True
    mask[50, 50] = False
    np.save(folder / "mask.npy", mask)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(registry, "site", lambda _: InlineSite(1))
        lake = Lake(folder / "lake", scope="museo")
        lake.register("cube.npy", "museo:cube", hints=ReadHints(dims="y,x,spectral"))
        lake.register("labels.npy", "museo:truth", hints=ReadHints(dims="y,x"))
        yield lake


def labels_of(lake, run):
    return lake.open(str(run.output))["labels"].values


def kmeans(lake, seed=0, k=3, **part):
    return lake.run("kmeans", "museo:cube", options={"k": k}, seed=seed, **part)


def test_only_what_is_selected_is_learnt_from_and_written(lake):
    run = kmeans(lake, window="5:290,7:263", axis=["4:8"])
    labels = labels_of(lake, run)
    assert labels.shape == (285, 256)
    assert adjusted_rand_index(labels, LABELS[5:290, 7:263]) > 0.99
    assert lake.open(str(run.output))["mean_spectrum"].shape == (3, 4)


def test_pixels_outside_a_mask_have_no_label_and_no_part_in_the_result(lake):
    run = kmeans(lake, axis=["4:8"], mask="mask.npy")
    labels, mask = labels_of(lake, run), np.load("mask.npy")
    assert ((labels == NODATA) == ~mask).all()
    assert adjusted_rand_index(labels[mask], LABELS[mask]) > 0.99
    assert lake.open(str(run.output))["area"].values.sum() == mask.sum()


def test_a_dataset_can_be_the_mask_and_becomes_a_parent(lake):
    run = kmeans(lake, k=2, axis=["4:8"], mask="museo:truth=1,3", window=":90,:")
    labels = labels_of(lake, run)
    assert ((labels == NODATA) == (LABELS[:90] == 1)).all()
    assert [did for did, _ in lake.show(str(run.output)).parents] == ["museo:cube", "museo:truth"]


def test_a_cluster_of_a_run_can_be_the_mask_of_the_next(lake):
    first = kmeans(lake, axis=["4:8"])
    second = kmeans(lake, k=2, axis=["0:4"], mask=f"{first.id}#labels=1")
    assert ((labels_of(lake, second) != NODATA) == (labels_of(lake, first) == 1)).all()


def test_labels_of_another_window_are_no_mask(lake):
    part = kmeans(lake, k=2, window="0:40,0:40", axis=["4:8"])
    with pytest.raises(LakeCVError, match="was made of rows 0:40, columns 0:40"):
        lake.plan("kmeans", "museo:cube", window="50:90,50:90", mask=f"{part.id}=1")
    assert lake.plan("kmeans", "museo:cube", window="0:40,0:40", mask=f"{part.id}=1").job.selection.mask


def test_the_values_of_a_mask_are_whole_numbers_where_they_are_written_so(lake):
    np.save("big.npy", LABELS.astype("int64") + 2**53)
    found = kmeans(lake, k=2, axis=["4:8"], mask=f"big.npy={2**53 + 1}")
    assert ((labels_of(lake, found) != NODATA) == (LABELS == 1)).all()


def test_the_same_part_named_otherwise_is_the_same_job(lake):
    jobs = [lake.plan("kmeans", "museo:cube", **part).job.digest for part in (
        {"axis": ["4:8ch"], "window": "0:50,0:280"}, {"axis": ["4:6", "6:8"], "window": ":50,:"}, {"axis": ["4:8"]}, {},
        {"axis": [":"], "window": ":,:"},
    )]  # fmt: skip
    assert jobs[0] == jobs[1]
    assert jobs[3] == jobs[4]
    assert len({*jobs}) == 3


def test_stored_bytes_of_a_part_do_not_depend_on_its_blocks(lake, monkeypatch):
    part = {"window": "9:290,3:275", "axis": ["2:9"], "mask": "mask.npy"}
    found, cut = set(), set()
    for per_slot in (4, 0.1):
        monkeypatch.setattr(blocks, "_BLOCKS_PER_SLOT", per_slot)
        part |= {"options": {"k": 3, "components": 3}}
        run = lake.run("pca+kmeans", "museo:cube", again=True, **part)
        found.add(lake.show(str(run.output)).digest)
        cut.add(lake.plan("pca+kmeans", "museo:cube", **part).blocks)
    assert (len(found), len(cut)) == (1, 2)


def test_a_result_keeps_the_mask_that_it_was_made_with(lake):
    from lakecv.api.looking import read_artifact
    from lakecv.execution.masks import unpack_mask
    from lakecv.execution.tensors import unpack_state

    run = kmeans(lake, axis=["4:8"], mask="mask.npy")
    kept = unpack_state(read_artifact(lake.url, lake.show(str(run.output)), "mask.safetensors"))
    np.testing.assert_array_equal(unpack_mask(kept, LABELS.shape), np.load("mask.npy"))


def test_another_detector_is_read_learnt_from_and_described(lake):
    h5py = pytest.importorskip("h5py")
    counts = np.random.default_rng(2).poisson(3.0, (2, 12, 40, 30)).astype("uint16")
    truth = np.add.outer(np.arange(40) // 10, np.arange(30) // 10) % 3
    counts[1, 2:5] += (truth * 40).astype("uint16")
    with h5py.File("fly.h5", "w") as file:
        file["MAPS_RAW/data_a"], file["MAPS_RAW/data_b"] = counts
    lake.register("fly.h5", "museo:fly", hints=ReadHints(detector="all"))
    second = lake.show("museo:fly").cube.arrays[1].name
    run = lake.run("kmeans", "museo:fly", options={"k": 3}, detector=second)
    assert adjusted_rand_index(labels_of(lake, run), truth) > 0.99
    np.testing.assert_allclose(lake.spectrum("museo:fly", detector=second).mean, counts[1].mean(axis=(1, 2)))


def test_a_state_is_applied_to_as_many_channels_as_it_was_learnt_on(lake):
    learnt = kmeans(lake, window=":80,:", axis=["4:8"])
    with pytest.raises(LakeCVError, match="was learnt on 4 channels; museo:cube has 30"):
        lake.run("kmeans", "museo:cube", state=str(learnt.output))
    run = lake.run("kmeans", "museo:cube", state=str(learnt.output), axis=["4:8"])
    np.testing.assert_array_equal(labels_of(lake, run)[:80], labels_of(lake, learnt))


@pytest.mark.parametrize(("mask", "words"), [
    ("small.npy", "is 3 x 4; the image is 300 x 280"), ("zeros.npy", "leaves no pixel"), ("museo:cube", "a mask has y and x only"),
    ("nothing.npy", "there is no nothing.npy"), ("museo:nothing", "there is no dataset"), ("text.npy", "cannot be read"),
    ("museo:truth=9", "leaves no pixel"), ("packed.npy", "is an .npz by another name"), ("a:" + "b" * 300, "DID"), ("words.npy", "a picture has y, x and numbers"),
])
def test_a_mask_that_cannot_be_used_is_refused(lake, mask, words):
    np.save("small.npy", np.ones((3, 4)))
    np.save("zeros.npy", np.zeros(LABELS.shape))
    np.save("words.npy", np.full(LABELS.shape, "a"))
    with open("packed.npy", "wb") as file:  # noqa: PTH123  (numpy would name it .npz)
        np.savez(file, a=LABELS)
    with open("text.npy", "w") as file:  # noqa: PTH123  (short)
        file.write("no array")
    with pytest.raises(LakeCVError, match=words):
        lake.plan("kmeans", "museo:cube", mask=mask)
