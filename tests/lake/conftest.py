"""A real Ceph RGW for the tests of this folder: one per session, on request (LAKECV_LAKE=1 or LAKECV_REQUIRE=ceph)."""

import shutil
import subprocess

import pytest

from tests.servers import CEPH, S3Server, ceph
from tests.tiers import LAKE, require


@pytest.fixture(scope="session")
def ceph_folder(tmp_path_factory):
    """A folder to start it in; where nobody asked for it or it is not installed, the test ends here."""
    if not LAKE:
        pytest.skip("the real servers start on request: make test-lake")
    if not shutil.which("radosgw"):
        require("ceph", "radosgw is not installed: run deploy/lake/install.sh")
    return tmp_path_factory.mktemp("ceph") / "lake"


@pytest.fixture(scope="session")
def ceph_server(ceph_folder):
    """The running server; each test makes buckets of its own."""
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
