"""Storage in this process: the contract for the plugin and for the fake, and what only memory has."""

from uuid import uuid4

import numpy as np
import pytest
import zarr
from lakecv_plugins.storage.memory import MemoryStorage
from zarr.storage import MemoryStore

from lakecv.errors import InvalidInput
from lakecv.testing.fakes import MemoryObjects
from lakecv.testing.storage import StorageContract


class TestMemoryStorage(StorageContract):
    @pytest.fixture
    def open_objects(self):
        url = f"memory://{uuid4()}/some/prefix"
        return lambda: MemoryStorage().objects(url)


class TestMemoryStorageAtItsRoot(StorageContract):
    @pytest.fixture
    def open_objects(self):
        url = f"memory://{uuid4()}"
        return lambda: MemoryStorage().objects(url)


class TestTheFake(StorageContract):
    @pytest.fixture
    def open_objects(self):
        objects = MemoryObjects()
        return lambda: objects


def test_a_prefix_is_a_view_of_the_whole():
    name = uuid4()
    MemoryStorage().objects(f"memory://{name}/a/b/").put("c", b"1")
    MemoryStorage().objects(f"memory://{name}/a/bc").put("d", b"1")
    assert [info.key for info in MemoryStorage().objects(f"memory://{name}/a").list()] == ["b/c", "bc/d"]
    assert [info.key for info in MemoryStorage().objects(f"memory://{name}/a/b").list()] == ["c"]


@pytest.mark.parametrize("url", ["memory://", "memory:///a", "memory://x/..", "memory://x/a//b", "memory://x/a/../b", "x"])
def test_what_names_no_place_is_refused(url):
    with pytest.raises(InvalidInput):
        MemoryStorage().objects(url)


@pytest.mark.parametrize("prefix", ["", "/a/b"])
def test_zarr_reads_a_prefix_and_may_not_write(prefix):
    source = np.arange(1000, dtype="f4").reshape(10, 10, 10)
    written = MemoryStore()
    zarr.create_array(written, name="g/a", data=source, chunks=(5, 5, 10), shards=(10, 10, 10))
    url = f"memory://{uuid4()}{prefix}"
    for key, value in written._store_dict.items():
        MemoryStorage().objects(url).put(key, value.to_bytes())
    group = zarr.open_group(MemoryStorage().store(url), mode="r")
    assert [name for name, _ in group["g"].arrays()] == ["a"]
    np.testing.assert_array_equal(group["g/a"][2:7, 3:9], source[2:7, 3:9])
    with pytest.raises(ValueError, match="read-only"):
        group["g/a"][0] = 1
