"""Sentinel-2: a folder of one file per band, loose (B02.tif) or as a SAFE product has them (.._B08_10m.jp2).

Bands are sorted by their central wavelength and brought to the finest grid among them by repetition, which invents
nothing; where a coarse pixel is not a whole number of fine ones, the folder is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lakecv.cube import CubeSpec, Grid, Quantity, SpectralAxis
from lakecv.errors import Corrupt, InvalidInput, Kind, NotFound
from lakecv.ports import ReadHints, Source
from lakecv.sheet import Array
from lakecv_plugins.formats.container import Container, Member, refuse_detector
from lakecv_plugins.formats.georeference import placed
from lakecv_plugins.formats.geotiff import TIFF
from lakecv_plugins.formats.lazy import CubeFile
from lakecv_plugins.formats.raster import RasterHeader, raster_header
from lakecv_plugins.formats.stored import Sliceable

if TYPE_CHECKING:
    import xarray as xr

    from lakecv.ports import CubeReader

__all__ = ["Sentinel2Reader"]

# Central wavelengths of Sentinel-2A in nm and native pixels in m: ESA, "Sentinel-2 User Handbook", table 1 of section 2.
_BANDS = {
    "B01": (443.0, 60), "B02": (490.0, 10), "B03": (560.0, 10), "B04": (665.0, 10), "B05": (705.0, 20), "B06": (740.0, 20),
    "B07": (783.0, 20), "B08": (842.0, 10), "B8A": (865.0, 20), "B09": (945.0, 60), "B10": (1375.0, 60), "B11": (1610.0, 20),
    "B12": (2190.0, 20),
}  # fmt: skip
_DRIVERS = {".tif": TIFF, ".tiff": TIFF, ".jp2": "JP2OpenJPEG"}
_NAME = re.compile(r"(?:(?P<product>.*)_)?(?P<band>B(?:0?[1-9]|1[0-2]|8A))(?:_(?P<metres>10|20|60)m)?", re.IGNORECASE)
_FILES_AT_MOST = 100_000
_SAME_PLACE = 1e-6


class Sentinel2Reader:
    """Reads a folder of band files."""

    def accepts(self, source: Source, head: bytes) -> bool:
        """Tell by the ending .SAFE, or by two files in the folder that are named after bands."""
        if head or not source.path.is_dir():
            return False
        return source.path.suffix.upper() == ".SAFE" or len({band.name for band in _found(source.path.iterdir())}) > 1

    def probe(self, source: Source, hints: ReadHints) -> CubeSpec:
        """Read the headers of all bands."""
        return _open(source, hints).spec

    def read(self, source: Source, hints: ReadHints) -> xr.Dataset:
        """Open lazily."""
        return _open(source, hints).dataset()


@dataclass(frozen=True)
class _Band:
    name: str
    metres: int
    product: str
    path: Path


@dataclass(frozen=True)
class _Stack:
    """Bands as (band, y, x) on one grid; ``factors`` says how often a pixel of each is repeated, down and across."""

    bands: tuple[RasterHeader, ...]
    factors: tuple[int, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunks: tuple[int, ...] | None

    @contextmanager
    def open(self) -> Iterator[Sliceable]:
        """Open the bands when they are asked for."""
        with ExitStack() as stack:
            yield _View(self, stack)


@dataclass(frozen=True)
class _View:
    stored: _Stack
    stack: ExitStack

    def __getitem__(self, key: tuple[slice, ...], /) -> Array:
        bands, rows, columns = key
        return np.stack([self._band(number, rows, columns) for number in range(bands.start, bands.stop)])

    def _band(self, number: int, rows: slice, columns: slice) -> Array:
        """Read the coarse pixels under a window, repeat them, and cut the window out."""
        factor, band = self.stored.factors[number], self.stored.bands[number].raster
        coarse = [slice(span.start // factor, -(-span.stop // factor)) for span in (rows, columns)]
        with band.open() as file:
            block = np.asarray(file[slice(0, 1), coarse[0], coarse[1]])[0].astype(self.stored.dtype, copy=False)
        for axis in (0, 1):
            block = block.repeat(factor, axis) if factor > 1 else block
        first = [span.start - part.start * factor for span, part in zip((rows, columns), coarse, strict=True)]
        window: Array = block[first[0] : first[0] + rows.stop - rows.start, first[1] : first[1] + columns.stop - columns.start]
        return window


def _open(source: Source, hints: ReadHints) -> CubeFile:
    if not source.path.is_dir():
        raise InvalidInput(f"'{source.url}' is not a folder", Kind.NOT_A_FILE, "give the folder that holds B02.tif, B03.tif, ...")
    refuse_detector(hints, source.path.name)
    chosen = _chosen(source, hints)
    headers = tuple(_header(band) for band in chosen)
    finest = max(headers, key=lambda header: header.raster.shape[1] * header.raster.shape[2])
    factors = tuple(_factor(header, finest) for header in headers)
    shape = (len(headers), *finest.raster.shape[1:])
    dtype = np.result_type(*(header.raster.dtype for header in headers))
    stack = _Stack(headers, factors, shape, dtype, None if finest.raster.chunks is None else (1, *finest.raster.chunks[1:]))
    names = tuple(band.name for band in chosen)
    axis = SpectralAxis(len(names), Quantity.WAVELENGTH, "nm", values=tuple(_BANDS[name][0] for name in names), names=names)
    nodata = {header.nodata for header in headers}
    member = Member("", stack, ("spectral", "y", "x"), nodata=nodata.pop() if len(nodata) == 1 else None, axis=axis)
    grid, notes = placed(Grid(shape[1], shape[2]), finest.crs, finest.affine)
    repeated = [f"{name} x{factor}" for name, factor in zip(names, factors, strict=True) if factor > 1]
    if repeated:
        notes = (*notes, f"pixels of coarser bands are repeated: {', '.join(repeated)}")
    return Container(source.path.name, (member,), replace(hints, path=None), notes).cube(grid)


def _found(files: Any) -> list[_Band]:
    """Files that are named after a band."""
    bands = []
    for path in files:
        match = _NAME.fullmatch(path.stem) if path.suffix.lower() in _DRIVERS else None
        if match:
            name = match["band"].upper()
            name = name if name in _BANDS else f"B0{name[1:]}"
            bands.append(_Band(name, int(match["metres"] or _BANDS[name][1]), match["product"] or "", path))
    return bands


def _chosen(source: Source, hints: ReadHints) -> list[_Band]:
    """One file per band, the finest, by wavelength; --path names bands, such as B02,B03,B08."""
    folder = source.path
    files = [path for path, _ in zip(sorted(folder.rglob("*")), range(_FILES_AT_MOST), strict=False)]
    found = [band for band in _found(files) if "QI_DATA" not in band.path.parts]
    if not found:
        raise Corrupt(f"'{source.url}' holds no band of Sentinel-2", Kind.FILE_MALFORMED, "files named B02.tif or .._B02_10m.jp2 are expected")
    tiles = sorted({band.product for band in found})
    if len(tiles) > 1:
        raise InvalidInput(
            f"'{folder.name}' holds bands of {len(tiles)} tiles or times: {', '.join(tile or 'one without a name' for tile in tiles[:8])}", Kind.CUBE_AMBIGUOUS,
            "register one at a time: a folder per tile and time",
        )
    best: dict[str, _Band] = {}
    for band in sorted(found, key=lambda item: -item.metres):
        best[band.name] = band
    if hints.path is not None:
        best = _wanted(hints.path, best, folder)
    return sorted(best.values(), key=lambda band: _BANDS[band.name][0])


def _wanted(text: str, best: dict[str, _Band], folder: Path) -> dict[str, _Band]:
    names = [part.strip().upper() for part in text.split(",")]
    names = [name if name in _BANDS else f"B0{name[1:]}" for name in names]
    missing = [name for name in names if name not in best]
    if missing:
        raise NotFound(
            f"'{folder.name}' has no band {', '.join(missing)}; it has {', '.join(sorted(best))}", Kind.ARRAY_UNKNOWN,
            "download the missing bands, or leave them out of --path",
        )
    return {name: best[name] for name in names}


def _header(band: _Band) -> RasterHeader:
    if band.path.stat().st_size == 0:
        raise Corrupt(f"'{band.path.name}' is empty (0 bytes)", Kind.FILE_MALFORMED, "copy or download it again")
    header = raster_header(band.path, _DRIVERS[band.path.suffix.lower()])
    if header.raster.shape[0] != 1:
        raise InvalidInput(
            f"'{band.path.name}' holds {header.raster.shape[0]} bands; one is expected", Kind.CUBE_AMBIGUOUS,
            "register that file by itself, as a GeoTIFF",
        )
    return header


def _factor(header: RasterHeader, finest: RasterHeader) -> int:
    """How often a pixel is repeated to come to the finest grid.

    Raises
    ------
    InvalidInput
        If it is not a whole number, or the band lies elsewhere (kind ``shape-invalid``).
    """
    (ny, nx), (fine_y, fine_x) = header.raster.shape[1:], finest.raster.shape[1:]
    factor = fine_y // ny
    if (ny * factor, nx * factor) != (fine_y, fine_x):
        raise InvalidInput(
            f"'{header.raster.path.name}' has {ny} x {nx} pixels, '{finest.raster.path.name}' has {fine_y} x {fine_x}; that is no "
            "whole factor", Kind.SHAPE_INVALID, "bring the bands to one grid first (gdalwarp), or choose some with --path B02,B03",
        )  # fmt: skip
    if header.crs != finest.crs or not _same_corner(header.affine, finest.affine, factor):
        raise InvalidInput(
            f"'{header.raster.path.name}' and '{finest.raster.path.name}' do not lie at the same place", Kind.SHAPE_INVALID,
            "a folder holds the bands of one tile; check what was copied into it",
        )
    return factor


def _same_corner(coarse: tuple[float, ...] | None, fine: tuple[float, ...] | None, factor: int) -> bool:
    if coarse is None or fine is None:
        return coarse == fine
    scaled = [fine[0] * factor, fine[1] * factor, fine[2], fine[3] * factor, fine[4] * factor, fine[5]]
    side = max(abs(fine[0]), abs(fine[4]), abs(fine[1]))
    return bool(np.allclose(coarse, scaled, rtol=0.0, atol=_SAME_PLACE * side * max(factor, 1) + _SAME_PLACE * side))


if TYPE_CHECKING:
    _: CubeReader = Sentinel2Reader()
