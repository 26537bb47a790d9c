"""The image HDUs of a FITS file: headers and where the samples lie, checked against the size of the file.

Headers are walked block by block (FITS standard 4.0, section 3), so that a file that is cut off, or whose BITPIX lies, is
found before a sample is read.  Samples are then mapped; astropy parses the cards and unpacks compressed images.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from lakecv.errors import Corrupt, Kind
from lakecv_plugins.formats.stored import FlatFile, Sliceable, Stored

__all__ = ["Hdu", "Packed", "Scaled", "cards", "hdus", "number", "text"]

_BLOCK, _CARD = 2880, 80
_BLOCKS_AT_MOST = 2000  # 72,000 cards; more is not a header but a file without END
_TYPES = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
_AGAIN = "copy or download it again"


@dataclass(frozen=True)
class Hdu:
    """One image: its name, its header, its samples (axes in numpy order, the last FITS axis first)."""

    index: int
    name: str
    header: Any
    stored: Stored
    nodata: float | None


@dataclass(frozen=True)
class Scaled:
    """Integers that stand for ``zero + scale * stored``; BLANK becomes NaN in floats."""

    inner: Stored
    scale: float
    zero: float
    blank: int | None
    dtype: np.dtype[Any]

    @property
    def shape(self) -> tuple[int, ...]:
        """As stored."""
        return self.inner.shape

    @property
    def chunks(self) -> tuple[int, ...] | None:
        """As stored."""
        return self.inner.chunks

    @contextmanager
    def open(self) -> Iterator[Sliceable]:
        """Open the stored array behind the scaling."""
        with self.inner.open() as array:
            yield _ScaledView(self, array)


@dataclass(frozen=True)
class _ScaledView:
    scaled: Scaled
    array: Sliceable

    def __getitem__(self, key: tuple[slice, ...], /) -> Any:
        raw = np.asarray(self.array[key])
        if self.scaled.dtype.kind == "u":  # BZERO = 2**(n-1): an offset that flips the sign bit (section 4.4.2.5)
            unsigned = raw.astype(self.scaled.dtype)
            return unsigned + self.scaled.dtype.type(self.scaled.zero)
        values = raw.astype(self.scaled.dtype)
        values *= self.scaled.dtype.type(self.scaled.scale)
        values += self.scaled.dtype.type(self.scaled.zero)
        if self.scaled.blank is not None:
            values[raw == self.scaled.blank] = np.nan
        return values


@dataclass(frozen=True)
class Packed:
    """A tile-compressed image: astropy unpacks the tiles that a window touches."""

    path: Path
    index: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunks: tuple[int, ...] | None

    @contextmanager
    def open(self) -> Iterator[Sliceable]:
        """Open the file with astropy."""
        from astropy.io import fits

        with warnings.catch_warnings(), fits.open(self.path, memmap=True) as file:
            warnings.simplefilter("ignore")
            yield _Native(file[self.index].section)


@dataclass(frozen=True)
class _Native:
    section: Any

    def __getitem__(self, key: tuple[slice, ...], /) -> Any:
        try:
            return np.asarray(self.section[key])
        except (OSError, ValueError, RuntimeError, TypeError) as err:
            raise Corrupt(f"a compressed FITS image cannot be unpacked: {err}", Kind.CODEC_FAILED, _AGAIN) from err


def hdus(path: Path) -> list[Hdu]:
    """List the images.

    Raises
    ------
    Corrupt
        ``short-read`` where the headers promise more bytes than there are, ``file-malformed`` where a header has no
        END, an impossible BITPIX or NAXIS, or is followed by what is no extension.
    """
    size = path.stat().st_size
    found: list[Hdu] = []
    offset = index = 0
    with path.open("rb") as file:
        while offset < size:
            file.seek(offset)
            if index and not _goes_on(file, path, offset):
                break
            header, start = _header(file, path), file.tell()
            nbytes = _nbytes(header, path)
            if start + nbytes > size:
                raise Corrupt(
                    f"'{path.name}' has {size} bytes; HDU {index} ends at {start + nbytes} by its header", Kind.SHORT_READ,
                    f"the file was cut off, or BITPIX or NAXIS is wrong; {_AGAIN}",
                )
            image = _image(header, path, index, start)
            if image is not None:
                taken = {other.name for other in found}
                found.append(replace(image, name=f"{image.name},{index}") if image.name in taken else image)
            offset, index = start + -(-nbytes // _BLOCK) * _BLOCK, index + 1
    return found


def text(header: Any, key: str) -> str:
    """Return a card's value as text, empty where there is none or it cannot be parsed."""
    return str(_value(header, key, "")).strip()


def _value(header: Any, key: str, default: Any) -> Any:
    """Return a card's value, the default where there is none or it cannot be parsed."""
    from astropy.io.fits.verify import VerifyError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return header.get(key, default)
        except (VerifyError, ValueError, KeyError):
            return default


def number(header: Any, key: str, default: float) -> float:
    """Return a card's value as a number, the default where it is none or not finite."""
    found = _value(header, key, default)
    return float(found) if isinstance(found, int | float) and math.isfinite(found) else default


def cards(header: Any) -> list[tuple[str, str]]:
    """List keyword and text of the cards; those that astropy cannot write again are left out."""
    from astropy.io.fits.verify import VerifyError

    found: list[tuple[str, str]] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for card in header.cards:
            with suppress(VerifyError, ValueError):
                found.append((card.keyword, str(card)))
    return found


def _goes_on(file: IO[bytes], path: Path, offset: int) -> bool:
    """Say whether another extension follows; blocks of nothing but padding end the file."""
    block = file.read(_BLOCK)
    file.seek(offset)
    if block.startswith(b"XTENSION"):
        return True
    if not block.strip(b"\0 "):
        return False
    raise Corrupt(
        f"'{path.name}': what follows byte {offset} is no FITS extension ({block[:16]!r}); BITPIX or NAXIS is wrong",
        Kind.FILE_MALFORMED, _AGAIN,
    )


def _parsed(content: str, path: Path) -> Any:
    from astropy.io import fits
    from astropy.io.fits.verify import VerifyError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            header = fits.Header.fromstring(content)
            for card in header.cards:
                _ = card.keyword
        except (VerifyError, ValueError, KeyError, TypeError) as err:
            raise Corrupt(f"'{path.name}' has a FITS card that cannot be read: {err}", Kind.FILE_MALFORMED, _AGAIN) from err
    return header


def _header(file: IO[bytes], path: Path) -> Any:
    lines: list[bytes] = []
    for _number in range(_BLOCKS_AT_MOST):
        block = file.read(_BLOCK)
        if not block.isascii() or b"\0" in block or len(block) < _BLOCK:
            break
        lines.extend(block[place : place + _CARD] for place in range(0, _BLOCK, _CARD))
        if any(card.rstrip() == b"END" for card in lines[-_BLOCK // _CARD :]):
            return _parsed(b"".join(lines).decode("ascii"), path)
    raise Corrupt(f"'{path.name}' has a FITS header without END", Kind.FILE_MALFORMED, _AGAIN)


def _whole(header: Any, key: str, path: Path, default: int | None = None) -> int:
    found = _value(header, key, default)
    if isinstance(found, bool) or not isinstance(found, int) or (found < 0 and "BITPIX" not in key):
        raise Corrupt(f"'{path.name}' has {key} = {found!r} where a whole number belongs", Kind.FILE_MALFORMED, _AGAIN)
    return found


def _sizes(header: Any, path: Path, prefix: str = "") -> tuple[int, ...]:
    """Sizes of the axes in numpy order."""
    naxis = _whole(header, f"{prefix}NAXIS", path)
    if naxis > 999:  # noqa: PLR2004  (FITS standard)
        raise Corrupt(f"'{path.name}' has NAXIS = {naxis}", Kind.FILE_MALFORMED, _AGAIN)
    return tuple(_whole(header, f"{prefix}NAXIS{axis}", path) for axis in range(naxis, 0, -1))


def _type(header: Any, path: Path, prefix: str = "") -> np.dtype[Any]:
    bitpix = _whole(header, f"{prefix}BITPIX", path)
    if bitpix not in _TYPES:
        raise Corrupt(f"'{path.name}' has BITPIX = {bitpix}; known are {', '.join(map(str, _TYPES))}", Kind.FILE_MALFORMED, _AGAIN)
    return np.dtype(_TYPES[bitpix])


def _nbytes(header: Any, path: Path) -> int:
    """Bytes of the data after a header (FITS standard, equations 1 and 2)."""
    shape = _sizes(header, path)
    if not shape:
        return 0
    samples = _whole(header, "PCOUNT", path, 0) + int(np.prod(shape, dtype=object))
    return _type(header, path).itemsize * _whole(header, "GCOUNT", path, 1) * samples


def _image(header: Any, path: Path, index: int, start: int) -> Hdu | None:
    is_packed = _value(header, "ZIMAGE", default=False) is True
    if not is_packed and text(header, "XTENSION") not in {"", "IMAGE"}:
        return None
    prefix = "Z" if is_packed else ""
    shape = _sizes(header, path, prefix)
    if not shape:
        return None
    raw, name = _type(header, path, prefix), text(header, "EXTNAME") or ("PRIMARY" if index == 0 else str(index))
    scale, zero = number(header, "BSCALE", 1.0), number(header, "BZERO", 0.0)
    said = _value(header, "BLANK", None)
    blank = said if isinstance(said, int) and raw.kind in "iu" else None
    dtype = _scaled_type(raw, scale, zero)
    nodata = float(blank) if blank is not None and dtype == raw else None
    if is_packed:
        tiles = tuple(max(1, _whole(header, f"ZTILE{axis}", path, 1 if axis > 1 else shape[-1])) for axis in range(len(shape), 0, -1))
        return Hdu(index, name, header, Packed(path, index, shape, dtype.newbyteorder("="), tiles), nodata)
    stored: Stored = FlatFile(path, shape, raw, start)
    if dtype != raw:
        stored = Scaled(stored, scale, zero, blank, dtype)
    return Hdu(index, name, header, stored, nodata)


def _scaled_type(raw: np.dtype[Any], scale: float, zero: float) -> np.dtype[Any]:
    """Type after BSCALE and BZERO: unsigned for the sign offset, else a float that holds the integers, as astropy does."""
    if scale == 1.0 and zero == 0.0:
        return raw
    if scale == 1.0 and raw.kind == "i" and zero == 2.0 ** (8 * raw.itemsize - 1):
        return np.dtype(f"u{raw.itemsize}")
    if raw.kind == "f":
        return raw.newbyteorder("=")
    return np.dtype(np.float32 if raw.itemsize <= 2 else np.float64)  # noqa: PLR2004
