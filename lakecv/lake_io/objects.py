"""Put and get of single objects with proof: what was written is read back, what is read matches its record.

Every byte that lakecv moves passes here or through the checksummed chunks of :mod:`lakecv.lake_io.codec`.
"""

from __future__ import annotations

import zlib
from hashlib import sha256

from lakecv.errors import Conflict, Corrupt, Kind, NotFound
from lakecv.lake_io.codec import crc32c
from lakecv.ports import ObjectIO
from lakecv.records import Manifest, StoredObject

__all__ = ["DAMAGED", "describe", "get_checked", "put_checked", "put_same", "sha256_hex"]

DAMAGED = "lakecv verify lists every damaged object"
_BAD_STORE = "check the disk or the server that the lake is on, then type the same command again"


def sha256_hex(data: bytes | bytearray | memoryview) -> str:
    """Hexadecimal sha256."""
    return sha256(data).hexdigest()


def describe(key: str, data: bytes) -> StoredObject:
    """Size and checksums of an object."""
    return StoredObject(key, len(data), f"{zlib.adler32(data):08x}", f"{crc32c(data):08x}")


def put_checked(objects: ObjectIO, key: str, data: bytes) -> StoredObject:
    """Create an object, read it back and compare; an equal object that is there already is the same success.

    Raises
    ------
    Conflict
        If another object has the key (kind ``output-exists``).
    Corrupt
        If the store gives back other bytes than it was given (kind ``checksum-mismatch``).
    """
    record = describe(key, data)
    put_same(objects, key, data)
    if describe(key, objects.get(key)) != record:
        raise Corrupt(f"{objects.url}/{key} does not read back as it was written", Kind.CHECKSUM_MISMATCH, _BAD_STORE)
    return record


def put_same(objects: ObjectIO, key: str, data: bytes) -> None:
    """Create an object; no-op where the same bytes are there already, Conflict where others are.

    This makes every write idempotent: a lost reply, a resumed run and a second driver all end the same way.
    """
    try:
        objects.put(key, data)
    except Conflict:
        if objects.get(key) != data and objects.get(key) != data:  # read again: a bit may have flipped on its way
            raise


def get_checked(objects: ObjectIO, key: str, manifest: Manifest) -> bytes:
    """Read a whole object and compare it with the manifest.

    Raises
    ------
    Corrupt
        If it is listed but missing, of another size, or a checksum differs: the crc32c of a whole chunk is always the same.
    """
    record = manifest.by_key.get(key)
    if record is None:
        raise Corrupt(f"{objects.url}/{key} is not in the manifest", Kind.OBJECT_MISSING, DAMAGED)
    try:
        data = objects.get(key)
    except NotFound as err:
        raise Corrupt(f"{objects.url}/{key} is in the manifest but missing", Kind.OBJECT_MISSING, DAMAGED) from err
    if describe(key, data) != record:
        raise Corrupt(
            f"{objects.url}/{key} has {len(data)} bytes that do not match the manifest ({record.nbytes} bytes, "
            f"adler32 {record.adler32}, crc32c {record.crc32c})", Kind.CHECKSUM_MISMATCH, DAMAGED,
        )
    return data
