"""A small finished run to report on; tests change one thing of it."""

import numpy as np
import pytest

from lakecv.cube import ArraySpec, CubeSpec, Grid, Quantity, Role, SpectralAxis, Window
from lakecv.job import Job, Link, TableSpec
from lakecv.numerics.quicklook import Quicklook
from lakecv.plan import Outcome, Plan, Read, Run, RunState, Share
from lakecv.records import DID, Dataset, Replica
from lakecv.report.page import ReportData

NY, NX, BANDS, K = 12, 20, 40, 3


def _image(name, role, dtype, *own, nodata=None, title=None):
    shape = (NY, NX, *own)
    dims = ("y", "x", "component")[: len(shape)]
    return ArraySpec(name, role, dims, shape, dtype, shape, nodata=nodata, title=title)


def _table(name, *dims, unit=None, title=""):
    return TableSpec(name, dims, "float64", title, unit)


def _outcomes():
    stages = [("0-sample-000", 2), ("0-reduce-000", 6), ("0-reduce-001", 6), ("0-map-000", 6), ("0-pack-000", 1)]
    tasks = [f"{stage}/{index:06d}" for stage, count in stages for index in range(count)]
    return tuple(
        Outcome(task, 0.4, 100.0 + 0.5 * (number // 2), 1000, 10, f"local-{number % 2}")
        for number, task in enumerate(tasks)
    )


def _clusters(rng):
    labels = rng.integers(0, K, (NY, NX)).astype(np.uint8)
    labels[0, 0] = 255
    images = (
        (_image("labels", Role.LABELS, "uint8", nodata=255), labels),
        (_image("distance", Role.DISTANCE, "float32", title="Distance to the centroid"), rng.random((NY, NX), np.float32)),
    )
    curve = np.array([[k, 0.5 + 0.1 * (k == K), 0.45, 0.65] for k in range(2, 7)])
    tables = (
        (_table("mean_spectrum", "label", "spectral", unit="counts"), rng.gamma(0.3, 40.0, (K, BANDS))),
        (_table("area", "label"), np.bincount(labels[labels < 255])),
        (_table("silhouette", "k", "column", title="Silhouette"), curve),
    )
    return images, tables


def _components(rng):
    images = ((_image("scores", Role.SCORES, "float32", 4, title="Score"), rng.normal(size=(NY, NX, 4))),)
    tables = (
        (_table("loadings", "component", "spectral", title="Loadings"), rng.normal(size=(4, BANDS))),
        (_table("explained_variance_ratio", "component", title="Explained variance"), np.array([0.6, 0.2, 0.1, 0.05])),
    )
    return images, tables


def _quicklook(rng):
    look = Quicklook(NY, NX, BANDS)
    look.add(Window(0, NY, 0, NX), rng.poisson(5, (NY, NX, BANDS)), np.ones((NY, NX), bool))
    return look.png()


@pytest.fixture
def report():
    """Make a ReportData of a run of kmeans or pca."""

    def make(model="kmeans", axis=None):
        rng = np.random.default_rng(0)
        images, tables = (_clusters if model == "kmeans" else _components)(rng)
        data = ArraySpec("counts", Role.DATA, ("y", "x", "spectral"), (NY, NX, BANDS), "uint16", (NY, NX, BANDS))
        axis = axis or SpectralAxis(BANDS, Quantity.ENERGY, "keV", 0.0, 0.5)
        cube = CubeSpec(Grid(NY, NX, (0.5, 0.5), "mm"), axis, (data,))
        replica = Replica("EMBEDDED", "file:///lake/museo/tavola-3")
        dataset = Dataset(DID("museo", "tavola-3"), cube, "1a" * 32, "museo/tavola-3", (replica,), 3, 19200, "2026-01-01T00:00:00Z",
                          title="Tavola 3")  # fmt: skip
        job = Job((Link(model, "1.0", (("k", K),)),), 7, (("museo:tavola-3", "1a" * 32),), "museo")
        outputs = CubeSpec(cube.grid, None, tuple(spec for spec, _ in images))
        plan = Plan(
            job, cube, outputs, (), (), "local", (Share("local", "local", 2, 1, (Read(replica.rse, near=True, blocks=(0,)),), 19200, 0, 1.0),), (), "local",
            "EMBEDDED", 10**8, 0, 1.0,
        )
        run = Run("20260101T000000-abcd", job, DID("museo", f"tavola-3.{model}.1"), RunState.DONE, "2026-01-01T00:00:00Z",
                  "2026-01-01T00:00:06Z", 6.0, 19200, 0, 6, 6, (), (("lakecv", "0.1.0"),), (("inertia", "12.5"),))  # fmt: skip
        return ReportData(run, plan, dataset, _quicklook(rng), images, tables, _outcomes(), (("silhouette", "0.600"),),
                          f"lakecv run {model} museo:tavola-3 --seed 7")  # fmt: skip

    return make
