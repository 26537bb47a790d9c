"""Names of clusters from the command to the report and the exports, on a lake of documents; nothing stored changes."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from lakecv import registry
from lakecv.api import Lake, registering
from lakecv.errors import Corrupt, Denied, InvalidInput, Kind, NotFound
from lakecv.testing.sites import InlineSite
from tests.bad_inputs.situation import convert_here, cube, files_of, saved

RESULT = "museo:tavola.kmeans.1"


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    folder = tmp_path_factory.mktemp("annotated")
    patch = pytest.MonkeyPatch()
    patch.setattr(registering, "convert_apart", convert_here)
    patch.setattr(registry, "site", lambda _: InlineSite())
    lake = Lake(folder / "lake", scope="museo")
    lake.register(saved(folder, cube()), "museo:tavola")
    assert str(lake.run("kmeans", "museo:tavola", options={"k": 3}).output) == RESULT
    patch.undo()
    return folder


@pytest.fixture
def lake(template, tmp_path):
    shutil.copytree(template / "lake", tmp_path / "lake")
    return Lake(tmp_path / "lake", scope="museo")


def test_a_name_is_in_the_report_and_the_exports_and_nothing_stored_is_touched(lake, tmp_path):
    spectral = pytest.importorskip("spectral")
    before = files_of(tmp_path / "lake")
    lake.annotate(RESULT, "cluster", "lead white", number=1)
    after = files_of(tmp_path / "lake")
    assert {key: after[key] for key in before} == before
    assert [key.rpartition("/")[0] for key in after.keys() - before.keys()] == ["annotations/museo/tavola.kmeans.1"]
    lake.report(RESULT, tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text().count("lead white") == 2
    lake.export(RESULT, array="labels", to=tmp_path / "a.hdr")
    assert spectral.open_image(str(tmp_path / "a.hdr")).metadata["class names"] == ["cluster 0", "lead white", "cluster 2"]
    assert lake.verify(RESULT).ok


def test_the_newest_name_holds_and_older_ones_are_kept(lake):
    for name in ("chalk", "gypsum", "lead white"):
        said = lake.annotate(RESULT, "cluster", name, number=0)
    assert said == lake.annotations(RESULT)
    assert (said.names, [each.text for each in said.history]) == ({0: "lead white"}, ["chalk", "gypsum", "lead white"])
    assert {each.author for each in said.history} == {"museo"}


def test_of_many_people_at_once_nobody_is_lost(lake, tmp_path):
    def say(number):
        Lake(tmp_path / "lake", scope=f"user.{number}").annotate(RESULT, "note", f"note {number}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(say, range(24)))
    assert sorted(note.text for note in lake.annotations(RESULT).notes) == sorted(f"note {number}" for number in range(24))


@pytest.mark.parametrize("number", [3, 255, -1])
def test_a_cluster_that_the_result_has_not_is_refused_with_those_that_it_has(lake, number):
    with pytest.raises(NotFound, match="it has 0 to 2") as caught:
        lake.annotate(RESULT, "cluster", "x", number=number)
    assert caught.value.kind is Kind.LABEL_UNKNOWN
    assert lake.annotations(RESULT).history == ()


def test_clusters_are_counted_in_the_label_map_where_no_table_says_them(lake, monkeypatch):
    from dataclasses import replace

    from lakecv.api import annotating

    dataset = lake.show(RESULT)
    alone = replace(dataset, cube=replace(dataset.cube, arrays=tuple(spec for spec in dataset.cube.arrays if spec.is_image)))
    annotating.check_cluster(lake.url, alone, 2)
    monkeypatch.setattr(annotating, "read_whole", lambda *_: np.array([[0, 255], [1, 255]], np.uint8))
    with pytest.raises(NotFound, match="it has 0 to 1"):
        annotating.check_cluster(lake.url, alone, 2)
    monkeypatch.setattr(annotating, "read_whole", lambda *_: np.array([[255]], np.uint8))
    with pytest.raises(NotFound, match="it has none"):
        annotating.check_cluster(lake.url, alone, 0)


def test_a_dataset_without_labels_takes_notes_and_titles_only(lake):
    with pytest.raises(InvalidInput, match="no label map") as caught:
        lake.annotate("museo:tavola", "cluster", "x", number=0)
    assert caught.value.kind is Kind.OPTION_INVALID
    lake.annotate("museo:tavola", "title", "The third panel")
    assert lake.annotations("museo:tavola").title == "The third panel"
    assert lake.show("museo:tavola").title == ""


@pytest.mark.parametrize(("about", "number"), [("cluster", None), ("note", 1), ("colour", None)])
def test_a_saying_of_another_form_is_refused(lake, about, number):
    with pytest.raises(InvalidInput):
        lake.annotate(RESULT, about, "x", number=number)


def test_a_dataset_that_is_not_there_is_told_with_the_nearest(lake):
    with pytest.raises(NotFound) as caught:
        lake.annotations("museo:tavolo")
    assert caught.value.kind is Kind.DATASET_UNKNOWN


def test_a_catalog_that_keeps_none_says_so_and_reads_as_empty(lake):
    lake._catalog = SimpleNamespace(lookup=lake._catalog.lookup)
    assert lake.annotations(RESULT).history == ()
    with pytest.raises(InvalidInput, match="keeps no annotations"):
        lake.annotate(RESULT, "note", "x")


def test_a_saying_with_a_bit_that_flipped_is_not_believed(lake, tmp_path):
    lake.annotate(RESULT, "note", "seen by Ada")
    [path] = (tmp_path / "lake" / "annotations").rglob("*.json")
    path.write_bytes(path.read_bytes().replace(b"Ada", b"Bda"))
    with pytest.raises(Corrupt):
        lake.annotations(RESULT)


def test_a_lake_in_which_one_may_not_write_says_so(lake, monkeypatch):
    from lakecv.patience import PatientObjects

    def refuse(*_):
        raise Denied("no", Kind.FORBIDDEN, "ask")

    monkeypatch.setattr(PatientObjects, "put", refuse)
    with pytest.raises(Denied):
        lake.annotate(RESULT, "note", "x")
