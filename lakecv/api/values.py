"""What the verbs give back, where no value of the core says it already."""

from __future__ import annotations

from dataclasses import dataclass

from lakecv.job import Scalar
from lakecv.lake_io.fsck import Finding, Flaw
from lakecv.lake_io.sweep import Fate, Leftover
from lakecv.plan import Run
from lakecv.records import DID, Dataset

__all__ = ["Demo", "ModelCard", "OptionCard", "PluginReport", "Registered", "Repair", "Sweep", "Verification"]


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
    """What reading every byte of a dataset again found; ``objects`` and ``nbytes`` are what was to be read."""

    did: DID
    objects: int
    nbytes: int
    findings: tuple[Finding, ...] = ()

    @property
    def ok(self) -> bool:
        """True where all is as promised; an extra object, which no reader asks for, breaks no promise."""
        return all(finding.flaw is Flaw.EXTRA for finding in self.findings)

    def keys(self, flaw: Flaw) -> tuple[str, ...]:
        """Keys of the findings of one sort."""
        return tuple(finding.key for finding in self.findings if finding.flaw is flaw)

    @property
    def missing(self) -> tuple[str, ...]:
        """Objects that are listed but gone."""
        return self.keys(Flaw.MISSING)

    @property
    def corrupt(self) -> tuple[str, ...]:
        """Objects that have other bytes than were promised."""
        return self.keys(Flaw.CORRUPT)

    @property
    def extra(self) -> tuple[str, ...]:
        """Objects that are there without being listed."""
        return self.keys(Flaw.EXTRA)

    @property
    def drift(self) -> tuple[str, ...]:
        """Records that disagree with each other, and sources that changed since they were registered in place."""
        return self.keys(Flaw.DRIFT)

    @property
    def unreadable(self) -> tuple[str, ...]:
        """Objects that could not be read, so that nothing is known about them."""
        return self.keys(Flaw.UNREADABLE)


@dataclass(frozen=True, slots=True)
class Repair:
    """What ``repair`` did (in a dry run: would do); the findings in ``left`` say why they were left as they are."""

    did: DID
    source: str
    dry_run: bool
    mended: tuple[Finding, ...] = ()
    left: tuple[Finding, ...] = ()

    @property
    def ok(self) -> bool:
        """True where nothing wrong is left."""
        return not self.left


@dataclass(frozen=True, slots=True)
class Sweep:
    """What is left over in a lake and what became of it; in a dry run nothing was removed."""

    dry_run: bool
    leftovers: tuple[Leftover, ...] = ()

    def of(self, fate: Fate) -> tuple[Leftover, ...]:
        """Leftovers of one fate."""
        return tuple(leftover for leftover in self.leftovers if leftover.fate is fate)

    @property
    def nbytes(self) -> int:
        """Bytes that were freed (in a dry run: would be)."""
        return sum(each.heap.nbytes for each in self.leftovers if each.fate in {Fate.REMOVABLE, Fate.REMOVED})

    @property
    def ok(self) -> bool:
        """True where nothing that was to be removed is still there."""
        return not self.of(Fate.FAILED)


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
