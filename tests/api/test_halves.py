"""A dataset whose halves lie at two places: planned where each half lies, read as one, and bit-equal to the whole."""

from dataclasses import replace

import numpy as np
import pytest
import zarr

from lakecv import registry
from lakecv.api import Lake
from lakecv.lake_io.copies import open_copies, open_manifest
from lakecv.plan import RunState
from lakecv.records import DID, Access, Replica
from lakecv.testing.sites import InlineSite

SITE = 'executor = "address"\naddress = "tcp://127.0.0.1:1"\nscheduler = "address"\nmax_workers = 2\nnear = ["{rse}"]\nwork = "{work}"\n[worker]\nmemory = "1GiB"\n'


@pytest.fixture
def lake(tmp_path, monkeypatch):
    """A lake with a whole cube, and the same one in two halves; two sites, each near one of them, with work areas of their own."""
    monkeypatch.setattr(registry, "site", lambda _: InlineSite(7))
    sites = tmp_path / "sites"
    sites.mkdir(mode=0o700)
    for name in ("pg", "na"):
        (sites / f"{name}.toml").write_text(SITE.format(rse=name.upper(), work=tmp_path / f"work-{name}"))
    monkeypatch.setenv("LAKECV_SITES", str(sites))
    lake = Lake(tmp_path / "lake", scope="museo")
    values = np.random.default_rng(0).poisson(5.0, (96, 64, 4)).astype("uint16")
    array = zarr.create_array(tmp_path / "cube.zarr" / "counts", shape=values.shape, chunks=(32, 32, 4), dtype="uint16", dimension_names=["y", "x", "spectral"])
    array[:] = values
    lake.register(tmp_path / "cube.zarr", "museo:whole", in_place=True)
    return lake


def halved(lake, tmp_path):
    """Register the objects of ``museo:whole`` again, each at one of two places."""
    whole = lake.show("museo:whole")
    manifest = open_manifest(lake.url, whole)
    data = sorted(item.key for item in manifest.objects if "/c/" in item.key)
    source = open_copies(lake.url, whole, manifest)
    replicas = []
    for number, name in enumerate(("PG", "NA")):
        place = registry.open_objects(str(tmp_path / name))
        keys = [item.key for item in manifest.objects if item.key not in data or data.index(item.key) % 2 == number]
        for key in keys:
            place.put(key, source.get(key))
        flat = tuple(sorted(key.replace("/", ".") for key in keys))
        replicas.append(Replica(name, str(tmp_path / name), "", Access.PARTIAL, flat))
    lake._catalog.register(replace(whole, did=DID("museo", "halves"), replicas=tuple(replicas)), manifest)


def test_each_half_is_computed_where_it_lies_and_the_bits_are_those_of_the_whole(lake, tmp_path):
    halved(lake, tmp_path)
    options = {"k": 3, "scaling": "none"}
    plan = lake.plan("kmeans", "museo:halves", site="auto", options=options)
    assert {(share.site, read.rse, read.near) for share in plan.shares for read in share.reads} == {("pg", "PG", True), ("na", "NA", True)}
    run = lake.run("kmeans", "museo:halves", site="auto", options=options)
    alone = lake.run("kmeans", "museo:whole", site="local", options=options)
    assert (run.state, run.nbytes_far) == (RunState.DONE, 0)
    assert run.nbytes_near > 0
    assert lake.show(str(run.output)).digest == lake.show(str(alone.output)).digest
    assert not list((tmp_path / "work-pg").rglob("*.json"))
