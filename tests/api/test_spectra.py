"""Mean and sum spectrum of a dataset and of its parts, held against numpy."""

import numpy as np
import pytest

from lakecv.api import Lake
from lakecv.api.spectra import _lines_at
from lakecv.errors import LakeCVError
from lakecv.ports import ReadHints
from lakecv.report.spectrum import write_spectrum


@pytest.fixture(scope="module")
def counts():
    energy = 0.02 * np.arange(400)
    shape = 2 + sum(height * np.exp(-0.5 * ((energy - line) / 0.07) ** 2) for line, height in ((3.69, 60), (6.40, 200)))
    return np.random.default_rng(3).poisson(shape, (90, 70, 400)).astype("uint16")


@pytest.fixture(scope="module")
def lake(tmp_path_factory, counts):
    folder = tmp_path_factory.mktemp("spectra")
    np.save(folder / "cube.npy", counts)
    mask = np.zeros((90, 70), "uint8")
    mask[5:60, 66:] = 1
    np.save(folder / "mask.npy", mask)
    np.save(folder / "flat.npy", mask)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        lake = Lake(folder / "lake", scope="xrf")
        lake.register("cube.npy", "xrf:scan", hints=ReadHints(dims="y,x,spectral", axis="energy:keV:0.0:0.02"))
        lake.register("flat.npy", "xrf:flat", hints=ReadHints(dims="y,x"))
        yield lake


def test_the_whole_is_known_and_nothing_is_read(lake, counts, monkeypatch):
    monkeypatch.setattr("lakecv.api.spectra.open_array", None)
    found = lake.spectrum("xrf:scan")
    np.testing.assert_allclose(found.mean, counts.mean(axis=(0, 1)), rtol=1e-12)
    assert (found.npixels, found.part) == (90 * 70, ())


def test_a_part_is_added_up(lake, counts):
    found = lake.spectrum("xrf:scan", window="3:80,5:70", mask="mask.npy", axis=["1:7keV"])
    expected = counts[5:60, 66:, 50:351].reshape(-1, 301)
    np.testing.assert_allclose(found.total, expected.sum(axis=0), rtol=1e-12)
    assert found.npixels == len(expected)
    assert found.axis.coordinates[0] == pytest.approx(1.0)


def test_peaks_are_named_by_the_lines_near_them(lake):
    pytest.importorskip("xraydb")
    found = {peak.lines[0]: peak.position for peak in lake.spectrum("xrf:scan").peaks}
    assert found == {"Ca Ka": pytest.approx(3.69, abs=0.05), "Fe Ka": pytest.approx(6.40, abs=0.05)}


def test_common_elements_go_before_rare_ones_and_energies_are_those_of_the_tables():
    xraydb = pytest.importorskip("xraydb")
    assert _lines_at(xraydb.xray_line("Pb", "La1").energy / 1e3)[:2] == ("Pb La", "As Ka")
    assert _lines_at(xraydb.xray_line("Tb", "La1").energy / 1e3)[0] == "Fe Ka"
    assert _lines_at(100.0) == ()


def test_a_table_reads_back_as_the_same_numbers(lake, tmp_path):
    found = lake.spectrum("xrf:scan")
    path = write_spectrum(found, tmp_path / "a.csv")
    read = np.loadtxt(path, delimiter=",", skiprows=2)
    np.testing.assert_array_equal(read, np.stack([found.axis.coordinates, found.mean, found.total], axis=1))
    with pytest.raises(LakeCVError, match="exists"):
        write_spectrum(found, path)


def test_a_picture_is_a_png(lake, tmp_path):
    assert write_spectrum(lake.spectrum("xrf:scan"), tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("did", "part", "words"), [
    ("xrf:flat", {}, "has no spectral axis"), ("xrf:scan", {"window": "0:1,0:999"}, "the image has columns"),
])
def test_what_has_no_spectrum_is_told(lake, did, part, words):
    with pytest.raises(LakeCVError, match=words):
        lake.spectrum(did, **part)


def test_an_ending_that_is_no_format_is_told(lake, tmp_path):
    with pytest.raises(LakeCVError, match=r"a\.txt"):
        write_spectrum(lake.spectrum("xrf:scan"), tmp_path / "a.txt")
    assert list(tmp_path.iterdir()) == []
