"""Runs one task and always comes back with an outcome; the only place where any exception is caught."""

from __future__ import annotations

import os
import socket
import time

from lakecv.errors import Kind, LakeCVError
from lakecv.execution.bench import Bench, Damages, open_bench
from lakecv.execution.merging import merge_parts
from lakecv.execution.stages import map_block, pack_shard, reduce_block, sample_cell
from lakecv.execution.tensors import pack_pieces
from lakecv.job import StageKind
from lakecv.plan import Outcome, Task

__all__ = ["execute"]

_STAGES = {
    StageKind.SAMPLE: sample_cell, StageKind.REDUCE: reduce_block, StageKind.MAP: map_block,
    StageKind.MERGE: merge_parts, StageKind.PACK: pack_shard,
}


def execute(task: Task) -> Outcome:
    """Run a task and commit what it made; a task that is committed already is not run again."""
    started, clock = time.time(), time.perf_counter()
    damages = Damages()
    try:
        bench = open_bench(task.work)
        damages = bench.damages
        before = bench.area.outcome(task.key)
        if before is not None:
            return before
        done = _STAGES[task.kind](bench, task)
        part, pieces = pack_pieces(done.arrays)
        outcome = Outcome(
            task.key, time.perf_counter() - clock, started, done.nbytes_read, done.nbytes_written, _name(), task.attempt,
            damaged=damages.pending(), site=task.site, reads=done.reads, read_seconds=done.read_seconds, pieces=pieces,
        )
        return _recorded(bench, task, outcome, part)
    except LakeCVError as err:
        error = (str(err.kind), str(err))
    except MemoryError:
        error = (str(Kind.BLOCK_EXCEEDS_MEMORY), "the worker ran out of memory")
    except Exception as err:  # noqa: BLE001  (a model may raise anything; its block gets the verdict, the run goes on)
        error = (str(Kind.CONTRACT_BROKEN), f"{type(err).__name__}: {err}")
    seconds = time.perf_counter() - clock
    return Outcome(task.key, seconds, started, 0, 0, _name(), task.attempt, error=error, damaged=damages.pending(), site=task.site)


def _recorded(bench: Bench, task: Task, outcome: Outcome, part: bytes) -> Outcome:
    record = bench.area.commit(task, outcome, part)
    bench.damages.settle(record.damaged)
    return record


def _name() -> str:
    return f"{socket.gethostname()}-{os.getpid()}"
