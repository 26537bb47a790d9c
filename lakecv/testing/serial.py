"""The reference driver: one thread, one cell after another, straight from the rules of the ports.

What the real driver computes on any number of workers must equal what this one computes, bit by bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lakecv.cube import Cell, CubeSpec
from lakecv.numerics import exact
from lakecv.numerics.sampling import Pick, cell_count, chosen_cells, merge, pixel_hash, smallest
from lakecv.ports import Model, ReducibleModel
from lakecv.sheet import Array, Sample, Sheet, State, Statistics, Step

__all__ = ["Fitted", "apply_all", "cut", "fit", "reduce_cells", "sample_of"]


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """All that a run makes: the state after ``start``, the last one, arrays of the whole picture, tables, progress lines."""

    first: State | None
    state: State | None
    arrays: Mapping[str, Array]
    tables: Mapping[str, Array]
    progress: tuple[str, ...]


def cut(cube: Array, spec: CubeSpec, cell: Cell, usable: NDArray[np.bool_] | None = None, filling: float = 0) -> Sheet:
    """Cut one cell out of a picture, padded to the fixed shape; non-finite samples become 0 and not valid.

    Parameters
    ----------
    cube : (y, x[, spectral])
        The main array of ``spec``, whole.
    spec : CubeSpec
        Its grid and chunks make the cells.
    cell : Cell
        Which one.
    usable : (y, x) bool, optional
        False where pixels are masked.
    filling : float
        Sample of pixels that are not valid.
    """
    window, shape = cell.window, spec.cells.cell
    pixels = cube[window.slices()]
    finite = np.isfinite(pixels).reshape(window.height, window.width, -1).all(axis=2)
    valid = np.zeros(shape, bool)
    valid[: window.height, : window.width] = finite if usable is None else finite & usable[window.slices()]
    samples = np.full((*shape, *cube.shape[2:]), filling, cube.dtype)
    samples[: window.height, : window.width] = pixels
    samples[~valid] = filling
    return Sheet(window, {spec.main.name: samples}, valid)


def fit(
    model: Model[Any], cube: Array, spec: CubeSpec, options: object, seed: int, *,
    usable: NDArray[np.bool_] | None = None, order: Sequence[int] | None = None,
) -> Fitted:
    """Run a model over a picture: sample, passes, map.

    Parameters
    ----------
    model : Model
        Reducible or not.
    cube : (y, x[, spectral])
        The main array of ``spec``, whole.
    spec : CubeSpec
        Limits are needed by models that take exact sums.
    options : object
        Of ``model.Options``.
    seed : int
        Of the sample and of the model.
    usable : (y, x) bool, optional
        False where pixels are masked.
    order : sequence of int, optional
        Indices of the cells in the order that they are read; must not matter.
    """
    [given] = model.inputs(options)
    sheets = {cell.index: {given.name: cut(cube, spec, cell, usable)} for cell in spec.cells.cells(spec.cells.window)}
    inputs = [sheets[index] for index in (sorted(sheets) if order is None else order)]
    first, step, progress = None, None, []
    if isinstance(model, ReducibleModel):
        workload = model.workload({given.name: spec}, options)
        first = model.start(sample_of(cube, spec, seed, workload.sample_pixels, usable), {given.name: spec}, options)
        step = Step(first, done=False)
        for _ in range(workload.passes):
            if step.done:
                break
            step = model.update(step.state, reduce_cells(model, inputs, step.state, options), options)
            progress.append(step.progress)
    state = step.state if step else None
    arrays, tallies = apply_all(model, inputs, spec, state, options)
    return Fitted(first, state, arrays, model.tables(state, tallies, options), tuple(progress))


def sample_of(cube: Array, spec: CubeSpec, seed: int, pixels: int, usable: NDArray[np.bool_] | None = None) -> Sample:
    """Pixels with the smallest hash inside the cells with the smallest hash."""
    cells = spec.cells
    count = cell_count(len(cells), pixels, cells.cell[0] * cells.cell[1])
    while True:
        pick = _pick(cube, spec, seed, pixels, count=count, usable=usable)
        if len(pick.spectra) >= pixels or count >= len(cells):
            return Sample(pick.spectra, pick.y, pick.x, spec.grid.ny * spec.grid.nx, seed)
        count = min(len(cells), 4 * count)


def _pick(
    cube: Array, spec: CubeSpec, seed: int, pixels: int, *, count: int, usable: NDArray[np.bool_] | None,
) -> Pick:
    cells, picks = spec.cells, []
    for index in chosen_cells(len(cells), seed, count):
        cell = cells.at(int(index))
        sheet = cut(cube, spec, cell, usable)
        rows, columns = np.nonzero(sheet.valid)
        y, x = rows + cell.window.y0, columns + cell.window.x0
        picks.append(smallest(sheet.pixels[sheet.valid.reshape(-1)], y, x, pixel_hash(seed, y, x), pixels))
    return merge(picks, pixels)


def reduce_cells(
    model: ReducibleModel[Any], inputs: Iterable[Mapping[str, Sheet]], state: State, options: object,
) -> Statistics:
    """Add up the statistics of cells."""
    total: Statistics = {}
    for sheets in inputs:
        total = exact.add(total, model.accumulate(sheets, state, options))
    return total


def apply_all(
    model: Model[Any], inputs: Iterable[Mapping[str, Sheet]], spec: CubeSpec, state: State | None, options: object,
) -> tuple[Mapping[str, Array], Statistics]:
    """Apply a model to cells and put the pieces together, padding cut off."""
    [given] = model.inputs(options)
    outputs = model.workload({given.name: spec}, options).outputs
    arrays: dict[str, Array] = {output.name: np.zeros(output.shape, output.dtype) for output in outputs}
    tallies: Statistics = {}
    for sheets in inputs:
        window = sheets[given.name].window
        result = model.apply(sheets, state, options)
        tallies = exact.add(tallies, result.tallies)
        for name, values in arrays.items():
            values[window.slices()] = result.arrays[name][: window.height, : window.width]
    return arrays, tallies

