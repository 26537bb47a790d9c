"""Fill an empty database of Rucio: storage elements, accounts, scopes, quotas. What is where is decided here.

Run once, in the Rucio server's environment, before the server starts: rucio_setup.py SETTINGS.json, which rucio_server.py writes.
Prints the ids of the storage elements as JSON.
"""

# ruff: noqa: INP001, TID251  (a program of its own, of the server)
from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from typing import Any

from rucio.common.types import InternalAccount, InternalScope
from rucio.core import account, account_limit, distance, identity, rse, scope
from rucio.db.sqla.constants import AccountType, DatabaseOperationType, IdentityType, RSEType
from rucio.db.sqla.session import db_session
from rucio.db.sqla.util import build_database, create_base_vo, create_root_account

QUOTA_BYTES = 10_000_000_000  # of ada, on each disk; bob has none
CAPACITY_BYTES = 1_000_000_000_000
# NoRename, since signed URLs cannot be renamed, and nginx answers MOVE by 204, which Rucio takes for a failure
CODE = {"https": "webdav.NoRename", "davs": "webdav.NoRename", "root": "xrootd.Default", "file": "posix.Default"}
READ_ONLY = {"read": 2}  # an operation that is not named is not allowed
FIRST, SECOND = ({"read": number, "write": number, "delete": number} for number in (1, 2))
COPIES = {"third_party_copy_read": 1, "third_party_copy_write": 1}
SIGNED = {"sign_url": "s3", "s3_url_style": "path", "skip_upload_stat": True, "verify_checksum": False}


def protocol(scheme: str, port: int, prefix: str, use: dict[str, int], *, copies: bool = True) -> dict[str, Any]:
    """Describe one way to reach a storage element, the same from near and from afar."""
    return {
        "scheme": scheme, "impl": f"rucio.rse.protocols.{CODE[scheme]}", "hostname": "127.0.0.1", "port": port, "prefix": prefix,
        "domains": {"lan": use, "wan": use | (COPIES if copies else {})}, "extended_attributes": None,
    }


def elements(given: dict[str, Any]) -> dict[str, tuple[str, RSEType, dict[str, Any], list[dict[str, Any]]]]:
    """Name the storage elements: site, kind, further attributes, protocols."""
    s3, dav, root, http = (given["ports"][name] for name in ("s3", "dav", "xrootd", "xrootd_tls"))
    return {
        "INFN-PG": ("INFN-PG", RSEType.DISK, SIGNED, [protocol("https", s3, f"/{given['bucket']}/", FIRST)]),
        "INFN-NA": ("INFN-NA", RSEType.DISK, {}, [protocol("root", root, "//lake/", FIRST), protocol("https", http, "/lake/", SECOND)]),
        "CNAF": ("CNAF", RSEType.DISK, {}, [protocol("https", dav, "/dav/", FIRST), protocol("davs", dav, "/dav/", READ_ONLY, copies=False)]),
        "CNAF-TAPE": ("CNAF", RSEType.TAPE, {}, [protocol("file", 0, given["tape"], FIRST)]),
    }


def main(given: dict[str, Any]) -> dict[str, str]:
    """Do it all in one transaction, after the schema."""
    build_database()
    create_base_vo()
    create_root_account()
    with db_session(DatabaseOperationType.WRITE) as session:
        ids = {}
        for name, (site, kind, attributes, protocols) in elements(given).items():
            ids[name] = rse.add_rse(name, rse_type=kind, session=session)
            for key, value in {"site": site, **attributes}.items():
                rse.add_rse_attribute(ids[name], key, value, session=session)
            for one in protocols:
                rse.add_protocol(ids[name], one, session=session)
            rse.set_rse_usage(ids[name], source="storage", used=0, free=CAPACITY_BYTES, session=session)
        for source, target in itertools.permutations(ids.values(), 2):
            distance.add_distance(source, target, distance=1, session=session)
        for user in given["users"]:
            _add(user, given, session)
        for name, rse_id in ids.items():
            account_limit.set_local_account_limit(InternalAccount("root"), rse_id, -1, session=session)
            if name != "CNAF-TAPE":
                account_limit.set_local_account_limit(InternalAccount("ada"), rse_id, QUOTA_BYTES, session=session)
    return ids


def _add(user: dict[str, str], given: dict[str, Any], session: Any) -> None:
    """Make an account with its scope, and link its identities."""
    name = InternalAccount(user["name"])
    if user["name"] != "root":
        account.add_account(name, AccountType.USER, f"{user['name']}@localhost", session=session)
        scope.add_scope(InternalScope(f"user.{user['name']}"), name, session=session)
        account.add_account_attribute(name, "sign-url", value=True, session=session)  # without it replicas on S3 have bare addresses
    known = {
        IdentityType.USERPASS: user["name"], IdentityType.X509: f"CN={user['name']},O=lakecv test lake",
        IdentityType.OIDC: f"SUB={user['name']}, ISS={given['issuer']}",
    }
    if user["name"] == "root":
        del known[IdentityType.USERPASS]  # create_root_account made it
    for kind, text in known.items():
        secret = user["password"] if kind is IdentityType.USERPASS else None
        identity.add_account_identity(text, kind, name, f"{user['name']}@localhost", default=True, password=secret, session=session)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(json.loads(Path(sys.argv[1]).read_text()))) + "\n")
