#!/usr/bin/env python3
"""A real HTCondor in one folder: a personal pool of one machine, out of a Debian 13, as Debian 12 has none. Needs root.

    htcondor.py build                fetch that Debian (once: 80 s, 320 MB) into $LAKECV_HTCONDOR_ROOT, else ~/.cache/lakecv/htcondor
    htcondor.py start FOLDER [--bind PATH]...     start it, wait until its slot is free; does nothing where it runs already
    htcondor.py status FOLDER        exit code 0 where it runs, 3 where not
    htcondor.py stop FOLDER          end it, jobs too; the logs stay

    . FOLDER/htcondor.env; condor_submit job.sub; condor_q

Jobs see /tmp, the folder, this Python with its environment, this repository, and each PATH: all by their usual names. They and the
pool are processes of whoever starts it, who is called lakecv (2001) there: HTCondor runs no jobs of root. Everything is in a
PID namespace of its own, so that it ends at once. The slot says SITE = "infn-pg".
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from stack import Failed, Launch, PortTaken, Server, Stack, end, free_ports, locked, own, write

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stack import Folder

__all__ = ["build", "main", "start", "status", "stop"]

SERVERS = {
    "pool": Server("unshare", "pool.sh", signal.SIGKILL),
    "master": Server("condor_master", "condor.pid", signal.SIGKILL),  # first process of its namespace: with it all others end
}
HERE = Path(__file__).resolve().parent
TOOLS = ("unshare", "nsenter", "mount", "chroot")
CLIENTS = ("condor_submit", "condor_q", "condor_rm", "condor_status", "condor_hold", "condor_release", "condor_history", "condor_version")
BUILD_SECONDS = 900
MAX_PATH = 60  # HTCondor makes sockets below the folder: sun_path(7) is 108 long

CONF = """\
RELEASE_DIR = /usr
LOCAL_DIR = {pool}
RUN = $(LOCAL_DIR)/run
LOG = {logs}/condor
LOCK = $(LOCAL_DIR)/lock
SPOOL = $(LOCAL_DIR)/spool
EXECUTE = $(LOCAL_DIR)/execute
DAEMON_SOCKET_DIR = $(LOCAL_DIR)/sock
BIN = /usr/bin
SBIN = /usr/sbin
LIB = /usr/lib/condor
LIBEXEC = /usr/libexec/condor
SHARE = /usr/share/condor
use ROLE: CentralManager
use ROLE: Submit
use ROLE: Execute
use FEATURE: PartitionableSlot
CONDOR_HOST = 127.0.0.1
COLLECTOR_HOST = 127.0.0.1:{port}
SHARED_PORT_PORT = {port}
USE_SHARED_PORT = True
NETWORK_INTERFACE = 127.0.0.1
BIND_ALL_INTERFACES = False
SEC_DEFAULT_AUTHENTICATION = REQUIRED
SEC_DEFAULT_AUTHENTICATION_METHODS = FS
SEC_CLIENT_AUTHENTICATION_METHODS = FS
ALLOW_READ = lakecv@*
ALLOW_WRITE = lakecv@*
ALLOW_DAEMON = lakecv@*
ALLOW_NEGOTIATOR = lakecv@*
ALLOW_ADMINISTRATOR = lakecv@*
NUM_CPUS = 8
MEMORY = 16000
SITE = "infn-pg"
STARTD_ATTRS = $(STARTD_ATTRS) SITE
START = True
SUSPEND = False
PREEMPT = False
RUNBENCHMARKS = 0
SCHEDD_INTERVAL = 2
NEGOTIATOR_INTERVAL = 2
NEGOTIATOR_CYCLE_DELAY = 1
UPDATE_INTERVAL = 5
"""
# Runs as the first process of its namespaces. Debian 13 stays as it is but for the folders that others are mounted on.
POOL = """\
#!/bin/sh
set -e
mount -t proc proc {root}/proc
mount --rbind /dev {root}/dev
mount --rbind /sys {root}/sys
for path in {paths}; do
    mkdir -p "{root}$path"
    mount --rbind "$path" "{root}$path"
done
exec unshare --user --map-user=2001 --map-group=2001 --root={root} --wd=/ /usr/sbin/condor_master -f -pidfile {pid}
"""
# The command that it is linked as, run in the pool's namespaces, in the folder where it was called
CLIENT = """\
#!/bin/sh
exec nsenter --target "$(cat {master})" --user --mount --pid --root --wd --setuid 2001 --setgid 2001 \\
    /bin/sh -c 'cd "$0" && exec "$@"' "$PWD" /usr/bin/env CONDOR_CONFIG={conf} "/usr/bin/${{0##*/}}" "$@"
"""


def root() -> Path:
    """Where that Debian lies."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("LAKECV_HTCONDOR_ROOT") or cache / "lakecv" / "htcondor").absolute()


def build() -> None:
    """Fetch a small Debian 13 with HTCondor, unless it is there."""
    if _built():
        return
    _as_root()
    if not shutil.which("mmdebstrap"):
        raise Failed(f"mmdebstrap is not installed. Run: {HERE / 'install.sh'} htcondor")
    part = root().with_name(root().name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    root().parent.mkdir(parents=True, exist_ok=True)
    user = 'chroot "$1" useradd --uid 2001 --create-home lakecv'
    words = ["mmdebstrap", "--quiet", "--variant=minbase", "--include=minicondor,python3-minimal", f"--customize-hook={user}", "trixie", str(part)]
    for _ in range(3):
        done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=sys.stderr, timeout=BUILD_SECONDS, check=False)  # noqa: S603
        if done.returncode == 0:
            part.chmod(0o755)  # it was made with the umask of secrets
            part.rename(root())
            return
        shutil.rmtree(part, ignore_errors=True)
    raise Failed("Debian 13 could not be fetched in three times; above is what mmdebstrap said")


def start(folder: Folder, signals: Sequence[int] = (), bind: Sequence[Path] = ()) -> None:
    """Start the pool, unless it runs; where a port was taken in the meantime, once more with another."""
    _as_root()
    if missing := [name for name in TOOLS if not shutil.which(name)]:
        raise Failed(f"not installed: {', '.join(missing)}. Install util-linux and coreutils")
    if not _built():
        raise Failed(f"no HTCondor in {root()}. Run: {HERE / 'htcondor.py'} build")
    if len(str(folder.path)) > MAX_PATH:
        raise Failed(f"{folder.path}: longer than {MAX_PATH} characters, which sockets of HTCondor cannot have. Take a shorter one")
    own(folder, signals)
    with locked(folder, signals):
        if not status(folder):
            return
        launch = Launch(folder, signals)
        try:
            try:
                _bring_up(launch, bind)
            except PortTaken:
                _bring_up(Launch(folder, signals, launch.deadline), bind)
        except BaseException:
            end(folder)
            raise


def stop(folder: Folder, signals: Sequence[int] = ()) -> None:
    """End the pool and all jobs, and remove all but the logs."""
    if (folder.path / "README").exists():
        own(folder, signals)
        with locked(folder, signals):
            end(folder)
            shutil.rmtree(folder.path / "bin", ignore_errors=True)


def status(folder: Folder) -> str:
    """Say what runs: an empty string where all is well."""
    running = folder.running()
    if not running:
        return "not running"
    return "not running: master" if "master" not in running else "" if folder.env.exists() else "starting"


# --- starting ---------------------------------------------------------------------------------------------------------
def _bring_up(launch: Launch, bind: Sequence[Path]) -> None:
    """Start the pool in an empty folder."""
    folder, conf = launch.folder, launch.folder.servers / "condor_config"
    end(folder)
    shutil.rmtree(folder.logs, ignore_errors=True)
    for path in (folder.servers, *(folder.servers / "pool" / name for name in ("run", "lock", "spool", "execute", "sock")), folder.logs / "condor"):
        path.mkdir(parents=True)
    write(conf, CONF.format(pool=folder.servers / "pool", logs=folder.logs, port=free_ports(1)[0]))
    pool = folder.servers / "pool.sh"
    write(pool, POOL.format(root=root(), pid=folder.servers / "condor.pid", paths=" ".join(_quoted(path) for path in _seen(folder, bind))))
    launch.spawn("pool", "unshare", "--mount", "--pid", "--fork", "/bin/sh", str(pool), CONDOR_CONFIG=str(conf))
    _write_clients(folder, conf)
    launch.wait("pool", lambda: _first(launch) and "Unclaimed" in _slots(launch))
    write(folder.env, f"export PATH={folder.path / 'bin'}:$PATH\n")


def _seen(folder: Folder, bind: Sequence[Path]) -> list[Path]:
    """List what of this machine jobs see: outer folders first, none twice."""
    wanted = {Path("/tmp"), folder.path, Path(sys.base_prefix), Path(sys.prefix), HERE.parents[1], *(path.resolve() for path in bind)}  # noqa: S108
    return sorted(path for path in wanted if not wanted & set(path.parents) and not _of_the_system(path))


def _of_the_system(path: Path) -> bool:
    """Whether the other Debian has its own: what lies there must fit its libraries."""
    return path in {Path("/"), Path("/usr")} or path.parts[1] in {"bin", "lib", "lib64", "sbin", "etc", "proc", "dev", "sys"}


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "'\\''") + "'"


def _write_clients(folder: Folder, conf: Path) -> None:
    """Commands for this machine's side."""
    home = folder.path / "bin"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    script = home / "client"
    write(script, CLIENT.format(master=folder.servers / "master.pid", conf=conf))
    script.chmod(0o700)
    for name in CLIENTS:
        (home / name).symlink_to("client")


def _first(launch: Launch) -> bool:
    """Whether the pool's first process is inside its namespaces, where commands are to go; note its number."""
    outer = launch.children["pool"].pid
    children = Path(f"/proc/{outer}/task/{outer}/children").read_text().split()
    if not children or "condor_master" not in Path(f"/proc/{children[0]}/comm").read_text():
        return False
    write(launch.folder.servers / "master.pid", f"{children[0]}\n")
    return True


def _slots(launch: Launch) -> str:
    """States of the slots; empty while nobody answers."""
    try:
        return launch.run(str(launch.folder.path / "bin" / "condor_status"), "-af", "State")
    except Failed:
        launch.look("waiting for the pool", "pool")
        return ""


def _built() -> bool:
    return (root() / "usr" / "sbin" / "condor_master").exists()


def _as_root() -> None:
    if os.geteuid():
        raise Failed("needs root: it mounts. Run it as root")


# --- the command ------------------------------------------------------------------------------------------------------
def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; exit codes: 0 done, 1 failed, 2 misused, 3 not running, 128 + a signal."""
    parser = argparse.ArgumentParser(prog="htcondor.py", description="A real HTCondor in one folder.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="fetch it")
    for name, what in (("start", "start it"), ("status", "say whether it runs"), ("stop", "end it")):
        command = commands.add_parser(name, help=what)
        command.add_argument("folder", type=Path)
        if name == "start":
            command.add_argument("--bind", action="append", default=[], type=Path, metavar="PATH", help="let jobs see this too")
    given = parser.parse_args(arguments)
    signals: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: signals.append(number))
    try:
        return _do(given, signals)
    except Failed as failure:
        sys.stderr.write(f"htcondor.py: {failure}\n")
        return 128 + signals[0] if signals else 1


def _do(given: argparse.Namespace, signals: Sequence[int]) -> int:
    if given.command == "build":
        build()
        sys.stdout.write(f"HTCondor in {root()}\n")
        return 0
    os.umask(0o077)
    folder = Stack(given.folder.resolve(), "../batch/htcondor.py", SERVERS)
    if given.command == "stop":
        stop(folder, signals)
        sys.stdout.write(f"{folder.path}: not running\n")
        return 0
    if given.command == "start":
        start(folder, signals, given.bind)
    if wrong := status(folder):
        sys.stdout.write(f"{folder.path}: {wrong}\n")
        return 3
    sys.stdout.write(f"HTCondor with one slot of 8 cores, for a shell: . {folder.env}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
