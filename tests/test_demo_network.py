"""What stands for wide-area links in the demonstration: a relay that slows and counts, and commands that make a network and remove it."""

import asyncio
import importlib
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "deploy" / "batch"))
network, relay = (importlib.import_module(name) for name in ("network", "relay"))

WAY, BACK = "home>far", "far>home"


async def echo(reader, writer):
    """Give back all that was said, then hang up."""
    writer.write(await reader.read())
    await writer.drain()
    writer.close()


async def through(sizes, bytes_per_second=0.0):
    """Send bytes through one door in connections at the same time; gives what came back, what was counted, and the seconds."""
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    one = relay.Relay([relay.Door("home", "far", "127.0.0.1", server.sockets[0].getsockname()[1])])
    [port] = await one.start()
    one.shape(bytes_per_second)
    began = time.monotonic()
    answers = await asyncio.gather(*(said(port, bytes(size)) for size in sizes))
    seconds, passed = time.monotonic() - began, one.passed()
    await one.stop()
    server.close()
    return answers, passed, seconds


async def said(port, data):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    return answer


def test_every_byte_is_carried_and_counted_once_on_its_own_way():
    answers, passed, _ = asyncio.run(through([100_000, 1, 0]))
    assert [len(answer) for answer in answers] == [100_000, 1, 0]
    assert passed == {WAY: 100_001, BACK: 100_001}


def test_connections_share_the_rate_of_their_link():
    _, passed, seconds = asyncio.run(through([150_000, 150_000], 1e6))
    assert passed[WAY] == 300_000
    assert 0.25 < seconds < 3.0  # 0.3 s there; the answers follow while it goes on


def test_a_door_with_nobody_behind_it_closes():
    async def knocked():
        one = relay.Relay([relay.Door("home", "far", "127.0.0.1", 1)])
        [port] = await one.start()
        answer = await said(port, b"")
        await one.stop()
        return answer, one.passed()

    assert asyncio.run(knocked()) == (b"", {WAY: 0, BACK: 0})


def test_a_link_sends_one_thing_after_the_other():
    link = relay.Link(100.0)
    assert [link.due(5.0, 100), link.due(5.5, 50), link.due(9.0, 100)] == [6.0, 6.5, 10.0]


def test_a_door_is_written_as_it_is_read():
    text = "driver:infn-pg=10.77.1.2:9000"
    assert str(relay.Door.parse(text)) == text


NET = network.Network("0a1b2c", 7)


def test_every_end_of_every_link_is_slow():
    ends = {(command[2] if command[1] == "-n" else "", command[command.index("dev") + 1]) for command in NET.shaping(200)}
    inside = {(NET.netns(site), device) for site in network.SITES for device in ("driver", "wan")}
    assert ends == inside | {("", NET.device(site)) for site in network.SITES}
    assert all("200mbit" in command for command in NET.shaping(200))


def test_what_is_made_is_removed_by_its_name():
    made = {command[3] for command in NET.commands() if command[1:3] in (["netns", "add"], ["link", "add"])}
    removed = {command[3] for command in NET.removal() if command[1:3] in (["netns", "del"], ["link", "del"])}
    assert made == removed


def test_no_name_is_longer_than_linux_takes_and_no_address_is_there_twice():
    names = [NET.device(site) for site in network.SITES]
    places = [each(site) for site in network.SITES for each in (NET.router, NET.address, NET.wan)]
    assert max(map(len, names)) <= 15
    assert len({*places}) == len(places)


@pytest.fixture
def real():
    """A network of this machine, gone when the test ends."""
    if reason := network.able():
        pytest.skip(f"no network namespaces: {reason}")
    made = network.start()
    yield made
    network.stop(made.token)


def test_a_network_carries_nothing_by_itself_and_leaves_nothing(real):
    network.shape(real, 200)
    assert real.token in network.found()
    assert set(network.counts(real).values()) == {0}
    network.stop(real.token)
    assert real.token not in network.found()
