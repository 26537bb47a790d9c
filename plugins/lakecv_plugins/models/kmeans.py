"""K-means by exact Lloyd passes over the whole picture.

It starts on a hash sample, then reads the picture once per pass; only counts and exact sums travel, so the result is the
same bits for any number of workers.  The labels in the map are those that were counted last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass

__all__ = ["KMeans"]

_SAMPLE_PIXELS, _SAMPLE_NBYTES = 8192, 64 << 20
_SPARES = 32
