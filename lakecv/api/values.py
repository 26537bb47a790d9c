"""What the verbs give back, where no value of the core says it already."""

from __future__ import annotations

from dataclasses import dataclass

from lakecv.job import Scalar
from lakecv.plan import Run
from lakecv.records import DID, Dataset

__all__ = ["Demo", "ModelCard", "OptionCard", "PluginReport", "Registered", "Verification"]


@dataclass(frozen=True, slots=True)
class Registered:
    """A registered dataset; ``was_there`` = the same content had that DID before and nothing was written."""

    dataset: Dataset
    was_there: bool
    seconds: float
    nbytes_raw: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verification:
    """What is wrong with a dataset's objects: listed but gone, different, or there without being listed."""

    did: DID
    objects: int
    nbytes: int
    missing: tuple[str, ...] = ()
    corrupt: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """True where every listed object is whole."""
        return not (self.missing or self.corrupt)


@dataclass(frozen=True, slots=True)
class OptionCard:
    """One option of a model, as ``--set name=value`` takes it."""

    name: str
    type: str
    default: Scalar
    help: str


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A model that can be named in ``run``."""

    name: str
    version: str
    distribution: str
    options: tuple[OptionCard, ...]


@dataclass(frozen=True, slots=True)
class PluginReport:
    """An installed plugin and, where it was tried, whether it loads."""

    group: str
    name: str
    distribution: str
    version: str
    loads: bool | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Demo:
    """What the demo left: its folder, the painting, the run, the agreement with the known pigments, the report."""

    folder: str
    dataset: Dataset
    run: Run
    ari: float
    report: str
    seconds: float
