"""What a task of each kind does with its block: sample, reduce, map, pack.

Each takes the bench and the task and returns named arrays to be committed; none of them knows who runs it or why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lakecv.cube import ArraySpec, Role
from lakecv.errors import Corrupt, InternalError, Kind
from lakecv.execution.bench import Bench, Traffic
from lakecv.execution.chain import next_sheet, stored_outputs
from lakecv.execution.overviews import overview
from lakecv.execution.samples import pack_pick
from lakecv.lake_io.codec import encode_shard, shard_chunks
from lakecv.lake_io.layout import shards
from lakecv.lake_io.objects import put_checked
from lakecv.lake_io.read import ArrayReader
from lakecv.numerics import exact
from lakecv.numerics.sampling import pixel_hash, smallest
from lakecv.numerics.tally import label_sums
from lakecv.plan import Outcome, Task
from lakecv.ports import ReducibleModel
from lakecv.sheet import Array, Sheet, Statistics

__all__ = ["LABEL_COUNTS", "LABEL_SUMS", "OVERVIEW", "Done", "grow_add", "is_tally", "label_exponent", "map_block", "pack_shard", "pack_tallies", "reduce_block",
           "sample_cell", "unpack_tallies"]

LABEL_COUNTS, LABEL_SUMS, OVERVIEW = "label-counts", "label-sums", "overview"
_TALLY = "tally/"


@dataclass(frozen=True, slots=True)
class Done:
    """What a task made: arrays to commit, bytes fetched, bytes already written elsewhere."""

    arrays: dict[str, Array]
    nbytes_read: int
    nbytes_written: int = 0
    reads: tuple[tuple[str, int], ...] = ()
    read_seconds: float = 0.0


def _done(arrays: dict[str, Array], readers: Mapping[str, ArrayReader], traffic: Traffic) -> Done:
    return Done(arrays, sum(reader.nbytes for reader in readers.values()), reads=traffic.reads, read_seconds=traffic.seconds)


def sample_cell(bench: Bench, task: Task) -> Done:
    """Pick the pixels with the smallest hash of one cell, as the link to be fitted sees them."""
    traffic = Traffic()
    readers = bench.readers(task.rse, traffic)
    states = [bench.state(stage) for stage in task.states]
    n = bench.chain[task.link].workload.sample_pixels
    [(cell, sheet)] = bench.sheets(task.link, task.window, states, readers)
    rows, columns = np.nonzero(sheet.valid)
    y, x = rows + cell.window.y0, columns + cell.window.x0
    spectra = sheet.pixels[sheet.valid.reshape(-1)]
    pick = smallest(spectra, y, x, pixel_hash(bench.setup.plan.job.seed, y, x), n)
    return _done(pack_pick(pick), readers, traffic)


def reduce_block(bench: Bench, task: Task) -> Done:
    """Add up one block's exact statistics under the state of the last pass."""
    traffic = Traffic()
    readers = bench.readers(task.rse, traffic)
    states = [bench.state(stage) for stage in task.states]
    link = bench.chain[task.link]
    if not isinstance(link.model, ReducibleModel):
        raise InternalError(f"{link.model.name} has nothing to reduce", Kind.BUG)
    total: Statistics = {}
    for _, sheet in bench.sheets(task.link, task.window, states, readers):
        total = exact.add(total, link.model.accumulate({link.input: sheet}, states[task.link], link.options))
    return _done(dict(total), readers, traffic)


def map_block(bench: Bench, task: Task) -> Done:
    """Apply the whole chain to one block: its stored arrays, the last link's tallies, and sums of spectra per label."""
    traffic = Traffic()
    readers = bench.readers(task.rse, traffic)
    states = [bench.state(stage) if stage else None for stage in task.states]
    outputs = stored_outputs(bench.chain, bench.setup.plan.job.keep)
    blocks = {spec.name: np.empty((task.window.height, task.window.width, *spec.shape[2:]), spec.dtype) for spec in outputs}
    tallies: Statistics = {}
    for cell, raw in bench.sheets(0, task.window, [], readers):
        sheet = raw
        made: dict[str, Array] = {}
        for link, state in zip(bench.chain, states, strict=True):
            result = link.apply(sheet, state)
            made |= {spec.name: result.arrays[spec.name] for spec in link.workload.outputs}
            if link is not bench.chain[-1]:
                sheet = next_sheet(link, result, sheet)
            else:
                tallies = exact.add(tallies, result.tallies)
        tallies = grow_add(tallies, _label_tally(bench, raw, made, outputs))
        place = cell.window.slices(task.window)
        for name, block in blocks.items():
            block[place] = made[name][: cell.window.height, : cell.window.width]
    arrays = {**blocks, **pack_tallies(tallies)}
    return _done(arrays, readers, traffic)


def pack_tallies(tallies: Statistics) -> dict[str, Array]:
    """Name the arrays of tallies among those of a block."""
    return {f"{_TALLY}{name}": values for name, values in tallies.items()}


def is_tally(name: str) -> bool:
    """Say whether an array of a block is a tally."""
    return name.startswith(_TALLY)


def unpack_tallies(arrays: Mapping[str, Array]) -> Statistics:
    """Find the tallies among the arrays that :func:`map_block` made."""
    return {name.removeprefix(_TALLY): values for name, values in arrays.items() if is_tally(name)}


def grow_add(a: Statistics, b: Statistics) -> Statistics:
    """Add tallies whose first axis counts labels: the shorter one is extended with zeros."""
    rows = {name: max(len(side[name]) for side in (a, b) if name in side) for name in {*a, *b} if name in _BY_LABEL}
    return exact.add(_grown(a, rows), _grown(b, rows))


_BY_LABEL = {LABEL_COUNTS, LABEL_SUMS}


def _grown(tallies: Statistics, rows: dict[str, int]) -> Statistics:
    return {
        name: np.pad(values, [(0, rows[name] - len(values)), *[(0, 0)] * (values.ndim - 1)]) if name in rows else values
        for name, values in tallies.items()
    }


def label_exponent(cube_main: ArraySpec) -> int:
    """Scale of the sums of spectra per label: 0 for integers whose sums fit, else from the limits of the data."""
    low, high = exact.limits_of(cube_main)
    most, npixels = max(abs(low), abs(high)), cube_main.shape[0] * cube_main.shape[1]
    if not cube_main.dtype.startswith("float") and most * npixels < exact.MOST:
        return 0
    return exact.exponent(most, npixels)


def _label_tally(bench: Bench, raw: Sheet, made: dict[str, Array], outputs: tuple[ArraySpec, ...]) -> Statistics:
    """Pixels and sums of the original spectra per label, for the first output that holds labels."""
    spec = next((spec for spec in outputs if spec.role is Role.LABELS), None)
    if spec is None:
        return {}
    labels = made[spec.name].reshape(-1)
    valid = raw.valid.reshape(-1) & (labels != np.iinfo(spec.dtype).max)
    nlabels = int(labels[valid].max()) + 1 if valid.any() else 0
    counts, sums = label_sums(raw.pixels, labels, valid, nlabels, label_exponent(bench.cube.main))
    return {LABEL_COUNTS: counts, LABEL_SUMS: sums}


def pack_shard(bench: Bench, task: Task) -> Done:
    """Assemble one output shard from the parts of the blocks it touches, write it to the home and read it back."""
    spec = bench.setup.plan.output.array(task.array)
    [shard] = [shard for shard in shards(spec, task.window) if shard.index == task.index]
    values = np.empty((shard.window.height, shard.window.width, *spec.shape[2:]), spec.dtype)
    read = 0
    for block in bench.setup.plan.blocks:
        cut = block.window.intersect(shard.window)
        if cut is None:
            continue
        part = _part_of(bench, block.index)
        read += sum(piece.nbytes for piece in part.pieces if piece.name == spec.name)
        values[cut.slices(shard.window)] = bench.run.arrays(part, spec.name.__eq__)[spec.name][cut.slices(block.window)]
    stored = put_checked(bench.home, f"{spec.name}/{shard.key}", encode_shard(shard_chunks(values, spec), spec))
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    limits = np.array([finite.min(), finite.max()] if finite.size else [], np.float64)
    facts = np.array([stored.nbytes, int(stored.adler32, 16), int(stored.crc32c, 16)], np.int64)
    small = overview(spec, shard.window, values)
    return Done({"limits": limits, "stored": facts, **({} if small is None else {OVERVIEW: small})}, read, stored.nbytes)


def _part_of(bench: Bench, index: int) -> Outcome:
    outcome = bench.run.outcome(f"map/{index:06d}")
    if outcome is None:
        raise Corrupt(f"block {index} has no commit record though packing has begun", Kind.OBJECT_MISSING)
    return outcome
