"""How long a plan of many blocks takes, and how much memory, with no socket to be had."""

import socket
import time
import tracemalloc
from contextlib import contextmanager

from lakecv import registry
from lakecv.api.jobs import make_job
from lakecv.cube import ArraySpec, CubeSpec, Grid, Role, SpectralAxis
from lakecv.execution.chain import build_chain, stored_outputs
from lakecv.lake_io.layout import lay_out
from lakecv.planning.make import Wish, make_plan
from lakecv.records import DID, Dataset, Replica
from lakecv.site import Resources, Site
from tests.bench.table import Row

SECTION = "Planning"
_CHUNK = 64


def measure(*, toy=False):
    """One row: k-means on a picture of as many chunks as blocks are wanted."""
    side = 4 if toy else 320
    wish = _wish(side * _CHUNK)
    site = Site("large", "local", Resources(1, 4 << 30), side * side // 2, ("near",))
    registry.model("kmeans")
    with _no_socket():
        began = time.perf_counter()
        plan = make_plan(wish, [site])
        seconds = time.perf_counter() - began
        tracemalloc.start()
        again = make_plan(wish, [site])
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    if again != plan or len(plan.blocks) != side * side:
        raise RuntimeError(f"{len(plan.blocks)} blocks were planned where {side * side} were due")
    return [Row(SECTION, (str(len(plan.blocks)), f"{seconds:.2f}", f"{peak / 2**20:.0f} MiB", "5 s"))]


def _wish(side, depth=1024):
    shape = (side, side, depth)
    spec = ArraySpec("data", Role.DATA, ("y", "x", "spectral"), shape, "uint16", (_CHUNK, _CHUNK, depth), limits=(0.0, 9.0))
    cube = CubeSpec(Grid(side, side), SpectralAxis(depth), (spec,))
    dataset = Dataset(DID("bench", "cube"), cube, "0", "data/cube", (Replica("near", "data/cube"),), 1, spec.nbytes, "")
    job = make_job("kmeans", dataset, options={"k": 8}, seed=0, scope="bench")
    chain = build_chain(job, cube)
    outputs = tuple(lay_out(spec) for spec in stored_outputs(chain, job.keep))
    return Wish(job, dataset, tuple(link.workload for link in chain), outputs)


@contextmanager
def _no_socket():
    usual, socket.socket = socket.socket, None
    try:
        yield
    finally:
        socket.socket = usual
