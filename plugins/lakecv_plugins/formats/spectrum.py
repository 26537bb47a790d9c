"""Point spectra: a cube of one pixel, or n rows of one pixel; several detectors are several arrays.

They are what a scan is calibrated with.  The text is read by :mod:`spectrum_text`, again for every window: it is small.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lakecv.cube import CubeSpec
from lakecv.ports import ReadHints, Source
from lakecv_plugins.formats.calibration import axes_differ
from lakecv_plugins.formats.container import Container, Member
from lakecv_plugins.formats.lazy import CubeFile
from lakecv_plugins.formats.spectrum_text import is_spectrum, spectra
from lakecv_plugins.formats.stored import Sliceable, regular_file

if TYPE_CHECKING:
    import xarray as xr

    from lakecv.ports import CubeReader

__all__ = ["SpectrumReader"]

_ENDINGS = {".mca", ".spe", ".msa", ".emsa"}
_MAGIC = (b"<<PMCA SPECTRUM>>", b"$SPEC_ID:", b"#FORMAT      : EMSA")


class SpectrumReader:
    """Reads .mca, .spe and .msa."""

    def accepts(self, source: Source, head: bytes) -> bool:
        """Tell by the ending or the first words."""
        return source.path.suffix.lower() in _ENDINGS or head.startswith(_MAGIC)

    def probe(self, source: Source, hints: ReadHints) -> CubeSpec:
        """Read the text."""
        return _open(source, hints).spec

    def read(self, source: Source, hints: ReadHints) -> xr.Dataset:
        """Open lazily."""
        return _open(source, hints).dataset()


@dataclass(frozen=True)
class _Text:
    """The spectra of one detector, (rows, 1, channels)."""

    path: Path
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunks: tuple[int, ...] | None = None

    @contextmanager
    def open(self) -> Iterator[Sliceable]:
        """Read the text."""
        yield spectra(self.path).values[self.name].reshape(self.shape).copy()


def _open(source: Source, hints: ReadHints) -> CubeFile:
    regular_file(source, is_spectrum, "spectrum (.mca, .spe, .msa)")
    found = spectra(source.path)
    members = tuple(
        Member(name, _Text(source.path, name, (len(values), 1, values.shape[1]), values.dtype), ("y", "x", "spectral"),
               axis=found.axes.get(name))
        for name, values in found.values.items()
    )  # fmt: skip
    several = hints.detector in {"sum", "all"} and hints.axis is None and len(found.axes) > 1
    notes = (*found.notes, *(axes_differ(list(found.axes.values())) if several else ()))
    return Container(source.path.name, members, hints, notes).cube()


if TYPE_CHECKING:
    _: CubeReader = SpectrumReader()
