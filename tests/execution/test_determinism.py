"""The same bytes, whatever the plan: any number of workers, any blocks, any order."""

import numpy as np
import pytest

from lakecv import registry
from lakecv.api import Lake
from lakecv.planning import blocks
from lakecv.ports import ReadHints
from lakecv.testing.sites import InlineSite

OPTIONS = {"kmeans": {"k": 4, "scaling": "sqrt"}, "pca+kmeans": {"k": 4, "components": 5, "pca.scaling": "l2"}}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    rng = np.random.default_rng(11)
    spectra = rng.gamma(2.0, 3.0, (4, 30))
    where = (np.add.outer(np.arange(300), np.arange(270)) // 61) % 4
    path = tmp_path_factory.mktemp("source") / "cube.npy"
    np.save(path, rng.normal(spectra[where], 1.0).astype("float32"))
    return path


def digest_of(folder, source, model, **settings):
    lake = Lake(folder, scope="same", **settings)
    lake.register(source, "same:cube", hints=ReadHints(dims="y,x,spectral"))
    run = lake.run(model, "same:cube", options=OPTIONS[model])
    return lake.show(str(run.output)).digest, lake.plan(model, "same:cube", options=OPTIONS[model]).blocks


@pytest.mark.timeout(240)
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("model", OPTIONS)
def test_stored_bytes_do_not_depend_on_workers_blocks_or_order(model, source, tmp_path, monkeypatch):
    found = {digest_of(tmp_path / f"dask-{n}", source, model, max_workers=n)[0] for n in (1, 2, 4)}
    shapes = set()
    for per_slot, seed in ((4, 1), (0.1, 2), (0.1, None)):
        monkeypatch.setattr(blocks, "_BLOCKS_PER_SLOT", per_slot)
        monkeypatch.setattr(registry, "site", lambda _, seed=seed: InlineSite(seed))
        digest, cut = digest_of(tmp_path / f"inline-{per_slot}-{seed}", source, model, max_workers=1)
        found.add(digest)
        shapes.add(cut)
    assert len(shapes) == 2
    assert len(found) == 1
