"""All that a report is made of: values that exist anyway once a run has ended, and nothing that must be looked up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lakecv.cube import ArraySpec, Role, SpectralAxis
from lakecv.job import TableSpec
from lakecv.plan import Outcome, Plan, Run
from lakecv.records import Dataset
from lakecv.report.pictures import no_data
from lakecv.sheet import Array

__all__ = ["ReportData"]


@dataclass(frozen=True, slots=True, eq=False)
class ReportData:
    """A run with its input, what came out, and how the work went.

    ``dataset`` is the input.  ``images`` are arrays (y, x[, component]) with their specs, whole, in the order to show;
    a reference picture may be among them (role RGB or LABELS).  ``tables`` are told apart by their dims: (label, spectral)
    are mean spectra, (label,) named ``area`` are pixels, (<other>, spectral) are loadings, (<other>,) are bars;
    one named ``silhouette`` has a row for each k and the columns k, value[, low, high].  ``outcomes`` are all tasks that
    ended, ``score`` and the run's ``facts`` are shown as they are, ``label_names`` name labels from 0 on.
    """

    run: Run
    plan: Plan
    dataset: Dataset
    quicklook: bytes | None = None
    images: tuple[tuple[ArraySpec, Array], ...] = ()
    tables: tuple[tuple[TableSpec, Array], ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    score: tuple[tuple[str, str], ...] = ()
    command: str = ""
    label_names: tuple[str, ...] = ()

    @property
    def axis(self) -> SpectralAxis | None:
        """Spectral axis of what was read of the input."""
        return self.plan.input.axis

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """Tasks that failed for good."""
        return self.run.failed

    def label_areas(self) -> list[int]:
        """Pixels of each label: the table ``area``, else counted in a label map that is here whole; empty where there is neither."""
        for spec, table in self.tables:
            if spec.name == "area" and table.ndim == 1:
                return [int(pixels) for pixels in table]
        for array, labels in self.images:
            if array.role is Role.LABELS and labels.shape == array.shape:
                present = labels[labels != no_data(array, labels)].astype(np.int64)
                return [int(pixels) for pixels in np.bincount(present)]
        return []
