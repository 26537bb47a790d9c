"""The bearer token of this machine's user, found where grid tools leave it: WLCG Bearer Token Discovery 1.0.

Nothing is remembered: tokens live for minutes and are renewed under a job that runs.
"""

from __future__ import annotations

import json
import os
import re
import time
from base64 import urlsafe_b64decode
from binascii import Error as NotBase64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lakecv.errors import Denied, Kind

__all__ = ["claims_of", "find_token"]

_SHARED = Path("/tmp")  # noqa: S108  (the specification names it; a file of another user there is refused)
_LETTERS = re.compile(r"[A-Za-z0-9._~+/=-]+", re.ASCII)  # RFC 6750, 2.1
_JWT_PARTS = 3
_MOST_NBYTES = 1 << 16
_RENEW = "get a new one (oidc-token, htgettoken), then type the same command again"


def find_token() -> str | None:
    """Return the token, None where there is none at all.

    The places, in order: ``BEARER_TOKEN``, the file ``BEARER_TOKEN_FILE``, ``$XDG_RUNTIME_DIR/bt_u<uid>``,
    ``/tmp/bt_u<uid>``.

    Raises
    ------
    Denied
        Where a place holds something that cannot be used (``forbidden``), or a token whose time is over
        (``token-expired``).
    """
    if text := os.environ.get("BEARER_TOKEN", "").strip():
        return _checked(text, "BEARER_TOKEN")
    if named := os.environ.get("BEARER_TOKEN_FILE", "").strip():
        return _checked(_read(Path(named), "BEARER_TOKEN_FILE names"), named)
    name = f"bt_u{os.geteuid()}"
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    for path in ([Path(runtime, name)] if runtime else []) + [_SHARED / name]:
        if os.path.lexists(path):
            return _checked(_read(path, "there is"), str(path))
    return None


def _read(path: Path, named: str) -> str:
    """Read a token's file, which nobody else may read or have written."""
    said = f"{named} the token file {path}, which"
    if not path.exists():
        raise Denied(f"{said} does not exist", Kind.FORBIDDEN, "write the token there, or unset the variable")
    if not path.is_file():
        raise Denied(f"{said} is not a file", Kind.FORBIDDEN, "name the file with the token")
    try:
        status = path.stat()
        text = path.read_bytes()[:_MOST_NBYTES].decode("ascii").strip()
    except OSError as err:
        raise Denied(f"{said} cannot be read: {err.strerror}", Kind.FORBIDDEN, f"chmod 600 {path}") from err
    except UnicodeDecodeError as err:
        raise Denied(f"{said} holds no token", Kind.FORBIDDEN, "write the token there, and nothing else") from err
    if status.st_uid not in {0, os.geteuid()}:
        raise Denied(f"{said} belongs to another user", Kind.FORBIDDEN, "name your own by BEARER_TOKEN_FILE")
    if status.st_mode & 0o077:
        raise Denied(f"{said} others may read", Kind.FORBIDDEN, f"chmod 600 {path}")
    if not text:
        raise Denied(f"{said} is empty", Kind.FORBIDDEN, "write the token there, or unset the variable")
    return text


def _checked(token: str, place: str) -> str:
    """Refuse what would not fit into a header, and what the server would refuse anyway."""
    if not _LETTERS.fullmatch(token):
        raise Denied(f"{place} holds more than a token", Kind.FORBIDDEN, "write the token there, and nothing else")
    expiry = _expiry(token)
    late = time.time() - expiry if expiry is not None else -1.0
    if late >= 0:
        raise Denied(f"the token of {place} is too old: it expired {_span(late)} ago", Kind.TOKEN_EXPIRED, _RENEW)
    return token


def claims_of(token: str) -> Mapping[str, Any]:
    """Read what a JWT says of itself, without trust in it; nothing where it is none."""
    parts = token.split(".")
    if len(parts) != _JWT_PARTS:
        return {}
    try:
        claims = json.loads(urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (NotBase64, ValueError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}


def _expiry(token: str) -> float | None:
    """When a token ends; None where it does not say so."""
    expiry = claims_of(token).get("exp")
    return float(expiry) if isinstance(expiry, int | float) and not isinstance(expiry, bool) else None


def _span(seconds: float) -> str:
    """Write a time as people say it.

    Examples
    --------
    >>> _span(59), _span(300), _span(7300), _span(200000)
    ('59 s', '5 min', '2 h', '2 days')
    """
    for unit, name, most in ((1, "s", 60), (60, "min", 3600), (3600, "h", 48 * 3600)):
        if seconds < most:
            return f"{int(seconds // unit)} {name}"
    return f"{int(seconds // 86400)} days"
