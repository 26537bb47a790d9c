"""What is fetched is the whole dataset or nothing; what lies in a folder is compared with its manifest."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
import zarr

import lakecv
from lakecv import registry
from lakecv.api import check_folder
from lakecv.errors import Conflict, Corrupt, InvalidInput, NotFound, Unavailable
from lakecv.lake_io.copies import open_artifacts, open_copies, open_manifest
from lakecv.lake_io.fetch import Origin, fetch
from lakecv.lake_io.folder import find_folder
from lakecv.lake_io.fsck import Flaw
from lakecv.lake_io.objects import describe
from lakecv.lake_io.place import join_url
from lakecv.lake_io.publish import MANIFEST
from lakecv.records import Manifest, flat_names
from lakecv.testing.fakes import MemoryObjects
from tests.lake_io.small import contents, flipped, made

KEY = "data/c/0/0/0"
PREFIX = "tavola.4f2a9c01b3de"


def quiet(_):
    pass


@pytest.fixture
def lake(tmp_path):
    return str(tmp_path / "lake")


@pytest.fixture
def dataset(lake):
    return made(lake, "tavola", "r-0000000001")


@pytest.fixture
def home(lake, dataset):
    return registry.open_objects(join_url(lake, dataset.home))


@pytest.fixture
def origin(lake, dataset):
    manifest = open_manifest(lake, dataset)
    return Origin(str(dataset.did), manifest, open_copies(lake, dataset, manifest), open_artifacts(lake, dataset, manifest))


@pytest.fixture
def flat(home, tmp_path):
    """Make what a plain client downloads: one folder of flat names, inside a folder named after the dataset."""
    folder = tmp_path / "got" / "tavola"
    folder.mkdir(parents=True)
    stored = contents(home)
    for key, name in flat_names(PREFIX, stored).items():
        (folder / name).write_bytes(stored[key])
    return folder


def test_a_fetched_folder_is_the_store_byte_by_byte_with_manifest_and_artifacts(origin, home, tmp_path):
    seen = []
    fetch(origin, tmp_path / "out", seen.append)
    assert contents(registry.open_objects(str(tmp_path / "out"))) == contents(home)
    assert [(each.verb, each.done, each.total) for each in seen] == [("fetch", n, 10) for n in range(1, 11)]
    assert xr.open_zarr(str(tmp_path / "out"), chunks=None)["data"].shape == (8, 8, 3)


def test_nothing_is_left_where_an_object_is_damaged_or_the_user_stops_it(origin, home, tmp_path):
    def stop(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(origin, tmp_path / "out", stop)
    flipped(home, KEY)
    with pytest.raises(Corrupt):
        fetch(origin, tmp_path / "out", quiet)
    assert [path.name for path in tmp_path.iterdir()] == ["lake"]


def test_an_empty_folder_is_filled_and_anything_else_is_left_alone(origin, tmp_path):
    (tmp_path / "empty").mkdir()
    fetch(origin, tmp_path / "empty", quiet)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("empty", "file", "link"):
        with pytest.raises(Conflict):
            fetch(origin, tmp_path / name, quiet)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_that_somebody_fills_meanwhile_is_not_overwritten(origin, tmp_path):
    def fill(_):
        (tmp_path / "out").mkdir(exist_ok=True)
        (tmp_path / "out" / "mine").touch()

    with pytest.raises(Conflict):
        fetch(origin, tmp_path / "out", fill)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lake", "out"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]


def test_a_folder_below_nothing_is_refused(origin, tmp_path):
    with pytest.raises(NotFound, match="there is no folder"):
        fetch(origin, tmp_path / "a" / "b", quiet)


def test_keys_never_lead_out_of_the_folder(origin, tmp_path):
    class Any(MemoryObjects):
        def get(self, _):
            return b"evil"

    forged = replace(origin, manifest=Manifest((describe("../evil", b"evil"),)), data=Any())
    with pytest.raises(InvalidInput):
        fetch(forged, tmp_path / "out", quiet)
    assert not (tmp_path / "evil").exists()


def test_a_download_of_flat_files_opens_as_the_store_does(flat, home):
    for folder in (flat, flat.parent):
        opened = lakecv.open_folder(folder)
        np.testing.assert_array_equal(opened["data"], xr.open_zarr(home.url, chunks=None)["data"])
    found = check_folder(flat, quiet)
    assert (found.ok, found.is_flat, found.objects, found.folder) == (True, True, 10, str(flat))
    assert [(each.name, each.dims, each.shape) for each in found.arrays if each.name == "data"] == [("data", ("y", "x", "spectral"), (8, 8, 3))]


def test_missing_damaged_and_extra_files_are_all_found(flat):
    names = flat_names(PREFIX, [KEY, "data/c/0/1/0", "data/c/1/0/0"])
    (flat / names[KEY]).unlink()
    damaged, short = (flat / names[key] for key in ("data/c/0/1/0", "data/c/1/0/0"))
    damaged.write_bytes(bytes([damaged.read_bytes()[0] ^ 1]) + damaged.read_bytes()[1:])
    short.write_bytes(short.read_bytes()[:-1])
    (flat / "notes with blanks.txt").touch()
    found = check_folder(flat, quiet)
    assert [(each.flaw, each.key) for each in found.findings] == [
        (Flaw.MISSING, KEY), (Flaw.CORRUPT, "data/c/0/1/0"), (Flaw.CORRUPT, "data/c/1/0/0"), (Flaw.EXTRA, "notes with blanks.txt"),
    ]  # fmt: skip
    assert (found.ok, found.arrays) == (False, ())


def test_a_damaged_file_is_refused_when_it_is_read(flat):
    name = flat / flat_names(PREFIX, [KEY])[KEY]
    name.write_bytes(bytes(len(name.read_bytes())))
    opened = lakecv.open_folder(flat)
    assert opened["data"][4:, 4:].to_numpy().shape == (4, 4, 3)
    with pytest.raises(Corrupt, match=KEY):
        opened["data"].to_numpy()


def test_two_datasets_in_one_folder_are_named(flat):
    (flat / f"altra.0123.{MANIFEST}").write_bytes((flat / f"{PREFIX}.{MANIFEST}").read_bytes())
    with pytest.raises(InvalidInput) as caught:
        find_folder(flat)
    assert all(name in str(caught.value) for name in (f"altra.0123.{MANIFEST}", f"{PREFIX}.{MANIFEST}"))
    assert "move" in caught.value.hint


def test_a_folder_without_a_dataset_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(NotFound):
            find_folder(path)


def test_a_manifest_that_is_no_json_is_corrupt(flat):
    (flat / f"{PREFIX}.{MANIFEST}").write_text("<html>")
    with pytest.raises(Corrupt):
        check_folder(flat, quiet)


def test_a_store_that_somebody_else_wrote_opens_from_flat_files(lake, tmp_path):
    values = np.random.default_rng(1).integers(0, 900, (16, 12, 5)).astype("uint16")
    store = tmp_path / "mine.zarr"
    group = zarr.create_group(store)
    group.create_array("data", data=values, chunks=(4, 4, 5), shards=(8, 8, 5), dimension_names=("y", "x", "spectral"))
    mine = lakecv.Lake(lake)
    mine.register(store, "museo:mine", in_place=True)
    mine.fetch("museo:mine", tmp_path / "tree")
    tree, flat = contents(registry.open_objects(str(tmp_path / "tree"))), tmp_path / "flat"
    flat.mkdir()
    for key, name in flat_names("mine.0123", tree).items():
        (flat / name).write_bytes(tree[key])
    np.testing.assert_array_equal(lakecv.open_folder(flat)["data"], values)
    np.testing.assert_array_equal(mine.open("museo:mine")["data"], values)


def test_a_replica_that_is_out_of_reach_leaves_nothing(origin, tmp_path):
    class Down(MemoryObjects):
        def get(self, key):
            raise Unavailable(f"{key} did not come")

    with pytest.raises(Unavailable):
        fetch(replace(origin, data=Down()), tmp_path / "out", quiet)
    assert [path.name for path in tmp_path.iterdir()] == ["lake"]
