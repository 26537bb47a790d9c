"""Rucio lakes that cannot be used: a server in memory, storage elements that are folders, and what is wrong there."""

import http.server
import json
import ssl
import threading
import time
from base64 import b64encode, urlsafe_b64encode
from functools import partial
from pathlib import Path

from lakecv_catalog.rucio.server import _server

from lakecv.ports import ReadHints
from tests.bad_inputs.paths import store
from tests.bad_inputs.situation import files_of
from tests.plugins.storage.dav import write_certificate
from tests.rucio_values import Did, door

RSES = ("INFN-PG", "CNAF")
DID = "user.ada:tavola"
_SECRET = "canary-word"


# --- a lake in which all is well --------------------------------------------------------------------------------------
def empty(place, **client):
    """Rucio with the account ada, who has a scope and two storage elements, and nothing in it."""
    rucio = place.fixture("rucio")
    folder = place.folder.parent / "rses"
    rucio.add_account("ada", _SECRET)
    rucio.add_account("bob", _SECRET)
    rucio.add_scope("user.ada", "ada")
    rucio.add_scope("user.bob", "bob")
    for rse in RSES:
        rucio.add_rse(rse, rse, folder / rse)
        rucio.set_quota("ada", rse, 10**9)
    home = rucio.home(place.folder.parent / "homes", "ada", **client)
    for name, value in {"RUCIO_HOME": home, "LAKECV_CATALOG": "rucio", "LAKECV_RSE": "INFN-PG", "LAKECV_SCOPE": "user.ada"}.items():
        place.patch.setenv(name, str(value))
    place.scope = "user.ada"
    place.elsewhere = partial(_kept, rucio, folder)

    def shows_no_secret(typed):
        assert _SECRET not in typed.out + typed.err

    place.after.append(shows_no_secret)
    return rucio


def _kept(rucio, folder):
    """What Rucio and its storage elements hold."""
    dids = {f"rucio/{did.scope}:{did.name}": repr((did.meta, sorted(did.children), did.replicas)) for did in rucio.state.dids.values()}
    rules = {f"rucio/rules/{rule.id}": rule.expression for rule in rucio.state.rules.values()}
    return files_of(folder) | {name: text.encode() for name, text in (dids | rules).items()}


def tavola(place, *copies):
    """With one dataset at INFN-PG, and copies of it elsewhere."""
    rucio = empty(place)
    lake = place.open()
    lake.register(place.words["cube"], DID, hints=ReadHints(dims="y,x,spectral"))
    for rse in copies:
        lake.replicate(DID, rse)
    rucio.run_rules()
    _server.cache_clear()  # the command is another process: it remembers nothing
    return rucio


def _files(rucio):
    return [did for did in rucio.state.dids.values() if did.type == "FILE"]


# --- replicas that cannot be read -------------------------------------------------------------------------------------
def moved(place, name, kind="DISK", scheme="file"):
    """Whose only copy lies at another storage element."""
    rucio = tavola(place)
    rucio.add_rse(name, name, rse_type=kind, protocols=[door(scheme, "/", 2811, "storage.example.org")])
    for did in _files(rucio):
        did.replicas = {name: "AVAILABLE"}


def nowhere(place):
    """Whose copies are all gone."""
    for did in _files(tavola(place)):
        did.replicas = {}


def on_its_way(place):
    """Of which only a part has arrived."""
    for did in _files(tavola(place))[1:]:
        did.replicas = {"INFN-PG": "COPYING"}


def closed(place, *copies):
    """Whose storage element is closed for reading while the command runs."""
    rucio = tavola(place, *copies)

    def typed(*words):
        rucio.set_availability("INFN-PG", read=False)
        done = place.here(*words)
        rucio.set_availability("INFN-PG")
        _server.cache_clear()
        return done

    def says_why(typed):
        [reason] = [each for each in typed.json["reasons"] if "closed for reading now" in each["text"]]
        assert (reason["subject"], reason["chosen"]) == ("INFN-PG", False)

    place.type = typed
    if copies:
        place.after.append(says_why)


def damaged(place, *rses):
    """One chunk of which is damaged at some storage elements."""
    tavola(place, *(rse for rse in rses if rse != "INFN-PG"))
    place.changes_lake = True  # a run keeps what it has done
    for rse in rses:
        [path] = [path for path in (place.folder.parent / "rses" / rse).rglob("*data.c.0.0.0") if path.is_file()]
        path.write_bytes(b"\0" * path.stat().st_size)

    def names_all(typed):
        assert all(f"{rse}: its" in typed.out + typed.err for rse in rses)

    place.after.append(names_all)


def said_otherwise(place, what):
    """Of one file of which Rucio says another size or checksum than its bytes have."""
    [file] = [did for did in _files(tavola(place, "CNAF")) if did.name.endswith("data.c.0.0.0")]
    if what == "bytes":
        file.bytes += 1
    else:
        file.adler32 = "00000001"

    def names_the_replica(typed):
        assert "INFN-PG" in typed.out

    place.after.append(names_the_replica)


def spelt_otherwise(place):
    """Whose checksums Rucio spells in upper case, without leading zeros."""
    for did in _files(tavola(place)):
        did.adler32 = did.adler32.upper().lstrip("0")


# --- names, rights, room ----------------------------------------------------------------------------------------------
def foreign(place):
    """With a dataset that somebody put there by other means."""
    rucio = empty(place)
    rucio.state.dids["user.ada", "scan"] = Did("user.ada", "scan", "DATASET", "ada")


def full(place, nbytes="0"):
    """With little or no room left at INFN-PG."""
    empty(place).set_quota("ada", "INFN-PG", int(nbytes))


def narrow(place):
    """With a dataset, and no room for a result."""
    tavola(place).set_quota("ada", "INFN-PG", 10)


def without_quota(place):
    """Whose account has no quota anywhere."""
    rucio = empty(place)
    place.patch.delenv("LAKECV_RSE")
    rucio.state.accounts["ada"].limits.clear()


def no_writing(place):
    """Whose storage element is closed for writing."""
    empty(place).set_availability("INFN-PG", write=False)


def tape(place):
    """With a storage element of tapes."""
    rucio = empty(place)
    rucio.add_rse("TAPE", "CNAF", rse_type="TAPE", protocols=[door("root", "//tape/", 1094, "storage.example.org")])
    rucio.set_quota("ada", "TAPE", None)


def gridftp(place):
    """With a storage element that offers only gsiftp."""
    rucio = empty(place)
    rucio.add_rse("OLD", "CNAF", protocols=[door("gsiftp", "//pnfs/", 2811, "storage.example.org")])
    rucio.set_quota("ada", "OLD", None)


def stuck(place):
    """With a rule to CNAF that got stuck."""
    rucio = tavola(place)
    place.changes_lake = True
    place.open().replicate(DID, "CNAF")
    [rule] = [rule for rule in rucio.state.rules.values() if rule.expression == "CNAF"]
    rule.locks, rule.error = dict.fromkeys(rule.locks, "STUCK"), "no space left on device"


def no_room_for_copies(place):
    """With a dataset, and no quota at CNAF."""
    tavola(place).state.accounts["ada"].limits.pop("CNAF")


# --- who one is, and where the server is ------------------------------------------------------------------------------
def ready(place, *copies):
    """In which all is well."""
    tavola(place, *copies)


def no_cfg(place):
    """Without rucio.cfg."""
    empty(place)
    place.patch.setenv("RUCIO_HOME", str(place.folder / "nothing"))


def wrong(place, *pairs):
    """Whose rucio.cfg says something else: key=value."""
    empty(place)
    path = place.folder.parent / "homes" / "ada" / "etc" / "rucio.cfg"
    said = dict(line.split(" = ") for line in path.read_text().splitlines()[1:]) | dict(pair.split("=", 1) for pair in pairs)
    path.write_text("".join(["[client]\n", *(f"{key} = {value}\n" for key, value in said.items())]))


def untrusted(place):
    """Whose server shows a certificate of an authority that nobody knows."""
    host = _refusing(place, 401, "CannotAuthenticate", write_certificate(place.folder / "host.pem"))
    empty(place, rucio_host=host, auth_host=host)


def gone(place):
    """Whose server went away."""
    tavola(place).pause()


def token(place, seconds):
    """Who comes with a bearer token of a time, of which the server knows nothing."""
    _by_token(place, tavola(place))
    place.patch.setenv("BEARER_TOKEN", _jwt(time.time() + int(seconds)))


def token_file(place, what):
    """Who names a file with a token that is missing, empty, a folder, or open to all."""
    rucio = empty(place)
    _by_token(place, rucio)
    path = place.folder / "token"
    if what == "folder":
        path.mkdir()
    elif what != "missing":
        path.write_text("" if what == "empty" else _jwt(time.time() + 3600))
        path.chmod(0o644 if what == "open" else 0o600)
    place.patch.setenv("BEARER_TOKEN_FILE", str(path))


def _by_token(place, rucio):
    home = rucio.home(place.folder.parent / "tokens", "ada", auth_type="oidc")
    place.patch.setenv("RUCIO_HOME", str(home))
    _server.cache_clear()


def _jwt(expiry):
    """Unsigned token; nothing here looks at the signature."""
    parts = ({"alg": "none"}, {"exp": expiry}, {"signed": _SECRET})
    return ".".join(urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)


def proxy(place, status="401", refusal="CannotAuthenticate"):
    """Who comes with a proxy without VOMS attributes, which the server refuses."""
    certificate = place.folder / "proxy.pem"
    certificate.write_text(f"-----BEGIN CERTIFICATE-----\n{b64encode(b'no attributes').decode()}\n-----END CERTIFICATE-----\n")
    certificate.chmod(0o600)
    place.patch.setenv("X509_USER_PROXY", str(certificate))
    url = _refusing(place, int(status), refusal)
    empty(place, auth_type="x509_proxy", rucio_host=url, auth_host=url)


def _refusing(place, status, refusal, certificate=None):
    """Start a server that answers everything with one refusal, as Rucio words it."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = json.dumps({"ExceptionClass": refusal, "ExceptionMessage": "no"}).encode()
            self.send_response(status)
            for name, text in {"ExceptionClass": refusal, "ExceptionMessage": "no", "Content-Length": str(len(body))}.items():
                self.send_header(name, text)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()

    def stop(_):
        server.shutdown()
        server.server_close()
        thread.join()

    place.after.append(stop)
    return f"http{'s' if certificate else ''}://127.0.0.1:{server.server_port}"


# --- folders that were fetched ----------------------------------------------------------------------------------------
def fetched(place, what=""):
    """A fetched folder in which something is wrong."""
    folder = place.folder / "out"
    place.open().fetch("museo:tavola", folder)
    [chunk] = folder.glob("data/c/0/0/0")
    if what == "missing":
        chunk.unlink()
    elif what == "truncated":
        chunk.write_bytes(chunk.read_bytes()[:-1])
    elif what == "flipped":
        data = bytearray(chunk.read_bytes())
        data[len(data) // 2] ^= 1
        chunk.write_bytes(bytes(data))
    elif what == "extra":
        (folder / "notes.txt").write_text("mine")
    return {"out": str(folder)}


def folder(place):
    """An empty folder."""
    (place.folder / "out").mkdir()
    return {"out": str(place.folder / "out")}


def two_datasets(place):
    """A folder of flat names in which two manifests lie."""
    made = folder(place)
    for name in ("a", "b"):
        (Path(made["out"]) / f"{name}.manifest.json").write_text("{}")
    return made


def in_place(place):
    """A Zarr store, and Rucio to register it in."""
    empty(place)
    return store(place)
