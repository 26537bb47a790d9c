"""The servers beside Ceph and Rucio: PostgreSQL, XRootD, nginx. Their settings, and how each is started and found ready.

All of them keep what they have below the stack's folder and answer on 127.0.0.1. XRootD cannot be bound to an address: it listens
on all and refuses whoever is not this machine.
"""

# ruff: noqa: INP001  (it lies beside the script that imports it)
from __future__ import annotations

import os
import pwd
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from folder import Failed, write
from launch import listening

if TYPE_CHECKING:
    from collections.abc import Mapping

    from launch import Launch

__all__ = ["nginx", "pg_program", "postgres", "xrootd"]

XROOTD = """\
xrd.port {xrootd}
xrd.allow host localhost
xrd.network nodnr
xrd.protocol XrdHttp:{xrootd_http} libXrdHttp.so
all.role server
all.export /lake
all.adminpath {servers}/xrootd/admin
all.pidpath {servers}/xrootd/admin
oss.localroot {servers}/xrootd/data
xrootd.seclib libXrdSec.so
sec.protocol unix
sec.protbind * none
xrootd.chksum adler32
http.desthttps no
http.selfhttps2http no
http.listingdeny no
"""

# master_process off: one process, whose command line stays as it was given and so shows whose it is
NGINX = """\
{modules}daemon off;
master_process off;
worker_rlimit_nofile 4096;
pid {servers}/nginx/nginx.pid;
error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    server_tokens off;
    default_type application/octet-stream;
    client_max_body_size 0;
    client_body_temp_path {servers}/nginx/body;
    proxy_temp_path {servers}/nginx/proxy;
    fastcgi_temp_path {servers}/nginx/fastcgi;
    uwsgi_temp_path {servers}/nginx/uwsgi;
    scgi_temp_path {servers}/nginx/scgi;
    proxy_http_version 1.1;
    proxy_request_buffering off;
    proxy_buffering off;
    proxy_read_timeout 120s;
    proxy_set_header Host $http_host;
    ssl_certificate {servers}/host.pem;
    ssl_certificate_key {servers}/hostkey.pem;
    ssl_session_cache shared:tls:1m;
    dav_ext_lock_zone zone=locks:1m;
    server {{
        listen 127.0.0.1:{s3} ssl;
        location / {{ proxy_pass {ceph}; }}
    }}
    server {{
        listen 127.0.0.1:{xrootd_tls} ssl;
        location / {{ proxy_pass http://127.0.0.1:{xrootd_http}; }}
    }}
    server {{
        listen 127.0.0.1:{rucio_tls} ssl;
        ssl_client_certificate {clients}/ca.pem;
        ssl_verify_client optional;
        location / {{
            proxy_pass http://127.0.0.1:{rucio};
            proxy_set_header X-Lake-Door {door};
            proxy_set_header X-Lake-Verify $ssl_client_verify;
            proxy_set_header X-Lake-DN $ssl_client_s_dn;
        }}
    }}
    server {{
        listen 127.0.0.1:{dav} ssl;
        listen 127.0.0.1:{dav_http};
        root {servers}/www;
        location / {{ return 404; }}
        location /dav/ {{
            autoindex on;
            create_full_put_path on;
            dav_access user:rw;
            dav_methods PUT DELETE MKCOL COPY MOVE;
            dav_ext_methods PROPFIND OPTIONS LOCK UNLOCK;
            dav_ext_lock zone=locks;
        }}
    }}
}}
"""
# built in, as a module of Debian's package, or where others keep their modules
MODULES = ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/usr/share/nginx/modules")


def pg_program(name: str) -> str:
    """Where a program of PostgreSQL is, of the newest version; Debian keeps them off the PATH. Empty if nowhere."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[-3]))
    return str(found[-1]) if found else shutil.which(name) or ""


def postgres(launch: Launch, port: int, password: str) -> None:
    """Start an empty database; nothing is kept safe from a crash, as nothing is kept.

    It has a password, unlike XRootD: who may give it commands may run programs as its user.
    """
    home, secret = launch.folder.servers / "postgres", launch.folder.servers / "postgres.password"
    _give(home, "postgres")
    write(secret, password + "\n")
    options = ("-A", "scram-sha-256", f"--pwfile={secret}", "-U", "rucio", "-E", "UTF8", "--no-locale", "--no-sync", "--no-instructions")
    launch.run(pg_program("initdb"), "-D", str(home), *options, user="postgres")
    secret.unlink()
    settings = {
        "port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off", "synchronous_commit": "off",
        "full_page_writes": "off", "dynamic_shared_memory_type": "mmap", "max_connections": 200, "shared_buffers": "64MB",
    }
    given = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    launch.spawn("postgres", pg_program("postgres"), "-D", str(home), *given, user="postgres")
    launch.wait("postgres", lambda: _says(home / "postmaster.pid", "ready"))


def xrootd(launch: Launch, ports: Mapping[str, int]) -> None:
    """Start XRootD with its own protocol and HTTP, without log-in: who can reach it may do all."""
    home = launch.folder.servers / "xrootd"
    for path in (home, home / "admin", home / "data", home / "data" / "lake"):
        _give(path, "xrootd")
    conf = launch.folder.servers / "xrootd.cfg"
    write(conf, XROOTD.format(servers=launch.folder.servers, **ports))
    if os.geteuid() == 0:
        shutil.chown(conf, "xrootd")
    launch.spawn("xrootd", "xrootd", "-I", "v4", "-c", str(conf), user="xrootd")
    launch.wait("xrootd", lambda: {ports["xrootd"], ports["xrootd_http"]} <= listening(launch.children["xrootd"].pid))


def nginx(launch: Launch, ports: Mapping[str, int], ceph: str, door: str) -> None:
    """Start the doors with TLS (to S3, XRootD's HTTP and Rucio) and the WebDAV server."""
    folder = launch.folder
    for name in ("nginx", "www/dav"):
        (folder.servers / name).mkdir(parents=True)
    found = next((path for place in MODULES if (path := Path(place) / "ngx_http_dav_ext_module.so").exists()), None)
    modules = f"load_module {found};\n" if found else ""
    conf = folder.servers / "nginx.conf"
    write(conf, NGINX.format(modules=modules, servers=folder.servers, clients=folder.clients, ceph=ceph, door=door, **ports))
    launch.spawn("nginx", "nginx", "-e", "stderr", "-p", str(folder.servers / "nginx"), "-c", str(conf))
    wanted = {ports[name] for name in ("s3", "xrootd_tls", "rucio_tls", "dav", "dav_http")}
    launch.wait("nginx", lambda: wanted <= listening(launch.children["nginx"].pid))


def _says(path: Path, word: str) -> bool:
    """Whether the last line of a file is a word (PostgreSQL writes its state there: pidfile.h)."""
    with suppress(OSError):
        return path.read_text().strip().endswith(word)
    return False


def _give(path: Path, user: str) -> None:
    """Make a folder for a server that does not run as root."""
    path.mkdir(mode=0o700)
    if os.geteuid() == 0:
        try:
            found = pwd.getpwnam(user)
        except KeyError:
            raise Failed(f"there is no user {user}, as which its server runs. Run: deploy/lake/install.sh") from None
        os.chown(path, found.pw_uid, found.pw_gid)
