"""One run over two sites with work areas of their own: the bits of one site, whatever happens to either of them."""

import random
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from lakecv_plugins.models.kmeans import KMeans
from two_sites import NA, PG, Sites, Watched, committed, digest, lake_of, left_near, profiles

from lakecv import registry
from lakecv.api import Lake, registering
from lakecv.errors import LakeCVError, Unavailable
from lakecv.lake_io import child
from lakecv.lake_io.sweep import Fate
from lakecv.ports import ReadHints
from lakecv.report import page
from lakecv.sheet import Result

OPTIONS = {"kmeans": {"k": 4, "restarts": 1}, "pca+kmeans": {"k": 4, "components": 3, "restarts": 1}}
DID = "two:cube"


@pytest.fixture(scope="module")
def registered(tmp_path_factory):
    """Register once, and compute at one site what others have to equal."""
    folder = tmp_path_factory.mktemp("registered")
    rng = np.random.default_rng(2)
    spectra = rng.gamma(2.0, 2.0, (4, 16))
    where = (np.add.outer(np.arange(260), np.arange(190)) // 40) % 4
    np.save(folder / "cube.npy", rng.poisson(spectra[where]).astype("uint16"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registering, "convert_apart", child.serve)
        patch.setattr(page, "render", lambda _: b"<html></html>")
        patch.setattr(registry, "site", lambda _: Sites())
        lake_of(folder / "lake").register(folder / "cube.npy", DID, hints=ReadHints(dims="y,x,spectral"))
        shutil.copytree(folder / "lake", folder / "alone")
        alone = lake_of(folder / "alone", max_workers=2)
        expected = {model: digest(alone, alone.run(model, DID, site="local", options=options)) for model, options in OPTIONS.items()}
    return folder, expected


@dataclass
class Two:
    """A lake, the urls of two sites' work areas, their executor, the stores that are watched, and what has to come out."""

    lake: Lake
    urls: dict
    sites: Sites
    watched: Watched
    expected: dict


@pytest.fixture
def two(tmp_path, registered, monkeypatch):
    folder, expected = registered
    shutil.copytree(folder / "lake", tmp_path / "lake")
    watched, sites = Watched(monkeypatch), Sites(3)
    monkeypatch.setattr(page, "render", lambda _: b"<html></html>")
    monkeypatch.setattr(registry, "site", lambda _: sites)
    return Two(lake_of(tmp_path / "lake"), profiles(tmp_path), sites, watched, expected)


def run(lake, model="kmeans", **more):
    return lake.run(model, DID, site="auto", options=OPTIONS[model], **more)


# --- the same bits ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("model", OPTIONS)
def test_two_sites_make_the_bytes_of_one_and_leave_nothing_near_them(model, two):
    done = run(two.lake, model)
    assert digest(two.lake, done) == two.expected[model]
    assert min(two.sites.done[name] for name in (PG, NA)) > 5
    assert left_near(two.urls) == []
    assert done.facts == tuple(fact for fact in done.facts if fact[0] != "sites")


def test_bytes_are_near_where_the_input_lies_and_far_where_it_does_not(tmp_path, two):
    link = '[[links]]\nrse = "local"\nbytes_per_second = 1e9\nlatency_seconds = 0.0001\n'
    profiles(tmp_path, near=(["local"], ["elsewhere"]), more=("", link))
    done = two.lake.run("kmeans", DID, site="auto", options=OPTIONS["kmeans"], ignore_locality=True)
    shares = {share.site: share for share in two.lake.plan("kmeans", DID, site="auto", options=OPTIONS["kmeans"], ignore_locality=True).shares}
    assert digest(two.lake, done) == two.expected["kmeans"]
    assert shares[NA].nbytes_near == shares[PG].nbytes_far == 0
    assert done.nbytes_near > 0
    assert done.nbytes_far > 0


def test_the_driver_reads_one_object_of_each_area_for_each_pass(two):
    run(two.lake)
    passes = {key.split("/")[0] for key in two.watched.ran if "-merge" not in key and not key.startswith("pack")}
    for name, url in two.urls.items():
        parts = sum(url in at and key.startswith("parts/") for at, key in two.watched.nbytes)
        packed = sum(key.startswith("pack/") for key in two.watched.ran) if name == packs(two.lake) else 0
        assert parts == len(passes) + packed
        assert {folder for at, folder in two.watched.reads if url in at} <= {"parts", "setup.json"}  # it was told of every record
    far = sum(nbytes for (at, key), nbytes in two.watched.nbytes.items() if "near-" in at and key.startswith("parts/") and "sample" not in key and "pack" not in key)
    assert 0 < far < two.lake.show(DID).cube.main.nbytes / 50
    assert sum("-merge/" in key for key in two.watched.ran) == 2 * len(passes)


def packs(lake):
    return lake.plan("kmeans", DID, site="auto", options=OPTIONS["kmeans"]).packs


def test_nothing_is_done_twice_in_a_run_where_all_goes_well(two):
    run(two.lake, "pca+kmeans")
    assert max(Counter(two.watched.ran).values()) == 1


# --- what may happen --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("after", [0, 3, 6, 9])
def test_a_site_that_dies_in_the_middle_changes_no_bit_and_is_told(after, two):
    two.sites.ends[NA] = after
    done = run(two.lake)
    assert digest(two.lake, done) == two.expected["kmeans"]
    assert max(Counter(two.watched.ran).values()) == 1
    assert any(name == "sites" and f"the scheduler of {NA} is gone" in text for name, text in done.facts)


def test_where_the_last_site_dies_the_run_ends_with_its_failure_and_is_resumed_elsewhere(two):
    two.sites.ends |= {PG: 8, NA: 5}
    with pytest.raises(Unavailable, match="the scheduler of"):
        run(two.lake)
    two.sites.ends.clear()
    assert digest(two.lake, two.lake.resume()) == two.expected["kmeans"]
    assert max(Counter(two.watched.ran).values()) == 1


@pytest.mark.parametrize("at", [0, 2, 7, 13, 30])
def test_an_area_that_goes_out_of_reach_does_not_stop_the_run(at, two, monkeypatch):
    usual = InlinePoolTurn(two.watched, two.urls[NA], at)
    monkeypatch.setattr(Sites, "pool", usual.around(Sites.pool))
    done = run(two.lake)
    assert digest(two.lake, done) == two.expected["kmeans"]
    assert any(name == "sites" and f"near {NA} was left out" in text for name, text in done.facts) or not two.watched.away


@pytest.mark.parametrize("at", [0, 7, 25])
def test_where_the_only_site_loses_its_area_it_goes_on_in_the_lake(at, two, monkeypatch):
    monkeypatch.setattr(Sites, "pool", InlinePoolTurn(two.watched, two.urls[PG], at).around(Sites.pool))
    done = two.lake.run("kmeans", DID, site=PG, options=OPTIONS["kmeans"])
    assert digest(two.lake, done) == two.expected["kmeans"]


class InlinePoolTurn:
    """Puts an area out of reach when so many tasks have run."""

    def __init__(self, watched, url, at):
        self.watched, self.url, self.at = watched, url, at

    def around(self, pool):
        def opened(sites, site, workers, work, label):
            def counted(task):
                if len(self.watched.ran) >= self.at:
                    self.watched.away.add(self.url)
                return work(task)

            return pool(sites, site, workers, counted, label)

        return opened


def test_an_area_that_comes_back_is_not_counted_twice(two):
    two.sites.ends |= {PG: 8, NA: 9}
    with pytest.raises(Unavailable):
        run(two.lake)
    two.watched.away.add(two.urls[NA])
    two.sites.ends = {PG: 16, NA: 11}
    with pytest.raises(Unavailable):
        two.lake.resume()
    two.watched.away.clear()
    two.sites.ends.clear()
    assert digest(two.lake, two.lake.resume()) == two.expected["kmeans"]


@pytest.mark.parametrize("seed", range(6))
def test_a_driver_that_is_killed_again_and_again_is_resumed_by_another_and_does_nothing_twice(seed, two, monkeypatch):
    rng, model = random.Random(seed), ["kmeans", "pca+kmeans"][seed % 2]
    left = Killing(rng, monkeypatch)
    done = None
    while done is None:
        before = committed(two.lake, two.urls)
        two.watched.ran.clear()
        try:
            done = run(two.lake, model)
        except Killed:
            two.lake = lake_of(two.lake.url)
        assert not before & {*two.watched.ran}
    assert left.kills >= 2
    assert digest(two.lake, done) == two.expected[model]
    assert left_near(two.urls) == []


class Killed(BaseException):
    """The driver is no more."""


class Killing:
    """Ends the driver at a write of its own or of a task, chosen by chance."""

    def __init__(self, rng, monkeypatch):
        self.rng, self.count, self.kills, self.limit = rng, 0, 0, rng.randrange(5, 40)
        from two_sites import _Objects

        usual = _Objects.__getattr__

        def getattr_(objects, name):
            if name == "put":
                self.count += 1
                if self.count >= self.limit:
                    self.count, self.kills, self.limit = 0, self.kills + 1, self.rng.randrange(20, 70)
                    raise Killed
            return usual(objects, name)

        monkeypatch.setattr(_Objects, "__getattr__", getattr_)


def test_a_part_near_a_site_that_was_changed_is_corrupt_and_not_a_wrong_sum(two):
    two.sites.ends |= {PG: 4, NA: 3}
    with pytest.raises(Unavailable):
        run(two.lake)
    for path in Path(two.urls[NA]).rglob("parts/0-*/0*"):
        path.chmod(0o644)
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    two.sites.ends.clear()
    done = two.lake.resume()
    assert done.state == "failed"
    assert {outcome.error[0] for outcome in done.failed} == {"checksum-mismatch"}


def test_an_area_that_belongs_to_another_run_is_not_used(two):
    two.sites.ends |= {PG: 0, NA: 0}
    with pytest.raises(LakeCVError):
        run(two.lake)
    [setup] = Path(two.urls[NA]).rglob("setup.json")
    setup.chmod(0o644)
    setup.write_bytes(b"{}")
    two.sites.ends.clear()
    done = two.lake.resume()
    assert digest(two.lake, done) == two.expected["kmeans"]
    assert any(f"near {NA} was left out" in text for name, text in done.facts if name == "sites")


# --- poison -----------------------------------------------------------------------------------------------------------
def bad(values):
    return Result({"labels": values}, {})


@pytest.mark.parametrize("poison", ["raises", "wrong-shape", "not-a-result"])
def test_a_poisoned_block_has_its_verdict_the_rest_is_done_and_the_run_can_be_resumed(poison, two, monkeypatch):
    usual = KMeans.apply

    def apply(model, sheets, state, options):
        [sheet] = sheets.values()
        if (sheet.window.y0, sheet.window.x0) != (128, 64):
            return usual(model, sheets, state, options)
        if poison == "raises":
            raise ZeroDivisionError("poison")
        return bad(np.zeros((1, 1), "uint8")) if poison == "wrong-shape" else None

    with monkeypatch.context() as patch:
        patch.setattr(KMeans, "apply", apply)
        done = run(two.lake)
    assert (done.state, len(done.failed), done.blocks_done) == ("failed", 1, done.blocks - 1)
    assert done.failed[0].error[0] == "contract-broken"
    before = {*two.watched.ran} - {done.failed[0].task}
    two.watched.ran.clear()
    assert digest(two.lake, two.lake.resume()) == two.expected["kmeans"]
    assert not before & {*two.watched.ran}


def test_not_a_number_is_no_poison(tmp_path, two):
    cube = np.random.default_rng(0).normal(5, 1, (150, 140, 6)).astype("float32")
    cube[64:128, :64] = np.nan
    np.save(tmp_path / "nan.npy", cube)
    two.lake.register(tmp_path / "nan.npy", "two:nan", hints=ReadHints(dims="y,x,spectral"))
    done = two.lake.run("kmeans", "two:nan", site="auto", options=OPTIONS["kmeans"])
    labels = two.lake.open(str(done.output))["labels"].to_numpy()
    assert (labels[64:128, :64] == 255).all()
    assert (labels != 255).sum() == 150 * 140 - 64 * 64


# --- gc ---------------------------------------------------------------------------------------------------------------
def test_what_could_not_be_cleared_near_a_site_is_found_and_removed_by_gc(two, monkeypatch):
    from lakecv.execution.runarea import RunArea

    usual = RunArea.clear

    def clear(area):
        two.watched.away.add(two.urls[NA])
        usual(area)

    monkeypatch.setattr(RunArea, "clear", clear)
    assert run(two.lake).state == "done"
    assert left_near(two.urls)
    away = {each.what: each.fate for each in two.lake.gc(remove=True, older_than_seconds=0).leftovers}
    assert away == {f"work near {NA} of a published run": Fate.FAILED, "work of a published run": Fate.KEPT}
    two.watched.away.clear()
    assert {each.fate for each in two.lake.gc(older_than_seconds=0).leftovers} == {Fate.REMOVABLE}
    gone = {each.what: each.fate for each in two.lake.gc(remove=True, older_than_seconds=0).leftovers}
    assert gone == {f"work near {NA} of a published run": Fate.REMOVED, "work of a published run": Fate.REMOVED}
    assert left_near(two.urls) == []
    assert two.lake.gc(remove=True, older_than_seconds=0).leftovers == ()
