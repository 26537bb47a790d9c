"""What is to be computed, apart from where: models with their options, the input, the seed.

A job's digest decides whether two runs are the same work: a finished job is found and nothing moves.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from lakecv.canonical import digest
from lakecv.cube import ArraySpec, CubeSpec
from lakecv.selection import Selection

__all__ = ["Input", "Job", "Link", "Scalar", "StageKind", "TableSpec", "Workload"]

Scalar = bool | int | float | str


@dataclass(frozen=True, slots=True)
class Input:
    """One input of a model: ``grid`` is cut in blocks, ``aligned`` shares its y and x, ``whole`` is given to every block."""

    name: str
    role: str = "grid"


class StageKind(StrEnum):
    """What a stage does with a block."""

    SAMPLE = "sample"
    REDUCE = "reduce"
    MAP = "map"
    MERGE = "merge"
    PACK = "pack"


@dataclass(frozen=True, slots=True)
class TableSpec:
    """A table of a result.  Its dims are named; sizes are known when the state is (``k=auto``)."""

    name: str
    dims: tuple[str, ...]
    dtype: str
    title: str = ""
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class Workload:
    """What planning sees of a model on one input: a value, so that no plan ever needs the model's code.

    ``seconds_per_pixel`` and ``scratch_nbytes_per_pixel`` (working memory of one cell, per pixel) are for one thread of
    a common CPU; they decide the size of a block and the estimate, never the result.
    """

    outputs: tuple[ArraySpec, ...]
    tables: tuple[TableSpec, ...] = ()
    stages: tuple[StageKind, ...] = (StageKind.MAP,)
    sample_pixels: int = 0
    passes: int = 0
    seconds_per_pixel: float = 1e-6
    scratch_nbytes_per_pixel: int = 0
    state_nbytes: int = 0
    statistics_nbytes: int = 0


@dataclass(frozen=True, slots=True)
class Link:
    """One model of a chain, with every option that it runs with (defaults included), as sorted pairs."""

    model: str
    version: str
    options: tuple[tuple[str, Scalar], ...]


@dataclass(frozen=True, slots=True)
class Job:
    """What is computed.  A chain of links: each reads the main output of the one before; the first reads the input.

    ``selection`` is the part of the input that it reads, None = all of it.
    """

    links: tuple[Link, ...]
    seed: int
    inputs: tuple[tuple[str, str], ...]
    scope: str
    state: tuple[str, str] | None = None
    keep: tuple[str, ...] = ()
    selection: Selection | None = None

    @property
    def name(self) -> str:
        """The chain as the user writes it, such as ``pca+kmeans``."""
        return "+".join(link.model for link in self.links)

    def selected(self, cube: CubeSpec) -> CubeSpec:
        """Describe what the first link reads of a stored cube."""
        return cube if self.selection is None else self.selection.of(cube)

    @property
    def digest(self) -> str:
        """Identity of the work: sha256 of the canonical JSON."""
        return digest(self)
