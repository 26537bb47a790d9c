"""The contract of a reader, as tests that a plugin author inherits.

A reader that passes is lazy, orients every window alike, tells the truth in its spec, and refuses what is not its own::

    class TestMyReader(ReaderContract):
        @pytest.fixture
        def reader(self): return MyReader()
        ...
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lakecv.cube import CubeSpec, Window
from lakecv.ports import CubeReader, ReadHints, Source
from lakecv.sheet import Array

__all__ = ["ReaderContract", "windows"]


def windows(ny: int, nx: int, parts: int = 3) -> Iterator[Window]:
    """Cut a picture into windows of unequal size that cover it without gap or overlap."""
    rows = sorted({0, *(ny * part // parts for part in range(1, parts)), ny})
    columns = sorted({0, *((nx * part + 1) // parts for part in range(1, parts)), nx})
    for y0, y1 in pairwise(rows):
        for x0, x1 in pairwise(columns):
            yield Window(y0, y1, x0, x1)


class ReaderContract:
    """Inherit, and give the five fixtures; ``truth`` holds every array of the spec, whole and in (y, x[, spectral])."""

    @pytest.fixture
    def reader(self) -> CubeReader:
        """Return the reader under test."""
        raise NotImplementedError

    @pytest.fixture
    def source(self, tmp_path: Path) -> Source:
        """Write a small file below ``tmp_path``."""
        raise NotImplementedError

    @pytest.fixture
    def hints(self) -> ReadHints:
        """Return what the user would have to say."""
        return ReadHints()

    @pytest.fixture
    def truth(self) -> Mapping[str, Array]:
        """Return the arrays by name, made without the reader."""
        raise NotImplementedError

    @pytest.fixture
    def spec(self, reader: CubeReader, source: Source, hints: ReadHints) -> CubeSpec:
        """Probe."""
        return reader.probe(source, hints)

    @pytest.fixture
    def cube(self, reader: CubeReader, source: Source, hints: ReadHints) -> Any:
        """Open."""
        return reader.read(source, hints)

    def test_it_is_a_reader(self, reader: CubeReader) -> None:
        """It has the methods of the port."""
        assert isinstance(reader, CubeReader)

    def test_it_accepts_its_own_file(self, reader: CubeReader, source: Source) -> None:
        """Name and first bytes are enough."""
        head = b"" if source.path.is_dir() else source.path.read_bytes()[:4096]
        assert reader.accepts(source, head)

    def test_it_refuses_a_foreign_file(self, reader: CubeReader, tmp_path: Path) -> None:
        """Neither name nor bytes are its own."""
        path = tmp_path / "picture.foreign"
        path.write_bytes(b"not a cube")
        assert not reader.accepts(Source(str(path), path), b"not a cube")

    def test_the_spec_tells_names_dims_shapes_and_types_of_what_is_read(self, spec: CubeSpec, cube: Any) -> None:
        """``probe`` and ``read`` agree."""
        told = {item.name: (item.dims, item.shape, item.dtype) for item in spec.arrays}
        assert {name: (item.dims, item.shape, item.dtype.name) for name, item in cube.data_vars.items()} == told

    def test_the_spec_tells_the_arrays_of_the_truth(self, spec: CubeSpec, truth: Mapping[str, Array]) -> None:
        """``probe`` is right."""
        assert {item.name: (item.shape, item.dtype) for item in spec.arrays} == {
            name: (item.shape, item.dtype.name) for name, item in truth.items()
        }

    def test_grid_axis_and_chunks_fit_the_main_array(self, spec: CubeSpec) -> None:
        """The parts of a spec agree with each other."""
        assert spec.main.shape[:2] == (spec.grid.ny, spec.grid.nx)
        assert spec.axis is None or spec.main.dims[2:] != ("spectral",) or spec.axis.size == spec.main.shape[2]
        assert all(len(item.chunks) == len(item.shape) and min(item.chunks) >= 1 for item in spec.arrays)

    def test_every_window_equals_the_truth(self, cube: Any, truth: Mapping[str, Array]) -> None:
        """Windows of unequal size, in every corner."""
        for name, expected in truth.items():
            for window in windows(*expected.shape[:2]):
                where = window.slices()
                np.testing.assert_array_equal(cube[name][where].values, expected[where])

    def test_the_whole_equals_the_truth(self, cube: Any, truth: Mapping[str, Array]) -> None:
        """One window that is everything."""
        for name, expected in truth.items():
            np.testing.assert_array_equal(cube[name].values, expected)

    def test_single_pixels_steps_and_reversed_rows_equal_the_truth(self, cube: Any, truth: Mapping[str, Array]) -> None:
        """What xarray allows as an index."""
        for name, expected in truth.items():
            np.testing.assert_array_equal(cube[name][-1, 0].values, expected[-1, 0])
            np.testing.assert_array_equal(cube[name][::-2, 1::2].values, expected[::-2, 1::2])

    def test_samples_are_in_native_byte_order_and_own_their_memory(self, cube: Any) -> None:
        """Callers compute with them at once, and after the file is gone."""
        for item in cube.data_vars.values():
            block = np.asarray(item[:2, :1].values)
            assert block.dtype.isnative
            block[...] = 0  # a view of a read-only map would raise

    def test_nothing_is_read_before_a_window_is_asked_for(self, cube: Any) -> None:
        """Opening a cube costs its headers."""
        assert not any(item.variable._in_memory for item in cube.data_vars.values())  # noqa: SLF001

    def test_notes_are_sentences(self, cube: Any) -> None:
        """``attrs['notes']`` is shown to the user."""
        assert all(isinstance(note, str) and note for note in cube.attrs["notes"])

    def test_source_hints_and_spec_travel(self, source: Source, hints: ReadHints, spec: CubeSpec) -> None:
        """Readers run in a child process, so these values are pickled."""
        for value in (source, hints, spec):
            assert ForkingPickler.loads(ForkingPickler.dumps(value)) == value
