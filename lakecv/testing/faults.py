"""A proxy that breaks connections on purpose, in front of any HTTP/1.1 server such as an S3 store.

What a network does to a program once a month it does here on request, seeded and counted, so that "never a wrong number"
and "no false conflict" are tests and not hopes.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random
from threading import Event, Lock, Thread
from typing import Literal, Self
from urllib.parse import urlsplit

from lakecv.errors import InvalidInput, Kind
from lakecv.testing.fault_http import Wire
from lakecv.testing.fault_relay import Fate, Ledger, Relay, Traffic

__all__ = ["FaultKind", "FaultProxy", "Faults", "Traffic"]

FaultKind = Literal["reset", "fin", "unavailable", "flip", "stall", "short", "lost_reply"]

_OF_REQUESTS = ("unavailable", "lost_reply", "short")
_OF_SEGMENTS = ("reset", "fin", "stall", "flip")


@dataclass(frozen=True, slots=True)
class Faults:
    """Chances of faults, from 0 to 1.

    Per request: ``unavailable`` (503 SlowDown; the server never hears of it), ``lost_reply`` (the server did it to the
    end, the client gets a reset), ``short`` (a smaller Content-Length and as many bytes: to HTTP a perfect reply).
    Per 64 KiB of a reply's body, a reply without one counting once: ``reset`` (RST), ``fin`` (closed too early),
    ``stall`` (silence until the client gives up), ``flip`` (one bit of the body is another).
    ``only`` says by method and path (with its query, as it was sent) which requests can be hit; None = all.
    """

    reset: float = 0.0
    fin: float = 0.0
    unavailable: float = 0.0
    flip: float = 0.0
    stall: float = 0.0
    short: float = 0.0
    lost_reply: float = 0.0
    only: Callable[[str, str], bool] | None = None


@dataclass(slots=True)
class _Script:
    """A fault that waits for a request."""

    kind: FaultKind
    method: str
    pattern: re.Pattern[str]
    left: int = field(default=1)


class FaultProxy:
    """A proxy on a free port of 127.0.0.1, in a thread of its own, for as long as its ``with`` block.

    The n-th request since the start draws from a generator seeded with (``seed``, n): the same sequence of requests meets
    the same faults, whatever the timing.

    Parameters
    ----------
    upstream : str
        ``http://host:port`` of the server.
    seed : int
        Of every draw.
    faults : Faults
        May be set to another value at any time; it holds for requests that start after that.

    Raises
    ------
    InvalidInput
        If ``upstream`` is no ``http://`` url (kind ``option-invalid``).

    Examples
    --------
    >>> with FaultProxy("http://127.0.0.1:9") as proxy:
    ...     proxy.faults = Faults(flip=0.02)
    ...     proxy.traffic.requests
    ()
    """

    def __init__(self, upstream: str, *, seed: int = 0, faults: Faults = Faults()) -> None:
        parts = urlsplit(upstream)
        if parts.scheme != "http" or not parts.hostname:
            raise InvalidInput(
                f"{upstream!r} is not http://host:port; the proxy reads what passes, so there is no TLS",
                Kind.OPTION_INVALID, "give the server's plain HTTP address",
            )
        self.faults = faults
        self._upstream = (parts.hostname, parts.port or 80)
        self._seed = seed
        self._ledger = Ledger()
        self._lock = Lock()
        self._scripts: list[_Script] = []
        self._begun = self._port = 0
        self._relays: set[asyncio.Task[None]] = set()
        self._bugs: list[BaseException] = []

    @property
    def url(self) -> str:
        """Where clients connect to instead of the server."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def traffic(self) -> Traffic:
        """What passed since the start or the last ``reset_counters``."""
        return self._ledger.read()

    def reset_counters(self) -> None:
        """Count from zero; the draws go on where they are."""
        self._ledger.clear()

    def lose_next(self, method: str, pattern: str, count: int = 1) -> None:
        """Lose the replies to the next ``count`` requests of a method whose path matches ``pattern`` anywhere."""
        self.fail_next("lost_reply", method, pattern, count)

    def fail_next(self, kind: FaultKind, method: str, pattern: str, count: int = 1) -> None:
        """Let one fault hit the next ``count`` requests of a method whose path matches; it comes before any draw.

        A fault of segments hits the first one.
        """
        with self._lock:
            self._scripts.append(_Script(kind, method, re.compile(pattern), count))

    def __enter__(self) -> Self:
        listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        listener.settimeout(0.0)
        self._port = listener.getsockname()[1]
        ready = Event()
        self._thread = Thread(target=lambda: asyncio.run(self._serve(listener, ready)), name="fault-proxy", daemon=True)
        self._thread.start()
        ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        if self._bugs:
            raise self._bugs[0]

    async def _serve(self, listener: socket.socket, ready: Event) -> None:
        """Accept connections until told to stop, then end them all."""
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        with listener:
            self._loop.add_reader(listener, self._accept, listener)
            ready.set()
            await self._stop.wait()
            self._loop.remove_reader(listener)
        relays = asyncio.gather(*self._relays, return_exceptions=True)
        for relay in self._relays:
            relay.cancel()
        await relays

    def _accept(self, listener: socket.socket) -> None:
        try:
            sock, _ = listener.accept()
        except OSError:
            return  # the client is gone again, or there are no file descriptors until some relay ends
        client = Wire(sock)
        relay = self._loop.create_task(Relay(client, self._upstream, self._ledger, self._decide).run())
        self._relays.add(relay)
        relay.add_done_callback(partial(self._ended, client))

    def _ended(self, client: Wire, relay: asyncio.Task[None]) -> None:
        """Close what a relay that never started left open; keep what none should raise: a proxy's bug fails the test."""
        client.close()
        self._relays.discard(relay)
        error = None if relay.cancelled() else relay.exception()
        if error is not None:
            self._bugs.append(error)

    def _decide(self, method: str, path: str) -> Fate:
        """Draw the fate of the next request."""
        self._begun += 1
        random = Random(f"{self._seed}/{self._begun}")  # noqa: S311  (repeatable, not secret)
        scripted = self._scripted(method, path)
        if scripted:
            return Fate(random, scripted, {})
        faults = self.faults
        if faults.only is not None and not faults.only(method, path):
            return Fate(random, "", {})
        kind = next((kind for kind in _OF_REQUESTS if random.random() < getattr(faults, kind)), "")
        chances = {kind: getattr(faults, kind) for kind in _OF_SEGMENTS}
        return Fate(random, kind, {kind: chance for kind, chance in chances.items() if chance})

    def _scripted(self, method: str, path: str) -> str:
        """Take the first script that waits for such a request."""
        with self._lock:
            for script in self._scripts:
                if script.method == method and script.pattern.search(path):
                    script.left -= 1
                    self._scripts = [waiting for waiting in self._scripts if waiting.left > 0]
                    return script.kind
        return ""
