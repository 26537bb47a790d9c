"""Pictures that GDAL decodes, through rasterio: what the header says, and windows of bands.

GDAL knows 200 drivers, several of which follow names in a file to other files and to the network.  Here it is kept to the
one driver that is named, and to the one file: what lies beside it (.aux.xml, .msk, .tfw) is never opened.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lakecv.errors import Corrupt, InvalidInput, Kind, LakeCVError
from lakecv.sheet import Array
from lakecv_plugins.formats.stored import Sliceable

__all__ = ["Raster", "RasterHeader", "RasterMask", "raster_header"]

_CACHE_NBYTES = 64 << 20
_UNPACKED_AT_MOST = 1 << 14  # bytes of samples to bytes of file; a constant tile of zstd or LERC comes to about that
_OFFSET_NBYTES = 2  # a TIFF needs at least that for each tile, even for one that it leaves out


@dataclass(frozen=True)
class Raster:
    """Bands of a picture as (band, y, x), opened for each window."""

    path: Path
    driver: str
    page: int
    bands: tuple[int, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunks: tuple[int, ...] | None

    @contextmanager
    def open(self) -> Iterator[Sliceable]:
        """Open the file."""
        with _opened(self.path, self.driver, self.page) as file:
            yield _Bands(file, self)


@dataclass(frozen=True)
class RasterMask:
    """The mask that belongs to a picture, (y, x): 0 where a pixel is not to be used."""

    raster: Raster

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns."""
        return self.raster.shape[1:]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Always uint8."""
        return np.dtype(np.uint8)

    @property
    def chunks(self) -> tuple[int, ...] | None:
        """How the file cuts it: as the picture."""
        return None if self.raster.chunks is None else self.raster.chunks[1:]

    @contextmanager
    def open(self) -> Iterator[Sliceable]:
        """Open the file."""
        with _opened(self.raster.path, self.raster.driver, self.raster.page) as file:
            yield _Mask(file)


@dataclass(frozen=True)
class RasterHeader:
    """What the file says of one picture; ``names`` and ``tags`` have one entry per band of ``raster``."""

    raster: Raster
    npages: int
    crs: str | None
    affine: tuple[float, ...] | None
    nodata: float | None
    has_mask: bool
    is_scaled: bool
    names: tuple[str, ...]
    units: tuple[str, ...]
    tags: tuple[Mapping[str, str], ...]


def raster_header(path: Path, driver: str, page: int = 0) -> RasterHeader:
    """Read the header of a picture; ``page`` counts from 1, 0 = the first.

    Raises
    ------
    Corrupt
        ``file-malformed`` where it cannot be read or promises more samples than the file can hold.
    InvalidInput
        If it holds samples that numpy has no type for (kind ``dtype-unsupported``).
    """
    with _opened(path, driver, page) as file:
        kept = tuple(number for number, color in enumerate(file.colorinterp, 1) if color.name != "alpha") or (1,)
        raster = Raster(path, driver, page, kept, (len(kept), *file.shape), _dtype(file, path), _chunks(file, len(kept)))
        _check_size(file, path)
        tags = tuple(file.tags(number) | file.tags(number, ns="IMAGERY") for number in kept)
        return RasterHeader(
            raster, max(1, len(file.subdatasets)), _crs(file), _affine(file), _nodata(file), _has_mask(file),
            any(scale != 1.0 for scale in file.scales) or any(file.offsets),
            tuple(file.descriptions[number - 1] or "" for number in kept),
            tuple(file.units[number - 1] or "" for number in kept),
            tuple({key.lower(): str(value) for key, value in tag.items()} for tag in tags),
        )  # fmt: skip


@dataclass(frozen=True)
class _Bands:
    file: Any
    raster: Raster

    def __getitem__(self, key: tuple[slice, ...], /) -> Array:
        bands, rows, columns = key
        with _translated(self.raster.path):
            block: Array = self.file.read(list(self.raster.bands[bands]), window=_window(rows, columns))
        return block


@dataclass(frozen=True)
class _Mask:
    file: Any

    def __getitem__(self, key: tuple[slice, ...], /) -> Array:
        mask: Array = self.file.dataset_mask(window=_window(*key))
        return mask


def _window(rows: slice, columns: slice) -> Any:
    from rasterio.windows import Window

    return Window(columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start)


@contextmanager
def _opened(path: Path, driver: str, page: int) -> Iterator[Any]:
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    name = f"GTIFF_DIR:{page}:{path}" if page else str(path)
    options = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_PAM_ENABLED": "NO", "GDAL_CACHEMAX": _CACHE_NBYTES}
    with warnings.catch_warnings(), _translated(path), rasterio.Env(**options):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # said as a note instead
        with rasterio.open(name, driver=driver) as file:
            yield file


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Turn what rasterio and GDAL raise into what it means."""
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError

    try:
        yield
    except LakeCVError:
        raise
    except (RasterioError, CPLE_BaseError, ValueError, TypeError, IndexError, OverflowError) as err:
        said = err.__cause__ or err  # "Read failed. See previous exception for details."
        raise Corrupt(f"'{path.name}' cannot be decoded: {said}", Kind.FILE_MALFORMED, "copy or download it again") from err


def _dtype(file: Any, path: Path) -> np.dtype[Any]:
    found = sorted(set(file.dtypes))
    try:
        return np.result_type(*found)
    except TypeError as err:
        raise InvalidInput(
            f"'{path.name}' holds {', '.join(found)}; a cube holds integers or floats of at most 64 bits",
            Kind.DTYPE_UNSUPPORTED, "convert it, for instance to float32 (a complex cube: to its modulus)",
        ) from err


def _chunks(file: Any, nbands: int) -> tuple[int, ...]:
    together = nbands if str(file.interleaving.name if file.interleaving else "").lower() == "pixel" else 1
    return (together, *file.block_shapes[0])


def _check_size(file: Any, path: Path) -> None:
    """Refuse a header that promises more than the file can hold, before anybody makes room for it."""
    size, (height, width) = path.stat().st_size, file.block_shapes[0]
    promised = math.prod(file.shape) * file.count * np.dtype(file.dtypes[0]).itemsize
    ntiles = math.ceil(file.shape[0] / height) * math.ceil(file.shape[1] / width)
    if promised > size * _UNPACKED_AT_MOST or (file.driver == "GTiff" and ntiles * _OFFSET_NBYTES > size):
        raise Corrupt(
            f"'{path.name}' has {size} bytes; its header promises {promised} bytes of samples in {ntiles} tiles",
            Kind.FILE_MALFORMED, "copy or download it again",
        )


def _crs(file: Any) -> str | None:
    return str(file.crs.to_wkt()) if file.crs else None


def _affine(file: Any) -> tuple[float, ...] | None:
    found = tuple(float(number) for number in file.transform[:6])
    return None if found == (1.0, 0.0, 0.0, 0.0, 1.0, 0.0) else found


def _nodata(file: Any) -> float | None:
    value = file.nodata
    return float(value) if value is not None and math.isfinite(value) else None


def _has_mask(file: Any) -> bool:
    from rasterio.enums import MaskFlags

    return any(MaskFlags.per_dataset in flags for flags in file.mask_flag_enums)
