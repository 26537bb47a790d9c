#!/usr/bin/env python3
"""Two sites in network namespaces of this machine: a shaped link between them, one from each to the driver. Needs root, ip and tc.

    network.py start [--mbit 200]    make one; prints its token, namespaces and addresses
    network.py count TOKEN           bytes that each link has carried
    network.py stop [TOKEN...]       remove these, else all there are; what runs in their namespaces is ended

Every link has devices of its own, so their counters say who sent what to whom: nothing is forwarded by this machine, and none of
its settings is changed.  Names end in a random token: two such networks may stand at once.
"""

# ruff: noqa: S603  (fixed programs with words of our own)
from __future__ import annotations

import argparse
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["DRIVER", "SITES", "Network", "able", "counts", "found", "shape", "start", "stop"]

SITES = ("infn-pg", "infn-na")
DRIVER = "driver"
_SHORT = {"infn-pg": "pg", "infn-na": "na"}
_NETNS = re.compile(r"lk-(?:pg|na)-([0-9a-f]{6})")
_DEVICE = re.compile(r"lk(?:pg|na)-([0-9a-f]{6})")
_BURST, _LATENCY = "256kb", "100ms"
_PATH = ":".join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


@dataclass(frozen=True, slots=True)
class Network:
    """Names and addresses of one network: 10.77.``first`` and the two after it."""

    token: str
    first: int

    def netns(self, site: str) -> str:
        """Namespace of a site."""
        return f"lk-{_SHORT[site]}-{self.token}"

    def device(self, site: str) -> str:
        """End of a site's link to the driver that lies here; the other one is called ``driver``."""
        return f"lk{_SHORT[site]}-{self.token}"

    def router(self, site: str) -> str:
        """Address of this machine on the way to a site."""
        return f"10.77.{self.first + SITES.index(site)}.1"

    def address(self, site: str) -> str:
        """Address of a site as the driver reaches it."""
        return f"10.77.{self.first + SITES.index(site)}.2"

    def wan(self, site: str) -> str:
        """Address of a site as the other site reaches it."""
        return f"10.77.{self.first + 2}.{SITES.index(site) + 1}"

    def commands(self) -> list[list[str]]:
        """List what makes it, in this order; its links are as fast as the machine."""
        made = [command for site in SITES for command in self._site(site)]
        one, other = map(self.netns, SITES)
        made.append(["ip", "-n", one, "link", "add", "wan", "type", "veth", "peer", "name", "wan", "netns", other])
        for site in SITES:
            made += _up(["ip", "-n", self.netns(site)], "wan", self.wan(site))
        return made

    def shaping(self, mbit: float) -> list[list[str]]:
        """List what makes each link as slow as asked, each way."""
        made: list[list[str]] = []
        shape = ["root", "tbf", "rate", f"{mbit:g}mbit", "burst", _BURST, "latency", _LATENCY]
        for site in SITES:
            made.append(["tc", "qdisc", "replace", "dev", self.device(site), *shape])
            made += [["tc", "-n", self.netns(site), "qdisc", "replace", "dev", device, *shape] for device in (DRIVER, "wan")]
        return made

    def _site(self, site: str) -> list[list[str]]:
        inside = ["ip", "-n", self.netns(site)]
        return [
            ["ip", "netns", "add", self.netns(site)],
            ["ip", "link", "add", self.device(site), "type", "veth", "peer", "name", DRIVER, "netns", self.netns(site)],
            *_up(["ip"], self.device(site), self.router(site)),
            *_up(inside, DRIVER, self.address(site)),
            [*inside, "link", "set", "lo", "up"],
            [*inside, "route", "add", "default", "via", self.router(site)],
        ]

    def removal(self) -> list[list[str]]:
        """List what removes it; each may find that its part is gone already."""
        wan = [["ip", "-n", self.netns(site), "link", "del", "wan"] for site in SITES]
        own = [["ip", "link", "del", self.device(site)] for site in SITES]
        return [*wan, *own, *(["ip", "netns", "del", self.netns(site)] for site in SITES)]


def able() -> str:
    """Say why no such network can be made here; empty where one can."""
    if os.geteuid():
        return "not root"
    missing = [name for name in ("ip", "tc", "nsenter") if not shutil.which(name, path=_PATH)]
    if missing:
        return f"no {', '.join(missing)} here"
    name = f"lk-try-{secrets.token_hex(3)}"
    tried = _run(["ip", "netns", "add", name])  # a container's root may not
    _run(["ip", "netns", "del", name])
    return tried.stderr.strip() if tried.returncode else ""


def start() -> Network:
    """Make a network; of one that cannot be made whole nothing stays.

    Raises
    ------
    RuntimeError
        What the command said that failed.
    """
    network = Network(secrets.token_hex(3), _free_subnets())
    try:
        for command in network.commands():
            _must(command)
    except BaseException:
        stop(network.token)
        raise
    return network


def shape(network: Network, mbit: float) -> None:
    """Make every link as slow as asked, each way; raises as :func:`start`."""
    for command in network.shaping(mbit):
        _must(command)


def counts(network: Network) -> dict[str, int]:
    """Bytes that each link has carried, ``from>to``, as the devices count them: with all headers."""
    one, other = SITES
    carried = {f"{one}>{other}": _sent(network.netns(one), "wan"), f"{other}>{one}": _sent(network.netns(other), "wan")}
    for site in SITES:
        carried |= {f"{DRIVER}>{site}": _sent("", network.device(site)), f"{site}>{DRIVER}": _sent(network.netns(site), DRIVER)}
    return carried


def found() -> list[str]:
    """Tokens of all networks of which anything is there."""
    spaces = _run(["ip", "netns", "list"]).stdout.split()
    devices = [each["ifname"] for each in json.loads(_run(["ip", "-j", "link"]).stdout or "[]")]
    matches = [*map(_NETNS.fullmatch, spaces), *map(_DEVICE.fullmatch, devices)]
    return sorted({match[1] for match in matches if match})


def stop(token: str) -> None:
    """Remove a network, or what is left of one, with what still runs in its namespaces."""
    network = Network(token, 0)
    for site in SITES:
        for pid in _run(["ip", "netns", "pids", network.netns(site)]).stdout.split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
    for command in network.removal():
        _run(command)


def _up(where: Sequence[str], device: str, address: str) -> list[list[str]]:
    """Give a device an address and start it; without addresses of IPv6 it says nothing by itself."""
    return [
        [*where, "link", "set", device, "addrgenmode", "none"],
        [*where, "addr", "add", f"{address}/24", "dev", device],
        [*where, "link", "set", device, "up"],
    ]


def _free_subnets() -> int:
    """First of three numbers that no address of this machine has; random, as another may look at the same time."""
    taken = {
        int(each["local"].split(".")[2])
        for link in json.loads(_run(["ip", "-j", "addr"]).stdout) for each in link["addr_info"] if each["local"].startswith("10.77.")
    }
    free = [number for number in range(1, 252, 3) if not taken & {number, number + 1, number + 2}]
    return secrets.choice(free)


def _sent(netns: str, device: str) -> int:
    where = ["-n", netns] if netns else []
    [link] = json.loads(_run(["ip", *where, "-s", "-j", "link", "show", "dev", device]).stdout)
    return int(link["stats64"]["tx"]["bytes"])


def _must(command: Sequence[str]) -> None:
    done = _run(command)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    program = shutil.which(command[0], path=_PATH) or command[0]
    return subprocess.run([program, *command[1:]], capture_output=True, text=True, timeout=30, check=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="network.py", description="Two sites in network namespaces of this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("start", help="make one").add_argument("--mbit", type=float, default=200.0, help="rate of every link, each way")
    commands.add_parser("count", help="bytes of each link").add_argument("token")
    commands.add_parser("stop", help="remove what there is").add_argument("tokens", nargs="*", metavar="TOKEN")
    given = parser.parse_args(arguments)
    if reason := able():
        sys.stderr.write(f"network.py: {reason}\n")
        return 1
    if given.command == "stop":
        for token in given.tokens or found():
            stop(token)
    elif given.command == "count":
        sys.stdout.write(json.dumps(counts(Network(given.token, 0)), indent=2) + "\n")
    else:
        network = start()
        shape(network, given.mbit)
        lines = [f"{site}: namespace {network.netns(site)}, address {network.address(site)}, router {network.router(site)}\n" for site in SITES]
        sys.stdout.write(f"{network.token}\n{''.join(lines)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
