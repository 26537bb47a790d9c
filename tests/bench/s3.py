"""What S3 costs: verified reads against the same requests without verification, against s3fs, and a whole pass over a cube.

The server is the one that the AWS_* variables name; without any, a Ceph RGW is started where its programs are, else moto.
Rounds alternate between the sides, so that a busy machine slows all of them; every side must end with the same sums.
"""

import os
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from numcodecs import blosc

from lakecv import config, registry
from lakecv.api import Lake
from lakecv.cube import ArraySpec, CubeSpec, Grid, Role, Window
from lakecv.execution.drive import drive
from lakecv.execution.workarea import Setup
from lakecv.execution.worker import execute
from lakecv.lake_io.codec import (
    COMPRESSOR,
    ShardIndex,
    chunk_positions,
    encode_chunk,
    encode_shard,
    index_nbytes,
    padded,
    shard_chunks,
)
from lakecv.lake_io.layout import lay_out, shards
from lakecv.lake_io.objects import put_checked
from lakecv.lake_io.publish import publish
from lakecv.lake_io.read import open_array
from tests.bench.cubes import size_of, write_counts
from tests.bench.overhead import crew_of, prepare
from tests.bench.table import Row
from tests.servers import S3Server, ceph, moto

READS, PASSES = "Reads from S3", "A pass over a cube on S3"
THREADS = 2


def measure(*, toy=False, rounds=3):
    """Rows of both tables: medians over the rounds, and the ratio of each round."""
    shape, rounds = ((96, 80, 64), 1) if toy else ((1024, 1024, 512), rounds)
    with _server(toy=toy) as server, tempfile.TemporaryDirectory(prefix="lakecv-bench-") as folder:
        counts = np.load(write_counts(Path(folder) / "cube.npy", shape), mmap_mode="r")
        bucket = f"s3://{server.bucket()}"
        whole = _store(f"{bucket}/whole", counts, lay_out(_spec(counts)))
        yield from _reads(server, counts, whole, "default chunks", rounds)
        small = counts[: shape[0] // 2, : shape[1] // 2]
        spec = replace(_spec(small), chunks=(16, 16, shape[2]), shards=(256, 256, shape[2]))
        yield from _reads(server, small, _store(f"{bucket}/small", small, spec), "16 x 16 chunks in shards", rounds)
        spec = replace(_spec(small), chunks=(16, 16, shape[2]), shards=None)
        yield from _reads(server, small, _store(f"{bucket}/loose", small, spec), "16 x 16 chunks, an object each", rounds)
        lake = Lake(f"{bucket}/lake", scope="bench")
        lake.register(Path(folder) / "cube.npy", "bench:cube")
        yield _pass(server, lake, shape, rounds)


@contextmanager
def _server(*, toy):
    """Reach a server through the environment, as a user does; what was there before is put back."""
    before = dict(os.environ)
    with ExitStack() as stack:
        if "AWS_ENDPOINT_URL" in os.environ:
            named = [os.environ[name] for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")]
            server = S3Server("named", *named)
        elif toy:
            server = stack.enter_context(moto())
        else:
            server = stack.enter_context(ceph(Path(stack.enter_context(tempfile.TemporaryDirectory())) / "ceph"))
        os.environ.update(server.environment())
        try:
            yield server
        finally:
            os.environ.clear()
            os.environ.update(before)


def _spec(counts):
    return ArraySpec("data", Role.DATA, ("y", "x", "spectral"), counts.shape, "uint16", counts.shape, compressor=COMPRESSOR)


def _store(url, counts, spec):
    """Publish a cube below a url; (url, spec, manifest)."""
    objects = registry.open_objects(url)
    stored = []
    for shard in shards(spec):
        values = np.asarray(counts[shard.window.slices()])
        if spec.shards is None:
            data = encode_chunk(padded(values, spec), spec)
        else:
            data = encode_shard(shard_chunks(values, spec), spec)
        stored.append(put_checked(objects, f"data/{shard.key}", data))
    cube = CubeSpec(Grid(*counts.shape[:2]), None, (spec,))
    return url, spec, publish(objects, cube, stored, tables={}, artifacts={}).manifest


def _reads(server, counts, place, what, rounds):
    """Read a whole cube with two threads: lakecv, the same requests without proof, and xarray over s3fs."""
    sides = {"lakecv": _verified, "obstore": _bare, "s3fs": _s3fs}
    seconds = {name: [] for name in sides}
    total = int(np.asarray(counts, dtype=np.uint64).sum())
    for number in range(rounds + 1):
        for name, side in sides.items():
            began = time.perf_counter()
            found = side(server, *place)
            if number:  # the first round opens connections and fills caches
                seconds[name].append(time.perf_counter() - began)
            if found != total:
                raise RuntimeError(f"{name} read {found} counts of {total}")
    rows = []
    for peer, of_peer in (("obstore", "obstore, same ranges, no checksum"), ("s3fs", "xarray over s3fs")):
        ratios = [theirs / ours for theirs, ours in zip(seconds[peer], seconds["lakecv"], strict=True)]
        ours, theirs = (f"{statistics.median(seconds[name]):.2f} s" for name in ("lakecv", peer))
        rows.append(Row(READS, (server.name, size_of(counts.shape), what, of_peer, ours, theirs, _told(ratios))))
    return rows


def _told(ratios):
    return f"{statistics.median(ratios):.2f} ({', '.join(f'{ratio:.2f}' for ratio in ratios)})"


def _verified(_, url, spec, manifest):
    objects = registry.open_objects(url)

    def read(window):
        return int(open_array(objects, spec, manifest, "data").read(window).sum(dtype=np.uint64))

    with ThreadPoolExecutor(THREADS) as pool:
        return sum(pool.map(read, _windows(spec)))


def _windows(spec):
    """Windows that readers of blocks ask for: shards, or blocks of many chunks where a chunk is an object."""
    if spec.shards is not None:
        return [shard.window for shard in shards(spec)]
    ny, nx, _ = spec.shape
    return [Window(y, min(y + 128, ny), x, min(x + 128, nx)) for y in range(0, ny, 128) for x in range(0, nx, 128)]


def _bare(server, url, spec, manifest):
    """Fetch the ranges with obstore and decode them: no checksum, no manifest."""
    from obstore.store import S3Store

    bucket, prefix = url.removeprefix("s3://").split("/", 1)
    store = S3Store(
        bucket, prefix=prefix, client_options={"allow_http": True},
        config={"endpoint": server.endpoint, "access_key_id": server.key, "secret_access_key": server.secret, "region": server.region},
    )
    sizes = {item.key: item.nbytes for item in manifest.objects}

    def read(shard):
        key = f"data/{shard.key}"
        out = np.empty((shard.window.height, shard.window.width, *spec.shape[2:]), spec.dtype)
        if spec.shards is None:
            spans, blobs = [(0, 0)], [store.get(key).bytes()]
        else:
            [tail] = store.get_ranges(key, starts=[sizes[key] - index_nbytes(spec)], ends=[sizes[key]])
            index = ShardIndex(bytes(tail), spec)
            spans = [at for at in chunk_positions(spec) if _inside(at, shard.window, spec)]
            starts, stops = zip(*(index.span(at) for at in spans), strict=True)
            blobs = store.get_ranges(key, starts=starts, ends=stops, coalesce=1 << 20)
        buffer = np.empty(spec.chunks, spec.dtype)
        for at, blob in zip(spans, blobs, strict=True):
            blosc.decompress(memoryview(blob)[:-4], buffer)
            y, x = at[0] * spec.chunks[0], at[1] * spec.chunks[1]
            target = out[y : y + spec.chunks[0], x : x + spec.chunks[1]]
            target[...] = buffer[: target.shape[0], : target.shape[1]]
        return int(out.sum(dtype=np.uint64))

    with ThreadPoolExecutor(THREADS) as pool:
        return sum(pool.map(read, shards(spec)))


def _inside(at, window, spec):
    return at[0] * spec.chunks[0] < window.height and at[1] * spec.chunks[1] < window.width


def _s3fs(server, url, spec, manifest):  # noqa: ARG001  (the sides have one signature)
    import dask
    import xarray as xr

    with dask.config.set(scheduler="threads", num_workers=THREADS):
        opened = xr.open_zarr(url, storage_options={"endpoint_url": server.endpoint})
        return int(opened["data"].sum(dtype="uint64").compute())


def _pass(server, lake, shape, rounds):
    """Read, apply k-means, write: lakecv's site against Dask's threads with zarr-python."""
    bout = prepare(lake)
    ours, theirs = [], []
    with registry.site(bout.plan.shares[0].executor).pool(config.site(bout.plan.site), bout.plan.workers, execute, "bench") as pool:
        for number in range(rounds + 1):
            one, two = _through_site(bout, pool, number), _through_dask(server, bout, number)
            if number:
                ours.append(one)
                theirs.append(two)
    ratios = [two / one for one, two in zip(ours, theirs, strict=True)]
    medians = [f"{statistics.median(side):.2f} s" for side in (ours, theirs)]
    return Row(PASSES, (server.name, size_of(shape), "k-means labels and distances, k=8", *medians, _told(ratios)))


def _through_site(bout, pool, number):
    setup = Setup(f"r-bench-{number}", bout.lake, bout.plan, bout.dataset, bout.dataset.did, f"bench/{number}/home", "")
    crew = crew_of(bout, pool, THREADS, setup.run)
    began = time.perf_counter()
    crew.area.start(setup)
    drive(crew, setup, bout.chain)
    return time.perf_counter() - began


def _through_dask(server, bout, number):
    """As one would write it: open, map_blocks, to_zarr."""
    import dask
    import dask.array as da
    import xarray as xr

    options = {"endpoint_url": server.endpoint}
    centres = next(array for name, array in bout.state.arrays.items() if array.ndim == 2).astype("float32")
    squares = (centres**2).sum(axis=1)

    def apply(block):
        pixels = block.reshape(-1, block.shape[-1]).astype("float32")
        distance = (pixels**2).sum(axis=1)[:, None] - 2 * (pixels @ centres.T) + squares
        label = distance.argmin(axis=1)
        best = np.sqrt(np.maximum(distance[np.arange(len(label)), label], 0))
        return np.stack([label.astype("float32"), best], axis=-1).reshape(*block.shape[:2], 2)

    began = time.perf_counter()
    with dask.config.set(scheduler="threads", num_workers=THREADS):
        data = xr.open_zarr(f"{bout.lake}/{bout.dataset.home}", storage_options=options)["data"].data
        made = da.map_blocks(apply, data, dtype="float32", chunks=(*data.chunks[:2], (2,)))
        place = f"{bout.lake}/bench/dask/{number}"
        xr.Dataset({
            "labels": (("y", "x"), made[..., 0].astype("uint8")), "distance": (("y", "x"), made[..., 1]),
        }).to_zarr(place, storage_options=options, mode="w")
    return time.perf_counter() - began
