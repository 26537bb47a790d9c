"""Stand-ins for PBS: qsub, qstat and qdel that run job scripts as processes of this machine. For tests.

No Debian has PBS (OpenPBS, PBS Pro, Torque), so this is not the real thing, only what a client sees of it: directives, the words and
exit codes of refusals, a job that starts at home in its own session and without the caller's environment unless it asks, output
that is delivered when it is over, walltime. There is no queueing: a job starts at once. See directives.py beside it for what of a
script is read.

    LAKECV_PBS_SPOOL=FOLDER     where jobs are noted (needed)
    LAKECV_PBS_QUEUES=a,b       the queues there are, the first for who names none (workq)
    LAKECV_PBS_KILL_DELAY=2     seconds between SIGTERM and SIGKILL

A job's folder is held locked by what watches over it, so a job whose watcher was killed is seen as lost.
"""

# ruff: noqa: INP001  (run by the scripts beside it)
from __future__ import annotations

import fcntl
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from directives import Refused, Request, read

# Exit codes are PBS's error numbers, of which a shell sees the last eight bits.
UNKNOWN_JOB, UNKNOWN_QUEUE, FINISHED, BUSY = 15001 & 255, 15018 & 255, 15139 & 255, 15033 & 255
# Exit_status of jobs: what PBS says of one that its node lost, and of one that took too long; 256 + signal for killed ones.
LOST, OVERTIME, SIGNALLED = -4, -29, 256
SERVER = "shim"
POLL_SECONDS = 0.02
DYING_SECONDS = 30.0  # a busy machine takes its time to end what was killed


def qsub(words: list[str]) -> int:
    """Note a job, start what watches over it, and print its number."""
    request, script = read(words)
    queues = os.environ.get("LAKECV_PBS_QUEUES", "workq").replace(",", " ").split()
    if (queue := request.queue or queues[0]) not in queues:
        _refuse("qsub", "Unknown queue", UNKNOWN_QUEUE)
    folder = _new()
    (folder / "script").write_text(script)
    number = f"{folder.name}.{SERVER}"
    job = {
        "Job_Name": request.name, "Job_Owner": f"{_user()}@{socket.gethostname()}", "job_state": "R", "queue": queue, "server": SERVER,
        "Error_Path": _where(request.error, request.name, "e", folder.name), "Join_Path": request.join,
        "Output_Path": _where(request.output, request.name, "o", folder.name), "qtime": time.ctime(), "Account_Name": request.account,
        "Resource_List": request.resources, "Variable_List": {"PBS_O_WORKDIR": str(Path.cwd()), "PBS_O_QUEUE": queue},
    }
    _note(folder, {name: value for name, value in job.items() if value})
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # it goes with the file, to the watcher
        with (folder / "watcher.log").open("wb") as log:
            subprocess.Popen(  # noqa: S603  (this very program)
                [sys.executable, "-Es", __file__, "watch", str(folder)], env=_environment(request, number, queue), cwd="/",
                start_new_session=True, pass_fds=(lock.fileno(),), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )
    sys.stdout.write(f"{number}\n")
    return 0


def watch(words: list[str]) -> int:
    """Be a job's node: run the script, end it when its time is over or when told, deliver its output."""
    folder = Path(words[0])
    job, began = _noted(folder), time.monotonic()
    limit = _seconds(job["Resource_List"].get("walltime", ""))
    with (folder / "OU").open("wb") as out, (folder / "ER").open("wb") as err:
        second = out if job.get("Join_Path") == "oe" else err
        child = subprocess.Popen(  # noqa: S603  (the user's own script)
            [*_shell(folder / "script"), str(folder / "script")], cwd=os.environ["HOME"], start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=out, stderr=second,
        )
        _note(folder, job | {"session_id": child.pid, "exec_host": f"{socket.gethostname()}/0", "stime": time.ctime()})
        deleted = late = False
        while child.poll() is None and not (deleted or late):
            time.sleep(POLL_SECONDS)
            deleted, late = (folder / "delete").exists(), bool(limit) and time.monotonic() - began > limit
        code = _end(child)
        if late:
            second.seek(0, os.SEEK_END)  # the script wrote behind our back
            second.write(f"=>> PBS: job killed: walltime {time.monotonic() - began:.0f} exceeded limit {limit}\n".encode())
    for name, path in (("OU", job["Output_Path"]), ("ER", job["Error_Path"])):
        if name == "OU" or job.get("Join_Path") != "oe":
            _deliver(folder / name, Path(path.partition(":")[2]))
    status = OVERTIME if late else SIGNALLED + signal.SIGTERM if deleted else code if code >= 0 else SIGNALLED - code
    _note(folder, _noted(folder) | {"job_state": "F", "Exit_status": status, "resources_used": {"walltime": _clock(time.monotonic() - began)}})
    return 0


def qstat(words: list[str]) -> int:
    """Show jobs: a table, all of each (-f), or all as JSON (-f -F json); those that are over only with -x."""
    full, over, as_json, numbers = _options(words)
    if not numbers:
        found, code = {name: job for name, job in _all().items() if over or job["job_state"] != "F"}, 0
    else:
        found, code = _asked(numbers, over=over)
    if as_json:
        answer = {"timestamp": int(time.time()), "pbs_version": "shim", "pbs_server": SERVER, "Jobs": found}
        sys.stdout.write(json.dumps(answer, indent=4) + "\n")
    elif full:
        sys.stdout.writelines(f"Job Id: {name}\n" + "".join(_lines(job)) + "\n" for name, job in found.items())
    elif found:
        sys.stdout.write("Job id            Name             User              Time Use S Queue\n")
        sys.stdout.write("----------------  ---------------- ----------------  -------- - -----\n")
        sys.stdout.writelines(_row(name, job) for name, job in found.items())
    return code


def qdel(words: list[str]) -> int:
    """Have jobs end, with all processes of their group; each is still there until it has ended."""
    code = 0
    for number in words:
        found, wrong = _asked([number], over=False, command="qdel")
        code = wrong or code
        for name in found:
            (_spool() / name.partition(".")[0] / "delete").touch()
    return code


# --- a job ------------------------------------------------------------------------------------------------------------
def _environment(request: Request, number: str, queue: str) -> dict[str, str]:
    """Give a job a new login's variables, PBS's own, and the caller's where it asks for them."""
    entry = pwd.getpwuid(os.geteuid())
    home = os.environ.get("HOME", entry.pw_dir)
    kept = dict(os.environ) if request.environment else {"PATH": "/usr/local/bin:/usr/bin:/bin"}
    origin = {f"PBS_O_{name}": os.environ.get(name, "") for name in ("HOME", "PATH", "SHELL", "LOGNAME", "LANG")}
    return kept | request.variables | origin | {
        "HOME": home, "LOGNAME": entry.pw_name, "USER": entry.pw_name, "SHELL": entry.pw_shell, "PBS_O_WORKDIR": str(Path.cwd()),
        "PBS_O_HOST": socket.gethostname(), "PBS_O_QUEUE": queue, "PBS_QUEUE": queue, "PBS_JOBID": number, "PBS_JOBNAME": request.name,
        "PBS_ENVIRONMENT": "PBS_BATCH", "NCPUS": str(request.resources["ncpus"]), "PBS_JOBDIR": home,
        "LAKECV_PBS_KILL_DELAY": os.environ.get("LAKECV_PBS_KILL_DELAY", "2"),
    }


def _shell(script: Path) -> list[str]:
    """Who runs it: the script's first line says."""
    first = script.read_text().partition("\n")[0]
    return first[2:].split() if first.startswith("#!") else ["/bin/sh"]


def _end(child: subprocess.Popen[bytes]) -> int:
    """End what is left of a job's group, first by SIGTERM, and wait until all of it is gone; tell how its script ended."""
    for number, seconds in ((signal.SIGTERM, float(os.environ["LAKECV_PBS_KILL_DELAY"])), (signal.SIGKILL, DYING_SECONDS)):
        deadline = time.monotonic() + seconds
        with suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        while (child.poll() is None or _alive(child.pid)) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
    return child.wait()


def _alive(group: int) -> bool:
    """Whether any process of a group runs; the dead that nobody has waited for do not (`kill` with 0 finds these too)."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, its = path.read_text().rpartition(")")[2].split()[:3]
            if int(its) == group and state not in "ZX":
                return True
    return False


def _deliver(spooled: Path, to: Path) -> None:
    with suppress(OSError):  # its folder is gone, or full: real PBS writes a letter then
        shutil.copyfile(spooled, to)


def _where(asked: str, name: str, letter: str, number: str) -> str:
    """Where output goes, HOST:PATH: below the folder of qsub, by default named after the job."""
    path = Path.cwd() / (asked.rpartition(":")[2] or f"{name}.{letter}{number}")
    if path.is_dir():
        path /= f"{number}.{SERVER}.{'OU' if letter == 'o' else 'ER'}"
    return f"{socket.gethostname()}:{path}"


# --- the spool --------------------------------------------------------------------------------------------------------
def _spool() -> Path:
    folder = os.environ.get("LAKECV_PBS_SPOOL")
    if not folder:
        _refuse("pbs", "cannot connect to server (LAKECV_PBS_SPOOL names no folder)", BUSY)
    path = Path(folder).absolute()
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def _new() -> Path:
    """Make the folder of the next job."""
    spool = _spool()
    number = 1 + max((int(path.name) for path in spool.iterdir() if path.name.isdecimal()), default=0)
    while True:
        with suppress(FileExistsError):
            (spool / str(number)).mkdir(mode=0o700)
            return spool / str(number)
        number += 1


def _note(folder: Path, job: dict[str, Any]) -> None:
    part = folder / f"job.{os.getpid()}"
    part.write_text(json.dumps(job))
    part.replace(folder / "job.json")


def _noted(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "job.json").read_text())
    return found


def _looked_up(folder: Path) -> dict[str, Any]:
    """Read a job as it is now: lost, where nobody watches over it and it never ended."""
    with (folder / "lock").open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _noted(folder)
    job = _noted(folder)
    return job if job["job_state"] == "F" else job | {"job_state": "F", "Exit_status": LOST}


def _all() -> dict[str, dict[str, Any]]:
    folders = sorted((path for path in _spool().iterdir() if path.name.isdecimal()), key=lambda path: int(path.name))
    return {f"{folder.name}.{SERVER}": _looked_up(folder) for folder in folders if (folder / "lock").exists()}


def _asked(numbers: list[str], *, over: bool, command: str = "qstat") -> tuple[dict[str, dict[str, Any]], int]:
    """Find jobs by number; say which there are not, in PBS's words, and give the last complaint's code."""
    found, code = {}, 0
    for number in numbers:
        name = number if number.endswith(f".{SERVER}") else f"{number}.{SERVER}"
        folder = _spool() / name.partition(".")[0]
        if not name.partition(".")[0].isdecimal() or not (folder / "lock").exists():
            code = _complain(command, f"Unknown Job Id {name}", UNKNOWN_JOB)
            continue
        job = _looked_up(folder)
        if over or job["job_state"] != "F":
            found[name] = job
        else:
            said = f"{name} Job has finished, use -x or -H to obtain historical job information"
            code = _complain(command, said if command == "qstat" else f"Job has finished {name}", FINISHED)
    return found, code


# --- what is shown ----------------------------------------------------------------------------------------------------
def _options(words: list[str]) -> tuple[bool, bool, bool, list[str]]:
    """Read the options of qstat: -f, -x, -F json, also in one word; the rest are numbers."""
    letters, numbers, form, left = "", [], "", list(words)
    while left:
        word = left.pop(0)
        if word == "-F":
            form = left.pop(0) if left else ""
        elif word.startswith("-F"):
            form = word[2:]
        elif word.startswith("-") and set(word[1:]) <= set("fxw"):
            letters += word[1:]
        elif word.startswith("-"):
            _refuse("qstat", f"usage: qstat [-f [-F json]] [-x] [job_identifier...]; not {word}", 2)
        else:
            numbers.append(word)
    return "f" in letters, "x" in letters, form == "json" and "f" in letters, numbers


def _row(name: str, job: dict[str, Any]) -> str:
    used = job.get("resources_used", {}).get("walltime", "0")
    owner = job["Job_Owner"].partition("@")[0]
    return f"{name[:16]:16s}  {job['Job_Name'][:16]:16s} {owner[:16]:16s}  {used:>8s} {job['job_state']} {job['queue']:16s}\n"


def _lines(job: dict[str, Any]) -> list[str]:
    """Write attributes as `name = value`; those of lists as `list.name = value`, but variables in one line."""
    found = []
    for name, value in job.items():
        if name == "Variable_List":
            found.append(f"    {name} = {','.join(f'{key}={one}' for key, one in value.items())}\n")
        elif isinstance(value, dict):
            found += [f"    {name}.{key} = {one}\n" for key, one in value.items()]
        else:
            found.append(f"    {name} = {value}\n")
    return found


def _seconds(clock: str) -> int:
    """Read [[HH:]MM:]SS; none is no limit."""
    return sum(int(part) * 60**power for power, part in enumerate(reversed(clock.split(":")))) if clock else 0


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 3600:02d}:{int(seconds) // 60 % 60:02d}:{int(seconds) % 60:02d}"


def _user() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


def _complain(command: str, what: str, code: int) -> int:
    sys.stderr.write(f"{command}: {what}\n")
    return code


def _refuse(command: str, what: str, code: int) -> NoReturn:
    sys.exit(_complain(command, what, code))


if __name__ == "__main__":
    try:
        sys.exit({"qsub": qsub, "qstat": qstat, "qdel": qdel, "watch": watch}[sys.argv[1]](sys.argv[2:]))
    except Refused as refused:
        sys.exit(_complain("qsub", str(refused), refused.code))
