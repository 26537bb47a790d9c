"""Peaks, held against scipy and against spectra whose peaks are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.signal import find_peaks as scipy_peaks
from scipy.signal import peak_prominences

from lakecv.numerics.peaks import find_peaks, prominences


@given(arrays(np.float64, st.integers(3, 60), elements=st.integers(0, 30).map(float), unique=False))
def test_prominences_are_those_of_scipy(spectrum):
    peaks, _ = scipy_peaks(spectrum)
    np.testing.assert_array_equal(prominences(spectrum, peaks), peak_prominences(spectrum, peaks)[0])


@pytest.mark.parametrize("seed", range(5))
def test_lines_are_found_and_noise_is_not(seed):
    channel, lines = np.arange(1000), (120, 300, 330, 700)
    expected = 40 + sum(800 * np.exp(-0.5 * ((channel - line) / 8) ** 2) for line in lines)
    found = find_peaks(np.random.default_rng(seed).poisson(expected * 50) / 50)
    assert len(found) == len(lines)
    assert np.abs(np.sort(found) - lines).max() <= 3


def test_a_flat_or_tiny_spectrum_has_no_peak():
    assert find_peaks(np.full(100, 3.0)).size == find_peaks(np.array([1.0, 2.0])).size == 0
