"""Bytes of a web server's answers: all that was promised, or an error."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

from lakecv.errors import Corrupt, InvalidInput, Kind, LakeCVError, Unavailable
from lakecv_plugins.storage.spans import check_end
from lakecv_plugins.storage.web_answers import broken, refused
from lakecv_plugins.storage.wires import without_query

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

__all__ = ["address", "body_of", "check_framed", "length_of", "part_of_answer", "refusal", "sift", "total_of"]

_SKIP_NBYTES = 1 << 20
_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


def address(url: str, key: str) -> str:
    """Url of a key below a url."""
    return f"{url}/{quote(key, safe='/-._~')}"


def check_framed(answer: BaseHTTPResponse, url: str) -> None:
    """Refuse a body whose end is the connection's: one that broke would look whole."""
    if not answer.headers.get("Content-Length") and "chunked" not in answer.headers.get("Transfer-Encoding", ""):
        answer.close()
        raise InvalidInput(
            f"the server does not say how long {without_query(url)} is", Kind.CONFIG_INVALID, "use another replica",
        )


def body_of(answer: BaseHTTPResponse, url: str) -> bytes:
    """Read what is left of an answer; less than it promised is Unavailable."""
    return _guarded(answer.read, url)


def part_of_answer(answer: BaseHTTPResponse, url: str, start: int, stop: int) -> bytes:
    """Read the range that was asked for; XrdHttp promises bytes behind the end, and never sends them."""
    name, match = without_query(url), _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    total = total_of(answer)
    if total is not None and total < stop:
        answer.close()
        check_end(name, total, stop)
    if match is None or match[1] is None or int(match[1]) != start:
        answer.close()
        raise InvalidInput(f"the server sends other bytes of {name} than were asked for", Kind.CONFIG_INVALID, "use another replica")
    data = body_of(answer, url)
    if len(data) > stop - start:
        raise Corrupt(f"the server sends {len(data)} bytes of {name} for {stop - start}", Kind.SHORT_READ, "use another replica")
    check_end(name, start + len(data), stop)
    return data


def sift(answer: BaseHTTPResponse, url: str, wanted: Sequence[tuple[int, int]]) -> list[memoryview]:
    """Take spans out of a whole object as it passes, and hang up after the last."""
    views, at = [], 0
    try:
        for start, stop in wanted:
            for nbytes in _pieces(start - at):
                at += len(_read_all(answer, url, nbytes))
            data = _read_all(answer, url, stop - start)
            check_end(without_query(url), at + len(data), stop)
            at = stop
            views.append(memoryview(data))
    finally:
        answer.close()
    return views


def total_of(answer: BaseHTTPResponse) -> int | None:
    """Bytes of the whole object of which the answer has a part, None where it does not say."""
    match = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    return int(match[3]) if match and match[3] != "*" else None


def length_of(answer: BaseHTTPResponse) -> int:
    """Bytes of the object that the answer is about."""
    length = answer.headers.get("Content-Length", "")
    if not length.isdecimal():
        raise Unavailable("the server does not say how long an object is", Kind.STORE_UNREACHABLE, "use another replica")
    return int(length)


def refusal(url: str, answer: BaseHTTPResponse, said: bytes, *, writing: bool = False) -> LakeCVError:
    """Translate an answer whose body was read."""
    text = said[:4096].decode("utf-8", "replace") + " " + answer.headers.get("WWW-Authenticate", "")
    return refused(url, answer.status, text, writing=writing)


def _guarded(read: Callable[[], bytes], url: str) -> bytes:
    from urllib3.exceptions import HTTPError

    try:
        return read()
    except (HTTPError, OSError) as err:
        raise broken(url, err) from err


def _read_all(answer: BaseHTTPResponse, url: str, nbytes: int) -> bytes:
    """Read so many bytes, fewer at the end of the body alone."""
    read = bytearray()
    while len(read) < nbytes:
        left = nbytes - len(read)
        data = _guarded(lambda left=left: answer.read(left), url)  # type: ignore[misc]  # (a lambda's default has no type)
        if not data:
            break
        read += data
    return bytes(read)


def _pieces(nbytes: int) -> Iterator[int]:
    for at in range(0, nbytes, _SKIP_NBYTES):
        yield min(_SKIP_NBYTES, nbytes - at)
