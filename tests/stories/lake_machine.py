"""A hypothesis state machine over a lake: every verb, in any order, compared with a model made of dictionaries.

Every verb is the real one, with what it writes and in which order; only reading a file and computing, which take seconds
and are other tests' business, are replaced by cubes of a hundred bytes.
"""

import os
import tempfile
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from unittest.mock import patch

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from lakecv import registry
from lakecv.api import Fate, Flaw, Lake, registering, running
from lakecv.errors import Conflict, Corrupt, Kind, NotFound, Unavailable
from lakecv.execution.drive import BlocksFailed, Computed
from lakecv.execution.workarea import WorkArea
from lakecv.lake_io.codec import encode_shard, shard_chunks
from lakecv.lake_io.layout import shards
from lakecv.lake_io.objects import put_checked
from lakecv.lake_io.publish import MANIFEST, load_manifest
from lakecv.lake_io.read import open_array
from lakecv.plan import RunState
from lakecv.records import DID, Claim
from lakecv.testing.sites import InlineSite
from tests.stories.lake_model import (
    CHUNK,
    PAGE,
    TASKS,
    WINDOW,
    Going,
    Known,
    a_task,
    an_outcome,
    convert,
    cube_content,
    labels,
    result_content,
)

DAY = 86400.0
STEPS = Counter()
PHASES = (Phase.explicit, Phase.generate, Phase.shrink)  # to explain would take minutes

inputs = st.sampled_from(["a", "b"])
names = st.sampled_from(["a", "b", "c", "a.kmeans.1", "b.kmeans.2"])
results = st.sampled_from(["a.kmeans.1", "a.kmeans.2", "b.kmeans.1"])
seeds = st.integers(0, 1)
picks = st.integers(0, 99)
moves = st.none() | st.integers(0, 4)
_number = count()


class LakeMachine(RuleBasedStateMachine):
    """The lake on one side, what it must hold on the other."""

    def __init__(self):
        super().__init__()
        self.around = ExitStack()
        self.files = Path(self.around.enter_context(tempfile.TemporaryDirectory()))
        for seed in (0, 1):
            (self.files / str(seed)).touch()
        for owner, name, stand_in in (
            (registering, "convert_apart", convert), (running, "drive", self.compute), (running, "build_chain", lambda *_: ()),
            (registry, "site", lambda _: InlineSite()),
        ):
            self.around.enter_context(patch.object(owner, name, stand_in))
        self.url, self.taken = self.place(), -1
        self.known, self.claimed, self.runs, self.orphans = {}, {}, {}, {}
        self.left, self.computed = None, []
        self.another_process()

    def place(self):
        return f"memory://stateful-{next(_number)}/lake"

    def teardown(self):
        STEPS[type(self).__name__] += self.taken
        self.around.close()

    @rule()
    def another_process(self):
        """All that a process remembers is forgotten."""
        self.lake = Lake(self.url, scope="s")
        self.lake._runs = replace(self.lake._runs, report=lambda *_: PAGE)
        self.objects = registry.open_objects(self.url)

    # --- registering
    @initialize(seed=seeds)
    def there_is_something_to_run_on(self, seed):
        self.register("a", seed)

    @rule(name=names, seed=seeds)
    def register(self, name, seed):
        before, new = self.known.get(name), cube_content(seed)
        taken = name in self.claimed or (before is not None and before.content != new)
        if taken:
            with pytest.raises(Conflict) as caught:
                self.lake.register(self.files / str(seed), f"s:{name}")
            assert caught.value.kind is Kind.DID_MEANS_SOMETHING_ELSE
            return
        done = self.lake.register(self.files / str(seed), f"s:{name}")
        assert done.was_there == (before is not None)
        assert done.dataset.did == DID("s", name)
        assert before is None or done.dataset == before.dataset
        self.known.setdefault(name, Known(done.dataset, new))

    @rule(name=names, seed=seeds, whole=st.booleans())
    def a_registration_is_killed(self, name, seed, whole):
        prefix = f"data/s/{name}/{next(_number):012x}"
        content = cube_content(seed) if whole else {CHUNK: cube_content(seed)[CHUNK]}
        for key, data in content.items():
            self.objects.put(f"{prefix}/{key}", data)
        self.orphans[prefix] = {*content}

    @rule(name=names)
    def look_up(self, name):
        try:
            assert self.lake.show(f"s:{name}") == self.known[name].dataset
        except NotFound:
            assert name not in self.known

    # --- running
    @rule(name=results)
    def a_run_is_killed_before_its_setup(self, name):
        claim = Claim(DID("s", name), "0" * 64, f"r-{next(_number):010x}", "2026")
        held = self.lake._catalog.claim(claim)
        assert held == self.claimed.setdefault(name, claim)

    @rule(name=inputs, k=st.integers(2, 3), again=st.booleans(), moves=moves)
    def run(self, name, k, again, moves):
        if name not in self.known:
            with pytest.raises(NotFound):
                self.lake.run("kmeans", f"s:{name}", options={"k": k})
            return
        same = {run: going for run, going in self.runs.items() if going.job == (name, k) and not again}
        order = sorted(same, key=lambda run: (not same[run].done, same[run].claim.created, run))
        free = self.free_name(f"{name}.kmeans.")
        run = next(iter(order), None)
        found = self.go(lambda: self.lake.run("kmeans", f"s:{name}", options={"k": k}, again=again), moves)
        if run is None:
            claim = {claim.did.name: claim for claim in self.lake._catalog.claims("s", free)}[free]
            run = claim.write_id
            self.claimed[free], self.runs[run] = claim, Going((name, k), claim)
        self.check_run(run, moves, found)

    @rule(k=st.integers(2, 3), again=st.booleans())
    def run_to_the_end(self, k, again):
        self.run("a", k, again, None)

    @rule(k=st.integers(2, 3), again=st.booleans(), moves=st.integers(1, 4))
    def a_run_is_interrupted(self, k, again, moves):
        self.run("a", k, again, moves)

    def free_name(self, stem):
        numbers = [name.removeprefix(stem) for name in {*self.known, *self.claimed} if name.startswith(stem)]
        return f"{stem}{max(map(int, numbers), default=0) + 1}"

    @precondition(lambda self: self.runs)
    @rule(pick=picks, moves=moves)
    def resume(self, pick, moves):
        run = sorted(self.runs)[pick % len(self.runs)]
        self.check_run(run, moves, self.go(lambda: self.lake.resume(run), moves))

    @precondition(lambda self: self.runs)
    @rule(pick=picks, number=st.integers(0, TASKS - 1), part=st.binary(max_size=9))
    def another_driver_commits(self, pick, number, part):
        """Perhaps of a run that is published already."""
        run = sorted(self.runs)[pick % len(self.runs)]
        area, going = self.area(run), self.runs[run]
        record = area.commit(a_task(number), an_outcome(number), part)
        going.commit(number, part)
        assert area.part(record) == going.committed[number]

    def area(self, run):
        return WorkArea(registry.open_objects(f"{self.url}/work/{run}"))

    def go(self, verb, moves):
        """Run, for some moves (None = to the end); None where it was interrupted."""
        self.left, self.computed = moves, []
        try:
            return verb()
        except Unavailable as err:
            if err.kind is not Kind.INTERRUPTED:
                raise
            return None

    def compute(self, crew, setup, _):
        """Stand in for the computing of a run: commits tasks and writes shards, until the moves are up."""
        failed = []
        for number in range(TASKS):
            if crew.area.outcome(a_task(number).key) is None:
                self.move()
                self.computed.append(number)
                failed += self.compute_one(crew.area, setup, number)
        if failed:
            raise BlocksFailed(failed)
        home, stored = registry.open_objects(f"{self.url}/{setup.home}"), []
        for spec in setup.plan.output.arrays:
            self.move()
            stored.append(put_checked(home, *labels(spec)))
        self.move()
        return Computed((), {}, tuple(stored), setup.plan.output.arrays)

    def compute_one(self, area, setup, number):
        try:
            self.read(setup.dataset)
        except Corrupt as err:
            area.fail(an_outcome(number, (str(err.kind), str(err))))
            return [number]
        area.commit(a_task(number), an_outcome(number), b"%d" % number)
        return []

    def move(self):
        if self.left == 0:
            raise Unavailable("interrupted", Kind.INTERRUPTED)
        self.left = None if self.left is None else self.left - 1

    def read(self, dataset):
        home = registry.open_objects(f"{self.url}/{dataset.home}")
        spec = dataset.cube.arrays[0]
        return open_array(home, spec, load_manifest(home, dataset.digest), spec.name).read(WINDOW)

    def check_run(self, run, moves, found):
        """Do the same in the model, where a run is a few lines, and compare."""
        going, computed = self.runs[run], self.computed
        self.left, self.computed = moves, []
        try:
            if not going.done:
                self.imagine(run, going)
        except Unavailable:
            assert found is None
        else:
            assert (found.id, found.output, found.state) == (run, going.claim.did, going.state)
            assert going.state is not RunState.UNFINISHED
            if going.done:
                going.clear()
        assert self.computed == computed

    def imagine(self, run, going):
        """Go through the moves of a run as :meth:`compute` must."""
        is_whole = CHUNK not in self.known[going.job[0]].damage
        for number in range(TASKS):
            if number not in going.committed:
                self.move()
                self.computed.append(number)
                if is_whole:
                    going.commit(number, b"%d" % number)
                else:
                    going.failed.add(number)
        if going.state is RunState.FAILED:
            return
        for spec in self.area(run).setup().plan.output.arrays:
            self.move()
            key, data = labels(spec)
            going.written[key] = data
        self.move()
        dataset = self.lake.show(str(going.claim.did))
        content, digest = result_content(dataset.cube, self.objects.get(f"runs/{run}.json"))
        assert (dataset.digest, dataset.made_by, dataset.home) == (digest, run, going.home)
        self.known[dataset.did.name] = Known(dataset, content)
        going.done, going.written = True, {}

    @rule()
    def list_the_runs(self):
        found = {run.id: (run.state, run.output, run.blocks_done) for run in self.lake.runs()}
        assert found == {run: (going.state, going.claim.did, going.blocks_done) for run, going in self.runs.items()}

    # --- keeping
    @precondition(lambda self: self.known)
    @rule(pick=picks, which=picks, how=st.sampled_from(["flip", "cut", "delete", "add"]))
    def damage(self, pick, which, how):
        known = self.one(pick)
        home, number = registry.open_objects(f"{self.url}/{known.dataset.home}"), next(_number)
        left = [key for key in known.content if key != MANIFEST and key not in known.damage]
        key = left[which % len(left)] if left else ""
        if how == "add" or not left:
            home.put(f"data/c/8/{number}/0", b"dark")
            known.damage[f"data/c/8/{number}/0"] = Flaw.EXTRA
            return
        data = bytearray(home.get(key))
        home.delete(key)
        data[number % len(data)] ^= 1
        if how != "delete":
            home.put(key, bytes(data if how == "flip" else data[:-1]))
        known.damage[key] = Flaw.MISSING if how == "delete" else Flaw.CORRUPT

    @precondition(lambda self: self.known)
    @rule(pick=picks)
    def verify(self, pick):
        known = self.one(pick)
        done = self.lake.verify(str(known.dataset.did))
        assert {finding.key: finding.flaw for finding in done.findings} == known.damage
        assert done.ok == all(flaw is Flaw.EXTRA for flaw in known.damage.values())

    @precondition(lambda self: self.known)
    @rule(pick=picks)
    def open(self, pick):
        known = self.one(pick)
        spec = known.dataset.cube.arrays[0]
        [key] = [f"{spec.name}/{shard.key}" for shard in shards(spec)]
        try:
            seen = self.read(known.dataset).reshape(spec.shape)
        except Corrupt:
            assert key in known.damage
        else:
            assert key not in known.damage
            assert encode_shard(shard_chunks(seen, spec), spec) == known.content[key]

    @precondition(lambda self: self.known)
    @rule(pick=picks)
    def every_byte_of_a_dataset_is_as_it_was(self, pick):
        known = self.one(pick)
        for key in {*known.content} - {*known.damage}:
            assert self.objects.get(f"{known.dataset.home}/{key}") == known.content[key]

    def one(self, pick):
        return self.known[sorted(self.known)[pick % len(self.known)]]

    @rule(remove=st.booleans(), age=st.sampled_from([0.0, DAY]))
    def gc(self, remove, age):
        gone = Fate.KEPT if age else Fate.REMOVED if remove else Fate.REMOVABLE
        expected = dict.fromkeys(self.orphans, gone if self.known else Fate.KEPT)
        expected |= {f"work/{run}": gone if going.done else Fate.KEPT for run, going in self.runs.items() if going.leaves}
        found = self.lake.gc(remove=remove, older_than_seconds=age)
        assert {leftover.heap.prefix: leftover.fate for leftover in found.leftovers} == expected
        for prefix in [prefix for prefix, fate in expected.items() if fate is Fate.REMOVED]:
            self.orphans.pop(prefix, None)
            if prefix.startswith("work/"):
                self.runs[prefix.removeprefix("work/")].clear()

    # --- what always holds
    @invariant()
    def the_lake_holds_what_the_model_holds_and_nothing_else(self):
        self.taken += 1
        found = {info.key for info in self.objects.list()}
        assert {key for key in found if "/failures/" not in key and not key.startswith("rates/")} == self.expected_keys()
        assert {key.split(".")[-2] for key in found if key.startswith("rates/")} <= self.runs.keys()  # what was learnt, of each run once

    def expected_keys(self):
        keys = {f"{prefix}/{key}" for prefix, content in self.orphans.items() for key in content}
        keys |= {f"catalog/s/{name}/claim.json" for name in self.claimed}
        for name, known in self.known.items():
            keys |= {f"catalog/s/{name}/dataset.json", *(f"{known.dataset.home}/{key}" for key in known.stored)}
        for run, going in self.runs.items():
            keys |= {f"work/{run}/setup.json", *(f"work/{run}/{key}" for key in going.work)}
            keys |= {f"{going.home}/{key}" for key in going.written} | ({f"runs/{run}.json"} if going.done else set())
        return keys

    @invariant()
    def the_catalog_lists_what_is_registered(self):
        assert list(self.lake.ls()) == [self.known[name].dataset for name in sorted(self.known)]

    @rule()
    def the_catalog_lists_what_is_claimed(self):
        assert {claim.did.name: claim for claim in self.lake._catalog.claims("s", "")} == self.claimed


class InAFolder(LakeMachine):
    def place(self):
        return str(self.files / "lake")


class OnS3(LakeMachine):
    """In the bucket that the environment reaches."""

    bucket = ""

    def place(self):
        return f"s3://{self.bucket}/{next(_number)}"


def take_steps(machine, wanted, each=50, seed=None):
    """Let hypothesis take at least so many steps, ``each`` of them on one lake; returns how many it took.

    Two lakes at least: the first example of hypothesis is the simplest, one rule again and again.
    """
    before, taken = STEPS[machine.__name__], 0
    while taken < wanted:
        if seed is not None:
            hypothesis.seed(f"{seed}/{taken}")(machine)
        few = settings(max_examples=max(2, (wanted - taken) // each), stateful_step_count=each, deadline=None, database=None,
                       phases=PHASES, suppress_health_check=list(HealthCheck))  # fmt: skip
        hypothesis.stateful.run_state_machine_as_test(machine, settings=few)
        taken = STEPS[machine.__name__] - before
    return taken


@contextmanager
def reached(server, bucket):
    """Let the environment reach a server's bucket."""
    with patch.dict(os.environ, server.environment()), patch.object(OnS3, "bucket", bucket):
        yield OnS3
