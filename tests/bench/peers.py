"""One pass of k-means and of PCA, in memory and on one thread, against scikit-learn on the same numbers.

Both start from the same centroids and make as many iterations, and must end with the same result.  scikit-learn is given
float32 (it would copy counts to that) and the copy is not on its clock.
"""

import statistics
import time

import numpy as np
from lakecv_plugins.models.kmeans import KMeans, KMeansOptions
from lakecv_plugins.models.pca import PCA, PCAOptions
from threadpoolctl import threadpool_limits

from lakecv.cube import CELL_PIXELS, ArraySpec, CubeSpec, Grid, Role, SpectralAxis, Window
from lakecv.numerics import exact
from lakecv.numerics.neighbours import Space
from lakecv.sheet import Sample, Sheet, State
from tests.bench.cubes import _bank
from tests.bench.table import Row

SECTION = "Peers"


def measure(*, toy=False, rounds=3):
    """Rows for k-means with 16 and 32 clusters, and for PCA against float32 and float64."""
    pixels, depth, ks, rounds = (8192, 48, (3,), 1) if toy else (262_144, 1024, (16, 32), rounds)
    rng = np.random.default_rng(3)
    bank = _bank(depth, 0.6, rng)
    counts = rng.poisson(0.5, (pixels, depth)).astype(np.uint16)
    counts += bank[rng.integers(len(bank), size=pixels)]
    with threadpool_limits(1):
        rows = [_kmeans(counts, k, rounds) for k in ks]
        return [*rows, *(_pca(counts, dtype, rounds) for dtype in ("float32", "float64"))]


def _cube(counts):
    pixels, depth = counts.shape
    shape, limits = (pixels, 1, depth), (float(counts.min()), float(counts.max()))
    spec = ArraySpec("data", Role.DATA, ("y", "x", "spectral"), shape, "uint16", (CELL_PIXELS, 1, depth), limits=limits)
    return CubeSpec(Grid(pixels, 1), SpectralAxis(depth), (spec,))


def _sheets(counts):
    """The cells of a cube that is one pixel wide, as a model gets them."""
    for start in range(0, len(counts), CELL_PIXELS):
        part = counts[start : start + CELL_PIXELS, None]
        yield {"cube": Sheet(Window(start, start + len(part), 0, 1), {"data": part}, np.ones(part.shape[:2], np.bool_))}


def _sample(counts, size=8192):
    rows = np.random.default_rng(5).choice(len(counts), min(size, len(counts)), replace=False)
    return Sample(counts[rows], rows, np.zeros_like(rows), len(counts), 0)


def _pass(model, counts, state, options):
    total = {}
    for sheets in _sheets(counts):
        total = exact.add(total, model.accumulate(sheets, state, options))
    return total


def _lloyd(counts, state, options, turns):
    """Centroids after some passes, unless none moves before; how many there were."""
    step_state, made = state, 0
    while made < turns:
        step = KMeans().update(step_state, _pass(KMeans(), counts, step_state, options), options)
        step_state, made = step.state, made + 1
        if step.done:
            break
    return step_state, made


def _kmeans(counts, k, rounds, turns=6):
    from sklearn import cluster

    options = KMeansOptions(k=k, restarts=1, tolerance=0.0, passes=1000)
    start = KMeans().start(_sample(counts), {"cube": _cube(counts)}, options)
    first, wide = _spectra(start).astype(np.float32), counts.astype(np.float32)
    ours, theirs = [], []
    for _ in range(rounds):
        clock = time.perf_counter()
        end, made = _lloyd(counts, start, options, turns)
        ours.append((time.perf_counter() - clock) / made)
        spent = []
        for number in (1, made + 1):  # the difference leaves out what scikit-learn does once
            clock = time.perf_counter()
            peer = cluster.KMeans(k, init=first, n_init=1, max_iter=number, tol=0, algorithm="lloyd", copy_x=False).fit(wide)
            spent.append(time.perf_counter() - clock)
        theirs.append((spent[1] - spent[0]) / max(peer.n_iter_ - 1, 1))
    _agree(counts[:CELL_PIXELS], _spectra(end), peer.cluster_centers_)
    return _row(f"k-means pass, k={k}", f"{len(counts)} x {counts.shape[1]}", "KMeans(lloyd), float32", ours, theirs)


def _spectra(state: State):
    return Space(state.arrays["centre"], state.arrays["gain"]).spectra(state.arrays["centroids"])


def _agree(values, ours, theirs):
    """Compare inertia: the peer is at most one iteration away."""
    one, two = (np.square(values[:, None].astype(float) - points).sum(axis=-1).min(axis=1).sum() for points in (ours, theirs))
    if abs(one / two - 1) > 1e-2:
        raise RuntimeError(f"inertia {one:.6g} and {two:.6g} of the same fit")


def _pca(counts, dtype, rounds, components=8):
    from sklearn import decomposition

    options = PCAOptions(components=components)
    start = PCA().start(_sample(counts, 1024), {"cube": _cube(counts)}, options)
    wide, ours, theirs = counts.astype(dtype), [], []
    for _ in range(rounds):
        clock = time.perf_counter()
        end = PCA().update(start, _pass(PCA(), counts, start, options), options).state
        ours.append(time.perf_counter() - clock)
        clock = time.perf_counter()
        peer = decomposition.PCA(components, svd_solver="covariance_eigh").fit(wide)
        theirs.append(time.perf_counter() - clock)
    if not np.allclose(end.arrays["variances"], peer.explained_variance_, rtol=1e-3):
        raise RuntimeError(f"variances {end.arrays['variances']} and {peer.explained_variance_} of the same data")
    return _row("PCA fit", f"{len(counts)} x {counts.shape[1]}", f"PCA(covariance_eigh), {dtype}", ours, theirs)


def _row(what, size, peer, ours, theirs):
    one, two = statistics.median(ours), statistics.median(theirs)
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    return Row(SECTION, (f"{what}, {size}", peer, f"{one:.3f} s", f"{two:.3f} s", f"{ratio:.2f}"))
