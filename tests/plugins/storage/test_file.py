"""Storage in a folder: the contract, and what only folders have."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr
from lakecv_plugins.storage.file import FileStorage
from obstore.exceptions import GenericError
from zarr.storage import LocalStore

from lakecv.errors import Conflict, Denied, InvalidInput, Kind, NotFound, Unavailable
from lakecv.testing.storage import StorageContract


class TestFileStorage(StorageContract):
    @pytest.fixture
    def open_objects(self, tmp_path):
        return lambda: FileStorage().objects(str(tmp_path / "my lake é"))


def test_opening_to_read_makes_no_folder(tmp_path):
    objects = FileStorage().objects(str(tmp_path / "lake"))
    assert (list(objects.list()), objects.head("a"), objects.delete("a")) == ([], None, None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("spelling", ["{path}", "file://{path}", "file://localhost{path}", "lake", "./x/../lake"])
def test_a_folder_is_named_by_path_or_url(tmp_path, monkeypatch, spelling):
    monkeypatch.chdir(tmp_path)
    FileStorage().objects(spelling.format(path=tmp_path / "lake")).put("a", b"1")
    assert (tmp_path / "lake" / "a").read_bytes() == b"1"


def test_the_url_of_a_folder_opens_it_again(tmp_path):
    objects = FileStorage().objects(str(tmp_path / "50 % é#?"))
    objects.put("a", b"1")
    assert FileStorage().objects(objects.url).get("a") == b"1"


@pytest.mark.parametrize("url", ["file://elsewhere/x", "file:x", "", "a\0b"])
def test_what_names_no_folder_is_refused(url):
    with pytest.raises(InvalidInput) as caught:
        FileStorage().objects(url)
    assert caught.value.kind is Kind.PATH_MALFORMED


def test_a_file_is_no_lake(tmp_path):
    (tmp_path / "scan.npy").write_bytes(b"")
    with pytest.raises(InvalidInput, match="a folder was expected"):
        FileStorage().objects(str(tmp_path / "scan.npy"))


def test_a_folder_takes_no_credentials(tmp_path):
    with pytest.raises(InvalidInput):
        FileStorage().objects(str(tmp_path), "env:TOKEN")


def test_what_others_named_can_be_read(tmp_path):
    (tmp_path / "mean é #2 %41").mkdir()
    (tmp_path / "mean é #2 %41" / "c 0").write_bytes(b"1")
    objects = FileStorage().objects(str(tmp_path))
    assert [objects.get(info.key) for info in objects.list()] == [b"1"]


@pytest.fixture
def small_files():
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("small_files")
def test_what_does_not_fit_leaves_nothing(tmp_path):
    objects = FileStorage().objects(str(tmp_path / "lake"))
    with pytest.raises(Denied, match="does not fit") as caught:
        objects.put("a/b", bytes(3 << 20))
    assert caught.value.kind is Kind.STORE_FULL
    assert list(objects.list()) == []
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_what_a_killed_writer_left_is_not_listed(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b#1").write_bytes(b"half")
    objects = FileStorage().objects(str(tmp_path))
    assert list(objects.list()) == []
    objects.put("a/b", b"whole")
    assert [info.key for info in objects.list()] == ["a/b"]


@pytest.mark.parametrize(
    ("number", "error", "kind"),
    [(28, Denied, Kind.STORE_FULL), (122, Denied, Kind.STORE_FULL), (13, Denied, Kind.FORBIDDEN),
     (30, Denied, Kind.FORBIDDEN), (36, InvalidInput, Kind.PATH_MALFORMED), (5, Unavailable, Kind.STORE_UNREACHABLE),
     (116, Unavailable, Kind.STORE_UNREACHABLE), (20, Conflict, Kind.OUTPUT_EXISTS)],
)  # fmt: skip
def test_a_system_error_says_what_to_do(tmp_path, monkeypatch, number, error, kind):
    objects = FileStorage().objects(str(tmp_path))
    failing = GenericError(f"Generic LocalFileSystem error: {os.strerror(number)} (os error {number})\n\nDebug source:")
    monkeypatch.setattr(objects._root, "make", lambda _: (_ for _ in ()).throw(failing))
    with pytest.raises(error) as caught:
        objects.put("a", b"1")
    assert caught.value.kind is kind
    assert "Debug" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_of_somebody_else_is_forbidden(tmp_path):
    tmp_path.chmod(0o555)
    with pytest.raises(Denied) as caught:
        FileStorage().objects(str(tmp_path)).put("a", b"1")
    assert caught.value.kind is Kind.FORBIDDEN


def test_an_object_cannot_lie_below_another(tmp_path):
    objects = FileStorage().objects(str(tmp_path))
    objects.put("a", b"1")
    with pytest.raises(Conflict):
        objects.put("a/b", b"1")
    assert objects.head("a/b") is None


def test_too_long_a_name_is_refused(tmp_path):
    with pytest.raises(InvalidInput) as caught:
        FileStorage().objects(str(tmp_path)).put("x" * 300, b"1")
    assert caught.value.kind is Kind.PATH_MALFORMED


_FORKED = """
import os, sys
from lakecv_plugins.storage.file import FileStorage
from lakecv.errors import InternalError
objects = FileStorage().objects(sys.argv[1])
objects.put("a", b"1")
child = os.fork()
if child == 0:
    try:
        FileStorage().objects(sys.argv[1]).get("a")
    except InternalError:
        os._exit(7)
    os._exit(1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_child_is_told_instead_of_hanging(tmp_path):
    done = subprocess.run([sys.executable, "-c", _FORKED, str(tmp_path)], timeout=20, check=False)
    assert done.returncode == 7


def test_zarr_reads_what_zarr_wrote_and_may_not_write(tmp_path):
    source = np.arange(100, dtype="f4").reshape(10, 10)
    zarr.create_array(LocalStore(tmp_path), name="a", data=source, chunks=(5, 5), shards=(10, 10))
    group = zarr.open_group(FileStorage().store(tmp_path.as_uri()), mode="r")
    np.testing.assert_array_equal(group["a"][2:7, 3:9], source[2:7, 3:9])
    with pytest.raises(ValueError, match="read-only"):
        group["a"][0] = 1


def test_a_zarr_store_that_is_not_there_is_not_found(tmp_path):
    with pytest.raises(NotFound):
        FileStorage().store(str(tmp_path / "nothing"))
    assert not Path(tmp_path / "nothing").exists()
