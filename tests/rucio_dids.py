"""The fake Rucio server's DIDs, what they hold, and their metadata."""

import ast
import contextlib
import operator
import re
from datetime import datetime

from tests.rucio_values import (
    AT_MOST,
    NAME,
    Did,
    Refused,
    after,
    created,
    denied,
    invalid,
    lines,
    no_did,
    now,
    pair,
    stamp,
    value,
)

COMPARE = {"": operator.eq, "ne": operator.ne, "gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le}
TYPES = {"all": "FILE DATASET CONTAINER", "collection": "DATASET CONTAINER", "dataset": "DATASET", "container": "CONTAINER", "file": "FILE"}
FIXED = {"account", "scope", "name", "did_type", "created_at", "updated_at", "is_new", "availability"}
SETTABLE = set(Did("", "", "FILE", "").row()) - FIXED


# --- collections ------------------------------------------------------------------------------------------------------
def add_did(call, scope, name):
    given = call.json
    if not call.state.owns(call.account, scope):
        raise denied(f"Account {call.account.name} can not add data identifier to scope {scope}. ")
    if scope not in call.state.scopes:
        raise Refused(404, "ScopeNotFound", "Scope not found!")
    rules = given.pop("rules", [])
    project = (given.get("meta") or {}).get("project")
    if project not in {None, "user"}:
        raise invalid(f"Provided metadata project doesn't match the naming convention: {project} != user", 400)
    with call.undo():
        add(call, [{**given, "scope": scope, "name": name}], 400, 400)
        for rule in rules:
            call.rule({**rule, "dids": [{"scope": scope, "name": name}], "activity": "default"}, 500)
    return created()


def add_dids(call):
    dids = call.json
    if not all(call.state.owns(call.account, did["scope"]) for did in dids):
        raise denied(f"Account {call.account.name} can not bulk add data identifier. ")
    if any(did["scope"] not in call.state.scopes for did in dids):
        raise Refused(500, "ScopeNotFound", "Scope not found!")
    for rule in [rule for did in dids for rule in did.get("rules", ())]:  # never works on the real server (41.5.1)
        raise Refused(500, None, "'str' object has no attribute 'vo'" if "account" in rule else "'account'")
    with call.undo():
        add(call, dids, 500, 500)
    return created()


def add(call, dids, schema, metadata):
    """Add collections with what they hold; statuses of two kinds of errors differ by call."""
    for given in dids:
        key = pair(given)
        if not NAME.match(key[1]):
            raise invalid(f"Problem validating did: '{key[1]}' does not match '{NAME.pattern}'", schema)
        if given["type"] == "FILE":
            raise Refused(409, "UnsupportedOperation", "Only collection (dataset/container) can be registered.")
        if key in call.state.dids:
            raise Refused(409, "DataIdentifierAlreadyExists", "Data Identifier already exists!")
        did = call.state.dids[key] = Did(*key, given["type"], call.account.name)
        call.undone_by(call.state.dids.pop, key)
        did.expired_at = after(given.get("lifetime"))
        did.monotonic = bool((given.get("statuses") or {}).get("monotonic"))
        write(did, given.get("meta") or {}, metadata)
        if given.get("dids"):
            attach(call, did, given["dids"], rse=given.get("rse"))


def attach(call, parent, children, *, rse=None, ignore=False):
    """Put DIDs into a collection; with an RSE, register them there first."""
    if len(children) > AT_MOST:
        raise invalid(f"Problem validating attachment: {children[:2]} is too long")
    if rse:
        call.register(call.state.rse(rse), children, parent.account)
    for key in map(pair, children):
        child = call.state.dids.get(key)
        if child is None:
            raise no_did(key)
        if (parent.type == "DATASET") != (child.type == "FILE"):
            what = f"Adding a {child.type.lower()} ({key[0]}:{key[1]}) to a {parent.type.lower()} ({parent.scope}:{parent.name})"
            raise Refused(409, "UnsupportedOperation", f"{what} is forbidden")
        if key in parent.children and not ignore:
            kind = "FileAlreadyExists" if parent.type == "DATASET" else "DuplicateContent"
            raise Refused(409, kind, f"('duplicate key value: {key} already exists.',)")
        if key not in parent.children:
            parent.children[key] = True
            call.undone_by(parent.children.pop, key)


def attach_dids(call, scope, name):
    if not call.state.owns(call.account, scope):
        raise denied(f"Account {call.account.name} can not add data identifiers to {scope}:{name}. ")
    with call.undo():
        attach(call, call.state.did((scope, name)), call.json["dids"], rse=call.json.get("rse"))
    return created()


def attach_many(call):
    attachments = call.json["attachments"]
    if not all(call.state.owns(call.account, given["scope"]) for given in attachments):
        raise denied(f"Account {call.account.name} can not add data identifiers. ")
    if not all(given["dids"] for given in attachments):
        raise invalid("Problem validating attachments: [] should be non-empty")
    with call.undo():
        for given in attachments:
            parent = call.state.did(pair(given))
            attach(call, parent, given["dids"], rse=given.get("rse"), ignore=call.json["ignore_duplicate"])
    return created()


# --- looking ----------------------------------------------------------------------------------------------------------
def get_did(call, scope, name):
    did = call.state.did((scope, name))
    head = {**did.named, "type": did.type, "account": did.account}
    if did.type == "FILE":
        return value({**head, "bytes": did.bytes, "length": 1, "md5": did.md5, "adler32": did.adler32})
    size = length = None
    if call.query.get("dynamic_depth"):
        files = call.state.files(did.did).values()
        size, length = float(sum(file.bytes for file in files)), len(files)
    more = {"open": True, "monotonic": did.monotonic, "expired_at": stamp(did.expired_at), "length": length, "bytes": size}
    return value({**head, **more})


def list_content(call, scope, name):
    children = [call.state.dids[key] for key in sorted(call.state.did((scope, name)).children)]
    return lines({**one.named, "type": one.type, "bytes": one.bytes, "adler32": one.adler32, "md5": one.md5} for one in children)


def list_files(call, scope, name):
    call.state.did((scope, name))
    more = {"lumiblocknr": None} if call.query.get("long") else {}
    found = [file for _, file in sorted(call.state.files((scope, name)).items())]
    return lines({
        **one.named, "bytes": one.bytes, "adler32": one.adler32, "guid": one.guid, "events": None, **more,
    } for one in found)


# --- metadata ---------------------------------------------------------------------------------------------------------
def write(did, meta, status=400):
    """Set metadata: columns and free keys; none if one is not allowed."""
    if any("." in key for key in meta):
        why = "Reason: Used as a delimiter for key and operator (<key>.<operator>) in filtering engine."
        raise Refused(status, "InvalidMetadata", f'Restricted character "." found in metadata key. {why}')
    if FIXED & set(meta):
        raise denied(f"Account {did.account} can not change this metadata value to data identifier {did.scope}:{did.name}", 500)
    for key, found in meta.items():
        if key == "lifetime":
            did.expired_at = after(found)
        elif key in SETTABLE:
            did.columns[key] = found
        else:
            did.meta[key] = found


def set_meta(call, scope, name, key=None):
    if not call.state.owns(call.account, scope):
        raise denied(f"Account {call.account.name} can not add metadata to data identifier {scope}:{name}. ", 500)
    write(call.state.did((scope, name)), {key: call.json["value"]} if key else call.json["meta"])
    return created()


def described(did, plugin):
    """Tell the metadata of one DID."""
    return {**(did.row() if plugin != "JSON" else {}), **(did.meta if plugin != "DID_COLUMN" else {})}


def get_meta(call, scope, name):
    plugin = call.query.get("plugin", "DID_COLUMN")
    if plugin not in {"DID_COLUMN", "JSON", "ALL"}:
        raise Refused(400, "UnsupportedMetadataPlugin", f'Metadata plugin "{plugin}" is not enabled on the server.')
    if plugin == "JSON" and (scope, name) not in call.state.dids:
        return value({})
    return value(described(call.state.did((scope, name)), plugin))


def get_meta_bulk(call):
    plugin = call.json["plugin"]
    found = [call.state.dids[key] for key in map(pair, call.json["dids"]) if key in call.state.dids]
    return lines({**did.named, **described(did, plugin)} for did in found)


# --- search -----------------------------------------------------------------------------------------------------------
def list_dids(call, scope):
    kind = call.query.get("type", "collection")
    if kind not in TYPES:
        raise Refused(409, "UnsupportedOperation", f"{kind} is not a valid type. Valid types are dict_keys({list(TYPES)})")
    groups = [[split(*one) for one in group.items()] for group in ast.literal_eval(call.query["filters"])]
    keys = {key for group in groups for key, _, _ in group}
    free = keys - SETTABLE - FIXED - {"type"}
    if free and keys - free - {"name", "scope"}:
        raise Refused(500, "InvalidMetadata", "Filter keys used do not all belong to the same metadata plugin.")
    if "account" in keys:
        raise Refused(500, "DatabaseException", "An unknown Database Exception has occurred.")
    dids = [did for key, did in sorted(call.state.dids.items()) if key[0] == scope and (free or did.type in TYPES[kind].split())]
    found = [did for did in dids if any(all(agrees(did, *one) for one in ordered(group)) for group in groups)]
    if call.query.get("long") != "True":
        return lines(did.name for did in found)
    if free:  # the plugin JSON knows no types, nor asks for them
        return lines({**did.named, "did_type": None, "bytes": None, "length": None} for did in found)
    return lines({**did.named, "did_type": did.type, "bytes": did.bytes, "length": None} for did in found)


def ordered(group):
    """Look at names first: the database then never sees values of other DIDs that it could not compare."""
    return sorted(group, key=lambda one: one[0] != "name")


def split(key, wanted):
    """Take a filter apart: key, operator, value as the real server reads it."""
    renamed = {"created_after": "created_at.gte", "created_before": "created_at.lte"}
    key, _, name = renamed.get(key, key).partition(".")
    if name not in COMPARE:
        raise Refused(500, "FilterEngineGenericError", "'NoneType' object is not callable")
    return key, name, read(wanted)


def read(text):
    """Guess what a text means: a truth, a number, a time."""
    if not isinstance(text, str):
        return text
    if text.lower() in {"true", "false"}:
        return text.lower() == "true"
    with contextlib.suppress(ValueError):
        return float(text)
    for form in ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S.%fZ", "%a, %d %b %Y %H:%M:%S UTC"):
        with contextlib.suppress(ValueError):
            return datetime.strptime(text, form).replace(tzinfo=now().tzinfo)
    return text


def agrees(did, key, name, wanted):
    """Say whether a DID passes one filter, as PostgreSQL compares."""
    row = {**did.meta, **did.row(), "type": did.type.lower(), "created_at": did.made}
    found = row.get(key)
    if wanted is None:
        return (found is None) == (name == "")
    if found is None:
        return False
    if isinstance(wanted, str) and key not in {"type", "did_type"}:
        return matches(str(found), name, wanted)
    if key in {"type", "did_type"}:
        return did.type == str(wanted).upper()
    return COMPARE[name](cast(found, wanted), wanted)


def matches(found, name, wanted):
    if "*" not in wanted:
        return COMPARE[name](found, wanted)
    if name not in {"", "ne"}:
        raise Refused(500, "FilterEngineGenericError", "String value does not support this operator.")
    return bool(re.fullmatch(re.escape(wanted).replace(r"\*", ".*"), found, re.DOTALL)) == (name == "")


def cast(found, wanted):
    """Read a stored value as what it is compared with."""
    if isinstance(wanted, datetime):
        return found
    try:
        return str(found).lower() == "true" if isinstance(wanted, bool) else float(found)
    except (TypeError, ValueError):
        why = f'invalid input syntax for type double precision: "{found}"'
        raise Refused(500, "InvalidMetadata", f"Database query failed: {why}. This can be raised when the datatype of a key "
                      "is inconsistent between dids.") from None
