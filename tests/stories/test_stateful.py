"""A thousand random steps on catalog and work area, on a folder and in memory, against a model made of dictionaries."""

import shutil
import tempfile
from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from lakecv_catalog.documents import DocumentCatalog

from lakecv import registry
from lakecv.cube import Window
from lakecv.errors import Conflict, NotFound
from lakecv.execution.workarea import WorkArea
from lakecv.job import StageKind
from lakecv.plan import Outcome, Task
from lakecv.records import DID, Claim
from lakecv.testing.catalog import a_dataset
from lakecv.testing.fakes import MemoryObjects

names = st.sampled_from(["a", "b", "a.kmeans.1", "a.kmeans.2", "c"])
digests = st.sampled_from(["0" * 64, "1" * 64])
writers = st.sampled_from(["r-1", "r-2", "r-3"])
tasks = st.builds(
    Task, st.just("w"), st.sampled_from(["map", "0-reduce-001"]), st.just(StageKind.MAP), st.just(0), st.integers(0, 3),
    st.just(Window(0, 1, 0, 1)),
)


class LakeMachine(RuleBasedStateMachine):
    """The lake on one side, what it must hold on the other."""

    @initialize(in_folder=st.booleans())
    def begin(self, in_folder):
        self.folder = tempfile.mkdtemp() if in_folder else None
        self.objects = registry.open_objects(f"{self.folder}/lake") if in_folder else MemoryObjects("x")
        self.catalog = DocumentCatalog(self.objects)
        self.claimed, self.registered, self.committed = {}, {}, {}

    def area(self):
        return WorkArea(registry.open_objects(f"{self.folder}/lake/area") if self.folder else self.objects)

    def teardown(self):
        if getattr(self, "folder", None):
            shutil.rmtree(self.folder)

    @rule(name=names, job=digests, writer=writers)
    def claim(self, name, job, writer):
        claim = Claim(DID("s", name), job, writer, "2026")
        held = self.catalog.claim(claim)
        assert held == self.claimed.setdefault(name, held)
        assert held.write_id == writer or name in self.claimed

    @rule(name=names, digest=digests)
    def register(self, name, digest):
        dataset = replace(a_dataset(), did=DID("s", name), digest=digest)
        before = self.registered.get(name)
        try:
            stored = self.catalog.register(dataset)
        except Conflict:
            assert before is not None
            assert before.digest != digest
        else:
            assert stored == self.registered.setdefault(name, dataset)
            assert stored.digest == digest

    @rule(name=names)
    def look_up(self, name):
        try:
            assert self.catalog.lookup(DID("s", name)) == self.registered[name]
        except NotFound:
            assert name not in self.registered

    @rule(task=tasks, part=st.binary(max_size=40))
    def commit(self, task, part):
        outcome = Outcome(task.key, 0.0, 0.0, 0, 0, "here")
        record = self.area().commit(task, outcome, part)
        assert self.area().part(record) == self.committed.setdefault(task.key, part)

    @rule()
    def a_second_driver_sees_the_same(self):
        assert {key: self.area().part(outcome) for key, outcome in self.area().outcomes().items()} == self.committed

    @invariant()
    def the_catalog_lists_what_is_registered(self):
        if hasattr(self, "catalog"):
            assert [did.name for did in self.catalog.search("s")] == sorted(self.registered)
            assert {claim.did.name for claim in self.catalog.claims("s", "")} == set(self.claimed)


LakeMachine.TestCase.settings = settings(max_examples=20, stateful_step_count=50, deadline=None)
TestLake = LakeMachine.TestCase
