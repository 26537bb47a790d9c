"""A test authority and what it signs: one certificate for the servers on 127.0.0.1, one for each user who has a key.

Run in the Rucio server's environment, which has `cryptography`: certificates.py CLIENTS SERVERS USER...
"""

# ruff: noqa: INP001  (a program of its own)
from __future__ import annotations

import datetime as dt
import ipaddress
import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAYS = 30  # of a stack for tests

Key = ec.EllipticCurvePrivateKey


def main(clients: Path, servers: Path, users: list[str]) -> None:
    """Write CLIENTS/ca.pem, SERVERS/host.pem and hostkey.pem, and for each user usercert.pem, userkey.pem and proxy.pem."""
    authority = _key()
    ca = _certificate("lakecv test authority", authority.public_key(), authority, None)
    _write(clients / "ca.pem", _pem(ca))
    host = _key()
    _write(servers / "host.pem", _pem(_certificate("127.0.0.1", host.public_key(), authority, ca)))
    _write(servers / "hostkey.pem", _private(host))
    for user in users:
        key = _key()
        certificate = _pem(_certificate(user, key.public_key(), authority, ca))
        _write(clients / user / "usercert.pem", certificate)
        _write(clients / user / "userkey.pem", _private(key))
        _write(clients / user / "proxy.pem", certificate + _private(key))


def _certificate(name: str, key: ec.EllipticCurvePublicKey, signer: Key, issuer: x509.Certificate | None) -> x509.Certificate:
    """Sign one; without an issuer it is the authority itself."""
    subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "lakecv test lake"), x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(issuer.subject if issuer else subject).public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=10)).not_valid_after(now + dt.timedelta(days=DAYS))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if issuer is None:
        made = made.add_extension(_usage(signs=True), critical=True)
    elif name == "127.0.0.1":
        names = [x509.IPAddress(ipaddress.ip_address(name)), x509.DNSName("localhost")]
        made = made.add_extension(x509.SubjectAlternativeName(names), critical=False)
        made = made.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    else:
        made = made.add_extension(_usage(signs=False), critical=True)
        made = made.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    return made.sign(signer, hashes.SHA256())


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, key_cert_sign=signs, crl_sign=signs, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )


def _key() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _private(key: Key) -> bytes:
    none = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, none)


def _write(path: Path, text: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
