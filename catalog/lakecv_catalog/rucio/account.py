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
from pathlib import Path
from typing import TYPE_CHECKING

from lakecv_plugins.storage.token import find_token

from lakecv.errors import Denied, Kind, LakeCVError, PluginError
from lakecv_catalog.rucio.answers import explain

if TYPE_CHECKING:
    from rucio.client.client import Client

__all__ = ["LOG", "ca_file", "connect", "identity"]

_TIMEOUT_SECONDS = 60
_VOMS = b"\x06\x0a\x2b\x06\x01\x04\x01\xbe\x45\x64\x64\x05"  # OID 1.3.6.1.4.1.8005.100.100.5: the attributes of a VOMS proxy
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)
LOG = logging.getLogger("lakecv_catalog.rucio.client")
"""Given to the client in place of the root logger, which its first word would switch on."""

LOG.addHandler(logging.NullHandler())
LOG.propagate = False  # it says what the errors say, in its own way, and urls with them


def identity() -> Mapping[str, str]:
    """Variables that decide which server and account a client is for; where they change, another client is due."""
    return {name: value for name, value in os.environ.items() if name.startswith(("RUCIO_", "X509_", "BEARER_TOKEN", "SITE_NAME"))}


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
        from rucio.client.client import Client
        from rucio.common.config import clean_cached_config, config_get
    except ImportError as err:
        raise PluginError("the catalog 'rucio' needs rucio-clients", Kind.MISSING_EXTRA, 'pip install "lakecv[rucio]"') from err
    clean_cached_config()  # another RUCIO_HOME may be meant than a moment ago
    name = sys.argv[0]
    kind = ""
    try:
        kind = os.environ.get("RUCIO_AUTH_TYPE") or str(config_get("client", "auth_type"))
        token = find_token() if kind == "oidc" else None
        client = Client(timeout=_TIMEOUT_SECONDS, logger=LOG)
    except LakeCVError:
        raise
    except Exception as err:
        raise _why_not(err, kind) from err
    finally:
        sys.argv[0] = name  # the client cuts it
    if kind == "oidc":
        _ask_nobody(client, has_token=token is not None)
    return client


def ca_file() -> str | None:
    """Certificates that Rucio's configuration trusts; storage elements are often signed by the same ones."""
    from rucio.common.config import config_get

    try:
        named = config_get("client", "ca_cert", raise_exception=False, default=None)
    except (ConfigError, RuntimeError):
        return None
    path = Path(os.path.expandvars(os.path.expanduser(named))) if named else None  # noqa: PTH111  (does not fail without a home)
    return str(path) if path is not None and path.exists() else None


def _ask_nobody(client: Client, *, has_token: bool) -> None:
    """Keep the client from asking on the terminal: a refused token is refused, and a renewed one is found in its place."""

    def renewed() -> bool:
        token = find_token()
        if token is None or token == client.auth_token:
            where = "is not accepted" if has_token else "was not found"
            raise Denied(f"the bearer token for Rucio {where}", Kind.TOKEN_EXPIRED, "get a new one (oidc-token, htgettoken), then try again")
        client.auth_token = token
        return True

    client._BaseClient__get_token_oidc = renewed  # noqa: SLF001  (there is no other door: rucio-clients 41.5.1)


def _why_not(err: Exception, kind: str) -> LakeCVError:
    found = explain(err, "log in")
    if kind == "x509_proxy" and isinstance(found, Denied) and not _has_voms():
        return Denied(
            f"Rucio does not accept your proxy, which has no VOMS attributes: {found}", Kind.FORBIDDEN, "voms-proxy-init --voms YOUR-VO",
        )
    return found


def _has_voms() -> bool:
    """Say whether the proxy carries VOMS attributes; True where there is no proxy to look at."""
    from base64 import b64decode

    path = Path(os.environ.get("RUCIO_CLIENT_PROXY") or os.environ.get("X509_USER_PROXY") or f"/tmp/x509up_u{os.geteuid()}")  # noqa: S108  (where grid tools put it)
    try:
        blocks = _PEM.findall(path.read_text(errors="replace"))
        return not blocks or any(_VOMS in b64decode(block) for block in blocks)
    except (OSError, ValueError):
        return True
