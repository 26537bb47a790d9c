"""Where pixels and channels are: grids, windows, cells, blocks, and the shape of a dataset's arrays.

Everything lakecv plans or moves is described by these values; they hold no pixels and import no engine.
Dimensions are always (y, x, spectral); windows are half-open.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from itertools import pairwise

from lakecv.errors import InvalidInput, Kind, NotFound, nearest

__all__ = [
    "CELL_PIXELS",
    "ITEMSIZE",
    "UNITS",
    "ArraySpec",
    "Block",
    "Cell",
    "CellGrid",
    "CubeSpec",
    "Grid",
    "Quantity",
    "Role",
    "SpectralAxis",
    "Window",
]

CELL_PIXELS = 4096
ITEMSIZE = {"bool": 1, "int8": 1, "uint8": 1, "int16": 2, "uint16": 2, "float16": 2, "int32": 4, "uint32": 4,
             "float32": 4, "int64": 8, "uint64": 8, "float64": 8}


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """A half-open rectangle of pixels, ``y0 <= y < y1`` and ``x0 <= x < x1``."""

    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def height(self) -> int:
        """Rows."""
        return self.y1 - self.y0

    @property
    def width(self) -> int:
        """Columns."""
        return self.x1 - self.x0

    @property
    def npixels(self) -> int:
        """Rows times columns."""
        return self.height * self.width

    def slices(self, origin: Window | None = None) -> tuple[slice, slice]:
        """Index of this window in an array that covers ``origin`` (default: one that starts at 0, 0)."""
        y, x = (origin.y0, origin.x0) if origin else (0, 0)
        return slice(self.y0 - y, self.y1 - y), slice(self.x0 - x, self.x1 - x)

    def intersect(self, other: Window) -> Window | None:
        """Return the pixels in both, or None where there are none."""
        cut = Window(max(self.y0, other.y0), min(self.y1, other.y1), max(self.x0, other.x0), min(self.x1, other.x1))
        return cut if cut.height > 0 and cut.width > 0 else None


@dataclass(frozen=True, slots=True)
class Cell:
    """The unit of arithmetic: a fixed window of the input grid, the same in every plan."""

    index: int
    window: Window


@dataclass(frozen=True, slots=True)
class Block:
    """The unit of work, placement, retry and commit: a window made of whole chunks, so of whole cells."""

    index: int
    window: Window


@dataclass(frozen=True, slots=True)
class CellGrid:
    """The cells of a picture of ``ny`` by ``nx`` pixels stored in chunks of ``chunk`` pixels.

    A chunk is cut into equal cells of at most ``CELL_PIXELS`` pixels, so a cell never crosses a chunk.  The grid follows
    from how the input is stored, never from a plan: this is what makes every sum independent of the blocks.
    ``offset`` are rows and columns of the first chunks that lie before the picture: it is a window of a larger one.

    Examples
    --------
    >>> grid = CellGrid(100, 100, (128, 64))
    >>> grid.cell, [cell.window.npixels for cell in grid.cells(Window(0, 100, 0, 64))]
    ((50, 64), [3200, 3200])
    """

    ny: int
    nx: int
    chunk: tuple[int, int]
    offset: tuple[int, int] = (0, 0)

    @property
    def cell(self) -> tuple[int, int]:
        """Height and width of a full cell; arrays given to models are padded to this."""
        return _cut(*(min(self._end(along), self.chunk[along]) for along in (0, 1)))

    @property
    def window(self) -> Window:
        """The whole picture."""
        return Window(0, self.ny, 0, self.nx)

    def edges(self, along: int) -> tuple[int, ...]:
        """First row (or column, ``along`` 1) of each chunk, and the end of the picture."""
        chunk, offset, end = self.chunk[along], self.offset[along], self._end(along)
        return (0, *(edge - offset for edge in range(chunk, end, chunk)), end - offset)

    def chunks(self, window: Window) -> Iterator[Window]:
        """Cut a window at the edges of chunks, row by row."""
        rows, columns = (self._between(start, stop, along) for along, (start, stop) in enumerate(_sides(window)))
        yield from (Window(y0, y1, x0, x1) for y0, y1 in pairwise(rows) for x0, x1 in pairwise(columns))

    def cells(self, window: Window) -> Iterator[Cell]:
        """Cells inside a window that is made of whole chunks, row by row, with their index in the whole picture."""
        across, columns = self._before(self.nx, 1), list(enumerate(self._spans(window.x0, window.x1, 1), self._before(window.x0, 1)))
        for row, (y0, y1) in enumerate(self._spans(window.y0, window.y1, 0), self._before(window.y0, 0)):
            for column, (x0, x1) in columns:
                yield Cell(row * across + column, Window(y0, y1, x0, x1))

    def at(self, index: int) -> Cell:
        """Cell of a given index in the whole picture."""
        row, column = divmod(index, self._before(self.nx, 1))
        return Cell(index, Window(*self._span(row, 0), *self._span(column, 1)))

    def __len__(self) -> int:
        return self._before(self.ny, 0) * self._before(self.nx, 1)

    def _end(self, along: int) -> int:
        """End of the picture, counted from the edge of its first chunk."""
        return (self.ny, self.nx)[along] + self.offset[along]

    def _between(self, start: int, stop: int, along: int) -> list[int]:
        """Both ends, and the edges of chunks between them."""
        chunk, offset = self.chunk[along], self.offset[along]
        first = (start + offset) // chunk * chunk + chunk
        return [start, *(edge - offset for edge in range(first, stop + offset, chunk)), stop]

    def _spans(self, start: int, stop: int, along: int) -> list[tuple[int, int]]:
        """First and last pixel of each cell between two edges of chunks."""
        first, spans = self._before(start, along), list[tuple[int, int]]()
        while not spans or spans[-1][1] < stop:
            spans.append(self._span(first + len(spans), along))
        return [(begin, min(end, stop)) for begin, end in spans]

    def _span(self, number: int, along: int) -> tuple[int, int]:
        """First and last pixel of the cell of a given number along one axis."""
        chunk, cell, offset, end = self.chunk[along], self.cell[along], self.offset[along], self._end(along)
        whole, rest = divmod(number + offset // cell, math.ceil(min(chunk, end) / cell))
        start = whole * chunk + rest * cell
        return max(start - offset, 0), min(start + cell, (whole + 1) * chunk, end) - offset

    def _before(self, position: int, along: int) -> int:
        """How many cells start before an edge of chunks (or the end of the picture) along one axis."""
        if position == 0:
            return 0
        chunk, cell, offset = self.chunk[along], self.cell[along], self.offset[along]
        whole, rest = divmod(position + offset, chunk)
        return whole * math.ceil(min(chunk, self._end(along)) / cell) + math.ceil(rest / cell) - offset // cell


def _sides(window: Window) -> tuple[tuple[int, int], tuple[int, int]]:
    return (window.y0, window.y1), (window.x0, window.x1)


@cache
def _cut(height: int, width: int) -> tuple[int, int]:
    """Halve the longer side until a cell holds at most ``CELL_PIXELS``; equal parts, rounded up."""
    rows = columns = 1
    while math.ceil(height / rows) * math.ceil(width / columns) > CELL_PIXELS:
        if math.ceil(height / rows) >= math.ceil(width / columns):
            rows += 1
        else:
            columns += 1
    return math.ceil(height / rows), math.ceil(width / columns)


@dataclass(frozen=True, slots=True)
class Grid:
    """The picture plane: pixels, their size, and where they lie on the Earth or on the sky.

    ``affine`` holds the six coefficients (a, b, c, d, e, f) of x' = a x + b y + c, y' = d x + e y + f in ``crs``;
    ``wcs`` is a FITS celestial header, carried verbatim.
    """

    ny: int
    nx: int
    pixel_size: tuple[float, float] | None = None
    pixel_unit: str | None = None
    crs: str | None = None
    affine: tuple[float, ...] | None = None
    wcs: str | None = None


class Quantity(StrEnum):
    """What the spectral axis measures; CHANNEL means that nobody has calibrated it."""

    ENERGY = "energy"
    WAVELENGTH = "wavelength"
    WAVENUMBER = "wavenumber"
    FREQUENCY = "frequency"
    VELOCITY = "velocity"
    TIME = "time"
    BAND = "band"
    CHANNEL = "channel"


UNITS: dict[Quantity, tuple[str, ...]] = {
    Quantity.ENERGY: ("eV", "keV", "MeV"),
    Quantity.WAVELENGTH: ("nm", "um", "mm", "cm", "m", "Angstrom"),
    Quantity.WAVENUMBER: ("cm-1", "m-1"),
    Quantity.FREQUENCY: ("Hz", "kHz", "MHz", "GHz", "THz"),
    Quantity.VELOCITY: ("m/s", "km/s"),
    Quantity.TIME: ("ns", "us", "ms", "s", "min", "h", "d"),
    Quantity.BAND: (),
    Quantity.CHANNEL: (),
}


@dataclass(frozen=True, slots=True)
class SpectralAxis:
    """The third axis: either ``start + step * index`` or listed ``values``, in ``unit``; neither = channel numbers."""

    size: int
    quantity: Quantity = Quantity.CHANNEL
    unit: str | None = None
    start: float | None = None
    step: float | None = None
    values: tuple[float, ...] | None = None
    names: tuple[str, ...] | None = None
    frame: str | None = None

    def __post_init__(self) -> None:
        if self.size < 1:
            raise InvalidInput(f"the spectral axis has {self.size} channels; at least 1 is needed", Kind.SHAPE_INVALID)
        known = [unit for units in UNITS.values() for unit in units]
        if self.unit is not None and self.unit not in known:
            raise InvalidInput(
                f"'{self.unit}' is not a unit of a spectral axis", Kind.AXIS_UNIT_UNKNOWN, nearest(self.unit, known, "units"),
            )
        if self.values is not None:
            self._check_values(self.values)

    def _check_values(self, values: tuple[float, ...]) -> None:
        if len(values) != self.size:
            raise InvalidInput(
                f"the spectral axis lists {len(values)} values for {self.size} channels", Kind.AXIS_MISMATCH,
                "give one value per channel",
            )
        rising = all(a < b for a, b in pairwise(values))
        falling = all(a > b for a, b in pairwise(values))
        if not (rising or falling):
            raise InvalidInput(
                "the spectral axis goes up and down; values must rise or fall all the way", Kind.AXIS_NOT_MONOTONIC,
                "check the calibration, or register with --axis channel",
            )

    @property
    def is_calibrated(self) -> bool:
        """True where the axis is a physical quantity."""
        return self.quantity not in {Quantity.CHANNEL, Quantity.BAND}

    @property
    def coordinates(self) -> tuple[float, ...]:
        """One value per channel, in ``unit``; channel numbers where there is no calibration."""
        if self.values is not None:
            return self.values
        start, step = (0.0 if self.start is None else self.start), (1.0 if self.step is None else self.step)
        return tuple(start + step * index for index in range(self.size))

    @property
    def label(self) -> str:
        """Title of the axis in a figure, such as ``energy [keV]``.

        Examples
        --------
        >>> SpectralAxis(10, Quantity.ENERGY, "keV", 0.0, 0.01).label
        'energy [keV]'
        >>> SpectralAxis(10).label
        'channel (not calibrated)'
        """
        if self.quantity is Quantity.CHANNEL:
            return "channel (not calibrated)"
        return f"{self.quantity} [{self.unit}]" if self.unit else str(self.quantity)


class Role(StrEnum):
    """What an array means, whatever it is called."""

    DATA = "data"
    VARIANCE = "variance"
    MASK = "mask"
    LABELS = "labels"
    SCORES = "scores"
    DISTANCE = "distance"
    EMBEDDING = "embedding"
    RGB = "rgb"
    AUXILIARY = "auxiliary"
    TABLE = "table"


@dataclass(frozen=True, slots=True)
class ArraySpec:
    """One named array of a dataset: meaning, shape and how it is stored.

    ``dims`` is ("y", "x"), ("y", "x", "spectral"), ("y", "x", <own>) or a table's own.  ``shards`` None = one object per
    chunk.  ``compressor`` is one of the names of :mod:`lakecv.lake_io.codec`; None = whatever the store's metadata says.
    ``limits`` are the smallest and largest finite sample, known once the array is registered: exact sums take their scale
    from them.
    """

    name: str
    role: Role
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    chunks: tuple[int, ...]
    shards: tuple[int, ...] | None = None
    compressor: str | None = "blosc-zstd-bitshuffle"
    unit: str | None = None
    nodata: float | None = None
    limits: tuple[float, float] | None = None
    title: str | None = None

    @property
    def itemsize(self) -> int:
        """Bytes per sample."""
        return ITEMSIZE[self.dtype]

    @property
    def nbytes(self) -> int:
        """Bytes when decoded."""
        return math.prod(self.shape) * self.itemsize

    @property
    def third(self) -> str:
        """Name of the third dim; ``band`` where there is none."""
        return self.dims[2] if len(self.dims) > 2 else "band"  # noqa: PLR2004  (y, x and the third)

    @property
    def is_image(self) -> bool:
        """True where the first two dims are y and x, so that blocks cut it."""
        return self.dims[:2] == ("y", "x")


@dataclass(frozen=True, slots=True)
class CubeSpec:
    """A dataset's shape: one grid, one spectral axis, named arrays on them (the main one first) and tables.

    ``offset`` are rows and columns of its first chunks that it leaves out: it is a window of a stored cube.
    """

    grid: Grid
    axis: SpectralAxis | None
    arrays: tuple[ArraySpec, ...]
    offset: tuple[int, int] | None = None

    @property
    def main(self) -> ArraySpec:
        """The array that models read."""
        return self.arrays[0]

    @property
    def cells(self) -> CellGrid:
        """Cells of the main array: the unit of arithmetic of every model that reads this dataset."""
        chunk_y, chunk_x = self.main.chunks[:2]
        return CellGrid(self.grid.ny, self.grid.nx, (chunk_y, chunk_x), self.offset or (0, 0))

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays when decoded."""
        return sum(array.nbytes for array in self.arrays)

    def array(self, name: str) -> ArraySpec:
        """Look an array up by name.

        Raises
        ------
        NotFound
            If there is none of that name (kind ``array-unknown``).
        """
        for spec in self.arrays:
            if spec.name == name:
                return spec
        names = [spec.name for spec in self.arrays]
        raise NotFound(f"there is no array '{name}'", Kind.ARRAY_UNKNOWN, nearest(name, names, "arrays"))
