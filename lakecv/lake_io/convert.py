"""From a file that somebody brings to a dataset in the lake: read window by window, written shard by shard.

Peak memory is two blocks: a strip of chunks of the source and one compressed shard.  A Zarr store can also be registered
where it lies: then its objects are digested, and only the manifest, the survey and the quick look are written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lakecv.canonical import dumps
from lakecv.cube import ArraySpec, CubeSpec, Role, Window
from lakecv.errors import Corrupt, InvalidInput, Kind, LakeCVError
from lakecv.lake_io.codec import COMPRESSOR, chunk_positions, encode_shard, padded
from lakecv.lake_io.layout import Shard, lay_out, shards
from lakecv.lake_io.objects import describe, put_checked
from lakecv.lake_io.publish import MANIFEST, publish
from lakecv.lake_io.survey import Survey
from lakecv.ports import ObjectIO
from lakecv.records import Manifest, StoredObject
from lakecv.sheet import Array

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["QUICKLOOK", "SURVEY", "Converted", "convert", "register_in_place"]

QUICKLOOK, SURVEY = "quicklook.png", "survey.json"
_STRIP_NBYTES = 32 << 20

Watch = Callable[[int, int], None]
"""Called with (bytes of samples done, of all)."""


@dataclass(frozen=True, slots=True)
class Converted:
    """What came of a registration, before the catalog knows it."""

    cube: CubeSpec
    digest: str
    nobjects: int
    nbytes: int
    warnings: tuple[str, ...]
    notes: tuple[str, ...]


class _Feed:
    """Windows of a lazy dataset, with foreign exceptions translated once."""

    def __init__(self, source: xr.Dataset, watch: Watch, total: int) -> None:
        self._source, self._watch, self._total, self._done = source, watch, total, 0

    def read(self, name: str, window: Window) -> Array:
        rows, columns = window.slices()
        try:
            values = np.asarray(self._source[name].isel(y=rows, x=columns).values)
        except (LakeCVError, FileNotFoundError, PermissionError, MemoryError):  # the caller knows the file's name
            raise
        except (OSError, ValueError, RuntimeError, EOFError, KeyError) as err:
            raise Corrupt(f"'{name}' cannot be decoded: {err}", Kind.CODEC_FAILED, "the file may be damaged") from err
        self._done += values.nbytes
        self._watch(self._done, self._total)
        return values


def convert(source: xr.Dataset, cube: CubeSpec, objects: ObjectIO, watch: Watch) -> Converted:
    """Write a lazy dataset in the default layout below a fresh prefix, metadata last.

    Raises
    ------
    InvalidInput
        If no pixel can be used.
    Corrupt
        If the source cannot be decoded, or the store does not give back what it was given.
    """
    arrays = tuple(lay_out(replace(spec, compressor=COMPRESSOR)) for spec in cube.arrays)
    feed = _Feed(source, watch, sum(spec.nbytes for spec in arrays))
    surveys = _surveys(arrays)
    mask = next((spec for spec in arrays if spec.role is Role.MASK), None)
    stored: list[StoredObject] = []
    for spec in arrays:
        look = (surveys[spec.name], mask) if spec.name in surveys else None
        stored += [put_checked(objects, f"{spec.name}/{shard.key}", encode_shard(_strips(feed, spec, shard, look), spec)) for shard in shards(spec)]
    survey = surveys[arrays[0].name]
    findings = survey.findings(cube.axis)
    arrays = _limited(arrays, surveys)
    artifacts = {SURVEY: dumps(findings).encode(), QUICKLOOK: survey.png()}
    done = publish(objects, replace(cube, arrays=arrays), stored, tables={}, artifacts=artifacts)
    return _converted(done.cube, done.manifest, findings.warnings, source)


def register_in_place(
    source: xr.Dataset, cube: CubeSpec, folder: Path, objects: ObjectIO, watch: Watch,
) -> Converted:
    """Digest a Zarr store where it lies and survey it; its own files are only read."""
    arrays = tuple(replace(spec, compressor=None) for spec in cube.arrays)
    if any(spec.is_image and tuple(source[spec.name].dims) != spec.dims for spec in arrays):
        raise InvalidInput(
            "the store keeps its axes in another order than y, x, spectral", Kind.DIMS_AMBIGUOUS,
            "register it without --in-place: it is then copied in that order",
        )
    for spec in arrays:
        if str(source[spec.name].attrs.get("path", spec.name)).strip("/") != spec.name:
            raise InvalidInput(
                f"'{spec.name}' does not lie at the top of the store under its own name", Kind.DIMS_AMBIGUOUS,
                "register it without --in-place: it is then copied",
            )
    surveys = _surveys(arrays)
    feed = _Feed(source, watch, sum(spec.nbytes for spec in arrays if spec.name in surveys))
    mask = next((spec for spec in arrays if spec.role is Role.MASK), None)
    for spec in (spec for spec in arrays if spec.name in surveys):
        for window in _windows(Window(0, spec.shape[0], 0, spec.shape[1]), spec):
            values = feed.read(spec.name, window)
            surveys[spec.name].add(window, values, None if mask is None else feed.read(mask.name, window) != 0)
    survey = surveys[arrays[0].name]
    findings = survey.findings(cube.axis)
    stored = tuple(
        describe(path.relative_to(folder).as_posix(), path.read_bytes())
        for path in sorted(folder.rglob("*")) if path.is_file()
    )
    cube = replace(cube, arrays=_limited(arrays, surveys))
    artifacts = (
        put_checked(objects, SURVEY, dumps(findings).encode()), put_checked(objects, QUICKLOOK, survey.png()),
    )
    manifest = Manifest(tuple(sorted(stored, key=lambda item: item.key)), artifacts)
    put_checked(objects, MANIFEST, dumps(manifest).encode())
    return _converted(cube, manifest, findings.warnings, source)


def _surveys(arrays: Sequence[ArraySpec]) -> dict[str, Survey]:
    """Look at every array that a model may read: the main one, and other detectors."""
    return {spec.name: Survey(spec) for spec in arrays if spec is arrays[0] or (spec.role is Role.DATA and spec.shape == arrays[0].shape)}


def _limited(arrays: Sequence[ArraySpec], surveys: Mapping[str, Survey]) -> tuple[ArraySpec, ...]:
    return tuple(replace(spec, limits=surveys[spec.name].limits) if spec.name in surveys else spec for spec in arrays)


def _converted(cube: CubeSpec, manifest: Manifest, warnings: tuple[str, ...], source: xr.Dataset) -> Converted:
    notes = tuple(map(str, source.attrs.get("notes", ())))
    return Converted(cube, manifest.digest, len(manifest.objects), manifest.nbytes, warnings, notes)


def _strips(
    feed: _Feed, spec: ArraySpec, shard: Shard, survey: tuple[Survey, ArraySpec | None] | None,
) -> Iterator[Array | None]:
    """Chunks of a shard in C order, padded, read one strip of chunks at a time."""
    height, width, *deep = spec.chunks
    strip: tuple[Window, Array] | None = None
    for position in chunk_positions(spec):
        y0, x0 = shard.window.y0 + position[0] * height, shard.window.x0 + position[1] * width
        if y0 >= shard.window.y1 or x0 >= shard.window.x1:
            yield None
            continue
        if strip is None or not (strip[0].y0 == y0 and strip[0].x0 <= x0 < strip[0].x1):
            strip = _read_strip(feed, spec, shard.window, (y0, x0), survey)
        window, values = strip
        third = tuple(slice(n * size, (n + 1) * size) for n, size in zip(position[2:], deep, strict=True))
        part = values[(slice(None), slice(x0 - window.x0, x0 - window.x0 + width), *third)]
        yield padded(part, spec)


def _read_strip(
    feed: _Feed, spec: ArraySpec, within: Window, corner: tuple[int, int],
    survey: tuple[Survey, ArraySpec | None] | None,
) -> tuple[Window, Array]:
    (y0, x0), (height, width) = corner, spec.chunks[:2]
    raw = height * width * int(np.prod(spec.shape[2:])) * spec.itemsize
    across = max(1, _STRIP_NBYTES // max(raw, 1)) * width
    window = Window(y0, min(y0 + height, within.y1), x0, min(x0 + across, within.x1))
    values = feed.read(spec.name, window)
    if survey is not None:
        look, mask = survey
        look.add(window, values, None if mask is None else feed.read(mask.name, window) != 0)
    return window, values


def _windows(whole: Window, spec: ArraySpec) -> Iterator[Window]:
    height, width = spec.chunks[:2]
    for y0 in range(whole.y0, whole.y1, height):
        for x0 in range(whole.x0, whole.x1, width):
            yield Window(y0, min(y0 + height, whole.y1), x0, min(x0 + width, whole.x1))
