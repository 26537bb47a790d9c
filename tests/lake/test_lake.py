"""deploy/lake/lake.py starts a whole data lake, in which ordinary users do with plain Rucio clients what they do at a real one."""

import os
import re
import signal
import socket
import ssl
import stat
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from secrets import token_bytes, token_hex

import psutil
import pytest
from rucio.common.exception import AccessDenied, InsufficientAccountLimit  # noqa: TID251  (it acts behind lakecv's back)

from tests.servers import LAKE, RUCIO_VENV, RealLake, lake_command

# `lake.py start` whose first choice for PostgreSQL's port is taken: argv = where the script is, that port, folder.
TAKEN = """
import sys
sys.path.insert(0, sys.argv[1])
import lake
free, taken = lake.free_ports, [int(sys.argv[2])]
lake.free_ports = lambda count: [taken.pop(), *free(count - 1)] if taken else free(count)
code = lake.main(["start", sys.argv[3]])
assert not taken
sys.exit(code)
"""

DISKS = ("INFN-PG", "INFN-NA", "CNAF")


def starting(folder):
    """A start that the test may kill."""
    environment = {**os.environ, "LAKECV_RUCIO_VENV": str(RUCIO_VENV)}
    return subprocess.Popen([*LAKE, "start", folder], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)


@pytest.fixture(scope="session")
def ada(real_lake):
    return real_lake.client("ada")


@pytest.fixture
def own(real_lake, tmp_path):
    """A folder for a lake that the test may break; what it started ends in any case."""
    folder = tmp_path / "lake"
    assert folder != real_lake.folder
    yield folder
    lake_command("stop", folder)


def rucio(real_lake, *arguments, **environment):
    """Run the plain command of Rucio's client as ada."""
    command = [Path(sys.executable).with_name("rucio"), *arguments]
    environment = {**os.environ, **real_lake.environment(), **environment}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL)


def uploaded(real_lake, rse, path, scope="user.ada"):
    """Upload a new file by the plain command; its name and its bytes."""
    file = path / f"{rse}-{token_hex(6)}"
    file.write_bytes(token_bytes(10_000))
    done = rucio(real_lake, "upload", "--rse", rse, "--scope", scope, file)
    assert done.returncode == 0, done.stderr
    return file.name, file.read_bytes()


def processes(folder):
    """Everything alive that was started in a folder: by its command line, or by where it works."""
    found = psutil.process_iter(["cmdline", "cwd", "status"])
    alive = [process for process in found if process.info["status"] != psutil.STATUS_ZOMBIE]
    return [one for one in alive if any(str(folder) in word for word in (*(one.info["cmdline"] or ()), one.info["cwd"] or ""))]


def listening(found):
    connections = [connection for process in found for connection in process.net_connections("inet")]
    return {connection.laddr for connection in connections if connection.status == psutil.CONN_LISTEN}


def seen(ada, rule, *states):
    """Wait until a rule is in one of some states."""
    until(lambda: ada.get_replication_rule(rule)["state"] in states)
    return ada.get_replication_rule(rule)


def until(holds):
    """Wait for what the lake's daemons do."""
    deadline = time.monotonic() + 40
    while not holds():
        assert time.monotonic() < deadline


# --- who is who -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["userpass", "x509", "x509_proxy"])
def test_an_ordinary_user_is_known_by(real_lake, kind):
    (real_lake.home("ada") / "token").unlink(missing_ok=True)  # else the last one's would do
    done = rucio(real_lake, "whoami", RUCIO_AUTH_TYPE=kind)
    assert "ada" in done.stdout, done.stderr
    assert "USER" in done.stdout


@pytest.mark.parametrize("account", ["ada", "bob"])
def test_a_token_of_the_issuer_says_who_somebody_is(real_lake, account):
    done = rucio(real_lake, "whoami", RUCIO_AUTH_TYPE="oidc", RUCIO_ACCOUNT=account, BEARER_TOKEN=real_lake.token(account))
    assert account in done.stdout, done.stderr


@pytest.mark.parametrize("wrong", [{"lifetime_s": -60}, {"audience": "somebody-else"}], ids=["expired", "for-another"])
def test_a_token_is_refused_that_is(real_lake, wrong):
    done = rucio(real_lake, "whoami", RUCIO_AUTH_TYPE="oidc", BEARER_TOKEN=real_lake.token(**wrong))
    assert "Cannot authenticate" in done.stderr  # its exit code is 0 (rucio 41.5.1)
    assert "USER" not in done.stdout


def test_a_certificate_is_believed_from_the_door_with_tls_only(real_lake):
    told = {"X-Lake-Verify": "SUCCESS", "X-Lake-DN": "CN=ada,O=lakecv test lake", "X-Lake-Door": "guessed", "X-Rucio-Account": "ada"}
    for url, context in ((real_lake.rucio_url, None), (real_lake.rucio_tls_url, ssl.create_default_context(cafile=real_lake.ca))):
        request = urllib.request.Request(f"{url}/auth/x509", headers=told)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, context=context)
        assert refused.value.code == 401
        refused.value.close()


def test_an_ordinary_user_administers_nothing(ada):
    with pytest.raises(AccessDenied):
        ada.add_rse("MINE")


# --- bytes ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("rse", DISKS)
def test_what_was_uploaded_is_downloaded(real_lake, tmp_path, rse):
    name, data = uploaded(real_lake, rse, tmp_path)
    done = rucio(real_lake, "download", "--dir", tmp_path / "got", f"user.ada:{name}")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "got" / "user.ada" / name).read_bytes() == data


def test_at_a_site_its_own_replicas_come_first(real_lake, ada, tmp_path):
    name, _ = uploaded(real_lake, "INFN-PG", tmp_path)
    seen(ada, ada.add_replication_rule([{"scope": "user.ada", "name": name}], 1, "CNAF")[0], "OK")
    for site in ("INFN-PG", "CNAF"):
        found = list(ada.list_replicas([{"scope": "user.ada", "name": name}], schemes=["https"], client_location={"site": site}))
        places = sorted((place["priority"], place["domain"], place["rse"]) for place in found[0]["pfns"].values())
        assert [place[1] for place in places] == ["lan", "wan"]
        assert places[0][2] == site


def test_the_address_of_an_object_is_signed_and_works_without_any_key(real_lake, ada, tmp_path):
    name, data = uploaded(real_lake, "INFN-PG", tmp_path)
    [url] = next(ada.list_replicas([{"scope": "user.ada", "name": name}], schemes=["https"]))["pfns"]
    context = ssl.create_default_context(cafile=real_lake.ca)
    with urllib.request.urlopen(url, context=context) as answer:
        assert answer.read() == data
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(url.split("?")[0], context=context)
    assert refused.value.code == 403
    refused.value.close()


@pytest.mark.parametrize("target", DISKS)
def test_a_rule_moves_the_bytes(real_lake, ada, tmp_path, target):
    source = DISKS[DISKS.index(target) - 1]
    name, data = uploaded(real_lake, source, tmp_path)
    did = {"scope": "user.ada", "name": name}
    assert seen(ada, ada.add_replication_rule([did], 1, target)[0], "OK", "STUCK")["state"] == "OK"
    [url] = next(ada.list_replicas([did], schemes=["https"], rse_expression=target))["pfns"]
    with urllib.request.urlopen(url, context=ssl.create_default_context(cafile=real_lake.ca)) as answer:
        assert answer.read() == data


def test_while_the_daemons_are_paused_a_rule_waits(real_lake, ada, tmp_path):
    name, _ = uploaded(real_lake, "INFN-PG", tmp_path)
    with real_lake.paused("transfers"):
        rule = ada.add_replication_rule([{"scope": "user.ada", "name": name}], 1, "INFN-NA")[0]
        assert ada.get_replication_rule(rule)["state"] == "REPLICATING"
        assert list(real_lake.xrootd_folder.rglob(name)) == []
    seen(ada, rule, "OK")
    assert len(list(real_lake.xrootd_folder.rglob(name))) == 1


def test_a_rule_whose_only_source_is_damaged_gets_stuck_and_says_why(real_lake, ada, tmp_path):
    name, _ = uploaded(real_lake, "CNAF", tmp_path)
    [path] = real_lake.dav_folder.rglob(name)
    path.write_bytes(token_bytes(10_000))
    rule = ada.add_replication_rule([{"scope": "user.ada", "name": name}], 1, "INFN-PG")[0]
    assert "checksum mismatch" in seen(ada, rule, "STUCK")["error"]


def test_a_damaged_replica_is_reported_by_a_user_and_written_anew_where_an_administrator_declares_it_bad(real_lake, ada, tmp_path):
    name, data = uploaded(real_lake, "CNAF", tmp_path)
    did = {"scope": "user.ada", "name": name}
    seen(ada, ada.add_replication_rule([did], 1, "INFN-PG")[0], "OK")
    [path] = real_lake.dav_folder.rglob(name)
    path.write_bytes(b"damaged")
    [url] = next(ada.list_replicas([did], schemes=["https"], rse_expression="CNAF"))["pfns"]
    assert ada.declare_suspicious_file_replicas([url], "checksum mismatch") == {}  # none is unknown
    with pytest.raises(AccessDenied):
        ada.declare_bad_file_replicas([url], "checksum mismatch")
    assert real_lake.client("root").declare_bad_file_replicas([url], "checksum mismatch") == {}
    until(lambda: path.read_bytes() == data)
    until(lambda: next(ada.list_replicas([did], all_states=True))["states"] == {"CNAF": "AVAILABLE", "INFN-PG": "AVAILABLE"})


def test_without_a_quota_no_rule_is_made(real_lake):
    bob = real_lake.client("bob")
    name = token_hex(6)
    bob.add_dataset("user.bob", name)
    with pytest.raises(InsufficientAccountLimit):
        bob.add_replication_rule([{"scope": "user.bob", "name": name}], 1, "CNAF")


def test_webdav_takes_a_bearer_token_and_answers_a_suffix_range(real_lake):
    context = ssl.create_default_context(cafile=real_lake.ca)
    url, headers = f"{real_lake.dav_url}/made/on/the/way/{token_hex(6)}", {"Authorization": "Bearer of.no.meaning"}
    urllib.request.urlopen(urllib.request.Request(url, b"0123456789", headers, method="PUT"), context=context).close()
    request = urllib.request.Request(url, headers={**headers, "Range": "bytes=-3"})
    with urllib.request.urlopen(request, context=context) as answer:
        assert (answer.status, answer.read()) == (206, b"789")


def test_xrootd_knows_adler32(real_lake, tmp_path):
    (tmp_path / "file").write_bytes(b"Wikipedia")  # whose checksum stands there
    url = f"{real_lake.xrootd_url}/{token_hex(6)}"
    subprocess.run(["xrdcp", "-s", tmp_path / "file", url], check=True, timeout=20)
    done = subprocess.run(["xrdadler32", url], capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout.split()[0] == "11e60398"


# --- the stack --------------------------------------------------------------------------------------------------------
def test_what_the_folder_holds_can_be_read_by_its_owner_only(real_lake):
    assert stat.filemode(real_lake.folder.stat().st_mode)[4:] == "------"
    found = [path for name in ("clients", "servers/rucio", "servers/issuer") for path in (real_lake.folder / name).rglob("*")]
    files = [real_lake.folder / "lake.env", real_lake.folder / "servers" / "hostkey.pem", *(path for path in found if path.is_file())]
    assert len(files) > 20
    assert [path for path in files if stat.filemode(path.stat().st_mode)[4:] != "------"] == []


def test_no_secret_stands_in_a_log_or_a_command_line(real_lake):
    passwords = [line.split(" = ")[1] for account in ("root", "ada", "bob") for line in
                 (real_lake.home(account) / "etc" / "rucio.cfg").read_text().splitlines() if line.startswith("password")]
    texts = [path.read_text(errors="replace") for path in (real_lake.folder / "log").iterdir()]
    texts += [" ".join(process.cmdline()) for process in processes(real_lake.folder)]
    [database] = set(re.findall(r"rucio:(\w+)@", (real_lake.folder / "servers" / "rucio" / "etc" / "rucio.cfg").read_text()))
    secrets = [*passwords, database, real_lake.s3.secret]
    assert len(secrets) == 5
    assert [secret for secret in secrets for text in texts if secret in text] == []


def test_all_but_xrootd_listen_on_the_loopback_address_only(real_lake):
    found = [process for process in processes(real_lake.folder) if process.name() != "xrootd"]
    assert {address.ip for address in listening(found)} == {"127.0.0.1"}


def test_a_second_start_changes_nothing_and_says_the_same(real_lake):
    before = sorted(process.pid for process in processes(real_lake.folder) if process.name() != "postgres")
    again, status = lake_command("start", real_lake.folder), lake_command("status", real_lake.folder)
    assert (again.returncode, status.returncode, again.stderr) == (0, 0, "")
    assert again.stdout == status.stdout
    assert real_lake.rucio_url in again.stdout
    assert sorted(process.pid for process in processes(real_lake.folder) if process.name() != "postgres") == before


def test_two_start_one_and_after_stop_no_process_and_no_open_port_is_left_and_only_the_logs(own):
    with ThreadPoolExecutor() as pool:
        done = list(pool.map(lambda _: lake_command("start", own), range(2)))
    assert [(one.returncode, one.stderr) for one in done] == [(0, "")] * 2
    found = processes(own)
    ports = {int(url.rpartition(":")[2].partition("/")[0]) for name, url in RealLake.found(own).values.items() if name.endswith(("URL", "HOST"))}
    assert ports <= {address.port for address in listening(found)}
    assert lake_command("stop", own).returncode == 0
    assert {one.name() for one in found if one.is_running() and one.status() != psutil.STATUS_ZOMBIE} == set()
    assert processes(own) == []
    assert sorted(path.name for path in own.rglob("*") if path.suffix != ".log") == ["README", "README", "ceph", "log", "log"]


def test_a_port_that_was_taken_in_the_meantime_is_replaced(own):
    with socket.create_server(("127.0.0.1", 0)) as foreign:
        environment = {**os.environ, "LAKECV_RUCIO_VENV": str(RUCIO_VENV)}
        given = map(str, [LAKE[1].parent, foreign.getsockname()[1], own])
        subprocess.run([sys.executable, "-B", "-c", TAKEN, *given], check=True, timeout=110, env=environment)
    assert RealLake.found(own).client("bob").whoami()["account"] == "bob"


def test_a_start_that_fails_ends_what_it_had_started_and_quotes_the_log(own, tmp_path):
    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin" / "xrootd"
    started = own / "log" / "postgres.log"
    fake.write_text(f"#!/bin/sh\nuntil [ -s {started} ]; do sleep 0.05; done\necho 'the tank is empty' >&2\nexit 7\n")
    fake.chmod(0o755)
    done = lake_command("start", own, PATH=f"{fake.parent}{os.pathsep}{os.environ['PATH']}")
    assert done.returncode == 1
    assert done.stderr == f"lake.py: xrootd ended with 7: the tank is empty. Its log: {own}/log/xrootd.log\n"
    assert started.exists()
    assert processes(own) == []


def test_a_start_that_is_interrupted_ends_what_it_had_started(own):
    before = set(Path("/dev/shm").glob("PostgreSQL.*"))  # an initdb that is killed would leave something there
    with starting(own) as begun:
        while not (own / "servers" / "postgres").exists():
            assert begun.poll() is None
        begun.terminate()
        assert begun.wait(30) == 128 + signal.SIGTERM
    assert processes(own) == []
    assert set(Path("/dev/shm").glob("PostgreSQL.*")) <= before


def test_stop_ends_what_a_start_that_was_killed_left_behind(own):
    with starting(own) as begun:
        while not (own / "servers" / "postgres.pid").exists():
            assert begun.poll() is None
        begun.kill()
    assert processes(own) != []
    assert lake_command("stop", own).returncode == 0
    assert [one for one in processes(own) if one.name() in {"postgres", "xrootd", "nginx", "radosgw"}] == []


def test_what_is_missing_is_named_with_the_command_that_brings_it(tmp_path):
    done = lake_command("start", tmp_path / "lake", PATH=str(tmp_path))
    assert done.returncode == 1
    assert "xrootd" in done.stderr
    assert "install.sh" in done.stderr
    assert done.stderr.count("\n") == 1
