"""Byte ranges as requests: what lies near each other is one, what is long is several.

A module of its own because every transport that is far pays a round trip per request, whatever its protocol.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from lakecv.errors import Corrupt, InternalError, Kind

__all__ = ["PIECE_NBYTES", "check_end", "check_ranges", "cut", "spans"]

PIECE_NBYTES = 16 << 20  # most that one request reads, so that a deadline of one request means the same for all sizes


def spans(ranges: Sequence[tuple[int, int]], gap: int, piece: int = PIECE_NBYTES) -> list[tuple[int, int]]:
    """Join ranges that lie closer than a gap, and cut what is longer than a piece: each span is one request."""
    joined: list[tuple[int, int]] = []
    for start, stop in sorted(ranges):
        if start == stop:
            continue
        if joined and start - joined[-1][1] <= gap:
            joined[-1] = joined[-1][0], max(joined[-1][1], stop)
        else:
            joined.append((start, stop))
    return [(at, min(at + piece, stop)) for start, stop in joined for at in range(start, stop, piece)]


def cut(views: Sequence[memoryview], spans: Sequence[tuple[int, int]], start: int, stop: int) -> memoryview:
    """Take a range out of the spans that hold it: a view where it is one span, else a copy."""
    first = bisect_right(spans, start, key=lambda span: span[0]) - 1
    parts = []
    for view, (begin, end) in zip(views[first:], spans[first:], strict=True):
        if begin >= stop:
            break
        parts.append(view[max(start - begin, 0) : min(stop, end) - begin])
    return parts[0] if len(parts) == 1 else memoryview(b"".join(parts))


def check_ranges(name: str, ranges: Sequence[tuple[int, int]]) -> None:
    """Refuse what is no half-open range."""
    for start, stop in ranges:
        if not 0 <= start <= stop:
            raise InternalError(f"bytes {start}:{stop} of {name} are not a range", Kind.BUG)


def check_end(name: str, nbytes: int, stop: int) -> None:
    """Refuse a range that ends behind the object."""
    if stop > nbytes:
        raise Corrupt(
            f"{name} ends at byte {nbytes}; bytes up to {stop} were expected", Kind.SHORT_READ,
            "the copy is damaged: use another replica or register the source again",
        )
