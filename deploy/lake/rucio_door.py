"""The Rucio server as gunicorn loads it: what the TLS door in front of it found out about a certificate is passed on.

Only a request with the door's own secret is believed; anybody on this machine could write the other headers.
"""

# ruff: noqa: INP001  (loaded by its name)
from __future__ import annotations

import hmac
import os
from typing import TYPE_CHECKING, Any

from rucio.web.rest.main import application as server  # noqa: TID251  (it runs inside the server)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_SECRET = os.environ.pop("LAKE_DOOR")


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer one request (WSGI)."""
    if hmac.compare_digest(environ.get("HTTP_X_LAKE_DOOR", ""), _SECRET) and environ.get("HTTP_X_LAKE_VERIFY") == "SUCCESS":
        environ["SSL_CLIENT_VERIFY"] = "SUCCESS"
        environ["SSL_CLIENT_S_DN"] = environ["HTTP_X_LAKE_DN"]
    return server(environ, start_response)
