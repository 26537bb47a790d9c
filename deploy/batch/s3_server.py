"""An S3 server in memory, at an address: `s3_server.py ADDRESS`. Says its port, and ends when there is nothing more to read."""

# ruff: noqa: INP001  (it lies beside the scripts that start it)
from __future__ import annotations

import json
import logging
import sys

from moto.server import ThreadedMotoServer


def _main(address: str) -> None:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(address, 0, verbose=False)
    server.start()
    sys.stdout.write(json.dumps([server.get_host_and_port()[1]]) + "\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    _main(sys.argv[1])
