"""Every sort of damage is found and named; nothing else is."""

import json
from dataclasses import replace

import numpy as np
import pytest

from lakecv.canonical import dumps, loads
from lakecv.cube import CubeSpec, SpectralAxis
from lakecv.errors import Denied, Kind, Unavailable
from lakecv.lake_io import fsck
from lakecv.lake_io.fsck import Copy, Finding, Flaw, examine, judge
from lakecv.lake_io.mend import mend, proven_manifest
from lakecv.lake_io.objects import describe
from lakecv.lake_io.publish import MANIFEST, publish
from lakecv.lake_io.sweep import Fate, data_heaps, remove, work_heaps
from lakecv.records import DID, Dataset, Manifest, Replica
from lakecv.testing.fakes import MemoryObjects
from tests.lake_io.small import CUBE, SPEC, contents, flipped, stored

SHARDS = [f"data/c/{y}/{x}/0" for y in range(2) for x in range(2)]


def quiet(_):
    pass


@pytest.fixture
def home():
    return MemoryObjects()


@pytest.fixture
def dataset(home):
    done = publish(home, CUBE, list(stored(home)), tables={}, artifacts={"survey.json": b"{}"})
    listed = done.manifest
    return Dataset(
        DID("museo", "tavola"), done.cube, listed.digest, "data/museo/tavola/0123456789ab", (Replica("local", "x"),), len(listed.objects),
        listed.nbytes, "",
    )


def found(home, dataset, *, is_managed=True):
    findings = examine(Copy(home, home, is_managed), dataset, quiet).findings
    return {(finding.flaw, finding.key) for finding in findings}


def test_a_whole_dataset_has_no_findings_and_every_byte_is_read(home, dataset):
    done = examine(Copy(home, home, is_managed=True), dataset, quiet)
    assert done.findings == ()
    assert done.nbytes == sum(len(data) for key, data in contents(home).items() if key != MANIFEST)


def test_all_sorts_of_damage_are_found_at_once_and_nothing_else(home, dataset):
    home.delete(SHARDS[0])
    flipped(home, SHARDS[1])
    short = home.get(SHARDS[2])[:-1]
    home.delete(SHARDS[2])
    home.put(SHARDS[2], short)
    home.put("data/c/9/9/9", b"dark")
    home.delete("survey.json")
    corrupt = {(Flaw.CORRUPT, SHARDS[1]), (Flaw.CORRUPT, SHARDS[2])}
    assert found(home, dataset) == {(Flaw.MISSING, SHARDS[0]), (Flaw.MISSING, "survey.json"), (Flaw.EXTRA, "data/c/9/9/9")} | corrupt


@pytest.mark.parametrize("at", range(0, 200, 7))
def test_any_flipped_bit_of_a_shard_is_found(home, dataset, at):
    flipped(home, SHARDS[3], at)
    assert found(home, dataset) == {(Flaw.CORRUPT, SHARDS[3])}


def test_bytes_with_the_right_crc32c_but_another_adler32_are_corrupt(home):
    home.put("a", b"spectrum")
    item = replace(describe("a", b"spectrum"), adler32="00000001")
    finding = judge(home, item)
    assert finding is not None
    assert (finding.flaw, "00000001 was promised" in finding.text) == (Flaw.CORRUPT, True)


def test_a_large_object_is_judged_piece_by_piece(home, monkeypatch):
    monkeypatch.setattr(fsck, "_PIECE_NBYTES", 7)
    data = np.random.default_rng(0).bytes(100)
    home.put("a", data)
    usual, asked = home.get_ranges, []
    monkeypatch.setattr(home, "get_ranges", lambda key, ranges: asked.extend(ranges) or usual(key, ranges))
    assert judge(home, describe("a", data)) is None
    assert asked == [(start, min(start + 7, 100)) for start in range(0, 100, 7)]
    assert judge(home, replace(describe("a", data), crc32c="00000000")) is not None


@pytest.mark.parametrize("data", [None, b"", b"{", b"[]", b"\xff", b'{"objects":[],"artifacts":[]}', b"[" * 100_000])
def test_a_manifest_that_is_gone_or_another_is_a_finding_and_what_else_is_gone_is_named(home, dataset, data):
    home.delete(MANIFEST)
    home.delete(SHARDS[0])
    if data is not None:
        home.put(MANIFEST, data)
    flaws = dict(map(reversed, found(home, dataset)))
    assert flaws.pop(MANIFEST) is (Flaw.MISSING if data is None else Flaw.DRIFT if b"objects" in data else Flaw.CORRUPT)
    assert flaws == {SHARDS[0]: Flaw.MISSING}


def test_a_manifest_that_names_what_is_no_key_is_no_traceback(home, dataset):
    manifest = loads(Manifest, home.get(MANIFEST))
    hostile = replace(manifest, objects=(describe("../../etc/passwd", b"x"), *manifest.objects))
    home.delete(MANIFEST)
    home.put(MANIFEST, dumps(hostile).encode())
    wrong = found(home, replace(dataset, digest=hostile.digest))
    assert (Flaw.UNREADABLE, "../../etc/passwd") in wrong


DRIFTS = [
    (replace(SPEC, shape=(8, 7, 3)), "its shape is 8 x 8 x 3; the catalog says 8 x 7 x 3"),
    (replace(SPEC, dtype="int16"), "its dtype is uint16; the catalog says int16"),
    (replace(SPEC, shards=(4, 8, 3)), "its chunks is 4 x 4 x 3; the catalog says 4 x 8 x 3"),
    (replace(SPEC, chunks=(4, 4, 3)), "its chunks inside a shard are 2 x 2 x 3; the catalog says 4 x 4 x 3"),
]


@pytest.mark.parametrize(("spec", "text"), DRIFTS)
def test_a_catalog_that_says_otherwise_than_the_metadata_is_drift(home, dataset, spec, text):
    drifted = replace(dataset, cube=CubeSpec(CUBE.grid, CUBE.axis, (spec,)))
    findings = examine(Copy(home, home, is_managed=True), drifted, quiet).findings
    assert Finding(Flaw.DRIFT, "data/zarr.json", text) in findings
    assert {finding.flaw for finding in findings} == {Flaw.DRIFT}


def test_a_catalog_with_other_counts_or_another_axis_is_drift(home, dataset):
    assert found(home, replace(dataset, nobjects=3)) == {(Flaw.DRIFT, MANIFEST)}
    assert found(home, replace(dataset, nbytes=3)) == {(Flaw.DRIFT, MANIFEST)}
    other = replace(dataset, cube=replace(CUBE, axis=SpectralAxis(4)))
    assert found(home, other) == {(Flaw.DRIFT, "spectral/zarr.json")}


def test_an_array_that_no_manifest_lists_is_drift(home, dataset):
    more = replace(dataset, cube=CubeSpec(CUBE.grid, CUBE.axis, (SPEC, replace(SPEC, name="mask"))))
    assert {key.split("/")[0] for flaw, key in found(home, more) if flaw is Flaw.DRIFT} == {"mask"}


def test_a_group_that_says_otherwise_than_its_arrays_is_drift(home, dataset):
    document = json.loads(home.get("zarr.json"))
    document["consolidated_metadata"]["metadata"]["data"]["shape"] = [8, 8, 4]
    home.delete("zarr.json")
    home.put("zarr.json", json.dumps(document).encode())
    manifest = loads(Manifest, home.get(MANIFEST))
    objects = tuple(describe(item.key, home.get(item.key)) for item in manifest.objects)
    home.delete(MANIFEST)
    home.put(MANIFEST, dumps(replace(manifest, objects=objects)).encode())
    whole = replace(dataset, digest=Manifest(objects).digest, nbytes=Manifest(objects).nbytes)
    assert found(home, whole) == {(Flaw.DRIFT, "zarr.json")}


def test_a_source_that_changed_since_it_was_registered_in_place_is_drift(home, dataset):
    flipped(home, SHARDS[0])
    assert found(home, dataset, is_managed=False) == {(Flaw.CORRUPT, SHARDS[0]), (Flaw.DRIFT, home.url)}


def refusing(home, monkeypatch, error, keys):
    usual, asked = home.get, []

    def get(key):
        asked.append(key)
        if key in keys:
            raise error
        return usual(key)

    monkeypatch.setattr(home, "get", get)
    return asked


def test_an_object_that_may_not_be_read_hides_no_other(home, dataset, monkeypatch):
    flipped(home, SHARDS[3])
    refusing(home, monkeypatch, Denied("no", Kind.FORBIDDEN), {SHARDS[0]})
    assert found(home, dataset) == {(Flaw.UNREADABLE, SHARDS[0]), (Flaw.CORRUPT, SHARDS[3])}


def test_a_store_that_does_not_answer_is_not_asked_for_every_object(home, dataset, monkeypatch):
    monkeypatch.setattr(fsck, "_THREADS", 1)
    keys = {item.key for item in loads(Manifest, home.get(MANIFEST)).objects}
    asked = refusing(home, monkeypatch, Unavailable("down", Kind.STORE_UNREACHABLE), keys)
    assert {flaw for flaw, _ in found(home, dataset)} == {Flaw.UNREADABLE}
    assert len([key for key in asked if key in SHARDS]) == 3


# --- mend -------------------------------------------------------------------------------------------------------------
def copy_of(home):
    other = MemoryObjects("fake://backup")
    for key, data in contents(home).items():
        other.put(key, data)
    return other


def wrong(home, key):
    item = loads(Manifest, home.get(MANIFEST)).by_key[key]
    finding = judge(home, item)
    return [(finding, item)]


def test_a_source_whose_bytes_are_not_proven_is_never_written(home, dataset):  # noqa: ARG001  (it is published)
    backup = copy_of(home)
    flipped(backup, SHARDS[0], 3)
    flipped(home, SHARDS[0], 9)
    before = contents(home)
    [result] = mend(home, wrong(home, SHARDS[0]), [backup], dry_run=False)
    assert result.why == "fake://backup has other bytes under this key"
    assert contents(home) == before


def test_the_first_source_that_has_the_right_bytes_counts(home, dataset):  # noqa: ARG001  (it is published)
    good, bad = copy_of(home), MemoryObjects("fake://empty")
    before = contents(home)
    home.delete(SHARDS[0])
    [result] = mend(home, wrong(home, SHARDS[0]), [bad, good], dry_run=False)
    assert (result.why, contents(home)) == ("", before)


def test_a_store_that_loses_what_it_is_given_is_no_success(home, dataset, monkeypatch):  # noqa: ARG001  (it is published)
    backup = copy_of(home)
    home.delete(SHARDS[0])
    todo, usual = wrong(home, SHARDS[0]), home.put
    monkeypatch.setattr(home, "put", lambda key, data: usual(key, data[:-1]))
    [result] = mend(home, todo, [backup], dry_run=False)
    assert "does not read back right" in result.why


def test_a_manifest_is_proven_by_digest_and_artifacts_or_not_at_all(home, dataset):
    backup = copy_of(home)
    assert proven_manifest([backup], home, dataset.digest) == home.get(MANIFEST)
    assert proven_manifest([backup], home, "0" * 64) is None
    flipped(home, "survey.json")
    assert proven_manifest([backup], home, dataset.digest) is None


# --- sweep ------------------------------------------------------------------------------------------------------------
def test_only_folders_that_lakecv_names_so_are_seen():
    objects = MemoryObjects()
    ours = ["data/museo/a/0123456789ab/zarr.json", "data/museo/a/r-0123456789/zarr.json", "work/r-0123456789/parts/x"]
    others = [
        "data/notes.txt", "data/museo/a/0123456789ab", "data/museo/a/mine/zarr.json", "data/museo/a/0123456789abc/x", "data/mu..o/a/0123456789ab/x",
        "work/r-0123456789/setup.json", "work/r-0123456789/mine/x", "work/mine/parts/x", "other/museo/a/0123456789ab/x",
    ]  # fmt: skip
    for key in (*ours, *others):
        if key != others[1]:
            objects.put(key, b"x")
    assert [heap.prefix for heap in data_heaps(objects)] == ["data/museo/a/0123456789ab", "data/museo/a/r-0123456789"]
    [work] = work_heaps(objects)
    assert (work.prefix, work.objects, work.age_seconds(1.0)) == ("work/r-0123456789", 1, None)
    assert remove(objects, work, lambda _: "") == (Fate.REMOVED, "")
    assert objects.head("work/r-0123456789/setup.json")


def test_an_object_that_cannot_be_removed_does_not_keep_the_others(monkeypatch):
    objects = MemoryObjects()
    for name in ("a", "b", "zarr.json"):
        objects.put(f"data/museo/a/0123456789ab/{name}", b"x")
    usual, gone = objects.delete, []

    def delete(key):
        gone.append(key.rpartition("/")[2])
        if key.endswith("/a"):
            raise Denied("no", Kind.FORBIDDEN)
        usual(key)

    monkeypatch.setattr(objects, "delete", delete)
    assert remove(objects, data_heaps(objects)[0], lambda _: "") == (Fate.FAILED, "no")
    assert gone == ["zarr.json", "a", "b"]
    assert list(contents(objects)) == ["data/museo/a/0123456789ab/a"]
