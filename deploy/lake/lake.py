#!/usr/bin/env python3
"""A real data lake in one folder, on 127.0.0.1: Rucio, Ceph (S3), XRootD, WebDAV, and an issuer of tokens.

    lake.py start FOLDER      start, fill, wait until all answer, write FOLDER/lake.env; does nothing where it runs already
    lake.py status FOLDER     exit code 0 where all run, 3 where not
    lake.py token FOLDER ACCOUNT [--lifetime S] [--audience A]     a signed OIDC token
    lake.py stop FOLDER       end the servers; the logs stay

Needs Python >= 3.11 and what install.sh brings, no root. What is in it and how to use it: docs/lake-servers.md.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import ceph
import rucio_server
import services
from folder import Failed, Folder, Server, end, locked, own, write
from launch import Launch, PortTaken, free_ports

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["main", "start", "status", "stop", "token"]

SERVERS = {
    "postgres": Server("postgres", "postgres", signal.SIGQUIT),  # SIGTERM would wait for the clients to leave
    "xrootd": Server("xrootd", "xrootd.cfg"),
    "nginx": Server("nginx", "nginx.conf"),
    "issuer": Server("python", "issuer"),
    "rucio": Server("python", "rucio/gunicorn.conf.py", signal.SIGKILL),  # it takes two seconds for less, and keeps nothing
    "transfers": Server("python", "rucio"),
}
PORTS = ("postgres", "issuer", "rucio", "rucio_tls", "s3", "xrootd", "xrootd_http", "xrootd_tls", "dav", "dav_http")
MAX_PATH = 70  # XRootD makes sockets below the folder: sun_path(7) is 108 long


def start(folder: Folder, signals: Sequence[int] = ()) -> None:
    """Start all, unless all run; where a port was taken in the meantime, once more with others."""
    _installed()
    if len(str(folder.path)) > MAX_PATH:
        raise Failed(f"{folder.path}: longer than {MAX_PATH} characters, which sockets of XRootD cannot have. Take a shorter one")
    own(folder, signals)
    with locked(folder, signals):
        if not status(folder):
            return
        launch = Launch(folder, signals)
        try:
            try:
                _bring_up(launch)
            except PortTaken:
                _bring_up(Launch(folder, signals, launch.deadline))
        except BaseException:
            _end(folder)
            raise


def stop(folder: Folder, signals: Sequence[int] = ()) -> None:
    """End the servers and remove all but the logs; a signal ends only the wait for another start or stop."""
    if (folder.path / "README").exists():
        own(folder, signals)
        with locked(folder, signals):
            _end(folder)


def status(folder: Folder) -> str:
    """Say what runs: an empty string where all is well."""
    running = [*folder.running(), *_ceph(folder).running()]
    if not running:
        return "not running"
    dead = [name for name in (*SERVERS, *ceph.SERVERS) if name not in running]
    return f"not running: {', '.join(dead)}" if dead else "" if folder.env.exists() else "starting"


def token(folder: Folder, account: str, lifetime_s: float, audience: str, signals: Sequence[int] = ()) -> str:
    """Sign a token for an account: one line."""
    if status(folder):
        raise Failed(f"{folder.path}: {status(folder)}. Start it first")
    program = str(rucio_server.HERE / "issuer.py")
    home = str(folder.servers / "issuer")
    return Launch(folder, signals).run(rucio_server.python(), program, "token", home, account, str(lifetime_s), audience)


# --- starting ---------------------------------------------------------------------------------------------------------
def _installed() -> None:
    programs = {name: shutil.which(name) for name in ("xrootd", "nginx", "setpriv")}
    programs |= {name: services.pg_program(name) for name in ("initdb", "postgres")}
    programs["the Rucio server's environment"] = Path(rucio_server.python()).exists() and "yes"
    if missing := [name for name, found in programs.items() if not found]:
        raise Failed(f"not installed: {', '.join(missing)}. Run: {rucio_server.HERE / 'install.sh'}")


def _bring_up(launch: Launch) -> None:
    """Start everything in an empty folder, what does not need each other at the same time."""
    folder = launch.folder
    _end(folder)
    shutil.rmtree(folder.logs, ignore_errors=True)
    for path in (folder.logs, folder.servers, folder.clients):
        path.mkdir(parents=True)
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    passwords = {user: secrets.token_urlsafe(16) for user in rucio_server.USERS}
    door, database, ids = secrets.token_hex(16), secrets.token_hex(16), {}
    certificates = str(rucio_server.HERE / "certificates.py")
    launch.run(rucio_server.python(), certificates, str(folder.clients), str(folder.servers), *rucio_server.USERS)
    rucio_server.client_homes(folder, ports, passwords)

    def objects() -> None:
        ceph.start(_ceph(folder), launch.signals)
        _make_bucket(_ceph(folder).settings())
        services.nginx(launch, ports, _ceph(folder).settings()["AWS_ENDPOINT_URL"], door)

    def catalog() -> None:
        rucio_server.start_issuer(launch, ports["issuer"])
        services.postgres(launch, ports["postgres"], database)
        ids.update(rucio_server.fill(launch, ports, passwords, database))
        rucio_server.serve(launch, ports, door)

    launch.together(objects, catalog, lambda: services.xrootd(launch, ports))
    rucio_server.keys(folder, ids["INFN-PG"], _ceph(folder).settings())
    launch.look("looking at all that was started")
    write(folder.env, _variables(folder, ports, _ceph(folder).env.read_text()))


def _end(folder: Folder) -> None:
    """End both stacks at the same time."""
    with ThreadPoolExecutor(2) as pool:
        ending = [pool.submit(end, folder), pool.submit(ceph.stop, _ceph(folder))]
    for one in ending:
        one.result()


def _ceph(folder: Folder) -> Folder:
    """Ceph is a stack of its own below this one, so that whatever serves it serves this one's."""
    return Folder(folder.path / "ceph", "ceph.py", ceph.SERVERS)


def _make_bucket(env: Mapping[str, str]) -> None:
    port = int(env["AWS_ENDPOINT_URL"].rpartition(":")[2])
    answer = ceph.request(port, "PUT", f"/{rucio_server.BUCKET}", env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"])
    if answer != 200:  # noqa: PLR2004
        raise Failed(f"PUT /{rucio_server.BUCKET} was answered by {answer}: see the logs of Ceph")


def _variables(folder: Folder, ports: Mapping[str, int], s3: str) -> str:
    """By these clients find the servers, as the ordinary user ada."""
    home = folder.clients / "ada"
    found = {
        "RUCIO_HOME": home, "X509_USER_PROXY": home / "proxy.pem", "LAKE_CA": folder.clients / "ca.pem",
        "LAKE_RUCIO_HOST": f"http://127.0.0.1:{ports['rucio']}", "LAKE_RUCIO_TLS_HOST": f"https://127.0.0.1:{ports['rucio_tls']}",
        "LAKE_S3_TLS_URL": f"https://127.0.0.1:{ports['s3']}",
        "LAKE_DAV_URL": f"https://127.0.0.1:{ports['dav']}/dav", "LAKE_DAV_HTTP_URL": f"http://127.0.0.1:{ports['dav_http']}/dav",
        "LAKE_XROOTD_URL": f"root://127.0.0.1:{ports['xrootd']}//lake",
        "LAKE_XROOTD_HTTP_URL": f"http://127.0.0.1:{ports['xrootd_http']}/lake",
        "LAKE_XROOTD_HTTPS_URL": f"https://127.0.0.1:{ports['xrootd_tls']}/lake",
        "LAKE_OIDC_ISSUER": f"http://127.0.0.1:{ports['issuer']}",
    }
    return s3 + "".join(f"{name}={value}\n" for name, value in found.items())


# --- the command ------------------------------------------------------------------------------------------------------
def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; exit codes: 0 done, 1 failed, 2 misused, 3 not running, 128 + a signal."""
    parser = argparse.ArgumentParser(prog="lake.py", description="A real data lake in one folder, on 127.0.0.1.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, what in (("start", "start it"), ("status", "say whether it runs"), ("token", "sign an OIDC token"), ("stop", "end it")):
        command = commands.add_parser(name, help=what)
        command.add_argument("folder", type=Path)
        if name == "token":
            command.add_argument("account", choices=rucio_server.USERS)
            command.add_argument("--lifetime", type=float, default=3600, metavar="SECONDS", help="negative: it has expired already")
            command.add_argument("--audience", default="rucio")
    given = parser.parse_args(arguments)
    folder = Folder(given.folder.absolute(), "lake.py", SERVERS)
    os.umask(0o077)
    signals: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: signals.append(number))
    try:
        return _do(given, folder, signals)
    except Failed as failure:
        sys.stderr.write(f"lake.py: {failure}\n")
        return 128 + signals[0] if signals else 1


def _do(given: argparse.Namespace, folder: Folder, signals: Sequence[int]) -> int:
    if given.command == "token":
        sys.stdout.write(token(folder, given.account, given.lifetime, given.audience, signals))
        return 0
    if given.command == "stop":
        stop(folder, signals)
        sys.stdout.write(f"{folder.path}: not running\n")
        return 0
    if given.command == "start":
        start(folder, signals)
    if wrong := status(folder):
        sys.stdout.write(f"{folder.path}: {wrong}\n")
        return 3
    sys.stdout.write(f"Rucio at {folder.settings()['LAKE_RUCIO_HOST']}, how to reach it and all else in {folder.env}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
