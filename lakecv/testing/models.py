"""The contract of a model, as tests that a plugin author inherits.

A model that passes tells the truth in its workload and gives the same bits for any way of cutting the work::

    class TestMyModel(ModelContract):
        @pytest.fixture
        def model(self): return MyModel()
        @pytest.fixture
        def options(self): return MyModel.Options(k=3)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lakecv.cube import ArraySpec, CubeSpec, Grid, Role, SpectralAxis
from lakecv.numerics import exact
from lakecv.ports import Cited, Model, ReducibleModel
from lakecv.sheet import Array, Sheet, State, Statistics
from lakecv.testing.serial import apply_all, cut, fit, reduce_cells, sample_of

__all__ = ["ModelContract", "spec_of"]

_SEED = 7


def spec_of(cube: Array, chunk: tuple[int, int]) -> CubeSpec:
    """Describe a picture (y, x, spectral) that is stored in chunks of so many pixels, with its limits."""
    ny, nx, bands = cube.shape
    finite = cube[np.isfinite(cube)]
    main = ArraySpec("data", Role.DATA, ("y", "x", "spectral"), cube.shape, cube.dtype.name, (*chunk, bands),
                     limits=(float(finite.min()), float(finite.max())))
    return CubeSpec(Grid(ny, nx), SpectralAxis(bands), (main,))


class ModelContract:
    """Inherit, and give ``model`` and ``options``; ``cube``, ``chunk`` and ``usable`` may be given too."""

    @pytest.fixture
    def model(self) -> Model[Any]:
        """Return the model under test."""
        raise NotImplementedError

    @pytest.fixture
    def options(self) -> object:
        """Return its options."""
        raise NotImplementedError

    @pytest.fixture
    def cube(self) -> Array:
        """Three kinds of counts in a picture whose last cells are cut off by its edges."""
        rng = np.random.default_rng(1)
        kinds = rng.uniform(0, 60, (3, 12))
        return rng.poisson(kinds[rng.integers(0, 3, (29, 23))]).astype(np.uint16)

    @pytest.fixture
    def usable(self, cube: Array) -> NDArray[np.bool_]:
        """Return which pixels are not masked."""
        return np.random.default_rng(2).random(cube.shape[:2]) > 0.1  # a tenth is masked

    @pytest.fixture
    def spec(self, cube: Array) -> CubeSpec:
        """Chunks of 8 by 8 pixels."""
        return spec_of(cube, (8, 8))

    def test_references_can_be_printed_and_told_apart(self, model: Model[Any], options: object) -> None:  # noqa: ARG002  (suites are parametrized by them)
        """Of a model that has any: authors, title and year, a key of its own, and a doi that is one."""
        if not isinstance(model, Cited):
            pytest.skip("this model names no references")
        keys = [each.key for each in model.references]
        assert keys
        assert len(set(keys)) == len(keys)
        for each in model.references:
            assert all((each.authors, each.title, each.where))
            assert 1600 < each.year < 2200
            assert not each.doi or re.fullmatch(r"10\.\d{4,9}/\S+", each.doi)

    def test_outputs_are_as_the_workload_says(
        self, model: Model[Any], options: object, cube: Array, spec: CubeSpec, usable: NDArray[np.bool_],
    ) -> None:
        """Names, dims, shapes and dtypes."""
        [given] = model.inputs(options)
        fitted = fit(model, cube, spec, options, _SEED, usable=usable)
        sheets = _sheets(model, options, cube, spec, usable)[0]
        made = model.apply(sheets, fitted.state, options).arrays
        outputs = model.workload({given.name: spec}, options).outputs
        assert {output.name for output in outputs} <= set(made)
        for output in outputs:
            assert output.dims[:2] == ("y", "x")
            assert len(output.dims) == len(output.shape) == len(output.chunks)
            assert output.shape[:2] == (spec.grid.ny, spec.grid.nx)
            assert made[output.name].shape == (*spec.cells.cell, *output.shape[2:])
            assert made[output.name].dtype.name == output.dtype

    def test_tables_are_as_the_workload_says(
        self, model: Model[Any], options: object, cube: Array, spec: CubeSpec, usable: NDArray[np.bool_],
    ) -> None:
        """Names, number of dims and dtypes."""
        [given] = model.inputs(options)
        tables = fit(model, cube, spec, options, _SEED, usable=usable).tables
        said = {table.name: table for table in model.workload({given.name: spec}, options).tables}
        assert set(tables) == set(said)
        for name, values in tables.items():
            assert values.ndim == len(said[name].dims)
            assert values.dtype.name == said[name].dtype

    def test_outputs_keep_their_limits(
        self, model: Model[Any], options: object, cube: Array, spec: CubeSpec, usable: NDArray[np.bool_],
    ) -> None:
        """A following model takes the scale of its sums from them."""
        [given] = model.inputs(options)
        fitted = fit(model, cube, spec, options, _SEED, usable=usable)
        for output in model.workload({given.name: spec}, options).outputs:
            if output.limits is not None:
                assert output.limits[0] <= np.nanmin(fitted.arrays[output.name])
                assert np.nanmax(fitted.arrays[output.name]) <= output.limits[1]

    def test_the_order_of_the_cells_does_not_matter(
        self, model: Model[Any], options: object, cube: Array, spec: CubeSpec, usable: NDArray[np.bool_],
    ) -> None:
        """State, arrays and tables are the same bits."""
        order = np.random.default_rng(3).permutation(len(spec.cells)).tolist()
        plain = fit(model, cube, spec, options, _SEED, usable=usable)
        mixed = fit(model, cube, spec, options, _SEED, usable=usable, order=order)
        _assert_same_state(plain.state, mixed.state)
        _assert_same(plain.arrays, mixed.arrays)
        _assert_same(plain.tables, mixed.tables)

    def test_any_split_adds_up_to_the_whole(
        self, model: Model[Any], options: object, cube: Array, spec: CubeSpec, usable: NDArray[np.bool_],
    ) -> None:
        """Statistics of groups of cells, added, are those of all cells."""
        if not isinstance(model, ReducibleModel):
            pytest.skip("it learns nothing")
        state, sheets = _start(model, options, cube, spec, usable), _sheets(model, options, cube, spec, usable)
        whole = reduce_cells(model, sheets, state, options)
        for parts in (1, 2, 5, len(sheets)):
            total: Statistics = {}
            for part in range(parts):
                total = exact.add(reduce_cells(model, sheets[part::parts], state, options), total)
            _assert_same(whole, total)

    def test_a_seed_gives_the_same_result_again(
        self, model: Model[Any], options: object, cube: Array, spec: CubeSpec, usable: NDArray[np.bool_],
    ) -> None:
        """Nothing is remembered between two fits."""
        once, again = (fit(model, cube, spec, options, _SEED, usable=usable) for _ in range(2))
        _assert_same_state(once.state, again.state)
        _assert_same(once.arrays, again.arrays)

    def test_a_state_survives_storage(
        self, model: Model[Any], options: object, cube: Array, spec: CubeSpec, usable: NDArray[np.bool_],
    ) -> None:
        """Stored and read back before every step, it ends in the same bits."""
        fitted = fit(model, cube, spec, options, _SEED, usable=usable)
        if fitted.state is None or not isinstance(model, ReducibleModel):
            pytest.skip("it learns nothing")
        sheets, step_state, done = _sheets(model, options, cube, spec, usable), fitted.first, False
        assert step_state is not None
        for _ in fitted.progress:
            stored = _stored(step_state)
            step = model.update(stored, reduce_cells(model, sheets, stored, options), options)
            step_state, done = step.state, step.done
        assert done or not fitted.progress  # all is known at the start
        _assert_same(fitted.arrays, apply_all(model, sheets, spec, _stored(step_state), options)[0])

    def test_what_it_is_given_is_not_changed(
        self, model: Model[Any], options: object, cube: Array, spec: CubeSpec, usable: NDArray[np.bool_],
    ) -> None:
        """Sheets and states are locked while it works."""
        state = fit(model, cube, spec, options, _SEED, usable=usable).state
        for sheets in _sheets(model, options, cube, spec, usable):
            _lock(sheets, state)
            model.apply(sheets, state, options)
        if isinstance(model, ReducibleModel):
            first, sheets = _start(model, options, cube, spec, usable), _sheets(model, options, cube, spec, usable)[0]
            _lock(sheets, first)
            model.update(first, model.accumulate(sheets, first, options), options)

    def test_pixels_that_are_not_valid_do_not_count(
        self, model: Model[Any], options: object, cube: Array, spec: CubeSpec, usable: NDArray[np.bool_],
    ) -> None:
        """Neither masked pixels nor padding, whatever samples they hold."""
        state = fit(model, cube, spec, options, _SEED, usable=usable).state
        first = _start(model, options, cube, spec, usable) if isinstance(model, ReducibleModel) else None
        for clean, dirty in zip(
            _sheets(model, options, cube, spec, usable), _sheets(model, options, cube, spec, usable, filling=9), strict=True,
        ):
            [valid] = [sheet.valid for sheet in clean.values()]
            one, other = model.apply(clean, state, options).arrays, model.apply(dirty, state, options).arrays
            _assert_same({n: a[valid] for n, a in one.items()}, {n: a[valid] for n, a in other.items()})
            if first is not None and isinstance(model, ReducibleModel):
                _assert_same(model.accumulate(clean, first, options), model.accumulate(dirty, first, options))

    def test_pixels_that_are_not_valid_hold_no_data(
        self, model: Model[Any], options: object, cube: Array, spec: CubeSpec, usable: NDArray[np.bool_],
    ) -> None:
        """The specs' no-data value there, and nowhere else."""
        [given] = model.inputs(options)
        arrays = fit(model, cube, spec, options, _SEED, usable=usable).arrays
        for output in model.workload({given.name: spec}, options).outputs:
            if output.nodata is None:
                continue
            values = arrays[output.name].reshape(*usable.shape, -1)
            empty = np.isnan(values) if np.isnan(output.nodata) else values == output.nodata
            assert np.array_equal(empty.all(axis=2), ~usable)
            assert np.array_equal(empty.any(axis=2), ~usable)


def _sheets(
    model: Model[Any], options: object, cube: Array, spec: CubeSpec, usable: NDArray[np.bool_], *, filling: float = 0,
) -> list[dict[str, Sheet]]:
    [given] = model.inputs(options)
    return [{given.name: cut(cube, spec, cell, usable, filling)} for cell in spec.cells.cells(spec.cells.window)]


def _start(
    model: ReducibleModel[Any], options: object, cube: Array, spec: CubeSpec, usable: NDArray[np.bool_],
) -> State:
    [given] = model.inputs(options)
    pixels = model.workload({given.name: spec}, options).sample_pixels
    return model.start(sample_of(cube, spec, _SEED, pixels, usable), {given.name: spec}, options)


def _stored(state: State) -> State:
    """Write a state as it is stored, and read it back."""
    import json

    from safetensors.numpy import load, save

    arrays = {name: np.ascontiguousarray(values) for name, values in state.arrays.items()}
    return State(load(save(arrays)), json.loads(json.dumps(dict(state.attributes), allow_nan=False)))


def _lock(sheets: Mapping[str, Sheet], state: State | None) -> None:
    for sheet in sheets.values():
        for values in (*sheet.arrays.values(), sheet.valid):
            values.flags.writeable = False
    for values in () if state is None else state.arrays.values():
        values.flags.writeable = False


def _assert_same_state(a: State | None, b: State | None) -> None:
    assert (a is None) == (b is None)
    if a is not None and b is not None:
        _assert_same(a.arrays, b.arrays)
        assert dict(a.attributes) == dict(b.attributes)


def _assert_same(a: Mapping[str, Array], b: Mapping[str, Array]) -> None:
    assert set(a) == set(b)
    for name, values in a.items():
        assert values.dtype == b[name].dtype
        assert values.shape == b[name].shape
        assert values.tobytes() == b[name].tobytes(), f"{name} differs"
