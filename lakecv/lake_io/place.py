"""Where things lie in a lake: the one place that knows its folders, and asks a catalog that has storage elements."""

from __future__ import annotations

import re

from lakecv.errors import InvalidInput, Kind
from lakecv.ports import CatalogBackend, StorageElements
from lakecv.records import DID, Replica

__all__ = ["CLEARED", "FOLDERS", "LOCAL", "RUN", "data_prefix", "is_run", "join_url", "locate", "place", "run_key", "work_prefix"]

FOLDERS = ("annotations", "catalog", "data", "rates", "runs", "work")
CLEARED = ("parts", "states", "commits", "failures", "reported", "plans")
"""What goes from a run's work area when its result is published; the setup stays."""

LOCAL = "local"
"""What a lake without storage elements calls its own folder."""

RUN = re.compile(r"r-[0-9a-f]{10}", re.ASCII)
"""Id of a run; a registration writes under another sort of id."""

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


def place(catalog: CatalogBackend, did: DID, write_id: str, rse: str | None) -> Replica:
    """Say where a new dataset goes: a folder of the lake, or what the catalog says.

    Raises
    ------
    InvalidInput
        If a storage element is named and the catalog knows none (kind ``option-invalid``).
    """
    if isinstance(catalog, StorageElements):
        return catalog.place(did, write_id, rse)
    if rse not in {None, LOCAL}:
        raise InvalidInput(
            f"this lake has no storage element {rse!r}; everything lies in the lake itself", Kind.OPTION_INVALID,
            "leave --rse out, or set catalog = 'rucio'",
        )
    return Replica(LOCAL, data_prefix(did, write_id))


def work_prefix(run: str) -> str:
    """Folder of a run's work area."""
    return f"work/{run}"


def run_key(run: str) -> str:
    """Key of a finished run's record."""
    return f"runs/{run}.json"


def is_run(write_id: str) -> bool:
    """Say whether a write id is that of a run, and not of a registration."""
    return RUN.fullmatch(write_id) is not None


def locate(lake: str, url: str) -> str:
    """Url of a replica or of a home; one that is relative lies in the lake."""
    return url if _ABSOLUTE.match(url) else join_url(lake, url)
