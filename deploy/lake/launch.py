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
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from folder import Failed, Folder, heed, tail

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["START_SECONDS", "Launch", "PortTaken", "free_ports", "listening"]

START_SECONDS = 90  # it takes 3 on two idle cores
PORTS = range(20000, 32000)  # below the ports that Linux gives to clients

TAKEN = ("ddress already in use", "Connection in use")  # the latter is gunicorn's


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
        self.failure: BaseException | None = None

    def spawn(self, name: str, *command: str, user: str = "", **environment: str) -> None:
        """Start a server, by itself in its session so that Ctrl-C here does not reach it; note its process.

        One that refuses to run as root runs as ``user`` there, where that is who starts it.
        """
        with self.folder.log(name).open("ab") as log:
            child = subprocess.Popen(  # noqa: S603  (programs of a fixed list)
                _as(user, command), cwd=self.folder.path, env=_environment(self.folder) | environment, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )
        (self.folder.servers / f"{name}.pid").write_text(f"{child.pid}\n")
        self.children[name] = child

    def run(self, program: str, *arguments: str, user: str = "", **environment: str) -> str:
        """Run a tool to its end, unless a server dies meanwhile: it would wait for that one for ever."""
        command = _as(user, [program, *arguments])
        with subprocess.Popen(  # noqa: S603  (programs of a fixed list)
            command, cwd=self.folder.path, env=_environment(self.folder) | environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        ) as child:
            try:
                while True:
                    try:
                        out, err = child.communicate(timeout=0.1)
                        break
                    except subprocess.TimeoutExpired:
                        self.look(f"waiting for {Path(program).name}")
            except BaseException:
                _dismiss(child)
                raise
        if child.returncode:
            last = " / ".join(err.strip().splitlines()[-2:]) or f"exit code {child.returncode}"
            raise Failed(f"{Path(program).name} {' '.join(arguments[:2])}: {last}. Logs: {self.folder.logs}")
        return out

    def wait(self, name: str, ready: Callable[[], bool]) -> None:
        """Wait until a server is ready."""
        while not ready():
            self.look(f"waiting for {name}", name)
            time.sleep(0.05)

    def together(self, *steps: Callable[[], None]) -> None:
        """Take steps at the same time; the first that fails ends the others where they wait, and is what is raised."""

        def taken(step: Callable[[], None]) -> None:
            try:
                step()
            except BaseException as failure:
                self.failure = self.failure or failure
                raise

        with ThreadPoolExecutor(len(steps)) as pool:
            wait([pool.submit(taken, step) for step in steps])
        if self.failure:
            raise self.failure

    def look(self, doing: str, name: str = "") -> None:
        """Raise where a server has ended, another step failed, the time is over, or a signal came."""
        heed(self.signals)
        if self.failure:
            raise self.failure
        for dead, child in self.children.items():
            if child.poll() is not None:
                last = tail(self.folder.log(dead))
                # radosgw may end before its last words are written: its exit code is the error's number
                said = self.folder.log(dead).read_text(errors="replace")
                taken = child.returncode == errno.EADDRINUSE or any(words in said for words in TAKEN)
                raise (PortTaken if taken else Failed)(f"{dead} ended with {child.returncode}: {last}")
        if time.monotonic() > self.deadline:
            last = tail(self.folder.log(name)) if name else f"see the logs in {self.folder.logs}"
            raise Failed(f"{START_SECONDS} s are over, {doing}: {last}")


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


def _dismiss(child: subprocess.Popen[str]) -> None:
    """End a tool with what it started, which holds the same pipes: initdb's PostgreSQL removes its shared memory if it may."""
    child.terminate()
    with suppress(subprocess.TimeoutExpired):
        child.communicate(timeout=2)
        return
    child.kill()


def _as(user: str, command: Sequence[str]) -> list[str]:
    """Give up root for a server that refuses it, but for reading and writing files: the stack's folder is closed to others."""
    found = [shutil.which(command[0]) or command[0], *command[1:]]
    if not user or os.geteuid():
        return found
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--inh-caps=+dac_override", "--ambient-caps=+dac_override", *found]


def _environment(folder: Folder) -> dict[str, str]:
    """Nothing from outside: CEPH_ARGS or PYTHONPATH would change what starts."""
    return {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(folder.path), "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}
