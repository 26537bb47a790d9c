"""DIDs and manifests."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakecv.errors import InvalidInput
from lakecv.records import DID, Manifest, StoredObject


@pytest.mark.parametrize("text", [
    "", "name", ":", "a:", ":b", "a:b:c", "scope:a/../../etc", "/x", "s:x\n", "s:-rf", "-s:x", "s:" + "a" * 251, "s" * 26 + ":x",
    "s:caf\u00e9", "s:\U0001f600", "s:a\u202eb", "s:a b", "s:a..b", "s:a\x00", "s:.hidden", "a/b:c", "s:а",  # noqa: RUF001
])
def test_what_is_no_did_is_refused(text):
    with pytest.raises(InvalidInput) as caught:
        DID.parse(text)
    assert caught.value.kind == "did-malformed"


@given(st.text())
def test_any_text_is_a_did_or_invalid_input(text):
    try:
        did = DID.parse(text)
    except InvalidInput:
        return
    assert str(did) == text


def test_a_missing_scope_can_have_a_default():
    assert DID.parse("x", "museo") == DID("museo", "x")


def test_artifacts_do_not_change_what_the_data_are():
    data = (StoredObject("c/0", 3, "00000001", "00000002"),)
    assert Manifest(data).digest == Manifest(data, (StoredObject("report.html", 1, "0" * 8, "0" * 8),)).digest
