"""What a few bytes of an object prove: that they are whole, and which object they are of.

A chunk ends with its own crc32c, and so does a shard's index.  That proves the bytes and not where they belong, and it
makes the crc32c of the whole shard a function of the lengths of its parts alone: the crc32c of any bytes that end with
their own is one constant.  So an index, which is those lengths, can be held against the crc32c of the shard.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from functools import cache
from threading import Lock

import numpy as np

from lakecv.lake_io.codec import crc32c

__all__ = ["KEPT_NBYTES", "Blobs", "Kept", "covers", "prove_themselves", "sealed_crc32c", "shard_crc32c"]

Blobs = Sequence[bytes | memoryview]

KEPT_NBYTES = 32 << 20
_CRC_NBYTES = 4
_SEALED = 0x48674BC7  # crc32c of any bytes followed by their own crc32c
_POLYNOMIAL, _ONE = 0x82F63B78, 1 << 31  # of CRC-32C, and 1, both with the highest power in the lowest bit
_ABSENT = np.uint64(2**64 - 1)
_CHUNKS_MOST = 4096  # 50 us each


class Kept:
    """Whole objects that were proven, the last ones that were asked for: 32 MiB, and always the last."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._data: OrderedDict[str, bytes] = OrderedDict()

    def get(self, key: str) -> bytes | None:
        """Bytes of an object, None where they are not kept."""
        with self._lock:
            if key in self._data:
                self._data.move_to_end(key)
            return self._data.get(key)

    def put(self, key: str, data: bytes) -> None:
        """Keep one more, and let go of those that were not asked for longest."""
        with self._lock:
            self._data[key] = data
            self._data.move_to_end(key)
            while len(self._data) > 1 and sum(map(len, self._data.values())) > KEPT_NBYTES:
                self._data.popitem(last=False)


def covers(ranges: Iterable[tuple[int, int]], nbytes: int) -> bool:
    """Whether half-open ranges are together all of an object."""
    seen = 0
    for start, stop in sorted(ranges):
        if start > seen:
            return False
        seen = max(seen, stop)
    return seen >= nbytes


def prove_themselves(blobs: Blobs, ranges: Sequence[tuple[int, int]]) -> bool:
    """Whether each blob has the size that was asked for, and ends with its own crc32c."""
    return len(blobs) == len(ranges) and all(
        len(blob) == stop - start > _CRC_NBYTES
        and crc32c(memoryview(blob)[:-_CRC_NBYTES]) == int.from_bytes(blob[-_CRC_NBYTES:], "little")
        for blob, (start, stop) in zip(blobs, ranges, strict=True)
    )


def shard_crc32c(index: bytes | memoryview, nbytes: int) -> int | None:
    """Crc32c of a shard of ``nbytes``, from its index; None where its chunks do not lie one behind the other up to the index."""
    if (len(index) - _CRC_NBYTES) % 16 or not _CRC_NBYTES < len(index) <= nbytes:
        return None
    table = np.frombuffer(index[:-_CRC_NBYTES], "<u8").reshape(-1, 2)
    there = table[table[:, 0] != _ABSENT]
    offsets, lengths = there[np.argsort(there[:, 0])].T
    if len(there) > _CHUNKS_MOST or lengths.max(initial=0) > nbytes:
        return None
    ends = np.cumsum(lengths)
    if [0, *ends.tolist()] != [*offsets.tolist(), nbytes - len(index)]:
        return None
    return sealed_crc32c([*lengths.tolist(), len(index)])


def sealed_crc32c(lengths: Iterable[int]) -> int:
    """Crc32c of parts one behind the other, each of which ends with its own crc32c.

    Notes
    -----
    crc(A + B) = crc(A) * x^(8 len(B)) + crc(B) modulo the polynomial, as in zlib's ``crc32_combine``.

    Examples
    --------
    >>> from lakecv.lake_io.codec import crc32c
    >>> parts = [data + crc32c(data).to_bytes(4, "little") for data in (b"spectrum", b"of a pigment")]
    >>> sealed_crc32c(map(len, parts)) == crc32c(b"".join(parts))
    True
    """
    crc = 0
    for length in lengths:
        for power in range(length.bit_length()):
            if length >> power & 1:
                crc = _times(_power(power + 3), crc)
        crc ^= _SEALED
    return crc


@cache
def _power(number: int) -> int:
    """Give x to the power of 2^number."""
    return _times(_power(number - 1), _power(number - 1)) if number else _ONE >> 1


def _times(one: int, other: int) -> int:
    """Multiply two polynomials, modulo that of CRC-32C."""
    product = 0
    while one:
        if one & _ONE:
            product ^= other
        one = one << 1 & 0xFFFFFFFF
        other = other >> 1 ^ (_POLYNOMIAL if other & 1 else 0)
    return product
