"""The driver and its workers compute what the serial reference computes, bit by bit."""

import numpy as np
import pytest
from lakecv_plugins.models.kmeans import KMeans
from lakecv_plugins.models.pca import PCA

from lakecv import registry
from lakecv.api import Lake
from lakecv.ports import ReadHints
from lakecv.testing.serial import fit
from lakecv.testing.sites import InlineSite

CASES = {
    "kmeans": (KMeans(), {"k": 4, "scaling": "sqrt", "restarts": 2}, ("labels", "distance", "margin", "centroids")),
    "pca": (PCA(), {"components": 5, "scaling": "snv"}, ("scores", "loadings", "explained_variance")),
}


@pytest.fixture
def lake(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "site", lambda _: InlineSite(4))
    rng = np.random.default_rng(3)
    pure = rng.gamma(2.0, 4.0, (4, 25))
    cube = rng.normal(pure[(np.add.outer(np.arange(200), np.arange(170)) // 37) % 4], 1.0).astype("float32")
    cube[5:9, 100:120, 3] = np.nan
    np.save(tmp_path / "cube.npy", cube)
    made = Lake(tmp_path / "lake", scope="same")
    made.register(tmp_path / "cube.npy", "same:cube", hints=ReadHints(dims="y,x,spectral"))
    return made


@pytest.mark.parametrize("name", CASES)
def test_the_driver_equals_the_serial_reference(name, lake):
    model, options, arrays = CASES[name]
    cube = lake.open("same:cube")["data"].to_numpy()
    expected = fit(model, cube, lake.show("same:cube").cube, model.Options(**options), 0)
    run = lake.run(name, "same:cube", options=options)
    found = lake.open(str(run.output))
    for array in arrays:
        np.testing.assert_array_equal(found[array], {**expected.arrays, **expected.tables}[array])


def test_a_chain_equals_its_links_one_after_the_other(lake):
    chain = lake.run("pca+kmeans", "same:cube", options={"components": 5, "k": 4, "keep": "scores"})
    alone = lake.run("pca", "same:cube", options={"components": 5})
    np.testing.assert_array_equal(lake.open(str(chain.output))["scores"], lake.open(str(alone.output))["scores"])
    labels = lake.open(str(chain.output))["labels"].to_numpy()
    assert (labels[5:9, 100:120] == 255).all()
    assert (labels != 255).sum() == 200 * 170 - 4 * 20


def test_a_result_is_an_input_like_any_other(lake):
    scores = lake.run("pca", "same:cube", options={"components": 5})
    again = lake.run("kmeans", str(scores.output), options={"k": 4})
    chain = lake.run("pca+kmeans", "same:cube", options={"components": 5, "k": 4})
    a, b = (lake.open(str(run.output))["labels"].to_numpy() for run in (again, chain))
    assert (a == b).mean() > 0.99  # the sums have another scale, since the limits are now known
