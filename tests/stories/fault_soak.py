"""The full counts over a bad network, by hand: 10,000 flips, 1,000 lost replies, 8 x 200 rounds of claims, 2,000 blocks.

``python tests/stories/fault_soak.py --server moto|ceph|ENVFILE`` prints one line per promise; ENVFILE is like the ``lake.env``
that ``deploy/lake/ceph.py`` writes, of a server without TLS.
"""

import argparse
import logging
import random
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from fault_loops import blocks, claims, flips, lost_replies  # noqa: E402

from tests.servers import S3Server, ceph, moto  # noqa: E402

PROMISES = {"flips": (flips, 10_000), "lost-replies": (lost_replies, 1000), "claims": (claims, 200), "blocks": (blocks, 2000)}


@contextmanager
def named_server(name):
    """Start moto or Ceph, or find the server that a file of variables names."""
    if name == "moto":
        with moto() as server:
            yield server
    elif name == "ceph":
        with tempfile.TemporaryDirectory(dir="/tmp") as folder, ceph(folder) as server:  # sockets have short names
            yield server
    else:
        yield S3Server.found(Path(name).stem, Path(name).read_text())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", default="moto", help="moto, ceph, or a file of AWS_ variables")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    for name, (_, usual) in PROMISES.items():
        parser.add_argument(f"--{name}", type=int, default=usual, help=f"how many (default {usual}; 0 = none)")
    given = parser.parse_args()
    failed = 0
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with named_server(given.server) as server:
        for name, (loop, _) in PROMISES.items():
            count, started = getattr(given, name.replace("-", "_")), time.monotonic()
            if not count:
                continue
            tally = loop(server, count, given.seed)
            seconds, seen, fired = time.monotonic() - started, dict(sorted(tally.seen.items())), dict(tally.fired)
            print(f"{name} {count} on {server.name}, seed {given.seed}: {len(tally.bad)} bad; {seen}; faults {fired}; {seconds:.0f} s{tally.note}", flush=True)
            for line in tally.bad[:10]:
                print(line, file=sys.stderr)
            failed += len(tally.bad)
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
