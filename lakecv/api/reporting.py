"""The report of a run, filled with what the lake knows: pictures of moderate size, tables, how the work went."""

from __future__ import annotations

import numpy as np

from lakecv.api.looking import read_artifact
from lakecv.api.running import Finished
from lakecv.cube import ArraySpec, Role, Window
from lakecv.errors import LakeCVError
from lakecv.execution.workarea import Setup
from lakecv.lake_io.convert import QUICKLOOK
from lakecv.lake_io.copies import Seen, ignore
from lakecv.lake_io.read import ArrayReader, ShardedReader
from lakecv.plan import Run
from lakecv.ports import ObjectIO
from lakecv.records import Manifest
from lakecv.report.page import ReportData
from lakecv.sheet import Array

__all__ = ["report_data"]

_EDGE = 2048  # a picture of a report is at most so many pixels wide; larger ones are thinned while they are read
_SHOWN = {Role.LABELS, Role.SCORES, Role.DISTANCE, Role.EMBEDDING, Role.RGB, Role.AUXILIARY, Role.DATA}
_COMPONENTS = 6


def report_data(lake: str, home: ObjectIO, setup: Setup, run: Run, finished: Finished, *, seen: Seen = ignore) -> ReportData:
    """Gather the report of a run whose arrays are stored but not yet visible."""
    manifest = Manifest(finished.computed.stored)
    shown = [spec for spec in finished.computed.arrays if spec.role in _SHOWN]
    images = [(spec, _thinned(ShardedReader(home, spec, manifest, spec.name), spec)) for spec in shown]
    return ReportData(
        run=run, plan=setup.plan, dataset=setup.dataset, quicklook=_quicklook(lake, setup, seen), images=tuple(images),
        tables=finished.tables, outcomes=finished.outcomes, command=setup.command,
    )


def _quicklook(lake: str, setup: Setup, seen: Seen) -> bytes | None:
    try:
        return read_artifact(lake, setup.dataset, QUICKLOOK, seen)
    except LakeCVError:  # a result that is the input of another run has none
        return None


def _thinned(reader: ArrayReader, spec: ArraySpec) -> Array:
    """Read an image with every n-th row and column, so that it fits a page; strips keep the memory small."""
    ny, nx, *third = spec.shape
    step = max(1, -(-max(ny, nx) // _EDGE))
    most = tuple(min(size, _COMPONENTS) for size in third)
    height = max(step, (1024 // step) * step)
    strips = [
        reader.read(Window(y0, min(y0 + height, ny), 0, nx))[(slice(None, None, step), slice(None, None, step), *map(slice, most))]
        for y0 in range(0, ny, height)
    ]
    return np.concatenate(strips)
