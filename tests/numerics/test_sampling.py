import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from lakecv.errors import InternalError
from lakecv.numerics.sampling import chosen_cells, merge, pixel_hash, smallest


def grid(ny, nx):
    return (axis.ravel() for axis in np.mgrid[:ny, :nx])


def picked(index, n, y, x, hashes):
    return smallest(np.stack([y[index], x[index]], axis=1), y[index], x[index], hashes[index], n)


@pytest.mark.parametrize("seed", [0, 1, -3, 2**70])
def test_hashes_are_even(seed):
    y, x = grid(300, 300)
    hits = np.bincount((pixel_hash(seed, y, x) >> np.uint64(56)).astype(int), minlength=256)
    assert stats.chisquare(hits).pvalue > 1e-4


def test_low_bits_of_neighbours_are_even_too():
    y, x = grid(256, 256)
    hits = np.bincount((pixel_hash(5, y, x) & np.uint64(255)).astype(int), minlength=256)
    assert stats.chisquare(hits).pvalue > 1e-4


def test_pixels_and_seeds_differ():
    y, x = grid(500, 500)
    assert len(np.unique(np.concatenate([pixel_hash(0, y, x), pixel_hash(1, y, x)]))) == 2 * y.size


def test_y_and_x_are_not_the_same():
    assert pixel_hash(0, 3, 8) != pixel_hash(0, 8, 3)


def test_a_hash_does_not_depend_on_its_neighbours():
    y, x = grid(20, 30)
    assert [int(pixel_hash(9, a, b)) for a, b in zip(y, x, strict=True)] == pixel_hash(9, y, x).tolist()


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(1, 12), st.integers(0, 2**32), st.randoms())
def test_any_split_gives_the_sample_of_the_whole(n, parts, seed, random):
    y, x = grid(9, 11)
    hashes = pixel_hash(seed, y, x) >> np.uint64(59)  # few bits, so that there are ties
    owner = np.array([random.randrange(parts) for _ in y])
    whole = picked(np.arange(y.size), n, y, x, hashes)
    pieces = [picked(np.flatnonzero(owner == part), n, y, x, hashes) for part in range(parts)]
    random.shuffle(pieces)
    some = random.randrange(parts) + 1
    again = merge([merge(pieces[:some], n), *pieces[some:]], n)
    assert again.spectra.tolist() == whole.spectra.tolist()
    assert again.hashes.tolist() == whole.hashes.tolist()


def test_a_sample_is_sorted_by_hash_then_y_then_x():
    y, x = grid(6, 7)
    hashes = pixel_hash(1, y, x) % np.uint64(5)
    got = picked(np.arange(42), 30, y, x, hashes)
    keys = sorted(zip(hashes.tolist(), y.tolist(), x.tolist(), strict=True))[:30]
    assert list(zip(got.hashes.tolist(), got.y.tolist(), got.x.tolist(), strict=True)) == keys


def test_chosen_cells_are_sorted_and_grow_with_the_count():
    few, more = chosen_cells(100, 3, 10), chosen_cells(100, 3, 20)
    assert few.tolist() == sorted(set(few.tolist()))
    assert set(few.tolist()) < set(more.tolist())
    assert chosen_cells(5, 3, 10).tolist() == [0, 1, 2, 3, 4]


def test_a_sample_with_positions_of_another_length_is_a_bug():
    with pytest.raises(InternalError):
        smallest(np.zeros((3, 2)), np.zeros(2, int), np.zeros(3, int), np.zeros(3, np.uint64), 1)
