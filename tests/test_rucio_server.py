"""The fake Rucio server, driven by the real client."""

import multiprocessing
import zlib

import pytest
from requests.exceptions import ConnectionError as NoConnection
from rucio.common import exception as error  # noqa: TID251  (it acts behind lakecv's back)

from tests.rucio_server import FakeRucio, client_of
from tests.rucio_values import door

SCOPE = "user.ada"
DATA = b"spectra"


@pytest.fixture
def server(tmp_path):
    """A lake of two folders and one tape, with its administrator and two users."""
    with FakeRucio() as fake:
        for name in ("root", "ada", "bob"):
            fake.add_account(name, admin=name == "root")
            fake.add_scope(f"user.{name}", name)
        fake.add_rse("NEAR", "HERE", tmp_path / "near")
        fake.add_rse("FAR", "THERE", tmp_path / "far")
        fake.set_quota("ada", "FAR", 1000)
        yield fake


@pytest.fixture
def client(server, tmp_path):
    """Make a client of an account."""
    return lambda account, **section: client_of(server.home(tmp_path / "homes", account, **section))


@pytest.fixture
def ada(client):
    return client("ada")


def did(name):
    return {"scope": SCOPE, "name": name}


def stored(server, ada, name, data=DATA):
    """Put a real file at NEAR, and register it."""
    path = server.state.rses["NEAR"].file((SCOPE, name))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    ada.add_replicas("NEAR", [{**did(name), "bytes": len(data), "adler32": f"{zlib.adler32(data):08x}"}])
    return path


def test_a_wrong_password_is_refused(client):
    with pytest.raises(error.CannotAuthenticate):
        client("ada", password="wrong")


def test_a_client_asks_for_a_new_token_when_its_own_is_over(server, ada):
    server.expire_tokens()
    assert ada.whoami()["account"] == "ada"
    assert server.calls.count(("GET", "auth/userpass")) == 2


def test_the_address_of_a_replica_is_a_real_file(server, ada):
    path = stored(server, ada, "cube.0")
    [found] = ada.list_replicas([did("cube.0")], schemes=["file"])
    assert list(found["pfns"]) == [f"file://localhost{path}"]
    assert path.read_bytes() == DATA


def test_at_its_site_a_replica_is_near_and_first(server, ada):
    stored(server, ada, "f")
    ada.add_replicas("FAR", [{**did("f"), "bytes": 7, "adler32": "00000000"}])
    for site, name in (("HERE", "NEAR"), ("THERE", "FAR")):
        [found] = ada.list_replicas([did("f")], schemes=["file"], client_location={"site": site})
        first = min(found["pfns"].values(), key=lambda place: place["priority"])
        assert (first["rse"], first["domain"]) == (name, "lan")


@pytest.mark.parametrize(("damaged", "state"), [(False, "OK"), (True, "STUCK")])
def test_a_rule_moves_only_bytes_that_are_as_registered(server, ada, damaged, state):
    path = stored(server, ada, "f")
    ada.add_dataset(SCOPE, "d", files=[did("f")])
    [rule] = ada.add_replication_rule([did("d")], 1, "FAR")
    assert ada.get_replication_rule(rule)["state"] == "REPLICATING"
    if damaged:
        path.write_bytes(b"SPECTRA")
    server.run_rules()
    assert ada.get_replication_rule(rule)["state"] == state
    assert server.state.rses["FAR"].file((SCOPE, "f")).exists() is not damaged


def test_an_account_cannot_lock_more_than_its_quota(server, ada):
    stored(server, ada, "f", bytes(2000))
    with pytest.raises(error.InsufficientAccountLimit):
        ada.add_replication_rule([did("f")], 1, "FAR")
    server.set_quota("ada", "FAR", None)
    assert ada.add_replication_rule([did("f")], 1, "FAR")


def test_what_is_attached_later_follows_the_rule_of_its_dataset(server, ada):
    ada.add_dataset(SCOPE, "d")
    [rule] = ada.add_replication_rule([did("d")], 1, "FAR")
    assert ada.get_replication_rule(rule)["state"] == "OK"
    stored(server, ada, "f")
    ada.attach_dids(SCOPE, "d", [did("f")])
    server.run_rules()
    assert server.state.rses["FAR"].file((SCOPE, "f")).read_bytes() == DATA
    [used] = ada.get_local_account_usage("ada", rse="FAR")
    assert (used["bytes"], used["bytes_remaining"]) == (len(DATA), 1000 - len(DATA))


def test_a_call_that_fails_leaves_nothing(server, ada):
    with pytest.raises(error.DataIdentifierNotFound):
        ada.add_dids([{**did("a"), "type": "DATASET"}, {**did("b"), "type": "DATASET", "dids": [did("none")]}])
    assert server.state.dids == {}


def test_a_lost_reply_is_of_work_that_was_done(server, ada):
    server.lose_reply_of("POST", "dids/{scope}/{name}")
    with pytest.raises(error.DataIdentifierAlreadyExists):  # the client asks again by itself
        ada.add_dataset(SCOPE, "d")
    assert (SCOPE, "d") in server.state.dids


def test_a_paused_server_refuses_connections_and_comes_back(server, ada):
    server.pause()
    with pytest.raises((NoConnection, error.ServerConnectionException)):
        ada.whoami()
    server.resume()
    assert ada.whoami()["account"] == "ada"


def test_a_server_may_end_while_it_is_paused(tmp_path):
    with FakeRucio() as fake:
        fake.add_account("ada")
        fake.pause()
    with pytest.raises((NoConnection, error.ServerConnectionException)):
        client_of(fake.home(tmp_path, "ada"))


def test_a_token_of_an_issuer_is_known_only_once_it_was_let_in(server, client, monkeypatch):
    monkeypatch.setenv("BEARER_TOKEN", "head.body.sign")
    ada = client("ada", auth_type="oidc")
    with pytest.raises(error.CannotAuthenticate):
        ada.whoami()
    server.let_in("head.body.sign", "ada")
    assert client("ada", auth_type="oidc").whoami()["account"] == "ada"


def test_a_status_can_be_played_for_one_call(server, ada):
    server.fail_next(1, 500, path_part="dids/")
    with pytest.raises(error.RucioException):
        ada.get_did(SCOPE, "d")
    with pytest.raises(error.DataIdentifierNotFound):
        ada.get_did(SCOPE, "d")


def test_a_blocked_storage_element_is_left_out_on_request(server, ada):
    stored(server, ada, "f")
    server.set_availability("NEAR", read=False)
    for ignore, names in ((True, {"NEAR"}), (False, set())):
        [found] = ada.list_replicas([did("f")], schemes=["file"], ignore_availability=ignore)
        assert set(found["rses"]) == names


def test_a_storage_element_that_takes_nothing_blocks_users_and_rules(server, client, ada):
    stored(server, ada, "f")
    server.set_availability("FAR", write=False)
    file = {**did("f"), "bytes": 7, "adler32": "0be302ed"}
    with pytest.raises(error.RSEWriteBlocked):
        ada.add_replication_rule([did("f")], 1, "FAR")
    assert client("root").add_replicas("FAR", [file])
    answer = ada.session.post(f"{server.url}/replicas", json={"rse": "FAR", "files": [file]}, headers={"X-Rucio-Auth-Token": ada.auth_token})
    assert (answer.status_code, answer.headers["ExceptionClass"]) == (503, "ResourceTemporaryUnavailable")


def test_addresses_are_signed_for_those_who_may(server, client):
    server.add_rse("S3", "HERE", protocols=[door("https", "/b/", 443, "s3.local")], sign_url="s3")
    for account, may in (("ada", False), ("root", True)):
        server.state.accounts[account].sign_url = may
        user = client(account)
        user.add_replicas("S3", [{"scope": f"user.{account}", "name": "f", "bytes": 1, "adler32": "00010001"}])
        [url] = next(user.list_replicas([{"scope": f"user.{account}", "name": "f"}]))["pfns"]
        assert ("?signed=read&expires=" in url) is may


def test_what_is_said_against_replicas_is_kept(server, client, ada):
    path = stored(server, ada, "f")
    ada.declare_suspicious_file_replicas([f"file://localhost{path}"], "checksum")
    client("root").declare_bad_file_replicas([{**did("f"), "rse": "NEAR"}], "lost")
    assert server.suspicious == [("ada", f"file://localhost{path}", "checksum")]
    assert server.bad == [("root", {**did("f"), "rse": "NEAR"}, "lost")]
    assert next(ada.list_replicas([did("f")]))["states"] == {}


def add_one(home, number):
    """Add a dataset from another process."""
    client_of(home).add_dataset(SCOPE, f"d{number}")


def test_several_processes_share_it(server, ada, tmp_path):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=add_one, args=(server.home(tmp_path, "ada"), number)) for number in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(20)
    assert sorted(ada.list_dids(SCOPE, [{"name": "d*"}])) == ["d0", "d1", "d2"]
