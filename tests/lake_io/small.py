"""Datasets of a few hundred bytes, written as lakecv writes them, and runs that are not finished."""

from dataclasses import replace

import numpy as np

from lakecv import registry
from lakecv.canonical import dump
from lakecv.cube import ArraySpec, Block, CubeSpec, Grid, Role, SpectralAxis, Window
from lakecv.execution.workarea import Setup
from lakecv.job import Job, Link
from lakecv.lake_io.codec import encode_shard, shard_chunks
from lakecv.lake_io.layout import shards
from lakecv.lake_io.objects import put_checked
from lakecv.lake_io.place import data_prefix, join_url
from lakecv.lake_io.publish import publish
from lakecv.plan import Plan, Run, RunState, Share
from lakecv.records import DID, Dataset, Replica

SPEC = ArraySpec("data", Role.DATA, ("y", "x", "spectral"), (8, 8, 3), "uint16", (2, 2, 3), (4, 4, 3))
CUBE = CubeSpec(Grid(8, 8), SpectralAxis(3), (SPEC,))
JOB = Job((Link("kmeans", "1", ()),), 0, (), "museo")


def stored(home, seed=0):
    """Write four shards below a prefix."""
    values = np.random.default_rng(seed).integers(0, 4000, SPEC.shape).astype("uint16")
    for shard in shards(SPEC):
        data = encode_shard(shard_chunks(values[shard.window.slices()], SPEC), SPEC)
        yield put_checked(home, f"data/{shard.key}", data)


def made(lake, name, write_id, seed=0):
    """Publish a dataset into a lake and give its record; the catalog does not know it yet."""
    did = DID("museo", name)
    home = data_prefix(did, write_id)
    objects = registry.open_objects(join_url(lake, home))
    artifacts = {"survey.json": b'{"limits":[0,1]}', "run.json": write_id.encode()}
    done = publish(objects, CUBE, list(stored(objects, seed)), tables={}, artifacts=artifacts)
    number, nbytes = len(done.manifest.objects), done.manifest.nbytes
    return Dataset(did, done.cube, done.manifest.digest, home, (Replica("local", home),), number, nbytes, "2026-01-01T00:00:00+00:00")


def setup(lake, dataset, name, run):
    """All that is fixed when a run starts."""
    blocks = (Block(0, Window(0, 8, 0, 8)),)
    plan = Plan(JOB, dataset.cube, dataset.cube, blocks, (), "local", (Share("local", "local", 1, 1, (), 0, 0, 0.0),), (), "local", "local", 0, 0, 0.0)
    return Setup(run, lake, plan, dataset, DID("museo", name), data_prefix(DID("museo", name), run), "2026-01-01T00:00:00+00:00")


def started(lake, dataset, name, run):
    """Leave what a run leaves that was killed half-way: its setup, a part, a shard of its result."""
    objects = registry.open_objects(lake)
    record = setup(lake, dataset, name, run)
    objects.put(f"work/{run}/setup.json", dump(record))
    objects.put(f"work/{run}/parts/0-map/000000.0123456789abcdef", b"part")
    objects.put(f"{record.home}/data/c/0/0/0", b"shard")
    return record


def finished(lake, record):
    """Write the record of a run, as the last step but one."""
    run = Run(record.run, JOB, record.output, RunState.DONE, record.created)
    registry.open_objects(lake).put(f"runs/{record.run}.json", dump(replace(run, finished=record.created)))


def contents(objects, prefix=""):
    """All bytes below a prefix, by key."""
    return {info.key: objects.get(info.key) for info in objects.list(prefix)}


def flipped(objects, key, at=None):
    """Change one bit of an object."""
    data = bytearray(objects.get(key))
    data[len(data) // 2 if at is None else at % len(data)] ^= 1
    objects.delete(key)
    objects.put(key, bytes(data))
