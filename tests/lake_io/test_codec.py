"""Chunks and shards: what zarr-python reads and writes, and what damage does."""

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from lakecv.cube import ArraySpec, Role, Window
from lakecv.errors import Corrupt
from lakecv.lake_io.codec import COMPRESSOR, decode_chunk, encode_chunk, encode_shard, shard_chunks
from lakecv.lake_io.layout import array_json, document, lay_out, shards
from lakecv.lake_io.objects import describe
from lakecv.lake_io.read import ShardedReader
from lakecv.records import Manifest
from lakecv.testing.fakes import MemoryObjects

DTYPES = ["uint8", "uint16", "int16", "int32", "float32", "float64", "int64"]


def spec_of(shape, dtype, chunks, shards_=None):
    dims = ("y", "x", "spectral")[: len(shape)]
    return ArraySpec("data", Role.DATA, dims, shape, dtype, chunks, shards_, COMPRESSOR)


def values_of(spec, seed=0):
    return np.random.default_rng(seed).integers(0, 100, spec.shape).astype(spec.dtype)


def write(objects, spec, values):
    stored = []
    for shard in shards(spec):
        data = encode_shard(shard_chunks(values[shard.window.slices()], spec), spec)
        objects.put(f"data/{shard.key}", data)
        stored.append(describe(f"data/{shard.key}", data))
    return Manifest(tuple(stored))


def zarr_store(objects):
    return zarr.storage.MemoryStore(
        {info.key: zarr.core.buffer.cpu.Buffer.from_bytes(objects.get(info.key)) for info in objects.list()},
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(70, 50, 9), (5, 5, 3), (130, 64), (64, 64, 1)])
def test_zarr_python_reads_what_is_written(shape, dtype):
    spec = spec_of(shape, dtype, (32, 16, *shape[2:]), (64, 64, *shape[2:]))
    objects, values = MemoryObjects("x"), values_of(spec)
    write(objects, spec, values)
    objects.put("data/zarr.json", document(array_json(spec)))
    np.testing.assert_array_equal(zarr.open_array(zarr_store(objects), path="data", mode="r")[:], values)


def test_what_zarr_python_writes_is_read():
    spec = spec_of((70, 50, 9), "uint16", (32, 16, 9), (64, 64, 9))
    store, values = zarr.storage.MemoryStore(), values_of(spec)
    group = zarr.open_group(store, mode="w")
    blosc = zarr.codecs.BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle")
    array = group.create_array("data", shape=spec.shape, chunks=spec.chunks, shards=spec.shards, dtype=spec.dtype,
                               compressors=[blosc, zarr.codecs.Crc32cCodec()])
    array[:] = values
    objects = MemoryObjects("x")
    for key, buffer in store._store_dict.items():
        objects.put(key, buffer.to_bytes())
    manifest = Manifest(tuple(describe(info.key, objects.get(info.key)) for info in objects.list()))
    read = ShardedReader(objects, spec, manifest, "data").read(Window(0, 70, 0, 50))
    np.testing.assert_array_equal(read, values)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_every_window_reads_as_the_whole_does(data):
    ny, nx, depth = (data.draw(st.integers(1, 60)) for _ in range(3))
    chunk = (data.draw(st.integers(1, 20)), data.draw(st.integers(1, 20)), data.draw(st.integers(1, depth)))
    deep = -(-depth // chunk[2]) * chunk[2]
    spec = spec_of((ny, nx, depth), "uint16", chunk, (chunk[0] * 2, chunk[1] * 3, deep))
    objects, values = MemoryObjects("x"), values_of(spec)
    manifest = write(objects, spec, values)
    y0, x0 = data.draw(st.integers(0, ny - 1)), data.draw(st.integers(0, nx - 1))
    window = Window(y0, data.draw(st.integers(y0 + 1, ny)), x0, data.draw(st.integers(x0 + 1, nx)))
    np.testing.assert_array_equal(ShardedReader(objects, spec, manifest, "data").read(window), values[window.slices()])


def test_five_hundred_flipped_bits_are_all_noticed():
    spec = spec_of((40, 40, 30), "uint16", (16, 16, 30), (32, 32, 30))
    whole, values = MemoryObjects("x"), values_of(spec)
    manifest = write(whole, spec, values)
    keys = [info.key for info in whole.list()]
    rng = np.random.default_rng(1)
    wrong = 0
    for _ in range(500):
        damaged, hit = MemoryObjects("x"), keys[rng.integers(len(keys))]
        for key in keys:
            data = bytearray(whole.get(key))
            if key == hit:
                data[rng.integers(len(data))] ^= 1 << rng.integers(8)
            damaged.put(key, bytes(data))
        try:
            read = ShardedReader(damaged, spec, manifest, "data").read(Window(0, 40, 0, 40))
        except Corrupt:
            continue
        wrong += not np.array_equal(read, values)
    assert wrong == 0


def test_equal_samples_give_equal_bytes():
    spec = spec_of((64, 64, 20), "uint16", (64, 64, 20))
    assert encode_chunk(values_of(spec), spec) == encode_chunk(np.asfortranarray(values_of(spec)), spec)


def test_a_bomb_is_refused_before_it_is_decoded():
    small, large = spec_of((4, 4, 4), "uint16", (4, 4, 4)), spec_of((512, 512, 64), "uint16", (512, 512, 64))
    bomb = encode_chunk(np.zeros(large.chunks, "uint16"), large)
    with pytest.raises(Corrupt) as caught:
        decode_chunk(bomb, small)
    assert caught.value.kind == "codec-failed"


def test_a_listed_object_that_is_gone_is_an_error_and_no_fill_value():
    spec = spec_of((40, 40, 3), "uint16", (16, 16, 3), (32, 32, 3))
    objects = MemoryObjects("x")
    manifest = write(objects, spec, values_of(spec))
    objects.delete("data/c/0/1/0")
    with pytest.raises(Corrupt, match="missing"):
        ShardedReader(objects, spec, manifest, "data").read(Window(0, 40, 0, 40))


@pytest.mark.parametrize(("shape", "dtype", "chunks"), [
    ((2000, 3000, 1024), "uint16", (64, 64, 1024)), ((100, 50, 512), "uint16", (64, 50, 512)),
    ((3000, 3000), "uint8", (1024, 1024)), ((500, 500, 3), "float32", (512, 512, 3)), ((64, 64, 40000), "uint8", (8, 8, 16384)),
])
def test_chunks_hold_two_to_eight_mebibytes_where_the_shape_allows(shape, dtype, chunks):
    laid = lay_out(spec_of(shape, dtype, shape))
    assert laid.chunks == tuple(min(a, b) for a, b in zip(chunks, shape, strict=True))
    assert all(shard % chunk == 0 for shard, chunk in zip(laid.shards, laid.chunks, strict=True))


