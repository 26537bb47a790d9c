"""Snapshots make a listing cheap and never wrong: damaged, stale, raced for or forbidden."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from hashlib import sha256

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from lakecv_catalog import documents, snapshots
from lakecv_catalog.codec import encode, parse
from lakecv_catalog.documents import DocumentCatalog
from lakecv_plugins.storage.file import FileStorage

from lakecv.canonical import seal
from lakecv.errors import Corrupt, Denied, InvalidInput, Kind, NotFound, Unavailable
from lakecv.records import DID
from lakecv.testing.catalog import a_dataset, a_manifest
from lakecv.testing.fakes import MemoryObjects


class Counting(MemoryObjects):
    """Notes the key of every request."""

    def __init__(self):
        super().__init__()
        self.gets, self.puts, self.lists = [], [], []

    def get(self, key):
        self.gets.append(key)
        return super().get(key)

    def put(self, key, data):
        self.puts.append(key)
        return super().put(key, data)

    def list(self, prefix=""):
        self.lists.append(prefix)
        return super().list(prefix)

    def forget(self):
        self.gets, self.puts, self.lists = [], [], []


@pytest.fixture
def objects():
    return Counting()


@pytest.fixture
def catalog(objects):
    return DocumentCatalog(objects)


def fill(catalog, count, scope="museo", start=0):
    return [catalog.register(a_dataset(f"{scope}:t-{number:05d}"), a_manifest()) for number in range(start, start + count)]


def snapshot_keys(objects):
    return [info.key for info in MemoryObjects.list(objects, snapshots.FOLDER)]


def test_ten_thousand_datasets_are_listed_in_a_handful_of_requests(objects, catalog, monkeypatch):
    for module in (documents, snapshots):  # the documents are equal, so that what takes its time here is the catalog
        monkeypatch.setattr(module, "parse", cache(parse))
    document = encode(a_dataset())
    for number in range(10_000):
        objects.put(f"catalog/museo/t-{number:05d}/dataset.json", document)
    assert sum(1 for _ in catalog.datasets()) == 10_000
    assert len(objects.gets) == 10_000
    objects.forget()
    assert sum(1 for _ in DocumentCatalog(objects).datasets()) == 10_000
    assert (len(objects.gets), objects.puts, objects.lists) == (1, [], ["catalog", snapshots.FOLDER])


def test_only_what_is_newer_than_the_snapshot_is_read(objects, catalog):
    made = fill(catalog, 70)
    assert list(catalog.datasets()) == made
    made += fill(catalog, 3, start=70)
    objects.forget()
    assert list(catalog.datasets()) == made
    assert sorted(objects.gets) == [*snapshot_keys(objects), *(f"catalog/museo/t-{number:05d}/dataset.json" for number in (70, 71, 72))]


def test_few_datasets_need_no_snapshot(objects, catalog):
    fill(catalog, snapshots._LOOSE)
    assert len(list(catalog.datasets())) == snapshots._LOOSE
    assert snapshot_keys(objects) == []


def test_a_snapshot_is_superseded_by_one_that_holds_more_and_is_not_read_again(objects, catalog):
    fill(catalog, 65)
    list(catalog.datasets())
    fill(catalog, 65, start=65)
    list(catalog.datasets())
    first, second = snapshot_keys(objects)
    objects.forget()
    assert len(list(catalog.datasets())) == 130
    assert objects.gets == [second]
    assert MemoryObjects.get(objects, second).startswith(MemoryObjects.get(objects, first))


def test_a_listing_of_one_scope_decodes_no_other_and_keeps_it_in_the_snapshot(objects, catalog):
    fill(catalog, 70)
    list(catalog.datasets())
    ours = fill(catalog, 70, scope="archive")
    assert list(catalog.datasets("archive")) == ours
    objects.forget()
    assert len(list(catalog.datasets())) == 140
    assert objects.gets == snapshot_keys(objects)[-1:]


def test_a_listing_is_not_disturbed_by_snapshots(catalog):
    made = fill(catalog, 70)
    list(catalog.datasets())
    assert list(catalog.search()) == [dataset.did for dataset in made]
    with pytest.raises(NotFound) as caught:
        catalog.lookup(DID("museo", "t-99999"))
    assert caught.value.kind is Kind.DATASET_UNKNOWN


def test_an_unknown_name_is_answered_without_reading_documents(objects, catalog):
    fill(catalog, 5)
    objects.forget()
    with pytest.raises(NotFound):
        catalog.lookup(DID("museo", "t-9"))
    assert objects.gets == ["catalog/museo/t-9/dataset.json"]


def cut(data):
    return data[: len(data) // 2]


def flipped(data):
    return data.replace(b"Tavola", b"Lavota", 1)


@pytest.mark.parametrize("damage", [cut, flipped, lambda _: b"", lambda data: data + data])
def test_a_damaged_snapshot_is_not_believed_and_replaced(objects, catalog, damage):
    made = fill(catalog, 70)
    list(catalog.datasets())
    [key] = snapshot_keys(objects)
    objects._stored[key] = damage(objects._stored[key])
    assert list(catalog.datasets()) == made
    objects.forget()
    assert list(catalog.datasets()) == made
    assert objects.gets == [snapshot_keys(objects)[-1]] != [key]


@pytest.mark.parametrize(
    "data",
    [b"\n", b"museo:t-00000 1 0.0\n", b"../a:b 1 0.0 {}\n", b"museo:t-00000 x 0.0 {}\n", b"\xff 1 0.0 {}\n", b"no line at all",
     b"museo:t-00000 SIZE 0.0 {}\n", b'museo:t-00000 SIZE 0.0 {"format": "lakecv-dataset-2"}\n'],
)  # fmt: skip
def test_a_malformed_snapshot_that_matches_its_name_is_not_believed(objects, catalog, data):
    made = fill(catalog, 1)
    data = data.replace(b"SIZE", b"%d" % len(encode(made[0])))
    objects.put(f"{snapshots.FOLDER}/v1-00000007-{sha256(data).hexdigest()}.txt", data)
    assert list(catalog.datasets()) == made


@pytest.mark.parametrize("name", ["README", "v2-00000001-" + "0" * 64 + ".txt", "v1-x-" + "0" * 64 + ".txt"])
def test_what_is_no_snapshot_of_this_version_is_not_read(objects, catalog, name):
    objects.put(f"{snapshots.FOLDER}/{name}", b"?")
    assert list(catalog.datasets()) == []
    assert objects.gets == []


def test_a_snapshot_too_large_for_memory_is_neither_read_nor_written(objects, catalog, monkeypatch):
    made = fill(catalog, 70)
    monkeypatch.setattr(snapshots, "_MOST_NBYTES", 70_000)
    assert list(catalog.datasets()) == made
    [key] = snapshot_keys(objects)
    assert len(objects._stored[key]) <= 70_000
    monkeypatch.setattr(snapshots, "_MOST_NBYTES", 100)
    objects.forget()
    assert list(catalog.datasets()) == made
    assert key not in objects.gets
    assert objects.puts == []


def test_a_dataset_whose_document_is_gone_is_not_shown(objects, catalog):
    made = fill(catalog, 70)
    list(catalog.datasets())
    objects.delete("catalog/museo/t-00003/dataset.json")
    assert list(catalog.datasets()) == made[:3] + made[4:]
    assert list(catalog.datasets("museo")) == made[:3] + made[4:]


def test_a_dataset_that_goes_while_it_is_listed_is_not_shown(catalog, objects, monkeypatch):
    made = fill(catalog, 2)
    usual = objects.get

    def get(key):
        objects.delete("catalog/museo/t-00000/dataset.json")
        return usual(key)

    monkeypatch.setattr(objects, "get", get)
    assert list(catalog.datasets()) == made[1:]


def test_a_name_that_was_taken_off_and_given_again_is_shown_as_it_is_now(tmp_path):
    objects = FileStorage().objects(str(tmp_path))
    catalog = DocumentCatalog(objects)
    made = fill(catalog, 70)
    list(catalog.datasets())
    objects.delete("catalog/museo/t-00003/dataset.json")
    made[3] = catalog.register(replace(made[3], digest="f" * 64), a_manifest())  # of the same size: only its time tells
    assert list(DocumentCatalog(objects).datasets()) == made


@pytest.mark.parametrize("error", [Denied, Unavailable])
def test_a_lake_that_may_only_be_read_is_listed(objects, catalog, monkeypatch, error):
    made = fill(catalog, 70)

    def refused(key, _):
        raise error(f"{key} may not be written", Kind.FORBIDDEN)

    monkeypatch.setattr(objects, "put", refused)
    for _ in range(2):
        assert list(catalog.datasets()) == made
    assert snapshot_keys(objects) == []


@pytest.mark.parametrize("error", [Denied, NotFound, Corrupt])
def test_a_snapshot_that_cannot_be_read_does_not_stop_a_listing(objects, catalog, monkeypatch, error):
    made = fill(catalog, 70)
    list(catalog.datasets())
    usual = objects.get

    def refused(key):
        if key.startswith(snapshots.FOLDER):
            raise error(f"{key} may not be read")
        return usual(key)

    monkeypatch.setattr(objects, "get", refused)
    assert list(catalog.datasets()) == made


def test_a_record_that_cannot_be_read_stops_a_listing_and_is_in_no_snapshot(objects, catalog):
    fill(catalog, 70)
    objects.put("catalog/museo/u/dataset.json", seal(b'{"format": "lakecv-dataset-2"}'))
    for _ in range(2):
        with pytest.raises(InvalidInput, match="newer lakecv"):
            list(catalog.datasets())
    assert snapshot_keys(objects) == []


def test_a_document_that_was_misread_once_is_in_no_snapshot(objects, catalog, monkeypatch):
    made = fill(catalog, 70)
    usual, bad = objects.get, ["catalog/museo/t-00007/dataset.json"]

    def get(key):
        data = usual(key)
        return data.replace(b"Tavola", b"Lavota") if key in bad and not bad.clear() else data

    monkeypatch.setattr(objects, "get", get)
    with pytest.raises(Corrupt, match="checksum"):
        list(catalog.datasets())
    assert snapshot_keys(objects) == []
    assert list(catalog.datasets()) == made


def test_racing_listings_leave_snapshots_that_are_all_right(objects, catalog):
    made = fill(catalog, 70)
    with ThreadPoolExecutor(8) as pool:
        for seen in pool.map(lambda _: list(DocumentCatalog(objects).datasets()), range(8)):
            assert seen == made
    assert list(catalog.datasets()) == made


class Listings(RuleBasedStateMachine):
    """Any interleaving of registering, deleting, damaging and listing shows exactly what is registered."""

    @initialize()
    def begin(self):
        self.objects, self.registered = MemoryObjects(), {}
        self.loose, snapshots._LOOSE = snapshots._LOOSE, 1

    def teardown(self):
        snapshots._LOOSE = self.loose

    @rule(scope=st.sampled_from(["a", "ab"]), name=st.sampled_from("stuvwxyz"))
    def register(self, scope, name):
        did = DID(scope, name)
        self.registered[did] = DocumentCatalog(self.objects).register(a_dataset(str(did)), a_manifest())

    @rule(data=st.data())
    def take_off(self, data):
        did = data.draw(st.sampled_from([None, *sorted(self.registered)]))
        if self.registered.pop(did, None):
            self.objects.delete(f"catalog/{did.scope}/{did.name}/dataset.json")

    @rule(data=st.data(), at=st.integers(0, 10_000))
    def damage(self, data, at):
        keys = [info.key for info in self.objects.list(snapshots.FOLDER)]
        if keys:
            stored = bytearray(self.objects._stored[key := data.draw(st.sampled_from(keys))])
            stored[at % len(stored)] ^= 1
            self.objects._stored[key] = bytes(stored)

    @rule(scope=st.sampled_from(["a", "ab", "c"]))
    def look_into_a_scope(self, scope):
        expected = [self.registered[did] for did in sorted(self.registered) if did.scope == scope]
        assert list(DocumentCatalog(self.objects).datasets(scope)) == expected

    @invariant()
    def everything_is_listed(self):
        if hasattr(self, "objects"):
            assert list(DocumentCatalog(self.objects).datasets()) == [self.registered[did] for did in sorted(self.registered)]


Listings.TestCase.settings = settings(max_examples=20, stateful_step_count=30, deadline=None)
TestListings = Listings.TestCase
