"""A stranger's distribution: listed without being imported, run when named, and no harm when it fails."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lakecv import registry
from lakecv.cube import Window
from lakecv.errors import Kind, PluginError
from lakecv.plan import Outcome
from lakecv.ports import CatalogBackend, CubeReader, Model, ObjectIO, ReadHints, SiteExecutor, Source, StoragePlugin
from lakecv.sheet import Sheet
from lakecv.testing.catalog import CatalogContract
from lakecv.testing.fakes import MemoryObjects
from lakecv.testing.sites import SiteContract
from lakecv.testing.storage import StorageContract

STRANGERS = str(Path(__file__).parent / "strangers")
MISBEHAVING = ("raises", "hangs", "wrong-shape", "wrong-dtype", "returns-nan", "returns-none")


@pytest.fixture(autouse=True)
def strangers(monkeypatch):
    monkeypatch.syspath_prepend(STRANGERS)
    registry.forget()
    yield
    registry.forget()


def python(code, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": STRANGERS, **environment}, timeout=30, check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def test_a_listing_names_strangers_and_imports_nothing():
    found = python(
        "import json, sys; from lakecv import registry; cards = registry.plugins();"
        "ours = [c for c in cards if c.distribution == 'lakecv-stranger'];"
        "heavy = [m for m in ('lakecv_stranger', 'lakecv_plugins', 'lakecv_catalog', 'numpy', 'obstore') if m in sys.modules];"
        "print(json.dumps([sorted({c.group for c in ours}), ours[0].version, len(ours) < len(cards), heavy]))",
    )
    groups = ["lakecv.catalogs", "lakecv.formats", "lakecv.models", "lakecv.sites", "lakecv.storage"]
    assert found == [groups, "0.1", True, []]


def test_the_door_can_be_closed():
    found = python(
        "import json; from lakecv import registry;"
        "print(json.dumps(sorted({c.distribution for c in registry.plugins()})))", LAKECV_NO_PLUGINS="1",
    )
    assert found == ["lakecv"]


def test_each_port_runs_a_strangers_plugin_when_named():
    assert isinstance(registry.storage("strange"), StoragePlugin)
    assert isinstance(registry.open_objects("strange://x"), ObjectIO)
    assert isinstance(registry.reader("strange"), CubeReader)
    assert isinstance(registry.catalog(MemoryObjects(), "strange"), CatalogBackend)
    assert isinstance(registry.site("strange"), SiteExecutor)
    assert isinstance(registry.model("strange-mean"), Model)


class TestStrangeStorage(StorageContract):
    @pytest.fixture
    def open_objects(self, tmp_path):
        return lambda: registry.open_objects(f"strange://{tmp_path.name}")


class TestStrangeCatalog(CatalogContract):
    @pytest.fixture
    def open_catalog(self):
        catalog = registry.catalog(MemoryObjects(), "strange")
        return lambda: catalog


class TestStrangeSite(SiteContract):
    kills = False

    @pytest.fixture
    def executor(self):
        return registry.site("strange")


def test_a_strange_file_is_read(tmp_path):
    path = tmp_path / "scan.strange"
    path.write_text("strange 2 3 4\n" + " ".join(map(str, range(24))))
    source, reader = Source(str(path), path), registry.reader("strange")
    assert reader.accepts(source, path.read_bytes()[:4096])
    assert reader.probe(source, ReadHints()).main.shape == (2, 3, 4)
    np.testing.assert_array_equal(reader.read(source, ReadHints()).counts, np.arange(24).reshape(2, 3, 4))


def test_a_strange_model_computes():
    sheet = Sheet(Window(0, 2, 0, 3), {"counts": np.arange(24.0).reshape(2, 3, 4)}, np.ones((2, 3), bool))
    model = registry.model("strange-mean")
    result = model.apply({"cube": sheet}, None, model.Options(gain=2.0))
    np.testing.assert_array_equal(result.arrays["mean"], np.array([[3, 11, 19], [27, 35, 43]], "float32"))


@pytest.mark.parametrize("name", MISBEHAVING)
def test_a_model_that_will_misbehave_loads_like_any_other(name):
    assert registry.model(name).name == name


@pytest.mark.parametrize(
    ("name", "kind", "says"),
    [("fails-at-import", Kind.LOAD_FAILED, "ZeroDivisionError: a bug of a stranger"),
     ("fails-when-made", Kind.LOAD_FAILED, "ZeroDivisionError: a bug of a stranger"),
     ("needs-a-module", Kind.LOAD_FAILED, "a_module_that_nobody_has"),
     ("needs-an-extra", Kind.MISSING_EXTRA, "formats-hdf5"),
     ("no-model", Kind.CONTRACT_BROKEN, "it lacks Options, apply, inputs, tables, version, workload")],
)  # fmt: skip
def test_a_plugin_that_fails_names_its_distribution_and_the_rest_work(name, kind, says):
    for _ in range(2):
        with pytest.raises(PluginError, match=says) as caught:
            registry.model(name)
        assert caught.value.kind is kind
        assert "lakecv-stranger 0.1" in str(caught.value)
    assert registry.model("strange-mean").name == "strange-mean"


def test_a_strange_site_runs_tasks_in_order():
    outcome = Outcome("t", 0.0, 0.0, 0, 0, "here")
    with registry.site("strange").pool(None, 1, lambda _: outcome, "r-0") as pool:
        pool.submit(None)
        assert list(pool.outcomes(0.0)) == [outcome]
        assert list(pool.outcomes(0.0)) == []
