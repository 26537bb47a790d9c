"""The catalog of a Rucio lake on a Rucio server in memory; tests/lake/test_rucio_catalog.py does the same on the real one."""

from collections import Counter
from threading import Timer

import pytest
from lakecv_catalog.rucio.catalog import RucioCatalog
from lakecv_catalog.rucio.metadata import IdlWriter
from lakecv_catalog.rucio.places import Place
from lakecv_catalog.rucio.server import _server, server

from lakecv.api import Lake
from lakecv.errors import Conflict, Denied, InvalidInput, Kind, NotFound, Unavailable
from lakecv.records import DID, Access, Damage, Manifest, StoredObject
from lakecv.testing.catalog import CatalogContract, a_claim, a_dataset, a_manifest
from lakecv.testing.fakes import MemoryObjects
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
