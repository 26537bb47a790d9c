"""Where one lake lies, which processes are its own, and how they end.

A process is ours if it is one of Ceph's servers and its command line names the settings file of this folder; a number in a pid
file proves nothing, as it may belong to another process by now.
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

__all__ = ["SERVERS", "Failed", "Folder", "end", "heed", "locked", "own", "tail", "write"]

SERVERS = {"mon": "ceph-mon", "osd": "ceph-osd", "mgr": "ceph-mgr", "rgw": "radosgw"}
LOCK_SECONDS = 100  # for another start or stop of the same folder
STOP_SECONDS = 2  # then SIGKILL: nothing is kept, and radosgw waits long for an osd that has ended before it
README = "Written by deploy/lake/ceph.py of lakecv, and removed by `ceph.py stop` but for the logs. Keep nothing here.\n"


class Failed(Exception):
    """What was found and what to do, in one line."""


@dataclass(frozen=True)
class Folder:
    """Where the parts of one lake lie."""

    path: Path

    @property
    def env(self) -> Path:
        """Endpoint and keys of the lake's own user."""
        return self.path / "lake.env"

    @property
    def users(self) -> Path:
        """Endpoint and keys of others, by name."""
        return self.path / "users"

    @property
    def servers(self) -> Path:
        """What only the servers read: settings, keys, data, pid files."""
        return self.path / "servers"

    @property
    def conf(self) -> Path:
        """The settings; named in the command line of each server, which tells ours from others."""
        return self.servers / "ceph.conf"

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
        return pid if self._started(pid) == SERVERS[name] else None

    def running(self) -> dict[str, int]:
        """Servers that run, and their processes."""
        found = {name: self.pid(name) for name in SERVERS}
        return {name: pid for name, pid in found.items() if pid is not None}

    def processes(self) -> list[int]:
        """Find all servers of this folder, also one that a start could not note because it was killed."""
        pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
        return [pid for pid in pids if self._started(pid) in SERVERS.values()]

    def _started(self, pid: int) -> str:
        """Name the program of a process if it was started with the settings of this folder."""
        try:
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return ""
        return Path(os.fsdecode(arguments[0])).name if os.fsencode(self.conf) in arguments else ""

    def settings(self) -> dict[str, str]:
        """Read what `lake.env` says."""
        return dict(line.split("=", 1) for line in self.env.read_text().splitlines())


def own(folder: Folder) -> None:
    """Make the folder, readable by its owner alone; refuse one that holds anything else."""
    path = folder.path
    if not re.fullmatch(r"[\w./+@~:,=-]+", str(path), re.ASCII):
        raise Failed(f"{path}: Ceph's settings cannot name this folder. Take one of letters, digits and ./_-")
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.stat().st_uid != os.geteuid():
            raise Failed(f"{path} belongs to another user. Take a folder of your own")
        mark = path / "README"
        if not (mark.exists() and mark.read_text() == README):
            if any(path.iterdir()):
                raise Failed(f"{path} is not empty, and not of this program. Take an empty or a new folder")
            mark.write_text(README)
        path.chmod(0o700)
    except (OSError, UnicodeDecodeError) as error:
        raise Failed(f"{path} cannot be used: {error}. Take a folder that you may write to") from error


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
    """SIGTERM, then SIGKILL, to what is ours; then remove what only the servers need."""
    with ExitStack() as opened:
        handles: dict[int, int] = {}
        for pid in folder.processes():
            with suppress(ProcessLookupError):
                handles[pid] = os.pidfd_open(pid)
                opened.callback(os.close, handles[pid])
        ours = set(folder.processes())  # a number may have changed hands before it was opened
        handles = {pid: handle for pid, handle in handles.items() if pid in ours}
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in _alive(handles, 0):
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(handles[pid], number)
            left = _alive(handles, STOP_SECONDS)
    if left:
        raise Failed(f"processes {left} did not end, even by SIGKILL: see what they wait for, then stop again")
    shutil.rmtree(folder.servers, ignore_errors=True)
    shutil.rmtree(folder.users, ignore_errors=True)
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
