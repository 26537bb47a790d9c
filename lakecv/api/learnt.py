"""What an earlier result has learnt, applied to other data: ``lakecv run kmeans B --state A.kmeans.1``.

The result's own run record says which models with which options learnt what on which cube; states are read as all data
are, against the manifest, so a damaged one is found before a run begins.
"""

from __future__ import annotations

from collections.abc import Mapping

from lakecv.api.jobs import make_job
from lakecv.api.looking import read_artifact
from lakecv.canonical import load
from lakecv.cube import CubeSpec
from lakecv.errors import InvalidInput, Kind, NotFound
from lakecv.execution.tensors import unpack_state
from lakecv.job import Job, Link, Scalar
from lakecv.lake_io.copies import Seen, ignore
from lakecv.plan import Run
from lakecv.ports import CatalogBackend
from lakecv.records import DID, Dataset
from lakecv.selection import Selection
from lakecv.sheet import State

__all__ = ["job_with_state", "load_states", "state_key"]


def state_key(link: int) -> str:
    """Key of a link's state among a result's artifacts."""
    return f"state-{link}.safetensors"


def job_with_state(
    lake: str, catalog: CatalogBackend, learnt: Dataset, models: str, dataset: Dataset, *, options: Mapping[str, Scalar],
    seed: int, scope: str, selection: Selection | None = None,
) -> Job:
    """Make the job that applies what a result has learnt; options are those it was learnt with.

    Raises
    ------
    InvalidInput
        If the result is of other models or options, or keeps no state (kind ``option-invalid``), or was learnt on another
        number of channels (kind ``axis-mismatch``).
    """
    record = _record(lake, learnt)
    if record.job.name != models:
        raise InvalidInput(
            f"{learnt.did} is a result of {record.job.name}, not of {models}", Kind.OPTION_INVALID,
            f"lakecv run {record.job.name} {dataset.did} --state {learnt.did}",
        )
    own = {f"{link.model}.{name}": value for link in record.job.links for name, value in link.options}
    state = (str(learnt.did), learnt.digest)
    job = make_job(models, dataset, options={**own, **options}, seed=seed, scope=scope, state=state, selection=selection)
    for mine, theirs in zip(job.links, record.job.links, strict=True):
        _check_link(mine, theirs, learnt.did)
    _check_channels(catalog, record, learnt.did, dataset, job)
    return job


def load_states(lake: str, learnt: Dataset, links: int, seen: Seen = ignore) -> tuple[State, ...]:
    """Read the states that a result keeps, one per link.

    Raises
    ------
    Corrupt
        If one is damaged or gone.
    """
    return tuple(unpack_state(read_artifact(lake, learnt, state_key(link), seen)) for link in range(links))


def _record(lake: str, learnt: Dataset) -> Run:
    try:
        return load(Run, read_artifact(lake, learnt, "run.json"))
    except NotFound as err:
        raise InvalidInput(
            f"{learnt.did} keeps no state: it is no result of a run", Kind.OPTION_INVALID, "give --state the result of the same models",
        ) from err


def _check_link(mine: Link, theirs: Link, did: DID) -> None:
    if mine.version != theirs.version:
        raise InvalidInput(
            f"{did} was learnt by {theirs.model} {theirs.version}; {mine.version} is installed", Kind.OPTION_INVALID,
            "fit it again, or install that version",
        )
    different = [(name, value) for name, value in theirs.options if dict(mine.options).get(name) != value]
    for name, value in different:
        raise InvalidInput(
            f"{did} was learnt with {theirs.model}.{name}={value}", Kind.OPTION_INVALID, f"leave --set {name} out, or fit it again",
        )


def _check_channels(catalog: CatalogBackend, record: Run, did: DID, dataset: Dataset, job: Job) -> None:
    """Compare with the cube it was learnt on, where that is still in the catalog."""
    try:
        before = _channels(record.job.selected(catalog.lookup(DID.parse(record.job.inputs[0][0])).cube))
    except NotFound:
        return
    now = _channels(job.selected(dataset.cube))
    if before != now:
        raise InvalidInput(
            f"{did} was learnt on {before} channels; {dataset.did} has {now}", Kind.AXIS_MISMATCH,
            f"bring the data to the same channels before they are registered, or fit it anew: leave --state {did} out",
        )


def _channels(cube: CubeSpec) -> int:
    return cube.main.shape[2] if len(cube.main.shape) > 2 else 1  # noqa: PLR2004  (y, x and the spectral axis)
