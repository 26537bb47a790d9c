"""What a web server means when it refuses: statuses and bodies of WebDAV and signed S3 urls, as lakecv's errors.

One table says it; a row is taken where the status is one of its, and its words are in the answer.
"""

from __future__ import annotations

import re
import time
from calendar import timegm
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

from lakecv.errors import Conflict, Corrupt, Denied, InvalidInput, Kind, LakeCVError, NotFound, Unavailable
from lakecv_plugins.storage.wires import without_query

__all__ = ["absent", "broken", "exists", "refused"]

_CREDENTIALS = "check the token (BEARER_TOKEN_FILE) or the proxy (X509_USER_PROXY)"
_ANY = range(100, 600)


class _Meaning(NamedTuple):
    """What some statuses mean; ``{where}`` is the object, ``{server}`` the server, ``{verb}`` what was tried."""

    statuses: frozenset[int] | range
    words: str
    error: type[LakeCVError]
    kind: Kind
    text: str
    hint: str


def _meaning(statuses: str, *rest: *tuple[str, type[LakeCVError], Kind, str, str]) -> _Meaning:
    return _Meaning(frozenset(map(int, statuses.split())), *rest)


_MEANINGS = (
    _meaning("400 403", "signed url has expired|Request has expired|ExpiredToken", Denied, Kind.TOKEN_EXPIRED,
             "the signed url of {where} has expired", "ask for it again; if it comes back, check this machine's clock"),
    _meaning("400 403", "RequestTimeTooSkewed", Denied, Kind.CLOCK_SKEW,
             "the clocks of this machine and of {server} differ too much", "set this machine's clock: timedatectl set-ntp true"),
    _meaning("403 413", "QuotaExceeded|[Qq]uota", Denied, Kind.STORE_FULL,
             "{where} does not fit at {server} ({answer})", "free some space or raise the quota, then lakecv resume"),
    _meaning("400 403", "SignatureDoesNotMatch|InvalidAccessKeyId", Denied, Kind.FORBIDDEN,
             "{server} does not accept the signature of the url of {where}", "tell who signed it: the keys of the server may have changed"),
    _meaning("401", "expired", Denied, Kind.TOKEN_EXPIRED,
             "{server} says that the token is too old for {where}", "get a new one, then lakecv resume"),
    _meaning("401", "", Denied, Kind.FORBIDDEN, "{server} wants to know who asks for {where}", _CREDENTIALS),
    _meaning("403", "", Denied, Kind.FORBIDDEN, "{where} may not be {verb}", _CREDENTIALS),
    _meaning("405", "", Denied, Kind.FORBIDDEN, "{server} does not let {where} be {verb}", "use another replica or another lake"),
    _meaning("404 410", "", NotFound, Kind.OBJECT_UNKNOWN, "there is no object {where}", "check the name, or whether the data was moved"),
    _meaning("409 412", "", Conflict, Kind.OUTPUT_EXISTS,
             "{where} exists already; objects are never overwritten", "write under another name, or delete it first"),
    _meaning("413 507", "", Denied, Kind.STORE_FULL,
             "{where} does not fit at {server} ({answer})", "free some space or raise the quota, then lakecv resume"),
    _meaning("416", "", Corrupt, Kind.SHORT_READ, "{where} ends before the bytes that were expected",
             "the copy is damaged: use another replica or register the source again"),
    _meaning("301 302 303 307 308", "", InvalidInput, Kind.CONFIG_INVALID,
             "{server} sends {where} to another address, which is followed for reads only, and three times", "name that address"),
    _meaning("408 425 429 500 502 503 504", "", Unavailable, Kind.STORE_UNREACHABLE,
             "{where} cannot be reached: the server answers {answer}", "try again later, or use another replica"),
    _Meaning(range(500, 600), "", InvalidInput, Kind.CONFIG_INVALID,
             "{server} cannot do what is needed for {where} ({answer})", "name a WebDAV server, or use another replica"),
    _Meaning(_ANY, "", InvalidInput, Kind.CONFIG_INVALID,
             "{server} answers {answer} for {where}; a WebDAV or S3 server was expected", "check the address"),
)  # fmt: skip
_BREAKS = (
    ("CERTIFICATE_VERIFY_FAILED", InvalidInput, Kind.CONFIG_INVALID,
     "the certificate of {server} is not trusted ({cause})", "set REQUESTS_CA_BUNDLE (a file) or X509_CERT_DIR (a folder) to its authority"),
    ("WRONG_VERSION_NUMBER|HTTP_REQUEST|UNKNOWN_PROTOCOL|RECORD_LAYER", InvalidInput, Kind.CONFIG_INVALID,
     "{server} does not speak https", "check the port"),
    ("ALERT_CERTIFICATE_EXPIRED", Denied, Kind.TOKEN_EXPIRED,
     "{server} says that the client's certificate is too old", "get a new proxy (voms-proxy-init), then lakecv resume"),
    ("ALERT_(?!INTERNAL|CLOSE|USER)|CERTIFICATE_REQUIRED", Denied, Kind.FORBIDDEN,
     "{server} does not accept the client's certificate, or wants one ({cause})", "check X509_USER_PROXY, or X509_USER_CERT and X509_USER_KEY"),
)  # fmt: skip
_REASON = re.compile(r".*verify failed: ([^(]+?) \(|.*?\] ([a-z0-9 /]+)", re.DOTALL)


def refused(url: str, status: int, said: str, *, writing: bool) -> LakeCVError:
    """Translate an answer; ``said`` is its first bytes and its ``WWW-Authenticate``."""
    if _is_over(url):
        said += " signed url has expired"
    found = next(each for each in _MEANINGS if status in each.statuses and re.search(each.words, said))
    facts = {"where": without_query(url), "server": _server(url), "verb": "written" if writing else "read", "answer": status}
    return found.error(found.text.format(**facts), found.kind, found.hint)


def broken(url: str, err: Exception) -> LakeCVError:
    """Translate what went wrong on the way; only what may pass is Unavailable."""
    text = str(err)
    for words, error, kind, message, hint in _BREAKS:
        if re.search(words, text):
            return error(message.format(server=_server(url), cause=_cause(text)), kind, hint)
    return Unavailable(
        f"{without_query(url)} cannot be reached: {_cause(text)}", Kind.STORE_UNREACHABLE, "try again later, or use another replica",
    )


def absent(url: str) -> LakeCVError:
    """Say that there is no object, whatever the server has under the name."""
    return refused(without_query(url), 404, "", writing=False)


def exists(url: str) -> LakeCVError:
    """Say that there is an object already."""
    return refused(without_query(url), 412, "", writing=True)


def _is_over(url: str) -> bool:
    """Whether the time of a signed url has passed: Ceph refuses it without a word."""
    query = parse_qs(urlsplit(url).query)
    try:
        begin = timegm(time.strptime(query["X-Amz-Date"][0], "%Y%m%dT%H%M%SZ"))
        return time.time() > begin + int(query["X-Amz-Expires"][0])
    except (KeyError, ValueError):
        return False


def _server(url: str) -> str:
    parts = urlsplit(without_query(url))
    return f"{parts.scheme}://{parts.netloc}"


def _cause(text: str) -> str:
    """Say in a few words why there was no answer."""
    for words, cause in (("refused", "connection refused"), ("resolve|Name or service", "its name is not known"),
                         ("[Tt]imed out", "no answer in time"), ("IncompleteRead|aborted|reset", "the connection broke")):  # fmt: skip
        if re.search(words, text):
            return cause
    match = _REASON.match(text)
    return (match[1] or match[2]) if match else "the connection broke"
