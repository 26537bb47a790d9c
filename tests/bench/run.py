"""Measures speed and memory and appends what came out to docs/benchmarks.md.

``python tests/bench/run.py [NAME ...] [--toy] [--print]``; without a name, all.  ``--toy`` takes sizes that prove the
scripts and nothing else, and writes nothing, like ``--print``.
"""

import argparse
import importlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.bench.table import PAGE, append, stamp

NAMES = ("startup", "planning", "assignment", "sites", "pool", "two_sites", "overhead", "memory", "demo", "peers", "s3", "rucio_lake")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)} (default: all)")
    parser.add_argument("--toy", action="store_true", help="small sizes; nothing is written")
    parser.add_argument("--print", action="store_true", help="only print")
    given = parser.parse_args()
    unknown = [name for name in given.names if name not in NAMES]
    if unknown:
        parser.error(f"there is no bench {', '.join(unknown)}; there are {', '.join(NAMES)}")
    for name in given.names or NAMES:
        before = stamp()
        for row in importlib.import_module(f"tests.bench.{name}").measure(toy=given.toy):
            print(f"{row.section}: {' | '.join((*before, *row.cells))}", flush=True)
            if not (given.toy or given.print):
                PAGE.write_text(append(PAGE.read_text(), [row], before))


if __name__ == "__main__":
    main()
