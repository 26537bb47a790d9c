"""The promises of the lake on S3 over a bad network, in small counts; ``fault_soak.py`` has the full ones."""

import os
from datetime import timedelta

import pytest
from fault_loops import an_object, blocks, claims, flipped_documents, flips, lake_behind, lost_replies

from lakecv.lake_io.objects import put_same

SEED = int(os.environ.get("LAKECV_FAULT_SEED", "20261121"))


def test_five_hundred_flips_give_no_wrong_number(moto_server):
    tally = flips(moto_server, 500, SEED)
    assert tally.bad == []
    assert tally.fired["flip"] >= 500
    assert tally.seen["right"] > 50
    assert tally.seen["refused"] > 50


def test_flips_give_no_wrong_claim_dataset_or_record(moto_server):
    tally = flipped_documents(moto_server, 60, SEED)
    assert tally.fired == {"flip": 60}
    assert tally.bad == []


def test_a_hundred_lost_replies_give_no_false_conflict_and_no_duplicate(moto_server):
    tally = lost_replies(moto_server, 100, SEED)
    assert tally.bad == []
    assert tally.fired == {"lost_reply": 100}
    assert len(tally.seen) == 5


def test_of_eight_writers_one_wins_in_each_of_twenty_rounds(moto_server):
    tally = claims(moto_server, 20, SEED)
    assert tally.bad == []
    assert tally.seen.total() == 20
    assert tally.fired["lost_reply"] > 0


def test_a_hundred_blocks_are_read_over_connections_that_break(moto_server):
    tally = blocks(moto_server, 100, SEED)
    assert tally.bad == []
    assert tally.seen == {"right": 100}
    assert min(tally.fired[kind] for kind in ("reset", "fin", "unavailable")) > 0


# the loops can fail: without what keeps a promise, they say so
def test_without_its_checksum_an_object_is_read_wrong(moto_server, monkeypatch):
    monkeypatch.setattr("fault_loops.reads_right", unproven)
    assert "a wrong number was read" in flips(moto_server, 10, SEED).bad


def unproven(cube, _):
    return cube.objects.get("own/c/0/0/0") == cube.content["own/c/0/0/0"]


def test_without_a_look_at_what_is_there_a_lost_reply_is_a_conflict(moto_server, monkeypatch):
    monkeypatch.setattr("fault_loops.put_same", lambda objects, key, data: objects.put(key, data))
    monkeypatch.setattr("fault_loops.DEEDS", [(an_object, ("same/{}$",), 2)])
    bad = lost_replies(moto_server, 10, SEED).bad
    assert any("Conflict" in line for line in bad)


@pytest.mark.parametrize(("method", "pattern"), [("GET", "/a/key$"), ("PUT", "/a/new$"), ("GET", "list-type"), ("HEAD", "/a/key$")])
def test_silence_costs_a_deadline_and_no_answer(moto_server, monkeypatch, method, pattern):
    for deadline in ("_STALL", "_WRITE"):
        monkeypatch.setattr(f"lakecv_plugins.storage.s3.{deadline}", timedelta(seconds=0.3))
    with lake_behind(moto_server, SEED) as (proxy, objects):
        put_same(objects, "a/key", b"12345")
        proxy.fail_next("stall", method, pattern)
        put_same(objects, "a/new", b"67890")
        assert [objects.get(info.key) for info in objects.list("a")] == [b"12345", b"67890"]
        assert objects.head("a/key").nbytes == 5
        assert proxy.traffic.fired == {"stall": 1}
