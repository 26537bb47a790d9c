"""deploy/lake starts a real S3 server on the loopback address alone, in one folder, and leaves nothing behind."""

import os
import signal
import socket
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import psutil
import pytest
from botocore.exceptions import ClientError

from tests.servers import CEPH, S3Server, ceph

# `ceph.py start` whose first choice of ports has one that is taken: argv = where the script is, which one, port, folder.
TAKEN = """
import sys
sys.path.insert(0, sys.argv[1])
import ceph
free, taken = ceph.free_ports, [int(sys.argv[3])]
def ports(count):
    found = free(count)
    if taken:
        found[int(sys.argv[2])] = taken.pop()
    return found
ceph.free_ports = ports
code = ceph.main(["start", sys.argv[4]])
assert not taken
sys.exit(code)
"""


@pytest.fixture
def own(ceph_folder, tmp_path):
    """A folder for a server that the test may break; what it started ends in any case."""
    folder = tmp_path / "lake"
    assert folder != ceph_folder
    yield folder
    command("stop", folder)


def command(*arguments, **environment):
    return subprocess.run(
        [*CEPH, *arguments], env={**os.environ, **environment}, capture_output=True, text=True, timeout=110, check=False,
    )


def processes(folder):
    """Everything alive that was started in a folder, whatever any pid file says."""
    found = psutil.process_iter(["cmdline", "status"])
    alive = [process for process in found if process.info["status"] != psutil.STATUS_ZOMBIE]
    return [process for process in alive if any(str(folder) in word for word in process.info["cmdline"] or ())]


def listening(found):
    connections = [connection for process in found for connection in process.net_connections("inet")]
    return [connection.laddr for connection in connections if connection.status == psutil.CONN_LISTEN]


def ports_open(addresses):
    with socket.socket() as probe:
        return [address for address in addresses if probe.connect_ex(address) == 0]


@contextmanager
def refused(status, *codes):
    with pytest.raises(ClientError) as caught:
        yield
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert caught.value.response["Error"]["Code"] in codes


# --- the stack --------------------------------------------------------------------------------------------------------
def test_after_stop_no_process_and_no_open_port_is_left_and_only_the_logs(own):
    with ceph(own) as server:
        found = processes(own)
        addresses = listening(found)
        assert int(server.endpoint.rpartition(":")[2]) in [address.port for address in addresses]
    assert {process.name() for process in found if process.is_running() and process.status() != psutil.STATUS_ZOMBIE} == set()
    assert processes(own) == []
    assert ports_open(addresses) == []
    assert sorted(path.name for path in own.iterdir()) == ["README", "log"]


@pytest.mark.usefixtures("ceph_server")
def test_every_server_listens_on_the_loopback_address_only(ceph_folder):
    found = processes(ceph_folder)
    assert sorted(process.name() for process in found) == ["ceph-mgr", "ceph-mon", "ceph-osd", "radosgw"]
    for process in found:
        assert {address.ip for address in listening([process])} == {"127.0.0.1"}, process


def test_a_second_start_of_a_running_folder_changes_nothing_and_says_the_same(ceph_folder, ceph_server):
    before = sorted(process.pid for process in processes(ceph_folder))
    again, seen = command("start", ceph_folder), command("status", ceph_folder)
    assert (again.returncode, seen.returncode, again.stderr) == (0, 0, "")
    assert again.stdout == seen.stdout == f"S3 at {ceph_server.endpoint}, keys in {ceph_folder / 'lake.env'}\n"
    assert sorted(process.pid for process in processes(ceph_folder)) == before


def test_what_the_folder_holds_can_be_read_by_its_owner_only(ceph_folder, ceph_user):
    ceph_user("seen")
    secret = [ceph_folder, ceph_folder / "lake.env", ceph_folder / "users" / "seen.env", ceph_folder / "servers" / "keyring"]
    assert [stat.filemode(path.stat().st_mode)[4:] for path in secret] == ["------"] * len(secret)


def test_no_secret_stands_in_a_log_or_a_command_line(ceph_folder, ceph_server, ceph_user):
    secrets = [ceph_server.secret, ceph_user("seen").secret]
    texts = [path.read_text(errors="replace") for path in (ceph_folder / "log").iterdir()]
    texts += [" ".join(process.cmdline()) for process in processes(ceph_folder)]
    assert len(texts) == 8
    assert [secret for secret in secrets for text in texts if secret in text] == []


def test_lake_env_holds_exactly_the_variables_that_clients_read(ceph_folder, ceph_server):
    lines = (ceph_folder / "lake.env").read_text().splitlines()
    assert dict(line.split("=", 1) for line in lines) == ceph_server.environment()


def test_two_that_start_at_once_start_one(own):
    with ThreadPoolExecutor() as pool:
        done = list(pool.map(lambda _: command("start", own), range(2)))
    assert [(one.returncode, one.stderr) for one in done] == [(0, "")] * 2
    assert done[0].stdout == done[1].stdout
    assert len(processes(own)) == 4


def test_where_one_server_died_status_names_it_and_start_starts_anew(own):
    command("start", own)
    before = processes(own)
    os.kill(int((own / "servers" / "osd.pid").read_text()), signal.SIGKILL)
    while len(processes(own)) == 4:
        pass
    seen = command("status", own)
    assert (seen.returncode, seen.stdout) == (3, f"{own}: not running: osd\n")
    assert command("start", own).returncode == 0
    assert len(processes(own)) == 4
    assert not set(processes(own)) & set(before)


@pytest.mark.parametrize("which", [0, 2], ids=["mon", "s3"])
def test_a_port_that_was_taken_in_the_meantime_is_replaced(own, which):
    with socket.create_server(("127.0.0.1", 0)) as foreign:
        given = [CEPH[1].parent, which, foreign.getsockname()[1], own]
        subprocess.run([sys.executable, "-B", "-c", TAKEN, *map(str, given)], check=True, timeout=110)
    assert S3Server.found("ceph", (own / "lake.env").read_text()).client().list_buckets()["Buckets"] == []


def test_a_start_that_fails_ends_what_it_had_started_and_quotes_the_log(own, tmp_path):
    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin" / "radosgw"
    fake.write_text("#!/bin/sh\necho 'the tank is empty' >&2\nexit 7\n")
    fake.chmod(0o755)
    done = command("start", own, PATH=f"{fake.parent}{os.pathsep}{os.environ['PATH']}")
    assert done.returncode == 1
    assert done.stderr == f"ceph.py: rgw ended with 7: the tank is empty. Its log: {own}/log/rgw.log\n"
    assert (own / "log" / "mon.log").stat().st_size > 0  # it had been started
    assert processes(own) == []


def test_a_start_that_is_interrupted_ends_what_it_had_started(own):
    with subprocess.Popen([*CEPH, "start", own], stdout=subprocess.DEVNULL) as starting:
        while not (own / "servers" / "osd.pid").exists():
            assert starting.poll() is None
        starting.terminate()
        assert starting.wait(20) == 128 + signal.SIGTERM
    assert processes(own) == []


def test_stop_ends_what_a_start_that_was_killed_left_behind(own):
    with subprocess.Popen([*CEPH, "start", own], stdout=subprocess.DEVNULL) as starting:
        while not (own / "servers" / "mon.pid").exists():
            assert starting.poll() is None
        starting.kill()
    (own / "servers" / "mon.pid").unlink()  # as if it had been killed an instant earlier
    assert "ceph-mon" in [process.name() for process in processes(own)]
    assert command("stop", own).returncode == 0
    assert [process for process in processes(own) if process.name() in {"ceph-mon", "ceph-osd"}] == []


@pytest.mark.usefixtures("ceph_folder")
def test_a_folder_that_holds_something_else_is_left_alone(tmp_path):
    (tmp_path / "servers").mkdir()
    (tmp_path / "servers" / "thesis.txt").write_text("mine")
    done = command("start", tmp_path)
    assert done.returncode == 1
    assert "is not empty" in done.stderr
    command("stop", tmp_path)
    assert (tmp_path / "servers" / "thesis.txt").read_text() == "mine"


def test_missing_programs_are_named_with_the_command_that_brings_them(tmp_path):
    done = command("start", tmp_path / "lake", PATH=str(tmp_path))
    assert done.returncode == 1
    assert "radosgw" in done.stderr
    assert "apt-get install" in done.stderr
    assert done.stderr.count("\n") == 1


# --- S3 ---------------------------------------------------------------------------------------------------------------
def test_an_object_is_created_once(ceph_server):
    client, bucket = ceph_server.client(), ceph_server.bucket()
    client.put_object(Bucket=bucket, Key="claim", Body=b"first", IfNoneMatch="*")
    with refused(412, "PreconditionFailed"):
        client.put_object(Bucket=bucket, Key="claim", Body=b"second", IfNoneMatch="*")
    assert client.get_object(Bucket=bucket, Key="claim")["Body"].read() == b"first"


@pytest.mark.parametrize("field", ["key", "secret"])
def test_a_wrong_key_is_refused(ceph_server, field):
    with refused(403, "InvalidAccessKeyId", "SignatureDoesNotMatch"):
        replace(ceph_server, **{field: "wrong"}).client().list_buckets()


def test_the_bucket_of_another_owner_is_closed(ceph_server, ceph_user):
    bucket = ceph_server.bucket()
    ceph_server.client().put_object(Bucket=bucket, Key="cube", Body=b"1")
    other = ceph_user("other").client()
    with refused(403, "AccessDenied"):
        other.get_object(Bucket=bucket, Key="cube")
    with refused(403, "AccessDenied"):
        other.list_objects_v2(Bucket=bucket)
    with refused(403, "AccessDenied"):
        other.put_object(Bucket=bucket, Key="mine", Body=b"2")
    assert other.list_buckets()["Buckets"] == []


def test_read_only_keys_read_and_change_nothing(ceph_server, ceph_user):
    bucket = ceph_server.bucket()
    ceph_server.client().put_object(Bucket=bucket, Key="cube", Body=b"1")
    reader = ceph_user("reader", "--read-only").client()
    assert reader.get_object(Bucket=bucket, Key="cube")["Body"].read() == b"1"
    assert [item["Key"] for item in reader.list_objects_v2(Bucket=bucket)["Contents"]] == ["cube"]
    for change in (reader.put_object, reader.delete_object, reader.create_multipart_upload):
        with refused(403, "AccessDenied"):
            change(Bucket=bucket, Key="cube")
    assert ceph_server.client().get_object(Bucket=bucket, Key="cube")["Body"].read() == b"1"
