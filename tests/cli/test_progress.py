"""Progress: sparse plain lines, honest pace, never in the way."""

import io
import sys

from lakecv.cli.output import note
from lakecv.cli.progress import Lines, describe, eta_seconds, shown
from lakecv.plan import Progress


def at(done, total=24, note=""):
    return Progress("run", "1-map", done, total, 50_000_000 * done, float(done), note)


def test_a_line_names_blocks_bytes_pace_and_time_left():
    assert describe(at(12, note="in\x1b[1mertia")) == "run 1-map: 12/24 blocks, 600 MB, 50.0 MB/s, 12 s left, inertia"


def test_registering_counts_bytes_and_verifying_objects():
    assert describe(Progress("register", "samples", 64_000, 256_000, 64_000, 2.0)).startswith("register samples: 64.0 kB of 256 kB, 32.0")
    assert describe(Progress("verify", "objects", 3, 5, 900, 0.0)) == "verify objects: 3/5 objects, 900 B"


def test_an_unknown_total_gives_no_estimate():
    assert eta_seconds(at(12, total=0)) is None
    assert describe(at(3, total=0)) == "run 1-map: 3 blocks, 150 MB, 50.0 MB/s"


def test_plain_lines_come_every_30_seconds_and_once_at_the_end():
    now, written = [0.0], []
    lines = Lines(lambda: now[0], written.append)
    for second in range(0, 70, 10):
        now[0] = float(second)
        lines(at(second // 10))
    lines.close()
    assert [line.split(",")[0] for line in written] == ["run 1-map: 3/24 blocks", "run 1-map: 6/24 blocks"]


def test_the_last_word_is_said_at_the_end_also_of_short_work():
    written = []
    lines = Lines(lambda: 0.0, written.append)
    lines(at(1))
    lines(at(24))
    lines.close()
    assert len(written) == 1
    assert "24/24" in written[0]


def test_silence_stays_silent():
    written = []
    Lines(lambda: 0.0, written.append).close()
    assert written == []


def test_json_has_no_watcher():
    with shown(quiet=True) as watcher:
        assert watcher is None


def test_a_broken_stderr_stops_nothing(monkeypatch):
    broken = io.StringIO()
    broken.close()
    monkeypatch.setattr(sys, "stderr", broken)
    note("nobody hears")
    with shown(quiet=False) as watcher:
        watcher(at(24))


def test_gc_counts_datasets():
    assert describe(Progress("gc", "datasets", 3, 5, 0, 0.0)) == "gc datasets: 3/5 datasets"
