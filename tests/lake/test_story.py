"""The whole path on a real Ceph RGW."""

import pytest

from tests.s3_story import S3Story


class TestCeph(S3Story):
    @pytest.fixture
    def server(self, ceph_server):
        return ceph_server
