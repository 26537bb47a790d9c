"""Where a dataset lies in Rucio: its storage element, and the names of its files there.

A dataset is one dataset DID; each stored object is a file DID with a flat name, ``<dataset>.<write id>.<key with / as .>``.
The write id keeps two writers of one name apart, as a name can never be used again in Rucio (docs/decisions/005).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lakecv.errors import InvalidInput, Kind
from lakecv.records import DID, flat_name

__all__ = ["SCHEME", "Place"]

SCHEME = "rse"
_URL = re.compile(rf"{SCHEME}://([A-Za-z0-9._-]+)/([A-Za-z0-9._-]+)/([A-Za-z0-9._-]+)/([A-Za-z0-9-]+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Place:
    """One copy of one writing of a dataset.

    Examples
    --------
    >>> place = Place.parse("rse://INFN-PG/user.ada/tavola/4f2a9c01b3de")
    >>> place.file("data/c/0/0/0")
    'tavola.4f2a9c01b3de.data.c.0.0.0'
    """

    rse: str
    did: DID
    write_id: str

    @classmethod
    def parse(cls, url: str) -> Place:
        """Read a url.

        Raises
        ------
        InvalidInput
            If it is none (kind ``path-malformed``).
        """
        match = _URL.fullmatch(url.rstrip("/"))
        if match is None:
            raise InvalidInput(f"{url!r} is not a place in Rucio", Kind.PATH_MALFORMED, f"write {SCHEME}://RSE/scope/dataset/write-id")
        return cls(match[1], DID(match[2], match[3]), match[4])

    @property
    def url(self) -> str:
        """As the lake's records name it."""
        return f"{SCHEME}://{self.rse}/{self.did.scope}/{self.did.name}/{self.write_id}"

    @property
    def prefix(self) -> str:
        """What the names of all its files begin with."""
        return f"{self.did.name}.{self.write_id}"

    def file(self, key: str) -> str:
        """Name of the file that holds an object."""
        return flat_name(self.prefix, key)
