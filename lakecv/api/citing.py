"""How a result is written about: its run, its record, and what its models say of where their methods were published."""

from __future__ import annotations

from lakecv import registry
from lakecv.citation import Reference
from lakecv.errors import Kind, LakeCVError, NotFound
from lakecv.plan import Run, RunState
from lakecv.ports import CatalogBackend, Cited
from lakecv.records import Dataset
from lakecv.report.methods import Citation, CitedModel

__all__ = ["cite", "run_of"]


def cite(catalog: CatalogBackend, run: Run) -> Citation:
    """Gather what is written about a run.

    Raises
    ------
    NotFound
        If it has not finished, so that there is no result (kind ``run-unknown``).
    """
    if run.state is not RunState.DONE:
        raise NotFound(f"{run.id} has not finished; there is no result of it yet", Kind.RUN_UNKNOWN, f"lakecv resume {run.id}")
    models = tuple(CitedModel(link, _references(link.model)) for link in run.job.links)
    return Citation(run, catalog.lookup(run.output), models)


def run_of(dataset: Dataset) -> str:
    """Id of the run that made a dataset.

    Raises
    ------
    NotFound
        If none did (kind ``run-unknown``).
    """
    if dataset.made_by is None:
        raise NotFound(
            f"no run made {dataset.did}: it was registered", Kind.RUN_UNKNOWN, "name a result or a run; lakecv runs lists them",
        )
    return dataset.made_by


def _references(name: str) -> tuple[Reference, ...]:
    """Ask a model; one that is not installed here any more says nothing."""
    try:
        model = registry.model(name)
    except LakeCVError:
        return ()
    return tuple(model.references) if isinstance(model, Cited) else ()
