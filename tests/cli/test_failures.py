"""Every way out that is not success: code, line, hint, JSON, and never a traceback unless asked for."""

import json
from pathlib import Path

import jsonschema
import pytest

from lakecv import errors
from lakecv.errors import Kind

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "schema" / "error.json").read_text())
CLASSES = {
    errors.InvalidInput: 2, errors.NotFound: 3, errors.Conflict: 4, errors.Denied: 5, errors.Unavailable: 6, errors.Infeasible: 7,
    errors.Corrupt: 8, errors.PluginError: 9, errors.InternalError: 70,
}  # fmt: skip


@pytest.mark.parametrize(("kind_of_error", "code"), CLASSES.items(), ids=lambda item: getattr(item, "__name__", item))
def test_every_error_becomes_a_line_a_hint_and_its_code(lakecv, lake, kind_of_error, code):
    lake.answers["show"] = kind_of_error("it is so\x1b[2J", Kind.DATASET_UNKNOWN, "do this")
    done = lakecv("show", "a:b")
    assert (done.code, done.out) == (code, "")
    assert done.err == "error: it is so [dataset-unknown]\nhint: do this\n"


def test_an_error_as_json_says_the_same(lakecv, lake):
    lake.answers["show"] = errors.NotFound("there is no dataset", Kind.DATASET_UNKNOWN, "did you mean 'a:c'?")
    done = lakecv("show", "a:b", "--json")
    jsonschema.validate(done.json, SCHEMA)
    assert done.json["error"] == {
        "kind": "dataset-unknown", "message": "there is no dataset", "hint": "did you mean 'a:c'?", "exit_code": 3,
    }  # fmt: skip
    assert done.err.startswith("error: there is no dataset [dataset-unknown]\n")


@pytest.mark.parametrize("words", [("--debug", "show", "a:b"), ("show", "a:b", "--debug")])
def test_debug_shows_the_traceback(lakecv, lake, words):
    lake.answers["show"] = errors.NotFound("there is no dataset")
    done = lakecv(*words)
    assert done.code == 3
    assert "Traceback (most recent call last)" in done.err


def test_a_bug_asks_for_a_report_with_the_same_command(lakecv, lake):
    lake.answers["show"] = ZeroDivisionError("division by zero")
    done = lakecv("show", "a:b c")
    assert done.code == 70
    assert "error: lakecv made a mistake: ZeroDivisionError: division by zero [bug]" in done.err
    assert "lakecv --debug show 'a:b c'" in done.err
    assert "Traceback" not in done.err


def test_an_interrupted_run_exits_75_and_names_resume(lakecv, lake):
    lake.answers["run"] = errors.Unavailable("12/24 blocks are committed", Kind.INTERRUPTED, "lakecv resume r-0001")
    done = lakecv("run", "kmeans", "a:b")
    assert (done.code, done.err.splitlines()[-1]) == (75, "hint: lakecv resume r-0001")


def test_a_broken_connection_is_not_taken_for_a_closed_stdout(lakecv, lake):
    lake.answers["ls"] = BrokenPipeError(32, "Broken pipe")
    assert lakecv("ls").code == 6


def test_a_misspelt_command_is_told_the_nearest(lakecv):
    done = lakecv("regster", "x")
    assert (done.code, done.err) == (2, "error: there is no command 'regster' [command-unknown]\nhint: did you mean 'register'?\n")


def test_a_misspelt_option_is_told_the_nearest(lakecv):
    done = lakecv("run", "kmeans", "a:b", "--seeed", "1")
    assert (done.code, done.err) == (2, "error: No such option: --seeed [option-unknown]\nhint: did you mean '--seed'?\n")


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (("run", "kmeans"), "option-invalid"),
        (("run", "kmeans", "a:b", "--seed", "x"), "option-invalid"),
        (("run", "kmeans", "a:b", "--seed", "-1"), "option-invalid"),
        (("run", "kmeans", "a:b", "--set", "k"), "option-invalid"),
        (("run", "kmeans", "a:b", "--set", "=6"), "option-invalid"),
        (("run", "kmeans", "a:b", "--set", "k=6", "--set", "k=7"), "option-invalid"),
        (("register", "f", "a:b", "--name", "a:c"), "option-invalid"),
        (("register", "-rf"), "option-unknown"),
        (("register", "f", "--order", "Z"), "option-invalid"),
        (("register", "f", "--shape", "480"), "shape-invalid"),
        (("register", "f", "--shape", "480,-1"), "shape-invalid"),
        (("register", "f", "--shape", "4\u00b2,5"), "shape-invalid"),
        (("config",), "option-invalid"),
        (("config", "shwo"), "command-unknown"),
    ],
)
def test_what_cannot_be_used_exits_2_before_the_lake_is_opened(lakecv, lake, words, kind):
    done = lakecv(*words, "--json") if words[0] != "config" else lakecv(*words)
    assert done.code == 2
    assert f"[{kind}]" in done.err
    assert "\nhint: " in done.err
    assert lake.calls == []


def test_an_unknown_model_is_told_the_nearest(lakecv):
    done = lakecv("models", "kmean")
    assert (done.code, done.err) == (3, "error: there is no model 'kmean' [model-unknown]\nhint: did you mean 'kmeans'?\n")
