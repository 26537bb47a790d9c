"""The first thing a newcomer runs: how long it takes and how much memory it needs."""

from tempfile import TemporaryDirectory

from tests.bench.memory import watched
from tests.bench.table import Row

SECTION = "Demo"


def measure(*, toy=False):  # noqa: ARG001  (it has one size)
    """One row: ``lakecv demo`` in an empty folder."""
    with TemporaryDirectory(prefix="lakecv-bench-") as folder:
        peak = watched(["demo"], folder)
    return [Row(SECTION, (f"{peak.seconds:.1f}", f"{peak.total / 2**20:.0f} MiB"))]
