"""Zarr metadata from strangers: what cannot be trusted is refused before zarr-python sees it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr
import zarr
from lakecv_plugins.formats.zarr import ZarrReader
from lakecv_plugins.formats.zarr_metadata import array_v2, array_v3, load_object

from lakecv.cube import Quantity
from lakecv.errors import Corrupt, InvalidInput, Kind, LakeCVError
from lakecv.ports import ReadHints, Source

V2 = {"zarr_format": 2, "shape": [8, 8, 4], "chunks": [4, 4, 4], "dtype": "<f4", "compressor": {"id": "zstd"}, "filters": None,
      "fill_value": 0, "order": "C"}  # fmt: skip
SHARDED = {"name": "sharding_indexed", "configuration": {"chunk_shape": [3, 4, 4], "codecs": ["bytes"], "index_codecs": ["bytes"]}}


def v3(**changes):
    meta = {
        "zarr_format": 3, "node_type": "array", "shape": [8, 8, 4], "data_type": "float32",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [4, 4, 4]}},
        "chunk_key_encoding": {"name": "default"}, "fill_value": 0, "codecs": [{"name": "bytes"}, {"name": "zstd"}],
    }  # fmt: skip
    return meta | changes


def grid(*sizes, name="regular"):
    return {"chunk_grid": {"name": name, "configuration": {"chunk_shape": list(sizes)}}}


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"shape": [10**15, 8, 4]}, Kind.FILE_MALFORMED),
        ({"shape": [1e15, 8, 4]}, Kind.FILE_MALFORMED),
        ({"shape": [2**39, 2**39, 4]}, Kind.FILE_MALFORMED),
        ({"shape": [-8, 8, 4]}, Kind.FILE_MALFORMED),
        ({"shape": [8.0, 8, 4]}, Kind.FILE_MALFORMED),
        ({"shape": [True, 8, 4]}, Kind.FILE_MALFORMED),
        ({"shape": "8,8,4"}, Kind.FILE_MALFORMED),
        (grid(0, 4, 4), Kind.FILE_MALFORMED),
        (grid(-1, 4, 4), Kind.FILE_MALFORMED),
        (grid(4, 4), Kind.FILE_MALFORMED),
        (grid(4, 4, 4, name="rectangular"), Kind.FILE_MALFORMED),
        ({"chunk_grid": None}, Kind.FILE_MALFORMED),
        ({"chunk_key_encoding": {"name": "mine"}}, Kind.FILE_MALFORMED),
        ({"codecs": []}, Kind.FILE_MALFORMED),
        ({"codecs": [{"id": "bytes"}]}, Kind.FILE_MALFORMED),
        ({"codecs": [{"name": "numcodecs.pickle"}]}, Kind.CODEC_FAILED),
        ({"codecs": [{"name": "vlen-utf8"}]}, Kind.CODEC_FAILED),
        ({"codecs": [SHARDED]}, Kind.FILE_MALFORMED),
        ({"data_type": {"name": 7}}, Kind.FILE_MALFORMED),
        ({"dimension_names": ["y", "x"]}, Kind.FILE_MALFORMED),
        ({"attributes": []}, Kind.FILE_MALFORMED),
        ({"storage_transformers": [{"name": "x"}]}, Kind.FILE_MALFORMED),
        ({"magic": {"must_understand": True}}, Kind.FILE_MALFORMED),
        ({"node_type": "table"}, Kind.FILE_MALFORMED),
    ],
)
def test_v3_metadata_that_cannot_be_is_corrupt(changes, kind):
    with pytest.raises(Corrupt) as caught:
        array_v3(v3(**changes), "zarr.json")
    assert caught.value.kind is kind


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"dtype": "|O"}, Kind.CODEC_FAILED),
        ({"dtype": "|O", "filters": [{"id": "pickle"}]}, Kind.CODEC_FAILED),
        ({"filters": [{"id": "json2"}]}, Kind.CODEC_FAILED),
        ({"compressor": {"id": "imagecodecs_jpeg"}}, Kind.CODEC_FAILED),
        ({"compressor": "zstd?"}, Kind.CODEC_FAILED),
        ({"filters": {"id": "delta"}}, Kind.FILE_MALFORMED),
        ({"dtype": "<x4"}, Kind.FILE_MALFORMED),
        ({"chunks": [0, 4, 4]}, Kind.FILE_MALFORMED),
        ({"chunks": [4, 4]}, Kind.FILE_MALFORMED),
        ({"order": "Z"}, Kind.FILE_MALFORMED),
        ({"zarr_format": 1}, Kind.FILE_MALFORMED),
    ],
)
def test_v2_metadata_that_cannot_be_is_corrupt(changes, kind):
    with pytest.raises(Corrupt) as caught:
        array_v2(V2 | changes, {}, ".zarray")
    assert caught.value.kind is kind


def test_an_extension_that_may_be_ignored_is_ignored():
    assert array_v3(v3(note={"must_understand": False}), "zarr.json").shape == (8, 8, 4)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff", b'{"a":' * 500 + b"1" + b"}" * 500, b"[" * 100_000, b'{"a":' + b"1" * 5000 + b"}"])
def test_what_is_no_shallow_json_object_is_corrupt(text):
    with pytest.raises(Corrupt) as caught:
        load_object(text, "zarr.json")
    assert caught.value.kind is Kind.FILE_MALFORMED


def test_metadata_over_64_mib_is_not_parsed():
    with pytest.raises(Corrupt, match="bytes"):
        load_object(b" " * ((64 << 20) + 1), "zarr.json")


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("dtype", ["int8", "uint16", "int64", "float16", "float32", "float64", "bool", "complex64"])
def test_what_zarr_python_writes_is_understood(tmp_path, version, dtype):
    array = zarr.create_array(str(tmp_path), shape=(9, 7), chunks=(4, 3), dtype=dtype, zarr_format=version)
    if version == 3:
        found = array_v3(load_object((tmp_path / "zarr.json").read_bytes(), "a"), "a")
    else:
        found = array_v2(load_object((tmp_path / ".zarray").read_bytes(), "a"), {}, "a")
    assert (found.shape, found.dtype, found.chunks) == (array.shape, str(array.dtype), array.chunks)


def test_shards_and_chunks_are_told_apart(tmp_path):
    zarr.create_array(str(tmp_path), shape=(9, 8), chunks=(2, 2), shards=(4, 8), dtype="u1")
    found = array_v3(load_object((tmp_path / "zarr.json").read_bytes(), "a"), "a")
    assert (found.chunks, found.shards) == ((2, 2), (4, 8))


def test_the_spec_tells_shards_in_the_order_of_its_dims(tmp_path):
    zarr.create_array(str(tmp_path / "a.zarr"), shape=(6, 9, 8), chunks=(6, 3, 2), shards=(6, 9, 4), dtype="u1",
                      dimension_names=("band", "y", "x"))  # fmt: skip
    main = probe(tmp_path / "a.zarr").main
    assert (main.shape, main.chunks, main.shards) == ((9, 8, 6), (3, 2, 6), (9, 4, 6))


def probe(path, hints=None):
    return ZarrReader().probe(Source(str(path), path), hints or ReadHints())


def refused(path, kind, error=LakeCVError):
    with pytest.raises(error) as caught:
        probe(path)
    assert caught.value.kind is kind


def store(path, version=3):
    group = zarr.create_group(str(path), zarr_format=version)
    group.create_array("data", data=np.ones((4, 4, 3), "u2"))
    return path


def test_metadata_of_both_versions_in_one_folder_is_corrupt(tmp_path):
    (store(tmp_path / "a.zarr") / "data" / ".zarray").write_text(json.dumps(V2))
    refused(tmp_path / "a.zarr", Kind.FILE_MALFORMED, Corrupt)


def test_a_broken_member_makes_the_store_corrupt(tmp_path):
    (store(tmp_path / "a.zarr") / "data" / "zarr.json").write_text("<html>")
    refused(tmp_path / "a.zarr", Kind.FILE_MALFORMED, Corrupt)


def test_a_folder_without_metadata_is_corrupt(tmp_path):
    (tmp_path / "a.zarr").mkdir()
    refused(tmp_path / "a.zarr", Kind.FILE_MALFORMED, Corrupt)


def test_a_link_out_of_the_store_is_not_followed(tmp_path):
    other = store(tmp_path / "b.zarr")
    (store(tmp_path / "a.zarr") / "more").symlink_to(other / "data")
    refused(tmp_path / "a.zarr", Kind.LINK_ESCAPES, InvalidInput)


def test_a_chunk_that_cannot_be_decoded_is_corrupt(tmp_path):
    folder = store(tmp_path / "a.zarr")
    for chunk in (path for path in (folder / "data" / "c").rglob("*") if path.is_file()):
        chunk.write_bytes(b"junk")
    cube = ZarrReader().read(Source("a", folder), ReadHints())
    with pytest.raises(Corrupt) as caught:
        cube["data"].load()
    assert caught.value.kind is Kind.CODEC_FAILED


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.filterwarnings("ignore")
def test_what_xarray_writes_brings_its_axis_pixels_and_dims(tmp_path, version):
    data = xr.DataArray(
        np.arange(60.0).reshape(5, 4, 3), dims=("band", "lat", "lon"),
        coords={"band": ("band", [450.0, 550, 650, 700, 800], {"units": "nanometers"}),
                "lat": ("lat", [0.0, 2, 4, 6], {"units": "m"}), "lon": ("lon", [0.0, 3, 6], {"units": "m"})},
    )  # fmt: skip
    xr.Dataset({"radiance": data}).to_zarr(tmp_path / "a.zarr", zarr_format=version, consolidated=False)
    spec = probe(tmp_path / "a.zarr")
    assert (spec.axis.quantity, spec.axis.unit, spec.axis.values) == (Quantity.WAVELENGTH, "nm", (450.0, 550, 650, 700, 800))
    assert (spec.main.name, spec.main.shape, spec.grid.pixel_size, spec.grid.pixel_unit) == ("radiance", (4, 3, 5), (2.0, 3.0), "m")


def test_lakecvs_own_axis_and_the_arrays_beside_the_cube_are_kept(tmp_path):
    group = zarr.create_group(str(tmp_path / "a.zarr"))
    for name, shape in {"data": (4, 5, 3), "variance": (4, 5, 3), "height": (4, 5), "elsewhere": (4, 6)}.items():
        group.create_array(name, data=np.ones(shape, "f4"), dimension_names=("y", "x", "spectral")[: len(shape)])
    group.create_array("spectral", data=np.arange(3.0), dimension_names=("spectral",)).attrs.update(quantity="energy", unit="keV")
    spec = probe(tmp_path / "a.zarr")
    assert [(item.name, str(item.role)) for item in spec.arrays] == [("data", "data"), ("height", "auxiliary"), ("variance", "variance")]
    assert spec.axis.label == "energy [keV]"
