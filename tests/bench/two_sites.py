"""One job over two sites with a slow link, as ``make demo-sites`` shows it: near, unpinned and far; and what of a large cube crosses links.

Needs Slurm (``deploy/batch/install.sh``), and root for real links.
"""

import importlib
import sys

from tests.bench.table import ROOT, Row

TIMES, SHARE = "Two sites and a slow link", "What crosses wide-area links"
_MBIT = 200.0


def measure(*, toy=False):
    """One row of a cube of 4 GiB, and three of small cubes, each a run of all placements."""
    sys.path.insert(0, str(ROOT / "deploy" / "batch"))
    demo = importlib.import_module("demo_sites")
    if toy:
        raise RuntimeError("the toy of this one is tests/lake/test_demo_sites.py")
    [found] = demo.demonstrate(demo.LARGE, _MBIT)
    shares = [nbytes / demo.LARGE.nbytes for nbytes in (found.wan_nbytes, found.driver_nbytes, found.wan_nbytes + found.driver_nbytes)]
    yield Row(SHARE, (f"{demo.LARGE.nbytes / 1e9:.2f} GB x {found.npasses}", f"{found.pass_seconds:.0f} s", *(f"{100 * share:.2f} %" for share in shares), "1 %"))
    for _ in range(3):
        found = demo.demonstrate(demo.SMALL, _MBIT)
        near, *others = (each.pass_seconds for each in found)
        seconds = " / ".join(f"{each.pass_seconds:.1f} ({each.seconds:.1f})" for each in found)
        wan = " / ".join(" + ".join(f"{nbytes / 1e6:,.0f}" for link, nbytes in each.links.items() if "driver" not in link) for each in found)
        yield Row(TIMES, (f"{demo.SMALL.nbytes / 1e6:.0f} MB x {found[0].npasses}", seconds, *(f"{each / near:.1f} x" for each in others), wan, _same(found)))


def _same(found):
    return "equal" if len({each.digest for each in found}) == 1 else "DIFFERENT"
