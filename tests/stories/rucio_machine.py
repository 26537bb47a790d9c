"""The machine of random steps over a Rucio lake: the same model, beside it what a plain Rucio client sees after each step.

Names of Rucio can never be used again, so that every lake has a scope of its own; what lies at a storage element is listed
without Rucio.
"""

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from secrets import token_hex
from unittest.mock import patch

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule
from lakecv_catalog.rucio.places import Place
from lakecv_catalog.rucio.server import Server, _server

from lakecv import registry
from lakecv.api import Flaw, Lake, damages, registering
from lakecv.errors import Conflict, Corrupt, Denied, Infeasible, Kind, NotFound
from lakecv.execution.drive import BlocksFailed, Computed
from lakecv.lake_io.child import Request
from lakecv.lake_io.codec import encode_shard, shard_chunks
from lakecv.lake_io.copies import open_copies, open_manifest
from lakecv.lake_io.layout import shards
from lakecv.lake_io.objects import put_checked
from lakecv.lake_io.publish import MANIFEST, load_manifest
from lakecv.lake_io.read import open_array
from lakecv.ports import ReadHints
from lakecv.records import DID, Access, Claim
from tests.stories.lake_machine import TASKS, LakeMachine, a_task, inputs, moves, names, picks, results, seeds
from tests.stories.lake_model import PAGE, WINDOW, convert, cube_content, labels
from tests.stories.rucio_ground import FAULTS, RSES, FakeGround, RealGround
from tests.stories.rucio_model import STEPS, Begun, Copied, Outside, Placed

HOMES = st.sampled_from(RSES[:2])
faults = st.integers(0, len(FAULTS) - 1)
_number = count()


class Killed(BaseException):
    """Where a process ended."""


def check_named(known, err):
    """An error has to name something that no copy has right."""
    assert any(key in str(err) for key in known.damage)


class RucioMachine(Outside, LakeMachine):
    """A lake whose catalog is Rucio; ``ground`` makes what stands for Rucio and its storage elements."""

    ground = None

    def place(self):
        self.on = self.around.enter_context(type(self).ground(self.files))
        self.scope, self.client = self.on.scope, self.on.client
        self.begun, self.lost, self.rules = {}, {rse: set() for rse in RSES}, Counter()
        self.around.enter_context(patch.dict(os.environ, RUCIO_HOME=str(self.on.home)))
        for name in ("_FIRST_SECONDS", "_MOST_SECONDS"):
            self.around.enter_context(patch(f"lakecv.patience.{name}", 0.02))
        self.around.callback(_server.cache_clear)
        return str(self.files / "lake")

    @rule()
    def another_process(self):
        _server.cache_clear()
        damages._told.cache_clear()
        self.lake = Lake(self.url, scope=self.scope, catalog="rucio", rse=RSES[0])
        self.lake._runs = replace(self.lake._runs, report=lambda *_: PAGE)
        self.objects = registry.open_objects(self.url)

    def did(self, name):
        return f"{self.scope}:{name}"

    # --- registering
    @initialize(seed=seeds)
    def there_is_something_to_run_on(self, seed):
        self.register("a", seed, RSES[0], 0)

    @rule(name=names, seed=seeds, rse=HOMES, fault=faults)
    def register(self, name, seed, rse, fault):
        if not self.may_register(name, seed):
            with pytest.raises(Conflict) as caught, self.on.outage(fault):
                self.put_in(name, seed, rse)
            assert caught.value.kind is Kind.DID_MEANS_SOMETHING_ELSE
            return
        before, begun = self.known.get(name), self.begun.pop(name, None)
        with self.on.outage(fault):
            done = self.put_in(name, seed, rse)
        assert done.was_there == (before is not None or begun is not None)
        assert before is None or done.dataset == self.lake.show(self.did(name))
        if before is None:
            expected = begun.place if begun else replace(Place.parse(done.dataset.home), rse=rse, did=DID(self.scope, name))
            assert Place.parse(done.dataset.home) == expected
            self.known[name] = Copied.new(done.dataset, cube_content(seed))
            self.rules[name, expected.rse] = 1

    def put_in(self, name, seed, rse):
        return self.lake.register(self.files / str(seed), self.did(name), rse=rse)

    def may_register(self, name, seed):
        """Say whether a name is free, or stands for this content."""
        known, begun = self.known.get(name), self.begun.get(name)
        other = (known is not None and known.content != cube_content(seed)) or (begun is not None and begun.seed != seed)
        return name not in self.claimed and not other

    @rule(name=names, seed=seeds, rse=HOMES, steps=st.integers(0, len(STEPS) - 1))
    def a_registration_is_killed(self, name, seed, rse, steps):
        """Before its next step; its data lie there already."""
        if name in self.known or not self.may_register(name, seed):
            return
        home = self.lake._catalog.place(DID(self.scope, name), token_hex(6), rse)
        request = Request(str(self.files / str(seed)), home.url, ReadHints())
        done = convert(request, lambda *_: None)
        wanted = registering.Wanted(Path(request.path), DID(self.scope, name), ReadHints(), "", in_place=False, reader=None)
        manifest = load_manifest(registry.open_objects(home.url), done.digest)
        with patch.object(Server, STEPS[steps], side_effect=Killed), suppress(Killed):
            self.lake._catalog.register(registering._dataset(wanted, done, home), manifest)
        self.note_begun(name, Begun(Place.parse(home.url), seed, steps))

    def note_begun(self, name, begun):
        """Keep what a registration left that did not come to its end; the first one's place counts."""
        first = self.begun.get(name)
        if first is not None:
            self.lost[begun.place.rse] |= begun.files
            first.steps = max(first.steps, begun.steps)
        elif begun.steps:
            first = self.begun[name] = begun
        else:
            self.lost[begun.place.rse] |= begun.files
        if first is not None and first.steps > STEPS.index("add_rule"):
            self.rules[name, first.place.rse] = 1

    @rule(name=names, seed=seeds, rse=HOMES, room=st.sampled_from([0, 10]))
    def a_quota_does_not_suffice(self, name, seed, rse, room):
        if name in self.known or not self.may_register(name, seed) or (name in self.begun and room):
            return
        with self.on.room(rse, room), pytest.raises(Denied) as caught:
            self.put_in(name, seed, rse)
        assert caught.value.kind is Kind.QUOTA_EXCEEDED
        held = [claim for claim in self.lake._catalog.claims(self.scope, name) if claim.did.name == name]
        assert bool(held) == (name in self.begun) or room
        if held and name not in self.begun:
            self.note_begun(name, Begun(Place(rse, DID(self.scope, name), held[0].write_id), seed, STEPS.index("add_rule")))

    @rule(name=names, rse=HOMES)
    def a_storage_element_is_closed_for_writing(self, name, rse):
        with self.on.closed(rse, write=False):
            self.another_process()
            with pytest.raises((Conflict, Denied)) as caught:
                self.put_in(name, 0, rse)
        assert caught.value.kind is (Kind.DID_MEANS_SOMETHING_ELSE if name in self.claimed else Kind.FORBIDDEN)
        self.another_process()

    @rule(name=names)
    def look_up(self, name):
        try:
            found = self.lake.show(self.did(name))
        except NotFound:
            assert name not in self.known
        else:
            assert replace(found, replicas=self.known[name].dataset.replicas) == self.known[name].dataset
            self.check_replicas(found)

    def check_replicas(self, found):
        places = self.known[found.did.name].places
        assert {replica.rse for replica in found.replicas if replica.access is Access.READY} == {*places}
        assert found.replicas[0].url == found.home

    @rule(seed=seeds)
    def search(self, seed):
        made = {name for name, known in self.known.items() if known.dataset.made_by is None and known.content == cube_content(seed)}
        assert {found.did.name for found in self.lake.search(f"source={seed}", scope=self.scope)} == made
        for run, going in self.runs.items():
            assert [found.did for found in self.lake.search(f"run={run}", scope=self.scope)] == [going.claim.did] * going.done

    # --- running
    @rule(name=results, racers=st.integers(1, 3))
    def a_run_is_killed_before_its_setup(self, name, racers):
        """Perhaps several at once: one of them has the name."""
        if name in self.known or name in self.begun:
            return
        wanted = [Claim(DID(self.scope, name), "0" * 64, f"r-{next(_number):010x}", "2026") for _ in range(racers)]
        with ThreadPoolExecutor(racers) as pool:
            held = set(pool.map(self.lake._catalog.claim, wanted))
        assert held <= {*wanted, *filter(None, [self.claimed.get(name)])}
        assert held == {self.claimed.setdefault(name, next(iter(held)))}

    @rule(name=inputs, k=st.integers(2, 3), again=st.booleans(), moves=moves, fault=faults)
    def run(self, name, k, again, moves, fault=0):
        if name not in self.known:
            with pytest.raises(NotFound):
                self.lake.run("kmeans", self.did(name), options={"k": k})
            return
        same = {run: going for run, going in self.runs.items() if going.job == (name, k) and not again}
        order = sorted(same, key=lambda run: (not same[run].done, same[run].claim.created, run))
        free, run = self.free_name(f"{name}.kmeans."), next(iter(order), None)
        with self.on.outage(fault):
            found = self.go(lambda: self.lake.run("kmeans", self.did(name), options={"k": k}, again=again), moves)
        if run is None:
            claim = {claim.did.name: claim for claim in self.lake._catalog.claims(self.scope, free)}[free]
            run, home = claim.write_id, Place.parse(self.area(claim.write_id).setup().home)
            assert (home.did, home.write_id, home.rse in self.known[name].places) == (claim.did, run, True)
            self.claimed[free], self.runs[run] = claim, Placed((name, k), claim, at=home.url)
        self.check_run(run, moves, found)

    def free_name(self, stem):
        taken = [name.removeprefix(stem) for name in {*self.known, *self.claimed, *self.begun} if name.startswith(stem)]
        return f"{stem}{max(map(int, taken), default=0) + 1}"

    def compute(self, crew, setup, _):
        """As in a folder, with the result at a storage element."""
        failed = []
        for number in range(TASKS):
            if crew.area.outcome(a_task(number).key) is None:
                self.move()
                self.computed.append(number)
                failed += self.compute_one(crew.area, setup, number)
        if failed:
            raise BlocksFailed(failed)
        home, stored = registry.open_objects(setup.home), []
        for spec in setup.plan.output.arrays:
            self.move()
            stored.append(put_checked(home, *labels(spec)))
        self.move()
        return Computed((), {}, tuple(stored), setup.plan.output.arrays)

    def read(self, dataset):
        """As a worker does: from the first copy that has the right bytes."""
        now, spec = self.lake.show(str(dataset.did)), dataset.cube.arrays[0]
        manifest = open_manifest(self.url, now)
        return open_array(open_copies(self.url, now, manifest), spec, manifest, spec.name).read(WINDOW)

    def imagine(self, run, going):
        super().imagine(run, going)
        if going.done:
            name = going.claim.did.name
            self.known[name] = Copied.new(self.known[name].dataset, self.known[name].content)
            self.rules[name, Place.parse(going.home).rse] = 1

    # --- keeping
    @precondition(lambda self: self.known)
    @rule(pick=picks, to=st.sampled_from(RSES), fault=faults)
    def replicate(self, pick, to, fault):
        known = self.one(pick)
        if any(known.places.values()):
            return
        did = str(known.dataset.did)
        with self.on.outage(fault):
            asked = [self.lake.replicate(did, to) for _ in range(2)]
        assert asked[0].id == asked[1].id
        self.on.carry_out(known.dataset.did)
        known.places.setdefault(to, {})
        self.rules[known.dataset.did.name, to] = 1
        assert {rule.state for rule in self.lake.rules(did)} == {"OK"}

    @precondition(lambda self: self.known)
    @rule(pick=picks, which=picks, where=picks, how=st.sampled_from(["flip", "cut", "delete"]))
    def damage(self, pick, which, where, how):
        """Behind the back of lakecv and Rucio.  What no copy is to have right any more goes, so that nothing is mended from halves."""
        known = self.one(pick)
        rse = sorted(known.places)[where % len(known.places)]
        left = [key for key in known.content if key != MANIFEST and key not in known.places[rse]]
        if not left:
            return
        key, home, number = left[which % len(left)], registry.open_objects(replace(known.home, rse=rse).url), next(_number)
        is_last = len(known.places) > 1 and all(key in wrong for other, wrong in known.places.items() if other != rse)
        how = "delete" if is_last else how
        data = bytearray(home.get(key))
        home.delete(key)
        data[number % len(data)] ^= 1
        if how != "delete":
            home.put(key, bytes(data if how == "flip" else data[:-1]))
        known.hurt(rse, key, Flaw.MISSING if how == "delete" else Flaw.CORRUPT)

    @precondition(lambda self: self.known)
    @rule(pick=picks)
    def verify(self, pick):
        """Looks at every replica."""
        known = self.one(pick)
        done = self.lake.verify(str(known.dataset.did))
        found = sorted((finding.key, finding.flaw) for finding in done.findings)
        assert found == sorted(flaw for place in known.places.values() for flaw in place.items())

    @precondition(lambda self: self.known)
    @rule(pick=picks)
    def open(self, pick):
        known = self.one(pick)
        spec = known.dataset.cube.arrays[0]
        [key] = [f"{spec.name}/{shard.key}" for shard in shards(spec)]
        try:
            seen = self.lake.open(str(known.dataset.did))[spec.name].to_numpy()
        except Corrupt as err:
            check_named(known, err)
        else:
            assert key not in known.damage
            assert encode_shard(shard_chunks(seen, spec), spec) == known.content[key]

    @precondition(lambda self: self.known)
    @rule(pick=picks)
    def fetch(self, pick):
        known, folder = self.one(pick), self.files / f"fetched-{next(_number)}"
        try:
            self.lake.fetch(str(known.dataset.did), folder)
        except Corrupt as err:
            check_named(known, err)
            assert not folder.exists()
        else:
            assert not known.damage
            fetched = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
            assert {key: fetched[key] for key in known.content} == known.content

    @precondition(lambda self: self.known)
    @rule(pick=picks)
    def a_storage_element_is_closed_for_reading(self, pick):
        known = self.one(pick)
        with self.on.closed(known.home.rse, read=False):
            self.another_process()
            found = self.lake.show(str(known.dataset.did))
            assert {each.rse: each.access for each in found.replicas}[known.home.rse] is Access.DOWN
            try:
                self.read(known.dataset)
            except Infeasible:
                assert len(known.places) == 1
            except Corrupt:
                assert any(known.places.values())
            else:
                assert len(known.places) > 1
        self.another_process()

    @precondition(lambda self: self.known)
    @rule(pick=picks)
    def every_byte_of_a_dataset_is_as_it_was(self, pick):
        known = self.one(pick)
        for rse, wrong in known.places.items():
            objects = registry.open_objects(replace(known.home, rse=rse).url)
            for key in {*known.content} - {*wrong}:
                assert objects.get(key) == known.content[key]

    # --- what always holds
    @invariant()
    def the_lake_holds_what_the_model_holds_and_nothing_else(self):
        self.taken += 1
        found = {info.key for info in self.objects.list()}
        assert {key for key in found if "/failures/" not in key and not key.startswith("rates/")} == self.expected_keys()

    def expected_keys(self):
        """Only runs: data and catalog are elsewhere."""
        keys = set()
        for run, going in self.runs.items():
            keys |= {f"work/{run}/setup.json", *(f"work/{run}/{key}" for key in going.work)} | ({f"runs/{run}.json"} if going.done else set())
        return keys

    @invariant()
    def the_catalog_lists_what_is_registered(self):
        listed = list(self.lake.ls(self.scope))
        assert [replace(each, replicas=()) for each in listed] == [replace(self.known[name].dataset, replicas=()) for name in sorted(self.known)]

    @rule()
    def the_catalog_lists_what_is_claimed(self):
        found = {claim.did.name: claim for claim in self.lake._catalog.claims(self.scope, "")}
        assert {name: claim for name, claim in found.items() if name in self.claimed} == self.claimed
        assert {*found} == {*self.claimed, *self.known, *self.begun}


class OnFakeRucio(RucioMachine):
    ground = FakeGround


class OnRucio(RucioMachine):
    ground = RealGround


@contextmanager
def standing_on(lake):
    """Let the steps be taken on a running lake."""
    with patch.dict(os.environ, lake.environment()), patch.object(RealGround, "lake", lake):
        yield OnRucio
