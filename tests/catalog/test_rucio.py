"""The catalog of a Rucio lake on a Rucio server in memory; tests/lake/test_rucio_catalog.py does the same on the real one."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Timer

import numpy as np
import pytest
from lakecv_catalog.rucio.catalog import RucioCatalog
from lakecv_catalog.rucio.metadata import IdlWriter
from lakecv_catalog.rucio.places import Place
from lakecv_catalog.rucio.server import Server, _server, server
from lakecv_catalog.rucio.storage import RseStorage

from lakecv import registry
from lakecv.api import Lake
from lakecv.errors import Conflict, Denied, Infeasible, InvalidInput, Kind, NotFound, Unavailable
from lakecv.lake_io.child import serve
from lakecv.records import DID, Access, Damage, Manifest, StoredObject
from lakecv.testing.catalog import CatalogContract, a_claim, a_dataset, a_manifest
from lakecv.testing.fakes import MemoryObjects
from lakecv.testing.sites import InlineSite
from tests.rucio_contract import SCOPES, RucioContract, at_home
from tests.rucio_server import FakeRucio

RSES = {"INFN-PG": "INFN-PG", "CNAF": "CNAF"}


@pytest.fixture
def rucio(tmp_path, monkeypatch):
    """A server with two storage elements that are folders, and the account ada."""
    with FakeRucio() as rucio:
        rucio.add_account("ada")
        for scope in SCOPES:
            rucio.add_scope(scope, "ada")
        for rse, site in RSES.items():
            (tmp_path / rse).mkdir()
            rucio.add_rse(rse, site, tmp_path / rse)
            rucio.set_quota("ada", rse, 10**10)
        monkeypatch.setenv("RUCIO_HOME", str(rucio.home(tmp_path, "ada")))
        monkeypatch.setattr("rucio.client.baseclient.MAX_RETRY_BACK_OFF_SECONDS", 0.01)
        yield rucio
    _server.cache_clear()


@pytest.fixture
def catalog(rucio):  # noqa: ARG001
    return RucioCatalog(MemoryObjects())


@pytest.fixture
def registered(catalog):
    return catalog.register(at_home(a_dataset()), a_manifest())


class TestRucio(RucioContract):
    @pytest.fixture
    def open_catalog(self, rucio):  # noqa: ARG002
        return lambda: RucioCatalog(MemoryObjects())


class TestIdl(CatalogContract):
    """The same in the shape of the ICSC lake's documents."""

    @pytest.fixture
    def open_catalog(self, rucio):  # noqa: ARG002
        return lambda: RucioCatalog(MemoryObjects(), writer=IdlWriter("JSON"))

    def dataset(self, did="museo:tavola", digest="a" * 64):
        return at_home(a_dataset(did, digest))


# --- what may be lost on the way --------------------------------------------------------------------------------------
STEPS = ["dids/{scope}/{name}", "replicas", "dids/attachments", "rules", "/meta"]


@pytest.mark.parametrize("path", STEPS)
def test_a_reply_that_is_lost_changes_nothing(rucio, catalog, path):
    rucio.lose_reply_of("POST", path)
    done = catalog.register(at_home(a_dataset()), a_manifest())
    assert done == catalog.lookup(done.did) == at_home(a_dataset())
    assert len(catalog.rules(done.did)) == 1


@pytest.mark.parametrize("path", STEPS)
def test_a_registration_that_was_stopped_at_any_step_is_finished_by_the_next(rucio, catalog, monkeypatch, path):
    monkeypatch.setattr("lakecv_catalog.rucio.catalog._WAIT_SECONDS", 0.01)
    monkeypatch.setattr("lakecv_catalog.rucio.server._WAIT_SECONDS", 0.01)
    rucio.fail_next(20, 503, method="POST", path_part=path)
    with pytest.raises(Unavailable):
        catalog.register(at_home(a_dataset()), a_manifest())
    rucio._failing.clear()
    assert list(catalog.search()) == []
    assert catalog.register(at_home(a_dataset()), a_manifest()) == at_home(a_dataset())


def test_a_registration_waits_for_a_server_that_comes_back(rucio, catalog):
    assert catalog.scope == "user.ada"
    rucio.pause()
    Timer(1.0, rucio.resume).start()
    assert catalog.register(at_home(a_dataset()), a_manifest()) == at_home(a_dataset())


# --- calls ------------------------------------------------------------------------------------------------------------
def test_a_lookup_is_a_constant_number_of_calls(rucio, catalog):
    counts = []
    for number in (3, 3000):
        did = f"museo:t-{number}"
        data = tuple(StoredObject(f"counts/c/{index}", 1, "00000001", "00000001") for index in range(number))
        catalog.register(at_home(a_dataset(did)), Manifest(data))
        rucio.calls.clear()
        catalog.lookup(DID.parse(did))
        counts.append(len(rucio.calls))
    assert counts[0] == counts[1] <= 2


def test_a_registration_is_one_call_per_thousand_objects_and_step(rucio, catalog):
    data = tuple(StoredObject(f"counts/c/{index}", 1, "00000001", "00000001") for index in range(2500))
    rucio.calls.clear()
    catalog.register(at_home(a_dataset()), Manifest(data))
    sent = Counter(path for method, path in rucio.calls if method == "POST" and path in {"replicas", "dids/attachments"})
    assert sent == {"replicas": 3, "dids/attachments": 3}


# --- where data lie, and why not --------------------------------------------------------------------------------------
def test_a_replica_on_tape_or_behind_a_closed_door_is_told_so(rucio, catalog, registered, tmp_path):
    rucio.add_rse("TAPE", "CNAF", tmp_path / "tape", rse_type="TAPE")
    server().add_files("TAPE", "museo", {Place.parse(registered.home).file(item.key): item for item in a_manifest().by_key.values()})
    rucio.set_availability("INFN-PG", read=False)
    _server.cache_clear()
    access = {replica.rse: replica.access for replica in catalog.lookup(registered.did).replicas}
    assert access == {"INFN-PG": Access.DOWN, "TAPE": Access.TAPE}


def test_nothing_is_placed_where_it_may_not_be(rucio, catalog, tmp_path):
    rucio.add_rse("TAPE", "CNAF", tmp_path / "tape", rse_type="TAPE")
    rucio.add_rse("FULL", "CNAF", tmp_path / "full")
    rucio.add_account("bob")
    rucio.add_scope("user.bob", "bob")
    rucio.set_availability("CNAF", write=False)
    cases = {("museo", "TAPE"): Kind.FORBIDDEN, ("museo", "FULL"): Kind.QUOTA_EXCEEDED, ("museo", "CNAF"): Kind.FORBIDDEN,
             ("user.bob", "INFN-PG"): Kind.FORBIDDEN}  # fmt: skip
    for (scope, rse), kind in cases.items():
        with pytest.raises(Denied) as caught:
            catalog.place(DID(scope, "x"), "w1", rse)
        assert caught.value.kind is kind
        assert caught.value.hint


def test_without_a_name_data_go_to_ones_own_site(catalog, monkeypatch):
    with pytest.raises(InvalidInput, match="CNAF, INFN-PG"):
        catalog.place(DID("museo", "x"), "w1", None)
    monkeypatch.setenv("SITE_NAME", "CNAF")
    assert catalog.place(DID("museo", "x"), "w1", None).rse == "CNAF"


def test_damage_is_reported_as_suspicious_by_users_and_as_bad_by_those_who_may(rucio, catalog, registered, tmp_path, monkeypatch):
    damages = [Damage("INFN-PG", "counts/c/0/0/0", "its bytes are others")]
    assert catalog.report(registered, damages) == "suspicious"
    assert [url.rsplit("/", 1)[1] for _, url, _ in rucio.suspicious] == ["tavola.w1.counts.c.0.0.0"]
    rucio.add_account("boss", admin=True)
    monkeypatch.setenv("RUCIO_HOME", str(rucio.home(tmp_path, "boss")))
    assert catalog.report(registered, damages) == "bad"


def test_a_dataset_of_somebody_else_is_not_taken_for_one_of_lakecv(catalog):
    server().create(DID("museo", "plain"), {"colour": "red"})
    with pytest.raises(NotFound, match="no dataset of lakecv"):
        catalog.lookup(DID("museo", "plain"))
    with pytest.raises(Conflict):
        catalog.claim(a_claim("museo:plain"))


# --- who one is -------------------------------------------------------------------------------------------------------
def test_each_refusal_at_the_door_has_its_own_cause(rucio, catalog, tmp_path, monkeypatch):
    homes = {
        Kind.FORBIDDEN: rucio.home(tmp_path / "wrong", "ada", password="other"),
        Kind.CONFIG_INVALID: tmp_path / "nowhere",
        Kind.CATALOG_TIMEOUT: rucio.home(tmp_path / "gone", "ada", rucio_host="http://127.0.0.1:9", auth_host="http://127.0.0.1:9"),
    }
    monkeypatch.setattr("lakecv_catalog.rucio.server._WAIT_SECONDS", 0.01)
    for kind, home in homes.items():
        monkeypatch.setenv("RUCIO_HOME", str(home))
        with pytest.raises((Denied, InvalidInput, Unavailable)) as caught:
            catalog.lookup(DID("museo", "x"))
        assert caught.value.kind is kind
        assert "secret" not in str(caught.value)


def test_a_session_that_ended_is_opened_again(rucio, catalog, registered):
    rucio.expire_tokens()
    assert catalog.lookup(registered.did) == registered


def test_another_home_is_another_client(rucio, catalog, tmp_path, monkeypatch):
    rucio.add_account("bob")
    monkeypatch.setenv("RUCIO_HOME", str(rucio.home(tmp_path, "bob")))
    assert catalog.scope == "user.bob"



def test_the_doctor_says_who_one_is_and_what_is_left(rucio, tmp_path):
    lake = Lake(tmp_path / "lake", catalog="rucio", rse="INFN-PG")
    said = {check.name: check.text for check in lake.doctor()}
    assert said["catalog"] == "it lets you in; your scope is user.ada"
    assert said["storage element INFN-PG"] == "your quota has 10.0 GB left there"
    rucio.set_quota("ada", "INFN-PG", 0)
    assert "0 B left" in {check.name: check.text for check in lake.doctor()}["storage element INFN-PG"]


# --- a registration that did not come to its end ----------------------------------------------------------------------
@pytest.fixture
def cube(tmp_path):
    np.save(tmp_path / "cube.npy", np.arange(40 * 30 * 8, dtype="uint16").reshape(40, 30, 8))
    return tmp_path / "cube.npy"


def stored(tmp_path):
    """Names of all files on the storage elements."""
    return sorted(path.name for rse in RSES for path in (tmp_path / rse).rglob("*") if path.is_file())


@pytest.mark.parametrize("rse", list(RSES))
@pytest.mark.parametrize("step", ["add_files", "attach", "add_rule", "describe"])
@pytest.mark.usefixtures("rucio")
def test_what_an_interrupted_registration_has_stored_is_what_the_next_one_enters(tmp_path, cube, monkeypatch, step, rse):
    with monkeypatch.context() as patch:
        patch.setattr(Server, step, _interrupt)
        with pytest.raises(KeyboardInterrupt):
            Lake(tmp_path / "lake", catalog="rucio", rse="INFN-PG").register(cube, "museo:cube")
    before = stored(tmp_path)
    lake = Lake(tmp_path / "lake", catalog="rucio", rse=rse)
    assert lake.register(cube, "museo:cube").dataset.home.startswith("rse://INFN-PG/")
    assert stored(tmp_path) == before != []
    np.testing.assert_array_equal(lake.open("museo:cube")["data"], np.load(cube))


@pytest.mark.usefixtures("rucio")
def test_where_the_data_of_an_interrupted_registration_are_gone_the_next_one_enters_its_own(tmp_path, cube, monkeypatch):
    lake = Lake(tmp_path / "lake", catalog="rucio", rse="INFN-PG")
    with monkeypatch.context() as patch:
        patch.setattr(Server, "attach", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            lake.register(cube, "museo:cube")
    for path in (tmp_path / "INFN-PG").rglob("*data.c.0.0.0"):
        path.unlink()
    _server.cache_clear()
    lake.register(cube, "museo:cube")
    np.testing.assert_array_equal(lake.open("museo:cube")["data"], np.load(cube))
    assert lake.verify("museo:cube").ok


def _interrupt(*_):
    raise KeyboardInterrupt


@pytest.mark.usefixtures("rucio")
def test_of_two_registrations_of_one_content_the_record_that_was_announced_first_stays(tmp_path, cube, monkeypatch):
    lake = Lake(tmp_path / "lake", catalog="rucio", rse="INFN-PG")
    with monkeypatch.context() as patch:
        patch.setattr(Server, "describe", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            lake.register(cube, "museo:cube", title="first")
    assert lake.register(cube, "museo:cube", title="second").dataset.title == "first"
    assert len(lake.rules("museo:cube")) == 1


def test_a_conversion_that_is_interrupted_leaves_nothing_on_the_storage_element(rucio, tmp_path, cube, monkeypatch):
    def interrupted(request, watch, note):
        serve(request, watch, note)
        raise KeyboardInterrupt

    monkeypatch.setattr("lakecv.api.registering.convert_apart", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Lake(tmp_path / "lake", catalog="rucio", rse="INFN-PG").register(cube, "museo:cube")
    assert stored(tmp_path) == []
    assert rucio.state.dids == {}


@pytest.mark.usefixtures("rucio")
def test_a_name_that_is_too_long_for_its_files_is_refused_before_anything_is_stored(tmp_path, cube):
    with pytest.raises(InvalidInput) as caught:
        Lake(tmp_path / "lake", catalog="rucio", rse="INFN-PG").register(cube, f"museo:{'n' * 226}")
    assert caught.value.kind is Kind.DID_MALFORMED
    assert stored(tmp_path) == []


@pytest.mark.usefixtures("rucio")
def test_a_run_passes_over_a_name_that_somebody_else_has_used(tmp_path, cube, monkeypatch):
    monkeypatch.setattr(registry, "site", lambda _: InlineSite(1))
    lake = Lake(tmp_path / "lake", catalog="rucio", rse="INFN-PG", scope="museo")
    lake.register(cube, "museo:cube")
    server().create(DID("museo", "cube.pca.1"), {"colour": "red"})
    assert str(lake.run("pca", "museo:cube", options={"components": 2}).output) == "museo:cube.pca.2"


# --- asked by many threads --------------------------------------------------------------------------------------------
def test_threads_share_one_login_and_one_wait(rucio, tmp_path, cube):
    Lake(tmp_path / "lake", catalog="rucio", rse="INFN-PG").register(cube, "museo:cube")
    home = RucioCatalog(MemoryObjects()).lookup(DID("museo", "cube")).home
    _server.cache_clear()
    rucio.calls.clear()
    objects = RseStorage().objects(home)
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(objects.get, ["zarr.json"] * 16))) == 1
    counted = Counter(path for _, path in rucio.calls)
    assert (counted["auth/userpass"] <= 1, counted["replicas/list"]) == (True, 1)


def test_a_file_that_the_catalog_has_closed_is_no_damage(rucio, tmp_path, cube):
    lake = Lake(tmp_path / "lake", catalog="rucio", rse="INFN-PG")
    dataset = lake.register(cube, "museo:cube").dataset
    rucio.state.did(("museo", Place.parse(dataset.home).file("data/c/0/0/0"))).replicas["INFN-PG"] = "TEMPORARY_UNAVAILABLE"
    with pytest.raises(Infeasible):
        RseStorage().objects(dataset.home).get("data/c/0/0/0")
