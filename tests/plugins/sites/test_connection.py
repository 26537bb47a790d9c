"""The connection file is its owner's alone, and what is not one is told as such."""

import json
import stat

import pytest
from lakecv_plugins.sites import connection
from lakecv_plugins.sites.connection import Connection, blas

from lakecv.errors import Infeasible, InvalidInput, Kind

KEYS = {"ca": "A", "cert": "B", "key": "C"}
USUAL = Connection("slurm", "tls://10.0.0.1:8786", KEYS, 2, 1 << 30, ports=(8700, 8800), interface="ib0", versions=connection.versions())


@pytest.fixture
def path(tmp_path):
    connection.write(tmp_path / "connection.json", USUAL)
    return tmp_path / "connection.json"


def changed(path, **fields):
    held = {**json.loads(path.read_text()), **fields}
    path.write_text(json.dumps(held))


def test_what_is_written_is_read_and_is_the_owners_alone(path):
    assert connection.read(path) == USUAL
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_file_that_others_may_open_is_refused(path, mode):
    path.chmod(mode)
    with pytest.raises(InvalidInput, match=f"mode {mode & 0o077:03o}"):
        connection.read(path)


NOT_ONE = {
    "empty": "", "half": '{"executor": "slurm", "addr', "a list": "[1, 2]", "foreign": '{"version": 1}', "text": '"slurm"', "null": "null",
    "odd versions": '{"versions": 7}', "bytes": "\x00\x01",
}  # fmt: skip


@pytest.mark.parametrize("text", NOT_ONE.values(), ids=NOT_ONE)
def test_what_is_no_connection_file_is_told_so(path, text):
    path.write_text(text)
    with pytest.raises(InvalidInput, match=r"connection\.json is not a connection file") as caught:
        connection.read(path)
    assert caught.value.kind == Kind.CONFIG_INVALID


ODD = {"threads": "two", "memory_nbytes": None, "keys": {"ca": "A"}, "ports": [1, "x"], "address": 3, "gpus": "0"}


@pytest.mark.parametrize("name", ODD)
def test_a_value_of_another_kind_is_told_so(path, name):
    changed(path, **{name: ODD[name]})
    with pytest.raises(InvalidInput, match="not a connection file"):
        connection.read(path)


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(InvalidInput, match="No such file"):
        connection.read(tmp_path / "connection.json")


def test_versions_that_differ_are_told_in_one_line_also_where_the_file_is_of_a_later_form(path):
    here = connection.versions()
    changed(path, versions={**here, "numpy": "9.9", "python": "4.0"}, novelty=1)
    with pytest.raises(Infeasible) as caught:
        connection.read(path)
    assert caught.value.kind == Kind.VERSIONS_DIFFER
    assert f"python {here['python']} here, 4.0 there; numpy {here['numpy']} here, 9.9 there" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_keys_of_two_pools_differ_and_are_whole():
    one, other = connection.temporary_keys(), connection.temporary_keys()
    assert one["key"] != other["key"]
    assert connection.security_of(one).require_encryption


def test_what_decides_the_last_bits_travels_with_the_connection(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setenv("OPENSSL_CONF", "x")
    assert blas()["OPENBLAS_CORETYPE"] == "Haswell"
    assert all(name.startswith("OPENBLAS_") for name in blas())
