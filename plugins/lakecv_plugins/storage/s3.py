"""Storage in an S3 bucket: ``s3://bucket/prefix``, or ``s3://profile@bucket/prefix`` with a profile of the AWS files.

A bucket is asked for twice before it is trusted: a listing at the first use says at once what is wrong with name, key,
region or clock; a create-only put at the first write proves that the server refuses to overwrite.
"""

from __future__ import annotations

import os
import re
from datetime import timedelta
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from lakecv.errors import Corrupt, Infeasible, InvalidInput, Kind, LakeCVError
from lakecv.ports import Ability, ProbedStorage, StoragePlugin
from lakecv_plugins.storage.objects import ObstoreObjects
from lakecv_plugins.storage.s3_access import PLACES, Account, find_account
from lakecv_plugins.storage.s3_answers import explain

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Store
    from zarr.abc.store import Store

__all__ = ["PROBE", "S3Storage"]

T = TypeVar("T")

PROBE, PROBE_BYTES = "lakecv-probe", b"lakecv proves with this object that the server never overwrites\n"
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]", re.ASCII)
_SEGMENT = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
_COALESCE_NBYTES = 1 << 20  # a round trip to a server costs about what 1 MiB does
_STALL = timedelta(seconds=30)  # of one request, which reads or writes at most 16 MiB
_WRITE = timedelta(seconds=300)  # of the put of a shard, up to 128 MiB: what is put in parts cannot be create-only
_SMALL_NBYTES = 16 << 20
_SOON: RetryConfig = {"max_retries": 1, "retry_timeout": timedelta(seconds=5)}
_PATIENT: RetryConfig = {
    "max_retries": 6, "retry_timeout": timedelta(seconds=60),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=5), "base": 2},
}


class S3Storage:
    """Objects in buckets of any server that speaks S3."""

    @property
    def schemes(self) -> tuple[str, ...]:
        """Url schemes that it serves."""
        return ("s3",)

    def objects(self, url: str, access: str | None = None) -> ObstoreObjects:
        """Open a prefix for object reads and writes; ``access`` is a profile's name and overrules the url's."""
        profile, bucket, prefix = _split(url, access)
        return ObstoreObjects(_join(profile, bucket, prefix), _bucket(profile, bucket), prefix)

    def probe(self, url: str, access: str | None = None) -> tuple[Ability, ...]:
        """Ask the server what it does; what it refuses counts as what it cannot."""
        profile, bucket, _ = _split(url, access)
        return _bucket(profile, bucket).abilities()

    def store(self, url: str, access: str | None = None) -> Store:
        """Open a prefix read-only for zarr-python."""
        from zarr.storage import ObjectStore

        profile, bucket, prefix = _split(url, access)
        return ObjectStore(_bucket(profile, bucket).below(prefix), read_only=True)


class _Bucket:
    """One bucket as this process knows it."""

    coalesce_nbytes = _COALESCE_NBYTES
    far = True

    def __init__(self, account: Account, bucket: str) -> None:
        self._account, self._name = account, bucket
        self._lock = Lock()
        self._reads: S3Store | None = None
        self._writes: tuple[S3Store, S3Store] | None = None

    def find(self) -> S3Store:
        """Open for reading; the first time, make sure that the server answers and lists."""
        with self._lock:
            if self._reads is None:
                self._try(lambda: list(self._open(_SOON, timedelta(seconds=10)).list(PROBE)), writing=False)
                self._reads = self._open(_PATIENT, _STALL)
            return self._reads

    def make(self, nbytes: int) -> S3Store:
        """Open for writing; the first time, make sure that the server creates and never overwrites."""
        small = self.find()
        with self._lock:
            if self._writes is None:
                if not self._try(lambda: _refuses_to_overwrite(small), writing=True):
                    raise Infeasible(
                        f"the server at {self._account.where} overwrites what exists (it ignores If-None-Match)", Kind.CONTRACT_BROKEN,
                        "read from it, and write to another lake: results could be lost here",
                    )
                self._writes = small, self._open(_PATIENT, _WRITE)
            return self._writes[nbytes > _SMALL_NBYTES]

    def abilities(self) -> tuple[Ability, ...]:
        """Try what lakecv needs; a missing or forbidden bucket is an error, and so is a server that does not list."""
        self.find()
        writes = self._holds(lambda: self.make(0))
        suffix = self._holds(self._read_suffix)  # of the object that the first writer left
        return (
            Ability("lists a prefix", holds=True, lost="nothing can be found"),
            Ability("creates and never overwrites (If-None-Match)", writes, "nothing is written there: the lake is read-only"),
            Ability("reads the end of an object (suffix range)", suffix, "other Zarr readers cannot read parts of sharded arrays there"),
        )

    def _holds(self, ability: Callable[[], object]) -> bool:
        try:
            ability()
        except LakeCVError:
            return False
        return True

    def _read_suffix(self) -> None:
        tail = self._try(lambda: self._open(_SOON, _STALL).get(PROBE, options={"range": {"suffix": 2}}).bytes(), writing=False)
        if bytes(tail) != PROBE_BYTES[-2:]:
            raise Corrupt("the server does not know suffix ranges", Kind.SHORT_READ)

    def below(self, prefix: str) -> S3Store:
        """Open a part of the bucket for reading."""
        self.find()
        return self._open(_PATIENT, _STALL, prefix=prefix or None)

    def explain(self, err: Exception, where: str, *, writing: bool) -> LakeCVError:
        """Say what the server's answer means."""
        return explain(str(err), where, self._account.where, writing=writing)

    def _try(self, ask: Callable[[], T], *, writing: bool) -> T:
        from obstore import exceptions

        try:
            return ask()
        except (exceptions.BaseError, OSError) as err:
            raise self.explain(err, f"the bucket '{self._name}'", writing=writing) from err

    def _open(self, retry: RetryConfig, timeout: timedelta, prefix: str | None = None) -> S3Store:
        from obstore import store

        account = self._account
        client: ClientConfig = {
            "timeout": timeout, "connect_timeout": timedelta(seconds=5), "allow_http": (account.endpoint or "").startswith("http:"),
        }
        return store.S3Store(
            self._name, prefix=prefix, client_options=client, retry_config=retry,
            credential_provider=account.credentials,
            config={
                "region": account.region, "virtual_hosted_style_request": account.virtual_host, "conditional_put": "etag",
                "skip_signature": account.credentials is None, **({"endpoint": account.endpoint} if account.endpoint else {}),
            },
        )


def _refuses_to_overwrite(store: S3Store) -> bool:
    """Create one small object twice; it stays in the bucket, so that the next time the first answer is enough."""
    from obstore import exceptions

    for _ in range(2):
        try:
            store.put(PROBE, PROBE_BYTES, mode="create", use_multipart=False)
        except exceptions.AlreadyExistsError:
            return True
    return False


def _bucket(profile: str | None, bucket: str) -> _Bucket:
    """Share what is known of a bucket, as long as the environment says the same of where it is."""
    return _known(profile, bucket, tuple(os.environ.get(name) for name in PLACES))


@cache
def _known(profile: str | None, bucket: str, _: tuple[str | None, ...]) -> _Bucket:
    return _Bucket(find_account(profile), bucket)


def _split(url: str, access: str | None) -> tuple[str | None, str, str]:
    """Profile, bucket and prefix (empty, or ending in ``/``) of a url."""
    parts = urlsplit(url)
    if parts.password is not None:
        raise InvalidInput(
            "an s3 url has no password in it", Kind.PATH_MALFORMED, "write s3://PROFILE@bucket/prefix; keys lie in the profile",
        )
    name, _, bucket = parts.netloc.rpartition("@")
    profile, prefix = access or name or None, parts.path.strip("/")
    shown = _join(name, bucket, prefix)
    if parts.scheme != "s3" or parts.query or parts.fragment or not _BUCKET.fullmatch(bucket):
        raise InvalidInput(f"'{shown}' does not name a bucket", Kind.PATH_MALFORMED, "write s3://bucket/prefix")
    if prefix and not all(_SEGMENT.fullmatch(part) and part not in {".", ".."} for part in prefix.split("/")):
        raise InvalidInput(f"'{shown}' has a prefix with odd letters", Kind.PATH_MALFORMED, "use A-Z a-z 0-9 . _ - and /")
    return profile, bucket, f"{prefix}/" if prefix else ""


def _join(profile: str | None, bucket: str, prefix: str) -> str:
    return f"s3://{profile}@{bucket}/{prefix}".rstrip("/") if profile else f"s3://{bucket}/{prefix}".rstrip("/")


if TYPE_CHECKING:
    from collections.abc import Callable

    _: StoragePlugin = S3Storage()
    _probed: ProbedStorage = S3Storage()
