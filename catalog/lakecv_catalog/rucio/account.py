"""Who one is to Rucio: the real client, set up by Rucio's own configuration, without its surprises.

``rucio.cfg``, ``RUCIO_HOME``, ``RUCIO_ACCOUNT`` and the like mean what they mean to every Rucio client.  A bearer token is
looked for in the four places of WLCG token discovery and checked before it is sent; nobody is ever asked for a password.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Mapping
from configparser import Error as ConfigError
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from lakecv_plugins.storage.token import claims_of, find_token

from lakecv.errors import Denied, Kind, LakeCVError, PluginError
from lakecv_catalog.rucio.answers import explain

if TYPE_CHECKING:
    from rucio.client.client import Client

__all__ = ["LOG", "ca_file", "connect", "identity"]

_TIMEOUT_SECONDS = 60
_RETRIES = 0  # at once, which is one more attempt; after some more the client forgets what went wrong
_RENEW = "get a new one (oidc-token, htgettoken), then try again"
_VOMS = b"\x06\x0a\x2b\x06\x01\x04\x01\xbe\x45\x64\x64\x05"  # OID 1.3.6.1.4.1.8005.100.100.5: the attributes of a VOMS proxy
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)
LOG = logging.getLogger("lakecv_catalog.rucio.client")
"""Given to the client in place of the root logger, which its first word would switch on."""

LOG.addHandler(logging.NullHandler())
LOG.propagate = False  # it says what the errors say, in its own way, and urls with them


def identity() -> Mapping[str, str]:
    """Variables that decide which server and account a client is for; where they change, another client is due."""
    return {name: value for name, value in os.environ.items() if name.startswith(("RUCIO_", "X509_", "BEARER_TOKEN", "XDG_RUNTIME_DIR", "SITE_NAME"))}


def connect() -> Client:
    """Open a client and log in.

    Raises
    ------
    InvalidInput
        If Rucio is not configured (kind ``config-invalid``).
    Denied
        If one is not let in: ``token-expired``, or ``forbidden``.
    Unavailable
        If the server does not answer (kind ``catalog-timeout``).
    PluginError
        If the client is not installed (kind ``missing-extra``).
    """
    try:
        from rucio.common.config import clean_cached_config
    except ImportError as err:
        raise PluginError("the catalog 'rucio' needs rucio-clients", Kind.MISSING_EXTRA, 'pip install "lakecv[rucio]"') from err
    clean_cached_config()  # another RUCIO_HOME may be meant than a moment ago
    name = sys.argv[0]
    try:
        client = _quiet()(timeout=_TIMEOUT_SECONDS, logger=LOG)
        if client.auth_type == "oidc":  # the token says who one is, whatever account is named
            client.account = client.whoami()["account"]
    except LakeCVError:
        raise
    except Exception as err:
        raise _why_not(err) from err
    finally:
        sys.argv[0] = name  # the client cuts it
    client.request_retries = _RETRIES
    return client


def ca_file() -> str | None:
    """Certificates that Rucio's configuration trusts; storage elements are often signed by the same ones."""
    named = _said("ca_cert")
    return str(_expanded(named)) if named and _expanded(named).exists() else None


@cache
def _quiet() -> type[Client]:
    """Make Rucio's own client find bearer tokens where lakecv does, keep them to itself, and ask nobody on the terminal."""
    from rucio.client.client import Client

    class Quiet(Client):  # type: ignore[misc]
        """There is no other door than its private methods: rucio-clients 41.5.1."""

        REQUEST_RETRIES = _RETRIES
        renewed = ""

        def _BaseClient__read_token(self) -> bool:  # noqa: N802
            token = find_token() if self.auth_type == "oidc" else None
            if token is None:
                return bool(super()._BaseClient__read_token())
            self.auth_token = self.headers["X-Rucio-Auth-Token"] = token
            return True

        def _BaseClient__get_token_oidc(self) -> bool:  # noqa: N802
            token = find_token()
            if token is None:
                raise Denied("the bearer token for Rucio was not found", Kind.TOKEN_EXPIRED, _RENEW)
            if token == self.auth_token != self.renewed:  # where it was renewed, another thread may have been refused with the one before
                raise _not_accepted(token)
            self.auth_token = self.renewed = token
            return True

        def _BaseClient__write_token(self) -> None:  # noqa: N802
            if self.auth_type != "oidc":
                super()._BaseClient__write_token()

    return Quiet


def _not_accepted(token: str) -> Denied:
    """Say what a token says of itself: Rucio does not tell what it dislikes."""
    claims = claims_of(token)
    said = ", ".join(f"{word} {str(claims[name])[:80]!r}" for name, word in (("aud", "audience"), ("iss", "issuer")) if name in claims)
    return Denied(
        f"Rucio does not accept the bearer token{f' ({said})' if said else ''}", Kind.FORBIDDEN,
        "ask for one with the audience that this Rucio expects (oidc-token --aud), from the issuer that your account is linked to",
    )


def _why_not(err: Exception) -> LakeCVError:
    found = explain(err, "log in")
    if _kind() != "x509_proxy":
        return found
    if _proxy() is None:
        return Denied("there is no proxy to log in to Rucio with", Kind.FORBIDDEN, "voms-proxy-init --voms YOUR-VO")
    if isinstance(found, Denied) and not _has_voms():
        return Denied(
            f"Rucio does not accept your proxy, which has no VOMS attributes: {found}", Kind.FORBIDDEN, "voms-proxy-init --voms YOUR-VO",
        )
    return found


def _kind() -> str:
    return os.environ.get("RUCIO_AUTH_TYPE") or _said("auth_type")


def _proxy() -> Path | None:
    """Find the proxy as Rucio's client does; None where there is none."""
    usual = f"/tmp/x509up_u{os.geteuid()}"  # noqa: S108  (where grid tools put it)
    named = os.environ.get("RUCIO_CLIENT_PROXY") or _said("client_x509_proxy") or os.environ.get("X509_USER_PROXY") or usual
    path = _expanded(named)
    return path if path.exists() else None


def _has_voms() -> bool:
    """Say whether the proxy carries VOMS attributes; True where it cannot be looked at."""
    from base64 import b64decode

    path = _proxy()
    try:
        blocks = _PEM.findall(path.read_text(errors="replace")) if path is not None else []
        return not blocks or any(_VOMS in b64decode(block) for block in blocks)
    except (OSError, ValueError):
        return True


def _said(option: str) -> str:
    """Read an option of the client from Rucio's configuration; empty where it does not say."""
    from rucio.common.config import config_get

    try:
        return str(config_get("client", option, raise_exception=False, default="") or "")
    except (ConfigError, RuntimeError):
        return ""


def _expanded(named: str) -> Path:
    return Path(os.path.expandvars(os.path.expanduser(named)))  # noqa: PTH111  (does not fail without a home)
