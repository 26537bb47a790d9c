"""The fault proxy: every fault reaches a client, nothing happens without one, the same seed does the same again."""

import gc
import http.client
import random
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import obstore
import pytest
from obstore.exceptions import AlreadyExistsError, GenericError
from obstore.store import S3Store

from lakecv.errors import InvalidInput
from lakecv.testing.faults import FaultProxy, Faults

MIB = 1 << 20
BODY = random.Random(1).randbytes(20 * MIB)
GONE = (ConnectionError, http.client.HTTPException)


class Plain(BaseHTTPRequestHandler):
    """Keeps what is put in memory; ``/chunked`` and ``/to-the-end`` are sent without a length."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        data = self.server.stored.get(self.path, b"")
        self.send_response(200)
        if self.path == "/chunked":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for start in range(0, len(data), 99_999):
                piece = data[start : start + 99_999]
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
        elif self.path == "/to-the-end":
            self.close_connection = True
            self.end_headers()
            self.wfile.write(data)
        else:
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data)

    def do_HEAD(self):
        self.do_GET()

    def do_PUT(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            data = b""
            while nbytes := int(self.rfile.readline(), 16):
                data += self.rfile.read(nbytes + 2)[:nbytes]
            self.rfile.readline()
        else:
            data = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.stored[self.path] = data
        self.server.connections.add(self.client_address)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()


@pytest.fixture
def upstream():
    with ThreadingHTTPServer(("127.0.0.1", 0), Plain) as server:
        server.stored, server.connections = {"/a/b": BODY[:MIB]}, set()
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        yield server
        server.shutdown()
        serving.join()


@pytest.fixture
def proxy(upstream):
    with FaultProxy(f"http://127.0.0.1:{upstream.server_port}", seed=3) as proxy:
        yield proxy


@pytest.fixture
def client(proxy):
    client = http.client.HTTPConnection("127.0.0.1", int(proxy.url.rpartition(":")[2]), timeout=10)
    yield client
    client.close()


def ask(client, method="GET", path="/a/b", body=None, **more):
    client.request(method, path, body, **more)
    with client.getresponse() as reply:
        return reply.status, reply.read()


def outcomes(client, count, method="GET"):
    """What the client sees of so many requests: bytes of the body, or the name of the error."""
    seen = []
    for _ in range(count):
        try:
            seen.append(len(ask(client, method)[1]))
        except GONE as err:
            seen.append(type(err).__name__)
            client.close()
    return seen


def test_twenty_mb_pass_unchanged_both_ways(proxy, client, upstream):
    assert ask(client, "PUT", "/a/new", BODY) == (200, b"")
    assert upstream.stored["/a/new"] == BODY
    assert ask(client, path="/a/new")[1] == BODY
    assert (proxy.traffic.bytes_up, proxy.traffic.bytes_down) == (len(BODY), len(BODY))


@pytest.mark.parametrize("path", ["/chunked", "/to-the-end"])
def test_a_reply_without_a_length_passes_unchanged(client, upstream, path):
    upstream.stored[path] = BODY[:MIB]
    assert ask(client, path=path)[1] == BODY[:MIB]
    assert ask(client, path=path)[1] == BODY[:MIB]


def test_a_chunked_upload_passes_unchanged(client, upstream):
    pieces = [BODY[:7], BODY[7:300_000], BODY[300_000:MIB]]
    client.request("PUT", "/a/new", iter(pieces), encode_chunked=True)
    assert client.getresponse().read() == b""
    assert upstream.stored["/a/new"] == BODY[:MIB]


def test_an_upload_that_asks_first_is_answered(proxy, upstream):
    with socket.create_connection(("127.0.0.1", int(proxy.url.rpartition(":")[2])), timeout=10) as client:
        client.sendall(b"PUT /a/new HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 100 ")
        client.sendall(b"abc")
        assert client.recv(1000).startswith(b"HTTP/1.1 200 ")
    assert upstream.stored["/a/new"] == b"abc"


def test_one_connection_serves_many_requests(proxy, client, upstream):
    for number in range(20):
        assert ask(client, "PUT", f"/a/{number}", b"x" * number)[0] == 200
        assert ask(client, "HEAD", f"/a/{number}")[0] == 200
    assert len(upstream.connections) == 1
    assert len(proxy.traffic.requests) == 40


def test_requests_are_listed_until_the_counters_are_reset(proxy, client):
    ask(client)
    ask(client, "HEAD", "/a/b?versionId=1")
    assert proxy.traffic.requests == (("GET", "/a/b"), ("HEAD", "/a/b?versionId=1"))
    proxy.reset_counters()
    assert proxy.traffic.requests == ()
    assert (proxy.traffic.bytes_down, proxy.traffic.fired) == (0, {})


@pytest.mark.parametrize(("kind", "seen"), [("reset", "ConnectionResetError"), ("fin", "IncompleteRead")])
def test_a_broken_connection_is_seen_in_the_middle_of_a_body(proxy, client, kind, seen):
    proxy.faults = Faults(**{kind: 0.1})
    found = outcomes(client, 12)
    assert set(found) == {seen, MIB}
    assert proxy.traffic.fired == {kind: found.count(seen)}
    assert proxy.traffic.bytes_down % MIB


def test_a_flip_changes_one_bit_of_a_body_and_no_head(proxy, client):
    proxy.faults = Faults(flip=1.0)
    status, data = ask(client)
    changed = int.from_bytes(data) ^ int.from_bytes(BODY[:MIB])
    assert (status, len(data), changed.bit_count()) == (200, MIB, MIB // 65536)
    assert proxy.traffic.fired == {"flip": 16}
    assert ask(client, "HEAD") == (200, b"")


def test_a_flip_leaves_the_framing_of_chunks_alone(proxy, client, upstream):
    upstream.stored["/chunked"] = BODY[:MIB]
    proxy.faults = Faults(flip=1.0)
    data = ask(client, path="/chunked")[1]
    assert (int.from_bytes(data) ^ int.from_bytes(BODY[:MIB])).bit_count() == 16


def test_unavailable_is_said_in_the_words_of_s3_and_the_server_never_hears_of_it(proxy, client, upstream):
    proxy.fail_next("unavailable", "PUT", "/a/new")
    status, text = ask(client, "PUT", "/a/new", BODY[:MIB])
    assert (status, b"<Code>SlowDown</Code>" in text, "/a/new" in upstream.stored) == (503, True, False)
    assert ask(client, "PUT", "/a/new", b"again")[0] == 200


def test_a_lost_reply_is_a_reset_after_the_server_did_it(proxy, client, upstream):
    proxy.lose_next("PUT", "/a/n", count=2)
    for name in ("/a/new", "/a/next"):
        with pytest.raises(ConnectionResetError):
            ask(client, "PUT", name, BODY[:MIB])
        client.close()
    assert upstream.stored["/a/new"] == upstream.stored["/a/next"] == BODY[:MIB]
    assert ask(client, "PUT", "/a/new", b"2")[0] == 200
    assert proxy.traffic.fired == {"lost_reply": 2}


def test_a_short_reply_looks_whole_to_http(proxy, client):
    proxy.faults = Faults(short=1.0)
    seen = [ask(client)[1] for _ in range(5)]
    assert all(len(data) < MIB and BODY.startswith(data) for data in seen)
    assert proxy.traffic.fired == {"short": 5}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_stall_says_nothing_until_the_client_gives_up(proxy, client, method):
    proxy.faults = Faults(stall=1.0)
    client.timeout = 0.5
    with pytest.raises(TimeoutError):
        ask(client, method)
    assert proxy.traffic.fired == {"stall": 1}
    assert proxy.traffic.bytes_down < 65536


def test_only_the_requests_that_are_chosen_are_hit(proxy, client):
    proxy.faults = Faults(lost_reply=1.0, only=lambda method, path: method == "PUT" and "commits/" in path)
    assert ask(client, "PUT", "/a/parts/1", b"1")[0] == 200
    assert ask(client, "GET", "/a/commits/1")[0] == 200
    with pytest.raises(ConnectionResetError):
        ask(client, "PUT", "/a/commits/1", b"1")


def test_faults_can_be_changed_between_two_requests(proxy, client):
    proxy.faults = Faults(unavailable=1.0)
    assert ask(client)[0] == 503
    proxy.faults = Faults()
    assert ask(client)[0] == 200


def test_the_same_seed_meets_the_same_faults_and_another_seed_others(upstream):
    seen = []
    for seed in (1, 1, 2):
        with FaultProxy(f"http://127.0.0.1:{upstream.server_port}", seed=seed) as proxy:
            proxy.faults = Faults(reset=0.02, fin=0.02, unavailable=0.2, short=0.1)
            client = http.client.HTTPConnection("127.0.0.1", int(proxy.url.rpartition(":")[2]), timeout=10)
            seen.append((outcomes(client, 30), dict(proxy.traffic.fired), proxy.traffic.bytes_down))
            client.close()
    assert seen[0] == seen[1] != seen[2]
    assert set(seen[0][1]) == {"reset", "fin", "unavailable", "short"}


def test_forty_clients_at_once_get_their_own_bytes(proxy):
    wrong = []

    def work(number):
        client = http.client.HTTPConnection("127.0.0.1", int(proxy.url.rpartition(":")[2]), timeout=20)
        data = BODY[number * 100_000 :][:400_000]
        if ask(client, "PUT", f"/a/{number}", data)[0] != 200 or ask(client, path=f"/a/{number}")[1] != data:
            wrong.append(number)
        client.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(40)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert wrong == []
    assert proxy.traffic.bytes_up == proxy.traffic.bytes_down == 40 * 400_000


def test_a_client_that_vanishes_harms_nobody(proxy, client):
    port = int(proxy.url.rpartition(":")[2])
    put, get = b"PUT /a/new HTTP/1.1\r\nContent-Length: 1000\r\n\r\nabc", b"GET /a/b HTTP/1.1\r\n\r\n"
    for start in (b"", b"GET /a", put, get):
        with socket.create_connection(("127.0.0.1", port)) as vanishing:
            vanishing.sendall(start)
    assert ask(client)[1] == BODY[:MIB]


@pytest.mark.parametrize("junk", [b"hello\r\n\r\n", b"PUT /a HTTP/1.1\r\nContent-Length: many\r\n\r\n", b"\x16\x03\x01\r\n\r\n"])
def test_junk_ends_its_connection_and_no_other(proxy, client, junk):
    with socket.create_connection(("127.0.0.1", int(proxy.url.rpartition(":")[2])), timeout=10) as speaker:
        speaker.sendall(junk)
        speaker.shutdown(socket.SHUT_WR)
        while speaker.recv(1000):
            pass
    assert ask(client)[0] == 200


def test_a_server_that_is_gone_is_a_502():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with FaultProxy(f"http://127.0.0.1:{port}") as proxy:
        client = http.client.HTTPConnection("127.0.0.1", int(proxy.url.rpartition(":")[2]), timeout=10)
        status, text = ask(client)
        client.close()
    assert (status, b"cannot be reached" in text) == (502, True)


def test_nothing_is_left_when_it_ends(upstream):
    with FaultProxy(f"http://127.0.0.1:{upstream.server_port}") as proxy:
        clients = [socket.create_connection(("127.0.0.1", int(proxy.url.rpartition(":")[2])), timeout=10) for _ in range(5)]
        for client in clients:
            client.sendall(b"HEAD /a/b HTTP/1.1\r\n\r\n")
            assert client.recv(1000)
        clients[0].sendall(b"PUT /a/new HTTP/1.1\r\nContent-Length: 1000\r\n\r\nabc")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(proxy.url.rpartition(":")[2])))
    assert gone(clients[0])
    assert [client.recv(1) for client in clients[1:]] == [b""] * 4
    [client.close() for client in clients]
    gc.collect()  # a socket that was left open would warn, and a warning is an error
    assert "fault-proxy" not in {thread.name for thread in threading.enumerate()}


def gone(client):
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


def test_a_server_behind_tls_is_refused():
    with pytest.raises(InvalidInput, match="no TLS"):
        FaultProxy("https://127.0.0.1:1")


# --- through obstore and boto3, to S3 -------------------------------------------------------------------------------
@pytest.fixture
def s3(moto_server):
    """A proxy before moto, a store through it that tries once, and boto3 behind its back."""
    bucket = moto_server.bucket()
    with FaultProxy(moto_server.endpoint, seed=3) as proxy:
        config = {"endpoint": proxy.url, "access_key_id": moto_server.key, "secret_access_key": moto_server.secret,
                  "region": moto_server.region}  # fmt: skip
        options = {"allow_http": True, "timeout": "5s"}
        yield proxy, S3Store(bucket, config=config, client_options=options, retry_config={"max_retries": 0}), bucket


def test_obstore_gets_what_it_put(s3):
    proxy, store, _ = s3
    store.put("a/b", BODY, use_multipart=False)
    assert bytes(store.get("a/b").bytes()) == BODY
    assert bytes(store.get_range("a/b", start=5, end=MIB)) == BODY[5:MIB]
    assert [item["path"] for batch in store.list() for item in batch] == ["a/b"]
    assert proxy.traffic.fired == {}


@pytest.mark.parametrize("kind", ["reset", "fin", "unavailable"])
def test_obstore_without_retries_fails_at(s3, kind):
    proxy, store, _ = s3
    store.put("a/b", BODY[:MIB])
    proxy.fail_next(kind, "GET", "a/b")
    with pytest.raises(GenericError):
        store.get("a/b").bytes()
    assert bytes(store.get("a/b").bytes()) == BODY[:MIB]


@pytest.mark.parametrize("kind", ["flip", "short"])
def test_obstore_does_not_notice(s3, kind):
    proxy, store, _ = s3
    store.put("a/b", BODY[:MIB])
    proxy.fail_next(kind, "GET", "a/b")
    assert bytes(store.get("a/b").bytes()) != BODY[:MIB]


def test_a_lost_reply_to_a_create_leaves_the_object_there(s3, moto_server):
    proxy, store, bucket = s3
    proxy.lose_next("PUT", "claim.json")
    with pytest.raises(GenericError):
        store.put("a/claim.json", b"mine", mode="create")
    assert moto_server.client().get_object(Bucket=bucket, Key="a/claim.json")["Body"].read() == b"mine"
    with pytest.raises(AlreadyExistsError):
        store.put("a/claim.json", b"mine", mode="create")
    assert proxy.traffic.fired == {"lost_reply": 1}


def test_a_stalled_read_ends_by_the_clients_own_deadline(s3, moto_server):
    proxy, _, bucket = s3
    store = S3Store(bucket, config={"endpoint": proxy.url, "access_key_id": "k", "secret_access_key": "s", "region": "r"},
                    client_options={"allow_http": True, "timeout": "600ms"}, retry_config={"max_retries": 0})  # fmt: skip
    moto_server.client().put_object(Bucket=bucket, Key="a", Body=BODY[:MIB])
    proxy.fail_next("stall", "GET", "/a")
    with pytest.raises(GenericError):
        store.get("a").bytes()
    assert proxy.traffic.fired == {"stall": 1}


def test_boto3_uploads_through_it(s3, moto_server):
    from dataclasses import replace

    proxy, store, bucket = s3
    client = replace(moto_server, endpoint=proxy.url).client()
    client.put_object(Bucket=bucket, Key="a", Body=BODY[:MIB])
    assert bytes(obstore.get(store, "a").bytes()) == BODY[:MIB]
    client.close()
