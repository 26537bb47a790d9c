"""What objects may be called, and what lakecv calls its own files beside them while it writes.

A server that renames has no temporary files of its own: a put writes a hidden sibling first, which no listing shows.
"""

from __future__ import annotations

import re
from secrets import token_hex

from lakecv.errors import InvalidInput, Kind

__all__ = ["check_key", "is_hidden", "lock_of", "part_of"]

_SEGMENT = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
_HIDDEN = re.compile(r"\..+\.(part-[0-9a-f]{16}|lock)", re.ASCII)


def check_key(key: str, *, new: bool = False) -> str:
    """Return a key that is safe.  What others wrote may be read under any safe name."""
    for part in key.split("/"):
        plain = _SEGMENT.fullmatch(part) if new else part.isprintable() and "\\" not in part and part
        if not plain or part in {".", ".."}:
            raise InvalidInput(
                f"{key!r} is not a key; keys are relative, without empty parts or '..', of A-Z a-z 0-9 . _ - and /",
                Kind.PATH_MALFORMED, "rename the object",
            )
    return key


def part_of(url: str) -> str:
    """Name a sibling of an object, which nobody else writes."""
    return _sibling(url, f"part-{token_hex(8)}")


def lock_of(url: str) -> str:
    """Name the sibling of an object that one writer at a time holds."""
    return _sibling(url, "lock")


def is_hidden(name: str) -> bool:
    """Whether a file belongs to a writer that is at work, or died."""
    return _HIDDEN.fullmatch(name) is not None


def _sibling(url: str, ending: str) -> str:
    folder, _, name = url.rpartition("/")
    return f"{folder}/.{name}.{ending}"
