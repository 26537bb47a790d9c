"""XRootD's own protocol on a real server: the contract, a cube through zarr, and a writer that dies."""

import os
import socket
import subprocess
import sys
from contextlib import contextmanager, suppress
from secrets import token_hex
from threading import Thread
from urllib.parse import urlsplit

import pytest
from lakecv_plugins.storage import xrootd_wire
from lakecv_plugins.storage.xrootd import XrootdStorage
from lakecv_plugins.storage.xrootd_client import _SETTINGS, client

from lakecv.errors import Denied, Kind, Unavailable
from lakecv.testing.storage import StorageContract

DEAD = """
import os, sys
from lakecv_plugins.storage import xrootd_wire
place = xrootd_wire.place_of(sys.argv[1])
if sys.argv[2] == "lock":
    with xrootd_wire._locked(place): os._exit(1)
xrootd_wire._write(xrootd_wire._beside(place, xrootd_wire.part_of), b"half")
os._exit(1)
"""


@pytest.fixture
def hasty(monkeypatch):
    """Let the client give up after a second."""
    monkeypatch.setattr(xrootd_wire, "SECONDS", 1)
    client().EnvPutInt("ConnectionWindow", 1)
    yield
    client().EnvPutInt("ConnectionWindow", _SETTINGS["ConnectionWindow"])


@pytest.fixture
def folder(real_lake):
    return f"{real_lake.xrootd_url}/test-{token_hex(6)}"


class TestXrootd(StorageContract):
    @pytest.fixture
    def open_objects(self, folder):
        return lambda: XrootdStorage().objects(folder)


def died(url, where):
    done = subprocess.run([sys.executable, "-c", DEAD, url, where], check=False, timeout=60, env={"PYTHONPATH": ":".join(sys.path)})
    assert done.returncode == 1


def test_xrootd_has_every_ability(folder):
    assert [ability.holds for ability in XrootdStorage().probe(folder)] == [True, True]
    assert list(XrootdStorage().objects(folder).list()) == []


def test_xarray_reads_a_cube_from_the_store(folder):
    import numpy as np
    import xarray as xr
    import zarr

    objects, memory = XrootdStorage().objects(folder), zarr.storage.MemoryStore()
    cube = xr.Dataset({"data": (("y", "x", "spectral"), np.random.default_rng(1).random((16, 12, 8), "f4"))})
    encoding = {"data": {"chunks": (4, 4, 8), "shards": (8, 12, 8)}}
    cube.to_zarr(memory, zarr_format=3, consolidated=False, encoding=encoding)
    for key, value in memory._store_dict.items():
        objects.put(key, value.to_bytes())
    found = xr.open_zarr(XrootdStorage().store(folder), consolidated=False, chunks=None)
    xr.testing.assert_identical(found.load(), cube)


def test_many_ranges_are_read_in_few_requests(folder, monkeypatch):
    objects, data = XrootdStorage().objects(folder), bytes(range(256)) * (1 << 17)
    objects.put("a", data)
    asked, usual = [], xrootd_wire._read_vector
    monkeypatch.setattr(xrootd_wire, "_read_vector", lambda *each: asked.append(each) or usual(*each))
    ranges = [(at, at + 5000) for at in range(0, len(data) - 5000, 300_000)]
    assert objects.get_ranges("a", ranges) == [data[start:stop] for start, stop in ranges]
    assert len(ranges) > 100
    assert len(asked) == 2


@pytest.mark.parametrize("where", ["part", "lock"])
def test_a_writer_that_died_hides_what_it_left_and_holds_up_nobody_for_long(folder, monkeypatch, where):
    monkeypatch.setattr(xrootd_wire, "_STALE_SECONDS", 0.2)
    died(f"{folder}/a", where)
    objects = XrootdStorage().objects(folder)
    assert list(objects.list()) == []
    objects.put("a", b"whole")
    assert objects.get("a") == b"whole"


def pump(source, target, nbytes):
    """Pass so many bytes on, then end both connections."""
    with source, target, suppress(OSError):
        while nbytes > 0 and (data := source.recv(min(1 << 16, nbytes))):
            nbytes -= len(data)
            target.sendall(data)
        for end in (source, target):
            end.shutdown(socket.SHUT_RDWR)


@contextmanager
def cutting(url, nbytes):
    """Url of the same place through a relay, which ends each connection after so many bytes of answers."""
    real = urlsplit(url)
    listener, threads = socket.create_server(("127.0.0.1", 0)), []

    def serve():
        with suppress(OSError):
            while True:
                near = listener.accept()[0]
                far = socket.create_connection((real.hostname, real.port))
                threads.extend((Thread(target=pump, args=(near, far, 1 << 40)), Thread(target=pump, args=(far, near, nbytes))))
                for thread in threads[-2:]:
                    thread.start()

    server = Thread(target=serve)
    server.start()
    try:
        yield f"root://127.0.0.1:{listener.getsockname()[1]}{real.path}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in (server, *threads):
            thread.join(10)


@pytest.mark.usefixtures("hasty")
def test_a_connection_that_breaks_in_a_body_is_unavailable_and_no_wrong_bytes(folder):
    XrootdStorage().objects(folder).put("a", os.urandom(4 << 20))
    with cutting(folder, 1 << 20) as url:
        objects = XrootdStorage().objects(url)
        for read in (lambda: objects.get("a"), lambda: objects.get_ranges("a", [(0, 1 << 20), (3 << 20, 4 << 20)])):
            with pytest.raises(Unavailable):
                read()


def test_what_the_server_does_not_serve_is_denied(real_lake):
    server = real_lake.xrootd_url.removesuffix("//lake")
    with pytest.raises(Denied) as caught:
        XrootdStorage().objects(f"{server}//etc").get("passwd")
    assert caught.value.kind is Kind.FORBIDDEN
