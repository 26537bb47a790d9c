"""``rucio://`` for programs that know fsspec, over a Rucio server in memory and two storage elements that are folders."""

import fsspec
import numpy as np
import pytest
import xarray as xr
from lakecv_catalog.rucio.server import _server

from lakecv import registry
from lakecv.api import Lake
from lakecv.errors import Corrupt, Denied
from lakecv.ports import ReadHints
from tests.rucio_server import FakeRucio

CUBE = np.arange(90 * 80 * 12, dtype="uint16").reshape(90, 80, 12)


@pytest.fixture
def rucio(tmp_path, monkeypatch):
    with FakeRucio() as rucio:
        rucio.add_account("ada")
        rucio.add_scope("user.ada", "ada")
        for rse in ("INFN-PG", "CNAF"):
            rucio.add_rse(rse, rse, tmp_path / rse)
            rucio.set_quota("ada", rse, None)
        monkeypatch.setenv("RUCIO_HOME", str(rucio.home(tmp_path, "ada")))
        monkeypatch.setenv("LAKECV_LAKE", str(tmp_path / "lake"))
        monkeypatch.setenv("SITE_NAME", "INFN-PG")
        fsspec.filesystem("rucio").clear_instance_cache()
        yield rucio
    _server.cache_clear()


@pytest.fixture
def lake(rucio):  # noqa: ARG001
    return Lake(catalog="rucio", rse="INFN-PG")


@pytest.fixture
def did(lake, tmp_path):
    np.save(tmp_path / "cube.npy", CUBE)
    hints = ReadHints(dims="y,x,spectral", axis="energy:keV:0:0.5")
    return str(lake.register(tmp_path / "cube.npy", "user.ada:tavola", hints=hints).dataset.did)


def damage(tmp_path, rse, ending):
    """Flip one bit in the middle of a file of a storage element."""
    [path] = [path for path in (tmp_path / rse).rglob(f"*{ending}") if path.is_file()]
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 4
    path.write_bytes(bytes(data))


def test_any_script_opens_a_dataset_by_its_name(did):
    opened = xr.open_zarr(f"rucio://{did}", chunks=None)
    np.testing.assert_array_equal(opened["data"].to_numpy(), CUBE)
    assert opened["spectral"].attrs["units"] == "keV"


def test_the_next_replica_is_read_where_one_is_damaged_and_the_damage_is_reported(rucio, lake, did, tmp_path):
    lake.replicate(did, "CNAF")
    rucio.run_rules()
    damage(tmp_path, "INFN-PG", "data.c.0.0.0")
    np.testing.assert_array_equal(xr.open_zarr(f"rucio://{did}", chunks=None)["data"].to_numpy(), CUBE)
    assert [url.endswith("data.c.0.0.0") for _, url, _ in rucio.suspicious] == [True]


def test_damage_without_another_replica_is_an_error_and_never_other_numbers(did, tmp_path):
    damage(tmp_path, "INFN-PG", "data.c.0.0.0")
    with pytest.raises(Corrupt, match=r"data/c/0/0/0"):
        xr.open_zarr(f"rucio://{did}", chunks=None)["data"].to_numpy()


def test_it_lists_and_reads_as_a_folder_does(did):
    system = fsspec.filesystem("rucio")
    assert f"{did}/zarr.json" in system.find(did)
    assert system.isdir(f"{did}/data")
    assert not system.exists(f"{did}/nothing")
    with system.open(f"rucio://{did}/quicklook.png") as file:
        assert file.read(4) == b"\x89PNG"
    assert system.cat_file(f"{did}/zarr.json")[-1:] == system.cat_file(f"{did}/zarr.json", start=-1)


def test_what_is_not_there_is_a_file_not_found_and_nothing_can_be_written(did):
    system = fsspec.filesystem("rucio")
    with pytest.raises(FileNotFoundError, match="tavolo"):
        system.ls("user.ada:tavolo")
    with pytest.raises(Denied):
        system.open(f"{did}/new", "wb")


def test_plugins_find_the_filesystem_without_lakecv_being_imported_first():
    assert fsspec.get_filesystem_class("rucio").protocol == "rucio"
    assert registry.names("catalog") == ("documents", "rucio", "rucio-idl")
