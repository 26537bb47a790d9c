"""One array or table as a file for another program: .png to look at, .npy to compute with, .csv for a spreadsheet.

A file that exists is never overwritten, and a file with the final name is always whole.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lakecv.cube import ArraySpec, Role, SpectralAxis
from lakecv.errors import Conflict, Denied, InvalidInput, Kind, NotFound
from lakecv.numerics.png import encode_png
from lakecv.report.palette import label_palette
from lakecv.report.pictures import no_data, scalar_rgba
from lakecv.report.text import clean
from lakecv.sheet import Array

__all__ = ["ENDINGS", "export"]

_CSV_SAMPLES = 20_000_000
_CSV_ROWS = 65_536
_FORMULA = ("=", "+", "-", "@")
_Content = Callable[[Array, ArraySpec, SpectralAxis | None], Iterable[bytes | memoryview]]


def export(array: Array, spec: ArraySpec, axis: SpectralAxis | None, to: Path) -> Path:
    """Write an array to a new file; the ending names the format.

    Parameters
    ----------
    array : (y, x), (y, x, own) or a table's own shape
        What is written.
    spec : ArraySpec
        Its role, dims, unit and no-data value.
    axis : SpectralAxis or None
        Coordinates of its ``spectral`` dim, if it has one; channel numbers where that does not fit.
    to : Path
        A file that does not exist yet.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InvalidInput
        If the ending is not known or the array does not fit the format (kind ``option-invalid``).
    Conflict
        If the file exists (kind ``output-exists``).
    NotFound, Denied
        If the folder does not exist, or may not be written to.
    """
    content = _FORMATS.get(to.suffix.lower())
    if content is None:
        raise InvalidInput(
            f"the ending {to.suffix!r} of {to.name!r} names no format that can be written", Kind.OPTION_INVALID,
            f"choose one of {', '.join(ENDINGS)}",
        )
    if os.path.lexists(to):
        raise _exists(to)
    with created(to) as part, part.open("xb") as file:
        file.writelines(content(array, spec, axis))
    return to


@contextlib.contextmanager
def created(to: Path) -> Iterator[Path]:
    """Give a name beside the file to write to, and make it the file, once written, if there is none by then.

    Raises
    ------
    Conflict
        If there is a file already (kind ``output-exists``); nothing of the user is ever overwritten.
    NotFound, Denied, InvalidInput
        If it cannot be written there; nothing is left.
    """
    if "\0" in str(to):
        raise InvalidInput(f"{str(to)!r} is not a path", Kind.PATH_MALFORMED, "give a path to a file")
    part = to.with_name(f".{to.name}.{secrets.token_hex(6)}.part")
    try:
        yield part
        _publish(part, to)
    except FileExistsError as err:
        raise _exists(to) from err
    except (FileNotFoundError, NotADirectoryError) as err:
        raise NotFound(f"there is no folder {str(to.parent)!r}", Kind.PATH_UNKNOWN, f"mkdir -p {to.parent}") from err
    except PermissionError as err:
        raise Denied(f"{str(to)!r} may not be written", Kind.FORBIDDEN, "choose a folder of yours") from err
    except OSError as err:
        raise Denied(f"{str(to)!r} cannot be written: {err.strerror}", Kind.FORBIDDEN, "choose another place or name") from err
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def _publish(part: Path, to: Path) -> None:
    """Name a whole file; where the file system has no links (FAT, some shares), copy it create-only."""
    try:
        os.link(part, to)
    except FileExistsError:
        raise
    except OSError:
        with part.open("rb") as source, to.open("xb") as target:
            shutil.copyfileobj(source, target)


def _exists(to: Path) -> Conflict:
    return Conflict(f"{str(to)!r} exists and is not overwritten", Kind.OUTPUT_EXISTS, "remove it or choose another name")


def _png(array: Array, spec: ArraySpec, _axis: SpectralAxis | None) -> Iterable[bytes | memoryview]:
    """Draw labels in the report's colors, RGB as it is, a scalar map in viridis from its 2nd to its 98th percentile."""
    if spec.role is Role.RGB and array.ndim == 3 and array.dtype == np.uint8:  # noqa: PLR2004
        return [encode_png(np.ascontiguousarray(array[..., :4], np.uint8))]
    if not spec.is_image or array.ndim != 2:  # noqa: PLR2004
        raise InvalidInput(
            f"'{spec.name}' has the dims ({', '.join(spec.dims)}); a picture needs (y, x)", Kind.OPTION_INVALID,
            "name another array with --array, such as labels, or write this one to .npy or .csv",
        )
    if spec.role is Role.LABELS:
        absent = array == no_data(spec, array)
        count = int(array[~absent].max(initial=0)) + 1
        return [encode_png(label_palette(count)[np.where(absent, count, array).astype(np.intp)])]
    values = _blanked(array, spec)
    finite = values[np.isfinite(values)]
    low, high = np.percentile(finite, [2, 98]) if finite.size else (0.0, 1.0)
    return [encode_png(scalar_rgba(values, "viridis", float(low), float(high)))]


def _npy(array: Array, spec: ArraySpec, _axis: SpectralAxis | None) -> Iterable[bytes | memoryview]:
    """Write the array as it is; never as a pickle."""
    if array.dtype.hasobject:
        raise InvalidInput(f"'{spec.name}' holds Python objects, not numbers", Kind.OPTION_INVALID, "export another array")
    head = io.BytesIO()
    whole = np.ascontiguousarray(array)
    np.lib.format.write_array_header_1_0(head, np.lib.format.header_data_from_array_1_0(whole))
    return [head.getvalue(), whole.data]


def _csv(array: Array, spec: ArraySpec, axis: SpectralAxis | None) -> Iterable[bytes | memoryview]:
    """Write a row of names, a row of units, then values; no data is an empty cell."""
    if array.size > _CSV_SAMPLES or not 1 <= array.ndim <= 3:  # noqa: PLR2004
        raise InvalidInput(
            f"'{spec.name}' has {array.size:,} samples in {array.ndim} dims; a table takes {_CSV_SAMPLES:,} in at most 3",
            Kind.OPTION_INVALID, "write it to .npy",
        )
    names, units, columns = _image(array, spec, axis) if spec.is_image else _table(array, spec, axis)
    yield _lines([[_safe(name) for name in names], [_safe(unit) for unit in units]])
    for start in range(0, len(columns[0]), _CSV_ROWS):
        yield _lines(zip(*(_text(column[start : start + _CSV_ROWS], spec) for column in columns), strict=True))


_Columns = tuple[list[str], list[str], list[Array]]


def _image(array: Array, spec: ArraySpec, axis: SpectralAxis | None) -> _Columns:
    """Give a row to each pixel: y, x, and its value or values."""
    y, x = np.indices(array.shape[:2]).reshape(2, -1)
    flat = array.reshape(len(y), -1)
    names = [spec.name] if array.ndim == 2 else _entries(spec.dims[2], array.shape[2], axis)  # noqa: PLR2004
    units = ["pixel", "pixel", *[spec.unit or ""] * flat.shape[1]]
    return ["y", "x", *names], units, [y, x, *flat.T]


def _table(array: Array, spec: ArraySpec, axis: SpectralAxis | None) -> _Columns:
    """Give a row to each entry of the table's first dim; spectra stand in columns, after their coordinate."""
    unit = spec.unit or ""
    flat = array.reshape(len(array), -1)
    if spec.dims[-1] == "spectral":
        curves = np.atleast_2d(array).reshape(-1, array.shape[-1])
        known = axis if axis is not None and axis.size == array.shape[-1] else SpectralAxis(array.shape[-1])
        names = _entries(spec.dims[0], len(curves), None) if array.ndim > 1 else [spec.name]
        return [str(known.quantity), *names], [known.unit or "", *[unit] * len(curves)], [np.array(known.coordinates), *curves]
    names = [spec.name] if array.ndim == 1 else _entries(spec.dims[1], flat.shape[1], None)
    first = np.arange(len(array)) + (0 if spec.dims[0] == "label" else 1)
    return [spec.dims[0], *names], ["", *[unit] * flat.shape[1]], [first, *flat.T]


def _entries(dim: str, size: int, axis: SpectralAxis | None) -> list[str]:
    """Names along a dim: coordinates for ``spectral``, numbers from 0 for labels and from 1 for the rest."""
    if dim == "spectral":
        known = axis if axis is not None and axis.size == size else SpectralAxis(size)
        return [f"{value:.10g} {known.unit}" if known.unit else f"channel {value:g}" for value in known.coordinates]
    return [f"{dim} {index if dim == 'label' else index + 1}" for index in range(size)]


def _text(column: Array, spec: ArraySpec) -> list[str]:
    """Shortest decimal text that reads back as the same number; empty where there are no data."""
    text: list[str] = column.astype(str).tolist()
    if spec.nodata is None or column.dtype.str != np.dtype(spec.dtype).str:
        return text
    return ["" if absent else cell for cell, absent in zip(text, column == spec.nodata, strict=True)]


def _safe(text: str) -> str:
    """Keep a spreadsheet from running text as a formula (OWASP, CSV injection)."""
    plain = clean(text)
    return f"'{plain}" if plain.lstrip().startswith(_FORMULA) else plain


def _lines(rows: Iterable[Iterable[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _blanked(array: Array, spec: ArraySpec) -> NDArray[np.float64]:
    values = array.astype(float)
    return values if spec.nodata is None else np.where(array == spec.nodata, np.nan, values)


_FORMATS: dict[str, _Content] = {".png": _png, ".npy": _npy, ".csv": _csv}
ENDINGS = tuple(_FORMATS)
"""Endings that can be written."""
