"""Drivers of runs on this machine: who is at work, and one that goes on when the terminal is gone.

A note in the user's state folder says which process drives a run.  It is a hint for people and never a lock: two drivers on one
run do no harm, and where a note cannot be written the run goes on all the same.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from lakecv.errors import Denied, Kind, LakeCVError, Unavailable
from lakecv.plan import Run

__all__ = ["Detached", "Driver", "at_work", "check", "driver_log", "drivers", "notes", "start"]

_PROGRAM = ("-P", "-c", "import sys; from lakecv.cli import main; sys.exit(main())")
_PATIENCE_SECONDS, _LOOK_SECONDS = 3.0, 0.05
_KEPT_SECONDS = 30 * 86400.0
_SAME_START_SECONDS = 5.0  # the clock that counts from the machine's start is set now and then
_ERROR = re.compile(r"^error: (.*) \[([a-z-]+)\]$", re.MULTILINE)
_HINT = re.compile(r"^hint: (.*)$", re.MULTILINE)
_INTERRUPTED = 75


@dataclass(frozen=True, slots=True)
class Driver:
    """A process that drives a run.  ``begun`` = its workers are asked for and its first stage goes on; ``ended`` = it gave up."""

    run: str
    pid: int
    host: str
    started: float
    begun: bool = False
    ended: bool = False

    @property
    def alive(self) -> bool:
        """True where this very process still works, on this machine."""
        import psutil

        if self.ended or self.host != socket.gethostname():
            return False
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < _SAME_START_SECONDS
            return bool(same and process.status() != psutil.STATUS_ZOMBIE)
        except psutil.Error:
            return False


@dataclass(frozen=True, slots=True)
class Detached:
    """A run that goes on by itself; ``driver`` None = it had ended before, or while one looked."""

    run: Run
    driver: Driver | None
    log: str


def driver_log(run: str) -> Path:
    """File that a detached driver of a run writes to."""
    return _folder() / f"{run}.log"


def notes(run: str) -> tuple[Driver, ...]:
    """Drivers of a run that this machine knows of, dead ones too."""
    found = (_read(path) for path in sorted(_folder().glob(f"{run}-*.json")))
    return tuple(driver for driver in found if driver is not None and driver.host == socket.gethostname())


def drivers(run: str) -> tuple[Driver, ...]:
    """Drivers of a run that are at work on this machine."""
    return tuple(driver for driver in notes(run) if driver.alive)


def check() -> None:
    """Refuse to detach where no log can be written, before anything is begun.

    Raises
    ------
    Denied
        Then (kind ``forbidden``).
    """
    path = _folder() / f".{os.getpid()}"
    os.close(_log(path))
    with suppress(OSError):
        path.unlink()


@contextmanager
def at_work(run: str) -> Iterator[Callable[[], None]]:
    """Note that this process drives a run, until that has ended; gives what notes that its work has begun."""
    import psutil

    _sweep(run)
    path = _folder() / f"{run}-{os.getpid()}.json"
    driver = Driver(run, os.getpid(), socket.gethostname(), psutil.Process().create_time())
    _write(path, driver)
    said: list[Driver] = []

    def begun() -> None:
        if not said:
            said.append(replace(driver, begun=True))
            _write(path, said[0])

    try:
        yield begun
    except BaseException:
        _write(path, replace(driver, ended=True))
        raise
    with suppress(OSError):
        path.unlink(missing_ok=True)


def start(run: str, lake: str, environment: Mapping[str, str]) -> Driver | None:
    """Start a driver of its own session, and look at it until it works; None = it has brought the run to its end by then.

    Parameters
    ----------
    run : str
        The run, claimed.
    lake : str
        Url of its lake.
    environment : mapping
        What it gets beside this process's own.

    Raises
    ------
    Denied
        If its log cannot be written (kind ``forbidden``).
    LakeCVError
        What it ended with, if it could not begin.
    """
    path = driver_log(run)
    log = _log(path)
    try:
        begin = os.fstat(log).st_size
        process = subprocess.Popen(  # noqa: S603  (this interpreter, with words that were checked)
            [sys.executable, *_PROGRAM, "--lake", lake, "resume", run], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env={**os.environ, **environment}, start_new_session=True,
        )
    finally:
        os.close(log)
    code = _settled(process, run)
    if code is None:
        threading.Thread(target=process.wait, daemon=True).start()  # a notebook lives on: it must leave no zombie
        known = [driver for driver in notes(run) if driver.pid == process.pid]
        return known[0] if known else Driver(run, process.pid, socket.gethostname(), time.time())
    if code in {0, 1}:
        return None
    raise _early(run, code, path.read_text(encoding="utf-8", errors="replace")[begin:])


def _settled(process: subprocess.Popen[bytes], run: str) -> int | None:
    """Wait until a driver has begun (None), or ended (its exit code), for a few seconds at most."""
    end = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < end:
        with suppress(subprocess.TimeoutExpired):
            return process.wait(_LOOK_SECONDS)
        if any(driver.begun for driver in notes(run) if driver.pid == process.pid):
            return None
    return process.poll()


def _early(run: str, code: int, said: str) -> LakeCVError:
    """Make the error that a driver ended with from what it said last."""
    told, hints = _ERROR.findall(said), _HINT.findall(said)
    if not told:
        how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return Unavailable(f"the driver of {run} {how} and said nothing", Kind.WORKER_LOST, f"lakecv logs {run}")
    message, kind = told[-1]
    known = {each.exit_code: each for each in LakeCVError.__subclasses__()} | {_INTERRUPTED: Unavailable}
    named = Kind(kind) if kind in {*map(str, Kind)} else Kind.UNSPECIFIED
    return known.get(code, Unavailable)(f"the driver of {run} could not begin: {message}", named, hints[-1] if hints else f"lakecv logs {run}")


def _folder() -> Path:
    from platformdirs import user_state_path

    return user_state_path("lakecv") / "runs"


def _log(path: Path) -> int:
    """Open a log that nobody else may read."""
    try:
        path.parent.mkdir(0o700, parents=True, exist_ok=True)
        log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        os.fchmod(log, 0o600)
    except OSError as err:
        raise Denied(
            f"the log {path} cannot be written: {err.strerror or err}", Kind.FORBIDDEN, "set XDG_STATE_HOME to a folder of yours, or leave --detach out",
        ) from err
    return log


def _read(path: Path) -> Driver | None:
    """Read a note; None where it is none, or half written."""
    try:
        found: Any = json.loads(path.read_bytes())
        return Driver(str(found["run"]), int(found["pid"]), str(found["host"]), float(found["started"]), bool(found["begun"]), bool(found["ended"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(path: Path, driver: Driver) -> None:
    """Write a note, all of it or nothing; a hint that cannot be given is no failure."""
    with suppress(OSError):
        path.parent.mkdir(0o700, parents=True, exist_ok=True)
        new = path.with_suffix(f".{threading.get_ident()}")
        new.write_text(json.dumps(asdict(driver)), encoding="utf-8")
        new.replace(path)


def _sweep(run: str) -> None:
    """Remove what dead drivers of this run noted, and what nobody has touched for a month."""
    for path in _folder().glob("r-*"):
        known = _read(path) if path.suffix == ".json" else None
        if known is not None and known.alive:
            continue
        dead = known is not None and (known.run, known.host) == (run, socket.gethostname())
        with suppress(OSError):
            if dead or time.time() - path.stat().st_mtime > _KEPT_SECONDS:
                path.unlink(missing_ok=True)
