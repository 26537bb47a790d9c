"""EPICS MDA scans are read as they were meant: raster, detectors, energies, and what an aborted scan left out."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from lakecv_plugins.formats.mda import MdaReader

from lakecv.cube import Quantity
from lakecv.errors import Corrupt, InvalidInput, Kind, NotFound
from lakecv.ports import ReadHints, Source
from lakecv.testing.readers import ReaderContract
from tests.plugins.formats.mda_writer import mda

DATA = Path(__file__).parents[4] / "shared" / "data" / "xrf" / "aps_2IDE"
CUBES = {f"mca{n}": (np.arange(7 * 5 * 4).reshape(7, 5, 4) + n).astype("float32") for n in (1, 2, 3)}
CALIBRATED = {"mca1.CALO": 0.05, "mca1.CALS": 0.01, "mca2.CALO": 0.05, "mca2.CALS": 0.02, "mca2.CALQ": 0.001}


def placed(folder, *args, **more):
    path = folder / "a.mda"
    path.write_bytes(mda(*args, **more))
    return Source(str(path), path)


def opened(source, **hints):
    reader, said = MdaReader(), ReadHints(**hints)
    return reader.probe(source, said), reader.read(source, said)


class TestMda(ReaderContract):
    @pytest.fixture
    def reader(self):
        return MdaReader()

    @pytest.fixture(params=["mca2", "sum", "all"])
    def detector(self, request):
        return request.param

    @pytest.fixture
    def hints(self, detector):
        return ReadHints(detector=detector)

    @pytest.fixture
    def truth(self, detector):
        return {"mca2": {"data": CUBES["mca2"]}, "sum": {"data": sum(CUBES.values()).astype("float64")}, "all": CUBES}[detector]

    @pytest.fixture
    def source(self, tmp_path):
        return placed(tmp_path, CUBES)


def test_energies_come_from_the_records_of_each_detector(tmp_path):
    source = placed(tmp_path, CUBES, calibration=CALIBRATED)
    linear, bent, none = (opened(source, detector=name)[0].axis for name in CUBES)
    np.testing.assert_allclose(linear.coordinates, [0.05, 0.06, 0.07, 0.08])
    np.testing.assert_allclose(bent.coordinates, [0.05, 0.071, 0.094, 0.119])
    assert (linear.quantity, linear.unit, none.quantity) == (Quantity.ENERGY, "keV", Quantity.CHANNEL)


def test_detectors_that_are_calibrated_differently_are_said(tmp_path):
    source = placed(tmp_path, CUBES, calibration=CALIBRATED)
    [note] = opened(source, detector="sum")[1].attrs["notes"]
    assert "calibrated differently" in note
    assert opened(source, detector="mca1")[1].attrs["notes"] == []


def test_several_detectors_ask_for_one(tmp_path):
    with pytest.raises(InvalidInput) as caught:
        opened(placed(tmp_path, CUBES))
    assert (caught.value.kind, "--detector mca1|mca2|mca3, sum or all" in caught.value.hint) == (Kind.CUBE_AMBIGUOUS, True)
    with pytest.raises(NotFound):
        opened(placed(tmp_path, CUBES), detector="mca4")


def test_one_detector_needs_no_choice_and_pixels_have_a_size(tmp_path):
    spec, cube = opened(placed(tmp_path, {"mca1": CUBES["mca1"]}))
    assert (spec.grid.pixel_size, spec.grid.pixel_unit, spec.main.unit) == ((0.25, 0.5), "mm", "counts")
    np.testing.assert_array_equal(cube["data"].values, CUBES["mca1"])


def test_names_that_do_not_tell_detectors_apart_become_numbers(tmp_path):
    spec, _cube = opened(placed(tmp_path, {"a b": CUBES["mca1"], "c": CUBES["mca2"]}), detector="all")
    assert [item.name for item in spec.arrays] == ["D01", "D02"]


@pytest.mark.parametrize("reached", [1, 17, 30])
def test_points_that_were_never_reached_are_nan(tmp_path, reached):
    cube = opened(placed(tmp_path, CUBES, reached), detector="mca1")[1]
    expected = np.where(np.arange(35).reshape(7, 5, 1) < reached, CUBES["mca1"], np.nan)
    np.testing.assert_array_equal(cube["data"].values, expected)
    assert f"{35 - reached} of 35 points have no spectrum" in cube.attrs["notes"][0]


def test_a_scan_without_a_point_is_refused(tmp_path):
    with pytest.raises(Corrupt, match="stopped before its first point"):
        opened(placed(tmp_path, CUBES, 0))


def test_a_scan_of_another_rank_is_refused(tmp_path):
    path = tmp_path / "a.mda"
    path.write_bytes(struct.pack(">f6i", 1.3, 7, 2, 7, 5, 1, 0) + bytes(200))
    with pytest.raises(InvalidInput, match="rank 2") as caught:
        opened(Source(str(path), path))
    assert caught.value.kind is Kind.DIMS_AMBIGUOUS


def test_a_spectrum_that_differs_from_the_first_is_corrupt(tmp_path):
    source = placed(tmp_path, {"mca1": CUBES["mca1"]})
    data = source.path.read_bytes()
    last = data.rindex(struct.pack(">3i", 1, 4, 4))
    source.path.write_bytes(data[:last] + struct.pack(">3i", 1, 3, 3) + data[last + 12 :])
    with pytest.raises(Corrupt, match="differs from the first"):
        opened(source)[1]["data"].load()


@pytest.mark.skipif(not DATA.is_dir(), reason="the folder ../shared/data is not here")
@pytest.mark.parametrize("name", ["2xfm_0010.mda", "axo_std.mda"])
def test_a_real_scan_equals_its_bytes(name):
    """The real scans are regular: rows list their points, and every point has a header of 296 bytes and 4 x 2000 floats."""
    data = (DATA / name).read_bytes()
    spec, cube = opened(Source(name, DATA / name), detector="all")
    assert [(item.name, item.shape) for item in spec.arrays] == [(f"mca{n}", (11, 11, 2000)) for n in (1, 2, 3, 4)]
    rows = np.frombuffer(data, ">i4", 11, 44)
    points = np.array([np.frombuffer(data, ">i4", 11, row + 12) for row in rows])
    expected = np.array([[np.frombuffer(data, ">f4", 8000, point + 296).reshape(4, 2000) for point in line] for line in points])
    for number in range(4):
        np.testing.assert_array_equal(cube[f"mca{number + 1}"].values, expected[:, :, number])


@pytest.mark.skipif(not DATA.is_dir(), reason="the folder ../shared/data is not here")
def test_the_lines_of_the_axo_standard_lie_where_they_should():
    """Ca Ka 3.69, Fe Ka 6.40 and Cu Ka 8.05 keV (X-ray Data Booklet); the beamline's own calibration is good to two percent."""
    spec, cube = opened(Source("axo", DATA / "axo_std.mda"), detector="mca1")
    energy, total = np.array(spec.axis.coordinates), cube["data"].values.sum(axis=(0, 1))
    assert (spec.grid.pixel_size, spec.grid.pixel_unit) != (None, None)
    for line in (3.69, 6.40, 8.05):
        near = np.abs(energy - line) < 0.3
        assert abs(energy[near][total[near].argmax()] - line) < 0.02 * line
