"""Pictures that go with a dataset: masks, ground truths, label maps, named ``DID#array`` or ``file#array``.

Files are read as in registering: by the same readers, in a process of their own, into a folder that is gone at the end.
"""

from __future__ import annotations

import math
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lakecv import registry
from lakecv.api.damages import teller
from lakecv.api.looking import read_artifact, read_whole
from lakecv.api.registering import check_path
from lakecv.canonical import load
from lakecv.cube import ArraySpec, CubeSpec, Role, Window
from lakecv.errors import InvalidInput, Kind, NotFound, nearest
from lakecv.lake_io.child import Request, convert_apart
from lakecv.lake_io.publish import load_manifest
from lakecv.lake_io.read import open_array
from lakecv.plan import Run
from lakecv.ports import CatalogBackend, ReadHints
from lakecv.records import DID, Dataset
from lakecv.sheet import Array

__all__ = ["Picture", "read_picture", "window_of"]


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """An array (y, x[, own]) as it is stored, where it came from, and the dataset if it is one's."""

    name: str
    spec: ArraySpec
    values: Array
    dataset: Dataset | None = None

    @property
    def missing(self) -> NDArray[np.bool_]:
        """Pixels (y, x[, own]) without a value: NaN, or the no-data value; of a label map of lakecv those without a label."""
        values, nodata = self.values, self.spec.nodata
        gone = np.isnan(values) if values.dtype.kind == "f" else np.zeros(values.shape, np.bool_)
        if self.is_result and values.dtype.kind in "ui":
            gone |= values == np.iinfo(values.dtype).max
        return gone if nodata is None else gone | (values == nodata)

    @property
    def is_result(self) -> bool:
        """Whether it is a label map that a run of lakecv made."""
        return self.spec.role is Role.LABELS and self.dataset is not None and self.dataset.made_by is not None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        ny, nx = self.values.shape[:2]
        return ny, nx


def read_picture(lake: str, catalog: CatalogBackend, text: str, *, role: Role | None = None) -> Picture:
    """Read what ``DID#array`` or ``file#array`` names, whole; without ``#array``: the one of a role, or the main one.

    Raises
    ------
    InvalidInput, NotFound
        If there is no such thing, or it is no picture.
    """
    name, _, array = (text, "", "") if os.path.exists(text) else text.partition("#")  # noqa: PTH110  (a name that no file can have is no error here)
    if ":" in name and not name.startswith(("file:", "/", ".")) and not os.path.exists(name):  # noqa: PTH110
        dataset = catalog.lookup(DID.parse(name))
        spec = dataset.cube.array(array) if array else _usual(dataset.cube, role)
        if not spec.is_image:
            pictures = [each.name for each in dataset.cube.arrays if each.is_image]
            raise InvalidInput(f"{text} is a table, not a picture", Kind.DIMS_AMBIGUOUS, nearest(array, pictures, "pictures"))
        if role is Role.MASK and math.prod(spec.shape[2:]) > 1:  # said before a whole cube is read
            raise InvalidInput(f"{text} is {' x '.join(map(str, spec.shape))}; a mask has y and x only", Kind.SHAPE_INVALID, "name an array of it: NAME#array")
        return Picture(text, spec, _flat(read_whole(lake, dataset, spec, teller(catalog, dataset))), dataset)
    return _of_file(lake, text, name, array)


def window_of(lake: str, catalog: CatalogBackend, picture: Picture) -> Window | None:
    """Window that a result was made of, in the pixels of the first dataset that no run made; None where it was made of all of it."""
    dataset, y0, x0, found = picture.dataset, 0, 0, False
    while dataset is not None and dataset.made_by is not None:
        try:
            job = load(Run, read_artifact(lake, dataset, "run.json")).job
            parent = catalog.lookup(DID.parse(job.inputs[0][0]))
        except NotFound:
            break
        window = job.selection.window if job.selection else None
        if window is not None:
            y0, x0, found = y0 + window.y0, x0 + window.x0, True
        dataset = parent
    return Window(y0, y0 + picture.shape[0], x0, x0 + picture.shape[1]) if found else None


def _usual(cube: CubeSpec, role: Role | None) -> ArraySpec:
    """Array that is meant where none is named: one of the role, else label map, else the main one."""
    return next((spec for wanted in (role, Role.LABELS) for spec in cube.arrays if spec.role is wanted), cube.main)


def _of_file(lake: str, text: str, name: str, array: str) -> Picture:
    path = check_path(name, lake)
    if path.suffix == ".npy":
        return Picture(text, *_of_npy(path))
    hints = ReadHints(path=array or None)
    try:
        return Picture(text, *_converted(path, hints))
    except InvalidInput as err:
        if err.kind is not Kind.DIMS_AMBIGUOUS:
            raise
    return Picture(text, *_converted(path, ReadHints(path=array or None, dims="y,x")))


def _of_npy(path: Path) -> tuple[ArraySpec, Array]:
    """Open a .npy, which may hold booleans; nothing is unpickled."""
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as err:
        raise InvalidInput(f"{path} cannot be read as .npy: {err}", Kind.FILE_MALFORMED, "save it with numpy.save") from err
    if not isinstance(values, np.ndarray):
        values.close()
        raise InvalidInput(f"{path} is an .npz by another name", Kind.FILE_MALFORMED, "rename it to .npz")
    if values.ndim not in {2, 3} or values.dtype.kind not in "buif" or not values.size:
        raise InvalidInput(f"{path} holds {values.dtype} {values.shape}; a picture has y, x and numbers", Kind.DIMS_AMBIGUOUS, "save an array (ny, nx)")
    whole = _flat(values.view(np.uint8) if values.dtype.kind == "b" else values)
    return ArraySpec(path.stem, Role.AUXILIARY, ("y", "x", "own")[: whole.ndim], whole.shape, str(whole.dtype), whole.shape), whole


def _converted(path: Path, hints: ReadHints) -> tuple[ArraySpec, Array]:
    with tempfile.TemporaryDirectory(prefix="lakecv-") as folder:
        done = convert_apart(Request(str(path), folder, hints), lambda *_: None)
        objects, spec = registry.open_objects(folder), done.cube.main
        reader = open_array(objects, spec, load_manifest(objects, done.digest), spec.name)
        return spec, _flat(reader.read(Window(0, spec.shape[0], 0, spec.shape[1])))


def _flat(values: Array) -> Array:
    """Leave a third axis of length 1 out."""
    return values[..., 0] if values.ndim == 3 and values.shape[2] == 1 else values  # noqa: PLR2004  (y, x and one more)
