"""A lake that is open: its settings, its objects and its catalog, and how a dataset is found in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lakecv import config, registry
from lakecv.api.damages import teller
from lakecv.api.notebook import default_watch
from lakecv.api.reporting import report_data
from lakecv.api.running import Finished, Runs
from lakecv.errors import InvalidInput, Kind
from lakecv.execution.workarea import Setup
from lakecv.job import Scalar
from lakecv.lake_io.copies import Seen
from lakecv.plan import Progress, Run
from lakecv.planning.placement import choose_replica
from lakecv.ports import StorageElements
from lakecv.records import DID, Access, Dataset

if TYPE_CHECKING:
    from lakecv.report.data import ReportData

__all__ = ["Opened"]


class Opened:
    """What every verb of a lake stands on; parameters as of :class:`lakecv.api.lake.Lake`."""

    def __init__(
        self, url: str | Path | None = None, *, progress: Callable[[Progress], None] | None = None, **overrides: Scalar,
    ) -> None:
        given = overrides if url is None else {**overrides, "lake": str(url)}
        self._settings = config.load(**given)
        self.url = self._settings.lake if "://" in self._settings.lake else str(Path(self._settings.lake).absolute())
        self._objects = registry.open_objects(self.url)
        self._catalog = registry.catalog(self._objects, self._settings.catalog)
        self._watch = progress or default_watch()
        self._enrich: Callable[[ReportData], ReportData] = lambda data: data
        self._runs = Runs(self.url, self._objects, self._catalog, self._watch, self._report_page, self._settings.deadline)

    @property
    def scope(self) -> str:
        """Where results go unless another scope is named: as set, else as the catalog says."""
        usual = dict(self._settings.origins).get("scope") == "default"
        return self._catalog.scope if usual and isinstance(self._catalog, StorageElements) else self._settings.scope

    def __repr__(self) -> str:
        return f"Lake({self.url!r})"

    def show(self, did: str) -> Dataset:
        """Look a dataset up; NotFound (``dataset-unknown``) with the nearest names."""
        return self._catalog.lookup(self._did(did))

    def near_first(self, dataset: Dataset) -> Dataset:
        """Put the replica first that this site reads fastest; says why where none can be read."""
        if len(dataset.replicas) == 1 and dataset.replicas[0].access is Access.READY:
            return dataset
        best, _ = choose_replica(config.site(self._settings.site, self._settings), dataset.replicas, dataset.nbytes, dataset.did)
        return replace(dataset, replicas=(best, *(each for each in dataset.replicas if each != best)))

    def teller(self, dataset: Dataset) -> Seen:
        """Make what tells the catalog of damage that is met while a dataset is read."""
        return teller(self._catalog, dataset)

    def _did(self, text: str) -> DID:
        try:
            return DID.parse(text)
        except InvalidInput as err:
            if ":" in text or not text:
                raise
            own = DID(self.scope, text)  # says what is wrong with the name itself
            raise InvalidInput(f"{text!r} has no scope", Kind.DID_MALFORMED, f"write {own}") from err

    def _report_page(self, setup: Setup, run: Run, finished: Finished) -> bytes:
        from lakecv.report.page import render

        seen = teller(self._catalog, setup.dataset)
        return render(self._enrich(report_data(self.url, setup, run, finished, seen=seen)))
