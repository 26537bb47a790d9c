"""The whole path in a real Rucio lake, between each two kinds of storage, and with real cubes where they are."""

import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import xarray as xr

from tests.rucio_story import RucioStory, downloaded
from tests.s3_story import FILES


class Stage:
    """The real lake, as ada sees it and as those see it who run it."""

    def __init__(self, real_lake):
        self._lake = real_lake
        self.client = real_lake.client
        known = real_lake.environment("ada")
        self.environment = {name: known[name] for name in ("RUCIO_HOME", "X509_USER_PROXY")}
        self._folders = {"CNAF": real_lake.dav_folder, "INFN-NA": real_lake.xrootd_folder}

    def read(self, rse, key):
        if rse in self._folders:
            return (self._folders[rse] / key).read_bytes()
        return self._lake.s3.client().get_object(Bucket="lake", Key=key)["Body"].read()

    def write(self, rse, key, data):
        if rse in self._folders:
            (self._folders[rse] / key).write_bytes(data)
        else:
            self._lake.s3.client().put_object(Bucket="lake", Key=key, Body=data)

    def suspicious(self):
        pages = self.client("root").list_suspicious_replicas()
        return {(each["rse"], each["name"]) for page in pages for each in page}

    @contextmanager
    def stopped(self):
        with self._lake.paused("rucio"):
            yield


class RealStory(RucioStory):
    @pytest.fixture(scope="class")
    @classmethod
    def stage(cls, real_lake):
        return Stage(real_lake)

    def test_a_plain_download_is_verified_and_opened(self, story):
        found = downloaded(story, Path(sys.executable).with_name("rucio"))
        assert "every byte is what was promised" in story.said["open"]
        xr.testing.assert_equal(found.compute(), story.lake().open(story.output).compute())


class TestNaples(RealStory):
    """The XRootD protocol, then signed urls."""

    home, away = "INFN-NA", "INFN-PG"


class Elsewhere(RealStory):
    test_a_publish_outlives_a_server_that_stops_in_its_middle = None


class TestBologna(Elsewhere):
    """WebDAV, then the XRootD protocol."""

    home, away = "CNAF", "INFN-NA"


class TestPerugia(Elsewhere):
    """Signed urls, then WebDAV: Salinas-A, or the painting where that is not here."""

    path, hints = FILES["salinas"] if FILES["salinas"][0].exists() else (None, RucioStory.hints)


class TestScan(Elsewhere):
    """The same with the fly scan."""

    path, hints = FILES["scan"]

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def there(cls):
        if not cls.path.exists():
            pytest.skip(f"the real cube {cls.path.name} is not here")
