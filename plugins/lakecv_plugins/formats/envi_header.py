"""The text header of ENVI: ``key = value`` lines, lists in braces that may run over several lines.

Source: ENVI's documentation, "ENVI Header Files".  Keys are compared in lower case with single blanks.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from lakecv.errors import Corrupt, Kind

__all__ = ["EnviHeader", "envi_header"]

_NBYTES_AT_MOST = 16 << 20
_ENTRY = re.compile(r"^[ \t]*([^\n={};][^\n={}]*?)[ \t]*=[ \t]*(\{[^}]*\}|[^\n]*)", re.MULTILINE)
_AGAIN = "check the header, or write it again"
NumberT = TypeVar("NumberT", int, float)


@dataclass(frozen=True)
class EnviHeader:
    """The entries of a header, by key; braces are taken off."""

    name: str
    entries: dict[str, str]

    def text(self, key: str, default: str = "") -> str:
        """Value as it stands, blanks at the ends taken off."""
        return self.entries.get(key, default)

    def items(self, key: str) -> list[str]:
        """Parts of a list; none where there is no such key."""
        found = [part.strip() for part in self.text(key).replace("\n", " ").split(",")]
        return [] if found == [""] else found

    def numbers(self, key: str) -> list[float]:
        """Parts of a list as numbers.

        Raises
        ------
        Corrupt
            If one of them is no finite number (kind ``file-malformed``).
        """
        return [self._parsed(float, part, key) for part in self.items(key)]

    def whole(self, key: str, default: int | None = None) -> int:
        """Return a number that is not negative.

        Raises
        ------
        Corrupt
            If it is missing and has no default, or is no such number (kind ``file-malformed``).
        """
        if key not in self.entries and default is not None:
            return default
        value = self._parsed(int, self.text(key), key)
        if not 0 <= value < 1 << 40:
            raise self.bad(f"has {key} = {value}; 0 to 2**40 is expected")
        return value

    def number(self, key: str) -> float | None:
        """Return a number; None where there is no such key, or it is NaN."""
        if key not in self.entries or self.text(key).lower() == "nan":
            return None
        return self._parsed(float, self.text(key), key)

    def bad(self, why: str) -> Corrupt:
        """Make an error about this header."""
        return Corrupt(f"the ENVI header '{self.name}' {why}", Kind.FILE_MALFORMED, _AGAIN)

    def _parsed(self, parse: Callable[[str], NumberT], text: str, key: str) -> NumberT:
        try:
            value = parse(text)
        except ValueError as err:
            found = f"{key} = {text[:40]!r}" if key in self.entries else f"no {key}"
            raise self.bad(f"has {found}; a number is expected") from err
        if not math.isfinite(value):
            raise self.bad(f"has {key} = {text[:40]}; a finite number is expected")
        return value


def envi_header(path: Path) -> EnviHeader:
    """Read a header.

    Raises
    ------
    Corrupt
        If it does not begin with ENVI, or is larger than any header (kind ``file-malformed``).
    """
    with path.open("rb") as file:
        data = file.read(_NBYTES_AT_MOST + 1)
    if not data.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"ENVI") or len(data) > _NBYTES_AT_MOST:
        raise Corrupt(
            f"'{path.name}' is not an ENVI header file: it begins with {data[:24]!r}", Kind.FILE_MALFORMED,
            "the first line of an ENVI header is ENVI; its size is a few kilobytes",
        )
    text = data.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    entries = {" ".join(key.lower().split()): value.strip("{} \t\n") for key, value in _ENTRY.findall(text)}
    return EnviHeader(path.name, entries)
