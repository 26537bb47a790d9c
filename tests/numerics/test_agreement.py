"""Scores of label maps, held against scikit-learn and scipy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linear_sum_assignment
from sklearn import metrics

from lakecv.errors import InvalidInput
from lakecv.numerics.agreement import agreement, assign


@given(st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(lambda shape: arrays(np.int64, shape, elements=st.integers(-20, 50))))
def test_no_other_match_costs_less(cost):
    match = assign(cost)
    rows = np.flatnonzero(match >= 0)
    assert len({*match[rows]}) == len(rows) == min(cost.shape)
    best = linear_sum_assignment(cost)
    assert cost[rows, match[rows]].sum() == cost[best].sum()


labels = st.integers(1, 200).flatmap(lambda n: st.tuples(*(arrays(np.int64, n, elements=st.integers(0, most)) for most in (5, 7))))


@given(labels)
def test_scores_are_those_of_scikit_learn(pair):
    a, b = pair
    found = agreement(a, b)
    assert found.nmi == pytest.approx(metrics.normalized_mutual_info_score(b, a), abs=1e-9)
    assert found.ari == pytest.approx(metrics.adjusted_rand_score(b, a), abs=1e-9)
    names = {row: found.columns[at] if at >= 0 else 1000 + row for row, at in zip(found.rows, found.match, strict=True)}
    renamed = np.array([names[label] for label in a])
    assert found.oa == pytest.approx(metrics.accuracy_score(b, renamed))
    if len({*b, *renamed}) > 1:
        assert found.kappa == pytest.approx(metrics.cohen_kappa_score(b, renamed), abs=1e-9)
    assert found.counts.sum() == len(a)


def test_labels_in_no_pixel_cannot_be_compared():
    with pytest.raises(InvalidInput):
        agreement(np.zeros(0, int), np.zeros(0, int))
