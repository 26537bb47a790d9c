"""The whole path on an S3 server, as tests that a server's own test file inherits: moto here, Ceph in ``tests/lake``."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from lakecv_plugins.storage.s3 import _known

from lakecv import registry
from lakecv.api import Lake
from lakecv.errors import Corrupt
from lakecv.plan import RunState
from lakecv.testing.sites import InlineSite

DATA = Path(__file__).parents[2] / "shared" / "data"
SCAN = DATA / "xrf" / "aps_2IDE" / "2xfm_0011_2xfm3__0.h5"
FILES = {"salinas": (DATA / "hsi" / "SalinasA_corrected.mat", []), "scan": (SCAN, ["--detector", "sum"])}
PEEK = Path(__file__).parent / "stories" / "peek.py"


def painting(ny=150, nx=140, depth=40):
    """Counts of three spectra in stripes, uint16 (ny, nx, depth)."""
    rng = np.random.default_rng(3)
    pure = rng.gamma(2.0, 6.0, (3, depth))
    return rng.poisson(pure[(np.add.outer(np.arange(ny), np.arange(nx)) // 50) % 3]).astype("uint16")


class S3Story:
    """Give the fixture ``server``, an S3Server."""

    @pytest.fixture(autouse=True)
    def reach(self, server, monkeypatch, tmp_path):
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)
        _known.cache_clear()
        yield
        _known.cache_clear()

    @pytest.fixture
    def url(self, server):
        return f"s3://{server.bucket()}/lake"

    @pytest.fixture
    def command(self, url):
        def run(*words, code=0):
            line = [sys.executable, "-c", "from lakecv.cli import main; main()", "--lake", url, *words]
            done = subprocess.run(line, capture_output=True, text=True, timeout=110, check=False)
            assert done.returncode == code, done.stdout + done.stderr
            assert "Traceback" not in done.stderr
            return done.stdout + done.stderr

        return run

    @pytest.fixture
    def file(self, tmp_path):
        np.save(tmp_path / "cube.npy", painting())
        return tmp_path / "cube.npy"

    def damage(self, server, url, key):
        """Flip one bit in the middle of an object, behind lakecv's back."""
        bucket, prefix = url.removeprefix("s3://").split("/", 1)
        client = server.client()
        data = bytearray(client.get_object(Bucket=bucket, Key=f"{prefix}/{key}")["Body"].read())
        data[len(data) // 3] ^= 16
        client.put_object(Bucket=bucket, Key=f"{prefix}/{key}", Body=bytes(data))

    def open_plainly(self, server, url, home):
        """As somebody without lakecv would."""
        return xr.open_zarr(f"{url}/{home}", storage_options={"endpoint_url": server.endpoint}, chunks=None)

    def test_the_story_from_a_file_to_a_result_and_a_damaged_object(self, server, url, command, file):
        hints = ["--dims", "y,x,spectral", "--axis", "energy:keV:0:0.1"]
        command("register", str(file), "museo:tavola", *hints)
        assert "was there already" in command("register", str(file), "museo:tavola", *hints)
        command("run", "pca+kmeans", "museo:tavola", "--set", "k=3", "--set", "components=3", "--scope", "museo")
        assert "nothing moved" in command("run", "pca+kmeans", "museo:tavola", "--set", "k=3", "--set", "components=3", "--scope", "museo")
        shown = json.loads(command("show", "museo:tavola.pca-kmeans.1", "--json"))
        command("verify", "museo:tavola")
        lake = Lake(url)
        dataset, result = lake.show("museo:tavola"), lake.show("museo:tavola.pca-kmeans.1")
        assert shown["digest"] == result.digest
        np.testing.assert_array_equal(self.open_plainly(server, url, dataset.home)["data"], painting())
        plain = self.open_plainly(server, url, result.home)["labels"].to_numpy()
        np.testing.assert_array_equal(plain, lake.open(str(result.did))["labels"])
        assert set(np.unique(plain)) == {0, 1, 2}
        self.damage(server, url, f"{dataset.home}/data/c/0/0/0")
        assert "data/c/0/0/0" in command("verify", "museo:tavola", code=8)
        refused = command("run", "kmeans", "museo:tavola", "--set", "k=3", code=1)
        assert f"{dataset.home}/data/c/0/0/0" in refused
        assert [str(found.did) for found in lake.ls()] == ["museo:tavola", "museo:tavola.pca-kmeans.1"]

    def test_a_bucket_and_a_folder_give_the_same_bytes(self, url, file, tmp_path, monkeypatch):
        monkeypatch.setattr(registry, "site", lambda _: InlineSite(1))
        runs = []
        for where in (url, str(tmp_path / "lake")):
            lake = Lake(where, scope="museo")
            lake.register(file, "museo:tavola", hints=None)
            run = lake.run("pca+kmeans", "museo:tavola", options={"k": 3, "components": 3})
            runs.append(lake.show(str(run.output)).digest)
        assert runs[0] == runs[1]

    def test_nobody_sees_an_array_before_all_of_it_is_stored(self, server, url, command, file):
        command("register", str(file), "museo:tavola")
        peek = subprocess.Popen([sys.executable, str(PEEK), url, server.endpoint], stdout=subprocess.PIPE, text=True)
        try:
            assert peek.stdout.readline() == "ready\n"
            command("run", "kmeans", "museo:tavola", "--set", "k=3", "--scope", "museo")
            said, _ = peek.communicate(timeout=60)
        finally:
            peek.kill()
            peek.wait()
        seen = json.loads(said)
        lake = Lake(url)
        whole = int(lake.open("museo:tavola.kmeans.1")["labels"].to_numpy().sum())
        assert seen["before"] > 0
        assert seen["first"] == whole

    def test_a_listed_object_that_is_missing_is_an_error_for_every_reader(self, server, url, file, monkeypatch):
        lake = Lake(url)
        lake.register(file, "museo:tavola")
        home = lake.show("museo:tavola").home
        bucket, prefix = url.removeprefix("s3://").split("/", 1)
        server.client().delete_object(Bucket=bucket, Key=f"{prefix}/{home}/data/c/0/0/0")
        with pytest.raises(Corrupt, match="missing"):
            lake.open("museo:tavola")["data"].to_numpy()
        monkeypatch.setattr(registry, "site", lambda _: InlineSite(1))
        run = lake.run("kmeans", "museo:tavola", options={"k": 3})
        assert run.state is RunState.FAILED
        assert {outcome.error[0] for outcome in run.failed} == {"object-missing"}

    @pytest.mark.parametrize("name", FILES)
    def test_a_real_file(self, name, command, url):
        path, more = FILES[name]
        if not path.exists():
            pytest.skip(f"the real cube {path.name} is not here")
        command("register", str(path), f"museo:{name}", *more)
        command("run", "pca+kmeans", f"museo:{name}", "--set", "k=6", "--scope", "museo")
        command("verify", f"museo:{name}.pca-kmeans.1")
        assert Lake(url).open(f"museo:{name}.pca-kmeans.1")["labels"].ndim == 2
