"""Whole objects by url over HTTP: WebDAV servers, and S3 by signed urls.

A signed url is written to directly, with ``If-None-Match: *``.  WebDAV servers ignore that header (nginx, XRootD), so
there an object is written beside its name and moved to it with ``Overwrite: F``.  XRootD ignores that one too: of two
writers at the same moment the later wins there, which ``creates_only`` finds out.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from lakecv.errors import Conflict, LakeCVError
from lakecv.patience import many
from lakecv_plugins.storage.names import part_of
from lakecv_plugins.storage.spans import check_end, check_ranges, cut, spans
from lakecv_plugins.storage.web_answers import absent, exists
from lakecv_plugins.storage.web_body import body_of, check_framed, length_of, part_of_answer, refusal, sift, total_of
from lakecv_plugins.storage.web_listing import describe
from lakecv_plugins.storage.web_pool import Pool, as_https, is_signed
from lakecv_plugins.storage.wires import Wire, without_query

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

__all__ = ["WebWire"]

_PAGE = b"<!DOCTYPE html"
_COALESCE_NBYTES = 1 << 20  # a round trip to a server costs about what 1 MiB does
_WHOLE, _PART, _MANY = 200, 206, 207
_DONE, _ABSENT, _NO_MOVE, _NO_RANGE = frozenset({200, 201, 204}), frozenset({404, 410}), frozenset({405, 501}), 416
_NO_PROPFIND = frozenset({400, 403, 405, 501})
_NO_PARENT = frozenset({404, 409})


class WebWire:
    """Objects of any server that speaks HTTP.  Trust and credentials come from the environment, see ``web_pool``."""

    def __init__(self, ca: str | None = None) -> None:
        self._ca = ca
        self.pool = Pool(ca)

    def __reduce__(self) -> tuple[type[WebWire], tuple[str | None]]:
        return type(self), (self._ca,)

    def get(self, url: str) -> bytes:
        """Read a whole object; NotFound (``object-unknown``) where there is none."""
        answer = self._ask("GET", url)
        check_framed(answer, url)
        data = body_of(answer, url)
        self._check_object(url, answer, data[:16])
        return data

    def get_ranges(self, url: str, ranges: Sequence[tuple[int, int]]) -> Sequence[bytes | memoryview]:
        """Read half-open byte ranges; Corrupt (``short-read``) where the object ends before one does."""
        check_ranges(without_query(url), ranges)
        if not ranges:
            return []
        wanted = spans(ranges, _COALESCE_NBYTES)
        if not wanted or max(stop for _, stop in ranges) > wanted[-1][1]:  # an empty range may lie behind the end too
            nbytes = self.head(url)
            if nbytes is None:
                raise absent(url)
            check_end(without_query(url), nbytes, max(stop for _, stop in ranges))
        views = self._read(url, wanted)
        return [cut(views, wanted, *each) if each[0] < each[1] else memoryview(b"") for each in ranges]

    def put(self, url: str, data: bytes) -> None:
        """Create an object, all of it or nothing; Conflict (``output-exists``) where there is one already."""
        if is_signed(url):
            self._upload(url, data)
            return
        if self.head(url) is not None:
            raise exists(url)
        part = part_of(url)
        try:
            self._upload(part, data)
            if self._move(part, url):
                return
        except LakeCVError:
            self._forget(part)
            raise
        self._forget(part)
        self._upload(url, data)  # a server that cannot move: whole and create-only as far as it heeds the header

    def head(self, url: str) -> int | None:
        """Bytes of an object, None where there is none."""
        if is_signed(url):
            return self._head_signed(url)
        answer = self.pool.send("PROPFIND", url, headers={"Depth": "0"})
        said = body_of(answer, url)
        if answer.status == _MANY:
            entry = next(iter(describe(said, url)), None)
            return None if entry is None or entry.is_folder else entry.nbytes
        if answer.status not in _NO_PROPFIND:
            return _none(url, answer, said)
        answer = self.pool.send("HEAD", url)
        return length_of(answer) if answer.status == _WHOLE else _none(url, answer, said)

    def delete(self, url: str) -> None:
        """Remove an object; nothing happens where there is none, or a folder."""
        answer = self.pool.send("DELETE", url)
        said = body_of(answer, url)
        if answer.status not in _DONE | _ABSENT | {202, 409}:
            raise refusal(url, answer, said, writing=True)

    def creates_only(self, folder: str) -> bool:
        """Try whether the server refuses to move one object onto another; what is tried with is removed."""
        first, second = part_of(f"{folder}/lakecv-probe"), part_of(f"{folder}/lakecv-probe")
        try:
            self._upload(first, b"1")
            self._upload(second, b"2")
            self._move(second, first)
        except Conflict:
            return True
        else:
            return False
        finally:
            self._forget(first)
            self._forget(second)

    def _read(self, url: str, wanted: Sequence[tuple[int, int]]) -> list[memoryview]:
        """Read spans: the first shows whether the server knows ranges; one that does not sends all in one go."""
        if not wanted:
            return []
        answer = self._ask_range(url, *wanted[0])
        if answer.status == _WHOLE:
            self._check_object(url, answer)
            return sift(answer, url, wanted)
        first = memoryview(part_of_answer(answer, url, *wanted[0]))
        return [first, *many(lambda span: memoryview(self._read_one(url, *span)), wanted[1:])]

    def _read_one(self, url: str, start: int, stop: int) -> bytes | memoryview:
        answer = self._ask_range(url, start, stop)
        return sift(answer, url, [(start, stop)])[0] if answer.status == _WHOLE else part_of_answer(answer, url, start, stop)

    def _ask_range(self, url: str, start: int, stop: int) -> BaseHTTPResponse:
        return self._ask("GET", url, {"Range": f"bytes={start}-{stop - 1}"})

    def _ask(self, method: str, url: str, headers: dict[str, str] | None = None) -> BaseHTTPResponse:
        answer = self.pool.send(method, url, headers=headers)
        if answer.status not in {_WHOLE, _PART}:
            raise refusal(url, answer, body_of(answer, url))
        return answer

    def _check_object(self, url: str, answer: BaseHTTPResponse, begin: bytes = _PAGE) -> None:
        """Notice a folder: XrdHttp shows it as a page, under a name without a slash at its end, and without ranges."""
        is_page = answer.headers.get("Server", "").startswith("XrootD") and begin.startswith(_PAGE)
        if is_page and not is_signed(url) and self.head(url) is None:
            answer.close()
            raise absent(url)

    def _head_signed(self, url: str) -> int | None:
        """Ask for one byte: what is signed for GET is not for HEAD."""
        answer = self.pool.send("GET", url, headers={"Range": "bytes=0-0"})
        if answer.status in {_WHOLE, _PART, _NO_RANGE}:
            total = length_of(answer) if answer.status == _WHOLE else total_of(answer)
            answer.close() if answer.status == _WHOLE else answer.drain_conn()
            return total or 0
        return _none(url, answer, body_of(answer, url))

    def _upload(self, url: str, data: bytes) -> None:
        """Write where nothing is; a folder that is missing is made."""
        for last in (False, True):
            answer = self.pool.send("PUT", url, headers={"If-None-Match": "*"}, body=data)
            said = body_of(answer, url)
            if answer.status in _DONE:
                return
            if last or is_signed(url) or answer.status not in _NO_PARENT or not self._make_folder(url):
                raise refusal(url, answer, said, writing=True)

    def _make_folder(self, url: str) -> bool:
        """Make the folder that an object lies in, from the first one that is missing; says whether there is hope."""
        folder = url.rpartition("/")[0]
        if not urlsplit(folder).path:
            return False
        answer = self.pool.send("MKCOL", f"{folder}/")
        body_of(answer, folder)
        if answer.status in _NO_PARENT and self._make_folder(folder):
            answer = self.pool.send("MKCOL", f"{folder}/")
            body_of(answer, folder)
        return answer.status in _DONE | {405}  # 405: it is there, somebody was faster

    def _move(self, part: str, url: str) -> bool:
        """Move a part to its name where that is free; False where the server knows no MOVE."""
        answer = self.pool.send("MOVE", part, headers={"Destination": as_https(url), "Overwrite": "F"})
        said = body_of(answer, url)
        if answer.status not in _DONE | _NO_MOVE:
            raise refusal(url, answer, said, writing=True)
        return answer.status in _DONE

    def _forget(self, part: str) -> None:
        """Remove a part that was not moved; where that fails, it stays hidden."""
        with suppress(LakeCVError):
            self.delete(part)


def _none(url: str, answer: BaseHTTPResponse, said: bytes) -> int | None:
    """Translate an answer that is not about an object: None where there is none."""
    if answer.status not in _ABSENT:
        raise refusal(url, answer, said)
    return None


if TYPE_CHECKING:
    _: Wire = WebWire()
