"""What Rucio means when it refuses: its exceptions, as lakecv's errors, each with its own cause and what to do.

The client raises what the server named; a server that does not answer at all raises what ``requests`` raises.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from lakecv.errors import Conflict, Denied, Infeasible, InvalidInput, Kind, LakeCVError, NotFound, Unavailable

__all__ = ["explain"]

_DETAILS = re.compile(r".*?Details: ", re.DOTALL)
_STATUS = re.compile(r"http status code: (\d{3})")
_EXPIRED = re.compile(r"expired|token.*invalid|invalid.*token|cannot validate|cannot get an auth token", re.IGNORECASE)
_SERVER_ERROR, _AGAIN = "5", {"429", "408"}


class _Meaning(NamedTuple):
    """What some exceptions mean; ``{doing}`` is what was tried, ``{said}`` what the server said."""

    names: frozenset[str]
    error: type[LakeCVError]
    kind: Kind
    text: str
    hint: str


def _meaning(names: str, error: type[LakeCVError], kind: Kind, text: str, hint: str) -> _Meaning:
    return _Meaning(frozenset(names.split()), error, kind, text, hint)


_MEANINGS = (
    _meaning("DataIdentifierNotFound", NotFound, Kind.DATASET_UNKNOWN, "{doing}: Rucio does not know the DID", "lakecv ls"),
    _meaning("ScopeNotFound", NotFound, Kind.SCOPE_UNKNOWN, "{doing}: Rucio does not know the scope",
             "rucio scope list shows which there are; those who run Rucio make new ones"),
    _meaning("RSENotFound InvalidRSEExpression InsufficientTargetRSEs", NotFound, Kind.RSE_UNKNOWN,
             "{doing}: {said}", "rucio rse list shows the storage elements"),
    _meaning("DataIdentifierAlreadyExists", Conflict, Kind.DID_MEANS_SOMETHING_ELSE, "{doing}: the name is taken",
             "choose another name; Rucio never gives a name twice"),
    _meaning("InsufficientAccountLimit RSEOverQuota FullStorage", Denied, Kind.QUOTA_EXCEEDED, "{doing}: your quota does not suffice",
             "rucio account limit list ACCOUNT shows what is left; use another storage element or ask for more"),
    _meaning("AccessDenied ScopeAccessDenied RSEAccessDenied RuleReplaceFailed ManualRuleApprovalBlocked", Denied, Kind.FORBIDDEN,
             "{doing}: Rucio does not let you", "rucio whoami shows who you are; your own scope is user.<account>"),
    _meaning("CannotAuthenticate CannotAuthorize NoAuthInformation IdentityError IdentityNotFound", Denied, Kind.FORBIDDEN,
             "Rucio does not accept who you are: {said}", "check auth_type and the credentials in rucio.cfg: rucio whoami"),
    _meaning("ConfigNotFound", InvalidInput, Kind.CONFIG_INVALID, "there is no rucio.cfg that Rucio can find",
             "write it to $RUCIO_HOME/etc/rucio.cfg; rucio whoami has to work first"),
    _meaning("MissingClientParameter ConfigLoadingError NoSectionError NoOptionError", InvalidInput, Kind.CONFIG_INVALID,
             "Rucio's own configuration is missing or incomplete: {said}", "write rucio.cfg and set RUCIO_HOME; rucio whoami has to work first"),
    _meaning("ClientProtocolNotFound ClientProtocolNotSupported MissingSchema InvalidURL InvalidSchema", InvalidInput, Kind.CONFIG_INVALID,
             "rucio_host or auth_host is no url: {said}", "write it as https://host:port in rucio.cfg"),
    _meaning("SSLError", InvalidInput, Kind.CONFIG_INVALID, "the certificate of the Rucio server is not trusted",
             "set ca_cert in rucio.cfg, or X509_CERT_DIR"),
    _meaning("OSError FileNotFoundError PermissionError", InvalidInput, Kind.CONFIG_INVALID, "a file that Rucio's configuration names cannot be used: {said}",
             "correct ca_cert, client_cert or client_key in rucio.cfg"),
    _meaning("RSEProtocolNotSupported RSEProtocolDomainNotSupported RSEOperationNotSupported MissingDependency", Infeasible,
             Kind.PROTOCOL_UNKNOWN, "{doing}: the storage element permits no protocol for that", "use another storage element"),
    _meaning("RSEWriteBlocked ResourceTemporaryUnavailable RSENotConnected", Unavailable, Kind.RSE_UNREACHABLE,
             "{doing}: the storage element is closed now", "try again later, or use another storage element"),
    _meaning("ServiceUnavailable DatabaseException ServerConnectionException ConnectionError ConnectTimeout ReadTimeout Timeout "
             "ChunkedEncodingError ReplicationRuleCreationTemporaryFailed ProtocolError", Unavailable, Kind.CATALOG_TIMEOUT,
             "Rucio does not answer ({doing})", "check rucio_host in rucio.cfg, or try again later"),
    _meaning("InvalidObject InputValidationError InvalidMetadata InvalidValueForKey InvalidType InvalidPath UnsupportedOperation "
             "KeyNotFound", InvalidInput, Kind.OPTION_INVALID, "{doing}: Rucio refuses it: {said}", "choose another name or value"),
)  # fmt: skip
_OTHER = _meaning("", Unavailable, Kind.CATALOG_TIMEOUT, "{doing}: Rucio failed: {said}", "try again later, or ask who runs it")
_REFUSED = _meaning("", Denied, Kind.FORBIDDEN, "{doing}: Rucio refuses: {said}", "ask who runs it")
_LATE = _meaning("", Denied, Kind.TOKEN_EXPIRED, "your token for Rucio has expired or is not valid: {said}",
                 "get a new one, then type the same command again")  # fmt: skip


def explain(err: Exception, doing: str) -> LakeCVError:
    """Translate an exception of the client.

    Parameters
    ----------
    err : Exception
        As raised.
    doing : str
        What was tried, for the message, such as ``register user.ada:tavola``.
    """
    name, said = type(err).__name__, _said(err)
    found = next((each for each in _MEANINGS if name in each.names), None) or _unknown(said)
    if found.error is Denied and found.kind is Kind.FORBIDDEN and _EXPIRED.search(said):
        found = _LATE
    return found.error(found.text.format(doing=doing, said=said), found.kind, found.hint)


def _unknown(said: str) -> _Meaning:
    status = _STATUS.search(said)
    refused = status is not None and not status[1].startswith(_SERVER_ERROR) and status[1] not in _AGAIN
    return _REFUSED if refused else _OTHER


def _said(err: Exception) -> str:
    """First line of what the server said, without the client's own preamble."""
    lines = _DETAILS.sub("", str(err), count=1).strip().splitlines()
    return lines[0][:200] if lines else type(err).__name__
