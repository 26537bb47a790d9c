"""What a Rucio lake must hold beside what every lake must, and what is seen of it by those who do not know lakecv.

Copies at storage elements, registrations that were cut off, files, checksums and rules.
"""

from collections import Counter
from dataclasses import dataclass, field
from zlib import adler32

from hypothesis.stateful import invariant
from lakecv_catalog.rucio.places import Place

from lakecv.api import Flaw
from tests.stories.lake_model import Going, Known, cube_content
from tests.stories.rucio_ground import RSES

STEPS = ("create", "add_files", "attach", "add_rule", "describe")  # of a registration, in this order


@dataclass
class Copied(Known):
    """A dataset at its storage elements: what was done to each copy; ``damage`` is what no copy has right."""

    places: dict = field(default_factory=dict)

    @classmethod
    def new(cls, dataset, content):
        return cls(dataset, content, places={Place.parse(dataset.home).rse: {}})

    @property
    def home(self):
        return Place.parse(self.dataset.home)

    def hurt(self, rse, key, flaw):
        self.places[rse][key] = flaw
        if all(key in wrong for wrong in self.places.values()):
            self.damage[key] = flaw

    def copied(self, rse):
        self.places[rse], self.damage = {}, {}

    def stored_at(self, rse):
        wrong = self.places.get(rse)
        keys = {*self.content} - {key for key, flaw in (wrong or {}).items() if flaw is Flaw.MISSING}
        return {self.home.file(key) for key in keys} if wrong is not None else set()


@dataclass
class Begun:
    """A registration that did not come to its end: where its data lie, and how many of its steps were done."""

    place: Place
    seed: int
    steps: int

    @property
    def files(self):
        return {self.place.file(key) for key in cube_content(self.seed)}


@dataclass
class Placed(Going):
    """A run whose result goes to a storage element."""

    at: str = ""

    @property
    def home(self):
        return self.at


class Outside:
    """Part of a machine: what a plain Rucio client and the storage elements show after each step."""

    @invariant()
    def the_storage_elements_hold_what_the_model_holds_and_nothing_else(self):
        for rse in RSES:
            expected = set(self.lost[rse]).union(*(known.stored_at(rse) for known in self.known.values()))
            expected = expected.union(*(begun.files for begun in self.begun.values() if begun.place.rse == rse))
            for going in self.runs.values():
                place = Place.parse(going.home)
                expected |= {place.file(key) for key in going.written} if place.rse == rse else set()
            assert self.on.stored(rse) == expected

    @invariant()
    def a_plain_client_sees_the_same_datasets_and_files(self):
        for kind, expected in (("dataset", {*self.known, *self.claimed, *self.begun}), ("file", self.expected_files())):
            found = list(self.client.list_dids(self.scope, [{"name": "*"}], did_type=kind))
            assert sorted(found) == sorted(expected)

    def expected_files(self):
        files = {known.home.file(key) for known in self.known.values() for key in known.content}
        return files.union(*(begun.files for begun in self.begun.values() if begun.steps > STEPS.index("add_files")))

    @invariant()
    def a_plain_client_sees_each_file_once_with_its_checksum_where_it_is(self):
        expected = {
            known.home.file(key): (len(data), f"{adler32(data):08x}", {*known.places}, [self.did(name)])
            for name, known in self.known.items() for key, data in known.content.items()
        }
        asked = [{"scope": self.scope, "name": name} for name in self.known]
        rows = list(self.client.list_replicas(asked, all_states=True, resolve_parents=True)) if asked else []
        assert all(set(row["states"].values()) == {"AVAILABLE"} for row in rows)
        found = {row["name"]: (row["bytes"], row["adler32"], {*row["states"]}, row["parents"]) for row in rows}
        assert (found, len(rows)) == (expected, len(expected))

    @invariant()
    def a_plain_client_sees_one_rule_for_each_copy(self):
        rows = self.client.list_replication_rules({"scope": self.scope})
        assert Counter((row["name"], row["rse_expression"]) for row in rows) == self.rules
