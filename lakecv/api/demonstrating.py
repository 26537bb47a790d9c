"""The demo: paint, scan, register, cluster, compare with the truth; the same verbs a user types."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lakecv.api.values import Demo
from lakecv.demo.paint import paint
from lakecv.demo.scan import AXIS, scan
from lakecv.errors import Conflict, Kind
from lakecv.job import Scalar
from lakecv.numerics.scores import adjusted_rand_index
from lakecv.plan import Progress
from lakecv.ports import ReadHints

if TYPE_CHECKING:
    from lakecv.api.lake import Lake

__all__ = ["play"]

_DID = "demo:painting"
_MODEL = "pca+kmeans"


def play(folder: Path, progress: Callable[[Progress], None] | None, make: Callable[..., Lake]) -> Demo:
    """Run the demo in a folder; one that is there is used again, so that a second call only looks things up.

    Raises
    ------
    Conflict
        If the folder holds something else (kind ``output-exists``).
    """
    clock = time.perf_counter()
    _check_folder(folder)
    lake = make(str(folder / "lake"), progress=progress, scope="demo")
    painting = paint()
    cube = folder / "painting.npy"
    if not cube.exists():
        np.save(cube, scan(painting), allow_pickle=False)
        np.save(folder / "pigments.npy", painting.pigments, allow_pickle=False)
    axis = f"energy:{AXIS.unit}:{AXIS.start}:{AXIS.step}"
    done = lake.register(
        cube, _DID, hints=ReadHints(dims="y,x,spectral", axis=axis, pixel_size="0.5mm"), title="A small painting, scanned",
    )
    options: dict[str, Scalar] = {"pca.scaling": "sqrt", "components": 8, "k": len(painting.names)}
    run = lake.run(_MODEL, _DID, options=options)
    labels = lake.open(str(run.output))["labels"].to_numpy()
    page = folder / "report.html"
    if not page.exists():
        lake.report(str(run.output), page)
    ari = adjusted_rand_index(labels.reshape(-1), painting.pigments.reshape(-1))
    return Demo(str(folder), done.dataset, run, ari, str(page), time.perf_counter() - clock)


def _check_folder(folder: Path) -> None:
    known = {"lake", "painting.npy", "pigments.npy", "report.html"}
    if folder.exists() and {item.name for item in folder.iterdir()} - known:
        raise Conflict(f"{folder} holds other files", Kind.OUTPUT_EXISTS, "give another --folder")
    folder.mkdir(parents=True, exist_ok=True)
