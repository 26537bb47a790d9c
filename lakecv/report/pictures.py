"""Arrays of a result as small pictures for a page: label maps, scalar maps, composites, each with what explains it.

The choice goes by an array's role and shape, never by the model that made it, so a stranger's model is shown too.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lakecv.cube import ArraySpec, Grid, Role
from lakecv.numerics.png import encode_png
from lakecv.numerics.shrinking import block_means
from lakecv.report.palette import color_map, gradient, label_palette
from lakecv.report.text import named, number
from lakecv.sheet import Array

__all__ = ["ColorBar", "Picture", "aspect", "data_uri", "label_picture", "no_data", "pictures", "scalar_rgba", "scale_bar"]

_EDGE = 1024
_COMPONENTS, _NAMED = 8, 32
_SIGNED = {Role.SCORES, Role.EMBEDDING}
_COLORS = 256


@dataclass(frozen=True, slots=True)
class ColorBar:
    """Colors from low to high, as CSS, with the values at the ends."""

    css: str
    low: str
    high: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture with its words; ``uri`` is self-contained.  ``role`` is RGB for composites too: it groups pictures."""

    uri: str
    title: str
    role: Role
    note: str = ""
    bar: ColorBar | None = None


def pictures(spec: ArraySpec, array: Array) -> Iterator[Picture]:
    """Draw an image array: one picture for (y, x); for (y, x, component) a composite and up to eight more, 32 if named.

    A title that ends with a name for each component (``net sum: Fe-K, Cu-K``) names the pictures.
    """
    title = spec.title or spec.name
    if spec.role is Role.LABELS and array.ndim == 2:  # noqa: PLR2004
        yield label_picture(spec, array)
    elif spec.role is Role.RGB and array.ndim == 3:  # noqa: PLR2004
        small = np.rint(_shrink(_rgb(array))).astype(np.uint8)
        yield Picture(data_uri(encode_png(small)), title, spec.role, _reduced(spec, small))
    elif array.ndim == 2:  # noqa: PLR2004
        yield _scalar(spec, array, title)
    elif spec.role is not Role.DATA and array.ndim == 3:  # noqa: PLR2004
        head, names = named(title, array.shape[2])
        if array.shape[2] >= 3:  # noqa: PLR2004
            small, first = _shrink(array[..., :3]), names[:3] or ("1", "2", "3")
            colors = ", ".join(f"{name} {color}" for name, color in zip(first, ("red", "green", "blue"), strict=True))
            words = f"{colors}; each stretched from its 2nd to its 98th percentile. {_reduced(spec, small)}"
            yield Picture(data_uri(encode_png(_composite(small))), f"{head}: first three", Role.RGB, words)
        for index in range(min(array.shape[2], _NAMED if names else _COMPONENTS)):
            yield _scalar(spec, array[..., index], f"{names[index]}, {head}" if names else f"{title} {index + 1}")


def label_picture(spec: ArraySpec, labels: Array) -> Picture:
    """Draw a label map in the labels' colors; no data is transparent.  Large maps keep every n-th pixel."""
    step = max(1, math.ceil(max(labels.shape) / _EDGE))
    top, left = (min(step // 2, size // 2) for size in labels.shape)
    small = labels[top::step, left::step]
    nodata = no_data(spec, labels)
    absent = small == nodata
    count = int(small[~absent].max(initial=0)) + 1
    palette = label_palette(count)
    if count < _COLORS:
        png = encode_png(np.where(absent, count, small).astype(np.uint8), palette)
    else:
        png = encode_png(palette[np.where(absent, count, small).astype(np.intp)])
    return Picture(data_uri(png), spec.title or spec.name, Role.LABELS, _reduced(spec, small))


def no_data(spec: ArraySpec, labels: Array) -> int:
    """Value of a label map that means no data: what the spec says, else the highest of the dtype."""
    return int(spec.nodata) if spec.nodata is not None else int(np.iinfo(labels.dtype).max)


def scalar_rgba(array: Array, name: str, low: float, high: float) -> NDArray[np.uint8]:
    """Colors (y, x, 4) of a scalar map between two values; what is not finite is transparent."""
    values = array.astype(float)
    finite = np.isfinite(values)
    span = high - low if high > low else 1.0
    index = np.where(finite, np.clip((values - low) / span, 0.0, 1.0) * 255.0, 0.0)
    rgba = np.empty((*array.shape, 4), np.uint8)
    rgba[..., :3] = color_map(name)[np.rint(index).astype(np.uint8)]
    rgba[..., 3] = np.where(finite, 255, 0)
    return rgba


def data_uri(content: bytes, kind: str = "image/png") -> str:
    """Write bytes into a url, so that the page needs no second file."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def aspect(grid: Grid) -> float:
    """Width over height as it is in the world, kept between 1:6 and 6:1 so that a line of spectra can be seen."""
    high, wide = grid.pixel_size or (1.0, 1.0)
    return min(6.0, max(1 / 6, abs(grid.nx * wide) / max(abs(grid.ny * high), 1e-12)))


def scale_bar(grid: Grid) -> tuple[float, str] | None:
    """Length of a scale bar, in percent of the width, and its words; None where the pixel size is not known."""
    if grid.pixel_size is None or not grid.pixel_unit or not grid.pixel_size[1]:
        return None
    width = abs(grid.nx * grid.pixel_size[1])
    power = 10.0 ** math.floor(math.log10(width / 4))
    length = max(step * power for step in (1, 2, 5) if step * power <= width / 4)
    return 100 * length / width, f"{number(length)} {grid.pixel_unit}"


def _scalar(spec: ArraySpec, array: Array, title: str) -> Picture:
    small = _shrink(_without(spec, array))
    finite = small[np.isfinite(small)]
    if finite.size == 0:
        low = high = math.nan
    elif spec.role in _SIGNED and finite.min() < 0 < finite.max():
        high = float(np.percentile(np.abs(finite), 98))
        low = -high
    else:
        low, high = (float(value) for value in np.percentile(finite, [2, 98]))
    name = "RdBu_r" if low < 0 < high else "viridis"
    bar = ColorBar(gradient(name), number(low), number(high), spec.unit or "")
    return Picture(data_uri(encode_png(scalar_rgba(small, name, low, high))), title, spec.role, _reduced(spec, small), bar)


def _without(spec: ArraySpec, array: Array) -> NDArray[np.float64]:
    """Give samples as floats, NaN where there are no data."""
    values = array.astype(float)
    return values if spec.nodata is None else np.where(array == spec.nodata, np.nan, values)


def _reduced(spec: ArraySpec, drawn: Array) -> str:
    """Say that a picture is drawn smaller than its array, whoever made it so."""
    times = round(max(spec.shape[:2]) / max(drawn.shape[:2]))
    how = "every n-th pixel" if spec.role is Role.LABELS else "means of neighbors"
    return f"Drawn at 1/{times} of its size ({how})." if times > 1 else ""


def _shrink(array: Array) -> Array:
    """Mean of blocks, over finite samples, until the longer side is at most 1,024."""
    step = math.ceil(max(array.shape[:2]) / _EDGE)
    if step <= 1:
        return array
    return block_means(array.astype(float), step)


def _rgb(array: Array) -> NDArray[np.uint8]:
    """Take a picture's own colors; floats are taken to lie in 0..1 where they do, else in 0..255."""
    values = np.nan_to_num(array[..., :3].astype(float))
    scale = 255.0 if array.dtype.kind == "f" and values.max(initial=0.0) <= 1.0 else 1.0
    return np.asarray(np.rint(np.clip(values * scale, 0, 255)), np.uint8)


def _composite(array: Array) -> NDArray[np.uint8]:
    """Three components as colors, each stretched between its 2nd and 98th percentile; not finite = transparent."""
    values = array.astype(float)
    finite = np.isfinite(values).all(axis=-1)
    rgba = np.zeros((*finite.shape, 4), np.uint8)
    if finite.any():
        low, high = np.percentile(values[finite], [2, 98], axis=0)
        scaled = np.clip((np.nan_to_num(values) - low) / np.where(high > low, high - low, 1.0), 0.0, 1.0)
        rgba[..., :3] = np.rint(scaled * 255.0)
    rgba[..., 3] = np.where(finite, 255, 0)
    return rgba
