"""One attempt to start servers: run tools, start servers and wait for them, all within one time limit.

Whatever is waited for, a server that dies ends the wait at once, with the last words of its log.
"""

# ruff: noqa: INP001  (it lies beside the script that imports it)
from __future__ import annotations

import errno
import os
import secrets
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from folder import SERVERS, Failed, Folder, heed, tail

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["START_SECONDS", "Launch", "PortTaken", "free_ports", "listening"]

START_SECONDS = 90  # it takes 3 on two idle cores
PORTS = range(20000, 32000)  # below the ports that Linux gives to clients


class PortTaken(Failed):
    """Another process took a port after it was found free."""


class Launch:
    """One attempt to start: what runs so far, and until when the rest may take.

    A signal is looked for, not raised: raised between the start of a server and the note of its number, it would leave that one.
    """

    def __init__(self, folder: Folder, signals: Sequence[int], deadline: float | None = None) -> None:
        self.folder = folder
        self.signals = signals
        self.deadline = deadline or time.monotonic() + START_SECONDS
        self.children: dict[str, subprocess.Popen[bytes]] = {}

    def spawn(self, name: str, *arguments: str) -> None:
        """Start a server, by itself in its session so that Ctrl-C here does not reach it; note its process."""
        command = [_program(SERVERS[name]), "-f", "-c", str(self.folder.conf), "--log-to-stderr=true", *arguments]
        with self.folder.log(name).open("ab") as log:
            child = subprocess.Popen(  # noqa: S603  (programs of a fixed list)
                command, cwd=self.folder.path, env=_environment(self.folder), start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )
        (self.folder.servers / f"{name}.pid").write_text(f"{child.pid}\n")
        self.children[name] = child

    def run(self, program: str, *arguments: str) -> str:
        """Run a tool to its end, unless a server dies meanwhile: it would wait for that one for ever."""
        command = [_program(program), *arguments]
        with subprocess.Popen(  # noqa: S603  (programs of a fixed list)
            command, cwd=self.folder.path, env=_environment(self.folder), text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        ) as child:
            try:
                while True:
                    try:
                        out, err = child.communicate(timeout=0.1)
                        break
                    except subprocess.TimeoutExpired:
                        self.look("mon", f"waiting for {program}")
            finally:
                child.kill()
        if child.returncode:
            last = " / ".join(err.strip().splitlines()[-2:]) or f"exit code {child.returncode}"
            raise Failed(f"{program} {' '.join(arguments[:2])}: {last}. Logs: {self.folder.logs}")
        return out

    def wait(self, name: str, ready: Callable[[], bool]) -> None:
        """Wait until a server is ready."""
        while not ready():
            self.look(name, f"waiting for {name}")
            time.sleep(0.05)

    def look(self, name: str, doing: str) -> None:
        """Raise where a server has ended, the time is over, or a signal came."""
        heed(self.signals)
        for dead, child in self.children.items():
            if child.poll() is not None:
                last = tail(self.folder.log(dead))
                # radosgw may end before its last words are written: its exit code is the error's number
                taken = child.returncode == errno.EADDRINUSE or "Address already in use" in last
                raise (PortTaken if taken else Failed)(f"{dead} ended with {child.returncode}: {last}")
        if time.monotonic() > self.deadline:
            raise Failed(f"{START_SECONDS} s are over, {doing}: {tail(self.folder.log(name))}")


def listening(pid: int) -> set[int]:
    """Ports on which this very process listens, and not another that took one before it (proc(5), /proc/net/tcp)."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ports = {f"socket:[{line[9]}]": int(line[1].rpartition(":")[2], 16) for line in lines if line[3] == "0A"}
    try:
        links = [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:  # it closed a file meanwhile, or ended
        return set()
    return {ports[link] for link in links if link in ports}


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on; they are held until all are found, so they differ."""
    held: list[socket.socket] = []
    try:
        for port in secrets.SystemRandom().sample(PORTS, len(PORTS)):
            taken = socket.socket()
            try:
                taken.bind(("127.0.0.1", port))
            except OSError:
                taken.close()
                continue
            held.append(taken)
            if len(held) == count:
                return [one.getsockname()[1] for one in held]
        raise Failed(f"no {count} free ports between {PORTS[0]} and {PORTS[-1]}")
    finally:
        for one in held:
            one.close()


def _program(name: str) -> str:
    return shutil.which(name) or name


def _environment(folder: Folder) -> dict[str, str]:
    """Nothing from outside: CEPH_ARGS or PYTHONPATH would change what starts."""
    return {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(folder.path), "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}
