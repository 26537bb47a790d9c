"""A store that is full at any of its writes: the run says so, loses nothing, and goes on when there is space again."""

import numpy as np
import pytest
from lakecv_plugins.storage.objects import ObstoreObjects

from lakecv import registry
from lakecv.api import Lake
from lakecv.errors import Denied, Kind, LakeCVError
from lakecv.plan import RunState
from lakecv.testing.sites import InlineSite
from tests.s3_story import painting

WRITES = 12


class Store:
    """Lets puts pass and counts them; from ``full_at`` on each is refused."""

    def __init__(self, monkeypatch):
        self.count, self.full_at = 0, None
        usual = ObstoreObjects.put

        def put(objects, key, data):
            self.count += 1
            if self.full_at is not None and self.count >= self.full_at:
                raise Denied(f"'{key}' does not fit", Kind.STORE_FULL, "free some space, then lakecv resume")
            usual(objects, key, data)

        monkeypatch.setattr(ObstoreObjects, "put", put)


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A lake with a cube, its store, and the digest of a whole result."""
    monkeypatch.setattr(registry, "site", lambda _: InlineSite(1))
    np.save(tmp_path / "cube.npy", painting(70, 60, 8))
    lake = Lake(tmp_path / "lake", scope="museo")
    lake.register(tmp_path / "cube.npy", "museo:tavola")
    store = Store(monkeypatch)
    run = lake.run("kmeans", "museo:tavola", options={"k": 3})
    return lake, store, lake.show(str(run.output)).digest, store.count


def tried(lake, seed):
    """How a run ended: its state, or the kind of its error."""
    try:
        return lake.run("kmeans", "museo:tavola", options={"k": 3, "restarts": 1}, seed=seed).state
    except LakeCVError as err:
        return err.kind


def test_a_run_that_meets_a_full_store_is_resumable_wherever_it_happens(made):
    lake, store, digest, writes = made
    assert writes > WRITES
    for number in range(WRITES):
        seed = number + 1  # another job each time
        store.count, store.full_at = 0, 1 + number * writes // WRITES
        assert tried(lake, seed) in {Kind.STORE_FULL, RunState.FAILED}
        store.full_at = None
        again = lake.run("kmeans", "museo:tavola", options={"k": 3, "restarts": 1}, seed=seed)
        assert again.state is RunState.DONE
        assert lake.verify(str(again.output)).ok
    assert lake.show("museo:tavola.kmeans.1").digest == digest
