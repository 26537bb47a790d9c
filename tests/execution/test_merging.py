"""Sums of parts: any order and any groups, the same bits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakecv.cube import Window
from lakecv.errors import Corrupt
from lakecv.execution.merging import Total, as_ranges, from_ranges, kind_of, merge_task
from lakecv.execution.stages import LABEL_COUNTS, LABEL_SUMS, pack_pick, pack_tallies
from lakecv.execution.tensors import pack_arrays
from lakecv.job import StageKind
from lakecv.numerics.sampling import pixel_hash, smallest
from lakecv.plan import Task

PIXELS = 12


def sample(rng, index):
    """What a cell commits: few or no pixels, as they come."""
    count = int(rng.integers(0, 20))
    y, x = np.full(count, index), np.arange(count)
    spectra = rng.normal(size=(count, 3)).astype("float32")
    return pack_arrays(pack_pick(smallest(spectra, y, x, pixel_hash(4, y, x), PIXELS)))


def statistics(rng, _):
    return pack_arrays({"sums": rng.integers(-(2**60), 2**60, (4, 3)) // 64, "counts": rng.integers(0, 99, 4)})


def tallies(rng, _):
    """Counts by label: as many rows as the block has labels, in some blocks none at all."""
    labels = int(rng.integers(0, 5))
    found = {LABEL_COUNTS: rng.integers(0, 9, labels), LABEL_SUMS: rng.integers(-99, 99, (labels, 3)), "of the model": rng.integers(0, 9, 2)}
    arrays = {"labels": rng.integers(0, 4, (2, 2)).astype("uint8"), **pack_tallies(found if rng.random() < 0.8 else {})}
    return pack_arrays(arrays)


PARTS = {StageKind.SAMPLE: sample, StageKind.REDUCE: statistics, StageKind.MAP: tallies}


def total(kind, parts):
    found = Total(kind, PIXELS)
    for part in parts:
        found.add(part)
    return pack_arrays(found.arrays())


@pytest.mark.parametrize("kind", PARTS)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 12), data=st.data())
def test_any_groups_in_any_order_give_the_same_bits(kind, seed, count, data):
    rng = np.random.default_rng(seed)
    parts = [PARTS[kind](rng, index) for index in range(count)]
    group = data.draw(st.lists(st.integers(0, 3), min_size=count, max_size=count))
    order = data.draw(st.permutations(range(count)))
    groups = [[parts[index] for index in order if group[index] == number] for number in range(4)]
    merged = [total(kind, own) for own in groups if own]
    assert total(kind, data.draw(st.permutations(merged))) == total(kind, parts)


def test_the_sum_of_nothing_is_a_part_too():
    assert total(StageKind.MAP, [total(StageKind.MAP, [pack_arrays({"labels": np.zeros(3, "uint8")})])]) == pack_arrays({})


def test_a_part_that_is_no_part_is_corrupt():
    with pytest.raises(Corrupt):
        Total(StageKind.REDUCE).add(b"foreign")


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
