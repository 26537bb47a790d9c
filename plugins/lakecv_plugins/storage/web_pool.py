"""Connections to web servers: who is trusted, who we are, and what never leaves this machine.

Every request is one attempt.  Certificates and tokens are looked for again at each, because they are renewed under a job.
"""

from __future__ import annotations

import logging
import os
import ssl
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urljoin, urlsplit
from weakref import WeakSet

from lakecv.errors import Denied, InvalidInput, Kind
from lakecv_plugins.storage.token import find_token
from lakecv_plugins.storage.web_answers import absent, broken, refused
from lakecv_plugins.storage.wires import without_query

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, PoolManager

__all__ = ["Pool", "as_https", "is_signed"]

_CONNECT_SECONDS, _READ_SECONDS = 10.0, 30.0
_AT_ONCE = 64
_HOPS = 3
_READS = frozenset({"GET", "HEAD", "PROPFIND"})
_PROXIES = Path("/tmp")  # noqa: S108  (where grid tools leave a proxy; a file of another user there is refused)


class _Identity(NamedTuple):
    """What a connection is opened with; a file that was written again is another identity."""

    ca_file: str | None
    ca_folder: str | None
    certificate: str | None
    key: str | None
    written: int


class Pool:
    """Connections that the threads of one process share; ``ca`` is the file with the authorities that are trusted."""

    def __init__(self, ca: str | None = None) -> None:
        self._ca = ca
        self._lock = Lock()
        self._open: dict[bool, tuple[_Identity, PoolManager]] = {}
        self._of_parents: list[object] = []
        _POOLS.add(self)

    def forget_connections(self) -> None:
        """Begin anew in a forked child, where two processes would read each other's answers.

        The parent's connections are kept and not touched: their locks may be held by threads that are not here.
        """
        self._of_parents.append(self._open)
        self._lock, self._open = Lock(), {}

    def send(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes = b"",
    ) -> BaseHTTPResponse:
        """Send one request; the answer's body is still to be read.  Reads are redirected, without credentials elsewhere."""
        url = as_https(url)
        home = urlsplit(url).netloc
        for _ in range(_HOPS + 1):
            answer = self._once(method, url, headers, body, known=urlsplit(url).netloc == home)
            target = answer.get_redirect_location()
            if not target or method not in _READS:
                return answer
            answer.close()
            last, url = url, urljoin(url, target)
            if without_query(url) == f"{without_query(last)}/":
                raise absent(last)  # a web server's way to say that it is a folder
        raise refused(last, answer.status, "", writing=False)

    def _once(
        self, method: str, url: str, headers: Mapping[str, str] | None, body: bytes, *, known: bool,
    ) -> BaseHTTPResponse:
        from urllib3.exceptions import HTTPError

        _check_clear(url)
        token = find_token() if known and not is_signed(url) else None
        sent = {**(headers or {}), "Accept-Encoding": "identity", **({"Authorization": f"Bearer {token}"} if token else {})}
        try:
            return self._manager(known=known).request(
                method, url, headers=sent, body=body if method == "PUT" else None, redirect=False, retries=False, preload_content=False,
                decode_content=False,
            )
        except (HTTPError, OSError) as err:
            raise broken(url, err) from err

    def _manager(self, *, known: bool) -> PoolManager:
        wanted = _identity(self._ca, known=known)
        with self._lock:
            identity, manager = self._open.get(known, (None, None))
            if manager is None or identity != wanted:
                manager = _connections(wanted)
                self._open[known] = wanted, manager
            return manager


_POOLS: WeakSet[Pool] = WeakSet()


def _after_fork() -> None:
    for pool in list(_POOLS):
        pool.forget_connections()


os.register_at_fork(after_in_child=_after_fork)


def is_signed(url: str) -> bool:
    """Whether the url itself says who asks; nothing else may then be sent along (S3 refuses two ways at once)."""
    return bool(urlsplit(url).query)


def as_https(url: str) -> str:
    """Url with the scheme that servers know: ``davs`` is what the grid calls WebDAV over https."""
    return f"https{url[4:]}" if url.startswith("davs://") else url


def _connections(identity: _Identity) -> PoolManager:
    from urllib3 import PoolManager, Timeout

    _hush()
    try:
        context = ssl.create_default_context()
        if identity.ca_file or identity.ca_folder:
            context.load_verify_locations(identity.ca_file, identity.ca_folder)
    except (OSError, ssl.SSLError) as err:
        raise InvalidInput(
            f"{identity.ca_file or identity.ca_folder} holds no certificate authorities", Kind.CONFIG_INVALID,
            "set REQUESTS_CA_BUNDLE to a PEM file, or X509_CERT_DIR to a folder of them",
        ) from err
    if identity.certificate:
        try:
            context.load_cert_chain(identity.certificate, identity.key, password=_no_password)
        except (OSError, ssl.SSLError) as err:
            raise Denied(
                f"{identity.certificate} does not hold a certificate and its key", Kind.FORBIDDEN, "make a new proxy: voms-proxy-init",
            ) from err
    return PoolManager(
        num_pools=16, maxsize=_AT_ONCE, timeout=Timeout(connect=_CONNECT_SECONDS, read=_READ_SECONDS), ssl_context=context,
    )


def _no_password() -> str:
    """Fail where a key is encrypted, instead of asking at a terminal that a worker does not have."""
    return ""


def _identity(ca: str | None, *, known: bool) -> _Identity:
    """Look up which authorities are trusted and who we are; to a server that we were sent to, nobody."""
    named = ca or os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE") or os.environ.get("X509_CERT_DIR")
    if named and not Path(named).exists():
        raise InvalidInput(
            f"the certificate authorities {named} do not exist", Kind.CONFIG_INVALID, "check REQUESTS_CA_BUNDLE, SSL_CERT_FILE, X509_CERT_DIR",
        )
    is_folder = named is not None and Path(named).is_dir()
    certificate, key = _certificate() if known else (None, None)
    written = Path(certificate).stat().st_mtime_ns if certificate else 0
    return _Identity(None if is_folder else named or None, named if is_folder else None, certificate, key, written)


def _certificate() -> tuple[str | None, str | None]:
    """Find the client's certificate and key where grid tools do."""
    usual = _PROXIES / f"x509up_u{os.geteuid()}"
    if proxy := os.environ.get("X509_USER_PROXY"):
        return _private(proxy, "X509_USER_PROXY"), None
    certificate, key = os.environ.get("X509_USER_CERT"), os.environ.get("X509_USER_KEY")
    if certificate and key:
        return _private(certificate, "X509_USER_CERT", secret=False), _private(key, "X509_USER_KEY")
    return (_private(str(usual), "the usual place"), None) if usual.exists() else (None, None)


def _private(path: str, named: str, *, secret: bool = True) -> str:
    """Refuse a key that is absent, or that others may read."""
    file = Path(path)
    if not file.is_file():
        raise Denied(f"{path} ({named}) does not exist", Kind.FORBIDDEN, "make a proxy (voms-proxy-init), or unset the variable")
    status = file.stat()
    if secret and (status.st_mode & 0o077 or status.st_uid not in {0, os.geteuid()}):
        raise Denied(f"others may read the key in {path} ({named})", Kind.FORBIDDEN, f"chmod 600 {path}")
    return path


def _check_clear(url: str) -> None:
    """Refuse to send anything in clear, but to this machine."""
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme != "http" or not parts.hostname or not _is_here(parts.hostname):
        raise InvalidInput(
            f"{without_query(url)} is not encrypted", Kind.CONFIG_INVALID, "write https://; http:// is for this machine alone",
        )


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _Hush(logging.Filter):
    """Cuts queries, where signatures are, out of what urllib3 writes at level DEBUG."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(without_query(each) if isinstance(each, str) and "?" in each else each for each in record.args)
        return True


_HUSH = _Hush()


def _hush() -> None:
    for name in ("urllib3.connectionpool", "urllib3.poolmanager", "urllib3.util.retry"):
        logging.getLogger(name).addFilter(_HUSH)
