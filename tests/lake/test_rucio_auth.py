"""Who one is to a real Rucio server, by each way that lakecv supports, and each refusal: its own cause, no prompt, no secret."""

import os
import re
import time
from itertools import chain, repeat
from secrets import token_hex
from types import SimpleNamespace

import pytest
from lakecv_catalog.rucio.catalog import RucioCatalog
from lakecv_catalog.rucio.server import _server, server
from lakecv_plugins.storage import token as token_module
from typer.testing import CliRunner

from lakecv.cli import app
from lakecv.testing.fakes import MemoryObjects

FINDS = ("search", "nobody=1", "--scope", "user.ada")


@pytest.fixture(autouse=True)
def nobody_answers(monkeypatch, tmp_path):
    """Fail where somebody is asked; no token lies in /tmp; a server that is away is not waited for."""
    for where in ("builtins.input", "getpass.getpass"):
        monkeypatch.setattr(where, lambda *_: pytest.fail("lakecv asked on the terminal"))
    (tmp_path / "shared").mkdir()
    monkeypatch.setattr(token_module, "_SHARED", tmp_path / "shared")
    monkeypatch.setattr("lakecv_catalog.rucio.server._WAIT_SECONDS", 0.01)
    monkeypatch.setenv("LAKECV_CATALOG", "rucio")
    yield
    _server.cache_clear()


@pytest.fixture
def home(real_lake, tmp_path, monkeypatch):
    """Make a fresh RUCIO_HOME of ada that has no session yet; with a value None a line of rucio.cfg is left out."""

    def made(**changes):
        lines = (real_lake.home("ada") / "etc" / "rucio.cfg").read_text().splitlines()[1:]
        said = dict(line.split(" = ") for line in lines) | {"auth_token_file_path": str(tmp_path / "session" / "token")} | changes
        (tmp_path / "rucio" / "etc").mkdir(parents=True)
        text = "".join(f"{key} = {value}\n" for key, value in said.items() if value is not None)
        (tmp_path / "rucio" / "etc" / "rucio.cfg").write_text(f"[client]\n{text}")
        monkeypatch.setenv("RUCIO_HOME", str(tmp_path / "rucio"))
        return said

    return made


@pytest.fixture
def lakecv(real_lake, tmp_path):
    """Type a command; whatever comes of it, no secret is shown."""
    words = [line.split(" = ")[1] for line in (real_lake.home("ada") / "etc" / "rucio.cfg").read_text().splitlines() if "password" in line]

    def typed(*line, **environment):
        done = CliRunner().invoke(app, ["--lake", str(tmp_path / "work"), *line], prog_name="lakecv", env=environment)
        for secret in (*words, *re.findall(r"eyJ[\w.-]{20,}", str(environment)), "guessed"):
            assert secret not in done.output
        assert "Traceback" not in done.output
        return done

    return typed


def who():
    """Account that the server takes this process for."""
    return server()._client.whoami()["account"]


# --- who is let in ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["userpass", "x509", "x509_proxy"])
def test_somebody_comes_in_by(home, lakecv, kind):
    home(auth_type=kind, **({} if kind == "userpass" else {"username": None, "password": None}))
    done = lakecv(*FINDS)
    assert (done.exit_code, who()) == (0, "ada"), done.output


PLACES = ("BEARER_TOKEN", "BEARER_TOKEN_FILE", "XDG_RUNTIME_DIR", "/tmp")


@pytest.fixture
def put(tmp_path, monkeypatch):
    """Leave a token at one of the four places."""

    def left(place, text):
        name = f"bt_u{os.geteuid()}"
        files = {"BEARER_TOKEN_FILE": tmp_path / "mine", "XDG_RUNTIME_DIR": tmp_path / name, "/tmp": tmp_path / "shared" / name}
        if place in files:
            files[place].write_text(text + "\n")
            files[place].chmod(0o600)
        values = {"BEARER_TOKEN": text, "BEARER_TOKEN_FILE": str(files["BEARER_TOKEN_FILE"]), "XDG_RUNTIME_DIR": str(tmp_path)}
        if place in values:
            monkeypatch.setenv(place, values[place])

    yield left
    assert not (tmp_path / "session").exists()  # a token lies where its owner put it, and nowhere else


@pytest.mark.parametrize("place", PLACES)
def test_a_token_is_found_in(real_lake, home, lakecv, put, place):
    home(auth_type="oidc", username=None, password=None)
    put(place, real_lake.token())
    done = lakecv(*FINDS)
    assert (done.exit_code, who()) == (0, "ada"), done.output


def test_a_token_that_was_renewed_in_its_place_is_used_at_once(real_lake, home, lakecv, put):
    home(auth_type="oidc")
    put("XDG_RUNTIME_DIR", real_lake.token(audience="somebody-else"))
    assert lakecv(*FINDS).exit_code == 5
    put("XDG_RUNTIME_DIR", real_lake.token())
    assert lakecv(*FINDS).exit_code == 0


def test_a_token_says_who_one_is_whatever_account_is_named(real_lake, home, put):
    home(auth_type="oidc", account="bob")
    put("BEARER_TOKEN", real_lake.token("ada"))
    assert (RucioCatalog(MemoryObjects()).scope, who()) == ("user.ada", "ada")


# --- who is not -------------------------------------------------------------------------------------------------------
def refused(done, code, kind, *words):
    """Check what a command said."""
    assert done.exit_code == code, done.output
    assert f"[{kind}]" in done.stderr
    assert "hint: " in done.stderr
    for word in words:
        assert word in done.stderr


def test_a_wrong_password_is_refused(home, lakecv):
    home(password="guessed")
    refused(lakecv(*FINDS), 5, "forbidden", "Rucio does not accept who you are", "rucio whoami")


def test_an_unknown_account_is_refused(home, lakecv):
    home(account="nobody")
    refused(lakecv(*FINDS), 5, "forbidden", "Rucio does not accept who you are", "nobody")


def test_an_expired_token_is_refused_before_any_request(real_lake, home, lakecv):
    home(auth_type="oidc", rucio_host="http://127.0.0.1:9", auth_host="http://127.0.0.1:9")
    refused(lakecv(*FINDS, BEARER_TOKEN=real_lake.token(lifetime_s=-60)), 5, "token-expired", "it expired", "htgettoken")


def test_a_token_that_has_expired_meanwhile_is_told_so(real_lake, home, lakecv, monkeypatch):
    home(auth_type="oidc")
    times = chain([0.0], repeat(time.time()))  # valid when one logs in, no longer when the server has refused it
    monkeypatch.setattr(token_module, "time", SimpleNamespace(time=lambda: next(times)))
    refused(lakecv(*FINDS, BEARER_TOKEN=real_lake.token(lifetime_s=-60)), 5, "token-expired", "it expired", "htgettoken")


def test_a_token_for_somebody_else_says_for_whom(real_lake, home, lakecv):
    home(auth_type="oidc")
    done = lakecv(*FINDS, BEARER_TOKEN=real_lake.token(audience="somebody-else"))
    refused(done, 5, "forbidden", "does not accept the bearer token", "audience 'somebody-else'")


def test_a_token_that_is_nowhere_is_told_so(home, lakecv):
    home(auth_type="oidc")
    refused(lakecv(*FINDS), 5, "token-expired", "was not found", "oidc-token")


def test_a_token_file_that_is_not_there_is_named(home, lakecv, tmp_path):
    home(auth_type="oidc")
    refused(lakecv(*FINDS, BEARER_TOKEN_FILE=str(tmp_path / "gone")), 5, "forbidden", str(tmp_path / "gone"), "does not exist")


def test_a_proxy_without_voms_attributes_is_told_so(real_lake, home, lakecv):
    home(auth_type="x509_proxy", client_x509_proxy=str(real_lake.home("bob") / "proxy.pem"))
    refused(lakecv(*FINDS), 5, "forbidden", "no VOMS attributes", "voms-proxy-init")


@pytest.mark.parametrize("named", [None, "/nowhere/proxy.pem"])
def test_a_proxy_that_is_not_there_is_told_so(home, lakecv, named):
    home(auth_type="x509_proxy", client_x509_proxy=named)
    refused(lakecv(*FINDS), 5, "forbidden", "there is no proxy", "voms-proxy-init")


def test_a_certificate_that_is_not_there_is_named(home, lakecv):
    home(auth_type="x509", client_cert="/nowhere/usercert.pem")
    refused(lakecv(*FINDS), 2, "config-invalid", "/nowhere/usercert.pem")


def test_a_server_whose_authority_is_not_known_is_not_trusted(real_lake, home, lakecv):
    home(ca_cert=str(real_lake.home("ada") / "usercert.pem"))
    refused(lakecv(*FINDS), 2, "config-invalid", "is not trusted", "ca_cert")


def test_an_authority_that_is_not_there_is_named(home, lakecv):
    home(ca_cert="/nowhere/ca.pem")
    refused(lakecv(*FINDS), 2, "config-invalid", "/nowhere/ca.pem", "ca_cert")


def test_without_any_settings_of_rucio_they_are_asked_for(real_lake, lakecv, tmp_path):  # noqa: ARG001  (of the same tier)
    refused(lakecv(*FINDS, RUCIO_HOME=str(tmp_path / "nowhere")), 2, "config-invalid", "RUCIO_HOME")


@pytest.mark.parametrize("missing", ["rucio_host", "auth_type", "password"])
def test_settings_that_lack_something_name_it(home, lakecv, missing):
    home(**{missing: None})
    refused(lakecv(*FINDS), 2, "config-invalid", missing)


def test_a_server_that_is_not_there_is_told_so(home, lakecv):
    home(rucio_host="http://127.0.0.1:9", auth_host="http://127.0.0.1:9", request_retries=0)
    refused(lakecv(*FINDS), 6, "catalog-timeout", "does not answer", "rucio_host")


def test_a_scope_of_somebody_else_is_refused_before_anything_is_written(home, lakecv, tmp_path):
    home()
    (tmp_path / "cube.npy").write_bytes(b"")
    done = lakecv("register", str(tmp_path / "cube.npy"), f"user.bob:t-{token_hex(4)}", "--rse", "CNAF")
    refused(done, 5, "forbidden", "user.bob")
