"""How a store that is far is asked: many things at once, and again where it did not answer.

Every store that the registry opens is wrapped, so that one place decides what is tried again, with growing, jittered
pauses: ``Unavailable`` and nothing else.  A put that is tried again may find its own object there; that Conflict is the caller's to read, as it was.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from lakecv.errors import Kind, Unavailable

if TYPE_CHECKING:
    from lakecv.ports import ObjectInfo, ObjectIO

__all__ = ["PatientObjects", "many", "patiently"]

_T = TypeVar("_T")
_R = TypeVar("_R")
_AT_ONCE = 32  # requests on their way; each waits for a server some ms and costs this machine next to nothing
_ATTEMPTS, _FIRST_SECONDS, _MOST_SECONDS, _GIVE_UP_SECONDS = 4, 0.25, 4.0, 20.0


def many(ask: Callable[[_T], _R], wanted: Sequence[_T]) -> list[_R]:
    """Ask for many things at once; answers in order, the first error ends it."""
    if len(wanted) < 2:  # noqa: PLR2004  (no thread for one)
        return [ask(each) for each in wanted]
    with ThreadPoolExecutor(min(_AT_ONCE, len(wanted))) as pool:
        return list(pool.map(ask, wanted))


class PatientObjects:
    """The objects of a store, each call tried again where the store did not answer."""

    def __init__(self, objects: ObjectIO) -> None:
        self._objects = objects

    @property
    def url(self) -> str:
        """The prefix that the keys lie below."""
        return self._objects.url

    def get(self, key: str) -> bytes:
        """Read a whole object."""
        return patiently(lambda: self._objects.get(key))

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> Sequence[bytes | memoryview]:
        """Read half-open byte ranges."""
        return patiently(lambda: self._objects.get_ranges(key, ranges))

    def put(self, key: str, data: bytes) -> None:
        """Create an object."""
        patiently(lambda: self._objects.put(key, data))

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Objects of a folder, sorted by key."""
        yield from patiently(lambda: [*self._objects.list(prefix)])

    def head(self, key: str) -> ObjectInfo | None:
        """Size of an object."""
        return patiently(lambda: self._objects.head(key))

    def delete(self, key: str) -> None:
        """Remove an object."""
        patiently(lambda: self._objects.delete(key))


def patiently(call: Callable[[], _T], seconds: float | None = None) -> _T:
    """Call again where something did not answer: a few times, or for so many seconds where they are given."""
    try:
        return call()
    except Unavailable as err:
        if not _may_pass(err):
            raise
    return _again(call, seconds)


def _again(call: Callable[[], _T], seconds: float | None) -> _T:
    import stamina  # takes a tenth of a second, which only those pay who need it

    logging.getLogger("stamina").addHandler(logging.NullHandler())  # else every pause is a line on the user's screen
    for attempt in stamina.retry_context(
        on=_may_pass, attempts=_ATTEMPTS - 1 if seconds is None else None, timeout=seconds or _GIVE_UP_SECONDS,
        wait_initial=_FIRST_SECONDS, wait_max=_MOST_SECONDS, wait_jitter=_FIRST_SECONDS,
    ):
        with attempt:
            return call()
    raise Unavailable("the store did not answer")  # not reached: the last attempt raises


def _may_pass(err: Exception) -> bool:
    """Say whether waiting a little may help: somebody who closed a storage element does not open it within a minute."""
    return isinstance(err, Unavailable) and err.kind is not Kind.RSE_UNREACHABLE


if TYPE_CHECKING:

    def _proof(objects: PatientObjects) -> ObjectIO:
        return objects
