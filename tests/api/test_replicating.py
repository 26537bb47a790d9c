"""Where data lie and go: found by facts, copied by rules, homes and room of results, sites that are near."""

from dataclasses import replace

import numpy as np
import pytest
from lakecv_catalog.documents import DocumentCatalog

from lakecv import registry
from lakecv.api import Lake, registering, replicating
from lakecv.errors import Denied, InvalidInput, Kind, NotFound, Unavailable
from lakecv.facts import facts_of
from lakecv.lake_io.child import serve
from lakecv.lake_io.place import data_prefix
from lakecv.ports import ReadHints, Replicates, StorageElements
from lakecv.records import DID, Replica, Rule
from lakecv.testing.catalog import a_dataset, a_manifest
from lakecv.testing.sites import InlineSite

HERE = Replica("INFN-PG", "data/museo/tavola/w1", "INFN-PG")
MOVING = Rule("r1", DID("museo", "tavola"), "CNAF", "REPLICATING", moving=3)


class Elements(DocumentCatalog):
    """Documents, with two storage elements and rules that go one step further each time they are looked at."""

    scope = "museo"

    def __init__(self, objects):
        super().__init__(objects)
        self.rooms = {"INFN-PG": 5_000_000, "CNAF": None}
        self.asked, self.states = [], [MOVING]

    def place(self, did, write_id, rse):
        return Replica(rse or "INFN-PG", data_prefix(did, write_id), rse or "INFN-PG")

    def room(self, rse):
        self.asked.append(rse)
        if rse not in self.rooms:
            raise NotFound(f"there is no storage element {rse!r}", Kind.RSE_UNKNOWN, "storage elements: CNAF, INFN-PG")
        return self.rooms[rse]

    def replicate(self, did, rses, lifetime_seconds):
        self.asked.append((str(did), rses, lifetime_seconds))
        return self.states[0]

    def rules(self, did):  # noqa: ARG002  (the port's signature)
        if len(self.states) > 1:
            del self.states[0]
        return [each for each in self.states[:1] if each is not None]


@pytest.fixture
def plain(tmp_path):
    """Open a lake of documents that knows one dataset."""
    lake = Lake(tmp_path / "lake", scope="museo")
    lake._catalog.register(a_dataset(), a_manifest())
    return lake


@pytest.fixture
def lake(tmp_path, monkeypatch):
    """Open a lake with storage elements that knows one dataset."""
    monkeypatch.setattr(registry, "catalog", lambda objects, _: Elements(objects))
    lake = Lake(tmp_path / "lake", scope="museo")
    lake._catalog.register(replace(a_dataset(), replicas=(HERE, replace(HERE, rse="CNAF", site="CNAF"))), a_manifest())
    return lake


def paused(catalog, rule, watch=lambda _: None):
    """Follow a rule without a clock; returns the pauses, too."""
    pauses = []
    return replicating.follow(catalog, rule, watch, pauses.append), pauses


def refused(error, kind, call, *args, **kwargs):
    with pytest.raises(error) as caught:
        call(*args, **kwargs)
    assert caught.value.kind is kind
    assert caught.value.hint
    return caught.value


def test_the_fake_catalog_can_what_the_ports_ask_for(lake):
    assert isinstance(lake._catalog, StorageElements)
    assert isinstance(lake._catalog, Replicates)


# --- search -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("conditions", "found"),
    [(("channels>=3", "quantity=energy"), 1), (("channels>3",), 0), (("author=Ada",), 1), (("author=Ada", "ny=1"), 0)],
)
def test_a_search_gives_what_a_lookup_gives_where_all_conditions_hold(plain, conditions, found):
    assert plain.search(*conditions) == (plain.show("museo:tavola"),) * found


def test_a_search_keeps_to_its_scope(plain):
    plain._catalog.register(replace(a_dataset(), did=DID("other", "tavola")), a_manifest())
    assert [str(each.did) for each in plain.search("channels=3")] == ["museo:tavola", "other:tavola"]
    assert [str(each.did) for each in plain.search("channels=3", scope="other")] == ["other:tavola"]


def test_a_dataset_that_is_taken_out_while_it_is_found_is_not_listed(plain, monkeypatch):
    monkeypatch.setattr(plain._catalog, "search", lambda *_: iter([DID("museo", "gone"), DID("museo", "tavola")]))
    assert [str(each.did) for each in plain.search("channels=3")] == ["museo:tavola"]


def test_a_search_without_a_condition_names_facts_that_there_are(plain):
    error = refused(InvalidInput, Kind.OPTION_INVALID, plain.search)
    named = {"quantity", "channels", "dtype", "ny", "nx", "title"}
    assert named <= set(facts_of(a_dataset()))
    assert [name for name in named if name not in error.hint] == []


def test_what_is_no_condition_is_refused(plain):
    refused(InvalidInput, Kind.OPTION_INVALID, plain.search, "channels")


def test_a_name_that_is_no_fact_has_its_nearest_one(plain):
    assert plain.unknown_facts("chanels>=3", "quantity=energy") == {"chanels": "did you mean 'channels'?"}


def test_a_fact_that_only_results_have_is_known_where_the_first_dataset_is_none(plain):
    plain._catalog.register(replace(a_dataset(), did=DID("museo", "a"), made_by=None, parents=(), title=""), a_manifest())
    assert plain.unknown_facts("model=pca", "run=r-1", "parent=a:b", "title=x", "modle=pca") == {"modle": "did you mean 'model'?"}


def test_of_an_empty_lake_no_fact_is_said_to_be_unknown(plain):
    assert plain.unknown_facts("chanels>=3", scope="nobody") == {}


def test_what_is_said_at_registration_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(registering, "convert_apart", serve)
    np.save(tmp_path / "cube.npy", np.ones((4, 5, 6), "uint16"))
    lake = Lake(tmp_path / "lake", scope="museo")
    lake.register(tmp_path / "cube.npy", "museo:uno", hints=ReadHints(dims="y,x,spectral"), metadata={"instrument": "MA-XRF"})
    assert [str(each.did) for each in lake.search("instrument=MA-XRF", "channels=6")] == ["museo:uno"]


# --- rules ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("ask", [lambda lake: lake.replicate("museo:tavola", "CNAF"), lambda lake: lake.rules("museo:tavola")])
def test_a_catalog_without_rules_says_so_and_how_to_have_them(plain, ask):
    error = refused(InvalidInput, Kind.OPTION_INVALID, ask, plain)
    assert str(error) == "this lake's catalog has no rules: everything lies in the lake itself"
    assert "catalog = 'rucio'" in error.hint


def test_a_copy_is_asked_for_with_its_lifetime_in_whole_seconds(lake):
    assert lake.replicate("museo:tavola", "site=CNAF", 90.5) == MOVING
    assert lake._catalog.asked == [("museo:tavola", "site=CNAF", 90)]
    assert lake.rules("museo:tavola") == (MOVING,)


@pytest.mark.parametrize(("to", "seconds"), [("", None), (" ", None), ("CNAF", 0), ("CNAF", -1.0), ("CNAF", float("inf")), ("CNAF", float("nan"))])
def test_a_copy_to_nowhere_or_for_no_time_is_refused_before_anything_is_asked(lake, to, seconds):
    refused(InvalidInput, Kind.OPTION_INVALID, lake.replicate, "museo:tavola", to, seconds)
    assert lake._catalog.asked == []


def test_a_rule_is_followed_until_its_copies_are_there_looking_ever_less_often(lake):
    done, seen = replace(MOVING, state="OK", ok=3, moving=0), []
    lake._catalog.states = [MOVING, *[replace(MOVING, ok=1, moving=2)] * 20, done]
    rule, pauses = paused(lake._catalog, MOVING, seen.append)
    assert rule == done
    assert [(seen[0].done, seen[0].total), (seen[-1].done, seen[-1].total)] == [(0, 3), (3, 3)]
    assert pauses == sorted(pauses)
    assert pauses[-1] == 10.0


def test_a_rule_that_is_done_is_not_waited_for(lake):
    lake._catalog.states = [replace(MOVING, state="OK", ok=3, moving=0)]
    assert lake.replicate("museo:tavola", "CNAF", wait=True).state == "OK"


@pytest.mark.parametrize("state", ["STUCK", "SUSPENDED"])
def test_a_rule_that_cannot_go_on_ends_the_wait_with_its_error(lake, state):
    lake._catalog.states = [MOVING, replace(MOVING, state=state, stuck=3, moving=0, error="no space left")]
    error = refused(Unavailable, Kind.RSE_UNREACHABLE, paused, lake._catalog, MOVING)
    assert "CNAF: no space left" in str(error)


def test_a_rule_that_is_taken_back_ends_the_wait(lake):
    lake._catalog.states = [MOVING, None]
    refused(NotFound, Kind.REPLICA_UNKNOWN, paused, lake._catalog, MOVING)


def test_ctrl_c_ends_the_wait_and_says_that_the_rule_stays(lake):
    def interrupt(_):
        raise KeyboardInterrupt

    error = refused(Unavailable, Kind.INTERRUPTED, replicating.follow, lake._catalog, MOVING, lambda _: None, interrupt)
    assert "rule r1 stays" in str(error)


# --- homes and room ---------------------------------------------------------------------------------------------------
def test_a_result_goes_where_its_input_is_read_unless_it_is_sent_elsewhere(lake):
    assert lake.plan("kmeans", "museo:tavola").home == "CNAF"
    assert lake.plan("kmeans", "museo:tavola", to="INFN-PG").home == "INFN-PG"
    assert lake._catalog.asked == ["CNAF", "INFN-PG"]


def test_the_room_that_is_left_is_a_reason_of_the_plan(lake):
    plan = lake.plan("kmeans", "museo:tavola", to="INFN-PG")
    needed = sum(spec.nbytes for spec in plan.output.arrays)
    assert plan.reasons[-1].subject == "INFN-PG"
    assert plan.reasons[-1].text == f"the result needs up to {needed / 1e3:.1f} kB; your quota has 5.0 MB left"


def test_where_there_is_no_limit_nothing_is_said_of_room(lake):
    assert not [reason for reason in lake.plan("kmeans", "museo:tavola").reasons if "quota" in reason.text]


@pytest.mark.parametrize("room", [1000, 0, -5])
def test_a_result_that_may_not_fit_is_refused_before_anything_is_claimed(lake, room):
    lake._catalog.rooms["INFN-PG"] = room
    error = refused(Denied, Kind.QUOTA_EXCEEDED, lake.run, "kmeans", "museo:tavola", to="INFN-PG")
    assert f"at INFN-PG; your quota has {'1.0 kB' if room > 0 else '0 B'} left" in str(error)
    assert "lakecv run kmeans museo:tavola --to OTHER-RSE" in error.hint
    assert list(lake._catalog.claims("museo", "")) == []


def test_a_result_that_just_fits_is_planned(lake):
    needed = sum(spec.nbytes for spec in lake.plan("kmeans", "museo:tavola").output.arrays)
    lake._catalog.rooms["INFN-PG"] = needed
    assert lake.plan("kmeans", "museo:tavola", to="INFN-PG").home == "INFN-PG"
    lake._catalog.rooms["INFN-PG"] = needed - 1
    refused(Denied, Kind.QUOTA_EXCEEDED, lake.plan, "kmeans", "museo:tavola", to="INFN-PG")


def test_a_storage_element_that_is_not_there_is_refused_while_planning(lake):
    refused(NotFound, Kind.RSE_UNKNOWN, lake.plan, "kmeans", "museo:tavola", to="NOWHERE")


@pytest.mark.parametrize("verb", ["plan", "run"])
def test_a_lake_without_storage_elements_sends_results_nowhere_else(plain, verb):
    error = refused(InvalidInput, Kind.OPTION_INVALID, getattr(plain, verb), "kmeans", "museo:tavola", to="CNAF")
    assert "--to" in error.hint
    assert list(plain._catalog.claims("museo", "")) == []
    assert plain.plan("kmeans", "museo:tavola", to="local").home == "local"


def test_a_job_that_is_done_is_found_also_where_no_room_is_left_and_its_command_says_where_to(tmp_path, monkeypatch, lake):
    monkeypatch.setattr(registering, "convert_apart", serve)
    monkeypatch.setattr(registry, "site", lambda _: InlineSite(1))
    np.save(tmp_path / "cube.npy", np.random.default_rng(0).poisson(5.0, (12, 10, 6)).astype("uint16"))
    lake.register(tmp_path / "cube.npy", "museo:uno", hints=ReadHints(dims="y,x,spectral"))
    done = lake.run("pca", "museo:uno", options={"components": 2}, to="CNAF")
    assert lake.show(str(done.output)).replicas[0].rse == "CNAF"
    assert "--to CNAF" in lake._runs.area(done.id).setup().command
    lake._catalog.rooms["CNAF"] = 0
    assert lake.run("pca", "museo:uno", options={"components": 2}, to="CNAF").id == done.id
    refused(Denied, Kind.QUOTA_EXCEEDED, lake.run, "pca", "museo:uno", options={"components": 2}, to="CNAF", again=True)


# --- sites ------------------------------------------------------------------------------------------------------------
def test_what_this_machine_calls_its_site_makes_data_there_near(lake, monkeypatch):
    assert lake.plan("kmeans", "museo:tavola").nbytes_near == 0
    monkeypatch.setenv("SITE_NAME", "INFN-PG")
    assert [site.near for site in lake.sites() if site.name == "local"] == [("local", "INFN-PG")]
    plan = lake.plan("kmeans", "museo:tavola")
    assert (plan.shares[0].reads[0].rse, plan.nbytes_far) == ("INFN-PG", 0)
