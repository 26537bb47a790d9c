"""What an S3 server means when it refuses: its error codes, as lakecv's errors.

obstore puts the server's answer into the text of its exceptions; the code in it tells a wrong key from a wrong region
from a clock that is off, which the HTTP status does not.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from lakecv.errors import Corrupt, Denied, InvalidInput, Kind, LakeCVError, NotFound, Unavailable

__all__ = ["explain"]

_CODE = re.compile(r"<Code>([A-Za-z0-9]+)</Code>")
_STATUS = re.compile(r"non-2xx status code: ([1-5][0-9]{2})")
_REGION = re.compile(r"(?:<Region>|expecting ')([A-Za-z0-9-]+)")
_CAUSES = ("Connection refused", "failed to lookup address", "certificate", "InvalidContentType", "operation timed out", "TimedOut")
_SAID = {"InvalidContentType": "it does not speak https", "TimedOut": "no answer in time", "operation timed out": "no answer in time"}
_REFUSED, _LAST_REFUSED, _AGAIN = 400, 499, {408, 409, 425, 429}


class _Meaning(NamedTuple):
    """What some codes mean; ``{where}`` is the object, ``{server}`` the server, ``{verb}`` what was tried, ``{answer}`` the code."""

    codes: frozenset[str]
    error: type[LakeCVError]
    kind: Kind
    text: str
    hint: str


def _meaning(codes: str, error: type[LakeCVError], kind: Kind, text: str, hint: str) -> _Meaning:
    return _Meaning(frozenset(codes.split()), error, kind, text, hint)


_MEANINGS = (
    _meaning("NoSuchBucket", NotFound, Kind.PATH_UNKNOWN, "there is no bucket for {where} at {server}",
             "check the bucket's name and the endpoint (AWS_ENDPOINT_URL)"),
    _meaning("InvalidAccessKeyId", Denied, Kind.FORBIDDEN, "{server} does not know the access key",
             "check AWS_ACCESS_KEY_ID, or the profile"),
    _meaning("SignatureDoesNotMatch", Denied, Kind.FORBIDDEN, "{server} says that the secret key is wrong",
             "check AWS_SECRET_ACCESS_KEY, or the profile"),
    _meaning("RequestTimeTooSkewed", Denied, Kind.CLOCK_SKEW, "the clocks of this machine and of {server} differ too much",
             "set this machine's clock: timedatectl set-ntp true"),
    _meaning("ExpiredToken TokenRefreshRequired InvalidToken", Denied, Kind.TOKEN_EXPIRED,
             "the token for {server} has expired or is not valid", "get a new one, then lakecv resume"),
    _meaning("QuotaExceeded InsufficientStorage EntityTooLarge ServiceQuotaExceededException 507", Denied, Kind.STORE_FULL,
             "{where} does not fit at {server} ({answer})", "free some space or raise the quota, then lakecv resume"),
    _meaning("AuthorizationHeaderMalformed PermanentRedirect TemporaryRedirect IllegalLocationConstraintException 301", InvalidInput,
             Kind.CONFIG_INVALID, "{where} is not in this region of {server}", "set AWS_REGION to {region}"),
    _meaning("InvalidBucketName KeyTooLongError InvalidURI", InvalidInput, Kind.PATH_MALFORMED,
             "{server} does not take the name of {where} ({answer})", "choose another name"),
    _meaning("AccessDenied AllAccessDisabled AccountProblem 401 403 405", Denied, Kind.FORBIDDEN,
             "{where} may not be {verb} at {server}", "check whose bucket it is, and what these keys may do"),
    _meaning("InvalidRange 416", Corrupt, Kind.SHORT_READ, "{where} ends before the bytes that were expected",
             "lakecv verify lists every damaged object"),
)
_NO_S3 = _meaning("", InvalidInput, Kind.CONFIG_INVALID, "{server} answers {answer} for {where}; an S3 server was expected",
                  "check AWS_ENDPOINT_URL and AWS_REGION")
_NO_LIST = _meaning("", InvalidInput, Kind.CONFIG_INVALID, "{server} does not speak S3", "check AWS_ENDPOINT_URL")
_NO_ANSWER = _meaning("", Unavailable, Kind.STORE_UNREACHABLE, "{where} cannot be reached at {server}: {answer}",
                      "check AWS_ENDPOINT_URL, or try again later")


def explain(text: str, where: str, server: str, *, writing: bool) -> LakeCVError:
    """Translate the text of an obstore exception.

    Parameters
    ----------
    text : str
        What the exception says, with the server's answer in it.
    where : str
        The object, for the message.
    server : str
        The server, for the message.
    writing : bool
        Whether something was to be written.
    """
    code, status = _first(_CODE, text), _first(_STATUS, text)
    found = next((each for each in _MEANINGS if each.codes & {code, status}), None) or _unknown(text, status)
    facts = {
        "where": where, "server": server, "verb": "written" if writing else "read", "answer": f"{status} {code}".strip() or _cause(text),
        "region": _first(_REGION, text) or "the bucket's region",
    }
    return found.error(found.text.format(**facts), found.kind, found.hint.format(**facts))


def _first(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    return match[1] if match else ""


def _unknown(text: str, status: str) -> _Meaning:
    """Judge an answer without a code that says more: refused for good, no S3 at all, or to be tried again."""
    if status and _REFUSED <= int(status) <= _LAST_REFUSED and int(status) not in _AGAIN:
        return _NO_S3
    return _NO_LIST if "invalid list response" in text else _NO_ANSWER


def _cause(text: str) -> str:
    """Say in a few words why there was no answer."""
    known = next((cause for cause in _CAUSES if cause in text), "")
    return _SAID.get(known, known.lower()) or text.split("\n", 1)[0].rsplit(" - ", 1)[-1]
