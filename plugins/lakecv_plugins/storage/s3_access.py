"""How an S3 server is reached: endpoint, region, addressing and keys, from where every S3 client looks for them.

The environment comes first, then the profile of the shared AWS files, with all that botocore knows to do there
(``credential_process``, web identity, roles).  A url names a profile, never a key; keys are looked up in the process
that uses them and are stored nowhere.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from lakecv.errors import Denied, InvalidInput, Kind, NotFound, PluginError, nearest

if TYPE_CHECKING:
    from botocore.session import Session
    from obstore.store import S3Credential

__all__ = ["ANONYMOUS", "PLACES", "Account", "find_account"]

ANONYMOUS = "anonymous"
PLACES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_CONFIG_FILE",
          "AWS_SHARED_CREDENTIALS_FILE", "AWS_ACCESS_KEY_ID")
_REGION = "us-east-1"
_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@+-]{0,127}", re.ASCII)
_NO_KEYS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile of ~/.aws/credentials: s3://PROFILE@bucket/prefix"


@dataclass(frozen=True, slots=True)
class Account:
    """A server and the right to use it.  ``endpoint`` None = Amazon's; ``credentials`` None = requests are not signed."""

    endpoint: str | None
    region: str
    virtual_host: bool
    credentials: Callable[[], S3Credential] | None = field(repr=False)

    @property
    def where(self) -> str:
        """Name of the server, for messages."""
        return self.endpoint or f"Amazon S3, {self.region}"


def find_account(profile: str | None) -> Account:
    """Find endpoint, region and keys; ``profile`` is a profile's name, ``anonymous``, or None for the environment.

    Raises
    ------
    InvalidInput
        If the endpoint or a setting cannot be used (kind ``config-invalid``).
    NotFound
        If there is no such profile (kind ``replica-unknown``).
    Denied
        If there are no keys, or others may read the file they lie in (kind ``forbidden``).
    """
    if profile is not None and not _WORD.fullmatch(profile):
        raise InvalidInput(f"{profile!r} is not the name of a profile", Kind.CONFIG_INVALID, "name a profile of ~/.aws/config")
    named = profile not in {None, ANONYMOUS}
    plain = not named and ("AWS_PROFILE" not in os.environ) and (profile == ANONYMOUS or all(os.environ.get(key) for key in _KEYS))
    scoped: Mapping[str, Any] = {}
    session = None
    if not plain:
        session = _session(profile if named else None)
        scoped = session.get_scoped_config()
    endpoint = _endpoint(scoped, prefer_file=named)
    region = _setting(("AWS_REGION", "AWS_DEFAULT_REGION"), scoped.get("region"), prefer_file=named) or _REGION
    virtual = (scoped.get("s3") or {}).get("addressing_style") == "virtual"
    if profile == ANONYMOUS:
        return Account(endpoint, region, virtual, None)
    credentials = _from_environment if session is None else _from_session(session)
    credentials()  # says now, not at the first object, that there are none
    if endpoint is not None:
        _check_secrecy(endpoint)
    return Account(endpoint, region, virtual, credentials)


def _setting(variables: tuple[str, ...], filed: str | None, *, prefer_file: bool) -> str | None:
    """Pick a setting of the environment's variables and the profile's value."""
    found = [os.environ.get(name) for name in variables]
    order = [filed, *found] if prefer_file else [*found, filed]
    return next((value for value in order if value), None)


def _endpoint(scoped: Mapping[str, Any], *, prefer_file: bool) -> str | None:
    url = _setting(("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"), scoped.get("endpoint_url"), prefer_file=prefer_file)
    if url is None:
        return None
    parts = urlsplit(url)
    if parts.username or parts.password:
        raise InvalidInput(
            f"the endpoint at {parts.hostname} has a user or password in it", Kind.CONFIG_INVALID, "write it without; keys come from a profile",
        )
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise InvalidInput(f"{url!r} is not an endpoint", Kind.CONFIG_INVALID, "write https://host:port")
    if _is_link_local(parts.hostname):
        raise InvalidInput(
            f"the endpoint {url} is a link-local address, where machines keep their own secrets", Kind.CONFIG_INVALID, "name the storage server",
        )
    return url.rstrip("/")


def _check_secrecy(endpoint: str) -> None:
    parts = urlsplit(endpoint)
    if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
        raise InvalidInput(
            f"keys would travel in clear to {endpoint}", Kind.CONFIG_INVALID, f"use https://{parts.netloc}, or {ANONYMOUS}@ in the url",
        )


def _is_link_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_link_local
    except ValueError:
        return False


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _from_environment() -> S3Credential:
    key, secret = (os.environ.get(name, "") for name in _KEYS)
    if not key or not secret:
        raise Denied("there are no S3 keys in the environment any more", Kind.FORBIDDEN, _NO_KEYS)
    return {"access_key_id": key, "secret_access_key": secret, "token": os.environ.get("AWS_SESSION_TOKEN"), "expires_at": None}


def _session(profile: str | None) -> Session:
    try:
        from botocore.session import Session
    except ImportError as err:
        raise PluginError("profiles of S3 need 'botocore'", Kind.MISSING_EXTRA, 'pip install "lakecv[s3]"') from err
    from botocore.exceptions import ConfigParseError

    for variable, usual in (("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"), ("AWS_CONFIG_FILE", "~/.aws/config")):
        _check_private(Path(os.path.expanduser(os.environ.get(variable) or usual)))  # noqa: PTH111  (does not fail without a home)
    try:
        session = Session(profile=profile)
        known = session.available_profiles
    except ConfigParseError as err:
        raise InvalidInput(f"the AWS configuration cannot be read: {err}", Kind.CONFIG_INVALID, "correct the file") from err
    wanted = profile or os.environ.get("AWS_PROFILE")
    if wanted and wanted not in known:
        raise NotFound(f"there is no profile '{wanted}' in ~/.aws", Kind.REPLICA_UNKNOWN, nearest(wanted, known, "profiles"))
    return session


def _check_private(path: Path) -> None:
    """Refuse a file with keys in it that others may read."""
    try:
        mode = path.stat().st_mode
        holds_keys = mode & 0o077 and "secret_access_key" in path.read_text(errors="replace")
    except OSError:
        return
    if holds_keys:
        raise Denied(f"{path} holds keys and others may read it", Kind.FORBIDDEN, f"chmod 600 {path}")


def _from_session(session: Session) -> Callable[[], S3Credential]:
    """Make a source of keys that refreshes them; it is asked again when what it gave has expired."""
    from botocore.exceptions import BotoCoreError

    def current() -> S3Credential:
        try:
            found = session.get_credentials()
            frozen = found.get_frozen_credentials() if found is not None else None
        except BotoCoreError as err:
            raise Denied(f"the S3 keys cannot be had: {err}", Kind.FORBIDDEN, "correct the profile") from err
        if frozen is None:
            raise Denied("there are no S3 keys", Kind.FORBIDDEN, _NO_KEYS)
        return {
            "access_key_id": frozen.access_key, "secret_access_key": frozen.secret_key, "token": frozen.token,
            "expires_at": getattr(found, "_expiry_time", None),
        }

    return current
