"""What a lake must hold, as dictionaries, and the cubes of a hundred bytes that its random steps are taken with."""

from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from pathlib import Path

import numpy as np

from lakecv import registry
from lakecv.api import Flaw
from lakecv.cube import ArraySpec, CubeSpec, Grid, Role, SpectralAxis, Window
from lakecv.job import StageKind
from lakecv.lake_io.codec import encode_shard, shard_chunks
from lakecv.lake_io.convert import Converted
from lakecv.lake_io.layout import shards
from lakecv.lake_io.objects import put_checked
from lakecv.lake_io.place import data_prefix
from lakecv.lake_io.publish import publish
from lakecv.plan import Outcome, RunState, Task
from lakecv.records import Claim, Dataset
from lakecv.testing.fakes import MemoryObjects

SPEC = ArraySpec("data", Role.DATA, ("y", "x", "spectral"), (4, 4, 2), "uint16", (2, 4, 2), (4, 4, 2), limits=(0.0, 9.0))
CUBE = CubeSpec(Grid(4, 4), SpectralAxis(2), (SPEC,))
CHUNK = "data/c/0/0/0"
WINDOW = Window(0, 4, 0, 4)
TASKS = 2  # as many as there are blocks
PAGE = b"<html></html>"


# --- what takes long, replaced ----------------------------------------------------------------------------------------
def values(seed):
    return np.random.default_rng(seed).integers(0, 9, SPEC.shape).astype("uint16")


def write_cube(objects, seed):
    """Publish one of two cubes as a conversion does."""
    stored = [put_checked(objects, CHUNK, encode_shard(shard_chunks(values(seed), SPEC), SPEC))]
    return publish(objects, CUBE, stored, tables={}, artifacts={})


@cache
def cube_content(seed):
    """All that such a cube is, by key."""
    memory = MemoryObjects()
    write_cube(memory, seed)
    return {info.key: memory.get(info.key) for info in memory.list()}


def convert(request, watch, _note=None):
    """Stand in for the reading of a file, whose name is the seed."""
    done = write_cube(registry.open_objects(request.url), int(Path(request.path).stem))
    watch(1, 1)
    return Converted(done.cube, done.manifest.digest, len(done.manifest.objects), done.manifest.nbytes, (), ())


def a_task(number):
    return Task("", "map", StageKind.MAP, 0, number, WINDOW)


def an_outcome(number, error=None):
    return Outcome(a_task(number).key, 0.0, 0.0, 0, 0, "here", error=error)


def labels(spec):
    """What every run finds, as its only shard."""
    [shard] = shards(spec)
    return f"{spec.name}/{shard.key}", encode_shard(shard_chunks(np.ones(spec.shape, spec.dtype), spec), spec)


def result_content(cube, run_record):
    """All that a result is, by key; and the digest of it."""
    memory = MemoryObjects()
    stored = [put_checked(memory, *labels(spec)) for spec in cube.arrays]
    done = publish(memory, cube, stored, tables={}, artifacts={"report.html": PAGE, "run.json": run_record})
    return {info.key: memory.get(info.key) for info in memory.list()}, done.manifest.digest


# --- the model --------------------------------------------------------------------------------------------------------
@dataclass
class Known:
    """A dataset as the catalog must show it, its objects by key, and what was done to them since."""

    dataset: Dataset
    content: dict
    damage: dict = field(default_factory=dict)

    @property
    def stored(self):
        return {key for key in {*self.content, *self.damage} if self.damage.get(key) is not Flaw.MISSING}

@dataclass
class Going:
    """A run: its job and claim, what is committed, failed and written, and whether it is published."""

    job: tuple
    claim: Claim
    done: bool = False
    committed: dict = field(default_factory=dict)
    failed: set = field(default_factory=set)
    work: set = field(default_factory=set)
    written: dict = field(default_factory=dict)

    @property
    def state(self):
        return RunState.DONE if self.done else RunState.FAILED if self.failed - {*self.committed} else RunState.UNFINISHED

    @property
    def home(self):
        return data_prefix(self.claim.did, self.claim.write_id)

    @property
    def blocks_done(self):
        return TASKS if self.done else len(self.committed)

    @property
    def leaves(self):
        return bool(self.work or (self.failed and not self.done))

    def clear(self):
        self.committed, self.work = {}, set()

    def commit(self, number, part):
        """Commit a part: the first one counts, the others are left behind."""
        self.committed.setdefault(number, part)
        task = a_task(number).key
        self.work |= {f"commits/{task}.json", f"parts/{task}.{sha256(part).hexdigest()[:16]}"}
