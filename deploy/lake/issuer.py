"""A test issuer of OIDC tokens: a discovery document and its public key for servers, signed tokens for tests.

    issuer.py serve HOME PORT                          answer on 127.0.0.1; the key is made in HOME and stays there
    issuer.py token HOME SUBJECT LIFETIME AUDIENCE     print a token that lives for some seconds

Run in the Rucio server's environment, which has `cryptography`. Nobody logs in here: who may read HOME may be anyone.
"""

# ruff: noqa: INP001  (a program of its own)
from __future__ import annotations

import json
import secrets
import sys
import time
from base64 import urlsafe_b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

ALGORITHM = "RS256"
KEY_ID = "lake"
SCOPE = "openid profile"


def serve(home: Path, port: int) -> None:
    """Answer for ever."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    url = f"http://127.0.0.1:{port}"
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    answers = {"/.well-known/openid-configuration": _discovery(url), "/jwks": _public(key)}

    class Answer(BaseHTTPRequestHandler):
        """The two documents, and 404 for all else."""

        def do_GET(self) -> None:
            """Send what stands at a path."""
            found = answers.get(self.path.split("?")[0])
            body = json.dumps(found or {"error": "not found"}).encode()
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with ThreadingHTTPServer(("127.0.0.1", port), Answer) as server:
        for name, text in (("url", url.encode()), ("key.pem", pem)):
            (home / name).touch(mode=0o600)
            (home / name).write_bytes(text)
        server.serve_forever()


def token(home: Path, subject: str, lifetime_s: float, audience: str) -> str:
    """Sign a token as WLCG profiles them (JWT, RFC 7519; negative lifetimes make one that has expired)."""
    now = int(time.time())
    claims = {
        "iss": (home / "url").read_text(), "sub": subject, "aud": audience, "scope": SCOPE, "wlcg.ver": "1.0", "jti": secrets.token_hex(16),
        "iat": now, "nbf": now + min(0, int(lifetime_s)), "exp": now + int(lifetime_s),
    }
    key = serialization.load_pem_private_key((home / "key.pem").read_bytes(), password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError(f"{home / 'key.pem'} holds no RSA key")
    header = {"alg": ALGORITHM, "kid": KEY_ID, "typ": "JWT"}
    signed = b".".join(_base64(json.dumps(part).encode()) for part in (header, claims))
    return (signed + b"." + _base64(key.sign(signed, padding.PKCS1v15(), hashes.SHA256()))).decode()


def _discovery(url: str) -> dict[str, object]:
    """OpenID Connect Discovery 1.0, section 3; the endpoints for a browser's log-in are named as they must be, and absent."""
    return {
        "issuer": url, "jwks_uri": f"{url}/jwks", "authorization_endpoint": f"{url}/authorize", "token_endpoint": f"{url}/token",
        "userinfo_endpoint": f"{url}/userinfo", "introspection_endpoint": f"{url}/introspect", "response_types_supported": ["code"],
        "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": [ALGORITHM],
        "scopes_supported": SCOPE.split(), "grant_types_supported": ["authorization_code", "client_credentials"],
    }


def _public(key: rsa.RSAPrivateKey) -> dict[str, object]:
    numbers = key.public_key().public_numbers()
    n, e = (_base64(number.to_bytes((number.bit_length() + 7) // 8, "big")).decode() for number in (numbers.n, numbers.e))
    return {"keys": [{"kty": "RSA", "use": "sig", "alg": ALGORITHM, "kid": KEY_ID, "n": n, "e": e}]}


def _base64(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        sys.stdout.write(token(Path(sys.argv[2]), sys.argv[3], float(sys.argv[4]), sys.argv[5]) + "\n")
