"""The shapes of metadata in Rucio, without a server."""

import json

import pytest
from lakecv_catalog.rucio.metadata import IDL, JSON, IdlWriter

from lakecv.errors import Corrupt
from lakecv.facts import Condition
from lakecv.testing.catalog import a_claim, a_dataset

# Columns that the ICSC lake's published plugin and example documents have (idl-rucio, 2025-06).
COLUMNS = {
    "IDL_L4_VERS", "COMMENT", "CREATION_DATE", "ORIGINATOR", "TIME_SYSTEM", "EPOCH", "PARTICIPANT_1", "PARTICIPANT_2", "PATH",
    "REFERENCE_FRAME", "MEAS_TYPE", "MEAS_FORMAT", "MEAS_UNIT", "DATA_QUALITY", "LINK",
}  # fmt: skip


@pytest.fixture
def document():
    return json.loads(IDL.registered(a_dataset(), a_claim())["JSON"])


def test_an_idl_document_has_the_published_columns_and_holds_texts_only(document):
    assert set(document) >= COLUMNS | {"sha256"}
    assert {type(value) for value in document.values()} == {str}
    assert all(key == key.upper() for key in document if key != "sha256")


def test_an_idl_document_links_to_its_did_and_names_its_content(document):
    assert (document["LINK"], document["sha256"]) == ("museo:tavola", "a" * 64)
    assert document["CREATION_DATE"] == "2026-01-01T00:00:00"


def test_what_their_plugin_gives_back_is_read_the_columns_flat_and_without_the_hash(document):
    given = {key: value for key, value in document.items() if key != "sha256"}
    assert IDL.dataset(given) == a_dataset()
    claimed = json.loads(IDL.claimed(a_claim())["JSON"])
    assert IDL.claim({key: value for key, value in claimed.items() if key != "sha256"}) == a_claim()


def test_their_plugin_is_asked_by_the_name_that_it_wants():
    assert IDL.asked("tavola") == "get-metadata_handling:tavola"
    assert IdlWriter("JSON").asked("tavola") == "tavola"


def test_a_document_of_somebody_else_is_no_record_and_a_broken_one_is_told():
    assert IDL.dataset({"JSON": json.dumps({"LINK": "museo:tavola"})}) is None
    with pytest.raises(Corrupt):
        IDL.dataset({"JSON": "{"})


def test_a_fact_does_not_land_in_a_column_of_rucio():
    said = JSON.registered(a_dataset(), a_claim())
    assert {"bytes", "length", "project", "version", "events"} & set(said) == set()
    assert JSON.narrowed([Condition.parse("project=museo")]) == {"lakecv": "dataset", "x_project": "museo"}


def test_a_pattern_in_a_value_is_left_to_be_compared_here():
    assert JSON.narrowed([Condition.parse("author=A*"), Condition.parse("channels>=3")]) == {"lakecv": "dataset", "channels.gte": 3}
