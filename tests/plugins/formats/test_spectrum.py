"""Spectra in the six forms that laboratories write are read with their energies, and refused where numbers are missing."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from lakecv_plugins.formats.spectrum import SpectrumReader

from lakecv.cube import Quantity
from lakecv.errors import Corrupt, InvalidInput, Kind, LakeCVError
from lakecv.ports import ReadHints, Source
from lakecv.testing.readers import ReaderContract

DATA = Path(__file__).parents[4] / "shared" / "data" / "xrf" / "spectra"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the folder ../shared/data is not here")

AMPTEK = "<<PMCA SPECTRUM>>\nTAG - live_data\nGAIN - 2\nREAL_TIME - 30.5\n<<CALIBRATION>>\nLABEL - Channel\n1 0.25\n3 0.75\n<<DATA>>\n3\n0\n9\n27\n<<END>>\n"
IAEA = "$SPEC_ID:\nglass\n$MEAS_TIM:\n30 31\n$DATA:\n0 3\n 3. 0.\n 9. 27.\n$ENER_FIT:\n0.5 0.25\n"
EPICS = (
    "VERSION:    3.1\nELEMENTS:   2\nCHANNELS:   4\nCAL_OFFSET: 0.5 0.0\nCAL_SLOPE: 0.25 0.5\nCAL_QUAD: 0 0.125\n"
    'ENVIRONMENT: a="1" (b)\nDATA: \n 3 1\n 0 2\n 9 3\n 27 4\n'
)
SPEC = (
    "#F a.mca\n#D Sat Nov 21\n\n#S 1 ascan\n#@MCA %16C\n#@CHANN 4 0 3 1\n#@CALIB 0.5 0.25 0\n@A 3 0\\\n 9 27\n"
    "#S 2 ascan\n#@CHANN 4 0 3 1\n#@CALIB 0.5 0.25 0\n@A 4 0 9.5 27\n@A 5 0 9 27\n"
)
EMSA = (
    "#FORMAT      : EMSA/MAS Spectral Data File\n#VERSION     : 1.0\n#NPOINTS     : 4.\n#XUNITS      : keV\n#DATATYPE    : Y\n"
    "#XPERCHAN    : 0.25\n#OFFSET      : 0.5\n#ELEVANGLE-dg: 35.0\n#SPECTRUM    : Spectral Data Starts Here\n3.0, 0.0\n9.0, 27.0\n"
    "#ENDOFDATA   : \n"
)
PAIRS = EMSA.replace(": Y", ": XY").replace("3.0, 0.0\n9.0, 27.0", "0.5 3\n0.75 0\n1.0 9\n1.25 27")
TEXTS = {"amptek.mca": AMPTEK, "iaea.spe": IAEA, "emsa.msa": EMSA, "pairs.msa": PAIRS, "column.mca": "# one\n# two\n3.0\n0.0\n9.0\n27.0\n"}
COUNTS = np.array([[[3, 0, 9, 27]]], "int32")


def placed(folder, text, name="a.mca"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return Source(str(path), path)


def opened(source, **hints):
    reader, said = SpectrumReader(), ReadHints(**hints)
    return reader.probe(source, said), reader.read(source, said)


def refused(source, kind):
    with pytest.raises(Corrupt) as caught:
        opened(source)
    assert caught.value.kind is kind
    return str(caught.value)


class TestSpectrum(ReaderContract):
    @pytest.fixture
    def reader(self):
        return SpectrumReader()

    @pytest.fixture
    def truth(self):
        return {"data": COUNTS}

    @pytest.fixture(params=TEXTS)
    def source(self, tmp_path, request):
        return placed(tmp_path, TEXTS[request.param], request.param)

    def test_single_pixels_steps_and_reversed_rows_equal_the_truth(self, cube, truth):
        for name, expected in truth.items():
            np.testing.assert_array_equal(cube[name][-1, 0].values, expected[-1, 0])
            np.testing.assert_array_equal(cube[name][::-1, ::2].values, expected[::-1, ::2])


class TestSpecHasARowPerSpectrum(TestSpectrum):
    @pytest.fixture
    def truth(self):
        return {"data": np.array([[[3, 0, 9, 27]], [[4, 0, 9.5, 27]], [[5, 0, 9, 27]]])}

    @pytest.fixture
    def source(self, tmp_path):
        return placed(tmp_path, SPEC)


class TestEpicsHasAnArrayPerDetector(TestSpectrum):
    @pytest.fixture
    def hints(self):
        return ReadHints(detector="all")

    @pytest.fixture
    def truth(self):
        return {"mca1": COUNTS, "mca2": np.array([[[1, 2, 3, 4]]], "int32")}

    @pytest.fixture
    def source(self, tmp_path):
        return placed(tmp_path, EPICS)


@pytest.mark.parametrize("name", ["iaea.spe", "emsa.msa", "pairs.msa"])
def test_energies_are_the_axis(tmp_path, name):
    axis = opened(placed(tmp_path, TEXTS[name], name))[0].axis
    assert (axis.quantity, axis.unit) == (Quantity.ENERGY, "keV")
    np.testing.assert_allclose(axis.coordinates, [0.5, 0.75, 1.0, 1.25])


def test_the_points_of_amptek_are_fitted_by_a_line(tmp_path):
    np.testing.assert_allclose(opened(placed(tmp_path, AMPTEK))[0].axis.coordinates, [0.0, 0.25, 0.5, 0.75], atol=1e-12)
    assert opened(placed(tmp_path, AMPTEK.replace("3 0.75\n", "")))[0].axis.quantity is Quantity.CHANNEL


def test_the_unit_of_an_iaea_calibration_is_kept(tmp_path):
    text = IAEA.replace("$ENER_FIT:\n0.5 0.25\n", "$MCA_CAL:\n3\n500 250 10 eV\n")
    axis = opened(placed(tmp_path, text, "a.spe"))[0].axis
    assert (axis.unit, axis.coordinates) == ("eV", (500.0, 760.0, 1040.0, 1340.0))


def test_spec_calibrations_that_differ_are_said(tmp_path):
    assert opened(placed(tmp_path, SPEC))[0].axis.coordinates == (0.5, 0.75, 1.0, 1.25)
    spec, cube = opened(placed(tmp_path, SPEC.replace("0.5 0.25 0\n@A 4", "0.6 0.25 0\n@A 4")))
    assert spec.axis.quantity is Quantity.CHANNEL
    assert cube.attrs["notes"] == ["the spectra have 2 calibrations; channels are numbered instead"]


def test_detectors_of_epics_have_their_own_energies(tmp_path):
    source = placed(tmp_path, EPICS)
    np.testing.assert_allclose(opened(source, detector="mca2")[0].axis.coordinates, [0.0, 0.625, 1.5, 2.625])
    with pytest.raises(InvalidInput) as caught:
        opened(source)
    assert "--detector mca1|mca2, sum or all" in caught.value.hint
    _spec, total = opened(source, detector="sum")
    assert total["data"].values.tolist() == [[[4, 2, 12, 31]]]
    assert "calibrated differently" in total.attrs["notes"][0]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (AMPTEK.replace("<<END>>\n", ""), Kind.SHORT_READ),
        (AMPTEK.replace("\n9\n", "\nnine\n"), Kind.FILE_MALFORMED),
        (IAEA.replace(" 27.", ""), Kind.SHORT_READ),
        ("$SPEC_ID:\n", Kind.SHORT_READ),
        (EPICS.replace(" 27 4\n", " 27"), Kind.SHORT_READ),
        (EPICS.partition("DATA:")[0], Kind.SHORT_READ),
        (SPEC.replace(" 9 27\n#S 2", "\n#S 2"), Kind.SHORT_READ),
        ("#F a\n#S 1 b\n", Kind.SHORT_READ),
        (EMSA.partition("#ENDOFDATA")[0], Kind.SHORT_READ),
        (EMSA.replace(" 27.0", ""), Kind.SHORT_READ),
        ("# comments only\n", Kind.SHORT_READ),
        ("1 2\n3 4\n", Kind.FILE_MALFORMED),
        ("1\n2\nthree\n", Kind.FILE_MALFORMED),
        ("<html>404</html>", Kind.FILE_MALFORMED),
        (b"\x89PNG\0\1\2", Kind.FILE_MALFORMED),
        ("", Kind.FILE_MALFORMED),
    ],
)
def test_texts_without_all_their_numbers_are_refused(tmp_path, text, kind):
    refused(placed(tmp_path, text), kind)


@pytest.mark.parametrize("percent", [10, 50, 90])
@pytest.mark.parametrize("text", [AMPTEK, IAEA.partition("$ENER")[0], EPICS, EMSA, PAIRS], ids=["amptek", "iaea", "epics", "emsa", "pairs"])
def test_a_file_that_is_cut_off_is_corrupt(tmp_path, text, percent):
    with pytest.raises(Corrupt):
        opened(placed(tmp_path, text[: len(text) * percent // 100]), detector=None if text is not EPICS else "all")


@pytest.mark.parametrize("text", [*TEXTS.values(), SPEC, EPICS])
def test_changed_bytes_end_in_a_named_error_or_in_an_array(tmp_path, text):
    random = np.random.default_rng(1)
    for _round in range(100):
        data = bytearray(text.encode())
        for place in random.integers(0, len(data), 3):
            data[place] = random.integers(256)
        with suppress(LakeCVError):
            assert opened(placed(tmp_path, bytes(data)))[1]["data"].values.ndim == 3


@needs_data
def test_a_real_steel_spectrum_has_its_iron_line():
    """The counts are those that follow ``0 2047``, eight in a line."""
    spec, cube = opened(Source("steel", DATA / "pymca_Steel.spe"))
    lines = (DATA / "pymca_Steel.spe").read_text().splitlines()
    expected = [float(number) for line in lines[4:] for number in line.split()][:2048]
    assert (spec.main.shape, cube["data"].values.ravel().tolist()) == ((1, 1, 2048), expected)


@needs_data
def test_a_real_glass_standard_has_four_detectors_with_their_energies():
    path = DATA / "larch_srm1832.mca"
    skipped = path.read_text().splitlines().index("DATA: ") + 1
    expected = np.loadtxt(path, skiprows=skipped, dtype="int32")
    spec, cube = opened(Source("glass", path), detector="all")
    assert [item.name for item in spec.arrays] == ["mca1", "mca2", "mca3", "mca4"]
    for place, name in enumerate(cube.data_vars):
        np.testing.assert_array_equal(cube[name].values[0, 0], expected[:, place])
    assert (spec.axis.start, spec.axis.step, spec.axis.unit) == (-1.068655e-02, 1.465549e-02, "keV")


@needs_data
def test_a_real_column_of_numbers_is_a_spectrum():
    path = DATA / "pymca_XRFSpectrum.mca"
    cube = opened(Source("tutorial", path))[1]
    np.testing.assert_array_equal(cube["data"].values[0, 0], np.loadtxt(path))
    assert "energies" in cube.attrs["notes"][0]
