"""What Rucio costs: a registration against the bare client calls that do the same, and how many calls a question takes.

The server is the one that RUCIO_HOME names; without it, and at toy size, a server in memory.  No data are moved: what is
registered is nowhere, which Rucio does not ask.  Rounds alternate, so that a busy machine slows both sides.
"""

import os
import statistics
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from secrets import token_hex
from unittest.mock import patch

from lakecv_catalog.rucio.catalog import RucioCatalog
from lakecv_catalog.rucio.metadata import JSON
from lakecv_catalog.rucio.places import Place
from lakecv_catalog.rucio.server import _server, server
from rucio.client.baseclient import BaseClient  # noqa: TID251  (its calls are counted, and made without lakecv)

from lakecv.facts import Condition
from lakecv.patience import many
from lakecv.records import Claim, Manifest, Replica, StoredObject
from lakecv.testing.catalog import a_dataset
from lakecv.testing.fakes import MemoryObjects
from tests.bench.table import Row
from tests.rucio_server import FakeRucio

REGISTERED, CALLS = "Registration in Rucio", "Calls to Rucio"
RSE = "INFN-PG"
BATCH = 1000


def measure(*, toy=False, rounds=9):
    """Rows of both tables."""
    objects, datasets, rounds = (20, 3, 2) if toy else (1000, 1000, rounds)
    with _reached(toy=toy) as scope:
        catalog, name = RucioCatalog(MemoryObjects()), "in memory" if toy else "Rucio 41.5.1, PostgreSQL"
        yield Row(REGISTERED, (name, *_registration(catalog, scope, objects, rounds)))
        yield from (Row(CALLS, (name, *cells)) for cells in _lookups(catalog, scope, objects))
        yield from (Row(CALLS, (name, *cells)) for cells in _lists(catalog, scope, datasets))


@contextmanager
def _reached(*, toy):
    """Reach a server; the scope that may be written in."""
    with ExitStack() as stack:
        stack.callback(_server.cache_clear)
        if not toy and "RUCIO_HOME" in os.environ:
            yield f"user.{server().account}"
            return
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        rucio = stack.enter_context(FakeRucio())
        rucio.add_account("ada")
        rucio.add_scope("user.ada", "ada")
        rucio.add_rse(RSE, RSE, folder / RSE)
        rucio.set_quota("ada", RSE, 10**12)
        stack.enter_context(patch.dict(os.environ, RUCIO_HOME=str(rucio.home(folder, "ada"))))
        _server.cache_clear()
        yield "user.ada"


def _made(scope, number):
    """Record of a dataset of so many objects, under a name that nobody has."""
    data = tuple(StoredObject(f"data/c/{index}/0/0", 1, "00000001", "00000001") for index in range(number - 1))  # the manifest is one
    dataset = a_dataset(f"{scope}:bench-{token_hex(6)}")
    place = Place(RSE, dataset.did, token_hex(6))
    return replace(dataset, home=place.url, replicas=(Replica(RSE, place.url, RSE),), nobjects=number), Manifest(data)


# --- a registration ---------------------------------------------------------------------------------------------------
def _registration(catalog, scope, objects, rounds):
    """Cells: objects, both medians, the ratio of the medians' sides in each round."""
    sides = [lambda: _by_lakecv(catalog, scope, objects), lambda: _by_hand(scope, objects)]
    for side in sides:
        side()  # connections, caches of the server
    seconds = [[_timed(side) for side in (sides if number % 2 else sides[::-1])][:: 1 if number % 2 else -1] for number in range(rounds)]
    mine, bare = (statistics.median(each) for each in zip(*seconds, strict=True))
    ratios = [one / other for one, other in seconds]
    with _counted() as calls:
        sides[0]()
    with _counted() as bare_calls:
        sides[1]()
    spread = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    return (f"{objects} objects", f"{mine:.3f} s, {len(calls)} calls", f"{bare:.3f} s, {len(bare_calls)} calls",
            f"{statistics.median(ratios):.2f} ({spread})")  # fmt: skip


def _by_lakecv(catalog, scope, objects):
    catalog.register(*_made(scope, objects))


def _by_hand(scope, objects):
    """As somebody would who knows that nothing is there yet and that every call succeeds."""
    dataset, manifest = _made(scope, objects)
    place, client = Place.parse(dataset.home), server()._client
    did = {"scope": scope, "name": dataset.did.name}
    claim = Claim(dataset.did, dataset.digest, place.write_id, dataset.created)
    client.add_dataset(**did, meta=dict(JSON.claimed(claim, dataset)))
    names = [place.file(key) for key in ("manifest.json", *manifest.by_key)]
    files = [{"scope": scope, "name": name, "bytes": 1, "adler32": "00000001"} for name in names]
    for start in range(0, len(files), BATCH):
        client.add_replicas(RSE, files[start : start + BATCH])
        client.attach_dids(**did, dids=[{"scope": scope, "name": name} for name in names[start : start + BATCH]])
    client.add_replication_rule([did], 1, RSE)
    client.set_metadata_bulk(**did, meta=dict(JSON.registered(dataset, claim)))


def _timed(side):
    started = time.perf_counter()
    side()
    return time.perf_counter() - started


# --- calls ------------------------------------------------------------------------------------------------------------
@contextmanager
def _counted():
    """Collect the calls of the real client."""
    calls, usual = [], BaseClient._send_request

    def send(self, url, *arguments, **options):
        calls.append(url)
        return usual(self, url, *arguments, **options)

    with patch.object(BaseClient, "_send_request", send):
        yield calls


def _asked(what, ask):
    """Cells: what was asked, its calls and its time."""
    with _counted() as calls:
        seconds = _timed(ask)
    return what, str(len(calls)), f"{seconds:.3f} s"


def _lookups(catalog, scope, objects):
    """A few objects, many, and a record of many chunks in a few objects: the same number of calls."""
    for number, chunks in ((4, 1), (2 * objects, 1), (4, 100 * objects)):
        dataset, manifest = _made(scope, number)
        dataset = replace(dataset, cube=_chunked(dataset.cube, chunks))
        catalog.register(dataset, manifest)
        what = f"look up a dataset of {number} objects" + (f", {chunks} chunks" if chunks > 1 else "")
        yield _asked(what, lambda did=dataset.did: catalog.lookup(did))


def _chunked(cube, chunks):
    """Cut the main array into so many chunks of one column each."""
    main = cube.arrays[0]
    if chunks == 1:
        return cube
    shape = (cube.grid.ny, chunks, *main.shape[2:])
    grown = replace(main, shape=shape, chunks=(cube.grid.ny, 1, *main.shape[2:]), shards=shape)
    return replace(cube, grid=replace(cube.grid, nx=chunks), arrays=(grown,))


def _lists(catalog, scope, datasets):
    """Listing and searching, in a scope that holds so many datasets at least."""
    there = list(catalog.search(scope))
    many(lambda _: catalog.register(*_made(scope, 2)), range(datasets - len(there)))
    number = len(list(catalog.search(scope)))
    yield _asked(f"list {number} datasets", lambda: list(catalog.datasets(scope)))
    yield _asked(f"find all of {number} datasets by a fact", lambda: list(catalog.search(scope, [Condition("ny", ">", 0)])))
    yield _asked(f"find none of {number} datasets by a fact", lambda: list(catalog.search(scope, [Condition("ny", "<", 0)])))
