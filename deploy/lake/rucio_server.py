"""The Rucio server: its settings, its database filled, the server itself and its daemons, and homes for clients.

What an account, a quota or a storage element is called stands in rucio_setup.py.
"""

# ruff: noqa: INP001  (it lies beside the script that imports it)
from __future__ import annotations

import json
import os
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TYPE_CHECKING

from folder import write

if TYPE_CHECKING:
    from collections.abc import Mapping

    from folder import Folder
    from launch import Launch

__all__ = ["USERS", "client_homes", "fill", "keys", "python", "serve", "start_issuer"]

HERE = Path(__file__).resolve().parent
VENV = Path(os.environ.get("LAKECV_RUCIO_VENV") or HERE.parents[1] / ".venv-rucio").absolute()
USERS = ("root", "ada", "bob")
BUCKET = "lake"

SETTINGS = """\
[common]
logdir = {home}
loglevel = WARNING
mailtemplatedir = {home}
[client]
rucio_host = http://127.0.0.1:{rucio}
auth_host = http://127.0.0.1:{rucio}
[database]
default = postgresql+psycopg://rucio:{database}@127.0.0.1:{postgres}/postgres
schema = dev
pool_size = 10
max_overflow = 10
pool_recycle = 3600
[bootstrap]
userpass_identity = root
userpass_pwd = {password}
userpass_email = root@localhost
x509_identity =
gss_identity =
ssh_identity =
[policy]
package = lake_policy
permission = generic
schema = generic
lfn2pfn_algorithm_default = hash
support = the one who started it
support_rucio = the one who started it
[alembic]
cfg = {home}/alembic.ini
[conveyor]
scheme = https,davs,root,file
transfertool = mock
[transfers]
multihop_rse_expression =
[oidc]
idpsecrets = {home}/etc/idpsecrets.json
admin_issuer = lake
expected_scope = openid profile
expected_audience = rucio
"""

# The logging part is needed: without it the schema is not made (KeyError: formatters).
ALEMBIC = """\
[alembic]
script_location = rucio.db.sqla:migrate_repo
sqlalchemy.url = postgresql+psycopg://rucio:{database}@127.0.0.1:{postgres}/postgres
version_table_schema = dev
[loggers]
keys = root
[handlers]
keys = console
[formatters]
keys = generic
[logger_root]
level = WARNING
handlers = console
[handler_console]
class = StreamHandler
args = (sys.stderr,)
formatter = generic
[formatter_generic]
format = %(levelname)s %(message)s
"""

# Each worker loads the server itself: loaded before the fork, they would share connections to the database, and mix up answers.
GUNICORN = """\
bind = "127.0.0.1:{rucio}"
workers = 2
threads = 4
worker_class = "gthread"
preload_app = False
control_socket_disable = True
keepalive = 30
"""

CLIENT = """\
[client]
rucio_host = http://127.0.0.1:{rucio}
auth_host = https://127.0.0.1:{rucio_tls}
ca_cert = {clients}/ca.pem
auth_type = userpass
username = {user}
password = {password}
account = {user}
client_cert = {clients}/{user}/usercert.pem
client_key = {clients}/{user}/userkey.pem
client_x509_proxy = {clients}/{user}/proxy.pem
auth_token_file_path = {clients}/{user}/token
request_retries = 3
"""


def python() -> str:
    """Name the Python of the Rucio server's environment."""
    return str(VENV / "bin" / "python")


def start_issuer(launch: Launch, port: int) -> None:
    """Start the issuer of tokens; the server looks it up when it starts."""
    home = launch.folder.servers / "issuer"
    home.mkdir()
    launch.spawn("issuer", python(), str(HERE / "issuer.py"), "serve", str(home), str(port))
    launch.wait("issuer", (home / "key.pem").exists)


def client_homes(folder: Folder, ports: Mapping[str, int], passwords: Mapping[str, str]) -> None:
    """Write a RUCIO_HOME for each account."""
    for user, password in passwords.items():
        etc = folder.clients / user / "etc"
        etc.mkdir(parents=True)
        write(etc / "rucio.cfg", CLIENT.format(clients=folder.clients, user=user, password=password, **ports))


def fill(launch: Launch, ports: Mapping[str, int], passwords: Mapping[str, str], database: str) -> dict[str, str]:
    """Make the tables and all that stands in them at the start; the ids of the storage elements by name.

    ``database`` is its password, the others are those of accounts.
    """
    home, issuer = launch.folder.servers / "rucio", f"http://127.0.0.1:{ports['issuer']}"
    tape = launch.folder.servers / "tape"
    tape.mkdir()
    (home / "etc").mkdir(parents=True)
    write(home / "etc" / "rucio.cfg", SETTINGS.format(home=home, password=passwords["root"], database=database, **ports))
    write(home / "alembic.ini", ALEMBIC.format(database=database, **ports))
    write(home / "gunicorn.conf.py", GUNICORN.format(**ports))
    client = {"client_id": "rucio", "client_secret": "none", "redirect_uris": [f"https://127.0.0.1:{ports['rucio_tls']}/auth/oidc_token"]}
    write(home / "etc" / "idpsecrets.json", json.dumps({"lake": {"issuer": issuer, **client, "SCIM": client}}))
    users = [{"name": name, "password": password} for name, password in passwords.items()]
    given = {"ports": dict(ports), "bucket": BUCKET, "tape": f"{tape}/", "issuer": issuer, "users": users}
    write(home / "setup.json", json.dumps(given))
    out = launch.run(python(), str(HERE / "rucio_setup.py"), str(home / "setup.json"), **_environment(launch.folder))
    ids: dict[str, str] = json.loads(out.splitlines()[-1])
    return ids


def keys(folder: Folder, rse_id: str, env: Mapping[str, str]) -> None:
    """Give the server, and nobody else, the keys by which it signs for the storage element on S3."""
    known = {"access_key": env["AWS_ACCESS_KEY_ID"], "secret_key": env["AWS_SECRET_ACCESS_KEY"]}
    known |= {"signature_version": "s3v4", "region": env["AWS_REGION"]}
    write(folder.servers / "rucio" / "etc" / "rse-accounts.cfg", json.dumps({rse_id: known}))


def serve(launch: Launch, ports: Mapping[str, int], door: str) -> None:
    """Start the server and its daemons, and wait until both are at work."""
    home = launch.folder.servers / "rucio"
    environment = _environment(launch.folder)
    command = ("-m", "gunicorn", "-c", str(home / "gunicorn.conf.py"), "rucio_door:application")
    launch.spawn("rucio", python(), *command, **environment, LAKE_DOOR=door)
    launch.spawn("transfers", python(), str(HERE / "transfers.py"), str(home), **environment)
    launch.wait("rucio", lambda: _answers(ports["rucio"]))
    launch.wait("transfers", (home / "transfers.ready").exists)


def _environment(folder: Folder) -> dict[str, str]:
    tools = os.pathsep.join(part for part in (str(VENV / "bin"), os.environ.get("PATH", os.defpath)) if part)
    return {"RUCIO_HOME": str(folder.servers / "rucio"), "PYTHONPATH": str(HERE), "LAKE_CA": str(folder.clients / "ca.pem"), "PATH": tools}


def _answers(port: int) -> bool:
    with closing(HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        try:
            connection.request("GET", "/ping")
            return connection.getresponse().status == 200  # noqa: PLR2004
        except (OSError, HTTPException):
            return False
