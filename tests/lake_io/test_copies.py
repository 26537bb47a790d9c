"""Reads over several replicas: right bytes or an error, never wrong bytes; the first good copy wins."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakecv import registry
from lakecv.cube import Window
from lakecv.errors import Corrupt, Denied, Infeasible, Kind, NotFound, PluginError, Unavailable
from lakecv.lake_io.codec import crc32c
from lakecv.lake_io.copies import CopiedObjects, Holder, open_artifacts, open_copies, open_manifest
from lakecv.lake_io.objects import describe, get_checked
from lakecv.lake_io.place import join_url
from lakecv.lake_io.publish import MANIFEST
from lakecv.lake_io.read import open_array
from lakecv.ports import ObjectIO
from lakecv.records import Access, Manifest, Replica
from lakecv.testing.fakes import MemoryObjects
from tests.lake_io.small import SPEC, flipped, made

KEY = "data/c/0/0/0"
CHUNKS = [bytes(range(40)), b"spectrum" * 9, bytes(50)]
PARTS = [body + crc32c(body).to_bytes(4, "little") for body in CHUNKS]
WHOLE = b"".join(PARTS)
SPANS = [(0, 44), (44, 120), (120, 174)]
LISTED = Manifest((describe(KEY, WHOLE),))
RSES = ("INFN-PG", "CNAF", "INFN-NA")


class Counted:
    """Objects that count requests and can be out of reach or forbidden."""

    def __init__(self, objects, error=None):
        self._objects, self.error, self.asked = objects, error, []
        self.url = objects.url

    def get(self, key):
        return self._ask("get", key)

    def get_ranges(self, key, ranges):
        return self._ask("get_ranges", key, ranges)

    def _ask(self, verb, *words):
        self.asked.append(verb)
        if self.error is not None:
            raise self.error
        return getattr(self._objects, verb)(*words)


def stored(data=WHOLE):
    objects = MemoryObjects()
    if data is not None:
        objects.put(KEY, data)
    return objects


def over(*places, manifest=LISTED, seen=None):
    """Copies over places, and the list of what is said of them."""
    damages = [] if seen is None else seen
    holders = [Holder(rse, f"fake://{rse}", lambda place=place: place) for rse, place in zip(RSES, places, strict=False)]
    return CopiedObjects(holders, manifest, damages.append), damages


def flip(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


DOWN = Unavailable("no answer", Kind.STORE_UNREACHABLE)
SHUT = Denied("not yours", Kind.FORBIDDEN)
STATES = st.one_of(
    st.just("whole"), st.just("missing"), st.just("down"), st.just("denied"), st.just("longer"),
    st.tuples(st.just("flip"), st.integers(0, len(WHOLE) - 1)), st.tuples(st.just("cut"), st.integers(0, len(WHOLE) - 1)),
)  # fmt: skip


def place(state):
    """Build a replica in a state, and what a plain reader would say of its whole object."""
    if state in {"down", "denied"}:
        return Counted(stored(), DOWN if state == "down" else SHUT)
    data = {"whole": WHOLE, "missing": None, "longer": WHOLE + b"x"}.get(state) if isinstance(state, str) else None
    if isinstance(state, tuple):
        data = flip(WHOLE, state[1]) if state[0] == "flip" else WHOLE[: state[1]]
    return Counted(stored(data))


@given(st.lists(STATES, min_size=1, max_size=3), st.booleans())
def test_any_readable_copy_wins_and_bytes_are_right_or_there_is_an_error(states, by_ranges):
    objects, damages = over(*map(place, states))
    bad = [RSES[n] for n, state in enumerate(states) if state not in ("whole", "down", "denied")]
    try:
        data = b"".join(objects.get_ranges(KEY, SPANS)) if by_ranges else objects.get(KEY)
        assert data == WHOLE
        assert "whole" in states
    except Unavailable:
        assert "down" in states
        assert "whole" not in states
    except Denied:
        assert "denied" in states
        assert not {"down", "whole"} & set(states)
    except Corrupt:
        assert len(bad) == len(states) == len(damages)
    assert {damage.rse for damage in damages} <= set(bad)


@given(st.lists(STATES, min_size=1, max_size=3), st.tuples(st.integers(0, len(WHOLE)), st.integers(0, len(WHOLE))))
def test_an_arbitrary_range_is_right_or_there_is_an_error(states, ends):
    start, stop = min(ends), max(ends)
    objects, _ = over(*map(place, states))
    try:
        [data] = objects.get_ranges(KEY, [(start, stop)])
    except (Unavailable, Denied, Corrupt):
        assert "whole" not in states
    else:
        assert bytes(data) == WHOLE[start:stop]


def test_every_flipped_bit_of_the_first_copy_is_survived_and_told_once():
    for at in range(len(WHOLE)):
        objects, damages = over(stored(flip(WHOLE, at)), stored())
        assert b"".join(objects.get_ranges(KEY, SPANS)) == WHOLE
        assert objects.get(KEY) == WHOLE
        assert [(damage.rse, damage.key) for damage in damages] == [("INFN-PG", KEY)]


def sealed(data):
    return data + crc32c(data).to_bytes(4, "little")


def shard(first, *lengths):
    """Build a shard with an index: chunks of bytes that count up from ``first``."""
    parts = [sealed(bytes([first + n]) * length) for n, length in enumerate(lengths)]
    ends = np.cumsum([len(part) for part in parts])
    table = np.stack([ends - [len(part) for part in parts], [len(part) for part in parts]], axis=1)
    return b"".join([*parts, sealed(table.astype("<u8").tobytes())])


LARGE, OTHER = shard(1, 9 << 20, 8 << 20), shard(7, 8 << 20, 9 << 20)  # of the same size
TAIL = (len(LARGE) - 36, len(LARGE))
SECOND = ((9 << 20) + 4, TAIL[0])
LARGE_LISTED = Manifest((describe(KEY, LARGE),))


@pytest.mark.parametrize("span", [(0, 404), (0, 400), (400, 404)])
def test_another_chunk_of_the_same_size_is_not_taken(span):
    mine, other = sealed(b"a" * 400), sealed(b"b" * 400)
    assert describe(KEY, mine).crc32c == describe(KEY, other).crc32c == "48674bc7"
    objects, damages = over(stored(other), stored(mine), manifest=Manifest((describe(KEY, mine),)))
    assert bytes(objects.get_ranges(KEY, [span])[0]) == mine[slice(*span)]
    assert objects.get(KEY) == mine
    assert [damage.rse for damage in damages] == ["INFN-PG"]


def test_a_plain_read_takes_no_other_chunk_of_the_same_size():
    mine, other = sealed(b"a" * 400), sealed(b"b" * 400)
    with pytest.raises(Corrupt, match="adler32"):
        get_checked(stored(other), KEY, Manifest((describe(KEY, mine),)))


def test_of_a_large_shard_the_index_and_then_its_chunks_are_read():
    place = Counted(stored(LARGE))
    objects, _ = over(place, manifest=LARGE_LISTED)
    assert [bytes(objects.get_ranges(KEY, [span])[0]) == LARGE[slice(*span)] for span in (TAIL, SECOND)] == [True, True]
    assert place.asked == ["get_ranges", "get_ranges"]


def test_another_large_shard_of_the_same_size_is_not_taken():
    objects, damages = over(stored(OTHER), stored(LARGE), manifest=LARGE_LISTED)
    assert bytes(objects.get_ranges(KEY, [TAIL])[0]) == LARGE[slice(*TAIL)]
    assert [damage.rse for damage in damages] == ["INFN-PG"]


def test_a_chunk_is_only_taken_where_its_shard_has_the_same_index():
    first, other = Counted(stored(LARGE)), shard(1, 9 << 20, (8 << 20) - 4, 0)[: len(LARGE)]
    objects, damages = over(first, Counted(stored(other)), manifest=LARGE_LISTED)
    objects.get_ranges(KEY, [TAIL])
    first.error = DOWN
    with pytest.raises(Unavailable):
        objects.get_ranges(KEY, [(0, SECOND[0])])
    assert [damage.rse for damage in damages] == ["CNAF"]


def test_a_copy_that_follows_another_is_bound_by_its_index_in_the_same_request():
    first, second = Counted(stored(LARGE)), Counted(stored(LARGE))
    objects, _ = over(first, second, manifest=LARGE_LISTED)
    objects.get_ranges(KEY, [TAIL])
    first.error = DOWN
    assert bytes(objects.get_ranges(KEY, [SECOND])[0]) == LARGE[slice(*SECOND)]
    assert second.asked == ["get_ranges"]


def test_a_whole_object_that_was_fetched_for_its_ranges_serves_the_next_ones():
    place = Counted(stored())
    objects, _ = over(place)
    assert bytes(objects.get_ranges(KEY, [(3, 9)])[0]) == WHOLE[3:9]
    assert bytes(objects.get_ranges(KEY, [(9, 12)])[0]) == WHOLE[9:12]
    assert place.asked == ["get"]


def test_four_zero_bytes_prove_nothing():
    data = bytes(8) + b"x"
    objects, damages = over(stored(bytes(4) + b"yyyy" + b"x"), manifest=Manifest((describe(KEY, data),)))
    with pytest.raises(Corrupt):
        objects.get_ranges(KEY, [(0, 4)])
    assert len(damages) == 1


def test_a_bit_that_flips_on_its_way_is_no_damage():
    class Once(MemoryObjects):
        def get(self, key):
            data, self.get = super().get(key), super().get
            return flip(data, 7)

    once = Once()
    once.put(KEY, WHOLE)
    objects, damages = over(once)
    assert (objects.get(KEY), damages) == (WHOLE, [])


def test_right_chunks_are_read_from_copies_none_of_which_is_whole():
    objects, damages = over(stored(flip(LARGE, 5)), stored(flip(LARGE, SECOND[0])), manifest=LARGE_LISTED)
    for span in (TAIL, SECOND, (0, SECOND[0])):
        assert bytes(objects.get_ranges(KEY, [span])[0]) == LARGE[slice(*span)]
    assert len(damages) == 2
    with pytest.raises(Corrupt):
        objects.get_ranges(KEY, [(0, SECOND[0]), SECOND])


def test_a_copy_that_is_out_of_reach_is_asked_once():
    down = Counted(stored(), DOWN)
    objects, damages = over(down, stored())
    assert [objects.get(KEY) for _ in range(3)] == [WHOLE] * 3
    assert (down.asked, damages) == (["get"], [])


def test_the_same_damage_is_told_once_however_often_it_is_met():
    objects, damages = over(stored(flip(WHOLE, 9)), Counted(stored(), DOWN))
    for _ in range(3):
        with pytest.raises(Unavailable):
            objects.get(KEY)
    assert [(damage.rse, damage.key) for damage in damages] == [("INFN-PG", KEY)]


def test_a_copy_that_was_mended_is_used_again():
    bad = stored(flip(WHOLE, 9))
    objects, damages = over(bad)
    with pytest.raises(Corrupt):
        objects.get(KEY)
    bad.delete(KEY)
    bad.put(KEY, WHOLE)
    assert (objects.get(KEY), len(damages)) == (WHOLE, 1)


def test_when_all_are_bad_each_is_named_with_what_is_wrong():
    objects, _ = over(stored(flip(WHOLE, 9)), stored(None))
    with pytest.raises(Corrupt) as caught:
        objects.get(KEY)
    assert caught.value.kind == "checksum-mismatch"
    assert "INFN-PG: its 174 bytes" in str(caught.value)
    assert "CNAF: it is in the manifest but missing" in str(caught.value)


def test_when_one_is_out_of_reach_that_is_what_may_pass():
    objects, _ = over(stored(None), Counted(stored(), SHUT), Counted(stored(), DOWN))
    with pytest.raises(Unavailable, match=r"CNAF: not yours.*INFN-NA: no answer|INFN-NA: no answer"):
        objects.get(KEY)


def test_a_replica_that_cannot_be_opened_is_no_damage_and_costs_no_more_than_the_next_one():
    def shut():
        raise PluginError("xrootd is not installed", Kind.MISSING_EXTRA)

    damages = []
    copies = [Holder("INFN-PG", "root://x", shut), Holder("CNAF", "fake://y", stored)]
    assert CopiedObjects(copies, LISTED, damages.append).get(KEY) == WHOLE
    assert damages == []


def test_a_replica_that_is_not_needed_is_never_opened():
    opened = []
    copies = [Holder("INFN-PG", "a", stored), Holder("CNAF", "b", lambda: opened.append(1))]
    CopiedObjects(copies, LISTED).get(KEY)
    assert opened == []


def test_listings_come_from_the_manifest_and_nothing_is_written():
    objects, _ = over(Counted(stored(), DOWN))
    assert isinstance(objects, ObjectIO)
    assert [info.key for info in objects.list("data")] == [KEY]
    assert (objects.head(KEY).nbytes, objects.head("x"), [*objects.list("dat")]) == (174, None, [])
    for refused in (lambda: objects.put("x", b""), lambda: objects.delete(KEY)):
        with pytest.raises(Denied):
            refused()
    with pytest.raises(NotFound):
        objects.get("x")


@pytest.fixture
def lake(tmp_path):
    return str(tmp_path / "lake")


def copied(lake, dataset, url):
    """Copy the home of a dataset to a url, and give the dataset with both replicas."""
    home, far = registry.open_objects(join_url(lake, dataset.home)), registry.open_objects(url)
    for info in home.list():
        far.put(info.key, home.get(info.key))
    return registry.open_objects(join_url(lake, dataset.home)), far


def two(lake, tmp_path):
    dataset = made(lake, "tavola", "r-0000000001")
    far = str(tmp_path / "cnaf")
    home, other = copied(lake, dataset, far)
    return replace(dataset, replicas=(*dataset.replicas, Replica("CNAF", far))), home, other


def test_a_reader_over_replicas_gives_what_the_whole_one_gives(lake, tmp_path):
    dataset, home, _ = two(lake, tmp_path)
    manifest, window = open_manifest(lake, dataset), Window(0, 8, 0, 8)
    expected = open_array(home, SPEC, manifest, "data").read(window)
    flipped(home, KEY, 3)
    damages = []
    found = open_array(open_copies(lake, dataset, manifest, seen=damages.append), SPEC, manifest, "data").read(window)
    np.testing.assert_array_equal(found, expected)
    assert [(damage.rse, damage.key) for damage in damages] == [("local", KEY)]


def test_a_manifest_and_artifacts_are_read_where_they_are_whole(lake, tmp_path):
    dataset, home, _ = two(lake, tmp_path)
    home.delete(MANIFEST)
    home.delete("survey.json")
    damages = []
    manifest = open_manifest(lake, dataset, damages.append)
    assert open_artifacts(lake, dataset, manifest, damages.append).get("survey.json") == b'{"limits":[0,1]}'
    assert {(damage.rse, damage.key) for damage in damages} == {("local", MANIFEST), ("local", "survey.json")}


def test_an_artifact_that_only_the_home_promises_is_no_damage_elsewhere(lake, tmp_path):
    dataset, home, other = two(lake, tmp_path)
    other.delete("survey.json")
    flipped(home, "survey.json")
    damages = []
    with pytest.raises(Corrupt):
        open_artifacts(lake, dataset, open_manifest(lake, dataset), damages.append).get("survey.json")
    assert [damage.rse for damage in damages] == ["local"]


def test_a_lost_manifest_is_told_of_at_its_home(lake, tmp_path):
    dataset, home, other = two(lake, tmp_path)
    for place_ in (home, other):
        place_.delete(MANIFEST)
    with pytest.raises(Corrupt, match=r"manifest\.json is missing"):
        open_manifest(lake, dataset)


def test_a_replica_on_tape_is_not_opened(lake, tmp_path):
    dataset, _, _ = two(lake, tmp_path)
    taped = replace(dataset, replicas=tuple(replace(each, access=Access.TAPE) for each in dataset.replicas))
    manifest = open_manifest(lake, dataset)
    with pytest.raises(Infeasible, match=r"CNAF \(tape\)"):
        open_copies(lake, taped, manifest)


# --- copies of a part -------------------------------------------------------------------------------------------------
def parts(*keys):
    """Places that hold so many keys each of two objects; what a place does not hold it is never asked for."""
    manifest = Manifest((describe("a/c/0", b"first"), describe("b/c/0", b"second")))
    places = [Counted(MemoryObjects()) for _ in keys]
    for held, some in zip(places, keys, strict=True):
        for key in some:
            held._objects.put(key, b"first" if key == "a/c/0" else b"second")
    named = [frozenset(key.replace("/", ".") for key in some) for some in keys]
    damages = []
    holders = [Holder(rse, f"fake://{rse}", lambda held=held: held, own) for rse, held, own in zip(RSES, places, named, strict=False)]
    return CopiedObjects(holders, manifest, damages.append), places, damages


def test_two_halves_are_a_whole_and_nobody_is_asked_for_what_lies_elsewhere():
    copies, places, damages = parts(["a/c/0"], ["b/c/0"])
    assert (copies.get("a/c/0"), copies.get("b/c/0")) == (b"first", b"second")
    assert [len(held.asked) for held in places] == [1, 1]
    assert damages == []


def test_an_object_that_no_part_is_said_to_hold_is_missing():
    copies, places, _ = parts(["a/c/0"], ["a/c/0"])
    with pytest.raises(Corrupt, match="no replica is said to hold") as caught:
        copies.get("b/c/0")
    assert caught.value.kind is Kind.OBJECT_MISSING
    assert [held.asked for held in places] == [[], []]


def test_what_a_part_should_hold_and_does_not_is_a_damage():
    copies, places, damages = parts(["a/c/0"], ["a/c/0", "b/c/0"])
    places[0]._objects.delete("a/c/0")
    assert copies.get("a/c/0") == b"first"
    assert [(damage.rse, damage.key) for damage in damages] == [("INFN-PG", "a/c/0")]


def test_bytes_are_counted_where_they_came_from():
    copies, places, _ = parts(["a/c/0"], ["a/c/0", "b/c/0"])
    places[0].error = DOWN
    came = {}
    view = copies.counted(lambda rse, nbytes, _: came.update({rse: came.get(rse, 0) + nbytes}))
    assert (view.get("a/c/0"), view.get("b/c/0")) == (b"first", b"second")
    assert came == {"CNAF": len(b"first") + len(b"second")}
    assert copies.url == "fake://CNAF"  # what one view learns of a place, all know
