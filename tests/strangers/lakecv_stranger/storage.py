"""A transport: ``strange://name`` is a dictionary of this process."""

from functools import cache

from zarr.core.buffer import default_buffer_prototype
from zarr.storage import MemoryStore

from lakecv.ports import StoragePlugin
from lakecv.testing.fakes import MemoryObjects


class StrangeStorage:
    schemes = ("strange",)

    def objects(self, url, access=None):
        return _opened(url)

    def store(self, url, access=None):
        objects, buffer = _opened(url), default_buffer_prototype().buffer
        stored = {info.key: buffer.from_bytes(objects.get(info.key)) for info in objects.list()}
        return MemoryStore(stored, read_only=True)


@cache
def _opened(url):
    return MemoryObjects(url)


_: StoragePlugin = StrangeStorage()
