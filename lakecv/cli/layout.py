"""Text from values: sizes, times, fact lines and tables, free of anything a terminal would obey.

Names and messages come from files that strangers wrote.  Nothing here is parsed as markup, and control characters never
reach the terminal, so a title cannot move the cursor, change a color or hide a word.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

__all__ = ["clean", "duration", "facts", "rate", "shape", "size", "table"]

_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])")
_INVISIBLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_LABEL = 10
_STEP, _HUNDRED = 1000.0, 100.0
_MINUTE, _HOUR = 60, 3600


def clean(text: object) -> str:
    r"""Make text safe for one line of a terminal.

    Escape sequences go; line breaks and tabs become a space; control, format (text direction) and surrogate characters
    become ``?``.

    Examples
    --------
    >>> clean("red\x1b[31m\nline\u202e")
    'red line?'
    """
    spaced = re.sub(r"[\t\n\v\f\r\x85\u2028\u2029]+", " ", _ESCAPE.sub("", str(text)))
    return "".join("?" if unicodedata.category(letter) in _INVISIBLE else letter for letter in spaced)


def size(nbytes: float) -> str:
    """Bytes for people, in powers of 1000.

    Examples
    --------
    >>> size(0), size(999), size(12_340_000), size(1_200_000_000)
    ('0 B', '999 B', '12.3 MB', '1.2 GB')
    """
    amount, units = float(nbytes), ["B", "kB", "MB", "GB", "TB", "PB"]
    while amount >= _STEP and len(units) > 1:
        amount, units = amount / _STEP, units[1:]
    return f"{amount:.0f} {units[0]}" if units[0] == "B" or amount >= _HUNDRED else f"{amount:.1f} {units[0]}"


def rate(nbytes: float, seconds: float) -> str:
    """Bytes per second for people; empty while nothing has moved.

    Examples
    --------
    >>> rate(170e6, 2.0), rate(0, 2.0)
    ('85.0 MB/s', '')
    """
    return f"{size(nbytes / seconds)}/s" if nbytes > 0 and seconds > 0 else ""


def duration(seconds: float | None) -> str:
    """Seconds for people.

    Examples
    --------
    >>> duration(0.34), duration(14.2), duration(110), duration(7500), duration(None)
    ('0.3 s', '14 s', '1 min 50 s', '2 h 05 min', 'not known')
    """
    if seconds is None:
        return "not known"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"  # noqa: PLR2004  (one digit is enough from there)
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE:02d} s"
    return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE:02d} min"


def shape(sizes: Iterable[int]) -> str:
    """Sizes as a scientist writes them.

    Examples
    --------
    >>> shape((480, 620, 2048))
    '480 x 620 x 2048'
    """
    return " x ".join(str(length) for length in sizes)


def facts(pairs: Iterable[tuple[str, object]]) -> list[str]:
    """One line per fact, labels in a column; an empty label continues the fact above, an empty text is left out.

    Examples
    --------
    >>> facts([("plan", "24 blocks"), ("", "on museo:tavola"), ("title", "")])
    ['  plan        24 blocks', '              on museo:tavola']
    """
    texts = [(clean(label), clean(value)) for label, value in pairs]
    return [f"  {label:<{_LABEL}}  {text}" for label, text in texts if text]


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Left-aligned columns under a header, the last one as wide as it likes.

    Examples
    --------
    >>> table(("NAME", "SIZE"), [("a:b", "1 MB"), ("a:longer", "2 MB")])
    ['NAME      SIZE', 'a:b       1 MB', 'a:longer  2 MB']
    """
    lines = [list(header), *([clean(cell) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
