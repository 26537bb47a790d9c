"""No secret in anything that is produced: objects, files, logs, spilled data, arguments of processes."""

import os
import sys

import numpy as np
import psutil
import pytest

from tests.s3_story import painting

SECRET, TOKEN = "canary-7Hq2+secret/9x", "canary-token-4417"
PROGRAM = (sys.executable, "-c", "from lakecv.cli import main; main()")


@pytest.fixture
def environment(moto_server, tmp_path):
    for name in ("home", "tmp"):
        (tmp_path / name).mkdir()
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("LAKECV_")}, **moto_server.environment(),
        "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_SESSION_TOKEN": TOKEN, "HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "tmp"),
        "LAKECV_SCOPE": "museo", "DASK_DISTRIBUTED__LOGGING__DISTRIBUTED": "debug",
    }


def watched(words, environment, folder):
    """Run a command to its end; return what it printed and the arguments of every process that it started."""
    with (folder / "said").open("w") as said:
        process = psutil.Popen([*PROGRAM, *words], env=environment, stdout=said, stderr=said, cwd=folder)
        arguments = set()
        while process.poll() is None:
            for child in [process, *process.children(recursive=True)]:
                try:
                    arguments.add(" ".join(child.cmdline()))
                except psutil.Error:
                    continue
            try:
                process.wait(0.1)
            except psutil.TimeoutExpired:
                continue
    return (folder / "said").read_text(), arguments


def holders(server, bucket, folder):
    """Names of objects and files that hold a part of a secret."""
    found = []
    client = server.client()
    for item in client.list_objects_v2(Bucket=bucket)["Contents"]:
        data = client.get_object(Bucket=bucket, Key=item["Key"])["Body"].read()
        found += [item["Key"]] * (b"canary" in data or "canary" in item["Key"])
    for path in folder.rglob("*"):
        found += [str(path)] * ("canary" in path.name or (path.is_file() and b"canary" in path.read_bytes()))
    return found


def test_the_secret_is_in_nothing_that_a_run_leaves_or_says(moto_server, environment, tmp_path):
    np.save(tmp_path / "cube.npy", painting(100, 90, 16))
    bucket = moto_server.bucket()
    lake = ("--lake", f"s3://{bucket}/lake", "--debug")
    said, arguments = "", set()
    for words in (
        ("register", "cube.npy", "museo:tavola"), ("run", "kmeans", "museo:tavola", "--set", "k=3"), ("config", "show"),
        ("show", "museo:none"), ("report", "museo:tavola.kmeans.1"),
    ):
        more, seen = watched((*lake, *words), environment, tmp_path)
        said, arguments = said + more, arguments | seen
    broken = {**environment, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    more, _ = watched((*lake, "ls"), broken, tmp_path)
    assert "Traceback" in more
    assert "kmeans, done" in said
    assert len(arguments) > 5
    assert not [text for text in (said, more, *arguments) if "canary" in text]
    assert holders(moto_server, bucket, tmp_path) == []


def test_a_secret_in_an_object_would_be_found(moto_server, tmp_path):
    bucket = moto_server.bucket()
    moto_server.client().put_object(Bucket=bucket, Key="log", Body=b"key=canary-1")
    (tmp_path / "spill").write_bytes(b"\0canary")
    assert holders(moto_server, bucket, tmp_path) == ["log", str(tmp_path / "spill")]
