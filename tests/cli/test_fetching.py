"""``fetch`` and ``open`` typed against a real lake."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from lakecv.api import Lake
from lakecv.cli import app
from lakecv.ports import ReadHints


@pytest.fixture
def typed(tmp_path, monkeypatch):
    """Type a command in a folder beside a lake with one dataset."""
    monkeypatch.chdir(tmp_path)
    np.save("cube.npy", np.arange(8 * 6 * 4, dtype="uint16").reshape(8, 6, 4))
    Lake("lake").register("cube.npy", "museo:tavola", hints=ReadHints(dims="y,x,spectral"))

    def type_words(*words):
        return CliRunner().invoke(app, ["--lake", "lake", *words], prog_name="lakecv")

    return type_words


def test_what_is_fetched_opens_without_the_lake(typed, tmp_path):
    assert typed("fetch", "museo:tavola", "out").exit_code == 0
    (tmp_path / "lake").rename(tmp_path / "gone")
    told, asked = typed("open", "out"), typed("open", "out", "--json")
    assert (told.exit_code, asked.exit_code) == (0, 0)
    assert "data  (y, x, spectral)  8 x 6 x 4 uint16" in told.stdout
    assert json.loads(asked.stdout)["ok"]


def test_a_folder_that_is_there_is_not_overwritten(typed):
    assert typed("fetch", "museo:tavola", "out").exit_code == 0
    again = typed("fetch", "museo:tavola", "out")
    assert again.exit_code == 4
    assert "hint: remove it or choose another name" in again.stderr


def test_nothing_is_fetched_into_the_lake_itself(typed):
    assert typed("fetch", "museo:tavola", "lake/data/out").exit_code == 2


def test_a_damaged_folder_exits_8_and_names_the_file(typed, tmp_path):
    typed("fetch", "museo:tavola", "out")
    [chunk] = (tmp_path / "out").glob("data/c/0/0/0")
    chunk.write_bytes(chunk.read_bytes()[:-1])
    done = typed("open", "out")
    assert (done.exit_code, "  corrupt     data/c/0/0/0" in done.stdout) == (8, True)
