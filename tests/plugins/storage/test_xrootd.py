"""The XRootD storage without a server: urls, and what answers mean.  The bytes are tested in tests/lake."""

import socket
from types import SimpleNamespace

import pytest
from lakecv_plugins.storage.xrootd import XrootdStorage
from lakecv_plugins.storage.xrootd_client import answer, place_of

from lakecv.errors import Conflict, Corrupt, Denied, InvalidInput, Kind, LakeCVError, NotFound, Unavailable


def failure(use):
    with pytest.raises(LakeCVError) as caught:
        use()
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize(
    "url",
    ["root://", "root:///p", "root://h", "root://h/", "root://u:canary@h//p", "root://h//a//b", "root://h//../x", "root://h//p?canary=1", "root://h//p#x", "https://h//p"],
)
def test_what_names_no_folder_of_a_server_is_refused(url):
    error = failure(lambda: XrootdStorage().objects(url))
    assert error.kind is Kind.PATH_MALFORMED
    assert "canary" not in str(error) + error.hint


@pytest.mark.parametrize("url", ["root://h:1094//lake/p", "root://h:1094//lake/p/", "root://h:1094/lake/p"])
def test_a_path_is_absolute_and_has_two_slashes(url):
    assert XrootdStorage().objects(url).url == "root://h:1094//lake/p"


def test_credentials_are_not_named():
    assert failure(lambda: XrootdStorage().objects("root://h//p", "env:X")).kind is Kind.OPTION_INVALID


def test_a_key_is_never_taken_for_opaque_data():
    objects = XrootdStorage().objects("root://127.0.0.1:9//p")
    assert failure(lambda: objects.get("a?authz=x")).kind is Kind.PATH_MALFORMED


def test_a_url_is_cut_into_server_and_path():
    place = place_of("root://u@h:1//lake/a?authz=Bearer%20canary")
    assert place == ("root://u@h:1/", "/lake/a?authz=Bearer%20canary", "root://h:1//lake/a")


def test_a_server_that_is_not_there_is_said_soon():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    error = failure(lambda: XrootdStorage().objects(f"root://127.0.0.1:{port}//p").get("a"))
    assert isinstance(error, Unavailable)
    assert f"root://127.0.0.1:{port}//p/a cannot be reached: connection error" in str(error)


def said(code, words=""):
    """A status as the client gives it: of the server from 3000 on, else its own."""
    if code < 3000:
        return SimpleNamespace(ok=False, code=code, errno=0, message=f"[FATAL] {words}")
    return SimpleNamespace(ok=False, code=400, errno=code, message=f"[ERROR] Server responded with an error: [{code}] {words}\n")


@pytest.mark.parametrize(
    ("code", "words", "error", "kind"),
    [
        (3011, "Unable to open /lake/canary; no such file or directory", NotFound, Kind.OBJECT_UNKNOWN),
        (3016, "Unable to open /lake/canary; is a directory", NotFound, Kind.OBJECT_UNKNOWN),
        (3018, "Unable to create /lake/canary; file exists", Conflict, Kind.OUTPUT_EXISTS),
        (3010, "Opening path '/lake/canary' is disallowed.", Denied, Kind.FORBIDDEN),
        (3025, "read-only file system", Denied, Kind.FORBIDDEN), (204, "Auth failed", Denied, Kind.FORBIDDEN),
        (3009, "no space left on device", Denied, Kind.STORE_FULL), (3021, "quota exceeded", Denied, Kind.STORE_FULL),
        (3019, "checksum error", Corrupt, Kind.CHECKSUM_MISMATCH),
        (3013, "not supported", InvalidInput, Kind.CONFIG_INVALID), (110, "TLS error", InvalidInput, Kind.CONFIG_INVALID),
        (3005, "Unable to locate /lake/canary; not a directory", NotFound, Kind.OBJECT_UNKNOWN),
        (3005, "Unable to read /lake/canary; stale file handle", Unavailable, Kind.STORE_UNREACHABLE),
        (3007, "input/output error", Unavailable, Kind.STORE_UNREACHABLE), (3024, "overloaded", Unavailable, Kind.STORE_UNREACHABLE),
        (206, "Operation expired", Unavailable, Kind.STORE_UNREACHABLE), (108, "Connection error", Unavailable, Kind.STORE_UNREACHABLE),
    ],
)  # fmt: skip
def test_an_answer_means_one_thing(code, words, error, kind):
    found = failure(lambda: answer(said(code, words), "root://h//lake/a"))
    assert (type(found), found.kind) == (error, kind)
    assert "root://h//lake/a" in str(found)
    assert "canary" not in str(found)


def test_what_would_lie_below_an_object_is_a_conflict():
    status = said(3005, "Unable to create /lake/a/b; not a directory")
    assert isinstance(failure(lambda: answer(status, "root://h//lake/a/b", writing=True)), Conflict)
