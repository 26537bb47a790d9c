"""What a real run is written about with: compared with its record and its inputs."""

import json
from pathlib import Path

import pytest

from lakecv import registry
from lakecv.api import Lake, registering
from lakecv.errors import Kind, NotFound
from lakecv.testing.sites import InlineSite
from tests.bad_inputs.situation import convert_here, cube, saved


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cited")
    patch = pytest.MonkeyPatch()
    patch.setattr(registering, "convert_apart", convert_here)
    patch.setattr(registry, "site", lambda _: InlineSite())
    lake = Lake(folder / "lake", scope="museo")
    lake.register(saved(folder, cube()), "museo:tavola")
    lake.run("pca+kmeans", "museo:tavola", options={"components": 3, "k": 3}, seed=7)
    patch.undo()
    return lake


def test_the_paragraph_says_what_the_record_of_the_run_says(lake):
    run = lake.runs()[0]
    text = lake.cite("museo:tavola.pca-kmeans.1").text
    record = json.loads((Path(lake.url) / "runs" / f"{run.id}.json").read_text())
    said = [run.id, record["job"]["inputs"][0][1], lake.show(str(run.output)).digest, "seed of every random choice was 7", record["finished"][:10]]
    said += [f"{name} {version}" for name, version in record["versions"]]
    said += [f"{name} = {value}" for link in record["job"]["links"] for name, value in link["options"]]
    assert [words for words in said if words not in text] == []


def test_the_part_that_was_used_is_said(lake, monkeypatch):
    monkeypatch.setattr(registry, "site", lambda _: InlineSite())
    run = lake.run("pca", "museo:tavola", options={"components": 2}, window="1:9,0:6", axis=["1:5ch"])
    assert "Of the input only a part was used: --window 1:9,0:6 and --axis 1:5ch." in lake.cite(run.id).text


def test_a_run_and_its_result_are_cited_alike(lake):
    run = lake.runs()[0]
    assert lake.cite(run.id) == lake.cite(str(run.output))


def test_each_model_brings_its_own_references_in_the_order_of_the_chain(lake):
    found = lake.cite("museo:tavola.pca-kmeans.1")
    assert [each.key for each in found.references] == ["jolliffe2002", "lloyd1982", "arthur2007", "lakecv"]
    assert "pca version 1 (Jolliffe 2002)" in found.text
    assert "kmeans version 2 (Lloyd 1982; Arthur and Vassilvitskii 2007)" in found.text
    assert found.bibtex.count("@") == 4


def test_a_model_that_is_not_installed_any_more_leaves_the_rest(lake, monkeypatch):
    known = registry.model

    def gone(name):
        if name == "pca":
            raise NotFound("there is no model 'pca'", Kind.MODEL_UNKNOWN, "")
        return known(name)

    monkeypatch.setattr(registry, "model", gone)
    found = lake.cite("museo:tavola.pca-kmeans.1")
    assert [bool(model.references) for model in found.models] == [False, True]
    assert "components = 3" in found.text


def test_what_no_run_made_is_not_cited(lake):
    with pytest.raises(NotFound, match="it was registered") as caught:
        lake.cite("museo:tavola")
    assert caught.value.kind is Kind.RUN_UNKNOWN
