"""The demo: paint, scan, register, cluster, compare with the truth; the same verbs a user types."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lakecv.api.values import Demo
from lakecv.cube import ArraySpec, Role
from lakecv.demo.paint import Painting
from lakecv.demo.scan import AXIS, GRID, scan
from lakecv.errors import Conflict, Kind
from lakecv.job import Scalar
from lakecv.numerics.scores import adjusted_rand_index
from lakecv.ports import ReadHints
from lakecv.report.data import ReportData
from lakecv.sheet import Array

if TYPE_CHECKING:
    from lakecv.api.lake import Lake

__all__ = ["play", "prepared", "with_truth"]

_DID = "demo:painting"
_MODEL = "pca+kmeans"
_FILES = {"lake", "painting.npy", "painting.part.npy", "pigments.npy", "report.html"}


def prepared(folder: Path) -> Path:
    """Make the demo's folder and name the lake in it.

    Raises
    ------
    Conflict
        If the folder holds something else (kind ``output-exists``).
    """
    if folder.exists() and {item.name for item in folder.iterdir()} - _FILES:
        raise Conflict(f"{folder} holds other files", Kind.OUTPUT_EXISTS, "give another --folder")
    folder.mkdir(parents=True, exist_ok=True)
    return folder / "lake"


def play(lake: Lake, painting: Painting, folder: Path) -> Demo:
    """Run the demo; a second call finds everything done."""
    clock = time.perf_counter()
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


def with_truth(painting: Painting) -> Callable[[ReportData], ReportData]:
    """Show the truth in a report, since here it is known: the painting, the names of the pigments, the agreement."""

    def enrich(data: ReportData) -> ReportData:
        [labels] = [values for spec, values in data.images if spec.role is Role.LABELS]
        score = ("agreement with the known pigments (ARI)", f"{_agreement(labels, painting):.3f}")
        picture = _shown("painting", painting.rgb, Role.RGB)
        return replace(
            data, images=(*data.images, picture), score=(*data.score, score), label_names=_names(labels, painting),
        )

    return enrich


def _scanned(folder: Path, painting: Painting) -> Path:
    """Scan the painting, once."""
    cube = folder / "painting.npy"
    if not cube.exists():
        np.save(folder / "pigments.npy", painting.pigments, allow_pickle=False)
        part = folder / "painting.part.npy"  # so that a killed demo leaves no half of a cube under its name
        np.save(part, scan(painting), allow_pickle=False)
        part.rename(cube)
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
