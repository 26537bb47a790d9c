"""The report of a run, filled with what the lake knows: pictures of moderate size, tables, how the work went."""

from __future__ import annotations

from lakecv.api.looking import read_artifact
from lakecv.api.running import Finished
from lakecv.errors import LakeCVError
from lakecv.execution.workarea import Setup
from lakecv.lake_io.convert import QUICKLOOK
from lakecv.lake_io.copies import Seen, ignore
from lakecv.plan import Run
from lakecv.report.page import ReportData

__all__ = ["report_data"]


def report_data(lake: str, setup: Setup, run: Run, finished: Finished, *, seen: Seen = ignore) -> ReportData:
    """Gather the report of a run whose arrays are stored but not yet visible."""
    small = finished.computed.overviews
    images = [(spec, small[spec.name]) for spec in finished.computed.arrays if spec.name in small]
    return ReportData(
        run=run, plan=setup.plan, dataset=setup.dataset, quicklook=_quicklook(lake, setup, seen), images=tuple(images),
        tables=finished.tables, outcomes=finished.outcomes, command=setup.command,
    )


def _quicklook(lake: str, setup: Setup, seen: Seen) -> bytes | None:
    try:
        return read_artifact(lake, setup.dataset, QUICKLOOK, seen)
    except LakeCVError:  # a result that is the input of another run has none
        return None
