"""One connection through the fault proxy: each request goes up, its reply comes down, and its fate befalls it.

Everything here runs in the proxy's own thread; only the ledger is read from others.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from threading import Lock

from lakecv.testing.fault_http import Body, Head, Wire, connect, reply_body, request_body

__all__ = ["SEGMENT_NBYTES", "Fate", "Ledger", "Relay", "Traffic"]

SEGMENT_NBYTES = 1 << 16
_BUFFER_NBYTES = 1 << 18
_GRACE_SECONDS = 1.0
_SLOW_DOWN = (
    b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message>'
    b"<RequestId>fault-proxy</RequestId></Error>"
)


@dataclass(slots=True)
class Fate:
    """What befalls one request: ``kind`` for certain, else each fault of ``chances`` per segment of the reply's body."""

    random: Random
    kind: str
    chances: Mapping[str, float]

    @property
    def is_calm(self) -> bool:
        """No segment of the body can be touched."""
        return not self.chances and not self.kind

    def of_segment(self) -> str:
        """Draw the fault of the next segment, empty where it has none."""
        if self.kind:
            kind, self.kind = self.kind, ""
            return kind
        return next((kind for kind, chance in self.chances.items() if self.random.random() < chance), "")


@dataclass(frozen=True, slots=True)
class Traffic:
    """What passed so far: bytes of bodies, (method, path) of each request, faults by kind."""

    bytes_up: int
    bytes_down: int
    requests: tuple[tuple[str, str], ...]
    fired: Mapping[str, int]


class Ledger:
    """Counts what passes.  Everything is counted before it is sent: who has a reply finds it counted."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.clear()

    def clear(self) -> None:
        """Start from zero."""
        with self._lock:
            self._up = self._down = 0
            self._requests: list[tuple[str, str]] = []
            self._fired: Counter[str] = Counter()

    def read(self) -> Traffic:
        """Copy the counts."""
        with self._lock:
            return Traffic(self._up, self._down, tuple(self._requests), Counter(self._fired))

    def request(self, method: str, path: str) -> None:
        """Count a request."""
        with self._lock:
            self._requests.append((method, path))

    def fire(self, kind: str) -> None:
        """Count a fault."""
        with self._lock:
            self._fired[kind] += 1

    def move(self, *, up: int = 0, down: int = 0) -> None:
        """Count bytes of a body."""
        with self._lock:
            self._up += up
            self._down += down


class Relay:
    """A client's connection and the server connection that belongs to it."""

    def __init__(self, client: Wire, server: tuple[str, int], ledger: Ledger, decide: Callable[[str, str], Fate]) -> None:
        self._client, self._address, self._ledger, self._decide = client, server, ledger, decide
        self._server: Wire | None = None
        self._spent = False  # the server's connection must not carry another request
        self._up, self._down = memoryview(bytearray(_BUFFER_NBYTES)), memoryview(bytearray(_BUFFER_NBYTES))

    async def run(self) -> None:
        """Serve requests until one end is gone or a fault ends the connection."""
        try:
            while await self._exchange():
                pass
        except OSError:
            return  # an end that breaks off is everyday life to a proxy; the other end sees the close
        finally:
            self._client.close()
            if self._server is not None:
                self._server.close()

    async def _exchange(self) -> bool:
        """Relay one request and its reply; says whether the client may send another."""
        request = await self._client.head()
        if request is None:
            return False
        method, path = f"{request.start}  ".split(" ")[:2]
        self._ledger.request(method, path)
        fate, body = self._decide(method, path), request_body(self._client, request)
        if fate.kind == "unavailable":
            self._ledger.fire("unavailable")
            return await self._refuse(request, body, "503 Slow Down", _SLOW_DOWN)
        try:
            server = await self._reach()
        except OSError as err:
            return await self._refuse(request, body, "502 Bad Gateway", f"the server cannot be reached: {err}".encode())
        upload = asyncio.create_task(self._send_up(request, body, server))
        try:
            stays = await self._answer(method, server, fate)
            if stays and not upload.done():  # answered before it was asked to the end: let the client see the answer
                await asyncio.wait({upload}, timeout=_GRACE_SECONDS)
            return stays and request.stays_open and upload.done() and upload.result()
        finally:
            upload.cancel()
            await asyncio.gather(upload, return_exceptions=True)

    async def _reach(self) -> Wire:
        """Connect to the server, or use the connection that there is."""
        if self._server is not None and (self._spent or not self._server.is_idle):
            self._server.close()
            self._server = None
        if self._server is None:
            self._server, self._spent = await connect(self._address), False
        return self._server

    async def _refuse(self, request: Head, body: Body, status: str, text: bytes) -> bool:
        """Answer in the server's place, which never hears of the request."""
        asks_first = request.get("expect") == "100-continue"
        while not asks_first and (nbytes := await body.receive(self._up)):
            self._ledger.move(up=nbytes)
        stays = request.stays_open and not asks_first
        fields = (("Content-Type", "application/xml"), ("Content-Length", str(len(text))),
                  ("Connection", "keep-alive" if stays else "close"))  # fmt: skip
        head = Head(f"HTTP/1.1 {status}", fields).encode()
        await self._client.send(head if request.start.startswith("HEAD ") else head + text)
        return stays

    async def _send_up(self, request: Head, body: Body, server: Wire) -> bool:
        """Send a request to the server; False where one of the two ends would not go on."""
        try:
            await server.send(request.encode())
            while nbytes := await self._from_client(body, server):
                self._ledger.move(up=nbytes)
                await server.send(body.framed(self._up[:nbytes]))
            await server.send(body.trailer)
        except OSError:
            return False  # its answer, if it gave one before it closed, is still to be read
        return True

    async def _from_client(self, body: Body, server: Wire) -> int:
        try:
            return await body.receive(self._up)
        except OSError:
            server.hang_up()  # it would wait for the rest, and we for its answer
            raise

    async def _answer(self, method: str, server: Wire, fate: Fate) -> bool:
        """Relay the server's answer as its fate wants; says whether the connection can be used again."""
        reply = await server.head()
        while reply is not None and 100 <= reply.status < 200:
            await self._client.send(reply.encode())
            reply = await server.head()
        if reply is None:
            raise ConnectionError("the server closed without an answer")
        body = reply_body(server, reply, method)
        if fate.kind == "lost_reply":
            while await body.receive(self._down):
                pass
            return await self._break("lost_reply")
        if fate.kind == "short":
            fate.kind = ""
            if body.length:
                return await self._cut(reply, body, fate.random.randrange(body.length))
        whole = await self._send_down(reply, body, fate)
        return whole and reply.stays_open and not body.ends_connection

    async def _cut(self, reply: Head, body: Body, length: int) -> bool:
        """Pretend that the body is ``length`` bytes long."""
        self._ledger.fire("short")
        await self._client.send(reply.with_length(length).encode())
        while length and (nbytes := await body.receive(self._down[:length])):
            length -= nbytes
            self._ledger.move(down=nbytes)
            await self._client.send(self._down[:nbytes])
        self._spent = True
        return reply.stays_open

    async def _send_down(self, reply: Head, body: Body, fate: Fate) -> bool:
        """Send a reply to the client, segment by segment; False where a fault ended the connection.

        A reply without a body counts as one segment: what ends a connection ends it before the head is sent.
        """
        if body.length == 0:
            kind = fate.of_segment()
            if kind not in {"", "flip"}:
                return await self._break(kind)
        await self._client.send(reply.encode())
        calm = fate.is_calm
        take, view = (body.receive, self._down) if calm else (body.fill, self._down[:SEGMENT_NBYTES])
        while nbytes := await take(view):
            kind = "" if calm else fate.of_segment()
            if kind == "flip":
                self._flip(view[:nbytes], fate.random)
            elif kind:
                nbytes = fate.random.randrange(nbytes)  # what still goes out
            if nbytes:
                self._ledger.move(down=nbytes)
                await self._client.send(body.framed(view[:nbytes]))
            if kind not in {"", "flip"}:
                return await self._break(kind)
        await self._client.send(body.trailer)
        return True

    def _flip(self, segment: memoryview, random: Random) -> None:
        self._ledger.fire("flip")
        bit = random.randrange(8 * len(segment))
        segment[bit // 8] ^= 1 << bit % 8

    async def _break(self, kind: str) -> bool:
        """End the connection, or never end it."""
        self._ledger.fire(kind)
        if kind == "stall":
            await self._client.until_closed()
        elif kind != "fin":
            self._client.will_reset()
        return False
