"""WebDAV on a real nginx, XRootD's HTTP door, and signed urls of a real Ceph: the contract, and what each of them cannot."""

import os
from secrets import token_hex

import pytest
from lakecv_plugins.storage import web
from lakecv_plugins.storage.web import WebStorage
from lakecv_plugins.storage.web_wire import WebWire
from lakecv_plugins.storage.wires import AddressedObjects
from lakecv_plugins.storage.xrootd import XrootdStorage

from lakecv.errors import Conflict, Corrupt, Denied, Infeasible, Kind, NotFound
from lakecv.ports import ObjectInfo
from lakecv.testing.storage import StorageContract


@pytest.fixture
def dav_folder(real_lake, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(real_lake.ca))
    return f"{real_lake.dav_url}/test-{token_hex(6)}"


@pytest.fixture
def door(real_lake):
    """A folder of XRootD: as HTTP shows it, and as its own protocol does."""
    name = f"test-{token_hex(6)}"
    return f"{real_lake.xrootd_http_url}/{name}", f"{real_lake.xrootd_url}/{name}"


@pytest.fixture
def sign(ceph_server):
    """Urls of a new bucket, signed for one operation each."""
    client, bucket = ceph_server.client(), ceph_server.bucket()

    def address(key, operation, seconds=60):
        call = {"read": "get_object", "write": "put_object", "delete": "delete_object"}[operation]
        return client.generate_presigned_url(call, Params={"Bucket": bucket, "Key": key}, ExpiresIn=seconds)

    address.client, address.bucket = client, bucket
    return address


class TestNginx(StorageContract):
    @pytest.fixture
    def open_objects(self, dav_folder):
        return lambda: WebStorage().objects(dav_folder)


class TestSignedUrlsOfCeph(StorageContract):
    @pytest.fixture
    def open_objects(self, sign):
        def listing(folder):
            found = sign.client.list_objects_v2(Bucket=sign.bucket, Prefix=f"{folder}/" if folder else "")
            return [ObjectInfo(each["Key"], each["Size"]) for each in found.get("Contents", ())]

        wire = WebWire()
        return lambda: AddressedObjects(f"s3://{sign.bucket}", sign, wire, listing)


def test_nginx_has_every_ability(dav_folder):
    assert [ability.holds for ability in WebStorage().probe(dav_folder)] == [True, True, True]
    assert list(WebStorage().objects(dav_folder).list()) == []


def test_the_http_door_of_xrootd_overwrites_and_is_not_written_to(door):
    assert [ability.holds for ability in WebStorage().probe(door[0])] == [True, False, True]
    with pytest.raises(Infeasible):
        WebStorage().objects(door[0]).put("a", b"1")


def test_the_http_door_of_xrootd_reads_what_its_own_protocol_wrote(door):
    data = os.urandom(3 << 20)
    reads, writes = WebStorage().objects(door[0]), XrootdStorage().objects(door[1])
    for key in ("a/b", "a/c/d"):
        writes.put(key, data)
    assert list(reads.list()) == list(writes.list()) == [ObjectInfo("a/b", len(data)), ObjectInfo("a/c/d", len(data))]
    assert reads.get("a/b") == data
    assert reads.head("a/b") == ObjectInfo("a/b", len(data))
    assert reads.get_ranges("a/b", [(0, 5), (2 << 20, (2 << 20) + 9)]) == [data[:5], data[2 << 20 : (2 << 20) + 9]]


def test_the_http_door_of_xrootd_has_no_bytes_behind_the_end(door):
    reads, writes = WebStorage().objects(door[0]), XrootdStorage().objects(door[1])
    writes.put("a", b"1234")
    for past in ((0, 5), (4, 5), (7, 9)):
        with pytest.raises(Corrupt, match="ends at byte 4"):
            reads.get_ranges("a", [past])


def test_the_http_door_of_xrootd_shows_no_folder_as_an_object(door):
    reads, writes = WebStorage().objects(door[0]), XrootdStorage().objects(door[1])
    writes.put("a/b", b"1234")
    assert reads.head("a") is None
    for read in (lambda: reads.get("a"), lambda: reads.get_ranges("a", [(0, 1)])):
        with pytest.raises(NotFound):
            read()


def test_an_object_may_be_put_by_the_http_door_where_somebody_else_keeps_names_apart(door):
    """What is lost there: of two that write one name at the same moment, the later wins."""
    wire = WebWire()
    wire.put(f"{door[0]}/f/a", b"1")
    with pytest.raises(Conflict):
        wire.put(f"{door[0]}/f/a", b"2")
    assert wire.get(f"{door[0]}/f/a") == b"1"


def test_a_signed_url_whose_time_is_over_says_so(sign):
    url = sign("a", "read", seconds=1).replace("X-Amz-Date=2", "X-Amz-Date=1")
    with pytest.raises(Denied) as caught:
        WebWire().get(url)
    assert caught.value.kind is Kind.TOKEN_EXPIRED
    assert "Signature" not in str(caught.value)


@pytest.fixture(autouse=True)
def unproven():
    web._proven.clear()
