"""A small WebDAV server in this process, whose habits a test chooses; what it was asked is kept."""

import datetime as dt
import ssl
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from threading import Lock, Thread
from urllib.parse import unquote, urlsplit

_DAV = '<?xml version="1.0"?><D:multistatus xmlns:D="DAV:">{}</D:multistatus>'
_FILE = (
    "<D:response><D:href>{}</D:href><D:propstat><D:prop><D:getcontentlength>{}</D:getcontentlength><D:resourcetype/>"
    "<D:getlastmodified>Sat, 21 Nov 2026 11:38:48 GMT</D:getlastmodified></D:prop></D:propstat></D:response>"
)
_FOLDER = (
    "<D:response><D:href>{}/</D:href><D:propstat><D:prop><D:resourcetype><D:collection/></D:resourcetype></D:prop></D:propstat></D:response>"
)


@dataclass
class Dav:
    """Objects by path, and how the server treats them."""

    url: str = ""
    objects: dict = field(default_factory=dict)
    asked: list = field(default_factory=list)
    heeds_overwrite: bool = True
    heeds_none_match: bool = True
    knows_ranges: bool = True
    knows_move: bool = True
    knows_propfind: bool = True
    move_status: int = 201
    needs_folders: bool = False
    folders: set = field(default_factory=lambda: {""})
    breaks_after: int | None = None  # bytes of a body, then the connection ends
    says: dict = field(default_factory=dict)  # method -> (status, headers, body) of every answer
    lock: Lock = field(default_factory=Lock)

    def methods(self):
        return [method for method, _, _ in self.asked]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # head and body in one packet: else each answer waits 40 ms for an acknowledgement

    def log_message(self, *_):
        """Keep quiet."""

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except OSError:
            self.close_connection = True

    def __getattr__(self, name):
        if not name.startswith("do_"):
            raise AttributeError(name)
        return lambda: self._do(name.removeprefix("do_"))

    def _do(self, method):
        dav, path = self.server.dav, unquote(urlsplit(self.path).path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with dav.lock:
            dav.asked.append((method, self.path, dict(self.headers)))
            if method in dav.says:
                return self._say(*dav.says[method])
            return getattr(self, f"_{method.lower()}", self._unknown)(dav, path, body)

    def _say(self, status, headers=None, body=b""):
        self.send_response_only(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if "Content-Length" not in (headers or {}) and status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        keep = self.server.dav.breaks_after
        if self.command != "HEAD":
            self.wfile.write(body if keep is None else body[:keep])
        if keep is not None and keep < len(body):
            self.close_connection = True

    def _unknown(self, *_):
        self._say(501)

    def _get(self, dav, path, _):
        data = dav.objects.get(path)
        if data is None:
            is_folder = any(name.startswith(f"{path}/") for name in dav.objects)
            return self._say(301, {"Location": f"{path}/"}) if is_folder else self._say(404)
        wanted = self.headers.get("Range")
        if not wanted or not dav.knows_ranges:
            return self._say(200, body=data)
        start, stop = (int(number) for number in wanted.removeprefix("bytes=").split("-"))
        if start >= len(data):
            return self._say(416, {"Content-Range": f"bytes */{len(data)}"})
        part = data[start : stop + 1]
        return self._say(206, {"Content-Range": f"bytes {start}-{start + len(part) - 1}/{len(data)}"}, part)

    _head = _get

    def _put(self, dav, path, body):
        if dav.heeds_none_match and self.headers.get("If-None-Match") == "*" and path in dav.objects:
            return self._say(412)
        if dav.needs_folders and path.rpartition("/")[0] not in dav.folders:
            return self._say(409)
        dav.objects[path] = body
        return self._say(201)

    def _mkcol(self, dav, path, _):
        path = path.rstrip("/")
        if path in dav.folders:
            return self._say(405)
        if path.rpartition("/")[0] not in dav.folders:
            return self._say(409)
        dav.folders.add(path)
        return self._say(201)

    def _move(self, dav, path, _):
        target = unquote(urlsplit(self.headers["Destination"]).path)
        if not dav.knows_move:
            return self._say(405)
        if dav.heeds_overwrite and self.headers.get("Overwrite") == "F" and target in dav.objects:
            return self._say(412)
        if path not in dav.objects:
            return self._say(404)
        dav.objects[target] = dav.objects.pop(path)
        return self._say(dav.move_status)

    def _delete(self, dav, path, _):
        return self._say(204 if dav.objects.pop(path, None) is not None else 404)

    def _propfind(self, dav, path, _):
        if not dav.knows_propfind:
            return self._say(405)
        folder, found = path.rstrip("/"), []
        if path in dav.objects:
            found = [_FILE.format(path, len(dav.objects[path]))]
        below = [name for name in dav.objects if name.startswith(f"{folder}/")]
        if below:
            found = [_FOLDER.format(folder)]
            if self.headers.get("Depth") == "1":
                found += [_FILE.format(name, len(dav.objects[name])) for name in below if "/" not in name[len(folder) + 1 :]]
                folders = {name[len(folder) + 1 :].partition("/")[0] for name in below if "/" in name[len(folder) + 1 :]}
                found += [_FOLDER.format(f"{folder}/{name}") for name in folders]
        return self._say(207, body=_DAV.format("".join(found)).encode()) if found else self._say(404)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_):
        """A client that hangs up is everyday life."""


@contextmanager
def dav(certificate=None, authority=None):
    """Serve on the loopback address; with a PEM file of certificate and key by TLS, which asks for one that ``authority`` signed."""
    server = _Server(("127.0.0.1", 0), _Handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        if authority:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(authority)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.dav = Dav(f"http{'s' if certificate else ''}://127.0.0.1:{server.server_port}")
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server.dav
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def write_certificate(path):
    """Write a certificate for this machine, which is its own authority, and its key to one file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, path.stem)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(key, hashes.SHA256())
    )  # fmt: skip
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + pem)
    path.chmod(0o600)
    return path
