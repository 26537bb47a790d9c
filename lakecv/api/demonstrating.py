"""The demo: paint, scan, register, cluster, compare with the truth; the same verbs a user types."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lakecv.api.lake import Lake
from lakecv.api.running import Finished
from lakecv.api.values import Demo
from lakecv.cube import ArraySpec, Role
from lakecv.demo.paint import Painting, paint
from lakecv.demo.scan import AXIS, GRID, scan
from lakecv.errors import Conflict, Kind
from lakecv.execution.workarea import Setup
from lakecv.job import Scalar
from lakecv.numerics.scores import adjusted_rand_index
from lakecv.plan import Progress, Run
from lakecv.ports import ReadHints
from lakecv.report.data import ReportData
from lakecv.sheet import Array

__all__ = ["play"]

_DID = "demo:painting"
_MODEL = "pca+kmeans"
_FILES = {"lake", "painting.npy", "pigments.npy", "report.html"}


def play(folder: Path, progress: Callable[[Progress], None] | None) -> Demo:
    """Run the demo in a folder; a second call finds everything done.

    Raises
    ------
    Conflict
        If the folder holds something else (kind ``output-exists``).
    """
    clock = time.perf_counter()
    if folder.exists() and {item.name for item in folder.iterdir()} - _FILES:
        raise Conflict(f"{folder} holds other files", Kind.OUTPUT_EXISTS, "give another --folder")
    folder.mkdir(parents=True, exist_ok=True)
    painting = paint()
    lake = _KnownLake(painting, folder / "lake", progress)
    done = lake.register(
        _scanned(folder, painting), _DID, title="A small painting, scanned",
        hints=ReadHints(dims="y,x,spectral", axis=f"energy:{AXIS.unit}:{AXIS.start}:{AXIS.step}", pixel_size=_pixel_size()),
    )
    options: dict[str, Scalar] = {"pca.scaling": "sqrt", "components": 8, "k": len(painting.names)}
    run = lake.run(_MODEL, _DID, options=options)
    page = folder / "report.html"
    if not page.exists():
        lake.report(str(run.output), page)
    labels = lake.open(str(run.output))["labels"].to_numpy()
    return Demo(str(folder), done.dataset, run, _agreement(labels, painting), str(page), time.perf_counter() - clock)


class _KnownLake(Lake):
    """A lake whose reports show the truth, since here it is known."""

    def __init__(self, painting: Painting, folder: Path, progress: Callable[[Progress], None] | None) -> None:
        super().__init__(folder, progress=progress, scope="demo")
        self._painting = painting

    def _report_data(self, setup: Setup, run: Run, finished: Finished) -> ReportData:
        data = super()._report_data(setup, run, finished)
        [labels] = [values for spec, values in data.images if spec.role is Role.LABELS]
        score = ("agreement with the known pigments (ARI)", f"{_agreement(labels, self._painting):.3f}")
        picture = ("painting", self._painting.rgb, Role.RGB)
        return replace(
            data, images=(*data.images, _shown(*picture)), score=(*data.score, score),
            label_names=_names(labels, self._painting),
        )


def _scanned(folder: Path, painting: Painting) -> Path:
    """Scan the painting, once."""
    cube = folder / "painting.npy"
    if not cube.exists():
        np.save(folder / "pigments.npy", painting.pigments, allow_pickle=False)
        np.save(cube, scan(painting), allow_pickle=False)
    return cube


def _pixel_size() -> str:
    [height, width], unit = GRID.pixel_size or (1.0, 1.0), GRID.pixel_unit
    return f"{height}{unit},{width}{unit}"


def _agreement(labels: Array, painting: Painting) -> float:
    return adjusted_rand_index(labels.reshape(-1), painting.pigments.reshape(-1))


def _names(labels: NDArray[np.uint8], painting: Painting) -> tuple[str, ...]:
    """Name each label after the pigment that most of its pixels are."""
    known = len(painting.names)
    most = (np.bincount(painting.pigments[labels == label], minlength=known).argmax() for label in range(labels.max() + 1))
    return tuple(painting.names[pigment] for pigment in most)


def _shown(name: str, values: Array, role: Role) -> tuple[ArraySpec, Array]:
    return ArraySpec(name, role, ("y", "x", "color"), values.shape, str(values.dtype), values.shape, title=name), values
