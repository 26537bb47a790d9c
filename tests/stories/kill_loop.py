"""Kills drivers at random instants and looks at what is left: the story behind invariants 4 and 5 of the lake.

After every kill: what the catalog shows is whole and right, what it does not show no Zarr client sees half of, and no task
that had a commit record before is computed again.  Used by the tests with few kills and by the soak with many.  The lake is
a folder, or a prefix of a bucket that the environment reaches; what is in it is looked at without lakecv.  On Rucio the
driver registers, too, and each run has a dataset of its own, as no name can be used again: see :func:`rucio_kill_loop`.
"""

import contextlib
import json
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from ssl import create_default_context
from unittest.mock import patch
from urllib.request import urlopen
from zlib import adler32

import numpy as np
import zarr

from lakecv import registry
from lakecv.api import Lake, registering
from lakecv.execution import worker
from lakecv.lake_io import child
from lakecv.ports import ReadHints
from lakecv.report import page
from lakecv.testing.sites import InlineSite

SMALL = {"ny": 100, "nx": 60}  # two chunks: a run in a bucket is hundreds of requests all the same
SERVER = Path(__file__).with_name("kill_server.py")


@dataclass
class Tally:
    """What a loop of kills came to."""

    kills: int = 0
    runs: int = 0
    half_visible: int = 0
    recomputed: int = 0
    different: int = 0

    @property
    def violations(self):
        return self.half_visible + self.recomputed + self.different


class InFolder:
    """A lake as files."""

    def __init__(self, lake):
        self.lake = Path(lake)

    def names(self):
        return {path.relative_to(self.lake).as_posix() for path in self.lake.rglob("*") if path.is_file()}

    def read(self, key):
        return (self.lake / key).read_bytes()

    def copy(self, lake):
        shutil.copytree(self.lake, lake)

    def remove(self):
        shutil.rmtree(self.lake)

    def open_plainly(self, home):
        return zarr.open_group(str(self.lake / home), mode="r")


class InBucket:
    """A lake as objects, by boto3 and fsspec."""

    def __init__(self, lake):
        self.bucket, _, self.prefix = lake.removeprefix("s3://").partition("/")
        self.client = _client(os.environ["AWS_ENDPOINT_URL"])

    def names(self):
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=f"{self.prefix}/")
        return {item["Key"].removeprefix(f"{self.prefix}/") for page in pages for item in page.get("Contents", ())}

    def read(self, key):
        return self.client.get_object(Bucket=self.bucket, Key=f"{self.prefix}/{key}")["Body"].read()

    def copy(self, lake):
        other = InBucket(lake)
        for key in self.names():
            self.client.put_object(Bucket=other.bucket, Key=f"{other.prefix}/{key}", Body=self.read(key))

    def remove(self):
        for key in self.names():
            self.client.delete_object(Bucket=self.bucket, Key=f"{self.prefix}/{key}")

    def open_plainly(self, home):
        options = {"endpoint_url": self.client.meta.endpoint_url, "use_listings_cache": False}
        return zarr.open_group(f"s3://{self.bucket}/{self.prefix}/{home}", mode="r", storage_options=options)


@cache
def _client(endpoint):
    import boto3
    from botocore.config import Config

    return boto3.client("s3", endpoint_url=endpoint, config=Config(s3={"addressing_style": "path"}))


def seen_from_outside(lake):
    return InBucket(lake) if str(lake).startswith("s3://") else InFolder(lake)


def make_cube(path, ny=150, nx=140, depth=12, seed=5):
    """A picture of three materials in counts, in six chunks of the lake's own layout (cut by the spectral depth)."""
    rng = np.random.default_rng(seed)
    spectra = rng.gamma(2.0, 2.0, (3, depth))
    where = (np.add.outer(np.arange(ny), np.arange(nx)) // 40) % 3
    np.save(path, rng.poisson(spectra[where]).astype("uint16"))


def prepare(folder, lakes=None):
    """A lake with one registered cube, to be copied for every run."""
    source, lake = folder / "cube.npy", f"{lakes or folder}/lake"
    make_cube(source, **SMALL if lake.startswith("s3://") else {})
    Lake(lake, scope="kill").register(source, "kill:cube", hints=ReadHints(dims="y,x,spectral"))
    return lake


class Server:
    """The fork server as a context."""

    command = (sys.executable, str(SERVER))

    def __enter__(self):
        self._process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()

    def drive(self, lake, log, seed, kill_after=None):
        """Start a driver, kill it after some seconds (None = never); return exit status and seconds."""
        self._process.stdin.write(f"{lake} {log} {seed}\n")
        self._process.stdin.flush()
        started = time.monotonic()
        pid = int(self._process.stdout.readline())
        if kill_after is not None:
            time.sleep(kill_after)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        status = int(self._process.stdout.readline())
        return status, time.monotonic() - started


def commits(lake):
    """Tasks that have a commit record, as ``run task``."""
    parts = (key.removesuffix(".json").split("/") for key in seen_from_outside(lake).names())
    return {f"{part[1]} {'/'.join(part[3:])}" for part in parts if part[0] == "work" and part[2] == "commits"}


def half_visible(lake):
    """Count arrays that a plain Zarr client can open while objects of theirs are missing, and results that are not whole."""
    seen = seen_from_outside(lake)
    keys, bad = seen.names(), 0
    for home in sorted(key.removesuffix("/zarr.json") for key in keys if key.startswith("data/") and key.endswith("/zarr.json")):
        metadata = json.loads(seen.read(f"{home}/zarr.json"))
        if metadata["node_type"] == "array":
            grid = metadata["chunk_grid"]["configuration"]["chunk_shape"]
            counts = [-(-size // chunk) for size, chunk in zip(metadata["shape"], grid, strict=True)]
            bad += not {"/".join([home, "c", *map(str, at)]) for at in np.ndindex(*counts)} <= keys
        else:
            names = metadata["consolidated_metadata"]["metadata"]
            bad += not {f"{home}/{name}/zarr.json" for name in names} <= keys
            bad += {name: array.shape for name, array in seen.open_plainly(home).arrays()} != {
                name: tuple(metadata["shape"]) for name, metadata in names.items()
            }
    opened = Lake(lake, scope="kill")
    for dataset in opened.ls():
        bad += not opened.verify(str(dataset.did)).ok
    return bad


def read_log(log):
    return log.read_text().splitlines() if log.exists() else []


def kill_loop(folder, kills, seed, lakes=None):
    """Kill drivers until ``kills`` were killed; finish every run and compare it with one that was left alone.

    ``lakes`` is the url below which the lakes lie; None = the folder.
    """
    rng, tally = random.Random(seed), Tally()
    lakes = lakes or str(folder)
    template = prepare(folder, lakes)
    with Server() as server:
        for log in ("warm", "calm"):
            calm = f"{lakes}/{log}"
            seen_from_outside(template).copy(calm)
            status, whole = server.drive(calm, folder / f"{log}.log", 0)
            assert status == 0
            expected = result_digest(calm)
            seen_from_outside(calm).remove()
        while tally.kills < kills:
            name = f"run-{tally.runs}"
            seen_from_outside(template).copy(f"{lakes}/{name}")
            one_run(server, f"{lakes}/{name}", folder / f"{name}.log", (rng, whole, expected), tally)
    return tally


def one_run(server, lake, log, known, tally, look=None):  # noqa: PLR0917
    """One run, killed as often as chance will, then finished; ``look`` counts what is half visible, and gives the digest."""
    looked, digest = look or (half_visible, result_digest)
    rng, whole, expected = known
    status = None
    while status != 0:
        before, begun = commits(lake), len(read_log(log))
        finish = rng.random() < 0.2
        status, _ = server.drive(lake, log, rng.randrange(1000), None if finish else rng.uniform(0, whole * 1.1))
        tally.kills += status == -signal.SIGKILL
        assert status in {0, -signal.SIGKILL}, f"the driver ended with {status}"
        tally.recomputed += len(before & set(read_log(log)[begun:]))
        tally.half_visible += looked(lake)
    tally.runs += 1
    tally.different += digest(lake) != expected
    seen_from_outside(lake).remove()
    log.unlink()


def results(lake):
    """Results that the catalog shows."""
    return [dataset for dataset in Lake(lake, scope="kill").ls() if dataset.made_by]


def result_digest(lake):
    """Digest of the data of the one result."""
    [result] = results(lake)
    return result.digest


# --- on Rucio ---------------------------------------------------------------------------------------------------------
class RucioServer(Server):
    """Forks drivers that register and run; Rucio's client, a second to import, is there already."""

    command = (sys.executable, str(Path(__file__)))


def on_rucio(lake):
    """Open a lake whose folder has the name of its scope."""
    return Lake(lake, scope=Path(lake).name, catalog="rucio", rse="INFN-PG", max_workers=2)


def drive_rucio(lake, log, seed):
    """Register the cube that lies beside the lake, then run on it; in a process of its own."""
    import kill_server  # sets the environment of what imports it

    opened, did = on_rucio(lake), f"{Path(lake).name}:cube"
    registering.convert_apart = child.serve
    registry.site = lambda _: InlineSite(seed)
    page.render = lambda _: b"<html></html>"
    worker._STAGES = {kind: kill_server.logged(stage, log) for kind, stage in worker._STAGES.items()}
    opened.register(Path(lake).with_name("cube.npy"), did, hints=ReadHints(dims="y,x,spectral"))
    run = opened.run("pca+kmeans", did, options=kill_server.OPTIONS)
    assert run.state == "done", run


def rucio_kill_loop(folder, kills, seed, real):
    """As :func:`kill_loop` on a running Rucio lake; a registration is killed as often as chance will, too."""
    rng, tally, root, client = random.Random(seed), Tally(), real.client("root"), real.client()
    make_cube(folder / "cube.npy", **SMALL)

    def new():
        scope = f"kill{rng.randrange(16**4):04x}{secrets.token_hex(4)}"
        root.add_scope("ada", scope)
        return folder / scope

    def digest(lake):
        [result] = [dataset for dataset in on_rucio(lake).ls(lake.name) if dataset.made_by]
        stray = twice(client, lake.name)
        return f"{result.digest} and {stray}" if stray else result.digest

    with patch.dict(os.environ, real.environment()), RucioServer() as server:
        for log in ("warm", "calm"):
            lake = new()
            status, whole = server.drive(lake, folder / f"{log}.log", 0)
            assert status == 0
            expected = digest(lake)
        while tally.kills < kills:
            lake = new()
            one_run(server, lake, lake.with_suffix(".log"), (rng, whole, expected), tally, (partial(half_in_rucio, client, real.ca), digest))
    return tally


def half_in_rucio(client, ca, lake):
    """Count datasets that a plain client finds by what lakecv says of them, and that are not whole."""
    bad = 0
    for name in client.list_dids(lake.name, [{"lakecv": "dataset"}], did_type="dataset"):
        did = {"scope": lake.name, "name": name}
        files = list(client.list_replicas([did], schemes=["https"]))
        bad += not files or len(files) != len(list(client.list_files(**did)))
        for file in files:
            with urlopen(next(iter(file["pfns"]), ""), context=create_default_context(cafile=ca)) as answer:
                bad += f"{adler32(answer.read()):08x}" != file["adler32"]
    opened = on_rucio(lake)
    return bad + sum(not opened.verify(str(dataset.did)).ok for dataset in opened.ls(lake.name))


def twice(client, scope):
    """List what is there twice, or belongs to nothing: files in no dataset, rules that are not one for each dataset.

    A claim without files is neither: a run that was killed before its setup leaves its number behind.
    """
    content = {name: [file["name"] for file in client.list_content(scope, name)]
               for name in client.list_dids(scope, [{"name": "*"}], did_type="dataset")}
    held = Counter(file for files in content.values() for file in files)
    rules = Counter(rule["name"] for rule in client.list_replication_rules({"scope": scope}))
    loose = set(client.list_dids(scope, [{"name": "*"}], did_type="file")) ^ {*held}
    return [*loose, *(file for file, count in held.items() if count > 1), *(name for name, files in content.items() if rules[name] != bool(files))]


if __name__ == "__main__":
    import kill_server
    import rucio.client.client  # noqa: F401, TID251  (what is forked has it)

    registry.catalog(None, "rucio")
    registry.storage("rse")
    kill_server.drive = drive_rucio
    kill_server.serve()
