"""Numbers and words for people: sizes, durations, shares, and text that is safe to show.

What users and workers wrote ends on a page that others open, so it is cleaned here, once, whatever it says.
"""

from __future__ import annotations

import math
import re
import unicodedata

__all__ = ["area", "clean", "duration", "named", "nbytes", "number", "percent"]

_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]?|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)?", re.DOTALL)
_SPACES = "\t\n\r\x0b\x0c\x85\u2028\u2029"
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn"}
_LIMIT = 2000
_MINUTE, _HOUR = 60.0, 3600.0


def clean(text: str) -> str:
    r"""Take out terminal escapes, control characters and direction marks, which can make text look like another.

    Examples
    --------
    >>> clean("a\x1b[31mred\x1b[0m\u202etxt.exe\n")
    'aredtxt.exe '
    """
    plain = _ESCAPE.sub("", text)
    spaced = "".join(" " if char in _SPACES else char for char in plain)
    seen = "".join(char for char in spaced if unicodedata.category(char) not in _HIDDEN)
    return seen if len(seen) <= _LIMIT else f"{seen[:_LIMIT]} …"


def named(title: str, count: int) -> tuple[str, tuple[str, ...]]:
    """Take the names of entries out of a title that ends with them, one for each; no names where it does not.

    Examples
    --------
    >>> named("net sum: Fe-K, 2.9:3.1keV", 2)
    ('net sum', ('Fe-K', '2.9:3.1keV'))
    >>> named("scores: the first, of all", 3)
    ('scores: the first, of all', ())
    """
    head, colon, rest = title.rpartition(": ")
    names = tuple(rest.split(", "))
    return (head, names) if colon and len(names) == count and all(names) else (title, ())


def nbytes(count: float) -> str:
    """Write a size in decimal units.

    Examples
    --------
    >>> nbytes(999), nbytes(19_660_800), nbytes(4e12)
    ('999 B', '19.7 MB', '4.0 TB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.95:  # noqa: PLR2004  (rounds to 1000)
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"


def duration(seconds: float) -> str:
    """Write a time span.

    Examples
    --------
    >>> duration(0.0421), duration(8.3), duration(184), duration(7500)
    ('42 ms', '8.3 s', '3 min 04 s', '2 h 05 min')
    """
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if seconds < _HOUR:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def number(value: float) -> str:
    """Write a number with four significant digits at most; whole numbers in full.

    Examples
    --------
    >>> number(19200), number(0.123456), number(1234567.8), number(2.5e-7)
    ('19,200', '0.1235', '1,234,568', '2.5e-07')
    """
    if not math.isfinite(value):
        return "no value"
    if value == round(value) and abs(value) < 1e15:  # noqa: PLR2004  (all digits of a float are still exact)
        return f"{round(value):,}"
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e15 else f"{value:.4g}"  # noqa: PLR2004


def percent(part: float, whole: float) -> str:
    """Write a share of a whole.

    Examples
    --------
    >>> percent(1, 3), percent(1, 100_000), percent(0, 0)
    ('33.3 %', '< 0.1 %', '0 %')
    """
    if part == 0 or whole == 0:
        return "0 %"
    share = 100 * part / whole
    return "< 0.1 %" if share < 0.05 else f"{share:.1f} %"  # noqa: PLR2004  (rounds to 0.0)


def area(npixels: float, pixel_size: tuple[float, float] | None, unit: str | None) -> str:
    """Write the area of pixels in the unit of their sides; empty where the size is not known.

    Examples
    --------
    >>> area(1000, (0.5, 0.5), "mm"), area(10, None, None)
    ('250 mm²', '')
    """
    if pixel_size is None or not unit:
        return ""
    return f"{number(npixels * abs(pixel_size[0] * pixel_size[1]))} {unit}²"
