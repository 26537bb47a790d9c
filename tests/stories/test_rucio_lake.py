"""The whole path in a Rucio lake whose server lies in memory and whose storage elements are folders; tests/lake has the real ones."""

from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner

from lakecv.cli import app
from tests.rucio_server import FakeRucio, client_of
from tests.rucio_story import SCOPE, RucioStory, Story

RSES = ("INFN-PG", "CNAF")


class Stage:
    """The fake lake, its daemons at work."""

    def __init__(self, rucio, folder):
        self._rucio, self._folder = rucio, folder
        self._home = rucio.home(folder, "ada")
        self.environment = {"RUCIO_HOME": str(self._home)}

    def client(self):
        return client_of(self._home)

    def read(self, rse, key):
        return (self._folder / rse / key).read_bytes()

    def write(self, rse, key, data):
        (self._folder / rse / key).write_bytes(data)

    def suspicious(self):
        paths = [Path(urlsplit(url).path).relative_to(self._folder) for _, url, _ in self._rucio.suspicious]
        return {(path.parts[0], path.name) for path in paths}

    @contextmanager
    def stopped(self):
        self._rucio.pause()
        yield
        self._rucio.resume()


class QuickStory(Story):
    """All but the run, whose workers are processes, happens in this process."""

    def command(self, title, *words):
        if title == "run":
            super().command(title, *words)
            return
        done = CliRunner().invoke(app, list(words), prog_name="lakecv", env=self.environment)
        assert done.exit_code == 0, done.output
        self.said[title] = done.output


class TestFake(RucioStory):
    kind = QuickStory

    @pytest.fixture(scope="class")
    @classmethod
    def stage(cls, tmp_path_factory):
        folder, ends = tmp_path_factory.mktemp("rucio"), Event()
        with FakeRucio() as rucio:
            rucio.add_account("ada")
            rucio.add_scope(SCOPE, "ada")
            for rse in RSES:
                rucio.add_rse(rse, rse, folder / rse)
                rucio.set_quota("ada", rse, 10**9)

            def work():
                while not ends.wait(0.05):
                    rucio.run_rules()

            daemons = Thread(target=work)
            daemons.start()
            yield Stage(rucio, folder)
            ends.set()
            daemons.join()
