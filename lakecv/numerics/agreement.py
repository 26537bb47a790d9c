"""How far two labellings of the same pixels agree, whatever their labels are called: one-to-one matching and scores.

Labels are matched so that as many pixels as possible agree (a linear assignment); accuracy and kappa are those of the match.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lakecv.errors import InvalidInput, Kind
from lakecv.numerics.scores import adjusted_rand_index

__all__ = ["Agreement", "agreement", "assign"]


@dataclass(frozen=True, slots=True, eq=False)
class Agreement:
    """Scores of a labelling against another.

    ``counts`` (rows, columns) int64 are pixels with a row's label of the first and a column's of the second; ``match`` gives each row's
    column, -1 = none.
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    counts: NDArray[np.int64]
    match: NDArray[np.int64]
    oa: float
    kappa: float
    nmi: float
    ari: float


def agreement(a: NDArray[np.integer], b: NDArray[np.integer]) -> Agreement:
    """Compare two labellings.

    Parameters
    ----------
    a, b : (n,) int
        Labels of the same pixels; leave out pixels without one.

    Returns
    -------
    Agreement
        ``oa`` is the part of pixels whose labels match, ``kappa`` Cohen's (1960) of the matched labels, ``nmi`` mutual information by the
        arithmetic mean of both entropies (Strehl and Ghosh 2002; 1 where both have one label), ``ari`` Hubert and Arabie's (1985).

    Raises
    ------
    InvalidInput
        If there is no pixel, or not the same number (kind ``shape-invalid``).

    Examples
    --------
    >>> found = agreement(np.array([0, 0, 1, 1, 1]), np.array([7, 7, 3, 3, 7]))
    >>> found.oa, found.match.tolist(), found.counts.tolist()
    (0.8, [1, 0], [[0, 2], [2, 1]])
    """
    if a.shape != b.shape or not a.size:
        raise InvalidInput(f"{a.size} labels cannot be compared with {b.size}", Kind.SHAPE_INVALID, "both need a label in the same pixels")
    (rows, row), (columns, column) = (np.unique(labels, return_inverse=True) for labels in (a, b))
    width = len(columns)
    counts = np.bincount(row.reshape(-1) * width + column.reshape(-1), minlength=len(rows) * width).reshape(-1, width).astype(np.int64)
    match = assign(counts.max() - counts)
    agreed = int(sum(counts[each, at] for each, at in enumerate(match) if at >= 0))
    by_row, by_column = counts.sum(axis=1), counts.sum(axis=0)
    oa = agreed / a.size
    chance = sum(float(by_row[each]) * float(by_column[at]) for each, at in enumerate(match) if at >= 0) / a.size**2
    kappa = 1.0 if chance == 1.0 else (oa - chance) / (1.0 - chance)
    ari = adjusted_rand_index(a.reshape(-1), b.reshape(-1))
    return Agreement(rows.astype(np.int64), columns.astype(np.int64), counts, match, oa, kappa, _nmi(counts), ari)


def assign(cost: NDArray[np.integer] | NDArray[np.floating]) -> NDArray[np.int64]:
    """Match rows to columns one to one at the least total cost.

    Parameters
    ----------
    cost : (n, m)
        Finite.

    Returns
    -------
    (n,) int64
        Column of each row; -1 for rows that are left over where there are fewer columns.

    Notes
    -----
    Shortest augmenting paths with potentials, O(n^2 m): Kuhn 1955, in the form of Jonker and Volgenant 1987.

    Examples
    --------
    >>> assign(np.array([[4, 1, 3], [2, 0, 5], [3, 2, 2]])).tolist()
    [1, 0, 2]
    """
    if cost.shape[0] > cost.shape[1]:
        found = np.full(cost.shape[0], -1, np.int64)
        back = assign(cost.T)
        found[back] = np.arange(len(back))
        return found
    n, m = cost.shape
    costs, of_row, of_column = cost.astype(np.float64), np.zeros(n), np.zeros(m)
    row_of = np.full(m, -1, np.int64)
    for start in range(n):
        _augment(start, costs, row_of, of_row, of_column)
    match = np.full(n, -1, np.int64)
    match[row_of[row_of >= 0]] = np.flatnonzero(row_of >= 0)
    return match


def _augment(
    start: int, costs: NDArray[np.float64], row_of: NDArray[np.int64], of_row: NDArray[np.float64], of_column: NDArray[np.float64],
) -> None:
    """Find the shortest path from a row to a free column, shift the potentials, and turn the path over."""
    m = costs.shape[1]
    distance, before, reached = np.full(m, np.inf), np.full(m, -1, np.int64), np.zeros(m, np.bool_)
    row, column, least = start, -1, 0.0
    while True:
        through = least + costs[row] - of_row[row] - of_column
        shorter = ~reached & (through < distance)
        distance[shorter], before[shorter] = through[shorter], column
        column = int(np.argmin(np.where(reached, np.inf, distance)))
        least, reached[column] = float(distance[column]), True
        if row_of[column] < 0:
            break
        row = int(row_of[column])
    done = reached & (row_of >= 0)
    of_row[row_of[done]] += least - distance[done]
    of_row[start] += least
    of_column[reached] += distance[reached] - least
    while column >= 0:
        previous = int(before[column])
        row_of[column] = start if previous < 0 else row_of[previous]
        column = previous


def _nmi(counts: NDArray[np.int64]) -> float:
    both = counts / counts.sum()
    rows, columns = both.sum(axis=1), both.sum(axis=0)
    inside = both > 0
    shared = float((both[inside] * np.log((both / np.outer(rows, columns))[inside])).sum())
    mean = (_entropy(rows) + _entropy(columns)) / 2
    return 1.0 if mean == 0 else max(0.0, shared / mean)


def _entropy(parts: NDArray[np.float64]) -> float:
    return float(-(parts * np.log(parts)).sum())
