"""What passes between lakecv and a model: sheets of pixels in, states, statistics and results out.

All are plain numpy arrays under names, so that they can be stored as safetensors (never a pickle), added and compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lakecv.cube import Window
from lakecv.job import Scalar

__all__ = ["Array", "Result", "Sample", "Sheet", "State", "Statistics", "Step"]

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Sheet:
    """One cell of one input, padded to the fixed cell shape.

    ``arrays`` hold (h, w, spectral) or (h, w); ``valid`` (h, w) is False for padding, no-data, masked pixels and pixels
    with a non-finite sample (whose samples are set to 0).  ``window`` is the part of the picture that is not padding,
    at the top left.  A model must not write into them.
    """

    window: Window
    arrays: Mapping[str, Array]
    valid: NDArray[np.bool_]

    @property
    def main(self) -> Array:
        """The main array, (h, w, spectral)."""
        return next(iter(self.arrays.values()))

    @property
    def pixels(self) -> Array:
        """The main array as rows, (h * w, spectral): the shape is the same for every cell of a dataset."""
        main = self.main
        return main.reshape(-1, main.shape[-1]) if main.ndim == 3 else main.reshape(-1, 1)  # noqa: PLR2004


@dataclass(frozen=True, slots=True)
class Sample:
    """The n pixels with the smallest hash(seed, y, x), in the order of the hash: ``spectra`` (n, spectral), ``y``, ``x`` (n,)."""

    spectra: Array
    y: NDArray[np.int64]
    x: NDArray[np.int64]
    npixels: int
    seed: int


@dataclass(frozen=True, slots=True)
class State:
    """What a model has learnt: named arrays and plain attributes.  Stored in the lake; can be applied to other data.

    Attributes are shown in reports, but for those whose name begins with an underscore.
    """

    arrays: Mapping[str, Array] = field(default_factory=dict)
    attributes: Mapping[str, Scalar] = field(default_factory=dict)


Statistics = Mapping[str, NDArray[np.int64]]
"""Exact sums by name (see :mod:`lakecv.numerics.exact`): adding two is associative bit by bit, so order never matters."""


@dataclass(frozen=True, slots=True)
class Step:
    """What ``update`` made of one pass: the next state, whether it is the last, and a number that shows progress."""

    state: State
    done: bool
    progress: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What ``apply`` made of one cell: ``arrays`` (h, w[, own]) by output name, ``tallies`` exact int64 sums by name."""

    arrays: Mapping[str, Array]
    tallies: Statistics = field(default_factory=dict)
