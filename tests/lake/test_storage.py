"""The contract of a storage, and all that lakecv asks a server for, on a real Ceph RGW."""

import pytest
from lakecv_plugins.storage.s3 import S3Storage

from lakecv.testing.storage import StorageContract
from tests.stories.lake_machine import reached


@pytest.fixture
def url(ceph_server):
    bucket = ceph_server.bucket()
    with reached(ceph_server, bucket):
        yield f"s3://{bucket}/some/prefix"


class TestCeph(StorageContract):
    @pytest.fixture
    def open_objects(self, url):
        return lambda: S3Storage().objects(url)


def test_ceph_has_every_ability(url):
    found = S3Storage().probe(url)
    assert len(found) == 3
    assert [ability for ability in found if not ability.holds] == []
