"""HTTP/1.1 over a non-blocking socket: heads are parsed, bodies are moved and never kept.

Just as much of the protocol (RFC 9112) as a proxy needs to know where a message ends: Content-Length, chunked bodies,
replies that end with the connection, interim replies.  Memory does not grow with a body.
"""

from __future__ import annotations

import socket
import struct
from asyncio import get_running_loop
from dataclasses import dataclass, replace

__all__ = ["Body", "Head", "Wire", "connect", "reply_body", "request_body"]

_LONGEST_HEAD = 1 << 16
_NO_LINGER = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Head:
    """Start line and fields of a message, in the order and spelling that they came in."""

    start: str
    fields: tuple[tuple[str, str], ...]

    def get(self, name: str) -> str:
        """Value of a field in lower case, empty where there is none."""
        return next((value.lower() for key, value in self.fields if key.lower() == name), "")

    def with_length(self, nbytes: int) -> Head:
        """Say another Content-Length."""
        return replace(self, fields=tuple(
            (key, str(nbytes) if key.lower() == "content-length" else value) for key, value in self.fields
        ))  # fmt: skip

    @property
    def status(self) -> int:
        """Status of a reply."""
        words = self.start.split(" ", 2)
        return _number(words[1]) if len(words) > 1 else 0

    @property
    def stays_open(self) -> bool:
        """The connection can carry another message after this one."""
        said = self.get("connection")
        return "keep-alive" in said if "HTTP/1.0" in self.start else "close" not in said

    def encode(self) -> bytes:
        """Write it as it goes over the wire."""
        lines = (self.start, *(f"{key}: {value}" for key, value in self.fields), "", "")
        return "\r\n".join(lines).encode("latin-1")


class Wire:
    """One end of a connection.  Raises ConnectionError where the other end breaks off or speaks something else."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(0.0)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock = sock
        self._ahead = bytearray()

    async def head(self) -> Head | None:
        """Read a head; None where the other end closed instead of starting a message."""
        lines: list[str] = []
        while not lines or lines[-1]:
            line = await self._line(at_start=not lines)
            if line is None:
                return None
            if line or lines:  # empty lines before a message mean nothing (RFC 9112, 2.2)
                lines.append(line)
        parts = (line.partition(":") for line in lines[1:-1])
        return Head(lines[0], tuple((key, value.strip()) for key, _, value in parts))

    async def line(self) -> str:
        """Read up to the next line end, which is left out."""
        return await self._line(at_start=False) or ""

    async def _line(self, *, at_start: bool) -> str | None:
        while (end := self._ahead.find(b"\r\n")) < 0:
            if len(self._ahead) > _LONGEST_HEAD:
                raise ConnectionError("a line without end; expected HTTP/1.1")
            data = await get_running_loop().sock_recv(self._sock, _LONGEST_HEAD)
            if not data and at_start and not self._ahead:
                return None
            if not data:
                raise ConnectionError("the connection ended inside a message")
            self._ahead += data
        line = self._ahead[:end].decode("latin-1")
        del self._ahead[: end + 2]
        return line

    async def receive(self, view: memoryview) -> int:
        """Read what there is into ``view``; 0 where the other end closed."""
        if not self._ahead:
            return await get_running_loop().sock_recv_into(self._sock, view)
        nbytes = min(len(view), len(self._ahead))
        view[:nbytes] = self._ahead[:nbytes]
        del self._ahead[:nbytes]
        return nbytes

    async def send(self, data: bytes | memoryview) -> None:
        """Send all of it."""
        await get_running_loop().sock_sendall(self._sock, data)

    async def until_closed(self) -> None:
        """Wait, saying nothing, until the other end gives up."""
        while await get_running_loop().sock_recv(self._sock, _LONGEST_HEAD):
            pass

    @property
    def is_idle(self) -> bool:
        """Nothing has come since the last message, not even the end of the connection."""
        try:
            self._sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return not self._ahead
        except OSError:
            return False
        return False

    def hang_up(self) -> None:
        """End the talk in both directions; whoever waits for this connection wakes up."""
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # the other end was faster

    def close(self) -> None:
        """Close, with a FIN unless ``will_reset`` was called.  Nobody may be waiting for this connection any more."""
        self._sock.close()

    def will_reset(self) -> None:
        """Let the close be a RST: the other end gets "connection reset by peer"."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)


async def connect(address: tuple[str, int]) -> Wire:
    """Connect to a server."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        wire = Wire(sock)
        await get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return wire


class Body:
    """The body of a message that is being received: of ``length`` bytes, else chunked, else to the connection's end."""

    def __init__(self, wire: Wire, length: int | None, *, chunked: bool = False) -> None:
        self.length = length
        self.chunked = chunked
        self._wire = wire
        self._left = length or 0
        self._ended = length == 0

    @property
    def ends_connection(self) -> bool:
        """The body has no other end than the connection's."""
        return self.length is None and not self.chunked

    async def receive(self, view: memoryview) -> int:
        """Read some of it into ``view``, without chunk framing; 0 at its end."""
        if self.chunked and not self._left and not self._ended:
            await self._next_chunk()
        if self._ended:
            return 0
        nbytes = await self._wire.receive(view if self.ends_connection else view[: self._left])
        if self.ends_connection:
            self._ended = not nbytes
            return nbytes
        if not nbytes:
            raise ConnectionError("the connection ended inside a body")
        self._left -= nbytes
        if not self._left and self.chunked:
            await self._wire.line()
        self._ended = not self._left and not self.chunked
        return nbytes

    async def fill(self, view: memoryview) -> int:
        """Read until ``view`` is full or the body ends."""
        filled = 0
        while filled < len(view) and (nbytes := await self.receive(view[filled:])):
            filled += nbytes
        return filled

    def framed(self, data: memoryview) -> bytes | memoryview:
        """Frame a piece of the body for sending on."""
        return b"".join((b"%x\r\n" % len(data), data, b"\r\n")) if self.chunked else data

    @property
    def trailer(self) -> bytes:
        """What is sent after the last piece."""
        return b"0\r\n\r\n" if self.chunked else b""

    async def _next_chunk(self) -> None:
        self._left = _number((await self._wire.line()).partition(";")[0], base=16)
        if not self._left:
            self._ended = True
            while await self._wire.line():
                pass  # trailer fields; a proxy may drop them (RFC 9110, 6.5.1)


def request_body(wire: Wire, head: Head) -> Body:
    """Find where the body of a request ends."""
    if "chunked" in head.get("transfer-encoding"):
        return Body(wire, None, chunked=True)
    return Body(wire, _number(head.get("content-length") or "0"))


def reply_body(wire: Wire, head: Head, method: str) -> Body:
    """Find where the body of a reply ends."""
    if method == "HEAD" or head.status in {204, 304}:
        return Body(wire, 0)
    if "chunked" in head.get("transfer-encoding"):
        return Body(wire, None, chunked=True)
    length = head.get("content-length")
    return Body(wire, _number(length) if length else None)


def _number(text: str, base: int = 10) -> int:
    try:
        return int(text, base)
    except ValueError as err:
        raise ConnectionError(f"{text!r} is no number; expected HTTP/1.1") from err
