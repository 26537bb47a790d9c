"""FITS cubes: the spectral axis comes first in numpy's order; a variance HDU stays with its data.

Which HDU is the cube is decided by name (DATA, SCI, PRIMARY), as MUSE, JWST and radio pipelines write them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lakecv.cube import CubeSpec, Role
from lakecv.errors import Corrupt, InvalidInput, Kind, NotFound, nearest
from lakecv.ports import ReadHints, Source
from lakecv_plugins.formats.container import Container, Member, entry, refuse_detector
from lakecv_plugins.formats.fits_axes import dims_of, grid_of, spectral_axis
from lakecv_plugins.formats.fits_file import Hdu, hdus, text
from lakecv_plugins.formats.layout import Oriented, layout_of
from lakecv_plugins.formats.lazy import CubeFile
from lakecv_plugins.formats.stored import regular_file

if TYPE_CHECKING:
    import xarray as xr

    from lakecv.ports import CubeReader

__all__ = ["FitsReader"]

_MAGIC = b"SIMPLE  ="
_MAIN = ("DATA", "SCI", "PRIMARY")
_VARIANCE = ("STAT", "VARIANCE", "VAR")
_BESIDE = ("DQ", "MASK", "ERR", "ERROR", "UNCERT", "STDDEV", "WMAP", "NSAMPLE")


class FitsReader:
    """Reads FITS images."""

    def accepts(self, source: Source, head: bytes) -> bool:
        """Tell by the ending or the first card."""
        return source.path.suffix.lower() in {".fits", ".fit", ".fts", ".fz"} or head.startswith(_MAGIC)

    def probe(self, source: Source, hints: ReadHints) -> CubeSpec:
        """Read the headers."""
        return _open(source, hints).spec

    def read(self, source: Source, hints: ReadHints) -> xr.Dataset:
        """Open lazily."""
        return _open(source, hints).dataset()


def _open(source: Source, hints: ReadHints) -> CubeFile:
    name = source.path.name
    regular_file(source, lambda head: head.startswith(_MAGIC), "FITS")
    refuse_detector(hints, name)
    images = hdus(source.path)
    if not images:
        raise Corrupt(f"'{name}' holds no image: NAXIS = 0 in every HDU", Kind.FILE_MALFORMED, "download it again, or convert its table")
    main = _main(images, hints, name)
    shape = main.stored.shape
    layout, notes = layout_of(shape, hints, f"HDU '{main.name}'", dims_of(main.header, shape))
    member = replace(_member(main), dims=layout.axes)
    if layout.spectral is not None and not layout.is_flat:
        axis, more = spectral_axis(main.header, layout.axes, layout.spectral)
        member, notes = replace(member, axis=axis), (*notes, *(more if hints.axis is None else ()))
    members = tuple(member if image is main else _member(image) for image in images)
    grid = None if layout.is_flat else grid_of(main.header, layout.axes, shape)
    cube = Container(name, members, replace(hints, dims=None, path=main.name), (*notes, *_skipped(images, main))).cube(grid)
    variances = [image for image in images if _is_variance(image, main)]
    entries = [entry("variance", _member(image), Oriented(image.stored, layout), layout) for image in variances[:1]]
    return replace(cube, entries=(cube.entries[0], *entries, *cube.entries[1:]))


def _main(images: list[Hdu], hints: ReadHints, name: str) -> Hdu:
    """Choose the cube: what --path names, else DATA, SCI or PRIMARY, else the only one."""
    if hints.path is not None:
        found = [image for image in images if hints.path in {image.name, str(image.index)}]
        if not found:
            raise NotFound(
                f"'{name}' has no image HDU '{hints.path}'", Kind.ARRAY_UNKNOWN,
                nearest(hints.path, [image.name for image in images], "HDUs"),
            )
        return found[0]
    usable = [image for image in images if image.name.upper() not in (*_VARIANCE, *_BESIDE)] or images
    cubes = [image for image in usable if dims_of(image.header, image.stored.shape) is not None] or usable
    first = [image for wanted in _MAIN for image in cubes if image.name.upper() == wanted]
    if not first and len(cubes) > 1:
        listed = ", ".join(f"{image.name} ({' x '.join(map(str, image.stored.shape))})" for image in cubes[:8])
        raise InvalidInput(
            f"'{name}' holds {len(cubes)} images that could be the cube: {listed}", Kind.CUBE_AMBIGUOUS,
            f"choose with --path, such as --path {cubes[0].name}",
        )
    return (first or cubes)[0]


def _member(image: Hdu) -> Member:
    role = Role.VARIANCE if image.name.upper() in _VARIANCE else Role.DATA
    return Member(image.name, image.stored, unit=text(image.header, "BUNIT") or None, role=role, nodata=image.nodata)


def _is_variance(image: Hdu, main: Hdu) -> bool:
    return image is not main and image.name.upper() in _VARIANCE and image.stored.shape == main.stored.shape


def _skipped(images: list[Hdu], main: Hdu) -> tuple[str, ...]:
    """Say which other cubes were left out."""
    others = [image for image in images if image is not main and not _is_variance(image, main)]
    left = [image.name for image in others if len(image.stored.shape) > 2]  # noqa: PLR2004
    return (f"only HDU '{main.name}' is read; left out: {', '.join(left)}",) if left else ()


if TYPE_CHECKING:
    _: CubeReader = FitsReader()
