"""The promises of the lake over a bad network to a real Ceph RGW."""

import os

from tests.stories.fault_loops import blocks, claims, flips, lost_replies

SEED = int(os.environ.get("LAKECV_FAULT_SEED", "20261121"))


def test_five_hundred_flips_give_no_wrong_number(ceph_server):
    tally = flips(ceph_server, 500, SEED)
    assert tally.bad == []
    assert tally.fired["flip"] >= 500
    assert min(tally.seen["right"], tally.seen["refused"]) > 50


def test_a_hundred_lost_replies_give_no_false_conflict_and_no_duplicate(ceph_server):
    tally = lost_replies(ceph_server, 100, SEED)
    assert tally.bad == []
    assert tally.fired == {"lost_reply": 100}


def test_of_eight_writers_one_wins_in_each_of_twenty_rounds(ceph_server):
    tally = claims(ceph_server, 20, SEED)
    assert tally.bad == []
    assert tally.seen.total() == 20
    assert tally.fired["lost_reply"] > 0


def test_a_hundred_blocks_are_read_over_connections_that_break(ceph_server):
    tally = blocks(ceph_server, 100, SEED)
    assert tally.bad == []
    assert tally.seen == {"right": 100}
    assert min(tally.fired[kind] for kind in ("reset", "fin", "unavailable")) > 0
