"""Lakes on a real Ceph RGW that one may not use: what it answers, and what lakecv makes of that."""

import http.client
import threading
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from unittest.mock import patch
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from lakecv_plugins.storage.s3 import _known
from typer.testing import CliRunner

from lakecv.cli import app
from tests.stories.lake_machine import reached

HINTS = ["--dims", "y,x,spectral"]


@pytest.fixture
def bucket(ceph_server):
    return ceph_server.bucket()


@pytest.fixture
def file(tmp_path):
    np.save(tmp_path / "cube.npy", np.random.default_rng(0).poisson(5.0, (20, 20, 4)).astype("uint16"))
    return tmp_path / "cube.npy"


def typed(server, bucket, *words, code=0):
    """Type a command as somebody with these keys; what it printed."""
    with reached(server, bucket):
        _known.cache_clear()
        done = CliRunner().invoke(app, ["--lake", f"s3://{bucket}/lake", *map(str, words)], prog_name="lakecv")
        _known.cache_clear()
    assert done.exit_code == code, done.output
    assert server.secret not in done.output
    return done.output


def stored(server, bucket):
    return [item["Key"] for item in server.client().list_objects_v2(Bucket=bucket).get("Contents", ())]


def test_a_wrong_secret_key(ceph_server, bucket, file):
    server = replace(ceph_server, secret="canary-canary-canary")
    for words in (["ls"], ["register", file, "museo:tavola", *HINTS]):
        assert "says that the secret key is wrong" in typed(server, bucket, *words, code=5)
    assert stored(ceph_server, bucket) == []


def test_an_access_key_that_the_server_does_not_know(ceph_server, bucket, file):
    server = replace(ceph_server, key="NOBODYSKEY0000000000")
    for words in (["ls"], ["register", file, "museo:tavola", *HINTS]):
        assert "does not know the access key" in typed(server, bucket, *words, code=5)
    assert stored(ceph_server, bucket) == []


def test_the_bucket_of_another_owner(ceph_server, ceph_user, bucket, file):
    typed(ceph_server, bucket, "register", file, "museo:tavola", *HINTS)
    before, other = stored(ceph_server, bucket), ceph_user("stranger")
    for words in (["ls"], ["show", "museo:tavola"], ["verify"], ["register", file, "museo:altra", *HINTS]):
        assert f"the bucket '{bucket}' may not be read" in typed(other, bucket, *words, code=5)
    assert stored(ceph_server, bucket) == before


def test_keys_that_may_only_read(ceph_server, ceph_user, bucket, file):
    typed(ceph_server, bucket, "register", file, "museo:tavola", *HINTS)
    before, reader = stored(ceph_server, bucket), ceph_user("guest", "--read-only")
    assert "museo:tavola" in typed(reader, bucket, "ls")
    assert "museo:tavola" in typed(reader, bucket, "verify")
    refused = typed(reader, bucket, "register", file, "museo:altra", *HINTS, code=5)
    assert f"the bucket '{bucket}' may not be written" in refused
    assert stored(ceph_server, bucket) == before


def test_a_bucket_that_does_not_exist(ceph_server, file):
    for words in (["ls"], ["register", file, "museo:tavola", *HINTS]):
        assert "there is no bucket" in typed(ceph_server, "lake-there-is-none", *words, code=3)
    assert "lake-there-is-none" not in [bucket["Name"] for bucket in ceph_server.client().list_buckets()["Buckets"]]


@contextmanager
def an_hour_late(server):
    """Sign every request as a machine does whose clock is an hour late: a relay that has the keys signs it again."""

    class Relay(BaseHTTPRequestHandler):
        def do_GET(self):
            parts = urlsplit(self.path)
            request = AWSRequest("GET", f"{server.endpoint}{parts.path}", params=dict(parse_qsl(parts.query, keep_blank_values=True)))
            late = datetime.now(UTC) - timedelta(hours=1)
            with patch("botocore.auth.get_current_datetime", lambda *_, **__: late):
                S3SigV4Auth(Credentials(server.key, server.secret), "s3", server.region).add_auth(request)
            prepared, connection = request.prepare(), http.client.HTTPConnection(urlsplit(server.endpoint).netloc, timeout=20)
            connection.request("GET", prepared.url.removeprefix(server.endpoint), headers=dict(prepared.headers))
            answer = connection.getresponse()
            body = answer.read()
            connection.close()
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    relay = ThreadingHTTPServer(("127.0.0.1", 0), Relay)
    thread = threading.Thread(target=relay.serve_forever)
    thread.start()
    try:
        yield replace(server, endpoint=f"http://127.0.0.1:{relay.server_port}")
    finally:
        relay.shutdown()
        relay.server_close()
        thread.join()


def test_a_clock_that_is_an_hour_late(ceph_server, bucket):
    with an_hour_late(ceph_server) as server:
        assert "the clocks of this machine" in typed(server, bucket, "ls", code=5)
