"""K-means by exact Lloyd passes over the whole picture.

It starts on a hash sample, then reads the picture once per pass; only counts and exact sums travel, so the result is the
same bits for any number of workers.  The labels in the map are those that were counted last.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lakecv.cube import ArraySpec, CubeSpec, Role
from lakecv.errors import InvalidInput, Kind
from lakecv.job import Input, StageKind, TableSpec, Workload
from lakecv.numerics.exact import exponent, fixed, limits_of
from lakecv.numerics.neighbours import Space, assign, nearest_two, squares
from lakecv.numerics.scaling import scaled
from lakecv.numerics.tally import group_sums
from lakecv.sheet import Array, Result, Sample, Sheet, State, Statistics, Step
from lakecv_plugins.models.kmeans_options import LARGEST_AUTO, Options
from lakecv_plugins.models.kmeans_passes import Pass, lloyd_step, moments_step, space_of, squares_exponent
from lakecv_plugins.models.kmeans_start import best_of, far_apart, silhouette_curve

if TYPE_CHECKING:
    from lakecv.ports import ReducibleModel

__all__ = ["KMeans"]

_SAMPLE_PIXELS, _SAMPLE_NBYTES = 8192, 64 << 20
_SPARES = 32
