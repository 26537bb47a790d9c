"""Options of k-means, checked when they are made."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from lakecv.errors import InvalidInput, Kind, nearest
from lakecv.numerics import scaling as scalings
from lakecv.numerics.scaling import Scaling

__all__ = ["AUTO", "AUTO_RANGE", "KMeansOptions"]

AUTO = "auto"
AUTO_RANGE = range(2, 13)
_INITS = ("k-means++", "random")
_MOST = 65534  # labels are at most 16 bits, and their highest value is no data


@dataclass(frozen=True, slots=True)
class KMeansOptions:
    """How to cluster."""

    k: int | str = field(default=8, metadata={"help": "number of clusters, or auto: 2 to 12 by the silhouette of the sample"})
    restarts: int = field(default=4, metadata={"help": "starts that are tried on the sample; the best goes on"})
    init: str = field(default="k-means++", metadata={"help": "how a start draws its centroids: k-means++ or random"})
    tolerance: float = field(
        default=1e-4, metadata={"help": "stop when centroids move less, relative to the mean variance; 0 = when none moves"},
    )
    scaling: Scaling = field(default="none", metadata={"help": "none, sqrt (counts), l2, snv (per pixel) or zscore (per band)"})
    passes: int = field(default=100, metadata={"help": "passes over the data at most"})

    def __post_init__(self) -> None:
        scalings.check(self.scaling)
        if self.k != AUTO and not (isinstance(self.k, int) and 2 <= self.k <= _MOST):  # noqa: PLR2004  (one cluster is none)
            raise InvalidInput(f"k={self.k} is no number of clusters", Kind.OPTION_INVALID, "2 or more, or --set k=auto")
        if self.init not in _INITS:
            raise InvalidInput(f"init={self.init} is not known", Kind.OPTION_INVALID, nearest(self.init, _INITS, "ways to start"))
        if self.restarts < 1 or self.passes < 1:
            raise InvalidInput("restarts and passes are at least 1", Kind.OPTION_INVALID, "--set restarts=4")
        if not (math.isfinite(self.tolerance) and self.tolerance >= 0):
            raise InvalidInput(f"tolerance={self.tolerance} is no tolerance", Kind.OPTION_INVALID, "0 or a small number: 1e-4")

    @property
    def most(self) -> int:
        """Clusters at most."""
        return max(AUTO_RANGE) if isinstance(self.k, str) else self.k
