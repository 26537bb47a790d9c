"""The whole path on moto's S3 server."""

import pytest

from tests.s3_story import S3Story


class TestMoto(S3Story):
    @pytest.fixture
    def server(self, moto_server):
        return moto_server
