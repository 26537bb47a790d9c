"""Sums of parts: any order and any groups, the same bits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakecv.cube import Window
from lakecv.errors import Corrupt
from lakecv.execution.merging import Total, as_ranges, from_ranges, kind_of, merge_task
from lakecv.execution.samples import pack_pick
from lakecv.execution.stages import LABEL_COUNTS, LABEL_SUMS, pack_tallies
from lakecv.execution.tensors import pack_pieces
from lakecv.execution.workarea import WorkArea
from lakecv.job import StageKind
from lakecv.numerics.sampling import pixel_hash, smallest
from lakecv.plan import Outcome, Task
from lakecv.testing.fakes import MemoryObjects

PIXELS = 12


def sample(rng, index):
    """What a cell commits: few or no pixels, as they come."""
    count = int(rng.integers(0, 20))
    y, x = np.full(count, index), np.arange(count)
    spectra = rng.normal(size=(count, 3)).astype("float32")
    return pack_pick(smallest(spectra, y, x, pixel_hash(4, y, x), PIXELS))


def statistics(rng, _):
    return {"sums": rng.integers(-(2**60), 2**60, (4, 3)) // 64, "counts": rng.integers(0, 99, 4)}


def tallies(rng, _):
    """Counts by label: as many rows as the block has labels, in some blocks none at all."""
    labels = int(rng.integers(0, 5))
    found = {LABEL_COUNTS: rng.integers(0, 9, labels), LABEL_SUMS: rng.integers(-99, 99, (labels, 3)), "of the model": rng.integers(0, 9, 2)}
    return {"labels": rng.integers(0, 4, (2, 2)).astype("uint8"), **pack_tallies(found if rng.random() < 0.8 else {})}


PARTS = {StageKind.SAMPLE: sample, StageKind.REDUCE: statistics, StageKind.MAP: tallies}


def committed(parts):
    """The parts in a work area, and their records."""
    area, window = WorkArea(MemoryObjects()), Window(0, 1, 0, 1)
    records = []
    for index, arrays in enumerate(parts):
        task = Task("here", "any", StageKind.MAP, 0, index, window)
        part, pieces = pack_pieces(arrays)
        records.append(area.commit(task, Outcome(task.key, 0.5, 1.0, 8, 0, "me", pieces=pieces), part))
    return area, records


def total(kind, parts):
    area, records = committed(parts)
    found = Total(kind, PIXELS)
    found.add_all(records, area.arrays)
    return found.arrays()


@pytest.mark.parametrize("kind", PARTS)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 12), data=st.data())
def test_any_groups_in_any_order_give_the_same_bits(kind, seed, count, data):
    rng = np.random.default_rng(seed)
    parts = [PARTS[kind](rng, index) for index in range(count)]
    group = data.draw(st.lists(st.integers(0, 3), min_size=count, max_size=count))
    order = data.draw(st.permutations(range(count)))
    groups = [[parts[index] for index in order if group[index] == number] for number in range(4)]
    merged = [total(kind, own) for own in groups if own]
    assert pack_pieces(total(kind, data.draw(st.permutations(merged)))) == pack_pieces(total(kind, parts))


def test_the_sum_of_nothing_is_a_part_too():
    assert total(StageKind.MAP, [total(StageKind.MAP, [{"labels": np.zeros(3, "uint8")}])]) == {}


def spread(count, seed):
    """A sample part of many pixels, as a cell leaves it."""
    y, x = np.full(count, seed), np.arange(count)
    return pack_pick(smallest(np.full((count, 50), seed, "float32"), y, x, pixel_hash(4, y, x), count))


def test_of_two_samples_only_the_spectra_that_are_wanted_are_read():
    area, records = committed([spread(4000, 1), spread(4000, 2)])
    sizes = []

    def read(part, wanted):
        found = area.arrays(part, wanted)
        sizes.extend(values.nbytes for values in found.values())
        return found

    total = Total(StageKind.SAMPLE, 1000)
    total.add_all(records, read)
    assert len(total.pick.spectra) == 1000
    assert set(total.pick.spectra[:, 0]) == {1, 2}
    assert (total.pick.spectra[:, 0] == total.pick.y).all()
    places, rows = 2 * 4000 * 24, 50 * 4
    assert sum(sizes) <= places + (1000 + 2 * 128) * rows


def test_of_a_block_only_the_tallies_are_read():
    area, records = committed([{"labels": np.zeros(10**6, "uint8"), **pack_tallies({LABEL_COUNTS: np.arange(3)})}])
    asked = []
    get_ranges = area._objects.get_ranges
    area._objects.get_ranges = lambda key, ranges: asked.extend(ranges) or get_ranges(key, ranges)
    found = Total(StageKind.MAP)
    found.add_all(records, area.arrays)
    assert sum(stop - start for start, stop in asked) < 1000
    assert found.statistics[LABEL_COUNTS].tolist() == [0, 1, 2]


@pytest.mark.parametrize("how", [lambda area, record: area.arrays(record), lambda area, record: area.arrays(record, "sums".__eq__)])
def test_an_array_that_differs_from_its_record_is_corrupt(how):
    area, [record] = committed([{"sums": np.arange(30), "counts": np.arange(3)}])
    blob = bytearray(area._objects._stored[record.part])
    blob[record.pieces[1].start + 20] ^= 1
    area._objects._stored[record.part] = bytes(blob)
    with pytest.raises(Corrupt, match="does not match its record"):
        how(area, record)


def test_an_array_whose_part_is_gone_is_corrupt():
    area, [record] = committed([{"sums": np.arange(3)}])
    area._objects.delete(record.part)
    with pytest.raises(Corrupt, match="gone though its record is there"):
        area.arrays(record, "sums".__eq__)


@given(st.sets(st.integers(0, 3000)))
def test_ranges_say_exactly_which(numbers):
    assert from_ranges(as_ranges(sorted(numbers))) == sorted(numbers)


def test_a_merge_is_named_by_what_it_merges_in_whatever_order():
    like = Task("near a", "0-reduce-003", StageKind.REDUCE, 0, 7, Window(0, 1, 0, 1), ("0-start",), site="a", rse="one")
    one, two, three = (merge_task(like, indices) for indices in ([3, 1, 2], [1, 2, 3], [1, 2]))
    assert one == two
    assert one.key != three.key
    assert (one.stage, one.merges, one.site, one.rse, one.work) == ("0-reduce-003-merge", "1-3", "a", "", "near a")


@pytest.mark.parametrize(("stage", "kind"), [("0-sample", "sample"), ("12-reduce-003", "reduce"), ("map", "map")])
def test_the_kind_of_a_stage_is_in_its_name(stage, kind):
    assert kind_of(stage) == kind


@pytest.mark.parametrize("wanted", [None, "sums".__eq__])
def test_a_part_of_another_version_is_no_empty_part(wanted):
    area, [empty] = committed([{}])
    assert area.arrays(empty, wanted) == {}
    task = Task("here", "any", StageKind.MAP, 0, 7, Window(0, 1, 0, 1))
    record = area.commit(task, Outcome(task.key, 0.5, 1.0, 8, 0, "me"), b"as it was packed before")
    with pytest.raises(Corrupt, match="does not say what is in it") as err:
        area.arrays(record, wanted)
    assert err.value.kind == "versions-differ"
