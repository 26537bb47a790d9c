"""Which replica is read: near before far, and for each that cannot be read its own cause."""

import pytest

from lakecv.errors import Infeasible, Kind, Unavailable
from lakecv.planning.placement import choose_replica, is_near
from lakecv.records import DID, Access, Replica
from lakecv.site import Link, Resources, Site

CUBE = DID("museo", "tavola")
SITE = Site("here", "local", Resources(1, 4 << 30), 2, ("INFN-PG",))
CAUSES = [
    (Access.DOWN, Unavailable, Kind.RSE_UNREACHABLE, 6, "closed for reading"),
    (Access.PARTIAL, Unavailable, Kind.RSE_UNREACHABLE, 6, "does not hold all objects yet"),
    (Access.TAPE, Infeasible, Kind.STAGING_NEEDED, 7, "on tape"),
    (Access.NO_PROTOCOL, Infeasible, Kind.PROTOCOL_UNKNOWN, 7, "no protocol that lakecv speaks"),
]


def held(rse, access=Access.READY, site=""):
    return Replica(rse, f"data/{rse}", site, access)


def refused(*replicas):
    with pytest.raises((Infeasible, Unavailable)) as caught:
        choose_replica(SITE, replicas, 1, CUBE)
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize(
    ("replica", "near"),
    [
        (held("INFN-PG"), True), (held("PG-DISK", site="INFN-PG"), True), (held("CNAF", site="CNAF"), False), (held("CNAF"), False),
        (held("INFN-PG-2"), False),
    ],
)  # fmt: skip
def test_a_replica_is_near_by_its_storage_element_or_by_its_site(replica, near):
    assert is_near(SITE, replica) == near


def test_a_site_that_names_nothing_as_near_has_nothing_near():
    nowhere = Site("here", "local", Resources(1, 4 << 30), 2, ("",))
    assert not is_near(nowhere, held("CNAF"))


def test_the_replica_at_the_site_is_read_though_another_comes_first():
    chosen, reasons = choose_replica(SITE, (held("CNAF", site="CNAF"), held("PG-DISK", site="INFN-PG")), 10**9, CUBE)
    assert chosen.rse == "PG-DISK"
    assert [(reason.subject, reason.chosen) for reason in reasons] == [("PG-DISK", True), ("CNAF", False)]
    assert reasons[0].text.startswith("near here")
    assert reasons[1].text.startswith("far from here")
    assert reasons[1].text.endswith("slower than PG-DISK")


def test_of_two_that_are_as_fast_the_choice_is_always_the_same():
    pair = (held("B"), held("A"))
    assert choose_replica(SITE, pair, 1, CUBE)[0] == choose_replica(SITE, pair[::-1], 1, CUBE)[0] == held("A")


@pytest.mark.parametrize("access", [cause[0] for cause in CAUSES])
def test_a_far_replica_that_can_be_read_is_taken_before_a_near_one_that_cannot(access):
    near = held("INFN-PG", access)
    chosen, reasons = choose_replica(SITE, (near, held("CNAF")), 1, CUBE)
    assert chosen.rse == "CNAF"
    assert [(reason.subject, reason.chosen) for reason in reasons] == [("CNAF", True), ("INFN-PG", False)]
    assert len({choose_replica(SITE, (held("INFN-PG", each), held("CNAF")), 1, CUBE)[1][1].text for each, *_ in CAUSES}) == len(CAUSES)


def test_a_fast_link_to_what_cannot_be_read_changes_nothing():
    fast = Site("here", "local", Resources(1, 4 << 30), 2, ("INFN-PG",), (Link("TAPE", 1e12, 0.0),))
    assert choose_replica(fast, (held("TAPE", Access.TAPE), held("CNAF")), 10**9, CUBE)[0].rse == "CNAF"


@pytest.mark.parametrize(("access", "error", "kind", "code", "text"), CAUSES)
def test_each_cause_has_its_error_with_the_storage_element_in_it(access, error, kind, code, text):
    raised = refused(held("CNAF", access))
    assert (type(raised), raised.kind, raised.exit_code) == (error, kind, code)
    assert "CNAF" in str(raised)
    assert text in str(raised)


@pytest.mark.parametrize("index", range(len(CAUSES) - 1))
def test_the_cause_that_passes_soonest_is_told_first(index):
    rest = [held(f"RSE-{access}", access) for access, *_ in CAUSES[index:]]
    raised = refused(*rest[::-1])
    assert CAUSES[index][4] in str(raised)
    assert f"RSE-{CAUSES[index][0]}" in str(raised)


def test_all_storage_elements_of_the_cause_are_named_in_order():
    assert "A, B is closed" in str(refused(held("B", Access.DOWN), held("A", Access.DOWN), held("C", Access.TAPE)))


def test_no_replica_at_all_is_no_outage():
    raised = refused()
    assert (type(raised), raised.kind, raised.exit_code) == (Infeasible, Kind.NO_REPLICA_REACHABLE, 7)
    assert "lakecv rules" in raised.hint
