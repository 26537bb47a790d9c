"""Two sites on one machine, each with a part of a Slurm and an S3 server of its own, and a slow link between them.

As root each site is a network namespace; else all is one network, and what would cross a link goes through a relay that is as
slow and counts the same bytes.  Either way every client finds both servers at ports of its own machine, by AWS profiles that are
called like the sites: keys never travel over a network, which lakecv would refuse without TLS.
"""

# ruff: noqa: INP001, S603  (it lies beside the script that imports it; fixed programs with words of our own)
from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import network
from network import DRIVER, SITES, Network
from relay import Door

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    # Ports of both servers as each place finds them, what each link has carried, and what makes all links slow.
    _Ends = tuple[dict[str, dict[str, int]], Callable[[], dict[str, int]], Callable[[float], object]]

__all__ = ["DRIVER", "LINKS", "SITES", "TwoSites", "sweep", "two_sites"]

LINKS = tuple(f"{source}>{to}" for source in (*SITES, DRIVER) for to in (*SITES, DRIVER) if source != to)
_HERE = Path(__file__).resolve().parent
_MARK = "network.json"
_KEYS = "[{0}]\naws_access_key_id = {0}\naws_secret_access_key = nothing-to-hide\n"
_PROFILE = "[profile {}]\nendpoint_url = {}\nregion = us-east-1\n"
# One line of a job's script for both sites: Slurm says in which of its partitions the job runs.
_SITE = 'export AWS_CONFIG_FILE="{0}/$SLURM_JOB_PARTITION.aws" AWS_SHARED_CREDENTIALS_FILE="{0}/keys"\n'


@dataclass(frozen=True, slots=True)
class TwoSites:
    """How they are reached.

    ``interfaces`` are what each site's jobs dial to reach the driver; ``prologue`` is a line of a job's script that tells it of both
    S3 servers; ``environment`` tells the driver; ``count`` gives the bytes that each link has carried; ``shape`` makes all links as
    slow as so many Mbit/s, each way: until then they are as fast as the machine.
    """

    folder: Path
    namespaces: bool
    interfaces: Mapping[str, str]
    prologue: str
    environment: Mapping[str, str]
    count: Callable[[], dict[str, int]]
    shape: Callable[[float], object]


@contextmanager
def two_sites(folder: Path, *, namespaces: bool) -> Iterator[TwoSites]:
    """Start all in a new folder with a short path; all of it ends with the block."""
    with ExitStack() as stack:
        made = stack.enter_context(_network(folder)) if namespaces else None
        slurm = stack.enter_context(_slurm(folder / "slurm", made))
        ports = {site: stack.enter_context(_helper(made, site, "s3_server.py", "0.0.0.0" if made else "127.0.0.1")).told[0] for site in SITES}  # noqa: S104  (of its own namespace)
        ends, count, shape = _in_namespaces(stack, made, ports) if made else _in_one_place(stack, ports)
        _write_access(folder, ends)
        environment = {
            "AWS_CONFIG_FILE": str(folder / f"{DRIVER}.aws"), "AWS_SHARED_CREDENTIALS_FILE": str(folder / "keys"), "AWS_EC2_METADATA_DISABLED": "true",
            "SLURM_CONF": slurm,
        }
        interfaces = {site: made.router(site) if made else "lo" for site in SITES}
        yield TwoSites(folder, made is not None, interfaces, f". {folder / 'site.sh'}", environment, count, shape)


def sweep(folder: Path) -> None:
    """End what a killed demonstration left in a folder, and remove it."""
    _call("slurm.py", "stop", folder / "slurm")
    with suppress(OSError, ValueError, KeyError):
        network.stop(str(json.loads((folder / _MARK).read_text())["token"]))
    shutil.rmtree(folder, ignore_errors=True)


# --- networks ---------------------------------------------------------------------------------------------------------
def _in_namespaces(stack: ExitStack, made: Network, ports: Mapping[str, int]) -> _Ends:
    """Doors to what is elsewhere: at each place, without a limit; the links themselves are slow, and count."""
    one, other = SITES
    doors = {
        one: [Door(one, other, made.wan(other), ports[other])], other: [Door(other, one, made.wan(one), ports[one])],
        DRIVER: [Door(DRIVER, site, made.address(site), ports[site]) for site in SITES],
    }
    ends = {place: {place: ports[place]} if place in ports else {} for place in doors}
    for place, each in doors.items():
        helper = stack.enter_context(_helper(made, place, "relay.py", *map(str, each)))
        ends[place] |= {door.server: port for door, port in zip(each, helper.told, strict=True)}
    return ends, partial(network.counts, made), partial(network.shape, made)


def _in_one_place(stack: ExitStack, ports: Mapping[str, int]) -> _Ends:
    """Doors to what would be elsewhere, all in one relay that is as slow as the links, and counts."""
    doors = [Door(place, site, "127.0.0.1", ports[site]) for place in (*SITES, DRIVER) for site in SITES if place != site]
    relay = stack.enter_context(_helper(None, DRIVER, "relay.py", *map(str, doors)))
    ends: dict[str, dict[str, int]] = {DRIVER: {}, **{site: {site: ports[site]} for site in SITES}}
    for door, port in zip(doors, relay.told, strict=True):
        ends[door.client][door.server] = port
    return ends, relay.ask, lambda mbit: relay.ask(f"{mbit * 1e6 / 8:g}")


@contextmanager
def _network(folder: Path) -> Iterator[Network]:
    made = network.start()
    try:
        (folder / _MARK).write_text(json.dumps({"token": made.token}))
        yield made
    finally:
        network.stop(made.token)


# --- processes --------------------------------------------------------------------------------------------------------
@contextmanager
def _slurm(folder: Path, made: Network | None) -> Iterator[str]:
    """Start a Slurm with one node at each site; gives the path of its settings."""
    place = ["--router", made.router(SITES[0])] if made else []
    for site in SITES if made else ():
        place += ["--netns", f"{site}={made.netns(site)}", "--address", f"{site}={made.address(site)}"]
    try:
        started = _call("slurm.py", "start", folder, *place)
        if started.returncode:
            raise RuntimeError(started.stderr.strip())
        conf = str(folder / "servers" / "slurm.conf")
        subprocess.run(  # one node for each site: a job that wants a whole one then gets that site
            ["scontrol", "update", "NodeName=pg2,na2", "State=DRAIN", "Reason=demonstration"], env={**os.environ, "SLURM_CONF": conf}, check=True, timeout=60,  # noqa: S607
        )
        yield conf
    finally:
        _call("slurm.py", "stop", folder)


class _Helper:
    """A process of ours that says something when it has started, answers lines with lines, and ends with its input."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
        self._lock = threading.Lock()
        self.told: list[int] = self._heard()

    def ask(self, said: str = "") -> Any:
        with self._lock:
            assert self._process.stdin is not None  # noqa: S101  (a pipe was asked for)
            self._process.stdin.write(f"{said}\n")
            self._process.stdin.flush()
            return self._heard()

    def end(self) -> None:
        with suppress(subprocess.TimeoutExpired, ValueError):
            self._process.communicate(timeout=3)
        self._process.kill()
        self._process.wait()

    def _heard(self) -> Any:
        assert self._process.stdout is not None  # noqa: S101  (a pipe was asked for)
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args} ended with {self._process.wait()}")
        return json.loads(line)


@contextmanager
def _helper(made: Network | None, place: str, script: str, *words: str) -> Iterator[_Helper]:
    enter = ["nsenter", f"--net=/run/netns/{made.netns(place)}"] if made and place in SITES else []
    helper = _Helper([*enter, sys.executable, str(_HERE / script), *words])
    try:
        yield helper
    finally:
        helper.end()


def _call(script: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, _HERE / script, *words]  # in a session of its own: a Ctrl-C here must not end a stop
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, start_new_session=True)


# --- files ------------------------------------------------------------------------------------------------------------
def _write_access(folder: Path, ends: Mapping[str, Mapping[str, int]]) -> None:
    """Tell every place where both servers are; the keys open nothing but these."""
    for place, servers in ends.items():
        text = "".join(_PROFILE.format(site, f"http://127.0.0.1:{port}") for site, port in sorted(servers.items()))
        (folder / f"{place}.aws").write_text(text)
    keys = folder / "keys"
    keys.touch(mode=0o600)
    keys.write_text("".join(map(_KEYS.format, SITES)))
    (folder / "site.sh").write_text(_SITE.format(folder))
