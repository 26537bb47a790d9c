"""Bearer tokens: the four places, in order, and what is refused before any request."""

import base64
import json
import os
import time

import pytest
from lakecv_plugins.storage import token as module
from lakecv_plugins.storage.token import find_token

from lakecv.errors import Denied, Kind


@pytest.fixture(autouse=True)
def nothing(monkeypatch, tmp_path):
    """Start without any token, and with a folder in place of /tmp."""
    for name in ("BEARER_TOKEN", "BEARER_TOKEN_FILE", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "shared").mkdir()
    monkeypatch.setattr(module, "_SHARED", tmp_path / "shared")


def written(path, text, mode=0o600):
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def jwt(**claims):
    parts = [base64.urlsafe_b64encode(json.dumps(each).encode()).decode().rstrip("=") for each in ({"alg": "RS256"}, claims)]
    return ".".join((*parts, "c2lnbmF0dXJl"))


def failure():
    with pytest.raises(Denied) as caught:
        find_token()
    assert caught.value.hint
    return caught.value


def test_without_any_token_there_is_none():
    assert find_token() is None


def test_the_first_place_is_the_variable(monkeypatch, tmp_path):
    monkeypatch.setenv("BEARER_TOKEN", " one\n")
    monkeypatch.setenv("BEARER_TOKEN_FILE", str(written(tmp_path / "t", "two")))
    assert find_token() == "one"


def test_the_second_place_is_the_file_that_the_variable_names(monkeypatch, tmp_path):
    monkeypatch.setenv("BEARER_TOKEN_FILE", str(written(tmp_path / "t", "two\n")))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(written(tmp_path / "run" / f"bt_u{os.geteuid()}", "three").parent))
    assert find_token() == "two"


def test_the_third_place_is_the_runtime_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(written(tmp_path / "run" / f"bt_u{os.geteuid()}", "three").parent))
    written(tmp_path / "shared" / f"bt_u{os.geteuid()}", "four")
    assert find_token() == "three"


def test_the_fourth_place_is_the_shared_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "absent"))
    written(tmp_path / "shared" / f"bt_u{os.geteuid()}", "four\n")
    assert find_token() == "four"


def test_a_token_that_was_renewed_is_read_again(monkeypatch, tmp_path):
    file = written(tmp_path / "t", "old")
    monkeypatch.setenv("BEARER_TOKEN_FILE", str(file))
    assert find_token() == "old"
    file.write_text("new")
    assert find_token() == "new"


@pytest.mark.parametrize(
    ("make", "cause"),
    [
        (lambda path: path, "does not exist"), (lambda path: path.mkdir() or path, "not a file"),
        (lambda path: written(path, " \n"), "is empty"), (lambda path: written(path, "t", 0o644), "others may read"),
        (lambda path: written(path, "a\nb"), "more than a token"), (lambda path: written(path, "é"), "holds no token"),
    ],
)  # fmt: skip
def test_a_token_file_that_cannot_be_used_is_denied(monkeypatch, tmp_path, make, cause):
    path = make(tmp_path / "token")
    monkeypatch.setenv("BEARER_TOKEN_FILE", str(path))
    error = failure()
    assert error.kind is Kind.FORBIDDEN
    assert cause in str(error)
    assert str(path) in str(error)


def test_a_token_whose_time_is_over_is_denied(monkeypatch):
    monkeypatch.setenv("BEARER_TOKEN", jwt(exp=time.time() - 310, sub="canary"))
    error = failure()
    assert error.kind is Kind.TOKEN_EXPIRED
    assert "it expired 5 min ago" in str(error)
    assert "canary" not in str(error) + error.hint


@pytest.mark.parametrize(
    "token", [jwt(exp=4e9), jwt(sub="x"), "a.b.c", "no-jwt", "a.W10.c", jwt(exp="soon")], ids=["later", "no-exp", "no-json", "no-jwt", "a-list", "a-word"],
)
def test_what_is_not_known_to_be_over_is_passed_on(monkeypatch, token):
    monkeypatch.setenv("BEARER_TOKEN", token)
    assert find_token() == token
