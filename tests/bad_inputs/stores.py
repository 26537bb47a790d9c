"""Zarr stores that somebody damaged or forged."""

import json

import numpy as np
import zarr

from tests.bad_inputs.paths import store
from tests.bad_inputs.situation import cube

V2 = {"zarr_format": 2, "shape": [12, 10, 8], "chunks": [6, 5, 8], "dtype": "<u2", "compressor": None, "filters": None, "fill_value": 0,
      "order": "C"}  # fmt: skip


def no_json(place, what):
    """A zarr.json that is no JSON object of a reasonable size."""
    path = store(place)
    document = path / "data" / "zarr.json"
    if what == "text":
        document.write_text("<html>")
    elif what == "huge":
        with document.open("wb") as file:
            file.truncate(100_000_000)
    else:
        document.write_text('{"a":' * 10_000 + "1" + "}" * 10_000)
    return path


def altered(place, **changes):
    """A store whose array's metadata was changed."""
    path = store(place)
    document = path / "data" / "zarr.json"
    document.write_text(json.dumps(json.loads(document.read_text()) | changes))
    return path


def codec(place, name):
    return altered(place, codecs=[{"name": "bytes", "configuration": {"endian": "little"}}, {"name": name, "configuration": {}}])


def pickled(place):
    """A version 2 store that asks for its chunks to be unpickled."""
    path = place.folder / "pickled.zarr"
    path.mkdir()
    (path / ".zarray").write_text(json.dumps(V2 | {"dtype": "|O", "filters": [{"id": "pickle"}]}))
    return path


def shape(place, text):
    return altered(place, shape=json.loads(text))


def chunks(place, text):
    return altered(place, chunk_grid={"name": "regular", "configuration": {"chunk_shape": json.loads(text)}})


def hole(place):
    """One chunk of four was never written."""
    path = store(place)
    (path / "data" / "c" / "1" / "1" / "0").unlink()
    return path


def lost_chunk(place):
    """A store registered in place; then one of its chunks is deleted."""
    path = store(place)
    place.open().register(path, "museo:lost", in_place=True)
    place.changes_lake = True
    (path / "data" / "c" / "1" / "1" / "0").unlink()
    return path


def wrong_size(place, change):
    """Uncompressed chunks, one of them 100 bytes too short or too long."""
    path = place.folder / "sizes.zarr"
    zarr.create_array(str(path), data=cube(), chunks=(6, 5, 8), compressors=None, dimension_names=("y", "x", "band"))
    chunk = path / "c" / "1" / "1" / "0"
    data = chunk.read_bytes()
    chunk.write_bytes(data[:-100] if change == "short" else data + bytes(100))
    return path


def bomb(place):
    """A zstd frame of 65,536 blocks of one repeated byte each (RFC 8878, 3.1.1.2): small stored, huge unpacked."""
    path = place.folder / "bomb.zarr"
    zarr.create_array(str(path), data=cube(), chunks=(6, 5, 8), compressors=zarr.codecs.ZstdCodec(), dimension_names=("y", "x", "band"))
    blocks, size = 1 << 16, 1 << 17
    header = b"\x28\xb5\x2f\xfd\xe0" + (blocks * size).to_bytes(8, "little")
    body = [(size << 3 | 1 << 1 | (number == blocks - 1)).to_bytes(3, "little") + b"\0" for number in range(blocks)]
    (path / "c" / "0" / "0" / "0").write_bytes(header + b"".join(body))
    return path


def flipped_source(place):
    """A chunk with its own crc32c, one bit of it flipped."""
    path = place.folder / "crc.zarr"
    zarr.create_array(str(path), data=cube(), chunks=(6, 5, 8), compressors=zarr.codecs.Crc32cCodec(), dimension_names=("y", "x", "band"))
    flip(path / "c" / "1" / "0" / "0")
    return path


def flipped_object(place):
    """One bit of a registered dataset's shard flipped."""
    home = place.open().show("museo:tavola").home
    flip(next(path for path in (place.lake / home / "data" / "c").rglob("*") if path.is_file()))


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def both_versions(place):
    path = store(place)
    (path / "data" / ".zarray").write_text(json.dumps(V2))
    return path


def beside(place, name, text):
    """A coordinate reference system that is missing, no CRS at all, or in degrees where the pixels are in metres."""
    path = place.folder / "map.zarr"
    group = zarr.create_group(str(path))
    data = group.create_array("data", data=cube(), dimension_names=("y", "x", "band"))
    data.attrs["grid_mapping"] = "spatial_ref"
    for name_, size in (("y", 12), ("x", 10)):
        line = group.create_array(name_, data=np.arange(size) * 30.0, dimension_names=(name_,))
        line.attrs["units"] = "m"
    if name != "missing":
        group.create_array("spatial_ref", data=np.array(0)).attrs["crs_wkt"] = text
    return path


def nodata_inside(place):
    """A no-data value that ordinary samples have, too."""
    path = place.folder / "nodata.zarr"
    array = zarr.create_array(str(path), data=cube(), dimension_names=("y", "x", "band"))
    array.attrs["nodata"] = int(np.median(cube()))
    return path
