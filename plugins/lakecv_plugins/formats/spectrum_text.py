"""Spectra as text, in the six ways that laboratories write them: numbers, their calibration, and what is missing.

Sources: Amptek's DppMCA manual (.mca); EPICS mca support (VERSION: ...); IAEA's $SPEC_ID blocks (.spe); SPEC's #@MCA and
@A lines (.mca of PyMca); EMSA/MAS (ISO 22029, .msa); and a plain column of numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lakecv.cube import SpectralAxis
from lakecv.errors import Corrupt, InvalidInput, Kind
from lakecv.sheet import Array
from lakecv_plugins.formats.calibration import axis_from_polynomial, axis_from_vector, spelled

__all__ = ["Spectra", "is_spectrum", "spectra"]

_NBYTES_AT_MOST = 256 << 20
_INT32 = 2**31
_COLUMN = re.compile(r"\A(?:[ \t]*(?:#[^\n]*)?\r?\n)*[ \t]*(?:[-+]?\.?\d[^\n]*(?:\n|\Z)|#|\Z)")


@dataclass(frozen=True)
class Spectra:
    """What a file holds: ``values`` (rows, channels) per detector, and the axis of each detector."""

    values: dict[str, Array]
    axes: dict[str, SpectralAxis] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def is_spectrum(head: bytes) -> bool:
    """Say whether a file begins as one of these texts."""
    return b"\0" not in head and _parser(head.decode("latin-1")) is not None


def spectra(path: Path) -> Spectra:
    """Read a file whole: they are small.

    Raises
    ------
    Corrupt
        ``short-read`` where numbers are missing, ``file-malformed`` where there is something else than numbers.
    InvalidInput
        If it is larger than 256 MiB (kind ``format-unknown``).
    """
    if path.stat().st_size > _NBYTES_AT_MOST:
        raise InvalidInput(f"'{path.name}' has more than 256 MiB; that is no spectrum", Kind.FORMAT_UNKNOWN, "convert it to HDF5")
    text = path.read_bytes().decode("latin-1").replace("\r\n", "\n").replace("\r", "\n")
    parser = _parser(text)
    if parser is None:
        raise _bad(path.name, f"begins with {text[:24]!r}; that is no spectrum")
    found = parser(text, path.name)
    if not found.values or any(not values.size for values in found.values.values()):
        raise _short(path.name, "holds no channel")
    return found


def _parser(text: str) -> Callable[[str, str], Spectra] | None:
    start = text.lstrip("\ufeff \t\r\n")
    if start.startswith("<<"):
        return _amptek
    if start.startswith("$"):
        return _iaea
    if re.match(r"VERSION\s*:", start):
        return _epics
    if re.match(r"#\s*FORMAT\s*:", start, re.IGNORECASE):
        return _emsa
    if re.match(r"#[FS] ", start):
        return _spec
    return _column if _COLUMN.match(text) else None


def _bad(name: str, why: str) -> Corrupt:
    return Corrupt(f"'{name}' {why}", Kind.FILE_MALFORMED, "copy or download it again, or export it again")


def _short(name: str, why: str) -> Corrupt:
    return Corrupt(f"'{name}' {why}", Kind.SHORT_READ, "the file was cut off; copy or download it again")


def _numbers(text: str, name: str) -> Array:
    """Read numbers parted by blanks or commas; counts become int32, all else float64."""
    try:
        values = np.array(text.replace(",", " ").split(), np.float64)
    except ValueError as err:
        raise _bad(name, f"has something else than numbers among its samples: {str(err)[:80]}") from err
    return _counts(values)


def _counts(values: Array) -> Array:
    whole = values.size and np.isfinite(values).all() and (np.abs(values) < _INT32).all() and (values == np.rint(values)).all()
    return values.astype(np.int32) if whole else values


def _one(values: Array, axis: SpectralAxis | None = None, notes: tuple[str, ...] = ()) -> Spectra:
    return Spectra({"data": values[None, :]}, {} if axis is None else {"data": axis}, notes)


def _coefficients(text: str, name: str, count: int) -> list[float]:
    """Read the first numbers of a line that may go on in words; zeros where there are fewer."""
    found = re.findall(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", text)[:count]
    if not found:
        raise _bad(name, f"has a calibration without numbers: {text[:40]!r}")
    return [float(number) for number in found] + [0.0] * (count - len(found))


def _column(text: str, name: str) -> Spectra:
    lines = [line.partition("#")[0].strip() for line in text.split("\n")]
    if any(len(line.split()) > 1 for line in lines):
        raise _bad(name, "has several columns without a header that tells them apart; one number per line is expected")
    return _one(_numbers(" ".join(lines), name), notes=("a plain column of numbers tells neither its energies nor its end",))


def _amptek(text: str, name: str) -> Spectra:
    """Read ``<<DATA>>`` to ``<<END>>``; ``<<CALIBRATION>>`` pairs a channel with an energy per line, a line is fitted."""
    blocks = dict(re.findall(r"^<<([A-Z0-9_ ]+)>>[^\n]*\n(.*?)(?=^<<)", text, re.DOTALL | re.MULTILINE))
    if "DATA" not in blocks:
        raise _short(name, "has no <<DATA>> that ends with <<END>>")
    values = _numbers(blocks["DATA"], name)
    lines = [line for line in blocks.get("CALIBRATION", "").splitlines() if line.strip() and not line.startswith("LABEL")]
    points = np.array([_coefficients(line, name, 2) for line in lines])
    if len(points) < 2 or np.ptp(points[:, 0]) == 0.0:  # noqa: PLR2004  (a line has two parameters)
        return _one(values)
    slope, offset = np.polyfit(points[:, 0], points[:, 1], 1)
    return _one(values, axis_from_polynomial(len(values), "keV", float(offset), float(slope)))


def _iaea(text: str, name: str) -> Spectra:
    """Read ``$DATA:`` with first and last channel; ``$MCA_CAL:`` (count, coefficients, unit) or ``$ENER_FIT:``."""
    blocks = dict(re.findall(r"^\$([A-Z0-9_]+):[^\n]*\n?(.*?)(?=^\$|\Z)", text, re.DOTALL | re.MULTILINE))
    first, _, rest = blocks.get("DATA", "").lstrip().partition("\n")
    bounds = _coefficients(first, name, 2) if first else [0.0, -1.0]
    values = _numbers(rest, name)
    expected = int(bounds[1]) - int(bounds[0]) + 1
    if len(values) != expected:
        raise _short(name, f"has {len(values)} channels; its $DATA promises {expected}")
    if blocks.get("MCA_CAL", "").strip():
        line = "".join(blocks["MCA_CAL"].strip().split("\n")[1:2])
        unit = spelled(line.strip().rpartition(" ")[2])
        return _one(values, axis_from_polynomial(expected, unit if unit in {"eV", "keV", "MeV"} else "keV", *_coefficients(line, name, 3)))
    if blocks.get("ENER_FIT", "").strip():
        return _one(values, axis_from_polynomial(expected, "keV", *_coefficients(blocks["ENER_FIT"], name, 2)))
    return _one(values)


def _epics(text: str, name: str) -> Spectra:
    """Read ``KEY: value per detector`` lines, then ``DATA:`` with a column per detector."""
    head, _, body = text.partition("\nDATA:")
    entries = dict(re.findall(r"^([A-Z_]+):[ \t]*([^\n]*)", head, re.MULTILINE))
    count, channels = (int(_coefficients(entries.get(key, "0"), name, 1)[0]) for key in ("ELEMENTS", "CHANNELS"))
    values = _numbers(body.partition("\n")[2], name)
    if count < 1 or len(values) != count * channels:
        raise _short(name, f"has {len(values)} samples; {channels} channels of {count} detectors are promised")
    table = values.reshape(channels, count)
    names = ["data"] if count == 1 else [f"mca{number}" for number in range(1, count + 1)]
    fits = [_coefficients(entries.get(f"CAL_{key}", "0"), name, count) for key in ("OFFSET", "SLOPE", "QUAD")]
    axes = {key: axis_from_polynomial(channels, "keV", *(fit[place] for fit in fits)) for place, key in enumerate(names)}
    return Spectra({key: table[None, :, place] for place, key in enumerate(names)}, axes)


def _spec(text: str, name: str) -> Spectra:
    """Read ``@A`` lines, which a backslash continues; each is a spectrum.  ``#@CALIB`` a b c: keV = a + b i + c i^2."""
    joined = re.sub(r"\\[ \t]*\n", " ", text)
    rows = [_numbers(line, name) for line in re.findall(r"^@A[A-Z0-9]*[ \t]+([^\n]*)", joined, re.MULTILINE)]
    promised = {int(size) for size in re.findall(r"^#@CHANN[ \t]+(\d{1,9})", joined, re.MULTILINE)}
    sizes = {len(row) for row in rows}
    if not rows or len(sizes) > 1 or (promised and not sizes <= promised) or text.rstrip(" \t\n").endswith("\\"):
        found = f"spectra of {', '.join(map(str, sorted(sizes)))} channels" if rows else "no spectrum (@A)"
        raise _short(name, f"holds {found}; {', '.join(map(str, sorted(promised))) or 'one number for all'} is expected")
    fits = set(re.findall(r"^#@CALIB[ \t]+([^\n]*)", joined, re.MULTILINE))
    stacked = {"data": np.stack(rows)}
    if len(fits) != 1:
        notes = (f"the spectra have {len(fits)} calibrations; channels are numbered instead",) if fits else ()
        return Spectra(stacked, notes=notes)
    return Spectra(stacked, {"data": axis_from_polynomial(sizes.pop(), "keV", *_coefficients(fits.pop(), name, 3))})


def _emsa(text: str, name: str) -> Spectra:
    """Read ``#KEY : value`` lines; ``#SPECTRUM`` to ``#ENDOFDATA`` holds Y, or X and Y."""
    entries = {key.strip().upper(): value.strip() for key, value in re.findall(r"^#([^:\n]+?)\s*:([^\n]*)", text, re.MULTILINE)}
    body = re.search(r"^#\s*SPECTRUM[^\n]*\n(.*?)^#\s*ENDOFDATA", text, re.DOTALL | re.MULTILINE | re.IGNORECASE)
    if body is None:
        raise _short(name, "has no #SPECTRUM that ends with #ENDOFDATA")
    values = _numbers(re.sub(r"^#[^\n]*", "", body[1], flags=re.MULTILINE), name)
    pairs = entries.get("DATATYPE", "Y").upper() == "XY"
    promised = int(_coefficients(entries.get("NPOINTS", "0"), name, 1)[0])
    if len(values) != promised * (2 if pairs else 1):
        raise _short(name, f"has {len(values)} numbers; its #NPOINTS promises {promised} {'pairs' if pairs else 'channels'}")
    unit = spelled(entries.get("XUNITS")) or "eV"
    if not pairs:
        offset, slope = (_coefficients(entries.get(key, "0"), name, 1)[0] for key in ("OFFSET", "XPERCHAN"))
        return _one(values, axis_from_polynomial(promised, unit, offset, slope))
    x, y = values.reshape(promised, 2).T
    y = _counts(y)
    try:
        axis, notes = axis_from_vector(x, "energy", unit)
    except InvalidInput as err:
        return _one(y, notes=(f"the X of the spectrum was not taken as its axis: {err}; channels are numbered instead",))
    return _one(y, axis, notes)
