"""Writes EPICS MDA files from the description of the format, for the tests."""

import struct

import numpy as np


def integers(*values):
    return struct.pack(f">{len(values)}i", *values)


def text(value):
    data = value.encode()
    return integers(len(data)) + (integers(len(data)) + data.ljust((len(data) + 3) // 4 * 4, b"\0") if data else b"")


def scan(start, rank, *, inner=None, npoints=0, positioners=(), detectors=(), samples=b"", clock="NOV 01, 2026 10:00:00"):
    """One scan at a place of the file; ``inner`` makes the next scan at a place, or None for one never reached."""
    names = [integers(number) + b"".join(map(text, (name, "moved", "LINEAR", unit, "", "", ""))) for number, (name, unit, _) in enumerate(positioners)]
    names += [integers(number) + text(name) + text("") + text("counts") for number, name in enumerate(detectors)]
    rest = text(f"x:scan{rank}") + text(clock) + integers(len(positioners), len(detectors), 1) + b"".join(names)
    rest += integers(0) + text("x:go") + struct.pack(">f", 1.0)
    rest += b"".join(np.asarray(values, ">f8").tobytes() for *_, values in positioners) + samples
    npoints = len(inner) if inner is not None else npoints
    place = start + 12 + 4 * len(inner or ()) + len(rest)
    places, below = [], b""
    for make in inner or ():
        made = b"" if make is None else make(place + len(below))
        places.append(place + len(below) if made else 0)
        below += made
    return integers(rank, npoints, npoints) + integers(*places) + rest + below


def mda(cubes, reached=None, calibration=None, step=0.5):
    """A file of one cube (y, x, channel) per detector; points after the first ``reached`` of them were never reached."""
    names = list(cubes)
    ny, nx, channels = cubes[names[0]].shape
    reached = ny * nx if reached is None else reached

    def point(y, x):
        if y * nx + x >= reached:
            return None
        samples = b"".join(cubes[name][y, x].astype(">f4").tobytes() for name in names)
        clock = "NOV 01, 2026 10:00:00." + "0" * (x % 3)  # headers of different lengths
        return lambda start: scan(start, 1, npoints=channels, detectors=[f"dxp:{name}.VAL" for name in names], samples=samples, clock=clock)

    def row(y):
        moved = [("x:m2", "mm", np.arange(nx) * step)]
        counts = np.zeros(nx, ">f4").tobytes()
        inner = [point(y, x) for x in range(nx)]
        return (lambda start: scan(start, 2, inner=inner, positioners=moved, detectors=["ring"], samples=counts)) if inner[0] else None

    start = 8 + 4 + 3 * 4 + 8
    body = scan(start, 3, inner=[row(y) for y in range(ny)], positioners=[("x:m1", "mm", np.arange(ny) * -0.25)])
    return struct.pack(">f", 1.3) + integers(7, 3, ny, nx, channels, 1, start + len(body)) + body + variables(calibration or {})


def variables(found):
    """Process variables: a text, a vector of bytes, one number that is needed and one that is not."""
    data = integers(3 + len(found)) + text("note") + text("") + integers(0) + text("a text")
    data += text("vector") + text("") + integers(32, 5) + text("") + b"hello\0\0\0"
    data += text("shorts") + text("") + integers(29, 3) + text("") + integers(1, 2, 3)
    for name, value in found.items():
        data += text(f"dxp:{name}") + text("") + integers(34, 1) + text("keV") + struct.pack(">d", value)
    return data
