#!/usr/bin/env python3
"""A real Ceph RGW (S3) in one folder: mon, osd, mgr and radosgw on 127.0.0.1, for tests and for trying things out.

Why not a mock: a mock agrees with what its authors thought of. The objects are in memory and gone after `stop`.

    ceph.py start FOLDER      start, wait until S3 answers, write FOLDER/lake.env; does nothing where it runs already
    ceph.py status FOLDER     exit code 0 where all four run, 3 where not
    ceph.py user FOLDER NAME  the keys of one more user, who owns nothing; --read-only: keys that may only read the lake's
    ceph.py stop FOLDER       end the servers; the logs stay

Needs Python >= 3.11 and Debian's packages (install.sh), no root. What the settings are for: docs/lake-servers.md.
"""

from __future__ import annotations

import argparse
import hmac
import json
import os
import re
import secrets
import shutil
import signal
import sys
import uuid
from base64 import b64encode
from contextlib import closing
from email.utils import formatdate
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TYPE_CHECKING

from folder import Failed, Folder, Server, end, locked, own, tail, write
from launch import START_SECONDS, Launch, PortTaken, free_ports, listening

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["SERVERS", "main", "request", "start", "status", "stop", "user"]

SERVERS = {
    "mon": Server("ceph-mon", "ceph.conf"), "osd": Server("ceph-osd", "ceph.conf"),
    "mgr": Server("ceph-mgr", "ceph.conf"), "rgw": Server("radosgw", "ceph.conf"),
}
TOOLS = ("ceph", "ceph-authtool", "monmaptool", "radosgw-admin")
PACKAGES = "radosgw ceph-mon ceph-osd ceph-mgr ceph-common"

CONF = """\
[global]
fsid = {fsid}
mon_host = [v2:127.0.0.1:{mon2},v1:127.0.0.1:{mon1}]
mon_initial_members = a
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_ipv6 = false
ms_bind_retry_delay = 1
auth_cluster_required = cephx
auth_service_required = cephx
auth_client_required = cephx
keyring = {servers}/keyring
run_dir = {servers}
crash_dir = {servers}
admin_socket =
log_to_file = false
log_file =
mon_data = {servers}/mon
mon_cluster_log_to_file = false
mon_data_avail_warn = 2
mon_data_avail_crit = 1
mon_allow_pool_size_one = true
mon_warn_on_pool_no_redundancy = false
mon_max_pg_per_osd = 1000
paxos_propose_interval = 0.05
paxos_min_wait = 0.01
mgr_data = {servers}/mgr
mgr_module_path = {servers}/mgr
osd_data = {servers}/osd
osd_objectstore = memstore
memstore_device_bytes = 4294967296
osd_crush_chooseleaf_type = 0
osd_crush_initial_weight = 1
osd_mon_shutdown_timeout = 0.1
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 2
osd_pool_default_pg_autoscale_mode = off
[client.rgw]
rgw_frontends = beast endpoint=127.0.0.1:{s3} tcp_nodelay=1
rgw_data = {servers}/rgw
rgw_run_sync_thread = false
rgw_thread_pool_size = 64
rgw_gc_obj_min_wait = 120
rgw_gc_processor_period = 60
"""

CAPS = {
    "mon.": ("mon", "allow *"),
    "client.admin": ("mon", "allow *", "osd", "allow *", "mgr", "allow *"),
    "client.rgw": ("mon", "allow rw", "osd", "allow rwx", "mgr", "allow rw"),
    "osd.0": ("mon", "allow profile osd", "osd", "allow *", "mgr", "allow profile osd"),
    "mgr.x": ("mon", "allow profile mgr", "osd", "allow *"),
}


def start(folder: Folder, signals: Sequence[int] = ()) -> None:
    """Start the servers, unless they run; where a port was taken in the meantime, once more with others.

    Once ``signals`` holds one, what was started ends.
    """
    missing = [name for name in (*(server.program for server in SERVERS.values()), *TOOLS) if not shutil.which(name)]
    if missing:
        raise Failed(f"not installed: {', '.join(missing)}. Run: apt-get install --no-install-recommends {PACKAGES}")
    own(folder, signals)
    with locked(folder, signals):
        if len(folder.running()) == len(SERVERS) and folder.env.exists():
            return
        launch = Launch(folder, signals)
        try:
            try:
                _bring_up(launch, *free_ports(3))
            except PortTaken:
                _bring_up(Launch(folder, signals, launch.deadline), *free_ports(3))
        except BaseException:
            end(folder)
            raise


def stop(folder: Folder, signals: Sequence[int] = ()) -> None:
    """End the servers and remove all but the logs; a signal ends only the wait for another start or stop."""
    if (folder.path / "README").exists():
        own(folder, signals)
        with locked(folder, signals):
            end(folder)


def status(folder: Folder) -> str:
    """Say what runs: an empty string where all is well."""
    running = folder.running()
    if not running:
        return "not running"
    dead = [name for name in SERVERS if name not in running]
    return f"not running: {', '.join(dead)}" if dead else "" if folder.env.exists() else "starting"


def user(folder: Folder, name: str, signals: Sequence[int] = (), *, read_only: bool = False) -> str:
    """Lines of variables with the keys of a user; it is made where it is not there.

    With ``read_only`` they are keys of the lake's own user, by which its buckets can be listed and read, not changed.
    """
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", name) or name == "lake":
        raise Failed(f"the name {name!r} cannot be: a-z, 0-9 and -, a letter first, and not 'lake'")
    if status(folder):
        raise Failed(f"{folder.path}: {status(folder)}. Start it first")
    with locked(folder, signals):
        env = folder.users / f"{name}.env"
        if not env.exists():
            keys = _keys(Launch(folder, signals), name, read_only=read_only)
            folder.users.mkdir(exist_ok=True)
            write(env, _variables(folder.settings()["AWS_ENDPOINT_URL"], *keys))
        return env.read_text()


# --- starting ---------------------------------------------------------------------------------------------------------
def _bring_up(launch: Launch, *ports: int) -> None:
    """Start everything in an empty folder and go through S3 once."""
    mon2, mon1, s3 = ports
    folder = launch.folder
    end(folder)
    shutil.rmtree(folder.logs, ignore_errors=True)
    for path in (folder.logs, *(folder.servers / name for name in SERVERS)):
        path.mkdir(parents=True)
    fsid, osd = str(uuid.uuid4()), str(uuid.uuid4())
    write(_conf(folder), CONF.format(fsid=fsid, mon1=mon1, mon2=mon2, s3=s3, servers=folder.servers))
    conf = ("-c", str(_conf(folder)))
    keyring, monmap = str(folder.servers / "keyring"), str(folder.servers / "monmap")
    for name, caps in CAPS.items():
        pairs = [word for kind, cap in zip(caps[::2], caps[1::2], strict=True) for word in ("--cap", kind, cap)]
        launch.run("ceph-authtool", keyring, *(() if Path(keyring).exists() else ("-C",)), "-n", name, "--gen-key", *pairs)
    launch.run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", f"[v2:127.0.0.1:{mon2},v1:127.0.0.1:{mon1}]", monmap)
    launch.run("ceph-mon", *conf, "--mkfs", "-i", "a", "--monmap", monmap, "--keyring", keyring)
    _serve(launch, "mon", "-i", "a")
    launch.run("ceph", *conf, "osd", "new", osd, "0")
    launch.run("ceph-osd", *conf, "-i", "0", "--mkfs", "--osd-uuid", osd, "--no-mon-config")
    _serve(launch, "osd", "-i", "0")
    _serve(launch, "mgr", "-i", "x")
    launch.wait("osd", lambda: json.loads(launch.run("ceph", *conf, "osd", "stat", "-f", "json"))["num_up_osds"] == 1)
    _serve(launch, "rgw", "-n", "client.rgw")
    launch.wait("rgw", lambda: s3 in listening(launch.children["rgw"].pid))
    launch.wait("mgr", lambda: bool(listening(launch.children["mgr"].pid)))
    key, secret = _keys(launch, "lake")
    bucket = f"/ready-{secrets.token_hex(6)}"
    for method, what in (("PUT", bucket), ("PUT", f"{bucket}/object"), ("DELETE", f"{bucket}/object"), ("DELETE", bucket)):
        answer = request(s3, method, what, key, secret)
        if answer not in {200, 204}:
            raise Failed(f"{method} {what} was answered by {answer}: {tail(folder.log('rgw'))}")
    launch.look("going through S3", "rgw")
    write(folder.env, _variables(f"http://127.0.0.1:{s3}", key, secret))


def _conf(folder: Folder) -> Path:
    """Name the settings, which stand in the command line of each server."""
    return folder.servers / "ceph.conf"


def _serve(launch: Launch, name: str, *arguments: str) -> None:
    launch.spawn(name, SERVERS[name].program, "-f", "-c", str(_conf(launch.folder)), "--log-to-stderr=true", *arguments)


def _keys(launch: Launch, name: str, *, read_only: bool = False) -> tuple[str, str]:
    """Make a user, or keys of the lake's own that may only read. Ceph draws them: no secret in a command line."""
    conf = ("-c", str(_conf(launch.folder)), "--gen-access-key", "--gen-secret")
    if read_only:
        uid = f"lake:{name}"
        text = launch.run("radosgw-admin", "subuser", "create", *conf, "--uid=lake", f"--subuser={name}", "--access=read", "--key-type=s3")
    else:
        uid = name
        text = launch.run("radosgw-admin", "user", "create", *conf, f"--uid={name}", f"--display-name={name}")
    key = next(key for key in json.loads(text)["keys"] if key["user"] == uid)
    return key["access_key"], key["secret_key"]


def request(port: int, method: str, path: str, key: str, secret: str) -> int | None:
    """Status of one request, signed by version 2 (AWS, "Signing and authenticating REST requests"); None without one."""
    date = formatdate(usegmt=True)
    digest = hmac.digest(secret.encode(), f"{method}\n\n\n{date}\n{path}".encode(), "sha1")
    signed = {"Date": date, "Authorization": f"AWS {key}:{b64encode(digest).decode()}"}
    with closing(HTTPConnection("127.0.0.1", port, timeout=START_SECONDS / 3)) as connection:
        try:
            connection.request(method, path, headers=signed)
            return connection.getresponse().status
        except (OSError, HTTPException):
            return None


def _variables(endpoint: str, key: str, secret: str) -> str:
    """By these any S3 client finds the server."""
    return (
        f"AWS_ENDPOINT_URL={endpoint}\nAWS_ACCESS_KEY_ID={key}\nAWS_SECRET_ACCESS_KEY={secret}\n"
        "AWS_REGION=us-east-1\nAWS_DEFAULT_REGION=us-east-1\nAWS_EC2_METADATA_DISABLED=true\n"
    )


# --- the command ------------------------------------------------------------------------------------------------------
def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; exit codes: 0 done, 1 failed, 2 misused, 3 not running, 128 + a signal."""
    parser = argparse.ArgumentParser(prog="ceph.py", description="A real Ceph RGW (S3) in one folder, on 127.0.0.1.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, what in (("start", "start it"), ("status", "say whether it runs"), ("user", "keys of one more user"), ("stop", "end it")):
        command = commands.add_parser(name, help=what)
        command.add_argument("folder", type=Path)
        if name == "user":
            command.add_argument("name")
            command.add_argument("--read-only", action="store_true", help="keys that may only read the lake's buckets")
    given = parser.parse_args(arguments)
    folder = Folder(given.folder.absolute(), "ceph.py", SERVERS)
    os.umask(0o077)
    signals: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: signals.append(number))
    try:
        return _do(given, folder, signals)
    except Failed as failure:
        sys.stderr.write(f"ceph.py: {failure}\n")
        return 128 + signals[0] if signals else 1


def _do(given: argparse.Namespace, folder: Folder, signals: Sequence[int]) -> int:
    if given.command == "user":
        sys.stdout.write(user(folder, given.name, signals, read_only=given.read_only))
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
    sys.stdout.write(f"S3 at {folder.settings()['AWS_ENDPOINT_URL']}, keys in {folder.env}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
