"""GeoTIFF, also cloud-optimized: bands are the spectral axis; CRS, no-data value and mask come along.

Tiles are decoded as windows need them, by :mod:`raster`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lakecv.cube import CubeSpec, Grid, Role, SpectralAxis
from lakecv.errors import InvalidInput, Kind, LakeCVError, NotFound
from lakecv.ports import ReadHints, Source
from lakecv_plugins.formats.bands import band_axis
from lakecv_plugins.formats.container import Container, Member, refuse_detector
from lakecv_plugins.formats.georeference import Notes, placed
from lakecv_plugins.formats.lazy import CubeFile
from lakecv_plugins.formats.raster import RasterHeader, RasterMask, raster_header
from lakecv_plugins.formats.stored import regular_file

if TYPE_CHECKING:
    import xarray as xr

    from lakecv.ports import CubeReader

__all__ = ["TIFF", "GeoTiffReader", "is_tiff"]

TIFF = "GTiff"
_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # classic and big, little and big endian
_PAGES_AT_MOST = 4096


class GeoTiffReader:
    """Reads .tif."""

    def accepts(self, source: Source, head: bytes) -> bool:
        """Tell by the ending or the magic."""
        return source.path.suffix.lower() in {".tif", ".tiff", ".gtiff"} or is_tiff(head)

    def probe(self, source: Source, hints: ReadHints) -> CubeSpec:
        """Read the headers."""
        return _open(source, hints).spec

    def read(self, source: Source, hints: ReadHints) -> xr.Dataset:
        """Open lazily."""
        return _open(source, hints).dataset()


def is_tiff(head: bytes) -> bool:
    """Say whether a file begins as a TIFF."""
    return head.startswith(_MAGIC)


def _open(source: Source, hints: ReadHints) -> CubeFile:
    name = source.path.name
    regular_file(source, is_tiff, "TIFF")
    refuse_detector(hints, name)
    header = _page(source, hints)
    axis, notes = _axis(header)
    raster = header.raster
    unit = next(iter(set(header.units)), "") if len(set(header.units)) == 1 else ""
    member = Member("", raster, ("spectral", "y", "x"), unit or None, nodata=header.nodata, axis=axis)
    members = (member, Member("mask", RasterMask(raster), role=Role.MASK)) if header.has_mask else (member,)
    if header.has_mask and hints.mask is None:
        hints = replace(hints, mask="mask")
    grid, more = placed(Grid(raster.shape[1], raster.shape[2]), header.crs, header.affine)
    notes = () if hints.axis is not None else notes
    return Container(name, members, replace(hints, path=None), (*notes, *more, *_scaled(header), *_beside(source))).cube(grid)


def _page(source: Source, hints: ReadHints) -> RasterHeader:
    """Return the picture that --path names by its number, else the only one."""
    first = raster_header(source.path, TIFF)
    if first.npages == 1 and hints.path is None:
        return first
    if hints.path is not None and hints.path.isdecimal() and 1 <= int(hints.path) <= first.npages:
        return raster_header(source.path, TIFF, int(hints.path))
    if hints.path is not None:
        raise NotFound(
            f"'{source.path.name}' has no picture '{hints.path}'", Kind.ARRAY_UNKNOWN, f"name one by its number, 1 to {first.npages}",
        )
    raise _several(source, first)


def _several(source: Source, first: RasterHeader) -> LakeCVError:
    shape = " x ".join(map(str, first.raster.shape))
    return InvalidInput(
        f"'{source.path.name}' holds {first.npages} pictures, the first of {shape} (bands, rows, columns)", Kind.CUBE_AMBIGUOUS,
        "choose with --path, such as --path 1; or write their bands into one picture (gdal_merge.py -separate)",
    )


def _axis(header: RasterHeader) -> tuple[SpectralAxis, Notes]:
    """Wavelengths, where every band has one (GDAL's IMAGERY domain, or what it keeps of ENVI), and names."""
    values, unit = [_number(tags.get("central_wavelength_um")) for tags in header.tags], "um"
    if None in values:
        values = [_number(tags.get("wavelength")) for tags in header.tags]
        unit = header.tags[0].get("wavelength_units", header.tags[0].get("wavelength_unit", ""))
    known = [value for value in values if value is not None]
    return band_axis(len(values), header.names, known if len(known) == len(values) else None, unit)


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _scaled(header: RasterHeader) -> Notes:
    return ("the scale and offset that the file gives are not applied",) if header.is_scaled else ()


def _beside(source: Source) -> Notes:
    """Name the files that GDAL would have read, too."""
    path = source.path
    known = [path.with_suffix(".tfw"), path.with_name(f"{path.name}.aux.xml"), path.with_name(f"{path.name}.msk")]
    return tuple(f"'{file.name}' beside the file is not read" for file in known if file.is_file())


if TYPE_CHECKING:
    _: CubeReader = GeoTiffReader()
