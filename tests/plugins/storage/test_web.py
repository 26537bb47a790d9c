"""The web storage against a WebDAV server of any habit, and against signed S3 urls: bytes, answers, trust, and silence."""

import logging
import os
import pickle  # noqa: TID251  (how a wire comes to a worker)
import socket
import subprocess
import sys
import traceback
from urllib.parse import urlsplit

import pytest
from lakecv_plugins.storage import web, web_pool
from lakecv_plugins.storage.web import WebStorage
from lakecv_plugins.storage.web_answers import refused
from lakecv_plugins.storage.web_listing import describe
from lakecv_plugins.storage.web_wire import WebWire
from lakecv_plugins.storage.wires import AddressedObjects, without_query

from lakecv.errors import Conflict, Corrupt, Denied, Infeasible, InvalidInput, Kind, LakeCVError, NotFound, Unavailable
from lakecv.testing.storage import StorageContract
from tests.plugins.storage.dav import dav, write_certificate

FORKED = """
import os, sys
from lakecv_plugins.storage.web_wire import WebWire
wire, url = WebWire(), sys.argv[1]
wire.get(f"{url}/0")
held = wire.pool._lock
held.acquire()
kids = []
for kid in range(3):
    kids.append(os.fork())
    if not kids[-1]:
        try:
            os._exit(sum(wire.get(f"{url}/{n % 9}") != str(n % 9).encode() * 50 for n in range(kid, 60)))
        finally:
            os._exit(99)
held.release()
wrong = sum(wire.get(f"{url}/{n}") != str(n).encode() * 50 for n in range(9))
sys.exit(wrong + sum(os.waitpid(kid, 0)[1] != 0 for kid in kids))
"""
SIGNED = "?X-Amz-Signature=canary"


@pytest.fixture(autouse=True)
def nobody(monkeypatch, tmp_path):
    """Start without any credentials of this machine."""
    for name in ("BEARER_TOKEN", "BEARER_TOKEN_FILE", "XDG_RUNTIME_DIR", "X509_USER_PROXY", "X509_USER_CERT", "X509_USER_KEY",
                 "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "X509_CERT_DIR"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("lakecv_plugins.storage.token._SHARED", tmp_path)
    monkeypatch.setattr(web_pool, "_PROXIES", tmp_path)
    web._proven.clear()


@pytest.fixture
def server():
    with dav() as started:
        yield started


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    return write_certificate(tmp_path_factory.mktemp("tls") / "server.pem")


@pytest.fixture
def secure(certificate):
    with dav(certificate) as started:
        yield started


def failure(use):
    with pytest.raises(LakeCVError) as caught:
        use()
    assert caught.value.hint
    return caught.value


# --- the contract -----------------------------------------------------------------------------------------------------
class TestWebDav(StorageContract):
    @pytest.fixture
    def open_objects(self, server):
        return lambda: WebStorage().objects(f"{server.url}/some/prefix")


class TestWithoutRangesAndFolders(StorageContract):
    """A server that sends all of an object, and makes no folder by itself."""

    @pytest.fixture
    def open_objects(self, server):
        server.knows_ranges, server.needs_folders, server.move_status = False, True, 204
        return lambda: WebStorage().objects(f"{server.url}/some/prefix")


class TestSignedUrls(StorageContract):
    """S3 by urls that are signed for one operation each, as a catalog gives them."""

    @pytest.fixture
    def open_objects(self, moto_server):
        client, bucket = moto_server.client(), moto_server.bucket()

        def address(key, operation):
            call = {"read": "get_object", "write": "put_object", "delete": "delete_object"}[operation]
            return client.generate_presigned_url(call, Params={"Bucket": bucket, "Key": key}, ExpiresIn=60)

        def listing(folder):
            from lakecv.ports import ObjectInfo

            found = client.list_objects_v2(Bucket=bucket, Prefix=f"{folder}/" if folder else "").get("Contents", ())
            return (ObjectInfo(each["Key"], each["Size"]) for each in found)

        wire = WebWire()
        return lambda: AddressedObjects(f"{moto_server.endpoint}/{bucket}", address, wire, listing)


# --- reads ------------------------------------------------------------------------------------------------------------
def test_ranges_that_are_near_are_one_request(server):
    server.objects["/a"] = data = os.urandom(3 << 20)
    ranges = [(0, 10), (1000, 2000), (1500, 1600), (len(data) - 5, len(data))]
    assert WebWire().get_ranges(f"{server.url}/a", ranges) == [data[start:stop] for start, stop in ranges]
    assert [headers["Range"] for _, _, headers in server.asked] == ["bytes=0-1999", f"bytes={len(data) - 5}-{len(data) - 1}"]


def test_a_server_without_ranges_sends_an_object_once(server):
    server.knows_ranges, server.objects["/a"] = False, os.urandom(6 << 20)
    ranges = [(5, 9), (2 << 20, (2 << 20) + 3), (4 << 20, (4 << 20) + 1)]
    assert WebWire().get_ranges(f"{server.url}/a", ranges) == [server.objects["/a"][start:stop] for start, stop in ranges]
    assert server.methods() == ["GET"]


@pytest.mark.parametrize("ranges", [[(0, 1 << 20)], [(0, 5), (3 << 20, 4 << 20)], None])
def test_a_body_that_breaks_off_is_unavailable(server, ranges):
    server.objects["/a"], server.breaks_after = os.urandom(4 << 20), 3
    wire = WebWire()
    error = failure(lambda: wire.get_ranges(f"{server.url}/a", ranges) if ranges else wire.get(f"{server.url}/a"))
    assert isinstance(error, Unavailable)


def test_a_body_without_an_end_of_its_own_is_refused(server):
    server.says["GET"] = 200, {"Content-Length": "", "Connection": "close"}, b"1234"
    assert failure(lambda: WebWire().get(f"{server.url}/a")).kind is Kind.CONFIG_INVALID


def test_promised_bytes_behind_the_end_are_not_waited_for(server):
    """XrdHttp 5.5 promises them, and never sends them."""
    server.says["GET"] = 206, {"Content-Range": "bytes 2-99/4", "Content-Length": "98"}, b"34"
    error = failure(lambda: WebWire().get_ranges(f"{server.url}/a", [(2, 100)]))
    assert isinstance(error, Corrupt)
    assert "ends at byte 4" in str(error)


def test_other_bytes_than_were_asked_for_are_refused(server):
    server.says["GET"] = 206, {"Content-Range": "bytes 0-1/4"}, b"12"
    assert failure(lambda: WebWire().get_ranges(f"{server.url}/a", [(2, 4)])).kind is Kind.CONFIG_INVALID


def test_fewer_bytes_than_were_asked_for_are_a_short_read(server):
    server.says["GET"] = 206, {"Content-Range": "bytes 2-3/9"}, b"3"
    assert failure(lambda: WebWire().get_ranges(f"{server.url}/a", [(2, 4)])).kind is Kind.SHORT_READ


def test_a_folder_that_is_shown_as_a_page_is_no_object(server):
    """XrdHttp 5.5 does that, and answers a range with the whole page."""
    server.objects["/a/b"] = b"1"
    server.says["GET"] = 200, {"Server": "XrootD/v5.5.3"}, b"<!DOCTYPE html>\n<title>/a</title>"
    for read in (lambda: WebWire().get(f"{server.url}/a"), lambda: WebWire().get_ranges(f"{server.url}/a", [(2, 4)])):
        assert isinstance(failure(read), NotFound)


def test_a_page_that_is_an_object_is_read(server):
    server.objects["/a.html"] = b"<!DOCTYPE html>\n<title>report</title>"
    assert WebWire().get(f"{server.url}/a.html") == server.objects["/a.html"]


def test_a_plain_web_server_is_read_too(server):
    server.knows_propfind, server.objects["/a"] = False, b"1234"
    assert WebWire().head(f"{server.url}/a") == 4
    assert WebWire().head(f"{server.url}/b") is None


def test_the_size_of_a_signed_object_is_asked_for_by_a_read(server):
    server.objects |= {"/a": b"1234", "/e": b""}
    assert [WebWire().head(f"{server.url}/{name}{SIGNED}") for name in "aex"] == [4, 0, None]
    assert set(server.methods()) == {"GET"}


def test_zarr_opens_a_prefix(server):
    import zarr

    memory = zarr.storage.MemoryStore()
    zarr.create_array(memory, name="x", shape=(8, 8), chunks=(2, 2), shards=(4, 4), dtype="i4")[:] = 7
    server.objects |= {f"/cube/{key}": value.to_bytes() for key, value in memory._store_dict.items()}
    store = WebStorage().store(f"{server.url}/cube")
    group = zarr.open_group(store, mode="r")
    assert (group["x"][3:5, 2:7] == 7).all()
    assert list(group.keys()) == ["x"]


# --- redirects --------------------------------------------------------------------------------------------------------
def test_a_read_is_redirected_without_the_token(server, monkeypatch):
    monkeypatch.setenv("BEARER_TOKEN", "canary")
    with dav() as door:
        server.objects["/a"], door.says["GET"] = b"1234", (307, {"Location": f"{server.url}/a"}, b"")
        assert WebWire().get(f"{door.url}/a") == b"1234"
        assert door.asked[0][2]["Authorization"] == "Bearer canary"
        assert "Authorization" not in server.asked[0][2]


def test_redirects_end(server):
    server.says["GET"] = 302, {"Location": "/again"}, b""
    assert failure(lambda: WebWire().get(f"{server.url}/a")).kind is Kind.CONFIG_INVALID
    assert len(server.asked) == 4


def test_a_write_is_not_redirected(server):
    server.says["PUT"] = 307, {"Location": "/elsewhere"}, b""
    assert failure(lambda: WebWire().put(f"{server.url}/a", b"1")).kind is Kind.CONFIG_INVALID
    assert server.methods().count("PUT") == 1


def test_no_redirect_leads_out_of_encryption(secure, certificate):
    secure.says["GET"] = 302, {"Location": "http://192.0.2.1/a"}, b""
    assert "not encrypted" in str(failure(lambda: WebWire(str(certificate)).get(f"{secure.url}/a")))


# --- writes -----------------------------------------------------------------------------------------------------------
def test_an_object_is_written_beside_its_name_and_moved(server):
    WebWire().put(f"{server.url}/f/a", b"1")
    assert server.methods() == ["PROPFIND", "PUT", "MOVE"]
    assert server.asked[1][1].startswith("/f/.a.part-")
    assert server.asked[2][2]["Overwrite"] == "F"
    assert server.objects == {"/f/a": b"1"}


def test_who_comes_second_leaves_nothing(server):
    server.says["PROPFIND"] = 404, {}, b""  # the other one writes between the look and the move
    server.objects["/a"] = b"first"
    assert isinstance(failure(lambda: WebWire().put(f"{server.url}/a", b"second")), Conflict)
    assert server.objects == {"/a": b"first"}


def test_a_server_that_cannot_move_is_written_to_straight(server):
    server.knows_move = False
    WebWire().put(f"{server.url}/a", b"1")
    assert server.objects == {"/a": b"1"}
    server.says["PROPFIND"] = 404, {}, b""
    assert isinstance(failure(lambda: WebWire().put(f"{server.url}/a", b"2")), Conflict)


def test_a_signed_url_is_written_to_straight(server):
    wire = WebWire()
    wire.put(f"{server.url}/a{SIGNED}", b"1")
    assert [(method, headers.get("If-None-Match")) for method, _, headers in server.asked] == [("PUT", "*")]
    assert isinstance(failure(lambda: wire.put(f"{server.url}/a{SIGNED}", b"2")), Conflict)


def test_a_server_that_overwrites_is_not_written_to(server):
    server.heeds_overwrite = False
    objects = WebStorage().objects(f"{server.url}/p")
    assert isinstance(failure(lambda: objects.put("a", b"1")), Infeasible)
    assert server.objects == {}


def test_what_a_dead_writer_left_is_not_listed(server):
    server.objects |= {"/p/.a.part-0123456789abcdef": b"1", "/p/b": b"1"}
    assert [info.key for info in WebStorage().objects(f"{server.url}/p").list()] == ["b"]


def test_a_server_is_asked_what_it_does(server):
    assert [ability.holds for ability in WebStorage().probe(f"{server.url}/p")] == [True, True, True]
    server.heeds_overwrite = server.knows_ranges = False
    web._proven.clear()
    assert [ability.holds for ability in WebStorage().probe(f"{server.url}/p")] == [True, False, False]
    assert server.objects == {}


def test_what_cannot_be_tried_is_not_said(server):
    server.says["PUT"] = 403, {}, b""
    assert [ability.holds for ability in WebStorage().probe(f"{server.url}/p")] == [True, False]


# --- who we are, and whom we trust ------------------------------------------------------------------------------------
def test_the_token_is_sent(server, monkeypatch):
    monkeypatch.setenv("BEARER_TOKEN", "a.b.c")
    server.objects["/a"] = b"1"
    WebWire().get(f"{server.url}/a")
    assert server.asked[0][2]["Authorization"] == "Bearer a.b.c"


def test_a_signed_url_gets_no_token(server, monkeypatch):
    monkeypatch.setenv("BEARER_TOKEN", "a.b.c")
    server.objects["/a"] = b"1"
    WebWire().get(f"{server.url}/a{SIGNED}")
    assert "Authorization" not in server.asked[0][2]


def test_nothing_is_asked_in_clear_of_another_machine():
    for url in ("http://192.0.2.1/a", "ftp://127.0.0.1/a", "http://127.0.0.1.example.org/a"):
        assert failure(lambda url=url: WebWire().get(url)).kind is Kind.CONFIG_INVALID


def test_a_certificate_that_nobody_vouches_for_is_refused(secure):
    error = failure(lambda: WebWire().get(f"{secure.url}/a"))
    assert error.kind is Kind.CONFIG_INVALID
    assert "self-signed certificate" in str(error)
    assert "REQUESTS_CA_BUNDLE" in error.hint


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_the_authority_is_taken_from_the_environment(secure, certificate, monkeypatch, name):
    secure.objects["/a"] = b"1"
    wire = WebWire()
    failure(lambda: wire.get(f"{secure.url}/a"))
    monkeypatch.setenv(name, str(certificate))
    assert wire.get(f"{secure.url}/a") == b"1"


def test_an_authority_that_does_not_exist_is_said(secure, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")
    assert "/nowhere/ca.pem" in str(failure(lambda: WebWire().get(f"{secure.url}/a")))


def test_the_proxy_is_shown_to_the_server(certificate, tmp_path, monkeypatch):
    mine = write_certificate(tmp_path / "mine.pem")
    wire = WebWire(str(certificate))
    with dav(certificate, authority=mine) as server:
        server.objects["/a"] = b"1"
        assert isinstance(failure(lambda: wire.get(f"{server.url}/a")), Denied | Unavailable)
        monkeypatch.setenv("X509_USER_PROXY", str(mine))
        assert wire.get(f"{server.url}/a") == b"1"


@pytest.mark.parametrize(
    ("make", "cause"),
    [
        (lambda path: path, "does not exist"), (lambda path: write_certificate(path).chmod(0o644), "others may read"),
        (lambda path: (path.write_text("x"), path.chmod(0o600)), "does not hold a certificate"),
    ],
)  # fmt: skip
def test_a_proxy_that_cannot_be_used_is_denied(server, tmp_path, monkeypatch, make, cause):
    make(tmp_path / "proxy.pem")
    monkeypatch.setenv("X509_USER_PROXY", str(tmp_path / "proxy.pem"))
    error = failure(lambda: WebWire().get(f"{server.url}/a"))
    assert isinstance(error, Denied)
    assert cause in str(error)


# --- what is shown ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://host/a/b?X-Amz-Signature=1", "https://host/a/b"), ("https://me:word@host:1/a#x", "https://host:1/a"),
        ("https://host/a@b", "https://host/a@b"), ("root://u@host//a?authz=Bearer%20x", "root://host//a"), ("/a?b", "/a"),
    ],
)  # fmt: skip
def test_a_url_is_shown_without_its_query(url, shown):
    assert without_query(url) == shown


def test_a_query_is_neither_logged_nor_in_any_trace(server, caplog):
    caplog.set_level(logging.DEBUG)
    server.objects["/a"] = b"1234"
    wire = WebWire()
    wire.get(f"{server.url}/a{SIGNED}")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    for url in (f"{server.url}/x{SIGNED}", f"http://127.0.0.1:{port}/a{SIGNED}"):
        error = failure(lambda url=url: wire.get(url))
        assert "canary" not in "".join(traceback.format_exception(error))
    assert "/a" in caplog.text
    assert "canary" not in caplog.text


@pytest.mark.parametrize(
    ("status", "said", "error", "kind"),
    [
        (400, "<Code>ExpiredToken</Code>", Denied, Kind.TOKEN_EXPIRED),
        (403, "<Message>Request has expired</Message>", Denied, Kind.TOKEN_EXPIRED),
        (403, "<Code>RequestTimeTooSkewed</Code>", Denied, Kind.CLOCK_SKEW),
        (403, "<Code>QuotaExceeded</Code>", Denied, Kind.STORE_FULL),
        (403, "<Code>SignatureDoesNotMatch</Code>", Denied, Kind.FORBIDDEN),
        (401, 'Bearer error="invalid_token", error_description="expired"', Denied, Kind.TOKEN_EXPIRED),
        (401, "", Denied, Kind.FORBIDDEN), (403, "", Denied, Kind.FORBIDDEN), (405, "", Denied, Kind.FORBIDDEN),
        (404, "", NotFound, Kind.OBJECT_UNKNOWN), (410, "", NotFound, Kind.OBJECT_UNKNOWN),
        (409, "", Conflict, Kind.OUTPUT_EXISTS), (412, "", Conflict, Kind.OUTPUT_EXISTS),
        (413, "", Denied, Kind.STORE_FULL), (507, "", Denied, Kind.STORE_FULL), (416, "", Corrupt, Kind.SHORT_READ),
        (408, "", Unavailable, Kind.STORE_UNREACHABLE), (429, "", Unavailable, Kind.STORE_UNREACHABLE),
        (500, "", Unavailable, Kind.STORE_UNREACHABLE), (503, "", Unavailable, Kind.STORE_UNREACHABLE),
        (501, "", InvalidInput, Kind.CONFIG_INVALID), (400, "", InvalidInput, Kind.CONFIG_INVALID), (302, "", InvalidInput, Kind.CONFIG_INVALID),
    ],
)  # fmt: skip
def test_an_answer_means_one_thing(status, said, error, kind):
    found = refused("https://host/a?canary", status, said, writing=True)
    assert (type(found), found.kind) == (error, kind)
    assert "canary" not in str(found) + found.hint
    assert found.hint


def test_a_signed_url_whose_time_is_over_is_known_by_its_date():
    """Ceph refuses it without a word."""
    url = "https://host/a?X-Amz-Date=20200101T000000Z&X-Amz-Expires=60"
    assert refused(url, 403, "<Code>AccessDenied</Code>", writing=False).kind is Kind.TOKEN_EXPIRED
    assert refused("https://host/a?X-Amz-Date=29990101T000000Z&X-Amz-Expires=60", 403, "", writing=False).kind is Kind.FORBIDDEN


def test_a_server_that_is_not_there_is_said_soon():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    error = failure(lambda: WebWire().get(f"http://127.0.0.1:{port}/a"))
    assert isinstance(error, Unavailable)
    assert f"127.0.0.1:{port}/a cannot be reached: connection refused" in str(error)


def test_a_listing_with_a_document_type_is_refused():
    bomb = b'<!DOCTYPE a [<!ENTITY x "y">]><D:multistatus xmlns:D="DAV:"><D:response><D:href>&x;</D:href></D:response></D:multistatus>'
    for document in (bomb, bomb.decode().encode("utf-16"), b"no xml"):
        assert failure(lambda document=document: describe(document, "https://host/a")).kind is Kind.CONFIG_INVALID


def test_a_listing_cannot_lead_out(server):
    """A name is taken where its folder is the one that was asked for."""
    entry = "<D:response><D:href>{}</D:href></D:response>"
    hrefs = ("/p/", "/p/a", f"{server.url}/p/b", "/other/c", "/p/../d", "/p/e/f")
    server.says["PROPFIND"] = 207, {}, f'<D:m xmlns:D="DAV:">{"".join(map(entry.format, hrefs))}</D:m>'.encode()
    assert [info.key for info in WebStorage().objects(f"{server.url}/p").list()] == ["a", "b"]


@pytest.mark.parametrize(
    "url", ["https://", "https:///p", "https://u:canary@h/p", "https://h/a//b", "https://h/../x", "https://h/p?canary=1", "https://h/p#x", "s3://h/p", "https://h/a b"],
)
def test_what_names_no_folder_of_a_web_server_is_refused(url):
    error = failure(lambda: WebStorage().objects(url))
    assert error.kind is Kind.PATH_MALFORMED
    assert "canary" not in str(error) + error.hint


def test_davs_is_https(secure, certificate, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    secure.objects["/p/a"] = b"1"
    objects = WebStorage().objects(f"davs://{urlsplit(secure.url).netloc}/p/")
    assert objects.get("a") == b"1"
    assert objects.url == f"{secure.url}/p"
    WebWire().put(f"davs://{urlsplit(secure.url).netloc}/p/b", b"2")
    assert secure.asked[-1][2]["Destination"] == f"{secure.url}/p/b"


def test_credentials_are_not_named():
    assert failure(lambda: WebStorage().objects("https://h/p", "env:X")).kind is Kind.OPTION_INVALID


def test_a_wire_travels_to_a_worker(server):
    server.objects["/a"] = b"1"
    wire = WebWire()
    wire.get(f"{server.url}/a")
    assert pickle.loads(pickle.dumps(wire)).get(f"{server.url}/a") == b"1"


def test_forked_processes_read_their_own_answers(server):
    server.objects |= {f"/{n}": str(n).encode() * 50 for n in range(9)}
    done = subprocess.run([sys.executable, "-c", FORKED, server.url], timeout=30, check=False)
    assert done.returncode == 0
