"""The contracts of the catalog on a real Rucio server, as an ordinary user; each test has scopes of its own, as Rucio forgets no name."""

from dataclasses import replace
from secrets import token_hex

import pytest
from lakecv_catalog.rucio.catalog import RucioCatalog
from lakecv_catalog.rucio.metadata import JSON, IdlWriter
from lakecv_catalog.rucio.server import _server, server

from lakecv.records import DID, Rule
from lakecv.testing.catalog import CatalogContract, a_dataset
from lakecv.testing.fakes import MemoryObjects
from tests.rucio_contract import SCOPES, RucioContract, at_home


class World:
    """The server, seen as if it had the scopes of the contract alone: each stands for one with a tag."""

    def __init__(self, tag):
        self._tag, self._asked = tag, []

    def __getattr__(self, name):
        found = getattr(server(), name)
        return (lambda *given: self._back(found(*map(self._there, given)))) if callable(found) else found

    def scopes(self):
        """List the scopes of this test alone."""
        return sorted(SCOPES)

    def add_rule(self, did, rses, lifetime_seconds):
        """Note what is to be copied."""
        self._asked += [self._there(did)] if rses != "INFN-PG" else []
        return self._back(server().add_rule(self._there(did), rses, lifetime_seconds))

    def forget(self):
        """Take back what cannot be: there are no bytes to copy."""
        for did in self._asked:
            for rule in server().rules(did):
                server()._client.delete_replication_rule(rule.id)

    def _there(self, given):
        if isinstance(given, DID):
            return DID(self._there(given.scope), given.name)
        if isinstance(given, list) and given and isinstance(given[0], DID):
            return list(map(self._there, given))
        return f"{given}-{self._tag}" if isinstance(given, str) and given in SCOPES else given

    def _back(self, said):
        if isinstance(said, DID):
            return DID(said.scope.removesuffix(f"-{self._tag}"), said.name)
        if isinstance(said, Rule):
            return replace(said, did=self._back(said.did))
        if isinstance(said, list):
            return list(map(self._back, said))
        return {self._back(key): value for key, value in said.items()} if isinstance(said, dict) else said


@pytest.fixture(scope="module")
def root(real_lake):
    return real_lake.client("root")


@pytest.fixture
def world(real_lake, root, monkeypatch):
    """A world of ada's own."""
    for name, value in real_lake.environment("ada").items():
        monkeypatch.setenv(name, value)
    tag = token_hex(4)
    for scope in SCOPES:
        root.add_scope("ada", f"{scope}-{tag}")
    world = World(tag)
    yield world
    world.forget()
    _server.cache_clear()


class TestRucio(RucioContract):
    many = 12

    @pytest.fixture
    def open_catalog(self, world):
        return lambda: RucioCatalog(MemoryObjects(), lambda: world, JSON)


class TestIdl(CatalogContract):
    """The same in the shape of the ICSC lake's documents."""

    many = 12

    @pytest.fixture
    def open_catalog(self, world):
        return lambda: RucioCatalog(MemoryObjects(), lambda: world, IdlWriter("JSON"))

    def dataset(self, did="museo:tavola", digest="a" * 64):
        return at_home(a_dataset(did, digest))
