"""The whole path on one machine, through the Python face: register, plan, run, write back, look."""

import numpy as np
import pytest
import xarray as xr
import zarr

from lakecv import registry
from lakecv.api import Lake
from lakecv.cube import CellGrid
from lakecv.errors import Conflict, InvalidInput, NotFound, Unavailable
from lakecv.execution import worker
from lakecv.numerics.sampling import chosen_cells
from lakecv.plan import RunState
from lakecv.ports import ReadHints
from lakecv.testing.sites import InlineSite

HINTS = ReadHints(dims="y,x,spectral", axis="energy:keV:0.0:0.1", pixel_size="0.5mm")


def spectra(seed=0, ny=150, nx=140, depth=20):
    rng = np.random.default_rng(seed)
    pure = rng.gamma(2.0, 3.0, (3, depth))
    return rng.poisson(pure[(np.add.outer(np.arange(ny), np.arange(nx)) // 50) % 3]).astype("uint16")


@pytest.fixture
def lake(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "site", lambda _: InlineSite(1))
    np.save(tmp_path / "cube.npy", spectra())
    made = Lake(tmp_path / "lake", scope="museo")
    made.register(tmp_path / "cube.npy", "museo:tavola", hints=HINTS, title="Tavola 3")
    return made


def test_what_is_registered_opens_equal_and_calibrated(lake):
    opened = lake.open("museo:tavola")
    np.testing.assert_array_equal(opened["data"], spectra())
    np.testing.assert_allclose(opened["spectral"], np.arange(20) * 0.1)
    assert lake.show("museo:tavola").cube.grid.pixel_size == (0.5, 0.5)


def test_any_zarr_client_reads_a_result(lake, tmp_path):
    run = lake.run("kmeans", "museo:tavola", options={"k": 3})
    home = lake.show(str(run.output)).home
    plain = xr.open_zarr(str(tmp_path / "lake" / home), chunks=None)
    assert plain["labels"].shape == (150, 140)
    assert set(np.unique(plain["labels"])) == {0, 1, 2}
    assert plain["mean_spectrum"].dims == ("label", "spectral")
    assert int(plain["area"].sum()) == 150 * 140


def test_mean_spectra_and_areas_are_those_of_the_labels(lake):
    run = lake.run("pca+kmeans", "museo:tavola", options={"k": 3, "components": 4, "pca.scaling": "sqrt"})
    result, cube = lake.open(str(run.output)), spectra()
    labels = result["labels"].to_numpy()
    assert list(result["area"].to_numpy()) == sorted(np.bincount(labels.ravel()), reverse=True)
    for label in range(3):
        np.testing.assert_allclose(result["mean_spectrum"][label], cube[labels == label].mean(axis=0), rtol=1e-12)


def test_a_finished_job_is_found_and_nothing_moves(lake, monkeypatch):
    first = lake.run("kmeans", "museo:tavola", options={"k": 3})
    monkeypatch.setattr(worker, "_STAGES", {})
    assert lake.run("kmeans", "museo:tavola", options={"k": 3}) == first
    assert lake.resume(first.id) == first


def test_again_makes_a_second_result_with_the_same_bytes(lake):
    first = lake.run("kmeans", "museo:tavola", options={"k": 3})
    second = lake.run("kmeans", "museo:tavola", options={"k": 3}, again=True)
    assert [run.output.name for run in (first, second)] == ["tavola.kmeans.1", "tavola.kmeans.2"]
    assert lake.show(str(first.output)).digest == lake.show(str(second.output)).digest


def test_the_same_content_is_a_no_op_and_other_content_a_conflict(lake, tmp_path):
    assert lake.register(tmp_path / "cube.npy", "museo:tavola", hints=HINTS).was_there
    np.save(tmp_path / "other.npy", spectra(1))
    with pytest.raises(Conflict) as caught:
        lake.register(tmp_path / "other.npy", "museo:tavola", hints=HINTS)
    assert caught.value.kind == "did-means-something-else"
    assert len(list((tmp_path / "lake" / "data" / "museo" / "tavola").glob("*/zarr.json"))) == 1


def test_a_state_applies_to_another_cube_what_was_learnt_on_one(lake, tmp_path):
    np.save(tmp_path / "other.npy", spectra(7))
    lake.register(tmp_path / "other.npy", "museo:altra", hints=HINTS)
    learnt = lake.run("pca+kmeans", "museo:tavola", options={"k": 3, "components": 4})
    applied = lake.run("pca+kmeans", "museo:altra", state=str(learnt.output), options={"k": 3, "components": 4})
    same = lake.run("pca+kmeans", "museo:tavola", state=str(learnt.output), options={"k": 3, "components": 4})
    np.testing.assert_array_equal(lake.open(str(same.output))["labels"], lake.open(str(learnt.output))["labels"])
    np.testing.assert_array_equal(lake.open(str(applied.output))["centroids"], lake.open(str(learnt.output))["centroids"])


def test_scores_are_kept_in_the_result_only_when_asked(lake):
    options = {"k": 3, "components": 4}
    plain = lake.run("pca+kmeans", "museo:tavola", options=options)
    kept = lake.run("pca+kmeans", "museo:tavola", options={**options, "keep": "scores"})
    assert "scores" not in lake.open(str(plain.output))
    assert lake.open(str(kept.output))["scores"].shape == (150, 140, 4)


def test_a_store_can_be_registered_where_it_lies_and_gives_the_same_labels(lake, tmp_path):
    store = tmp_path / "mine.zarr"
    array = xr.DataArray(spectra(), dims=("y", "x", "spectral"), name="data")
    array.to_dataset().to_zarr(store, zarr_format=3, consolidated=False, encoding={"data": {"chunks": (50, 70, 20)}})
    before = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    lake.register(store, "museo:mine", in_place=True)
    assert {path: path.read_bytes() for path in store.rglob("*") if path.is_file()} == before
    run = lake.run("kmeans", "museo:mine", options={"k": 3})
    other = lake.run("kmeans", "museo:tavola", options={"k": 3})
    np.testing.assert_array_equal(lake.open(str(run.output))["labels"], lake.open(str(other.output))["labels"])


def test_a_store_that_changes_after_it_was_registered_is_refused_by_name(lake, tmp_path):
    store = tmp_path / "mine.zarr"
    zarr.create_group(store).create_array("data", data=spectra(), chunks=(150, 140, 20), dimension_names=("y", "x", "spectral"))
    lake.register(store, "museo:mine", in_place=True)
    [chunk] = store.rglob("c/0/0/0")
    chunk.write_bytes(chunk.read_bytes()[:-1] + b"\x00\x01")
    run = lake.run("kmeans", "museo:mine", options={"k": 3})
    assert run.state is RunState.FAILED
    assert all(kind == "checksum-mismatch" and "data/c/0/0/0" in text for kind, text in (out.error for out in run.failed))
    assert lake.verify("museo:mine").corrupt == ("data/c/0/0/0",)


def test_the_result_is_invisible_until_all_of_it_is_there(lake, tmp_path, monkeypatch):
    seen = []

    def looking(stage):
        def run(bench, task):
            seen.append(list((tmp_path / "lake" / "data" / "museo" / "tavola.kmeans.1").rglob("zarr.json")))
            return stage(bench, task)

        return run

    monkeypatch.setattr(worker, "_STAGES", {kind: looking(stage) for kind, stage in worker._STAGES.items()})
    lake.run("kmeans", "museo:tavola", options={"k": 3})
    assert len(seen) > 5
    assert not any(seen)


def test_an_interrupted_run_goes_on_where_it_was(lake, monkeypatch):
    whole, calls = dict(worker._STAGES), []

    def interrupted(stage):
        def run(bench, task):
            calls.append(task.key)
            if len(calls) == 7:
                raise KeyboardInterrupt
            return stage(bench, task)

        return run

    monkeypatch.setattr(worker, "_STAGES", {kind: interrupted(stage) for kind, stage in whole.items()})
    with pytest.raises(Unavailable) as caught:
        lake.run("kmeans", "museo:tavola", options={"k": 3})
    assert caught.value.kind == "interrupted"
    [run] = lake.runs()
    assert caught.value.hint == f"lakecv resume {run.id}"
    assert run.state is RunState.UNFINISHED
    first, calls[:] = calls[:6], [""] * 7
    assert lake.resume().state is RunState.DONE
    assert not set(first) & set(calls)


def test_a_damaged_object_is_found_by_verify_and_refused_by_a_run(lake, tmp_path):
    [shard] = (tmp_path / "lake" / "data" / "museo" / "tavola").glob("*/data/c/0/0/0")
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(bytes(data))
    assert lake.verify("museo:tavola").corrupt == ("data/c/0/0/0",)
    run = lake.run("kmeans", "museo:tavola", options={"k": 3})
    assert run.state is RunState.FAILED
    assert run.failed[0].error[0] == "checksum-mismatch"
    with pytest.raises(NotFound):
        lake.show(str(run.output))


def catalogue_calls(lake, monkeypatch, did):
    calls = []

    def counted(verb):
        usual = getattr(type(lake._catalog), verb)

        def call(catalog, *args):
            calls.append(verb)
            return usual(catalog, *args)

        return call

    with monkeypatch.context() as patch:
        for verb in ("claim", "claims", "register", "lookup", "search"):
            patch.setattr(type(lake._catalog), verb, counted(verb))
        lake.run("kmeans", did, options={"k": 3})
    return calls


def test_catalogue_calls_do_not_grow_with_blocks(lake, tmp_path, monkeypatch):
    found = []
    for name, size in (("small", 64), ("large", 640)):
        np.save(tmp_path / f"{name}.npy", spectra(2, size, size, 8))
        lake.register(tmp_path / f"{name}.npy", f"count:{name}", hints=ReadHints(dims="y,x,spectral"))
        found.append(catalogue_calls(lake, monkeypatch, f"count:{name}"))
    assert len(found[0]) > 2
    assert found[0] == found[1]


def test_report_and_export_never_overwrite(lake, tmp_path):
    run = lake.run("kmeans", "museo:tavola", options={"k": 3})
    page = lake.report(run.id, tmp_path / "report.html")
    assert b"Content-Security-Policy" in (tmp_path / "report.html").read_bytes()
    for again in (lambda: lake.report(run.id, page), lambda: lake.export(str(run.output), array="labels", to=page)):
        with pytest.raises((Conflict, ValueError)):
            again()
    lake.export(str(run.output), array="mean_spectrum", to=tmp_path / "mean.csv")
    names, units, first = (tmp_path / "mean.csv").read_text().splitlines()[:3]
    assert "keV" in units
    assert names.count(",") == units.count(",") == first.count(",") == 3


def test_an_interrupt_after_the_catalog_entry_leaves_the_data_whole(lake, tmp_path, monkeypatch):
    usual = type(lake._catalog).register

    def interrupted(catalog, dataset, manifest):
        usual(catalog, dataset, manifest)
        raise KeyboardInterrupt

    np.save(tmp_path / "other.npy", spectra(3))
    with monkeypatch.context() as patch:
        patch.setattr(type(lake._catalog), "register", interrupted)
        with pytest.raises(KeyboardInterrupt):
            lake.register(tmp_path / "other.npy", "museo:altra", hints=HINTS)
    assert lake.verify("museo:altra").ok
    assert lake.register(tmp_path / "other.npy", "museo:altra", hints=HINTS).was_there
    assert lake.verify("museo:altra").ok


def test_a_result_takes_a_number_that_nobody_has(lake, tmp_path):
    np.save(tmp_path / "other.npy", spectra(3))
    lake.register(tmp_path / "other.npy", "museo:tavola.kmeans.1", hints=HINTS)
    run = lake.run("kmeans", "museo:tavola", options={"k": 3})
    assert (str(run.output), run.state) == ("museo:tavola.kmeans.2", RunState.DONE)
    with pytest.raises(Conflict, match="result of run"):
        lake.register(tmp_path / "other.npy", "museo:tavola.kmeans.2", hints=HINTS)


def test_a_store_whose_array_lies_elsewhere_is_refused_in_place(lake, tmp_path):
    zarr.create_array(tmp_path / "root.zarr", data=spectra(), dimension_names=("y", "x", "spectral"))
    with pytest.raises(InvalidInput, match="under its own name"):
        lake.register(tmp_path / "root.zarr", "museo:root", in_place=True)
    np.testing.assert_array_equal(
        lake.open(str(lake.register(tmp_path / "root.zarr", "museo:root").dataset.did))["data"], spectra())


def test_a_picture_with_few_usable_pixels_is_sampled_until_they_are_found(lake, tmp_path):
    cube = np.full((330, 330, 4), np.nan, "float32")
    cells = CellGrid(330, 330, (330, 330))
    hidden = next(i for i in range(len(cells)) if i not in chosen_cells(len(cells), 0, 16))
    rows, columns = cells.at(hidden).window.slices()
    cube[rows, columns] = np.random.default_rng(0).normal(size=cube[rows, columns].shape)
    np.save(tmp_path / "few.npy", cube)
    lake.register(tmp_path / "few.npy", "museo:few", hints=ReadHints(dims="y,x,spectral"))
    run = lake.run("pca+kmeans", "museo:few", options={"k": 3, "components": 2})
    assert int(lake.open(str(run.output))["area"].sum()) == cells.at(hidden).window.npixels


@pytest.mark.parametrize("model", ["kmeans", "pca+kmeans"])
def test_whole_numbers_whose_sums_are_too_large_for_int64_are_clustered(lake, tmp_path, model):
    cube = 1_700_000_000_000_000_000 + np.where(np.arange(60)[:, None, None] < 20, 10**15, 0) + np.zeros((60, 50, 3), "int64")
    np.save(tmp_path / "times.npy", cube)
    lake.register(tmp_path / "times.npy", "museo:times", hints=ReadHints(dims="y,x,spectral"))
    options = {"k": 2} if model == "kmeans" else {"k": 2, "components": 1}
    run = lake.run(model, "museo:times", options=options)
    assert lake.open(str(run.output))["area"].values.tolist() == [2000, 1000]


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "r-" + "0" * 300, "r-0123456789"])
def test_what_is_no_run_is_said_to_be_none(lake, name):
    with pytest.raises(NotFound) as caught:
        lake.resume(name)
    assert caught.value.kind == "run-unknown"


def test_what_is_to_be_kept_must_be_made_by_an_earlier_model(lake):
    with pytest.raises(InvalidInput, match="scoers") as caught:
        lake.plan("pca+kmeans", "museo:tavola", options={"keep": "scoers"})
    assert caught.value.hint == "did you mean 'scores'?"
