"""One array or table as a file for another program; the ending says which.

.png to look at, .npy to compute with, .csv for a spreadsheet, .tif for a GIS, .hdr (ENVI) for spectral software, .fits for
astronomers, .h5 (NeXus) for beamlines.  A file that exists is never overwritten, and a file with the final name is always whole.
"""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lakecv.cube import ArraySpec, Grid, Role, SpectralAxis
from lakecv.errors import Conflict, Denied, InvalidInput, Kind, NotFound
from lakecv.numerics.png import encode_png
from lakecv.report import export_csv, export_envi, export_fits, export_geotiff, export_nexus
from lakecv.report.palette import label_palette
from lakecv.report.pictures import no_data, scalar_rgba
from lakecv.report.subject import Subject
from lakecv.sheet import Array

__all__ = ["ENDINGS", "created", "export"]


@dataclass(frozen=True, slots=True)
class _Format:
    """How a file is written, and the name of a second one that belongs to it, where it has one."""

    write: Callable[[Subject, Path, Path | None], None]
    beside: Callable[[Subject, Path], Path | None] = lambda _subject, _to: None


def export(
    array: Array, spec: ArraySpec, axis: SpectralAxis | None, to: Path, *,
    grid: Grid | None = None, names: Mapping[int, str] | None = None, source: str = "",
) -> Path:
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
    grid : Grid, optional
        Where its pixels lie.
    names : mapping, optional
        Names of labels, by number.
    source : str
        Words that say which dataset it is of.

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
    PluginError
        If the format needs a library that is not installed (kind ``missing-extra``).
    """
    known = _FORMATS.get(to.suffix.lower())
    if known is None:
        raise InvalidInput(
            f"the ending {to.suffix!r} of {to.name!r} names no format that can be written", Kind.OPTION_INVALID,
            f"choose one of {', '.join(ENDINGS)}",
        )
    subject = Subject(array, spec, axis, grid, names or {}, source)
    beside = known.beside(subject, to)
    for path in (to, beside):
        if path is not None and os.path.lexists(path):
            raise _exists(path)
    if beside is None:
        with created(to) as part:
            known.write(subject, part, None)
        return to
    _write_pair(known, subject, to, beside)
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
    if not to.parent.is_dir():  # said here: not every library says so itself
        raise NotFound(f"there is no folder {str(to.parent)!r}", Kind.PATH_UNKNOWN, f"mkdir -p {to.parent}")
    part = to.with_name(f".{to.name}.{secrets.token_hex(6)}.part")
    try:
        yield part
        _publish(part, to)
    except FileExistsError as err:
        raise _exists(to) from err
    except PermissionError as err:
        raise Denied(f"{str(to)!r} may not be written", Kind.FORBIDDEN, "choose a folder of yours") from err
    except OSError as err:
        raise Denied(f"{str(to)!r} cannot be written: {err.strerror or err}", Kind.FORBIDDEN, "choose another place or name") from err
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def _write_pair(known: _Format, subject: Subject, to: Path, beside: Path) -> None:
    """Write a file and the one that belongs to it: that one is there first, and goes again where the file cannot be made."""
    is_ours = False
    try:
        with created(to) as part:
            with created(beside) as second:
                known.write(subject, part, second)
            is_ours = True
    except BaseException:
        if is_ours:
            beside.unlink(missing_ok=True)
        raise


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


def _png(subject: Subject) -> Iterable[bytes | memoryview]:
    """Draw labels in the report's colors, RGB as it is, a scalar map in viridis from its 2nd to its 98th percentile."""
    array, spec = subject.array, subject.spec
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


def _npy(subject: Subject) -> Iterable[bytes | memoryview]:
    """Write the array as it is; never as a pickle."""
    array, spec = subject.array, subject.spec
    if array.dtype.hasobject:
        raise InvalidInput(f"'{spec.name}' holds Python objects, not numbers", Kind.OPTION_INVALID, "export another array")
    head = io.BytesIO()
    whole = np.ascontiguousarray(array)
    np.lib.format.write_array_header_1_0(head, np.lib.format.header_data_from_array_1_0(whole))
    return [head.getvalue(), whole.data]


def _blanked(array: Array, spec: ArraySpec) -> NDArray[np.float64]:
    values = array.astype(float)
    return values if spec.nodata is None else np.where(array == spec.nodata, np.nan, values)


def _streamed(content: Callable[[Subject], Iterable[bytes | memoryview]]) -> _Format:
    """Make a format of what gives its bytes one piece after the other."""

    def write(subject: Subject, part: Path, _beside: Path | None) -> None:
        with part.open("xb") as file:
            file.writelines(content(subject))

    return _Format(write)


_GEOTIFF = _Format(export_geotiff.write, export_geotiff.sidecar)
_FITS, _NEXUS = _Format(export_fits.write), _Format(export_nexus.write)
_FORMATS = {
    ".png": _streamed(_png), ".npy": _streamed(_npy), ".csv": _streamed(export_csv.lines), ".tif": _GEOTIFF, ".tiff": _GEOTIFF,
    ".hdr": _Format(export_envi.write, export_envi.raw), ".fits": _FITS, ".h5": _NEXUS, ".nxs": _NEXUS,
}  # fmt: skip
ENDINGS = tuple(_FORMATS)
"""Endings that can be written."""
