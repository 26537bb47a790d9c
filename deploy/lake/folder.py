"""Where one stack of servers lies, which processes are its own, and how they end.

A process is ours if its program is one of the stack's and its command line, or the folder it works in, names what only the server
of this folder has; a number in a pid file proves nothing, as it may belong to another process by now.
"""

# ruff: noqa: INP001  (it lies beside the script that imports it)
from __future__ import annotations

import fcntl
import os
import re
import select
import shutil
import signal
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["Failed", "Folder", "Server", "end", "heed", "locked", "own", "tail", "write"]

LOCK_SECONDS = 100  # for another start or stop of the same folder
STOP_SECONDS = 2  # then SIGKILL: nothing is kept, and radosgw waits long for an osd that has ended before it
README = "Written by deploy/lake/{0} of lakecv, and removed by `{0} stop` but for the logs. Keep nothing here.\n"


class Failed(Exception):
    """What was found and what to do, in one line."""


@dataclass(frozen=True)
class Server:
    """How to tell a server: its program, and a path below `servers` that its command line names or that it works in."""

    program: str
    mark: str
    signal: signal.Signals = signal.SIGTERM  # what ends it at once


@dataclass(frozen=True)
class Folder:
    """Where the parts of one stack lie, which script started it, and its servers by name."""

    path: Path
    script: str
    table: Mapping[str, Server]

    @property
    def env(self) -> Path:
        """How its own user finds it: endpoints and keys."""
        return self.path / "lake.env"

    @property
    def users(self) -> Path:
        """Endpoint and keys of others, by name."""
        return self.path / "users"

    @property
    def clients(self) -> Path:
        """Homes of clients: settings, certificates, passwords."""
        return self.path / "clients"

    @property
    def servers(self) -> Path:
        """What only the servers read: settings, keys, data, pid files."""
        return self.path / "servers"

    @property
    def logs(self) -> Path:
        """One log for each server."""
        return self.path / "log"

    def log(self, name: str) -> Path:
        """Log of one server."""
        return self.logs / f"{name}.log"

    def pid(self, name: str) -> int | None:
        """Process of a server, None where it does not run or the number belongs to another process by now."""
        try:
            pid = int((self.servers / f"{name}.pid").read_text())
        except (OSError, ValueError):
            return None
        return pid if self._name(pid) == name else None

    def running(self) -> dict[str, int]:
        """Servers that run, and their processes."""
        found = {name: self.pid(name) for name in self.table}
        return {name: pid for name, pid in found.items() if pid is not None}

    def processes(self) -> dict[int, str]:
        """Find all processes of this folder's servers, also one that a start could not note because it was killed."""
        found = {pid: self._name(pid) for pid in (int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal())}
        return {pid: name for pid, name in found.items() if name}

    def _name(self, pid: int) -> str:
        """Say which server of this folder a process is; empty if none."""
        process = Path(f"/proc/{pid}")
        try:
            arguments = [os.fsdecode(word) for word in (process / "cmdline").read_bytes().split(b"\0")]
        except OSError:
            return ""
        program = Path(arguments[0].split(": ")[0]).name  # PostgreSQL's processes call themselves "postgres: what they do"
        named = {name: str(self.servers / server.mark) for name, server in self.table.items() if server.program == program}
        where = ""
        if named and not set(named.values()) & set(arguments):
            with suppress(OSError):  # of another user, or it has ended
                where = str((process / "cwd").readlink())
        return next((name for name, mark in named.items() if mark in {*arguments, where}), "")

    def settings(self) -> dict[str, str]:
        """Read what `lake.env` says."""
        return dict(line.split("=", 1) for line in self.env.read_text().splitlines())


def own(folder: Folder, signals: Sequence[int]) -> None:
    """Make the folder, readable by its owner alone; refuse one that holds anything else."""
    path = folder.path
    if not re.fullmatch(r"[\w./+@~:,=-]+", str(path), re.ASCII):
        raise Failed(f"{path}: settings of servers cannot name this folder. Take one of letters, digits and ./_-")
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.stat().st_uid != os.geteuid():
            raise Failed(f"{path} belongs to another user. Take a folder of your own")
        if not _marked(folder):
            with locked(folder, signals):  # another start may be about to mark it
                if not _marked(folder):
                    if any(path.iterdir()):
                        raise Failed(f"{path} is not empty, and not of this program. Take an empty or a new folder")
                    (path / "README").write_text(README.format(folder.script))
        path.chmod(0o700)
    except (OSError, UnicodeDecodeError) as error:
        raise Failed(f"{path} cannot be used: {error}. Take a folder that you may write to") from error


def _marked(folder: Folder) -> bool:
    mark = folder.path / "README"
    return mark.exists() and mark.read_text() == README.format(folder.script)


@contextmanager
def locked(folder: Folder, signals: Sequence[int]) -> Iterator[None]:
    """One start or stop at a time; the lock ends with the process."""
    deadline = time.monotonic() + LOCK_SECONDS
    handle = os.open(folder.path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                heed(signals)
                if time.monotonic() > deadline:
                    raise Failed(f"{folder.path}: another start or stop is at work since {LOCK_SECONDS} s. End that one") from None
                time.sleep(0.05)
        yield
    finally:
        os.close(handle)


def heed(signals: Sequence[int]) -> None:
    """Raise where a signal came: at the places where whoever waits can leave."""
    if signals:
        raise Failed(f"interrupted by {signal.Signals(signals[0]).name}")


def end(folder: Folder) -> None:
    """Send each process of ours its signal, then SIGKILL; then remove what only the servers need."""
    with ExitStack() as opened:
        handles: dict[int, int] = {}
        for pid in folder.processes():
            with suppress(ProcessLookupError):
                handles[pid] = os.pidfd_open(pid)
                opened.callback(os.close, handles[pid])
        ours = folder.processes()  # a number may have changed hands before it was opened
        handles = {pid: handle for pid, handle in handles.items() if pid in ours}
        for kill in (False, True):
            for pid in _alive(handles, 0):
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(handles[pid], signal.SIGKILL if kill else folder.table[ours[pid]].signal)
            left = _alive(handles, STOP_SECONDS)
    if left:
        raise Failed(f"processes {left} did not end, even by SIGKILL: see what they wait for, then stop again")
    shutil.rmtree(folder.servers, ignore_errors=True)
    shutil.rmtree(folder.users, ignore_errors=True)
    shutil.rmtree(folder.clients, ignore_errors=True)
    folder.env.unlink(missing_ok=True)


def _alive(handles: Mapping[int, int], seconds: float) -> list[int]:
    """Name the processes that have not ended, with all threads and sockets, after at most some seconds."""
    deadline = time.monotonic() + seconds
    while left := [pid for pid, handle in handles.items() if not select.select([handle], [], [], 0)[0]]:
        if time.monotonic() >= deadline:
            break
        time.sleep(0.02)
    return left


def write(path: Path, text: str) -> None:
    """Write a file whole or not at all; it may hold keys."""
    part = path.with_suffix(".part")
    part.touch(mode=0o600)
    part.write_text(text)
    part.replace(path)


def tail(log: Path) -> str:
    """Last words of a log in one line: errors where there are any, without the time and thread before them."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    lines = [line for line in lines if line.strip()]
    errors = [line for line in lines if re.match(r"\S+ \w+ -1 ", line)]
    last = [re.sub(r"^\S+ \w+ +-?\d+ ", "", line).strip() for line in (errors or lines)[-2:]]
    return f"{' / '.join(last) or 'it said nothing'}. Its log: {log}"
