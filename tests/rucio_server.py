"""A Rucio server (REST, as 41.5.1) that lies in memory: what moto is for S3. tests/lake/test_rucio_likeness.py compares the two."""

import json
import os
import socket
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from secrets import token_hex
from unittest.mock import patch
from urllib.parse import parse_qsl, unquote, urlsplit

from tests import rucio_dids, rucio_replicas, rucio_rules
from tests.rucio_values import Account, Answer, Refused, Rse, State, created, denied, door, now, stamp, value


# --- one call ---------------------------------------------------------------------------------------------------------
@dataclass
class Call:
    """What was asked, by whom."""

    state: State
    account: Account
    raw_query: str
    body: bytes
    _undo: list = field(default_factory=list)

    def __post_init__(self):
        self.json = json.loads(self.body) if self.body else {}
        self.query = dict(parse_qsl(self.raw_query, keep_blank_values=True))
        self.register = partial(rucio_replicas.register, self)
        self.rule = partial(rucio_rules.make, self)

    def undone_by(self, function, *arguments):
        """Note how to take something back."""
        self._undo.append((function, arguments))

    @contextmanager
    def undo(self):
        """Do all or nothing."""
        try:
            yield
        except Exception:
            for function, arguments in reversed(self._undo):
                function(*arguments)
            raise


def account_row(call):
    made = call.account.made.strftime("%Y-%m-%dT%H:%M:%S")
    return value({
        "account": call.account.name, "account_type": "SERVICE" if call.account.admin else "USER", "status": "ACTIVE",
        "email": None if call.account.admin else f"{call.account.name}@localhost", "created_at": made, "updated_at": made,
        "suspended_at": None, "deleted_at": None,
    })


def no_account(name):
    return Refused(404, "AccountNotFound", f"Account ID '{name}' does not exist")


def scopes_of(call, account):
    if account not in call.state.accounts:
        raise no_account(account)
    found = sorted(scope for scope, owner in call.state.scopes.items() if owner == account)
    if not found:
        raise Refused(404, "ScopeNotFound", f"no scopes found for account ID '{account}'")
    return value(found)


def attributes_of(call, account):
    if account not in call.state.accounts:
        raise no_account(account)
    found = call.state.accounts[account]
    rights = {"sign-url": found.sign_url, "admin": found.admin and account != "root"}  # root needs none
    return value([{"key": key, "value": True} for key, has in rights.items() if has])


def add_scope(call, account, scope):
    if not call.account.admin:
        raise denied(f"Account {call.account.name} can not add scope. ")
    if account not in call.state.accounts:
        raise no_account(account)
    if scope in call.state.scopes:
        raise Refused(409, "Duplicate", f"Scope '{scope}' already exists!")
    call.state.scopes[scope] = account
    return created()


DID = "dids/{scope}/{name}"
ROUTES = {
    "GET ping": lambda _: value({"version": "41.5.1"}),
    "GET accounts/whoami": account_row,
    "GET scopes": lambda call: value(sorted(call.state.scopes)),
    "GET accounts/{account}/scopes": scopes_of,
    "POST accounts/{account}/scopes/{scope}": add_scope,
    "GET accounts/{account}/attr": attributes_of,
    "GET accounts/{account}/usage/local": rucio_rules.list_usage,
    "GET accounts/{account}/usage/local/{rse}": rucio_rules.list_usage,
    "GET accounts/{account}/limits/local": rucio_rules.list_limits,
    "POST dids": rucio_dids.add_dids,
    "POST dids/attachments": rucio_dids.attach_many,
    "POST dids/bulkmeta": rucio_dids.get_meta_bulk,
    "GET dids/{scope}/dids/search": rucio_dids.list_dids,
    f"GET {DID}": rucio_dids.get_did,
    f"POST {DID}": rucio_dids.add_did,
    f"GET {DID}/dids": rucio_dids.list_content,
    f"POST {DID}/dids": rucio_dids.attach_dids,
    f"GET {DID}/files": rucio_dids.list_files,
    f"GET {DID}/meta": rucio_dids.get_meta,
    f"POST {DID}/meta": rucio_dids.set_meta,
    f"POST {DID}/meta/{{key}}": rucio_dids.set_meta,
    f"GET {DID}/rules": rucio_rules.list_did_rules,
    "POST replicas": rucio_replicas.add_replicas,
    "PUT replicas": rucio_replicas.update_states,
    "POST replicas/list": rucio_replicas.list_replicas,
    "POST replicas/bad": rucio_replicas.declare_bad,
    "POST replicas/suspicious": rucio_replicas.declare_suspicious,
    "POST replicas/datasets_bulk": rucio_rules.list_dataset_replicas_bulk,
    "GET replicas/{scope}/{name}/datasets": rucio_rules.list_dataset_replicas,
    "GET rses": rucio_replicas.list_rses,
    "GET rses/{rse}": rucio_replicas.get_rse,
    "GET rses/{rse}/attr": rucio_replicas.list_attributes,
    "GET rses/{rse}/protocols": rucio_replicas.get_protocols,
    "GET rses/{rse}/protocols/{scheme}": rucio_replicas.get_protocols,
    "GET rses/{rse}/lfns2pfns": rucio_replicas.lfns2pfns,
    "GET rules": rucio_rules.list_rules,
    "POST rules": rucio_rules.add_rule,
    "GET rules/{rule}": rucio_rules.get_rule,
    "DELETE rules/{rule}": rucio_rules.delete_rule,
    "GET rules/{rule}/locks": rucio_rules.list_locks,
    "GET credentials/signurl": rucio_replicas.sign_url,
}


def routed(method, path):
    """Find who answers: the template, its function, the values in the path."""
    words = [unquote(word) for word in path.strip("/").split("/")]
    for route, function in ROUTES.items():
        known, template = route.split(" ")
        parts = template.split("/")
        fits = len(parts) == len(words) and all(part.startswith("{") or part == word for part, word in zip(parts, words, strict=True))
        if known == method and fits:
            return template, function, [word for part, word in zip(parts, words, strict=True) if part.startswith("{")]
    return path.strip("/"), None, []


class Handler(BaseHTTPRequestHandler):
    """Reads one request, and answers it under the lock."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits 40 ms for the client's ACK

    def setup(self):
        super().setup()
        self.server.fake.connections.add(self.connection)

    def finish(self):
        self.server.fake.connections.discard(self.connection)
        with suppress(OSError):
            super().finish()

    def handle(self):
        with suppress(ConnectionError):
            super().handle()

    def answer(self):
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        found = self.server.fake.answered(self.command, parts.path, parts.query, body, self.headers)
        if found is None:
            self.close_connection = True
            return
        data = found.body.encode()
        self.send_response(found.status)
        for name, text in {"Content-Type": found.kind, "Content-Length": str(len(data)), **found.headers}.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815  (http.server's names)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


def client_of(home):
    """Plain client by a RUCIO_HOME; leaves no settings behind (the client library reads its file once in a process)."""
    from rucio.client import Client  # noqa: TID251  (it acts behind lakecv's back)
    from rucio.common.config import get_config  # noqa: TID251

    get_config.cache_clear()
    try:
        with patch.dict(os.environ, RUCIO_HOME=str(home)):
            return Client()
    finally:
        get_config.cache_clear()


# --- the server -------------------------------------------------------------------------------------------------------
class FakeRucio:
    """A running server; what is in it is made and seen by the methods below, or by clients."""

    def __init__(self):
        self.state, self.lock = State(), threading.RLock()
        self.calls, self.connections = [], set()
        self._failing, self._losing, self._port, self._up = [], [], 0, False

    def __enter__(self):
        self.resume()
        return self

    def __exit__(self, *_):
        self.pause()

    @property
    def url(self):
        """Address of both rucio_host and auth_host."""
        return f"http://127.0.0.1:{self._port}"

    # what is in it ------------------------------------------------------------------------------------------------------
    def add_account(self, name, password="secret", *, sign_url=False, admin=False):
        """Let somebody in."""
        self.state.accounts[name] = Account(name, password, sign_url, admin)

    def add_scope(self, scope, account):
        """Give an account a scope."""
        self.state.scopes[scope] = account

    def add_rse(self, name, site, folder=None, rse_type="DISK", protocols=(), **attributes):
        """Add a storage element; with a folder, one whose replicas are files (sign_url="s3" lets https be signed)."""
        doors = list(protocols) or [door("file", f"{folder}/")]
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
        given = {"site": site, **attributes}
        self.state.rses[name] = Rse(name, given, doors, folder and Path(folder), rse_type)
        return self.state.rses[name]

    def set_quota(self, account, rse, nbytes):
        """Let an account lock some bytes; None: as much as it wants; without a quota it may lock nothing."""
        self.state.accounts[account].limits[rse] = float("inf") if nbytes is None else nbytes

    def set_availability(self, rse, *, read=True, write=True):
        """Block a storage element."""
        self.state.rses[rse].read, self.state.rses[rse].write = read, write

    def home(self, tmp_path, account, **client_section):
        """Write a RUCIO_HOME of an account."""
        home = Path(tmp_path) / account
        (home / "etc").mkdir(parents=True, exist_ok=True)
        section = {
            "rucio_host": self.url, "auth_host": self.url, "auth_type": "userpass", "username": account, "account": account,
            "password": self.state.accounts[account].password, "request_retries": 1, "auth_token_file_path": home / "token",
            **client_section,
        }
        text = "".join(f"{key} = {one}\n" for key, one in section.items())
        (home / "etc" / "rucio.cfg").write_text(f"[client]\n{text}")
        return home

    def run_rules(self):
        """Do what the daemons do: really copy what rules ask for."""
        with self.lock:
            rucio_rules.run(self.state)

    @property
    def bad(self):
        """What was declared bad: (account, PFN or DID, reason)."""
        return self.state.bad

    @property
    def suspicious(self):
        """What was declared suspicious: (account, PFN, reason)."""
        return self.state.suspicious

    # outages ------------------------------------------------------------------------------------------------------------
    def pause(self):
        """Refuse connections."""
        self._up = False
        self._server.shutdown()
        self._server.server_close()
        for connection in list(self.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._thread.join()

    def resume(self):
        """Be there (again), at the same address."""
        self._server = Server(("127.0.0.1", self._port), Handler)
        self._server.fake, self._port, self._up = self, self._server.server_port, True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def fail_next(self, n=1, status=503, *, path_part="", method=""):
        """Answer the next calls (whose template has the part) with this status, and do nothing."""
        self._failing += [(method, path_part, status)] * n

    def lose_reply_of(self, method, path_part):
        """Do the next such call, but hang up instead of answering."""
        self._losing.append((method, path_part))

    def let_in(self, token, account):
        """Know a token, such as one of an OIDC issuer."""
        self.state.tokens[token] = self.state.accounts[account]

    def expire_tokens(self):
        """Forget who came in."""
        self.state.tokens.clear()

    # answering ----------------------------------------------------------------------------------------------------------
    def answered(self, method, path, query, body, headers):
        """Answer a request; None: hang up."""
        with self.lock:
            if not self._up:
                return None
            template, function, words = routed(method, path)
            self.calls.append((method, template))
            for one in self._failing:
                if method.startswith(one[0]) and one[1] in template:
                    self._failing.remove(one)
                    return Answer(one[2], "text/html; charset=utf-8", "played")
            found = self._done(template, function, words, (query, body, headers))
            for one in self._losing:
                if method == one[0] and one[1] in template:
                    self._losing.remove(one)
                    return None
            return found

    def _done(self, template, function, words, asked):
        query, body, headers = asked
        try:
            if template == "auth/userpass":
                return self._token(headers)
            if template == "ping":
                return function(None)
            account = self._known(headers)
            if function is None:
                return Answer(404, "text/html; charset=utf-8", "<!doctype html>\n<title>404 Not Found</title>\n")
            return function(Call(self.state, account, query, body), *words)
        except Refused as refused:
            return refused.answer()

    def _token(self, headers):
        given = [headers.get(f"X-Rucio-{name}") for name in ("Account", "Username", "Password")]
        if None in given:
            raise Refused(401, "CannotAuthenticate", "Cannot authenticate without passing all required arguments")
        found = self.state.accounts.get(given[0])
        if found is None or given[1:] != [found.name, found.password]:
            raise Refused(401, "CannotAuthenticate", f"Cannot authenticate to account {given[0]} with given credentials")
        token = f"{found.name}-{found.name}-unknown-{token_hex(16)}"
        self.state.tokens[token] = found
        expires = stamp(now().replace(year=now().year + 1, day=1))
        more = {"X-Rucio-Auth-Account": found.name, "X-Rucio-Auth-Token": token, "X-Rucio-Auth-Token-Expires": expires}
        return Answer(200, "application/octet-stream", "", more)

    def _known(self, headers):
        token = headers.get("X-Rucio-Auth-Token")
        if not token:
            raise Refused(400, "ValueError", "Token must be set.")
        if token not in self.state.tokens:
            raise Refused(401, "CannotAuthenticate", "Cannot authenticate with given credentials")
        return self.state.tokens[token]
