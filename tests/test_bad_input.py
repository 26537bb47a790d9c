"""Every bad input of the table ends as the table says: code, kind, cause, hint, and a lake in which nothing is left."""

import importlib
import re
import shlex
import shutil
import tomllib
from pathlib import Path

import pytest
from lakecv_catalog.rucio.server import _server

from lakecv import registry
from lakecv.api import Lake, registering
from lakecv.errors import Kind
from tests.bad_inputs.situation import Place, convert_here, cube, saved, work_here
from tests.rucio_server import FakeRucio

TABLE = tomllib.loads(Path(__file__).with_name("bad_input.toml").read_text(encoding="utf-8"))["case"]
CASES = [case for case in TABLE if "not_applicable" not in case]
CODES = {"error": {1, *range(2, 10), 75}, "warning": {0}, "no-op": {0}}
FAILED_BLOCKS = "blocks-failed"


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A lake with one cube, copied for every case."""
    folder = tmp_path_factory.mktemp("template")
    patch = pytest.MonkeyPatch()
    patch.setattr(registering, "convert_apart", convert_here)
    Lake(folder / "lake").register(saved(folder, cube(), "good.npy"), "museo:tavola")
    patch.undo()
    return folder


@pytest.fixture
def place(template, tmp_path, monkeypatch, request):
    shutil.copytree(template, tmp_path / "home")
    lake, good = tmp_path / "home" / "lake", tmp_path / "home" / "good.npy"
    monkeypatch.setenv("LAKECV_SCOPE", "museo")
    monkeypatch.setattr(registering, "convert_apart", convert_here)
    work_here(monkeypatch)
    folder = tmp_path / "files"
    folder.mkdir()
    yield Place(folder, lake, monkeypatch, {"cube": str(good), "lake": str(lake), "folder": str(folder)}, fixture=request.getfixturevalue)
    registry.forget()  # strangers' plugins leave with the case that brought them


@pytest.fixture
def rucio(monkeypatch):
    """A Rucio server in memory; nobody waits for one that does not answer, and no token lies in /tmp."""
    monkeypatch.setattr("lakecv_catalog.rucio.server._WAIT_SECONDS", 0.01)
    monkeypatch.setattr("rucio.client.baseclient.MAX_RETRY_BACK_OFF_SECONDS", 0.01)
    monkeypatch.setattr("lakecv_plugins.storage.token._SHARED", Path("/nowhere"))
    with FakeRucio() as rucio:
        yield rucio
    _server.cache_clear()


def given(place, text):
    """Make what is wrong: call ``module.function`` with the words after it."""
    name, *words = shlex.split(text)
    module, _, function = name.partition(".")
    made = getattr(importlib.import_module(f"tests.bad_inputs.{module}"), function)(place, *words)
    place.words |= made if isinstance(made, dict) else {} if made is None else {"file": str(made)}


def says(text, pattern):
    """Say whether a text holds a pattern, in which ``...`` stands for anything."""
    return re.search(".*".join(re.escape(part) for part in pattern.split("...")), text) is not None


def title(case):
    return f"{case['number']}-{case['title'].replace(' ', '-')}"


@pytest.mark.parametrize("case", CASES, ids=title)
def test_a_bad_input_ends_as_the_table_says(case, place):
    if "given" in case:
        given(place, case["given"])
    if case.get("apart"):
        place.read_apart()
    before = place.objects()
    typed = place.command(*(word.format_map(place.words) for word in shlex.split(case["command"])), "--json")
    assert (typed.code, "Traceback" in typed.err + typed.out) == (case["code"], False), typed
    assert says(typed.err, case["cause"]), typed.err
    if case["verdict"] == "error":
        check_error(case, typed)
        if not place.changes_lake:
            assert place.objects() == before
        assert visible(place.objects()) == visible(before)
    else:
        assert "error: " not in typed.err
        assert all(place.open().verify(str(dataset.did)).ok for dataset in place.open().ls())
    for check in place.after:
        check(typed)


def visible(objects):
    """Documents of the catalog: what a reader of the lake sees."""
    return {key: data for key, data in objects.items() if key.endswith("/dataset.json")}


def check_error(case, typed):
    """One error line with its kind, a hint, and the same facts as JSON."""
    [line] = [line for line in typed.err.splitlines() if line.startswith("error: ")]
    assert line.endswith(f" [{case['kind']}]"), line
    [hint] = [line for line in typed.err.splitlines() if line.startswith("hint: ")]
    assert says(hint, case["hint"]), hint
    if case["kind"] == FAILED_BLOCKS or not typed.out:
        return
    if "error" not in typed.json:  # verify and open list what they found
        assert typed.json["ok"] is False
        return
    error = typed.json["error"]
    assert (error["kind"], error["exit_code"]) == (case["kind"], case["code"])
    assert says(error["message"], case["cause"])
    assert says(error["hint"], case["hint"])


def test_the_table_is_complete_and_speaks_of_known_kinds():
    wanted = {*range(1, 25), 26, *range(28, 31), *range(33, 56), 58, *range(60, 67), *range(68, 100),
              *range(101, 112), *range(114, 130)}  # fmt: skip
    assert {case["number"] for case in TABLE} >= wanted
    assert {case["kind"] for case in CASES if case["verdict"] == "error"} <= {*map(str, Kind), FAILED_BLOCKS}
    assert all(case["cause"] and case["hint"] for case in CASES if case["verdict"] == "error")
    assert all(case["code"] in CODES[case["verdict"]] for case in CASES)


def test_no_title_comes_twice():
    titles = [title(case) for case in TABLE]
    assert len(titles) == len(set(titles))
