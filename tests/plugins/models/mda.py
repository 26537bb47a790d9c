"""Spectra of an EPICS MDA file, read by its specification (big-endian XDR) and not by lakecv: numbers to compare with."""

import struct

import numpy as np


class _Stream:
    def __init__(self, data, at=0):
        self.data, self.at = data, at

    def take(self, form):
        [value] = struct.unpack_from(f">{form}", self.data, self.at)
        self.at += 4
        return value

    def ints(self, count):
        return [self.take("i") for _ in range(count)]

    def skip_strings(self, count):
        for _ in range(count):
            if self.take("i"):
                length = self.take("i")
                self.at += (length + 3) // 4 * 4


def spectra(path):
    """Scan of rank 3 as (y, x, detector, channel)."""
    data = path.read_bytes()
    stream = _Stream(data)
    stream.at = 8  # version, scan number
    rank = stream.take("i")
    stream.ints(rank + 2)  # dimensions, regularity, offset of extras
    return np.array(_scan(data, stream.at), np.float32)


def _scan(data, at):
    stream = _Stream(data, at)
    rank, points, _ = stream.ints(3)
    inner = stream.ints(points) if rank > 1 else []
    stream.skip_strings(2)
    positioners, detectors, triggers = stream.ints(3)
    for _ in range(positioners):
        stream.take("i")
        stream.skip_strings(7)
    for _ in range(detectors):
        stream.take("i")
        stream.skip_strings(3)
    for _ in range(triggers):
        stream.take("i")
        stream.skip_strings(1)
        stream.take("f")
    if inner:
        return [_scan(data, offset) for offset in inner]
    return np.frombuffer(data, ">f4", detectors * points, stream.at + 8 * positioners * points).reshape(detectors, points)
