"""What the catalog of a Rucio lake promises beside the contract of all catalogs, on any server."""

import time
from dataclasses import replace

import pytest
from lakecv_catalog.rucio.places import Place

from lakecv.errors import Conflict, Kind, NotFound
from lakecv.records import DID, Access, Claim, Replica
from lakecv.testing.catalog import CatalogContract, a_claim, a_dataset, a_manifest, a_saying

SCOPES = ("museo", "museum", "ab", "a")


def at_home(dataset, rse="INFN-PG", write_id="w1"):
    """A record as the catalog gives it back: at one storage element."""
    place = Place(rse, dataset.did, write_id)
    return replace(dataset, home=place.url, replicas=(Replica(rse, place.url, rse),))


class RucioContract(CatalogContract):
    """Give ``open_catalog`` over a server with the storage elements INFN-PG and CNAF, where one owns the scopes ``SCOPES``."""

    def dataset(self, did="museo:tavola", digest="a" * 64):
        return at_home(a_dataset(did, digest))

    def test_data_go_where_one_says_and_no_two_writers_share_a_place(self, catalog):
        places = [catalog.place(DID("museo", "tavola"), write_id, "CNAF") for write_id in ("w1", "w2")]
        assert [place.rse for place in places] == ["CNAF", "CNAF"]
        assert places[0].url != places[1].url
        assert places[0].site == "CNAF"

    def test_an_unknown_storage_element_tells_the_nearest(self, catalog):
        with pytest.raises(NotFound, match="INFN-PI") as caught:
            catalog.place(DID("museo", "tavola"), "w1", "INFN-PI")
        assert caught.value.kind is Kind.RSE_UNKNOWN
        assert "INFN-PG" in caught.value.hint

    def test_a_scope_that_nobody_has_is_told_before_anything_is_written(self, catalog):
        with pytest.raises(NotFound) as caught:
            catalog.place(DID("nobody", "tavola"), "w1", "CNAF")
        assert caught.value.kind is Kind.SCOPE_UNKNOWN

    def test_nothing_is_said_in_a_scope_that_nobody_has(self, catalog):
        with pytest.raises(NotFound) as caught:
            catalog.annotate(a_saying(did="nobody:tavola"))
        assert caught.value.kind is Kind.SCOPE_UNKNOWN

    def test_room_is_what_the_quota_leaves(self, catalog):
        before = catalog.room("INFN-PG")
        catalog.register(self.dataset(), a_manifest())
        deadline = time.monotonic() + 40
        while catalog.room("INFN-PG") == before:  # a daemon counts
            assert time.monotonic() < deadline
        assert before > catalog.room("INFN-PG") > 0

    def test_a_registration_ends_with_a_rule_at_home(self, catalog):
        catalog.register(self.dataset(), a_manifest())
        assert [(rule.rses, rule.state) for rule in catalog.rules(DID("museo", "tavola"))] == [("INFN-PG", "OK")]

    def test_the_same_content_by_another_writer_is_the_first_ones_dataset(self, catalog):
        first = catalog.register(self.dataset(), a_manifest())
        assert catalog.register(at_home(a_dataset(), write_id="w2"), a_manifest()) == first

    def test_a_registration_that_was_killed_and_left_no_data_is_done_anew_by_the_next_of_the_same_content(self, catalog):
        catalog.claim(Claim(DID("museo", "tavola"), "a" * 64, "w0", "2026-01-01T00:00:00Z"))
        done = catalog.register(at_home(a_dataset(), write_id="w2"), a_manifest())
        assert Place.parse(done.home).write_id == "w2"
        assert catalog.lookup(done.did) == done

    def test_a_name_that_was_claimed_for_other_content_is_a_conflict(self, catalog):
        catalog.claim(a_claim(write_id="w0"))
        with pytest.raises(Conflict) as caught:
            catalog.register(self.dataset(), a_manifest())
        assert caught.value.kind is Kind.DID_MEANS_SOMETHING_ELSE

    def test_a_rule_is_asked_for_once(self, catalog):
        catalog.register(self.dataset(), a_manifest())
        rules = [catalog.replicate(DID("museo", "tavola"), "CNAF", None) for _ in range(2)]
        assert rules[0].id == rules[1].id
        assert len(catalog.rules(DID("museo", "tavola"))) == 2

    def test_a_copy_that_is_not_whole_is_told_so(self, catalog):
        catalog.register(self.dataset(), a_manifest())
        catalog.replicate(DID("museo", "tavola"), "CNAF", None)
        access = {replica.rse: replica.access for replica in catalog.lookup(DID("museo", "tavola")).replicas}
        assert access["INFN-PG"] is Access.READY
        assert access.get("CNAF", Access.PARTIAL) is Access.PARTIAL
