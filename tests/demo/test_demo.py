"""The painted panel and its scan: deterministic, and as hard as it is meant to be."""

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score

from lakecv.demo.lines import LINES
from lakecv.demo.paint import MATERIALS, PIGMENTS, paint
from lakecv.demo.scan import AXIS, scan


@pytest.fixture(scope="module")
def painting():
    return paint()


@pytest.fixture(scope="module")
def cube(painting):
    return scan(painting)


def test_the_panel_has_six_pigments_and_a_ground(painting):
    assert painting.rgb.shape == (120, 160, 3)
    assert painting.names == PIGMENTS
    assert np.bincount(painting.pigments.ravel()).min() > 300
    assert len(np.unique(painting.pigments)) == len(PIGMENTS) == 7


def test_a_label_is_the_dominant_pigment_and_a_glaze_is_none(painting):
    assert np.array_equal(painting.abundance[..., :7].argmax(-1), painting.pigments)
    assert np.allclose(painting.abundance.sum(-1), 1.0, atol=1e-5)
    glazed = painting.abundance[..., MATERIALS.index("copper green glaze")] > 0.05
    yellow = PIGMENTS.index("lead-tin yellow")
    assert (painting.pigments[glazed] == yellow).mean() > 0.8


def test_the_same_seed_paints_and_scans_the_same(painting, cube):
    again = paint()
    assert np.array_equal(again.rgb, painting.rgb)
    assert np.array_equal(scan(again), cube)


def test_another_seed_counts_other_photons(painting, cube):
    assert not np.array_equal(scan(painting, seed=1), cube)


def test_a_pixel_holds_some_hundred_counts(cube):
    assert (cube.shape, cube.dtype) == ((120, 160, AXIS.size), np.uint16)
    totals = cube.sum(axis=-1)
    assert totals.min() > 300
    assert totals.max() < 1500


@pytest.mark.parametrize(("pigment", "element"), [("azurite", "Cu"), ("vermilion", "Hg"), ("titanium white", "Ti"), ("umber", "Fe")])
def test_the_strongest_line_of_a_pigment_is_its_element(painting, cube, pigment, element):
    where = painting.abundance[..., PIGMENTS.index(pigment)] > 0.9
    peak = AXIS.coordinates[int(cube[where].sum(axis=0).argmax())]
    assert peak == pytest.approx(LINES[element][0][0], abs=0.06)


def test_clusters_of_the_scan_agree_with_the_pigments_but_not_wholly(painting, cube):
    roots = np.sqrt(cube.reshape(-1, AXIS.size).astype(np.float32))
    scores = PCA(8, random_state=0).fit_transform(roots)
    labels = KMeans(len(PIGMENTS), n_init=4, random_state=0).fit_predict(scores)
    assert 0.90 < adjusted_rand_score(painting.pigments.ravel(), labels) < 0.99
