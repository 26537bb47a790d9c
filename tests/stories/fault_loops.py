"""What the lake promises when the network lies, breaks off or forgets to answer, as loops that count.

Every byte goes through ``lakecv.testing.FaultProxy``; the test runs small counts, ``fault_soak.py`` the full ones.
"""

import os
import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from threading import Barrier
from unittest.mock import patch

import numpy as np
import zarr

from lakecv import registry
from lakecv.cube import ArraySpec, CubeSpec, Grid, Quantity, Role, SpectralAxis, Window
from lakecv.errors import Conflict, Corrupt, LakeCVError, Unavailable
from lakecv.execution.workarea import WorkArea
from lakecv.job import StageKind
from lakecv.lake_io.codec import encode_shard, shard_chunks
from lakecv.lake_io.layout import shards
from lakecv.lake_io.objects import describe, get_checked, put_checked, put_same
from lakecv.lake_io.publish import publish, table_spec
from lakecv.lake_io.read import open_array, read_table
from lakecv.plan import Outcome, Task
from lakecv.records import DID, Manifest
from lakecv.sheet import State, Step
from lakecv.testing.catalog import a_claim, a_dataset, a_manifest
from lakecv.testing.faults import FaultProxy, Faults

SIDE, DEEP = 128, 64
AT_ONCE, WRITERS = 16, 8
FLIP = 0.2  # per segment: a read has 1 to 32 of them, so that right and damaged reads are both common
BROKEN = Faults(reset=0.02, fin=0.02, unavailable=0.04)


@dataclass
class Tally:
    """What was seen; ``bad`` holds what must not be seen, in words."""

    seen: Counter = field(default_factory=Counter)
    fired: Counter = field(default_factory=Counter)
    bad: list = field(default_factory=list)
    note: str = ""


@contextmanager
def lake_behind(server, seed):
    """Make a bucket and a proxy before its server; what lakecv opens goes through the proxy."""
    bucket = server.bucket()
    with FaultProxy(server.endpoint, seed=seed) as proxy, patch.dict(os.environ):
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            del os.environ[name]
        os.environ |= replace(server, endpoint=proxy.url).environment()
        objects = registry.open_objects(f"s3://{bucket}/soak")
        put_same(objects, "opened", b"probes of the bucket are over when the faults begin")
        try:
            yield proxy, objects
        finally:
            empty(server, bucket)


def empty(server, bucket):
    client = server.client()
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for item in page.get("Contents", ()):
            client.delete_object(Bucket=bucket, Key=item["Key"])
    client.delete_bucket(Bucket=bucket)
    client.close()


def many(work, items):
    """Do it for all, many at once; the first exception ends it."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(work, items))


def timed(work, count):
    """Count the results of so many calls, and the seconds they took together."""
    begun = time.monotonic()
    return Counter(many(work, range(count))), time.monotonic() - begun


# --- flips: never a wrong number --------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Published:
    """A cube in lakecv's layout, one by zarr-python, and a table, with what is in them."""

    objects: object
    manifest: Manifest
    own: ArraySpec
    foreign: ArraySpec
    table: ArraySpec
    values: np.ndarray
    content: dict


def a_published_cube(objects, seed):
    """Publish incompressible counts: every bit of every object is data."""
    values = np.random.default_rng(seed).integers(0, 2**16, (SIDE, SIDE, DEEP), dtype="uint16")
    own = ArraySpec("own", Role.DATA, ("y", "x", "spectral"), values.shape, "uint16", (32, 32, DEEP), (64, 64, DEEP))
    stored = []
    for shard in shards(own):
        data = encode_shard(shard_chunks(values[shard.window.slices()], own), own)
        stored.append(put_checked(objects, f"own/{shard.key}", data))
    memory = zarr.storage.MemoryStore()
    zarr.create_array(memory, name="foreign", data=values, chunks=(32, 64, DEEP), compressors=None)
    kept = {key: value.to_bytes() for key, value in memory._store_dict.items() if key.startswith("foreign")}
    stored += [put_checked(objects, key, data) for key, data in kept.items()]
    table = table_spec("table", ("row", "column"), values[0])
    cube = CubeSpec(Grid(SIDE, SIDE), SpectralAxis(DEEP, Quantity.CHANNEL), (own,))
    published = publish(objects, cube, stored, tables={table: values[0]}, artifacts={})
    foreign = replace(own, name="foreign", chunks=(32, 64, DEEP), shards=None, compressor=None)
    content = {item.key: objects.get(item.key) for item in published.manifest.objects}
    assert all(describe(key, data) == published.manifest.by_key[key] for key, data in content.items())
    return Published(objects, published.manifest, own, foreign, table, values, content)


def a_window(rng):
    y, x = rng.randrange(SIDE - 8), rng.randrange(SIDE - 8)
    return Window(y, min(SIDE, y + rng.randrange(8, 64)), x, min(SIDE, x + rng.randrange(8, 64)))


def reads_right(cube, rng):
    """Read a random part in a random way; says whether it is as it was written."""
    way, window = rng.choice(("whole", "ranged", "ranged", "foreign", "table")), a_window(rng)
    if way == "whole":
        key = rng.choice([item.key for item in cube.manifest.objects if item.nbytes > 2**16] + ["zarr.json"])
        return get_checked(cube.objects, key, cube.manifest) == cube.content[key]
    if way == "table":
        return np.array_equal(read_table(cube.objects, cube.table, cube.manifest), cube.values[0])
    spec = cube.own if way == "ranged" else cube.foreign
    found = open_array(cube.objects, spec, cube.manifest, spec.name).read(window)
    return np.array_equal(found, cube.values[window.slices()])


def flips(server, count, seed):
    """Read through flipped bits until ``count`` bits were flipped: each read is right or refused as corrupt."""
    tally = Tally()

    def one(number):
        rng = random.Random(f"{seed}/{number}")
        try:
            right = reads_right(cube, rng)
        except Corrupt:
            return "refused"
        return "right" if right else "WRONG"

    with lake_behind(server, seed) as (proxy, objects):
        cube = a_published_cube(objects, seed)
        proxy.reset_counters()
        proxy.faults = Faults(flip=FLIP)
        while proxy.traffic.fired.get("flip", 0) < count:
            tally.seen.update(many(one, range(tally.seen.total(), tally.seen.total() + 2 * AT_ONCE)))
        tally.fired.update(proxy.traffic.fired)
        proxy.faults = Faults()
    tally.bad = ["a wrong number was read"] * tally.seen["WRONG"]
    return tally


def flipped_documents(server, count, seed):
    """Read claims, datasets and commit records, each with one bit flipped: each read is right or refused."""
    tally = Tally()
    with lake_behind(server, seed) as (proxy, objects):
        claim, dataset, task = a_claim("soak:x"), a_dataset("soak:x"), a_task("0-map")
        catalog = registry.catalog(objects)
        catalog.claim(claim), catalog.register(dataset, a_manifest())
        record = WorkArea(objects).commit(task, an_outcome(task), b"part")
        reads = ((lambda: catalog.claim(claim), claim), (lambda: catalog.lookup(dataset.did), dataset),
                 (lambda: WorkArea(objects).outcome(task.key), record))  # fmt: skip
        proxy.faults = Faults(flip=1.0, only=lambda method, _: method == "GET")
        for number in range(count):
            read, expected = reads[number % len(reads)]
            try:
                seen = "right" if read() == expected else f"WRONG {type(expected).__name__}"
            except Corrupt:
                seen = "refused"
            tally.seen[seen] += 1
        tally.fired.update(proxy.traffic.fired)
        proxy.faults = Faults()
    tally.bad = [seen for seen in tally.seen.elements() if seen.startswith("WRONG")]
    return tally


# --- lost replies: no false conflict, no duplicate --------------------------------------------------------------------
def a_task(stage):
    return Task("work", stage, StageKind.MAP, 0, 7, Window(0, 1, 0, 1))


def an_outcome(task):
    return Outcome(task.key, 1.5, 12.0, 100, 0, "worker")


def a_commit(objects, name):
    task, area, part = a_task(name), WorkArea(objects), f"part of {name}".encode()
    record = area.commit(task, an_outcome(task), part)
    own = (record.task, record.worker, record.nbytes_written) == (task.key, "worker", len(part)) and area.part(record) == part
    return own and area.outcomes(name) == {task.key: record}


def a_state(objects, name):
    step = Step(State({"center": np.arange(5.0)}), done=True, progress=name)
    area = WorkArea(objects)
    return area.save_state(name, step).progress == name == area.load_state(name).progress


def a_claimed_name(objects, name):
    claim = a_claim(f"soak:{name}", write_id=f"w-{name}")
    return registry.catalog(objects).claim(claim) == claim


def a_registration(objects, name):
    dataset, catalog = a_dataset(f"soak:{name}"), registry.catalog(objects)
    return catalog.register(dataset, a_manifest()) == dataset == catalog.lookup(DID("soak", name))


def an_object(objects, name):
    put_same(objects, f"same/{name}", name.encode())
    return put_checked(objects, f"checked/{name}", name.encode()) == describe(f"checked/{name}", name.encode())


# what is done, the keys of its puts, how many objects it leaves
DEEDS = (
    (a_commit, ("parts/{}/", "commits/{}/"), 2), (a_state, (r"states/{}\.", "commits/{}/state"), 2),
    (a_claimed_name, ("catalog/soak/{}/claim",), 1), (a_registration, ("catalog/soak/{}/dataset",), 1),
    (an_object, ("same/{}$", "checked/{}$"), 2),
)  # fmt: skip


def lost_replies(server, count, seed):
    """Do things whose puts lose their replies, once or twice in a row: each ends as if none was lost."""
    rng, tally, plans, lost = random.Random(seed), Tally(), [], 0
    while lost < count:
        deed, keys, nobjects = rng.choice(DEEDS)
        times = min(rng.choice((1, 1, 2)), count - lost)
        plans.append((f"n{len(plans):05d}", deed, rng.choice(keys), times, nobjects))
        lost += times

    def one(plan):
        name, deed, key, times, _ = plan
        proxy.lose_next("PUT", key.format(name), times)
        try:
            return [] if deed(objects, name) else [f"{deed.__name__} {name}: not its own"]
        except (Conflict, Corrupt, Unavailable) as err:
            return [f"{deed.__name__} {name}: {type(err).__name__}: {err}"]

    with lake_behind(server, seed) as (proxy, objects):
        tally.bad += [line for lines in many(one, plans) for line in lines]
        tally.fired.update(proxy.traffic.fired)
        stored = Counter(name for info in objects.list() for name, *_ in plans if name in info.key)
    tally.bad += [f"{name}: {stored[name]} objects, not {nobjects}" for name, *_, nobjects in plans if stored[name] != nobjects]
    tally.seen.update(plan[1].__name__ for plan in plans)
    if tally.fired["lost_reply"] != count:
        tally.bad.append(f"{tally.fired['lost_reply']} replies were lost, not {count}")
    return tally


# --- one claim, many writers: one winner ------------------------------------------------------------------------------
def claims(server, rounds, seed):
    """Let writers claim one name at the same instant, while some replies are lost: one has it and all know who."""
    tally, start = Tally(), Barrier(WRITERS)

    def writer(number):
        catalog, held = registry.catalog(registry.open_objects(objects.url)), []
        for turn in range(rounds):
            start.wait(60)
            held.append(catalog.claim(a_claim(f"soak:round-{turn}", write_id=f"w{number}")).write_id)
        return held

    with lake_behind(server, seed) as (proxy, objects):
        proxy.faults = Faults(lost_reply=0.05, only=lambda method, path: method == "PUT" and "/round-" in path)
        with ThreadPoolExecutor(WRITERS) as pool:
            held = list(pool.map(writer, range(WRITERS)))
        tally.fired.update(proxy.traffic.fired)
        proxy.faults = Faults()
        stored = {claim.did.name: claim.write_id for claim in registry.catalog(objects).claims("soak", "round-")}
    for turn, answers in enumerate(zip(*held, strict=True)):
        winners = [number for number, answer in enumerate(answers) if answer == f"w{number}"]
        tally.seen[f"won by {answers[0]}"] += 1
        if len(winners) != 1 or {*answers} != {stored[f"round-{turn}"]}:
            tally.bad.append(f"round {turn}: answers {answers}, stored {stored[f'round-{turn}']}")
    return tally


# --- broken connections: blocks succeed -------------------------------------------------------------------------------
def blocks(server, count, seed):
    """Read blocks of about 1 MiB over connections that break in 4 % of their segments and requests."""
    tally = Tally()

    def one(number):
        rng = random.Random(f"{seed}/{number}")
        y, x = rng.randrange(SIDE - 63), rng.randrange(SIDE - 63)
        window = Window(y, y + 64, x, x + 64)
        try:
            found = open_array(objects, cube.own, cube.manifest, "own").read(window)
        except LakeCVError as err:
            return f"failed: {err.kind}"
        return "right" if np.array_equal(found, cube.values[window.slices()]) else "WRONG"

    with lake_behind(server, seed) as (proxy, objects):
        cube = a_published_cube(objects, seed)
        calm, calm_seconds = timed(one, max(count // 10, AT_ONCE))
        proxy.faults = BROKEN
        tally.seen, seconds = timed(one, count)
        tally.note = f", {seconds / count / calm_seconds * calm.total():.1f} x the time of calm"
        tally.fired.update(proxy.traffic.fired)
        proxy.faults = Faults()
    failed = count - tally.seen["right"]
    if calm["right"] < calm.total() or tally.seen["WRONG"] or failed > count // 1000:
        tally.bad.append(f"{failed} of {count} blocks failed")
    return tally
