#!/usr/bin/env python3
"""A real Slurm in one folder: munged, slurmctld and five slurmd, in three partitions that stand for sites.

    slurm.py start FOLDER            start, wait until all nodes are idle; does nothing where it runs already
    slurm.py status FOLDER           exit code 0 where all run, 3 where not
    slurm.py kill FOLDER NAME        SIGKILL a node's slurmd and its jobs, as if it lost power; or slurmctld, or munged
                                     (--tell: tell Slurm, as an operator would, which else sees after 12 s that a node is lost)
    slurm.py restore FOLDER NAME     start that one again
    slurm.py stop FOLDER             end all, jobs too; the logs stay

    . FOLDER/slurm.env; sbatch -p infn-na script.sh

Partitions: infn-pg (nodes pg1, pg2), infn-na (na1, na2), gpu (gpu1, whose GPU is /dev/null). Needs Python >= 3.11 and what
install.sh brings; neither systemd, nor cgroups, nor root (then all jobs are the caller's).

Sites in network namespaces, as root:
    slurm.py start FOLDER --router 10.77.0.1 --netns infn-pg=lk-pg --address infn-pg=10.77.1.2 ...
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from slurm_conf import GRES, NODES, SITES, Node, slurm_conf
from slurm_jobs import on_node, stepd, wipe
from stack import Failed, Launch, PortTaken, Server, Stack, end, free_ports, listening, locked, own, write

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from stack import Folder

__all__ = ["kill", "main", "restore", "start", "status", "stop"]

SERVERS = {
    "munged": Server("munged", "munge.key"),
    "slurmctld": Server("slurmctld", "slurm.conf", signal.SIGKILL),  # nothing is kept
    **{name: Server("slurmd", f"{name}/slurmstepd", signal.SIGKILL) for name in NODES},
}
TOOLS = ("munged", "slurmctld", "slurmd", "slurmstepd", "sinfo", "scontrol", "sbatch", "squeue", "scancel")
PATH = ":".join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])
MAX_PATH = 66  # slurmstepd makes sockets below the folder: sun_path(7) is 108 long


def start(folder: Folder, signals: Sequence[int] = (), place: Mapping[str, Mapping[str, str]] | None = None, router: str = "127.0.0.1") -> None:
    """Start all, unless all run; where a port was taken in the meantime, once more with others."""
    if missing := [name for name in TOOLS if not _program(name)]:
        raise Failed(f"not installed: {', '.join(missing)}. Run: {Path(__file__).resolve().parent / 'install.sh'}")
    if len(str(folder.path)) > MAX_PATH:
        raise Failed(f"{folder.path}: longer than {MAX_PATH} characters, which sockets of Slurm cannot have. Take a shorter one")
    own(folder, signals)
    with locked(folder, signals):
        if not status(folder):
            return
        launch = Launch(folder, signals)
        try:
            try:
                _bring_up(launch, place or {}, router)
            except PortTaken:
                _bring_up(Launch(folder, signals, launch.deadline), place or {}, router)
        except BaseException:
            _end(folder)
            raise


def stop(folder: Folder, signals: Sequence[int] = ()) -> None:
    """End the servers and all jobs, and remove all but the logs."""
    if (folder.path / "README").exists():
        own(folder, signals)
        with locked(folder, signals):
            _end(folder)


def status(folder: Folder) -> str:
    """Say what runs: an empty string where all is well."""
    running = folder.running()
    if not running:
        return "not running"
    dead = [name for name in SERVERS if name not in running]
    return f"not running: {', '.join(dead)}" if dead else "" if folder.env.exists() else "starting"


def kill(folder: Folder, name: str, signals: Sequence[int] = (), *, tell: bool = False) -> None:
    """Let one server vanish; with a node go its jobs. Nobody is told, unless asked for: then the node is down at once."""
    _known(folder, name)
    with locked(folder, signals):
        wipe(partial(_processes, folder, name))
        if tell and name in NODES:
            launch = Launch(folder, signals)
            launch.run(_program("scontrol"), "update", f"NodeName={name}", "State=DOWN", "Reason=killed", SLURM_CONF=str(_conf(folder)))


def restore(folder: Folder, name: str, signals: Sequence[int] = ()) -> None:
    """Start one server again, unless it runs, and wait until it does its work."""
    _known(folder, name)
    with locked(folder, signals):
        if folder.pid(name) is None:
            launch, before = Launch(folder, signals), datetime.now().replace(microsecond=0)  # noqa: DTZ005  (scontrol's are local)
            _spawn(launch, name, _nodes(folder))
            launch.wait(name, _ready(launch, name, before))


# --- starting and ending ----------------------------------------------------------------------------------------------
def _bring_up(launch: Launch, place: Mapping[str, Mapping[str, str]], router: str) -> None:
    """Start everything in an empty folder."""
    folder = launch.folder
    _end(folder)
    shutil.rmtree(folder.logs, ignore_errors=True)
    for path in (folder.logs, folder.servers, folder.servers / "slurmctld"):
        path.mkdir(parents=True)
    port, *ports = free_ports(1 + len(NODES))
    sites = [(site, name) for site, names in SITES.items() for name in names]
    nodes = [Node(name, site, **{"address": router, **place.get(site, {})}, port=at) for (site, name), at in zip(sites, ports, strict=True)]
    write(folder.servers / "nodes.json", json.dumps([asdict(node) for node in nodes]))
    write(_conf(folder), slurm_conf(folder.path, nodes, router, port))
    write(folder.servers / "gres.conf", GRES)
    key = folder.servers / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(secrets.token_bytes(128))
    for node in NODES:
        stepd(folder, node).parent.mkdir()
        shutil.copy(_program("slurmstepd"), stepd(folder, node))
    _spawn(launch, "munged", nodes)
    launch.wait("munged", lambda: _answers(folder.servers / "munge.sock"))
    _spawn(launch, "slurmctld", nodes)
    launch.wait("slurmctld", lambda: port in listening(launch.children["slurmctld"].pid))  # who finds nobody tries again after 1 s
    for name in NODES:
        _spawn(launch, name, nodes)
    launch.wait("slurmctld", lambda: _states(launch) == dict.fromkeys(NODES, "idle"))
    write(folder.env, f"export SLURM_CONF={_conf(folder)}\n")


def _spawn(launch: Launch, name: str, nodes: Sequence[Node]) -> None:
    """Start one server in the foreground, so that its process is the one that is noted."""
    home, environment = launch.folder.servers, {"PATH": PATH, "SLURM_CONF": str(_conf(launch.folder))}
    if name == "munged":
        files = {option: str(home / f"munge.{option}") for option in ("key", "pid", "seed")}
        words = [word for option, file in files.items() for word in (f"--{option}-file", file)]
        launch.spawn(name, _program(name), "--foreground", "--force", "--num-threads=2", "--socket", str(home / "munge.sock"), *words)
    elif name == "slurmctld":
        launch.spawn(name, _program(name), "-D", "-f", str(_conf(launch.folder)), **environment)
    else:
        netns = next(node.netns for node in nodes if node.name == name)
        # not `ip netns exec`: it mounts /sys anew, and slurmd ends where it finds no cgroups there
        enter = [_program("nsenter"), f"--net=/run/netns/{netns}"] if netns else []
        slurmd = [_program("slurmd"), "-D", "-N", name, "-f", str(_conf(launch.folder)), "-d", str(stepd(launch.folder, name))]
        launch.spawn(name, *enter, *slurmd, **environment)


def _end(folder: Folder) -> None:
    """End nodes with their jobs before the rest: nobody starts a job anew."""
    wipe(lambda: {pid for name in NODES for pid in _processes(folder, name)})
    end(folder)


# --- looking ----------------------------------------------------------------------------------------------------------
def _processes(folder: Folder, name: str) -> set[int]:
    """Find a server's processes, and a node's jobs."""
    return {pid for pid, server in folder.processes().items() if server == name} | (on_node(folder, name) if name in NODES else set())


def _ready(launch: Launch, name: str, since: datetime) -> Callable[[], bool]:
    """Whether a server that was started again works: munged answers, the controller knows of the nodes, or of the new slurmd."""

    def ready() -> bool:
        if name == "munged":
            return _answers(launch.folder.servers / "munge.sock")
        states = _states(launch)
        if name == "slurmctld":
            alive = launch.folder.running()
            return bool(states) and all(_known_to_be_up(state) for node, state in states.items() if node in alive)
        return _known_to_be_up(states.get(name, "unknown")) and _started(launch, name) >= since

    return ready


def _known_to_be_up(state: str) -> bool:
    """Whether the controller has heard of a node: `*` is one that does not answer."""
    return state.isalpha() and state not in {"unknown", "down"}


def _answers(path: Path) -> bool:
    """Whether somebody listens on a socket: its file outlives who made it."""
    with socket.socket(socket.AF_UNIX) as probe, suppress(OSError):
        probe.connect(str(path))
        return True
    return False


def _states(launch: Launch) -> dict[str, str]:
    """States of the nodes by name, as the controller sees them; none while it does not answer. A `*`: it does not answer."""
    try:
        lines = launch.run(_program("sinfo"), "-h", "-N", "-o", "%N %T", SLURM_CONF=str(_conf(launch.folder))).split()
    except Failed:
        launch.look("waiting for slurmctld", "slurmctld")
        return {}
    return dict(zip(lines[::2], lines[1::2], strict=True))


def _started(launch: Launch, node: str) -> datetime:
    """When the slurmd started of which the controller knows."""
    shown = launch.run(_program("scontrol"), "-o", "show", "node", node, SLURM_CONF=str(_conf(launch.folder)))
    with suppress(StopIteration, ValueError):
        return datetime.fromisoformat(next(word for word in shown.split() if word.startswith("SlurmdStartTime=")).partition("=")[2])
    return datetime.min  # noqa: DTZ901  (it has none yet)


def _nodes(folder: Folder) -> list[Node]:
    return [Node(**node) for node in json.loads((folder.servers / "nodes.json").read_text())]


def _conf(folder: Folder) -> Path:
    return folder.servers / "slurm.conf"


def _known(folder: Folder, name: str) -> None:
    if not folder.env.exists():
        raise Failed(f"{folder.path}: not running. Start it first")
    if name not in SERVERS:
        raise Failed(f"no {name} here. It is one of {', '.join(SERVERS)}")


def _program(name: str) -> str:
    """Where a program is, also one for administrators; empty if nowhere."""
    places = f"{PATH}:/usr/lib/slurm:/usr/libexec/slurm"
    return shutil.which(name, path=places) or ""


# --- the command ------------------------------------------------------------------------------------------------------
def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; exit codes: 0 done, 1 failed, 2 misused, 3 not running, 128 + a signal."""
    given = _parser().parse_args(arguments)
    folder = Stack(given.folder.resolve(), "../batch/slurm.py", SERVERS)
    os.umask(0o077)
    signals: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: signals.append(number))
    try:
        return _do(given, folder, signals)
    except Failed as failure:
        sys.stderr.write(f"slurm.py: {failure}\n")
        return 128 + signals[0] if signals else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="slurm.py", description="A real Slurm in one folder.")
    commands = parser.add_subparsers(dest="command", required=True)
    told = {"start": "start it", "status": "say whether it runs", "stop": "end it", "kill": "let a part vanish", "restore": "start that again"}
    for name, what in told.items():
        command = commands.add_parser(name, help=what)
        command.add_argument("folder", type=Path)
        if name in {"kill", "restore"}:
            command.add_argument("name", choices=SERVERS)
        if name == "kill":
            command.add_argument("--tell", action="store_true", help="tell Slurm that the node is down")
        if name == "start":
            command.add_argument("--netns", action="append", default=[], type=_pair, metavar="SITE=NAME", help="run its nodes there")
            command.add_argument("--address", action="append", default=[], type=_pair, metavar="SITE=ADDRESS", help="of its nodes")
            command.add_argument("--router", default="127.0.0.1", metavar="ADDRESS", help="where all sites reach the controller")
    return parser


def _pair(text: str) -> tuple[str, str]:
    site, _, value = text.partition("=")
    if site not in SITES or not value:
        raise argparse.ArgumentTypeError(f"{text!r} is not SITE=..., with a site of {', '.join(SITES)}")
    return site, value


def _do(given: argparse.Namespace, folder: Folder, signals: Sequence[int]) -> int:
    if given.command == "stop":
        stop(folder, signals)
        sys.stdout.write(f"{folder.path}: not running\n")
        return 0
    if given.command == "kill":
        kill(folder, given.name, signals, tell=given.tell)
        sys.stdout.write(f"{given.name}: gone\n")
        return 0
    if given.command == "restore":
        restore(folder, given.name, signals)
        sys.stdout.write(f"{given.name}: back\n")
        return 0
    if given.command == "start":
        place: dict[str, dict[str, str]] = {site: {} for site in SITES}
        for what in ("netns", "address"):
            for site, value in getattr(given, what):
                place[site][what] = value
        start(folder, signals, place, given.router)
    if wrong := status(folder):
        sys.stdout.write(f"{folder.path}: {wrong}\n")
        return 3
    sites = ", ".join(f"{site} ({' '.join(names)})" for site, names in SITES.items())
    sys.stdout.write(f"Slurm with {sites}, for a shell: . {folder.env}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
