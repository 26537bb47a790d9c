"""Where things lie in a lake: the one place that knows its folders."""

from __future__ import annotations

import re

from lakecv.records import DID, Replica

__all__ = ["CLEARED", "FOLDERS", "data_prefix", "join_url", "replica_url", "run_key", "work_prefix"]

FOLDERS = ("catalog", "data", "runs", "work")
CLEARED = ("parts", "states", "commits", "failures")
"""What goes from a run's work area when its result is published; the setup stays."""

_ABSOLUTE = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://|/)")


def join_url(url: str, key: str) -> str:
    """Url of a key below a url.

    Examples
    --------
    >>> join_url("/lake", "data/a"), join_url("memory://x/", "data")
    ('/lake/data/a', 'memory://x/data')
    """
    return f"{url.rstrip('/')}/{key}" if key else url


def data_prefix(did: DID, write_id: str) -> str:
    """Folder of a dataset's objects; every writer has its own, so that none can harm another."""
    return f"data/{did.scope}/{did.name}/{write_id}"


def work_prefix(run: str) -> str:
    """Folder of a run's work area."""
    return f"work/{run}"


def run_key(run: str) -> str:
    """Key of a finished run's record."""
    return f"runs/{run}.json"


def replica_url(lake: str, replica: Replica) -> str:
    """Url of a replica; one that is relative lies in the lake."""
    return replica.url if _ABSOLUTE.match(replica.url) else join_url(lake, replica.url)
