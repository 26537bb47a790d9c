"""The whole path in a Rucio lake, as tests that a server's own test file inherits: a fake one here, a real one in ``tests/lake``.

An ordinary user types commands and knows no key of any storage; the plain Rucio client looks at what came of it.
"""

import hashlib
import json
import os
import subprocess
import sys
import time
import zlib
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from threading import Timer

import numpy as np
import pytest
import xarray as xr
from lakecv_catalog.rucio.server import Server, _server

from lakecv import open_folder, registry
from lakecv.api import Lake
from lakecv.plan import RunState
from lakecv.ports import ReadHints
from lakecv.testing.sites import InlineSite
from tests.s3_story import painting

SCOPE = "user.ada"
# Taken when this is imported: each test then runs without it.
LONG = os.environ.get("LAKECV_STOPPED_SECONDS")
STOPPED_SECONDS = float(LONG or 2)
STEPS = ["add_files", "attach", "describe"] if LONG else ["attach"]
OPTIONS = {"k": 3, "components": 3}


def key(name):
    """Where a storage element keeps a file of ada's: Rucio's hash algorithm."""
    digest = hashlib.md5(f"{SCOPE}:{name}".encode(), usedforsecurity=False).hexdigest()
    return f"{SCOPE.replace('.', '/')}/{digest[:2]}/{digest[2:4]}/{name}"


@dataclass
class Story:
    """A dataset and its result in a lake, and what each command said."""

    folder: Path
    environment: dict[str, str]
    name: str
    said: dict[str, str] = field(default_factory=dict)

    @property
    def did(self):
        return f"{SCOPE}:{self.name}"

    @property
    def output(self):
        return f"{self.did}.pca-kmeans.1"

    def lake(self):
        return Lake(self.environment["LAKECV_LAKE"])

    def command(self, title, *words):
        """Type a lakecv command, in a process of its own, and remember what it said."""
        self.program(title, sys.executable, "-c", "from lakecv.cli import main; main()", *words)

    def program(self, title, *words):
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=110, check=False, env=self.environment, cwd=self.folder, stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        self.said[title] = done.stdout + done.stderr


class RucioStory:
    """Give the class-scoped fixture ``stage``: a lake with the account ada, and the storage elements ``home`` and ``away``.

    It has ``environment``, ``client()`` (a plain one, ada's), ``read(rse, key)``, ``write(rse, key, data)``, ``suspicious()``
    (pairs of storage element and name) and ``stopped()`` (a context in which Rucio does not answer).
    """

    kind = Story
    home, away = "INFN-PG", "CNAF"
    path, hints = None, ("--dims", "y,x,spectral", "--axis", "energy:keV:0:0.1")

    @pytest.fixture(scope="class")
    @classmethod
    def place(cls, stage, tmp_path_factory):
        """Begin a story that nobody has told yet."""

        def begun():
            folder = tmp_path_factory.mktemp("story")
            settings = {"LAKECV_LAKE": str(folder / "work"), "LAKECV_CATALOG": "rucio", "LAKECV_RSE": cls.home, "SITE_NAME": cls.home}
            usual = {name: value for name, value in os.environ.items() if name == "PATH" or name.startswith("OPENBLAS_")}  # the same bits
            if cls.path is None:
                np.save(folder / "cube.npy", painting(70, 60, 12))
            return cls.kind(folder, {**usual, "HOME": str(folder), **settings, **stage.environment}, f"tavola-{token_hex(4)}")

        return begun

    @pytest.fixture(scope="class")
    @classmethod
    def story(cls, stage, place):
        """Tell the story: an object is damaged after the copy was made, and before it is read."""
        story = place()
        path = str(cls.path or story.folder / "cube.npy")
        for title in ("register", "register again"):
            story.command(title, "register", path, story.did, *cls.hints, "--meta", f"sample={story.name}")
        story.command("replicate", "replicate", story.did, "--to", cls.away, "--wait")
        cls.damage(stage, story)
        story.command("run", "run", "pca+kmeans", story.did, "--set", "k=3", "--set", "components=3")
        story.command("verify", "verify", story.output)
        story.command("search", "search", f"parent={story.did}", "--scope", SCOPE, "--json")
        return story

    @pytest.fixture(autouse=True)
    def reach(self, request, monkeypatch):
        """Be ada at home in this process, too."""
        if "story" in request.fixturenames:
            for name, value in request.getfixturevalue("story").environment.items():
                monkeypatch.setenv(name, value)
        _server.cache_clear()
        yield
        _server.cache_clear()

    @classmethod
    def damage(cls, stage, story):
        """Flip one bit in the middle of the biggest object at home, behind everybody's back."""
        files = stage.client().list_files(*story.did.split(":"))
        story.damaged = max(files, key=lambda file: file["bytes"])["name"]
        data = bytearray(stage.read(cls.home, key(story.damaged)))
        data[len(data) // 3] ^= 16
        stage.write(cls.home, key(story.damaged), bytes(data))

    def test_the_same_file_again_changes_nothing(self, story):
        assert "was there already" in story.said["register again"]

    def test_the_rule_really_moved_the_bytes(self, stage, story):
        files = list(stage.client().list_files(SCOPE, story.name))
        moved = {file["name"]: zlib.adler32(stage.read(self.away, key(file["name"]))) for file in files}
        assert moved == {file["name"]: int(file["adler32"], 16) for file in files}
        assert len(moved) > 5

    def test_the_run_reads_around_the_damage_and_says_so(self, story):
        said = f"1 object at {self.home} was bad; read from {self.away}; reported as suspicious"
        assert said in " ".join(story.said["run"].split())

    def test_rucio_was_told_of_the_damage(self, stage, story):
        assert (self.home, story.damaged) in stage.suspicious()

    def test_the_result_is_the_one_of_a_lake_without_damage(self, story, monkeypatch, tmp_path):
        monkeypatch.setattr(registry, "site", lambda _: InlineSite(1))
        whole = Lake(tmp_path / "lake", catalog="documents", rse="local", scope=SCOPE)
        self.registered(whole, story)
        done = whole.run("pca+kmeans", story.did, options=OPTIONS)
        assert whole.show(str(done.output)).digest == story.lake().show(story.output).digest

    def test_the_result_is_a_rucio_dataset_with_checksums_and_one_rule_at_home(self, stage, story):
        client, name = stage.client(), story.output.split(":")[1]
        assert client.get_did(SCOPE, name)["type"] == "DATASET"
        files = list(client.list_files(SCOPE, name))
        stored = {file["name"]: zlib.adler32(stage.read(self.home, key(file["name"]))) for file in files}
        assert stored == {file["name"]: int(file["adler32"], 16) for file in files}
        rules = [(rule["rse_expression"], rule["state"], rule["account"]) for rule in client.list_did_rules(SCOPE, name)]
        assert rules == [(self.home, "OK", "ada")]

    def test_the_result_names_its_parent_and_is_found_by_it(self, story):
        lake = story.lake()
        assert lake.show(story.output).parents == ((story.did, lake.show(story.did).digest),)
        assert [found["did"] for found in json.loads(story.said["search"])["datasets"]] == [story.output]
        assert [str(found.did) for found in lake.search(f"sample={story.name}", scope=SCOPE)] == [story.did]

    def test_every_byte_of_the_result_is_verified(self, story):
        assert "every byte is what was promised" in story.said["verify"]

    def test_any_program_opens_it_by_its_url(self, story):
        lake = story.lake()
        for did in (story.did, story.output):  # the first from the other place, where it is damaged
            xr.testing.assert_equal(xr.open_zarr(f"rucio://{did}", chunks=None), lake.open(did).compute())

    @pytest.mark.timeout(STOPPED_SECONDS * 3 + 110)
    @pytest.mark.parametrize("step", STEPS)
    def test_a_publish_outlives_a_server_that_stops_in_its_middle(self, stage, place, monkeypatch, step):
        story = place()
        for name, value in story.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(registry, "site", lambda _: InlineSite(1))
        self.registered(story.lake(), story)
        stops = self.stopping(stage, monkeypatch, step)
        done = story.lake().run("pca+kmeans", story.did, options=OPTIONS)
        assert (done.state, str(done.output), len(stops)) == (RunState.DONE, story.output, 1)
        self.check_once(stage, story)
        print(f"rucio {self.home}: stopped for {STOPPED_SECONDS:g} s before {step!r}; published {time.monotonic() - stops[0]:.1f} s after it stopped, nothing twice")

    def registered(self, lake, story):
        """Register the file of a story in this process."""
        if self.path is None:
            lake.register(story.folder / "cube.npy", story.did, hints=ReadHints(dims="y,x,spectral", axis="energy:keV:0:0.1"))
        else:
            lake.register(self.path, story.did, hints=ReadHints(detector="sum" if "sum" in self.hints else None))

    @staticmethod
    def stopping(stage, monkeypatch, step):
        """Let Rucio stop just before a step of the next registration; gives the times when it did."""
        usual, stops = getattr(Server, step), []

        def stop(self, *given):
            if not stops:
                stops.append(time.monotonic())
                stopped = ExitStack()
                stopped.enter_context(stage.stopped())
                Timer(STOPPED_SECONDS, stopped.close).start()
            return usual(self, *given)

        monkeypatch.setattr(Server, step, stop)
        return stops

    @staticmethod
    def check_once(stage, story):
        """Check that a result is there, and is there once."""
        client, name = stage.client(), story.output.split(":")[1]
        content = sorted(file["name"] for file in client.list_content(SCOPE, name))
        assert sorted(client.list_dids(SCOPE, {"name": f"{name}*"}, did_type="file")) == content
        assert list(client.list_dids(SCOPE, {"name": f"{name}*"}, did_type="dataset")) == [name]
        assert len(list(client.list_did_rules(SCOPE, name))) == 1
        assert [(each["available_length"], each["length"]) for each in client.list_dataset_replicas(SCOPE, name, deep=True)] == [(len(content),) * 2]


def downloaded(story, program):
    """Fetch the result by the plain command of Rucio, and verify it by lakecv's."""
    story.program("download", program, "download", "--dir", str(story.folder), story.output)
    folder = story.folder / story.output.split(":")[1]
    story.command("open", "open", str(folder))
    return open_folder(folder)
