"""Verify, repair and gc of whole lakes: what is damaged is found and mended, what is in use stays."""

import os
import shutil
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from lakecv import registry
from lakecv.api import Fate, Flaw, Lake, keeping
from lakecv.errors import Corrupt, Denied, InvalidInput, Kind, NotFound, Unavailable
from lakecv.lake_io import mend
from lakecv.lake_io.child import convert_apart, serve
from lakecv.lake_io.objects import put_checked
from lakecv.lake_io.publish import MANIFEST
from lakecv.ports import ReadHints
from lakecv.testing.catalog import a_manifest
from lakecv.testing.sites import InlineSite
from tests.lake_io.small import contents, finished, flipped, made, started

HINTS = ReadHints(dims="pixel,spectral", shape=(30, 20), order="F", axis="energy:keV:0.0:0.1")
DAY = 86400.0


@pytest.fixture(scope="module")
def registered(tmp_path_factory):
    """Register once: it starts a process."""
    folder = tmp_path_factory.mktemp("registered")
    np.save(folder / "cube.npy", np.random.default_rng(0).poisson(5.0, (600, 8)).astype("uint16"))
    lake = Lake(folder / "lake", scope="museo")
    for name in ("museo:tavola", "museo:altra", "other:una"):
        lake.register(folder / "cube.npy", name, hints=HINTS)
    return folder


@pytest.fixture
def source(tmp_path, registered):
    shutil.copy(registered / "cube.npy", tmp_path)
    return tmp_path / "cube.npy"


@pytest.fixture
def lake(tmp_path, registered, monkeypatch):
    monkeypatch.setattr(registry, "site", lambda _: InlineSite(1))
    monkeypatch.setattr(keeping, "convert_apart", serve)
    shutil.copytree(registered / "lake", tmp_path / "lake")
    return Lake(tmp_path / "lake", scope="museo")


def home_of(lake, did="museo:tavola"):
    return Path(lake.url) / lake.show(did).home


def damaged(home, *keys):
    for key in keys:
        flipped(registry.open_objects(str(home)), key)


def stamps(home):
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in home.rglob("*") if path.is_file()}


# --- verify -----------------------------------------------------------------------------------------------------------
def test_verify_of_all_goes_on_after_each_damage(lake):
    damaged(home_of(lake, "museo:altra"), "data/c/0/0/0")
    (home_of(lake) / MANIFEST).unlink()
    found = {str(each.did): (each.missing, each.corrupt, each.ok) for each in lake.verify_all()}
    lost, wrong = ((MANIFEST,), (), False), ((), ("data/c/0/0/0",), False)
    assert found == {"museo:altra": wrong, "museo:tavola": lost, "other:una": ((), (), True)}
    assert [str(each.did) for each in lake.verify_all("other")] == ["other:una"]


def test_a_record_that_cannot_be_read_is_a_finding_and_protects_its_data(lake):
    home, record = home_of(lake), Path(lake.url) / "catalog" / "museo" / "tavola" / "dataset.json"
    record.write_bytes(record.read_bytes()[:-9])
    done = {str(each.did): each for each in Lake(lake.url).verify_all()}
    assert (done["museo:tavola"].corrupt, done["museo:altra"].ok) == (("catalog",), True)
    before = contents(registry.open_objects(str(home)))
    [kept] = Lake(lake.url, scope="museo").gc(remove=True, older_than_seconds=0).leftovers
    assert (kept.fate, "cannot be read" in kept.why) == (Fate.KEPT, True)
    assert contents(registry.open_objects(str(home))) == before


def test_a_store_that_changed_since_it_was_registered_in_place_is_drift_and_never_repaired(lake, tmp_path):
    store = tmp_path / "mine.zarr"
    group = zarr.create_group(store)
    group.create_array("data", data=np.ones((6, 5, 4), "float32"), chunks=(3, 5, 4), dimension_names=("y", "x", "spectral"))
    lake.register(store, "museo:mine", in_place=True)  # in a process of its own
    assert lake.verify("museo:mine").findings == ()
    damaged(store, "data/c/0/0/0")
    done = lake.verify("museo:mine")
    assert (done.corrupt, done.drift) == (("data/c/0/0/0",), (f"file://{store}",))
    before = stamps(store)
    with pytest.raises(Denied, match="registered in place"):
        lake.repair("museo:mine", "museo:tavola")
    assert stamps(store) == before


# --- repair -----------------------------------------------------------------------------------------------------------
def test_the_original_mends_what_is_damaged_and_touches_nothing_else(lake, source, monkeypatch):
    monkeypatch.setattr(keeping, "convert_apart", convert_apart)  # the real process, once
    home = home_of(lake)
    before, bytes_before = stamps(home), contents(registry.open_objects(str(home)))
    damaged(home, "data/c/0/0/0", "survey.json", "zarr.json")
    (home / "spectral" / "zarr.json").unlink()
    done = lake.repair("museo:tavola", source)
    assert (done.ok, len(done.mended)) == (True, 4)
    assert contents(registry.open_objects(str(home))) == bytes_before
    touched = {path.relative_to(home).as_posix() for path, stamp in stamps(home).items() if before[path] != stamp}
    assert touched == {finding.key for finding in done.mended}
    assert len({path.parents[0] for path in home.parent.glob("*/*") if path.is_file()}) == 1  # the conversion is gone


def test_a_result_is_mended_from_one_that_was_made_again_but_not_its_report(lake):
    first = lake.run("kmeans", "museo:tavola", options={"k": 3})
    again = lake.run("kmeans", "museo:tavola", options={"k": 3}, again=True)
    assert lake.verify(str(first.output)).findings == ()
    home = home_of(lake, str(first.output))
    damaged(home, "labels/c/0/0", "report.html")
    done = lake.repair(str(first.output), str(again.output))
    assert [finding.key for finding in done.mended] == ["labels/c/0/0"]
    assert [finding.key for finding in done.left] == ["report.html"]
    assert lake.verify(str(first.output)).corrupt == ("report.html",)


@pytest.mark.parametrize("deep", [False, True])
def test_a_backup_mends_even_the_manifest(lake, tmp_path, deep):
    home = home_of(lake)
    before = contents(registry.open_objects(str(home)))
    backup = tmp_path / "backup" / (lake.show("museo:tavola").home if deep else "")
    for key, data in before.items():
        put_checked(registry.open_objects(str(backup)), key, data)
    damaged(home, MANIFEST, "data/c/0/0/0")
    done = lake.repair("museo:tavola", tmp_path / "backup")
    assert {finding.key for finding in done.mended} == {MANIFEST, "data/c/0/0/0"}
    assert contents(registry.open_objects(str(home))) == before


def test_a_backup_that_is_damaged_itself_mends_nothing(lake, tmp_path):
    home = home_of(lake)
    for key, data in contents(registry.open_objects(str(home))).items():
        put_checked(registry.open_objects(str(tmp_path / "backup")), key, data)
    damaged(tmp_path / "backup", "data/c/0/0/0")
    flipped(registry.open_objects(str(home)), "data/c/0/0/0", 1)
    before = stamps(home)
    done = lake.repair("museo:tavola", tmp_path / "backup")
    assert ([finding.key for finding in done.left], done.mended) == (["data/c/0/0/0"], ())
    assert stamps(home) == before


def test_another_original_mends_nothing(lake, tmp_path):
    np.save(tmp_path / "other.npy", np.random.default_rng(1).poisson(5.0, (600, 8)).astype("uint16"))
    damaged(home_of(lake), "data/c/0/0/0")
    before = stamps(home_of(lake))
    assert [finding.key for finding in lake.repair("museo:tavola", tmp_path / "other.npy").left] == ["data/c/0/0/0"]
    assert stamps(home_of(lake)) == before


def test_a_dry_run_says_what_it_could_mend_and_changes_nothing(lake, source):
    damaged(home_of(lake), "data/c/0/0/0")
    before = stamps(Path(lake.url))
    done = lake.repair("museo:tavola", source, dry_run=True)
    assert [finding.key for finding in done.mended] == ["data/c/0/0/0"]
    assert stamps(Path(lake.url)) == before


def test_killed_between_delete_and_put_it_is_missing_and_the_next_repair_mends_it(lake, source, monkeypatch):
    home = home_of(lake)
    before = contents(registry.open_objects(str(home)))
    damaged(home, "data/c/0/0/0")

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(mend, "put_checked", killed)
        with pytest.raises(KeyboardInterrupt):
            lake.repair("museo:tavola", source)
    assert lake.verify("museo:tavola").missing == ("data/c/0/0/0",)
    assert lake.repair("museo:tavola", source).ok
    assert contents(registry.open_objects(str(home))) == before


def test_nothing_wrong_means_nothing_is_done(lake, source):
    before = stamps(Path(lake.url))
    done = lake.repair("museo:tavola", source)
    assert (done.ok, done.mended) == (True, ())
    assert stamps(Path(lake.url)) == before


def test_sources_that_are_none_are_refused(lake, tmp_path):
    damaged(home_of(lake), "data/c/0/0/0")
    (tmp_path / "text.txt").write_text("no cube")
    cases = [("museo:tavola", InvalidInput), (str(home_of(lake)), InvalidInput), ("museo:nobody", NotFound), (str(tmp_path / "gone"), NotFound)]
    for source, error in [*cases, (str(tmp_path / "text.txt"), (InvalidInput, Corrupt)), (lake.url, InvalidInput)]:
        with pytest.raises(error):
            lake.repair("museo:tavola", source)


# --- gc ---------------------------------------------------------------------------------------------------------------
def aged(folder, days):
    for path in folder.rglob("*"):
        stat = path.stat()
        os.utime(path, (stat.st_atime - days * DAY, stat.st_mtime - days * DAY))


def orphan(lake, name="tavola", write_id="0123456789ab"):
    return made(lake.url, name, write_id).home


def test_an_empty_or_absent_lake_has_nothing_to_remove_and_is_not_made(tmp_path):
    assert Lake(tmp_path / "absent").gc(remove=True, older_than_seconds=0).leftovers == ()
    assert not (tmp_path / "absent").exists()


def test_only_what_nothing_names_goes_and_only_when_it_is_old_and_asked_for(lake):
    prefix = orphan(lake)
    assert [each.fate for each in lake.gc(remove=True).leftovers] == [Fate.KEPT]
    aged(Path(lake.url) / prefix, 2)
    assert [each.fate for each in lake.gc().leftovers] == [Fate.REMOVABLE]
    assert [each.fate for each in lake.gc(remove=True, older_than_seconds=3 * DAY).leftovers] == [Fate.KEPT]
    done = lake.gc(remove=True)
    assert ([each.heap.prefix for each in done.of(Fate.REMOVED)], done.nbytes > 0) == ([prefix], True)
    assert contents(registry.open_objects(lake.url), prefix) == {}
    assert lake.verify("museo:tavola").ok


def test_one_young_object_keeps_its_prefix(lake):
    prefix = orphan(lake)
    aged(Path(lake.url) / prefix, 2)
    registry.open_objects(lake.url).put(f"{prefix}/data/c/9", b"new")
    assert [each.fate for each in lake.gc(remove=True).leftovers] == [Fate.KEPT]


def test_leftovers_of_another_scope_go_only_where_it_is_named(lake):
    prefix = orphan(lake)
    other = Lake(lake.url, scope="user.anna")
    [kept] = other.gc(remove=True, older_than_seconds=0).leftovers
    assert (kept.fate, kept.why) == (Fate.KEPT, "it is of the scope museo: --scope museo")
    [gone] = other.gc(remove=True, older_than_seconds=0, scope="museo").leftovers
    assert (gone.fate, gone.heap.prefix) == (Fate.REMOVED, prefix)


def test_a_lake_without_a_single_dataset_is_not_swept(tmp_path):
    lake = Lake(tmp_path / "lake", scope="museo")
    prefix = orphan(lake)
    [kept] = lake.gc(remove=True, older_than_seconds=0).leftovers
    assert (kept.fate, "is this the right lake?" in kept.why) == (Fate.KEPT, True)
    assert contents(registry.open_objects(lake.url), prefix)


def test_an_unfinished_run_is_reported_and_keeps_all_it_has(lake):
    record = started(lake.url, lake.show("museo:tavola"), "tavola.kmeans.1", "r-0123456789")
    before = contents(registry.open_objects(lake.url))
    [kept] = lake.gc(remove=True, older_than_seconds=0).leftovers
    assert (kept.heap.prefix, kept.fate, kept.why) == ("work/r-0123456789", Fate.KEPT, "lakecv resume r-0123456789")
    assert contents(registry.open_objects(lake.url), record.home)
    assert contents(registry.open_objects(lake.url)) == before


def test_an_unfinished_run_whose_setup_cannot_be_read_keeps_all_it_has(lake):
    started(lake.url, lake.show("museo:tavola"), "tavola.kmeans.1", "r-0123456789")
    (Path(lake.url) / "work" / "r-0123456789" / "setup.json").write_bytes(b"{")
    before = contents(registry.open_objects(lake.url))
    assert {each.fate for each in lake.gc(remove=True, older_than_seconds=0).leftovers} == {Fate.KEPT}
    assert contents(registry.open_objects(lake.url)) == before


def test_the_work_of_a_published_run_goes_and_its_setup_stays(lake):
    run = lake.run("kmeans", "museo:tavola", options={"k": 3})
    objects = registry.open_objects(lake.url)
    objects.put(f"work/{run.id}/parts/0-map/000000.0123456789abcdef", b"part")
    objects.put(f"work/{run.id}/mine.txt", b"unknown")
    before = contents(objects)
    [gone] = lake.gc(remove=True, older_than_seconds=0).leftovers
    assert (gone.heap.prefix, gone.fate) == (f"work/{run.id}", Fate.REMOVED)
    after = contents(objects)
    assert set(before) - set(after) == {f"work/{run.id}/parts/0-map/000000.0123456789abcdef"}
    assert lake.runs()[0].id == run.id


def test_the_work_of_a_run_whose_result_the_catalog_lacks_stays(lake):
    record = started(lake.url, lake.show("museo:tavola"), "tavola.kmeans.1", "r-0123456789")
    finished(lake.url, record)
    found = {each.heap.prefix: each.fate for each in lake.gc(remove=True, older_than_seconds=0).leftovers}
    assert found["work/r-0123456789"] is Fate.KEPT


def test_a_dataset_that_is_registered_while_gc_runs_is_kept(lake, monkeypatch):
    mine = made(lake.url, "nuova", "0123456789ab")
    usual = type(lake._catalog).search

    def late(catalog, scope=None):
        found = list(usual(catalog, scope))
        catalog.register(mine, a_manifest())
        return iter(found)

    monkeypatch.setattr(type(lake._catalog), "search", late)
    [kept] = lake.gc(remove=True, older_than_seconds=0).leftovers
    assert (kept.fate, kept.why) == (Fate.KEPT, "it is in use by now")
    assert lake.verify("museo:nuova").ok


def test_a_catalog_that_cannot_be_asked_stops_before_anything_is_removed(lake, monkeypatch):
    orphan(lake)
    before = contents(registry.open_objects(lake.url))

    def down(*_):
        raise Unavailable("down", Kind.CATALOG_TIMEOUT)

    monkeypatch.setattr(type(lake._catalog), "search", down)
    with pytest.raises(Unavailable):
        lake.gc(remove=True, older_than_seconds=0)
    assert contents(registry.open_objects(lake.url)) == before


# --- any sequence -----------------------------------------------------------------------------------------------------
_number = count()


class Keeping(RuleBasedStateMachine):
    """Registers, damages, verifies, repairs, starts runs and sweeps; a plain dictionary knows what has to be there."""

    def where(self):
        return f"memory://keeping-{next(_number)}/lake"

    @initialize(seed=st.integers(0, 3))
    def opened(self, seed):
        self.lake = Lake(self.where(), scope="museo")
        self.objects = registry.open_objects(self.lake.url)
        self.backup = registry.open_objects(self.where())
        self.names, self.damage, self.running, self.serial = [], {}, {}, count()
        self.register(seed)

    @rule(seed=st.integers(0, 3))
    def register(self, seed):
        number = next(self.serial)
        dataset = made(self.lake.url, f"cube{number}", f"{number:012x}", seed)
        self.lake._catalog.register(dataset, a_manifest())
        for key, data in contents(self.objects, dataset.home).items():
            self.backup.put(key, data)
        self.names.append(dataset)
        self.damage[dataset.did] = {}

    @rule()
    def leave_an_orphan(self):
        number = next(self.serial)
        made(self.lake.url, f"cube{number}", f"{number:012x}")

    @rule(pick=st.integers(0), done=st.booleans())
    def start_a_run(self, pick, done):
        number = next(self.serial)
        dataset = self.names[pick % len(self.names)]
        run = f"r-{number:010x}"
        record = started(self.lake.url, dataset, f"run{number}", run)
        if done:
            finished(self.lake.url, record)
        else:
            for prefix in (record.home, f"work/{run}"):
                self.running |= contents(self.objects, prefix)

    @rule(pick=st.integers(0), which=st.integers(0), how=st.sampled_from(["flip", "cut", "delete", "add"]), at=st.integers(0))
    def damage_something(self, pick, which, how, at):
        dataset = self.names[pick % len(self.names)]
        known, home = self.damage[dataset.did], registry.open_objects(f"{self.lake.url}/{dataset.home}")
        keys = [key for key in contents(home) if key != MANIFEST and key not in known]
        key = f"data/c/8/{next(self.serial)}/0" if how == "add" or not keys else keys[which % len(keys)]
        known[key] = {"flip": Flaw.CORRUPT, "cut": Flaw.CORRUPT, "delete": Flaw.MISSING, "add": Flaw.EXTRA}[how if keys else "add"]
        if known[key] is Flaw.EXTRA:
            home.put(key, b"dark")
        elif how == "flip":
            flipped(home, key, at)
        else:
            short = home.get(key)[:-1]
            home.delete(key)
            if how == "cut":
                home.put(key, short)

    @rule(pick=st.integers(0))
    def verify(self, pick):
        dataset = self.names[pick % len(self.names)]
        found = {finding.key: finding.flaw for finding in self.lake.verify(str(dataset.did)).findings}
        assert found == self.damage[dataset.did]

    @precondition(lambda self: any(self.damage.values()))
    @rule(pick=st.integers(0))
    def repair(self, pick):
        dataset = self.names[pick % len(self.names)]
        done = self.lake.repair(str(dataset.did), self.backup.url)
        known = self.damage[dataset.did]
        assert {finding.key: finding.flaw for finding in done.mended} == {key: flaw for key, flaw in known.items() if flaw is not Flaw.EXTRA}
        self.damage[dataset.did] = {key: flaw for key, flaw in known.items() if flaw is Flaw.EXTRA}
        good = contents(self.backup, dataset.home)
        assert {key: self.objects.get(key) for key in good} == good

    @rule(remove=st.booleans())
    def gc(self, remove):
        before = contents(self.objects)
        done = self.lake.gc(remove=remove, older_than_seconds=0)
        gone = set(before) - set(contents(self.objects))
        assert remove or not gone
        assert all(any(key.startswith(f"{each.heap.prefix}/") for each in done.of(Fate.REMOVED)) for key in gone)
        if remove:
            homes = {dataset.home for dataset in self.names}
            left = {key.rsplit("/", key.count("/") - 3)[0] for key in contents(self.objects, "data")}
            assert left - homes == {key.rsplit("/", key.count("/") - 3)[0] for key in self.running if key.startswith("data/")}

    @invariant()
    def nothing_in_use_is_gone(self):
        for dataset in getattr(self, "names", ()):
            gone = {key for key, flaw in self.damage[dataset.did].items() if flaw is Flaw.MISSING}
            expected = {key.removeprefix(f"{dataset.home}/") for key in contents(self.backup, dataset.home)} - gone
            assert expected <= set(contents(registry.open_objects(f"{self.lake.url}/{dataset.home}")))
        assert all(self.objects.get(key) == data for key, data in getattr(self, "running", {}).items())


Keeping.TestCase.settings = settings(max_examples=12, stateful_step_count=20, suppress_health_check=list(HealthCheck))
TestInMemory = Keeping.TestCase


class KeepingInAFolder(Keeping):
    def where(self):
        import tempfile

        self.folder = getattr(self, "folder", None) or tempfile.TemporaryDirectory()
        return f"{self.folder.name}/{next(_number)}"

    def teardown(self):
        self.folder.cleanup()


KeepingInAFolder.TestCase.settings = settings(max_examples=6, stateful_step_count=15, suppress_health_check=list(HealthCheck))
TestInAFolder = KeepingInAFolder.TestCase


class KeepingOnS3(Keeping):
    def where(self):
        return f"s3://{self.bucket}/{next(_number)}"


_FEW = settings(max_examples=3, stateful_step_count=8, suppress_health_check=list(HealthCheck))


def test_any_sequence_holds_on_s3(moto_server, monkeypatch):
    for name, value in moto_server.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(KeepingOnS3, "bucket", moto_server.bucket(), raising=False)
    run_state_machine_as_test(KeepingOnS3, settings=_FEW)
