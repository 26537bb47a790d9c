"""Tiers of tests that need a server: `moto` (mocked S3); `ceph` (real S3), `rucio`, `xrootd` and `slurm`, together `lake`.

Who asks for one must not see it skipped.

The environment is read here, once, when this is imported: each test then runs without it (tests/conftest.py).
"""

import os

import pytest

_REAL = frozenset({"ceph", "rucio", "slurm", "xrootd"})
_NAMED = frozenset(os.environ.get("LAKECV_REQUIRE", "").replace(",", " ").split())
REQUIRED = _NAMED | _REAL if "lake" in _NAMED else _NAMED
LAKE = bool(REQUIRED & _REAL) or os.environ.get("LAKECV_LAKE", "") not in {"", "0"}


def require(tier, reason):
    """Skip for a reason, unless LAKECV_REQUIRE names the tier: then it is a failure."""
    if tier in REQUIRED:
        pytest.fail(f"LAKECV_REQUIRE names {tier}, but {reason}", pytrace=False)
    pytest.skip(reason)
