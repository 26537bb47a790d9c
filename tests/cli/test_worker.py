"""`lakecv worker`: what a job script types, given what it cannot use."""

import json

import pytest
from lakecv_plugins.sites import connection
from typer.testing import CliRunner

from lakecv.cli import app

CASES = {
    "absent": (None, 2, "cannot be read"), "empty": ("", 2, "is not a connection file"), "list": ("[1]", 2, "is not a connection file"),
    "foreign": ('{"a": 1}', 2, "is not a connection file"), "half": ('{"executor": "sl', 2, "is not a connection file"),
    "no jobs": ('{"executor": "local"}', 9, "'local' has no jobs"), "unknown": ('{"executor": "slrm"}', 3, "slrm"),
    "old": ('{"executor": "slurm"}', 2, "is not a connection file"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "code", "words"), CASES.values(), ids=CASES)
def test_a_file_that_is_no_connection_file_is_told(tmp_path, text, code, words):
    path = tmp_path / "connection.json"
    if text is not None:
        path.write_text(text)
        path.chmod(0o600)
    done = CliRunner().invoke(app, ["worker", "--connection", str(path)])
    assert (done.exit_code, words in done.output) == (code, True), done.output


def test_versions_that_differ_are_told_and_left_where_the_run_looks(tmp_path, monkeypatch):
    path = tmp_path / "connection.json"
    usual = connection.Connection("slurm", "tls://127.0.0.1:1", {"ca": "", "cert": "", "key": ""}, 1, 1 << 30, versions={"numpy": "0.1"})
    connection.write(path, usual)
    monkeypatch.setenv("LAKECV_JOB", "17")
    done = CliRunner().invoke(app, ["worker", "--connection", str(path)])
    assert done.exit_code == 7, done.output
    assert json.loads((tmp_path / "job-17.verdict").read_text())["kind"] == "versions-differ"


def test_a_scheduler_that_nobody_reaches_is_told(tmp_path):
    path = tmp_path / "connection.json"
    usual = connection.Connection("slurm", "tls://127.0.0.1:1", connection.temporary_keys(), 1, 1 << 30, interface="lo", patience_seconds=0.5)
    connection.write(path, usual)
    done = CliRunner().invoke(app, ["worker", "--connection", str(path)])
    assert done.exit_code == 6, done.output
    assert "the scheduler at tls://127.0.0.1:1 was not reached" in done.output
