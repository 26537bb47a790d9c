"""What the local site costs: read, k-means apply and write through it, against a bare thread pool that does the same.

Both sides use the same blocks, the verified reader, the same arithmetic and the verified writer, and must end with the same
checksums and the same sums; rounds alternate, so that a busy machine slows both.  The site's workers are started, and have
worked once, before the clock runs; what that costs stands in its own column.
"""

import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from tempfile import mkdtemp

import numpy as np
import psutil
from threadpoolctl import threadpool_limits

from lakecv import config, registry
from lakecv.api.learnt import load_states
from lakecv.execution.chain import build_chain
from lakecv.execution.crew import Crew, Paces
from lakecv.execution.drive import drive
from lakecv.execution.runarea import RunArea
from lakecv.execution.stages import LABEL_COUNTS, LABEL_SUMS, grow_add
from lakecv.execution.station import Station
from lakecv.execution.workarea import Setup
from lakecv.execution.worker import execute
from lakecv.lake_io.codec import encode_shard, shard_chunks
from lakecv.lake_io.layout import shards
from lakecv.lake_io.objects import put_checked
from lakecv.lake_io.place import join_url, work_prefix
from lakecv.lake_io.publish import load_manifest
from lakecv.lake_io.read import open_array
from lakecv.lake_io.sheets import read_sheets
from lakecv.numerics.tally import label_sums
from tests.bench.cubes import lake_of_counts, size_of
from tests.bench.table import Row

SECTION = "Throughput of the local site"
NODATA = 255


@dataclass(frozen=True)
class Bout:
    """What both sides are given: a lake, a plan that applies a state, and that state."""

    lake: str
    plan: object
    dataset: object
    chain: tuple
    state: object

    @property
    def specs(self):
        return {spec.name: spec for spec in self.plan.output.arrays}

    def folder(self):
        """A fresh folder below the lake, for one round's objects."""
        return os.path.relpath(mkdtemp(dir=self.lake), self.lake)


def measure(*, toy=False, rounds=5):
    """One row: medians over the rounds, the ratio of each round, and what starting the workers took."""
    shape, workers, rounds = ((96, 80, 64), 1, 1) if toy else ((1024, 1024, 512), 2, rounds)
    with lake_of_counts(shape, max_workers=workers) as lake:
        found, sides = _rounds(prepare(lake), rounds, workers)
    ratios = [site[0] / bare[0] for site, bare in sides]
    each = ", ".join(f"{ratio:.3f}" for ratio in ratios)
    site, bare = (_told(side) for side in zip(*sides, strict=True))
    return [Row(SECTION, (size_of(shape), bare, site, f"{statistics.median(ratios):.3f} ({each})", f"{found:.1f} s"))]


def _told(side):
    """Medians of one side: wall seconds, and in brackets those of all its processors together."""
    wall, cpu = (statistics.median(values) for values in zip(*side, strict=True))
    return f"{wall:.2f} s ({cpu:.2f})"


def prepare(lake):
    """Fit once, briefly; plan the application of what was learnt."""
    options = {"k": 8, "restarts": 1, "passes": 2}
    learnt = lake.run("kmeans", "bench:cube", options=options)
    plan = lake.plan("kmeans", "bench:cube", options=options, state=str(learnt.output))
    dataset = lake.show("bench:cube")
    chain = build_chain(plan.job, dataset.cube)
    [state] = load_states(lake.url, lake.show(str(learnt.output)), len(chain))
    return Bout(lake.url, plan, dataset, chain, state)


def _rounds(bout, rounds, workers):
    """Seconds of starting; for every round (wall, processor) seconds of the site and of the threads."""
    site = config.site(bout.plan.site)
    threadpool_limits(1)  # as in a worker
    began, sides = time.perf_counter(), []
    with registry.site(bout.plan.shares[0].executor).pool(site, bout.plan.workers, execute, "bench") as pool:
        _through_site(bout, pool, workers)
        started = time.perf_counter() - began
        _bare(bout, workers)
        for _ in range(rounds):
            site_seconds, one = _clocked(_through_site, bout, pool, workers)
            bare_seconds, two = _clocked(_bare, bout, workers)
            _same(one, two)
            sides.append((site_seconds, bare_seconds))
    return started, sides


def _clocked(side, *given):
    """(wall, processor) seconds of one round of a side, children included, and what it made."""
    before = _processor_seconds()
    wall, made = side(*given)
    return (wall, _processor_seconds() - before), made


def _processor_seconds():
    own = psutil.Process()
    times = [process.cpu_times() for process in (own, *own.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def _through_site(bout, pool, workers):
    """Map and pack as a run does; seconds, and (stored objects, tallies)."""
    folder = bout.folder()
    setup = Setup(f"r-{folder}", bout.lake, bout.plan, bout.dataset, bout.dataset.did, f"{folder}/home", "")
    crew = crew_of(bout, pool, workers, setup.run)
    began = time.perf_counter()
    crew.area.start(setup)
    computed = drive(crew, setup, bout.chain)
    return time.perf_counter() - began, (computed.stored, computed.tallies)


def crew_of(bout, pool, slots, run):
    """One open pool as all there is of a run's sites, in a work area of the lake to which the state is given."""
    area = RunArea(registry.open_objects(join_url(bout.lake, work_prefix(run))), registry.open_objects)
    area.give("0-given", bout.state)
    site = bout.plan.shares[0].site
    rses = [replica.rse for replica in bout.dataset.replicas]
    return Crew(area, {site: Station(site, pool, slots)}, bout.plan, Paces(bout.plan.paces), rses, _unseen, 600.0, time.monotonic())


def _unseen(_):
    """Take progress and show it to nobody, as in a script."""


def _bare(bout, workers):
    """Do the same with threads and nothing else: no task, no part, no record."""
    home = registry.open_objects(join_url(bout.lake, f"{bout.folder()}/home"))
    began = time.perf_counter()
    objects = registry.open_objects(join_url(bout.lake, bout.dataset.home))
    manifest = load_manifest(objects, bout.dataset.digest)
    arrays = {spec.name: np.empty(spec.shape, spec.dtype) for spec in bout.plan.output.arrays}
    with ThreadPoolExecutor(workers) as pool:
        tallies = {}
        for more in pool.map(lambda block: _map_bare(bout, block.window, (objects, manifest), arrays), bout.plan.blocks):
            tallies = grow_add(tallies, more)
        wanted = [(spec, shard) for spec in bout.plan.output.arrays for shard in shards(spec)]
        stored = list(pool.map(lambda each: _write_bare(home, *each, arrays), wanted))
    return time.perf_counter() - began, (tuple(stored), tallies)


def _map_bare(bout, window, source, arrays):
    """One block: read, apply, add up the spectra of each label."""
    dataset, [link], (objects, manifest) = bout.dataset, bout.chain, source
    main = dataset.cube.main
    readers = {main.name: open_array(objects, main, manifest, dataset.path_of(main.name))}
    tallies = {}
    for cell, sheet in read_sheets(dataset.cube, readers, window):
        made = link.apply(sheet, bout.state).arrays
        labels = made["labels"].reshape(-1)
        valid = sheet.valid.reshape(-1) & (labels != NODATA)
        counts, sums = label_sums(sheet.pixels, labels, valid, int(labels[valid].max()) + 1, 0)
        tallies = grow_add(tallies, {LABEL_COUNTS: counts, LABEL_SUMS: sums})
        for name, array in arrays.items():
            array[cell.window.slices()] = made[name][: cell.window.height, : cell.window.width]
    return tallies


def _write_bare(home, spec, shard, arrays):
    values = arrays[spec.name][shard.window.slices()]
    return put_checked(home, f"{spec.name}/{shard.key}", encode_shard(shard_chunks(values, spec), spec))


def _same(one, two):
    """Hold both sides to the same objects and sums."""
    (stored_one, tallies_one), (stored_two, tallies_two) = one, two
    same = all(np.array_equal(tallies_one[name], tallies_two[name]) for name in {*tallies_one, *tallies_two})
    if stored_one != stored_two or not same:
        raise RuntimeError("the site and the thread pool made different results")
