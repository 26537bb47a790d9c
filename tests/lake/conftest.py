"""Real servers for the tests of this folder: one stack per session, on request (LAKECV_LAKE=1, or LAKECV_REQUIRE names a tier)."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import CEPH, RUCIO_VENV, S3Server, ceph, lake
from tests.tiers import LAKE, require

INSTALL = "run deploy/lake/install.sh"
SLURM = (sys.executable, Path(__file__).parents[2] / "deploy" / "batch" / "slurm.py")


def missing():
    """Say for each tier of the whole lake why it cannot start here."""
    there = {
        "ceph": shutil.which("radosgw"), "xrootd": shutil.which("xrootd"),
        "rucio": shutil.which("nginx") and (RUCIO_VENV / "bin" / "gunicorn").exists(),
    }
    return {tier: f"{tier} is not installed: {INSTALL}" for tier, found in there.items() if not found}


@pytest.fixture(scope="session")
def real_lake(tmp_path_factory):
    """A running data lake (RealLake); each test makes DIDs, folders and buckets of its own."""
    if not LAKE:
        pytest.skip("the real servers start on request: make test-lake")
    for tier, reason in missing().items():
        require(tier, reason)
    with lake(tmp_path_factory.mktemp("lake") / "lake") as started:
        yield started


@pytest.fixture(scope="session")
def slurm_folder(tmp_path_factory):
    """Folder of a running Slurm with the partitions infn-pg, infn-na and gpu; its path is short enough for sockets."""
    if not LAKE:
        pytest.skip("the real servers start on request: make test-lake")
    if not shutil.which("slurmctld", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin"):
        require("slurm", "Slurm is not installed: run deploy/batch/install.sh")
    folder = tmp_path_factory.mktemp("s") / "l"
    try:
        subprocess.run([*SLURM, "start", folder], check=True, timeout=110, capture_output=True)
        yield folder
    finally:
        subprocess.run([*SLURM, "stop", folder], check=True, timeout=110, capture_output=True)


@pytest.fixture(scope="session")
def ceph_folder(request, tmp_path_factory):
    """Where Ceph lies: in the lake, if any test of this session wants that one too, else in a folder of its own."""
    if not LAKE:
        pytest.skip("the real servers start on request: make test-lake")
    if not shutil.which("radosgw"):
        require("ceph", f"radosgw is not installed: {INSTALL}")
    if any("real_lake" in getattr(item, "fixturenames", ()) for item in request.session.items) and not missing():
        return request.getfixturevalue("real_lake").folder / "ceph"
    return tmp_path_factory.mktemp("ceph") / "lake"


@pytest.fixture(scope="session")
def ceph_server(ceph_folder):
    """The running S3 server; each test makes buckets of its own."""
    if ceph_folder.name == "ceph":  # the lake's, which stops it
        yield S3Server.found("ceph", (ceph_folder / "lake.env").read_text())
    else:
        with ceph(ceph_folder) as server:
            yield server


@pytest.fixture(scope="session")
def ceph_user(ceph_folder, ceph_server):
    """Make another user by name; with "--read-only", keys of the first one that change nothing in its buckets."""

    def made(name, *options):
        command = [*CEPH, "user", ceph_folder, name, *options]
        done = subprocess.run(command, check=True, timeout=60, capture_output=True, text=True)
        user = S3Server.found("ceph", done.stdout)
        assert user.endpoint == ceph_server.endpoint
        return user

    return made
