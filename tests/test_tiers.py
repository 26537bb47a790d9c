"""A tier of tests that is asked for by name never hides behind a skip."""

import os
import subprocess
import sys

import pytest

from tests import tiers


def test_a_tier_that_nobody_named_is_skipped_with_the_reason(monkeypatch):
    monkeypatch.setattr(tiers, "REQUIRED", frozenset({"ceph"}))
    with pytest.raises(pytest.skip.Exception, match="not installed"):
        tiers.require("moto", "moto is not installed")


def test_a_tier_that_was_named_fails_where_it_would_be_skipped(monkeypatch):
    monkeypatch.setattr(tiers, "REQUIRED", frozenset({"ceph"}))
    with pytest.raises(pytest.fail.Exception, match="LAKECV_REQUIRE names ceph, but radosgw is not installed"):
        tiers.require("ceph", "radosgw is not installed")


@pytest.mark.parametrize(
    ("named", "required", "starts"),
    [
        ("", "", False), ("moto", "moto", False), ("moto,ceph", "ceph moto", True), ("xrootd rucio", "rucio xrootd", True),
        ("lake", "ceph lake rucio slurm xrootd", True),
    ],
)
def test_the_environment_names_what_is_required_and_what_starts(named, required, starts):
    show = "from tests.tiers import LAKE, REQUIRED; print(*sorted(REQUIRED), LAKE)"
    environment = {**os.environ, "LAKECV_REQUIRE": named, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", show], env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == [*required.split(), str(starts)]
