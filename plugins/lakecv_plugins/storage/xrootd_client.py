"""The XRootD client of this process, and what its answers mean, as lakecv's errors.

Its own patience is that of a batch job (half an hour); ``lakecv.patience`` decides here, so it is told to answer soon.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

from lakecv.errors import Conflict, Corrupt, Denied, InvalidInput, Kind, LakeCVError, NotFound, PluginError, Unavailable
from lakecv_plugins.storage.wires import without_query

__all__ = ["EXISTS", "NOT_FOUND", "SECONDS", "Place", "answer", "client", "exists", "place_of"]

SECONDS = 30  # of each request; the transfer of a shard is many requests
EXISTS, NOT_FOUND = 3018, 3011
_FILE_SYSTEM, _ERROR_RESPONSE = 3005, 400
_SETTINGS = {
    "TimeoutResolution": 1, "ConnectionWindow": 10, "ConnectionRetry": 1, "StreamErrorWindow": 1, "StreamTimeout": SECONDS, "RequestTimeout": SECONDS,
}
_CREDENTIALS = "check the token (BEARER_TOKEN_FILE) or the proxy (X509_USER_PROXY)"


class Place(NamedTuple):
    """A url as the client wants it: the server, the path with what is asked of it, and the url as it may be shown."""

    server: str
    path: str
    shown: str


class _Meaning(NamedTuple):
    """What some codes mean; ``{where}`` is the object, ``{verb}`` what was tried, ``{said}`` the server's words."""

    codes: frozenset[int]
    error: type[LakeCVError]
    kind: Kind
    text: str
    hint: str


def _meaning(codes: str, *rest: *tuple[type[LakeCVError], Kind, str, str]) -> _Meaning:
    return _Meaning(frozenset(map(int, codes.split())), *rest)


_MEANINGS = (  # 3000..3035 are the server's (XProtocol.hh, XErrorCode), the others the client's (XrdClStatus.hh)
    _meaning("3011 3015 3016 3029 304", NotFound, Kind.OBJECT_UNKNOWN, "there is no object {where}",
             "check the name, or whether the data was moved"),
    _meaning("3018", Conflict, Kind.OUTPUT_EXISTS, "{where} exists already; objects are never overwritten",
             "write under another name, or delete it first"),
    _meaning("3010 3025 3030 203 204", Denied, Kind.FORBIDDEN, "{where} may not be {verb}: {said}", _CREDENTIALS),
    _meaning("3009 3021", Denied, Kind.STORE_FULL, "{where} does not fit: {said}", "free some space or raise the quota, then lakecv resume"),
    _meaning("3019 305", Corrupt, Kind.CHECKSUM_MISMATCH, "{where} came with a wrong checksum", "use another replica"),
    _meaning("3028 110", InvalidInput, Kind.CONFIG_INVALID, "the server of {where} cannot be trusted, or wants TLS: {said}",
             "write roots://, and set X509_CERT_DIR to the folder of its certificate authority"),
    _meaning("3000 3001 3002 3006 3013 3031 3032", InvalidInput, Kind.CONFIG_INVALID, "the server cannot do what is needed for {where}: {said}",
             "check the address, or use another replica"),
)  # fmt: skip
_NO_ANSWER = _meaning("", Unavailable, Kind.STORE_UNREACHABLE, "{where} cannot be reached: {said}", "try again later, or use another replica")
_BELOW = _meaning("", Conflict, Kind.OUTPUT_EXISTS, "{where} would lie below another object", "write under another name")


@cache
def client() -> Any:
    """Import the client, and set how long it waits where the user's environment (XRD_...) does not."""
    try:
        module: Any = import_module("XRootD.client")
    except ImportError as err:
        raise PluginError(
            f"root:// needs the XRootD client: {err}", Kind.MISSING_EXTRA, "python -m pip install 'lakecv[xrootd]'",
        ) from err
    for name, value in _SETTINGS.items():
        module.EnvPutInt(name, value)
    return module


def place_of(url: str) -> Place:
    """Cut a url into server and path."""
    base, mark, query = url.partition("?")
    scheme, _, rest = base.partition("://")
    host, _, path = rest.partition("/")
    return Place(f"{scheme}://{host}/", f"/{path.lstrip('/')}{mark}{query}", without_query(url))


def answer(status: Any, where: str, *, writing: bool = False) -> None:
    """Raise what an answer means; nothing where it is a success."""
    if status.ok:
        return
    code, said = int(status.errno if status.code == _ERROR_RESPONSE else status.code), _words(str(status.message))
    found = next((each for each in _MEANINGS if code in each.codes), _NO_ANSWER)
    if code == _FILE_SYSTEM and "not a directory" in said:
        found = _BELOW if writing else _MEANINGS[0]
    facts = {"where": where, "verb": "written" if writing else "read", "said": said}
    raise found.error(found.text.format(**facts), found.kind, found.hint)


def exists(where: str) -> Conflict:
    """Say that there is an object already."""
    found = next(each for each in _MEANINGS if EXISTS in each.codes)
    return Conflict(found.text.format(where=where), found.kind, found.hint)


def _words(message: str) -> str:
    """Keep what is said of the cause, and no path: opaque data is part of it."""
    text = message.strip().partition("] ")[2].rpartition("[")[2].partition("] ")
    words = (text[2] or text[0]).strip().lower()
    return words.rpartition("; ")[2] if "; " in words else words.partition(" /")[0].partition(" '")[0]
