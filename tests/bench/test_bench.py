"""Every bench runs at toy size and its result is right; how long it takes is no test's business."""

import numpy as np
import pytest

from tests.bench import (
    assignment,
    cubes,
    memory,
    overhead,
    peers,
    planning,
    pool,
    quality,
    rucio_lake,
    s3,
    sites,
    startup,
)
from tests.bench.table import PAGE, Row, append, stamp

pytestmark = pytest.mark.filterwarnings("default")  # Dask warns of what is not ours

BENCHES = (startup, planning, assignment, sites, pool, overhead, memory, peers, s3, rucio_lake)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("bench", BENCHES, ids=lambda bench: bench.__name__.rpartition(".")[2])
def test_a_bench_runs_at_toy_size_and_its_rows_fit_their_tables(bench):
    rows = list(bench.measure(toy=True))
    page = append(PAGE.read_text(), rows, stamp())
    assert len(page.splitlines()) == len(PAGE.read_text().splitlines()) + len(rows) > 0


def test_a_row_goes_below_the_last_one_of_its_table_and_changes_nothing_else():
    page = "## A\n\n| d | c | m | x |\n|---|---|---|---|\n| 1 | 2 | 3 | 4 |\n\n## B\n\n| d | c | m | y |\n|---|---|---|---|\n"
    done = append(page, [Row("A", ("five",))], ("1", "2", "3"))
    assert done == page.replace("| 4 |\n", "| 4 |\n| 1 | 2 | 3 | five |\n")


def test_a_row_that_does_not_fit_its_table_is_refused():
    with pytest.raises(ValueError, match="does not fit"):
        append("## A\n\n| d | c | m | x |\n|---|---|---|---|\n", [Row("A", ("five", "six"))], ("1", "2", "3"))


def test_the_cubes_hold_counts_of_the_asked_mean_in_every_pixel(tmp_path):
    counts = np.load(cubes.write_counts(tmp_path / "cube.npy", (70, 60, 256), mean=0.6))
    assert counts.shape == (70, 60, 256)
    assert counts.dtype == np.uint16
    assert abs(counts.mean() - 0.6) < 0.03
    assert counts.any(axis=-1).all()


def test_a_watched_command_has_memory_of_a_plausible_size_and_gives_its_output():
    peak = memory.watched(["--version"])
    assert peak.text.startswith("lakecv ")
    assert 1 << 20 < peak.total < 1 << 30
    assert peak.total == sum(peak.parts)


def test_a_thread_pool_that_made_something_else_is_not_compared():
    one = ((), {"counts": np.array([1, 2])})
    with pytest.raises(RuntimeError, match="different results"):
        overhead._same(one, ((), {"counts": np.array([2, 1])}))


@pytest.mark.timeout(120)
def test_the_quality_script_makes_rows_that_fit_its_page():
    rows = list(quality.measure([quality.toy()]))
    assert [row.cells[3].partition(" ")[0] for row in rows] == ["raw", "PCA"]
    assert all(row.cells[4].startswith("1.0000") for row in rows)
    page = append(quality.PAGE.read_text(), rows, stamp()[:2])
    assert len(page.splitlines()) == len(quality.PAGE.read_text().splitlines()) + 2
