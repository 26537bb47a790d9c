"""What is plugged in."""

import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from lakecv import registry
from lakecv.errors import Kind, NotFound, PluginError
from lakecv.testing.fakes import MemoryObjects

PROJECT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]


def test_every_entry_point_of_the_project_is_listed():
    declared = {(group, name) for group, points in PROJECT["entry-points"].items() for name in points if group.startswith("lakecv.")}
    assert {(card.group, card.name) for card in registry.plugins() if card.distribution == "lakecv"} == declared


def test_the_extras_named_in_errors_exist_and_bring_the_module():
    for module, extra in registry._EXTRAS.items():
        assert any(line.startswith(module.lower()) for line in PROJECT["optional-dependencies"][extra])


@pytest.mark.parametrize(
    ("find", "name", "kind", "hint"),
    [(registry.model, "kmean", Kind.MODEL_UNKNOWN, "did you mean 'kmeans'?"),
     (registry.site, "locale", Kind.SITE_UNKNOWN, "did you mean 'local'?"),
     (registry.reader, "hdf", Kind.PLUGIN_UNKNOWN, "did you mean 'hdf5'?"),
     (registry.storage, "gopher", Kind.PLUGIN_UNKNOWN, "storage plugins: davs, file, http, https, memory, root, roots, rse, s3"),
     (registry.open_objects, "fil://x", Kind.PLUGIN_UNKNOWN, "did you mean 'file'?"),
     (lambda name: registry.catalog(MemoryObjects(), name), "document", Kind.PLUGIN_UNKNOWN, "did you mean 'documents'?")],
)  # fmt: skip
def test_an_unknown_name_tells_the_nearest(find, name, kind, hint):
    with pytest.raises(NotFound) as caught:
        find(name)
    assert (caught.value.kind, caught.value.hint) == (kind, hint)


def test_a_plugin_is_made_once():
    assert registry.storage("file") is registry.storage("file")


def test_the_scheme_of_a_url_chooses_the_storage(tmp_path):
    assert registry.open_objects(str(tmp_path)).url == tmp_path.as_uri()
    assert registry.open_objects("MEMORY://x/y").url == "memory://x/y"



def test_two_owners_of_a_name_are_told_apart(monkeypatch):
    points = tuple(EntryPoint(name="twice", value=f"{module}:x", group="lakecv.models") for module in ("a", "b"))
    monkeypatch.setattr(registry, "_all_points", lambda: points)
    with pytest.raises(PluginError, match="a name has one owner") as caught:
        registry.model("twice")
    assert caught.value.kind is Kind.CONTRACT_BROKEN


def test_importing_the_registry_and_settings_loads_no_engine():
    code = "import sys, lakecv.registry, lakecv.config as c; c.load(lake='/x'); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=20).stdout.split()
    assert not {"numpy", "zarr", "xarray", "dask", "obstore", "pydantic", "importlib.metadata"} & set(loaded)
