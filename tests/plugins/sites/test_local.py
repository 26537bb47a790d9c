"""The local site and the in-process fake pass the same contract."""

import pytest
from lakecv_plugins.sites.local import LocalSite

from lakecv.testing.sites import InlineSite, SiteContract

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
