"""What the fake Rucio server (rucio_server.py) remembers and answers: plain values, and errors as the real server words them."""

import hashlib
import json
import math
import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

NAME = re.compile(r"^[/A-Za-z0-9][/A-Za-z0-9.\-_]{0,249}$")
ADLER32 = re.compile(r"^[a-fA-F\d]{8}$")
AT_MOST = 1000  # DIDs in one call
STREAM, JSON, TEXT = "application/x-json-stream", "application/json", "text/html; charset=utf-8"
OPERATIONS = ("read", "write", "delete")


class Refused(Exception):
    """The server says no; `name` None: it crashed, and answers plain text."""

    def __init__(self, status, name, message):
        super().__init__(message)
        self.status, self.name, self.message = status, name, str(message)

    def answer(self):
        if self.name is None:
            return Answer(self.status, TEXT, self.message)
        body = {"ExceptionClass": self.name, "ExceptionMessage": self.message}
        short = self.message.replace("\n", " ").encode("ascii", "replace").decode()
        headers = {"ExceptionClass": self.name, "ExceptionMessage": short[:125] + "..." * (len(short) > 125)}
        return Answer(self.status, "application/octet-stream", json.dumps(body), headers)


@dataclass(frozen=True)
class Answer:
    """One answer over HTTP."""

    status: int
    kind: str
    body: str
    headers: dict = field(default_factory=dict)


def lines(values):
    """Answer a stream of JSON values, one each line."""
    return Answer(200, STREAM, "".join(json.dumps(value) + "\n" for value in values))


def value(found):
    """Answer one JSON value."""
    return Answer(200, JSON, json.dumps(found))


def created(body="Created"):
    """Answer that it is done."""
    return Answer(201, TEXT, body)


def denied(message, status=401):
    """Refuse for want of a right; some calls of the real server answer 500 then."""
    return Refused(status, "AccessDenied", message)


def no_did(did):
    """Refuse since there is no such DID."""
    return Refused(404, "DataIdentifierNotFound", f"Data identifier '{did[0]}:{did[1]}' not found")


def invalid(message, status=500):
    """Refuse what does not match the schema."""
    return Refused(status, "InvalidObject", message)


def now():
    return datetime.now(UTC).replace(microsecond=0)


def stamp(moment):
    """Write a time as the real server does."""
    return moment and moment.strftime("%a, %d %b %Y %H:%M:%S UTC")


def after(seconds):
    return now() + timedelta(seconds=seconds) if seconds else None


@dataclass
class Account:
    name: str
    password: str
    sign_url: bool = False
    admin: bool = False
    limits: dict = field(default_factory=dict)  # RSE -> bytes
    made: datetime = field(default_factory=now)


@dataclass
class Rse:
    name: str
    attributes: dict
    protocols: list
    folder: Path | None = None
    rse_type: str = "DISK"
    read: bool = True
    write: bool = True
    id: str = field(default_factory=lambda: uuid4().hex)

    def doors(self, operation, domain, schemes=None):
        """Protocols that allow an operation, the best first."""
        rank = [(door["domains"][domain].get(operation) or 0, door) for door in self.protocols]
        return [door for number, door in sorted(rank, key=lambda pair: pair[0]) if number and (not schemes or door["scheme"] in schemes)]

    def place(self, did):
        """Where a replica lies below the prefix: Rucio's algorithm "hash"."""
        scope, name = did
        digest = hashlib.md5(f"{scope}:{name}".encode(), usedforsecurity=False).hexdigest()
        below = scope.replace(".", "/") if scope.startswith(("user", "group")) else scope
        return f"{below}/{digest[:2]}/{digest[2:4]}/{name}"

    def file(self, did):
        """The replica itself, of an RSE that is a folder."""
        return self.folder / self.place(did)

    def pfn(self, door, did):
        """Address of a replica through one protocol."""
        port = f":{door['port']}" if door["port"] else ""
        return f"{door['scheme']}://{door['hostname']}{port}{door['prefix']}{self.place(did)}"

    def settings(self):
        """What GET rses/NAME says."""
        return {
            "availability_delete": True, "availability_read": self.read, "availability_write": self.write, "credentials": None,
            "deterministic": True, "domain": ["lan", "wan"], "id": self.id, "lfn2pfn_algorithm": "hash", "protocols": self.protocols,
            "qos_class": None, "rse": self.name, "rse_type": self.rse_type, "sign_url": self.attributes.get("sign_url"), "staging_area": False,
            "verify_checksum": self.attributes.get("verify_checksum", True), "volatile": False,
        }

    @property
    def availability(self):
        return 4 * self.read + 2 * self.write + 1


def door(scheme, prefix, port=0, hostname="localhost"):
    """Describe a protocol that allows everything from near and far."""
    use = dict.fromkeys(OPERATIONS, 1)
    impl = {"file": "posix.Default", "root": "xrootd.Default"}.get(scheme, "webdav.NoRename")
    return {
        "hostname": hostname, "scheme": scheme, "port": port, "prefix": prefix, "impl": f"rucio.rse.protocols.{impl}",
        "domains": {"lan": use, "wan": {**use, "third_party_copy_read": 1, "third_party_copy_write": 1}}, "extended_attributes": None,
    }


COLUMNS = dict.fromkeys((
    "deleted_at", "prod_step", "accessed_at", "events", "version", "closed_at", "campaign", "eol_at", "length", "project", "task_id",
    "is_archive", "datatype", "panda_id", "constituent", "run_number", "lumiblocknr", "access_cnt", "complete", "stream_name",
    "provenance", "phys_group",
))


@dataclass
class Did:
    scope: str
    name: str
    type: str
    account: str
    bytes: int | None = None
    adler32: str | None = None
    md5: str | None = None
    guid: str | None = None
    expired_at: datetime | None = None
    monotonic: bool = False
    columns: dict = field(default_factory=dict)
    meta: dict = field(default_factory=dict)
    children: dict = field(default_factory=dict)  # did -> True, in order
    replicas: dict = field(default_factory=dict)  # RSE -> state
    made: datetime = field(default_factory=now)

    @property
    def did(self):
        return self.scope, self.name

    @property
    def named(self):
        return {"scope": self.scope, "name": self.name}

    def row(self):
        """What the plugin DID_COLUMN says."""
        return {
            "account": self.account, "availability": "AVAILABLE", "did_type": self.type, "suppressed": False, "hidden": False,
            "is_open": None if self.type == "FILE" else True, "bytes": self.bytes, "guid": self.guid, "monotonic": self.monotonic,
            "md5": self.md5, "obsolete": False, "adler32": self.adler32, "expired_at": stamp(self.expired_at), "is_new": True,
            "purge_replicas": True, "transient": False, "created_at": stamp(self.made), "updated_at": stamp(self.made),
            **self.named, **COLUMNS, **self.columns,
        }


@dataclass
class Rule:
    did: tuple
    did_type: str
    account: str
    copies: int
    expression: str
    targets: list  # RSEs
    comment: str | None = None
    activity: str = "User Subscriptions"
    grouping: str = "DATASET"
    expires_at: datetime | None = None
    locks: dict = field(default_factory=dict)  # (did, RSE) -> OK, REPLICATING or STUCK
    error: str | None = None
    id: str = field(default_factory=lambda: uuid4().hex)
    made: datetime = field(default_factory=now)

    @property
    def state(self):
        count = Counter(self.locks.values())
        return "STUCK" if count["STUCK"] else "REPLICATING" if count["REPLICATING"] else "OK"

    def row(self):
        """What GET rules/ID says."""
        count = Counter(self.locks.values())
        counts = {f"locks_{state.lower()}_cnt": count[state] for state in ("OK", "REPLICATING", "STUCK")}
        missing = ("eol_at", "meta", "deleted_at", "subscription_id", "source_replica_expression", "weight", "child_rule_id")
        return {
            "scope": self.did[0], "name": self.did[1], "did_type": self.did_type, "account": self.account, "copies": self.copies,
            "rse_expression": self.expression, "state": self.state, "id": self.id, "comments": self.comment, "error": self.error,
            "activity": self.activity, "grouping": self.grouping, "expires_at": stamp(self.expires_at), "priority": 3,
            "stuck_at": stamp(self.made) if self.state == "STUCK" else None, "notification": "NO", "created_at": stamp(self.made),
            "updated_at": stamp(self.made), **counts, **dict.fromkeys(missing),
            **dict.fromkeys(("locked", "purge_replicas", "split_container", "ignore_availability", "ignore_account_limit"), False),
        }


@dataclass
class State:
    """All that the server knows."""

    accounts: dict = field(default_factory=dict)
    scopes: dict = field(default_factory=dict)  # scope -> account
    rses: dict = field(default_factory=dict)
    dids: dict = field(default_factory=dict)  # (scope, name) -> Did
    rules: dict = field(default_factory=dict)
    tokens: dict = field(default_factory=dict)  # token -> account
    bad: list = field(default_factory=list)
    suspicious: list = field(default_factory=list)
    started: datetime = field(default_factory=now)

    def did(self, key):
        """Find a DID."""
        try:
            return self.dids[key]
        except KeyError:
            raise no_did(key) from None

    def rse(self, name, status=404):
        """Find a storage element."""
        try:
            return self.rses[name]
        except KeyError:
            raise Refused(status, "RSENotFound", f"RSE '{name}' cannot be found in vo 'def'") from None

    def owns(self, account, scope):
        """Say whether an account may write in a scope."""
        return account.admin or self.scopes.get(scope) == account.name

    def files(self, key):
        """All files of a DID, each once: {did: Did}."""
        found = self.dids.get(key)
        if found is None:
            return {}
        if found.type == "FILE":
            return {key: found}
        return {file: did for child in found.children for file, did in self.files(child).items()}

    def limit(self, account, rse):
        """Bytes that an account may lock there; None: it may not at all."""
        return math.inf if account.admin and rse not in account.limits else account.limits.get(rse)

    def usage(self, account, rse):
        """Bytes and files that an account locked there."""
        locked = [self.dids[did].bytes for rule in self.rules.values() if rule.account == account for did, at in rule.locks if at == rse]
        return sum(locked), len(locked)


def pair(item):
    """Take the DID out of what a client sent."""
    return item["scope"], item["name"]
