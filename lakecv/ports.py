"""What can be plugged in: storage, readers, catalogs, models, sites.

This file answers that question alone.  A plugin imports values, numerics, ports, errors and testing, and is found by an
entry point of the group named at its Protocol; first-party plugins enter by the same door.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar, runtime_checkable

from lakecv.annotation import Annotation
from lakecv.citation import Reference
from lakecv.cube import CubeSpec
from lakecv.facts import Condition
from lakecv.job import Input, Workload
from lakecv.plan import Outcome, Task
from lakecv.records import DID, Claim, Damage, Dataset, Manifest, Replica, Rule
from lakecv.sheet import Array, Result, Sample, Sheet, State, Statistics, Step
from lakecv.site import Site

if TYPE_CHECKING:
    import xarray as xr
    from zarr.abc.store import Store

__all__ = [
    "Ability",
    "Annotates",
    "CatalogBackend",
    "CatalogPlugin",
    "Cited",
    "CubeReader",
    "KeepsChecksums",
    "Model",
    "ObjectIO",
    "ObjectInfo",
    "ProbedSite",
    "ProbedStorage",
    "ReadHints",
    "ReducibleModel",
    "Replicates",
    "ReportsDamage",
    "ServesJobs",
    "SiteExecutor",
    "Source",
    "Standing",
    "StorageElements",
    "StoragePlugin",
    "WorkerPool",
]


# --- storage: transport (entry points: lakecv.storage, named after the url scheme) ------------------------------------
@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object of a listing; ``modified`` is its age's clock, seconds since 1970, 0 where the store cannot tell."""

    key: str
    nbytes: int
    modified: float = field(default=0.0, compare=False)


@runtime_checkable
class ObjectIO(Protocol):
    """Objects under keys below one url.  Keys are relative, ``/``-separated, made of the letters of a DID."""

    @property
    def url(self) -> str:
        """The prefix that the keys lie below."""

    def get(self, key: str) -> bytes:
        """Read a whole object; NotFound (``object-unknown``) where there is none."""

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> Sequence[bytes | memoryview]:
        """Read half-open byte ranges; Corrupt (``short-read``) where the object ends before one does.

        Ranges that lie near each other may be views of one buffer: keep a copy, not a view, of what is to live on.
        """

    def put(self, key: str, data: bytes) -> None:
        """Create an object, all of it or nothing; Conflict (``output-exists``) where there is one already."""

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Objects whose key starts with the folder ``prefix``, sorted by key."""

    def head(self, key: str) -> ObjectInfo | None:
        """Size of an object, None where there is none."""

    def delete(self, key: str) -> None:
        """Remove an object; nothing happens where there is none."""


@runtime_checkable
class StoragePlugin(Protocol):
    """A transport.  ``access`` is a reference to credentials (``env:NAME``), resolved here, never a value."""

    @property
    def schemes(self) -> Sequence[str]:
        """Url schemes that it serves, such as ``("file",)``."""

    def objects(self, url: str, access: str | None = None) -> ObjectIO:
        """Open a prefix for object reads and writes."""

    def store(self, url: str, access: str | None = None) -> Store:
        """Open a prefix read-only for zarr-python."""


@dataclass(frozen=True, slots=True)
class Ability:
    """Something a server should do, whether it does, and what is lost where it does not."""

    name: str
    holds: bool
    lost: str


@runtime_checkable
class ProbedStorage(Protocol):
    """A transport whose servers differ; it can ask one what it does."""

    def probe(self, url: str, access: str | None = None) -> Sequence[Ability]:
        """Try each ability on the place itself; Denied, NotFound, ... where it cannot be opened at all."""


# --- formats: meaning (lakecv.formats) --------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class ReadHints:
    """What the user says where a file cannot tell; None = the file tells.

    ``dims`` is the stored order, such as ``spectral,y,x`` or ``spectral,pixel``; ``shape`` is (ny, nx) for flat pixels;
    ``order`` how flat pixels run (C: row by row, F: column by column); ``path`` the array inside the file; ``axis`` a
    calibration such as ``energy:keV:0.0:0.01`` (start, step) or ``wavelength:nm:@wavelengths`` (an array of the file) or
    ``channel``; ``pixel_size`` such as ``0.5mm``; ``detector`` a name, ``sum`` or ``all``; ``mask`` the array whose zeros
    are not to be used.
    """

    dims: str | None = None
    shape: tuple[int, int] | None = None
    order: str | None = None
    path: str | None = None
    axis: str | None = None
    pixel_size: str | None = None
    detector: str | None = None
    mask: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """A file or folder to be read; ``path`` is on this machine."""

    url: str
    path: Path


@runtime_checkable
class CubeReader(Protocol):
    """A format.  It gets a place to read from, never a credential."""

    def accepts(self, source: Source, head: bytes) -> bool:
        """Say whether this is the format, from the name and the first 4 KiB (empty for a folder)."""

    def probe(self, source: Source, hints: ReadHints) -> CubeSpec:
        """Read headers only: grid, axis and named arrays (``chunks`` = how the file is cut, else the shape)."""

    def read(self, source: Source, hints: ReadHints) -> xr.Dataset:
        """Open lazily: variables named as in the spec, dims (y, x[, spectral]), read window by window."""


# --- catalogs (lakecv.catalogs) ---------------------------------------------------------------------------------------
@runtime_checkable
class CatalogBackend(Protocol):
    """What datasets exist.  Nothing in it is ever rewritten."""

    def claim(self, claim: Claim) -> Claim:
        """Claim a DID for writing; returns the claim that holds, which is somebody else's where they were first."""

    def claims(self, scope: str, prefix: str) -> Iterator[Claim]:
        """Claims in a scope whose name starts with ``prefix``, finished or not."""

    def register(self, dataset: Dataset, manifest: Manifest) -> Dataset:
        """Make a dataset visible; the same digest again is a no-op, another is Conflict (``did-means-something-else``).

        ``manifest`` lists the objects that lie at the dataset's home; all of them are stored by then.
        """

    def lookup(self, did: DID) -> Dataset:
        """Find a dataset; NotFound (``dataset-unknown``) with the nearest names."""

    def search(self, scope: str | None = None, where: Sequence[Condition] = ()) -> Iterator[DID]:
        """List registered DIDs of which all conditions hold, sorted."""

    def datasets(self, scope: str | None = None) -> Iterator[Dataset]:
        """List registered datasets, sorted by DID: what a lookup of each would give, in far fewer requests."""


@runtime_checkable
class StorageElements(Protocol):
    """A catalog whose data lie on storage elements (RSEs) and not in the lake's own folder."""

    @property
    def scope(self) -> str:
        """Scope of whoever asks: where results go unless another is named."""

    def place(self, did: DID, write_id: str, rse: str | None) -> Replica:
        """Say where the objects of a new dataset go (``rse`` None = the usual one).

        Raises
        ------
        NotFound
            If there is no such storage element.
        Denied
            If one may not write there, in this scope, or any more (kind ``quota-exceeded``).
        """

    def room(self, rse: str) -> int | None:
        """Bytes that one may still add at a storage element, None where there is no limit."""


@runtime_checkable
class Replicates(Protocol):
    """A catalog that moves data by rules."""

    def replicate(self, did: DID, rses: str, lifetime_seconds: int | None) -> Rule:
        """Ask for a copy; a rule that asks for the same is given back as it is."""

    def rules(self, did: DID) -> Sequence[Rule]:
        """List the rules of a dataset, oldest first."""


@runtime_checkable
class ReportsDamage(Protocol):
    """A catalog that wants to know of bad replicas."""

    def report(self, dataset: Dataset, damages: Sequence[Damage]) -> str:
        """Report objects; says as what (``bad``, or ``suspicious`` where one has no authority)."""


@runtime_checkable
class KeepsChecksums(Protocol):
    """A catalog that keeps size and checksum of every object by itself."""

    def recorded(self, replica: Replica, keys: Sequence[str]) -> Mapping[str, tuple[int, str]]:
        """Bytes and adler32 (8 hex digits) that it keeps of objects, by key; of one that it does not know, nothing."""


@runtime_checkable
class Annotates(Protocol):
    """A catalog that keeps what people say of datasets: entries are only ever added, so writers at the same time lose nothing."""

    def annotate(self, annotation: Annotation) -> None:
        """Add an entry; the same again is a no-op."""

    def annotations(self, did: DID) -> Sequence[Annotation]:
        """List all that was said of a dataset, oldest first; nothing where nobody said anything."""


class CatalogPlugin(Protocol):
    """How a catalog is opened: called with the lake's objects."""

    def __call__(self, objects: ObjectIO) -> CatalogBackend:
        """Open the catalog of a lake."""


# --- models (lakecv.models) -------------------------------------------------------------------------------------------
OptionsT_contra = TypeVar("OptionsT_contra", contravariant=True)


@runtime_checkable
class Model(Protocol[OptionsT_contra]):
    """Something computed per pixel.  Arithmetic runs per cell, on arrays of one fixed shape."""

    @property
    def name(self) -> str:
        """Name on the command line."""

    @property
    def version(self) -> str:
        """Changes when the same input would give another result."""

    @property
    def Options(self) -> Callable[..., object]:  # noqa: N802  (it is a class)
        """A frozen dataclass: its fields become ``--set name=value``, help text (metadata ``help``) and JSON schema."""

    def inputs(self, options: OptionsT_contra) -> tuple[Input, ...]:
        """Name what it reads."""

    def workload(self, specs: Mapping[str, CubeSpec], options: OptionsT_contra) -> Workload:
        """Say what it writes and costs on these inputs.  Pure; no pixels."""

    def apply(self, sheets: Mapping[str, Sheet], state: State | None, options: OptionsT_contra) -> Result:
        """Compute one cell."""

    def tables(self, state: State | None, tallies: Statistics, options: OptionsT_contra) -> Mapping[str, Array]:
        """Tables of the result, from what was learnt and the tallies of all cells."""


@runtime_checkable
class ReducibleModel(Model[OptionsT_contra], Protocol[OptionsT_contra]):
    """A model that is fitted in passes over the data; only statistics travel."""

    def start(self, sample: Sample, specs: Mapping[str, CubeSpec], options: OptionsT_contra) -> State:
        """First state, from the sample."""

    def accumulate(self, sheets: Mapping[str, Sheet], state: State, options: OptionsT_contra) -> Statistics:
        """Exact sums of one cell under a state."""

    def update(self, state: State, statistics: Statistics, options: OptionsT_contra) -> Step:
        """Next state, from the sums over all cells."""


@runtime_checkable
class Cited(Protocol):
    """A model that says where its method was published; ``lakecv cite`` asks."""

    @property
    def references(self) -> Sequence[Reference]:
        """Publications that whoever uses the model cites."""


# --- sites (lakecv.sites) ---------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Standing:
    """How a pool stands: tasks that can run at once now, and what is waited for where there are fewer than wanted."""

    slots: int
    note: str = ""


class WorkerPool(Protocol):
    """Workers of one site while a plan runs."""

    def standing(self) -> Standing:
        """Say how many tasks can run now.

        Raises
        ------
        Unavailable, Infeasible
            If no worker can be had here any more; says why.
        """

    def submit(self, task: Task) -> None:
        """Queue a task."""

    def outcomes(self, timeout_seconds: float) -> Iterator[Outcome]:
        """Outcomes that are ready, waiting at most so long for the first; a task whose worker died has kind ``worker-lost``."""

    def kill(self, task: Task) -> None:
        """Stop a task that hangs, with its worker; no outcome follows."""

    def cancel(self) -> None:
        """Stop everything that runs or waits."""


@runtime_checkable
class SiteExecutor(Protocol):
    """A way to get workers."""

    def job_script(self, site: Site) -> str:
        """Write what would be submitted for each worker, byte for byte; empty where nothing is."""

    def pool(self, site: Site, workers: int, work: Callable[[Task], Outcome], label: str) -> AbstractContextManager[WorkerPool]:
        """Start workers that run ``work``, an importable function; they are gone at exit.  ``label`` names the run in logs."""


@runtime_checkable
class ServesJobs(Protocol):
    """A way to get workers whose jobs run ``lakecv worker``."""

    def serve(self, connection: Path) -> None:
        """Be a worker of the pool that a connection file describes, until that one sends it away."""


@runtime_checkable
class ProbedSite(Protocol):
    """A way to get workers that can be tried out without starting any."""

    def probe(self, site: Site) -> Sequence[Ability]:
        """Try what workers need: the batch system's commands, its queue, the shared folder, an address to dial."""
