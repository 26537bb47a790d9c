"""The demonstration of two sites at toy size: the same bytes from every placement, and none of the input from afar where lakecv places."""

import importlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.tiers import LAKE, require

pytestmark = pytest.mark.timeout(240)

BATCH = Path(__file__).parents[2] / "deploy" / "batch"
sys.path.insert(0, str(BATCH))
network = importlib.import_module("network")


@pytest.fixture(scope="module", params=["namespaces", "one network"])
def told(request):
    """Lines of a demonstration, and the folder that it had for its own ones."""
    if not LAKE:
        pytest.skip("the real servers start on request: make test-lake")
    if not shutil.which("slurmctld", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin"):
        require("slurm", "Slurm is not installed: run deploy/batch/install.sh")
    if request.param == "namespaces" and (reason := network.able()):
        pytest.skip(f"no network namespaces: {reason}")
    folder = Path(tempfile.mkdtemp(prefix="d", dir="/tmp"))  # sockets have short names
    words = [] if request.param == "namespaces" else ["--one-network"]
    done = subprocess.run(
        [sys.executable, BATCH / "demo_sites.py", "--rows", "128", *words], env={**os.environ, "TMPDIR": str(folder)}, capture_output=True,
        text=True, timeout=200, check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    yield done.stdout.splitlines(), folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def rows(told):
    """Table of the three placements, by its columns."""
    lines, _ = told
    head = next(number for number, line in enumerate(lines) if line.split()[:1] == ["placement"])
    names = ("placement", "pass_s", "rate", "all_s", "there", "back", "driver", "far", "digest")
    return {line.split()[0]: dict(zip(names, line.split(), strict=True)) for line in lines[head + 1 : head + 4]}


def test_all_placements_make_the_same_bytes(rows):
    assert [*rows] == ["near", "unpinned", "far"]
    assert len({row["digest"] for row in rows.values()}) == 1


def test_placed_near_nothing_of_the_input_crosses_the_link(rows):
    assert float(rows["near"]["far"]) == 0.0


def test_the_links_carry_the_input_only_where_it_is_far(rows):
    there, back = ({name: float(row[way]) for name, row in rows.items()} for way in ("there", "back"))
    half = 33 * 0.7 / 2  # MB as stored; a worker may keep so little
    assert there["far"] > half < back["far"]
    assert there["near"] + back["near"] < half / 4


def test_nothing_is_left(told):
    _, folder = told
    assert list(folder.iterdir()) == []
