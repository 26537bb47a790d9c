"""The local site and the in-process fake pass the same contract."""

import psutil
import pytest
from lakecv_plugins.sites.local import LocalSite

from lakecv.site import Resources, Site
from lakecv.testing.sites import InlineSite, SiteContract, echo

pytestmark = pytest.mark.filterwarnings("default")  # Dask warns of what is not ours


class TestLocalSite(SiteContract):
    @pytest.fixture
    def executor(self):
        return LocalSite()


class TestInlineSite(SiteContract):
    kills = False

    @pytest.fixture
    def executor(self):
        return InlineSite(seed=3)


def test_nothing_listens_beyond_this_machine():
    site = Site("here", "local", Resources(1, 1 << 30), 2, ("local",))
    with LocalSite().pool(site, 2, echo, "r-0"):
        me = psutil.Process()
        family = [me, *me.children(recursive=True)]
        found = {socket.laddr.ip for process in family for socket in process.net_connections("inet") if socket.status == "LISTEN"}
    assert found == {"127.0.0.1"}
