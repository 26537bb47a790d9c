"""Ripple pairs, written by hand as Lispix and HyperSpy write them, are read as they were meant."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
from lakecv_plugins.formats.ripple import RippleReader

from lakecv.cube import Quantity
from lakecv.errors import Corrupt, Kind, LakeCVError
from lakecv.ports import ReadHints, Source
from lakecv.testing.readers import ReaderContract

CUBE = (np.arange(7 * 5 * 4).reshape(7, 5, 4) * 3 + 1).astype("uint16")
NAMES = {"u": "unsigned", "i": "signed", "f": "float"}


def written(folder, cube=CUBE, record="vector", order="<", head=b"", **more):
    """A pair: the header names columns, sizes and types; what is given as None is left out of it."""
    values = cube if record == "vector" else cube.transpose(2, 0, 1)
    (folder / "a.raw").write_bytes(head + values.astype(cube.dtype.newbyteorder(order)).tobytes())
    entries = {
        "width": 5, "height": 7, "depth": cube.shape[2], "offset": len(head), "data-length": cube.dtype.itemsize,
        "data-type": NAMES[cube.dtype.kind], "byte-order": {"<": "little-endian", ">": "big-endian"}[order], "record-by": record,
    } | {key.replace("_", "-"): value for key, value in more.items()}  # fmt: skip
    lines = [f"{key}\t{value}" for key, value in entries.items() if value is not None]
    (folder / "a.rpl").write_text("key\tvalue\n; a comment\n" + "\n".join(lines) + "\n")
    return Source(str(folder / "a.rpl"), folder / "a.rpl")


def opened(source, **hints):
    reader, said = RippleReader(), ReadHints(**hints)
    return reader.probe(source, said), reader.read(source, said)


def refused(source, kind):
    with pytest.raises(Corrupt) as caught:
        opened(source)
    assert caught.value.kind is kind
    return str(caught.value)


class TestRipple(ReaderContract):
    @pytest.fixture
    def reader(self):
        return RippleReader()

    @pytest.fixture(params=["u1", "u2", "i4", "f4", "f8"])
    def truth(self, request):
        return {"data": CUBE.astype(request.param)}

    @pytest.fixture(params=["vector", "image"])
    def source(self, tmp_path, truth, request):
        return written(tmp_path, truth["data"], request.param)


class TestRippleBigEndianGivenByItsRawFile(TestRipple):
    @pytest.fixture
    def source(self, tmp_path, truth):
        written(tmp_path, truth["data"], "vector", ">", b"offset")
        return Source("a.raw", tmp_path / "a.raw")


def test_energies_per_channel_are_the_axis(tmp_path):
    axis = opened(written(tmp_path, ev_per_chan=10, depth_origin=-96.0))[0].axis
    assert (axis.quantity, axis.unit, axis.coordinates) == (Quantity.ENERGY, "eV", (-96.0, -86.0, -76.0, -66.0))


def test_the_scale_of_the_depth_goes_before_energies_per_channel(tmp_path):
    axis = opened(written(tmp_path, ev_per_chan=10, depth_scale=0.01, depth_origin=0.5, depth_units="keV"))[0].axis
    np.testing.assert_allclose(axis.coordinates, [0.5, 0.51, 0.52, 0.53])
    assert axis.unit == "keV"


def test_pixels_have_a_size_where_both_sides_have(tmp_path):
    sides = {"height_scale": 0.5, "width_scale": 0.25, "height_units": "um", "width_units": "µm"}
    grid = opened(written(tmp_path, **sides))[0].grid
    assert (grid.pixel_size, grid.pixel_unit) == ((0.5, 0.25), "um")


def test_a_byte_order_that_is_not_told_is_said(tmp_path):
    _spec, cube = opened(written(tmp_path, byte_order="dont-care"))
    assert cube.attrs["notes"] == ["'a.rpl' does not tell the byte order; little-endian is taken"]
    np.testing.assert_array_equal(cube["data"].values, CUBE)


def test_a_byte_order_that_makes_no_sense_is_said(tmp_path):
    smooth = np.random.default_rng(0).normal(1000.0, 30.0, (7, 5, 40)).astype("u2")
    [note] = opened(written(tmp_path, smooth, byte_order="big-endian"))[1].attrs["notes"]
    assert "usual as little-endian" in note


@pytest.mark.parametrize("gone", ["a.raw", "a.rpl"])
def test_one_file_of_two_is_refused(tmp_path, gone):
    source = written(tmp_path)
    (tmp_path / gone).unlink()
    left = source.path if gone == "a.raw" else tmp_path / "a.raw"
    assert f"'{gone}' is not beside it" in refused(Source(str(left), left), Kind.FILE_MALFORMED)


@pytest.mark.parametrize("percent", [0, 10, 50, 99])
def test_a_raw_file_that_is_cut_off_is_corrupt(tmp_path, percent):
    source, raw = written(tmp_path), tmp_path / "a.raw"
    raw.write_bytes(raw.read_bytes()[: CUBE.nbytes * percent // 100])
    assert "promises 280 (0 + 7 x 5 x 4 x 2)" in refused(source, Kind.SHORT_READ)


def test_a_raw_file_that_is_too_long_is_corrupt(tmp_path):
    source = written(tmp_path)
    (tmp_path / "a.raw").write_bytes(bytes(CUBE.nbytes + 1))
    refused(source, Kind.FILE_MALFORMED)


@pytest.mark.parametrize(
    "wrong",
    [{"width": None}, {"width": "five"}, {"height": -7}, {"depth": "inf"}, {"data_length": 3}, {"data_type": "complex"},
     {"byte_order": "middle"}, {"record_by": "dont-care"}, {"ev_per_chan": "ten"}, {"depth_scale": "nan"}],
    ids=str,
)  # fmt: skip
def test_a_header_that_is_wrong_is_refused(tmp_path, wrong):
    refused(written(tmp_path, **wrong), Kind.FILE_MALFORMED)


def test_a_picture_may_be_recorded_in_any_way(tmp_path):
    cube = opened(written(tmp_path, CUBE[:, :, :1], record_by="dont-care"))[1]
    np.testing.assert_array_equal(cube["data"].values, CUBE[:, :, :1])


@pytest.mark.parametrize("content", [b"", b"<html>404</html>"])
def test_a_header_that_is_none_is_refused(tmp_path, content):
    source = written(tmp_path)
    source.path.write_bytes(content)
    refused(source, Kind.FILE_MALFORMED)


def test_changed_bytes_of_the_header_end_in_a_named_error_or_in_an_array(tmp_path):
    source, random = written(tmp_path, ev_per_chan=10, depth_units="eV"), np.random.default_rng(1)
    good = source.path.read_bytes()
    for _round in range(200):
        data = bytearray(good)
        for place in random.integers(0, len(data), 3):
            data[place] = random.integers(256)
        source.path.write_bytes(data)
        with suppress(LakeCVError):
            assert opened(source)[1]["data"].values.ndim > 1
