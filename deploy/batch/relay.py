#!/usr/bin/env python3
"""A relay between ports that counts what passes, and lets no more of it through than a link would.

    relay.py CLIENT:SERVER=HOST:PORT...

Each door is a port of 127.0.0.1 behind which a server answers; bytes towards the server belong to the link from CLIENT to SERVER,
answers to the link back.  All doors of one link share its rate.  The first line that it writes holds the ports; for each line that
it reads it writes what passed so far, by link, and where that line holds a number, all links have that rate from then on, in bytes
per second (0 = no limit, as in the beginning).  It ends when there is nothing more to read.

Where two sites have no network of their own this is the network; where they have one, it is how a client that speaks only to
this machine reaches a server that is elsewhere.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Door", "Link", "Relay"]

_SEGMENT_NBYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Door:
    """A server at another place, as a client at this place finds it."""

    client: str
    server: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Door:
        """Read ``CLIENT:SERVER=HOST:PORT``.

        Examples
        --------
        >>> Door.parse("home:infn-pg=10.77.1.2:9000")
        Door(client='home', server='infn-pg', host='10.77.1.2', port=9000)
        """
        who, _, where = text.partition("=")
        client, _, server = who.partition(":")
        host, _, port = where.rpartition(":")
        return cls(client, server, host, int(port))

    def __str__(self) -> str:
        return f"{self.client}:{self.server}={self.host}:{self.port}"


class Link:
    """One direction between two places: its rate is shared by whatever passes there at the same time."""

    def __init__(self, bytes_per_second: float = 0.0) -> None:
        self.bytes_per_second, self._free = bytes_per_second, 0.0

    def due(self, now: float, nbytes: int) -> float:
        """When bytes that are sent now have passed: after all that was sent before."""
        self._free = max(self._free, now) + (nbytes / self.bytes_per_second if self.bytes_per_second else 0.0)
        return self._free


class Relay:
    """Doors, the links behind them, and what passed."""

    def __init__(self, doors: Sequence[Door]) -> None:
        self._doors = tuple(doors)
        ends = {end for door in doors for end in ((door.client, door.server), (door.server, door.client))}
        self._links = {end: Link() for end in ends}
        self._passed: Counter[tuple[str, str]] = Counter()
        self._servers: list[asyncio.Server] = []
        self._open: set[asyncio.Task[None]] = set()

    async def start(self) -> list[int]:
        """Listen; gives the port of each door."""
        for door in self._doors:
            self._servers.append(await asyncio.start_server(lambda *ends, door=door: self._welcome(door, *ends), "127.0.0.1", 0))
        return [int(server.sockets[0].getsockname()[1]) for server in self._servers]

    def shape(self, bytes_per_second: float) -> None:
        """Give all links a rate."""
        for link in self._links.values():
            link.bytes_per_second = bytes_per_second

    def passed(self) -> dict[str, int]:
        """Bytes by link, ``from>to``, counted before they are sent: who has them finds them counted."""
        return {f"{source}>{to}": self._passed[source, to] for source, to in sorted(self._links)}

    async def stop(self) -> None:
        """Hang up."""
        for server in self._servers:
            server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    def _welcome(self, door: Door, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(door, reader, writer))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _serve(self, door: Door, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection in both directions until both ends have said all."""
        try:
            there_reader, there_writer = await asyncio.open_connection(door.host, door.port)
        except OSError:
            writer.close()  # whoever knocked sees that nobody is there
            return
        try:
            await asyncio.gather(
                self._carry((door.client, door.server), reader, there_writer), self._carry((door.server, door.client), there_reader, writer),
            )
        finally:
            writer.close()
            there_writer.close()

    async def _carry(self, way: tuple[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry what one end says to the other; an end that breaks off is everyday life."""
        clock = asyncio.get_running_loop().time
        with suppress(OSError):
            while data := await reader.read(_SEGMENT_NBYTES):
                self._passed[way] += len(data)
                late = self._links[way].due(clock(), len(data)) - clock()
                if late > 0:
                    await asyncio.sleep(late)
                writer.write(data)
                await writer.drain()
        with suppress(OSError):
            writer.write_eof()


async def _main(doors: Sequence[Door]) -> None:
    relay = Relay(doors)
    _say(await relay.start())
    while line := await asyncio.to_thread(sys.stdin.readline):
        if line.strip():
            relay.shape(float(line))
        _say(relay.passed())
    await relay.stop()


def _say(told: object) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_main([Door.parse(text) for text in sys.argv[1:]]))
