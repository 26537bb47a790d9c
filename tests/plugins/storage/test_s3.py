"""The s3 storage against moto's server: the contract, where keys and endpoints come from, and what failures mean."""

import os

import pytest
from lakecv_plugins.storage.s3 import PROBE, S3Storage, _known
from lakecv_plugins.storage.s3_answers import explain

from lakecv import registry
from lakecv.errors import Conflict, Corrupt, Denied, Infeasible, InvalidInput, Kind, LakeCVError, NotFound, Unavailable
from lakecv.testing.storage import StorageContract


@pytest.fixture(autouse=True)
def reach(moto_server, monkeypatch):
    """Point the environment at moto, and forget what other tests opened."""
    for name, value in moto_server.environment().items():
        monkeypatch.setenv(name, value)
    _known.cache_clear()
    yield
    _known.cache_clear()


@pytest.fixture
def bucket(moto_server):
    return moto_server.bucket()


class TestS3(StorageContract):
    @pytest.fixture
    def open_objects(self, bucket):
        return lambda: S3Storage().objects(f"s3://{bucket}/some/prefix")


def failure(url, *, write=False):
    def use():
        objects = S3Storage().objects(url)
        return objects.put("a", b"1") if write else objects.get("a")

    with pytest.raises(LakeCVError) as caught:
        use()
    return caught.value


def test_the_registry_finds_it(bucket):
    objects = registry.open_objects(f"s3://{bucket}")
    objects.put("a", b"1")
    assert objects.url == f"s3://{bucket}"
    assert [info.key for info in objects.list()] == ["a", PROBE]


def test_objects_know_their_age(bucket):
    objects = S3Storage().objects(f"s3://{bucket}/p")
    objects.put("a", b"1")
    [info] = objects.list()
    assert abs(info.modified - objects.head("a").modified) < 2
    assert info.modified > 1.7e9


def test_ranges_that_are_near_are_one_request(bucket):
    objects = S3Storage().objects(f"s3://{bucket}/p")
    data = os.urandom(3 << 20)
    objects.put("a", data)
    ranges = [(0, 10), (1000, 2000), (1500, 1600), (len(data) - 5, len(data))]
    assert objects.get_ranges("a", ranges) == [data[start:stop] for start, stop in ranges]


def test_zarr_opens_a_prefix(bucket):
    import zarr

    store = registry.open_store(f"s3://{bucket}/cube")
    objects = S3Storage().objects(f"s3://{bucket}/cube")
    memory = zarr.storage.MemoryStore()
    zarr.create_array(memory, shape=(4, 4), chunks=(2, 2), dtype="i4")[:] = 7
    for key, value in memory._store_dict.items():
        objects.put(key, value.to_bytes())
    assert (zarr.open_array(store, mode="r")[:] == 7).all()


@pytest.mark.parametrize("url", ["s3://", "s3:///p", "s3://b", "s3://bucket/a//b", "s3://bucket/../x", "s3://bucket/p?x=1", "s3://bu cket"])
def test_what_names_no_bucket_is_refused(url):
    assert failure(url).kind is Kind.PATH_MALFORMED


def test_a_password_in_the_url_is_refused_and_not_repeated():
    error = failure("s3://key:canary-secret@bucket/p")
    assert error.kind is Kind.PATH_MALFORMED
    assert "canary" not in str(error) + error.hint


def test_a_missing_bucket_is_not_an_empty_one():
    error = failure("s3://no-such-bucket-1")
    assert isinstance(error, NotFound)
    assert "bucket 'no-such-bucket-1'" in str(error)


def test_an_object_that_shrank_is_a_short_read(bucket):
    objects = S3Storage().objects(f"s3://{bucket}/p")
    objects.put("a", b"1234")
    for ranges in ([(2, 8)], [(4, 8)], [(0, 1), (3 << 20, 4 << 20)]):
        with pytest.raises(Corrupt) as caught:
            objects.get_ranges("a", ranges)
        assert caught.value.kind is Kind.SHORT_READ


def test_a_server_that_is_not_there_is_said_soon(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    error = failure("s3://bucket/p")
    assert isinstance(error, Unavailable)
    assert "127.0.0.1:9" in str(error)
    assert "refused" in str(error)


def test_no_keys_at_all(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    error = failure("s3://bucket/p")
    assert isinstance(error, Denied)
    assert "AWS_ACCESS_KEY_ID" in error.hint


@pytest.mark.parametrize(
    ("endpoint", "part"),
    [
        ("storage.example.org:9000", "not an endpoint"), ("ftp://host", "not an endpoint"), ("http://", "not an endpoint"),
        ("https://user:canary@host", "user or password"), ("http://storage.example.org", "in clear"),
        ("http://169.254.169.254/latest", "link-local"),
    ],
)
def test_an_endpoint_that_cannot_be_used(monkeypatch, endpoint, part):
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    error = failure("s3://bucket/p")
    assert isinstance(error, InvalidInput)
    assert error.kind is Kind.CONFIG_INVALID
    assert part in str(error)
    assert "canary" not in str(error) + error.hint


@pytest.fixture
def profile(monkeypatch, moto_server, tmp_path):
    """Move the server and its keys from the environment into the profile ``museo``."""
    for name in [name for name in os.environ if name.startswith("AWS_") and name != "AWS_EC2_METADATA_DISABLED"]:
        monkeypatch.delenv(name)
    keys, config = tmp_path / "credentials", tmp_path / "config"
    keys.write_text(f"[museo]\naws_access_key_id = {moto_server.key}\naws_secret_access_key = {moto_server.secret}\n")
    keys.chmod(0o600)
    config.write_text(f"[profile museo]\nendpoint_url = {moto_server.endpoint}\nregion = eu-south-1\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(keys))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    return keys


@pytest.mark.usefixtures("profile")
def test_a_profile_in_the_url_brings_server_and_keys(bucket):
    objects = S3Storage().objects(f"s3://museo@{bucket}/p")
    objects.put("a", b"1")
    assert objects.url == f"s3://museo@{bucket}/p"
    assert S3Storage().objects(f"s3://{bucket}/p", "museo").get("a") == b"1"


@pytest.mark.usefixtures("profile")
def test_a_profile_overrules_the_environment(bucket, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    S3Storage().objects(f"s3://museo@{bucket}/p").put("a", b"1")


@pytest.mark.usefixtures("profile")
def test_aws_profile_is_understood(bucket, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "museo")
    S3Storage().objects(f"s3://{bucket}/p").put("a", b"1")


@pytest.mark.usefixtures("profile")
def test_an_unknown_profile_names_the_nearest():
    error = failure("s3://musoe@bucket/p")
    assert isinstance(error, NotFound)
    assert "museo" in error.hint


def test_keys_that_others_may_read_are_refused(profile):
    profile.chmod(0o644)
    error = failure("s3://museo@bucket/p")
    assert isinstance(error, Denied)
    assert error.hint == f"chmod 600 {profile}"


def test_anonymous_requests_are_not_signed(moto_server, bucket):
    moto_server.client().put_object(Bucket=bucket, Key="p/a", Body=b"1", ACL="public-read")
    moto_server.client().put_bucket_acl(Bucket=bucket, ACL="public-read")
    assert S3Storage().objects(f"s3://anonymous@{bucket}/p").get("a") == b"1"


def test_a_server_that_overwrites_is_not_written_to(bucket, monkeypatch):
    monkeypatch.setattr("lakecv_plugins.storage.s3._refuses_to_overwrite", lambda _: False)
    error = failure(f"s3://{bucket}/p", write=True)
    assert isinstance(error, Infeasible)
    assert list(S3Storage().objects(f"s3://{bucket}/p").list()) == []


def test_a_conflict_names_the_object(bucket):
    objects = S3Storage().objects(f"s3://{bucket}/p")
    objects.put("a", b"1")
    with pytest.raises(Conflict, match="'a' exists already"):
        objects.put("a", b"1")


ANSWER = "Generic S3 error: Error performing GET http://h/b/k in 5ms - Server returned non-2xx status code: {}: <Error><Code>{}</Code>{}</Error>"


@pytest.mark.parametrize(
    ("status", "code", "more", "error", "kind"),
    [
        ("404 Not Found", "NoSuchBucket", "", NotFound, Kind.PATH_UNKNOWN),
        ("403 Forbidden", "InvalidAccessKeyId", "", Denied, Kind.FORBIDDEN),
        ("403 Forbidden", "SignatureDoesNotMatch", "", Denied, Kind.FORBIDDEN),
        ("403 Forbidden", "AccessDenied", "", Denied, Kind.FORBIDDEN),
        ("403 Forbidden", "RequestTimeTooSkewed", "", Denied, Kind.CLOCK_SKEW),
        ("400 Bad Request", "ExpiredToken", "", Denied, Kind.TOKEN_EXPIRED),
        ("403 Forbidden", "QuotaExceeded", "", Denied, Kind.STORE_FULL),
        ("400 Bad Request", "AuthorizationHeaderMalformed", "<Region>eu-south-1</Region>", InvalidInput, Kind.CONFIG_INVALID),
        ("400 Bad Request", "InvalidBucketName", "", InvalidInput, Kind.PATH_MALFORMED),
        ("416 Range Not Satisfiable", "InvalidRange", "", Corrupt, Kind.SHORT_READ),
        ("400 Bad Request", "SomethingNew", "", InvalidInput, Kind.CONFIG_INVALID),
        ("503 Service Unavailable", "SlowDown", "", Unavailable, Kind.STORE_UNREACHABLE),
        ("500 Internal Server Error", "InternalError", "", Unavailable, Kind.STORE_UNREACHABLE),
    ],
)
def test_an_answer_means_one_thing(status, code, more, error, kind):
    found = explain(ANSWER.format(status, code, more), "'k' in s3://b", "http://h", writing=False)
    assert (type(found), found.kind) == (error, kind)
    assert found.hint
    if "<Region>" in more:
        assert "eu-south-1" in found.hint


def test_a_server_is_asked_what_it_does(bucket):
    assert [ability.holds for ability in S3Storage().probe(f"s3://{bucket}/p")] == [True, True, True]
    assert registry.probe(f"s3://{bucket}/p") == S3Storage().probe(f"s3://{bucket}/p")


def test_what_a_server_cannot_is_said_with_what_is_lost(bucket, monkeypatch):
    S3Storage().probe(f"s3://{bucket}/p")
    _known.cache_clear()
    monkeypatch.setattr("lakecv_plugins.storage.s3._refuses_to_overwrite", lambda _: False)
    monkeypatch.setattr("lakecv_plugins.storage.s3.PROBE_BYTES", b"other bytes")
    listing, writing, suffix = S3Storage().probe(f"s3://{bucket}/p")
    assert (listing.holds, writing.holds, suffix.holds) == (True, False, False)
    assert "read-only" in writing.lost


def test_a_place_that_cannot_be_opened_has_no_abilities():
    with pytest.raises(NotFound):
        S3Storage().probe("s3://no-such-bucket-2/p")
    assert registry.probe("memory://x") == ()
