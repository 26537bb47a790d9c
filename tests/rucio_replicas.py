"""The fake Rucio server's storage elements and replicas."""

import json
import re
import time
from urllib.parse import parse_qs

from tests.rucio_values import (
    ADLER32,
    AT_MOST,
    NAME,
    Answer,
    Did,
    Refused,
    created,
    denied,
    invalid,
    lines,
    pair,
    stamp,
    value,
)

STATES = {
    "A": "AVAILABLE", "U": "UNAVAILABLE", "C": "COPYING", "B": "BEING_DELETED", "D": "BAD", "S": "SOURCE", "T": "TEMPORARY_UNAVAILABLE",
}
TOKEN = re.compile(r"\s*([|&\\()]|[A-Za-z0-9_\-.*]+(?:[=<>][A-Za-z0-9_\-.*]+)?)")


# --- storage elements -------------------------------------------------------------------------------------------------
def chosen(state, expression, status=500):
    """Evaluate an RSE expression: names, key=value, * and the operators | & \\ with parentheses."""
    words, at = [], 0
    while at < len(expression.rstrip()):
        found = TOKEN.match(expression, at)
        if found is None:
            raise Refused(status, "InvalidRSEExpression", "Expression does not comply to RSE Expression syntax")
        words.append(found[1])
        at = found.end()
    try:
        rses, rest = united(state, words)
    except IndexError:
        rest = ["?"]
    if rest:
        raise Refused(status, "InvalidRSEExpression", "Expression does not comply to RSE Expression syntax")
    if not rses:
        raise Refused(status, "InvalidRSEExpression", "RSE Expression resulted in an empty set.")
    return [rse for rse in state.rses.values() if rse.name in rses]


def united(state, words):
    """Read operands and operators from left to right."""
    rses, words = operand(state, words)
    while words and words[0] in "|&\\":
        more, rest = operand(state, words[1:])
        rses = {"|": rses | more, "&": rses & more, "\\": rses - more}[words[0]]
        words = rest
    return rses, words


def operand(state, words):
    """Read one name, condition or parenthesis."""
    if words[0] == "(":
        rses, rest = united(state, words[1:])
        return rses, rest[1:] if rest[0] == ")" else ["?"]
    if words[0] in "|&\\)":
        raise IndexError
    key, _, wanted = words[0].partition("=")
    if wanted:
        names = {name for name, rse in state.rses.items() if str({**rse.attributes, "rse_type": rse.rse_type}.get(key)) == wanted}
    else:
        pattern = re.escape(key).replace(r"\*", ".*")
        names = {name for name in state.rses if re.fullmatch(pattern, name)}
    return names, words[1:]


def list_rses(call):
    if "expression" in call.query:
        return lines({"rse": rse.name} for rse in chosen(call.state, call.query["expression"], 400))
    nothing = ("city", "latitude", "region_code", "country_name", "continent", "time_zone", "ISP", "qos_class", "ASN", "longitude", "deleted_at")
    return lines({
        "rse": rse.name, "id": rse.id, "rse_type": rse.rse_type, "availability": rse.availability, "availability_read": rse.read,
        "availability_write": rse.write, "availability_delete": True, "vo": "def", "deterministic": True, "volatile": False,
        "staging_area": False, "deleted": False, "created_at": stamp(call.state.started), "updated_at": stamp(call.state.started),
        **dict.fromkeys(nothing),
    } for rse in sorted(call.state.rses.values(), key=lambda rse: rse.name))


def get_rse(call, rse):
    found = call.state.rse(rse)
    return value({**found.settings(), "availability": found.availability})


def list_attributes(call, rse):
    found = call.state.rse(rse)
    return value({found.name: True, **found.attributes})


def get_protocols(call, rse, scheme=None):
    found = call.state.rse(rse)
    return value(found.settings() if scheme else found.protocols)  # as the real one: a scheme is not heeded


def lfns2pfns(call, rse):
    found = call.state.rse(rse)
    names = parse_qs(call.raw_query).get("lfn", [])
    if any(":" not in name for name in names):
        raise Refused(500, None, "sequence item 0: expected str instance, list found")
    if not names:
        raise Refused(404, "ReplicaNotFound", "No replicas found")
    schemes = [call.query["scheme"]] if "scheme" in call.query else None
    doors = found.doors(call.query.get("operation", "write"), call.query.get("domain", "wan"), schemes)
    if not doors:
        raise Refused(500, "RSEProtocolNotSupported", f"No protocol for provided settings found : {found.settings()}.")
    return value({name: found.pfn(doors[0], tuple(name.split(":", 1))) for name in names})


# --- registering ------------------------------------------------------------------------------------------------------
def add_replicas(call):
    files = call.json["files"]
    unknown = [file for file in files if pair(file) not in call.state.dids and not call.state.owns(call.account, file["scope"])]
    rse = call.state.rse(call.json["rse"])
    if unknown:
        raise denied(f"Operation involves the following new files which will require the creation of new DIDs: {unknown}. "
                     f"However, account {call.account.name} can not add file DIDs on {rse.name}")
    if not rse.write and not (call.json.get("ignore_availability") and call.account.admin):
        raise Refused(503, "ResourceTemporaryUnavailable", f"{rse.name} is temporary unavailable for writing")
    with call.undo():
        call.register(rse, files, call.account.name)
    return created()


def register(call, rse, files, account):
    """Add replicas, and the DIDs of new files. Of known ones neither size nor checksum is compared (as in Rucio 41.5.1)."""
    if len(files) > AT_MOST:
        raise invalid(f"Problem validating dids: {files[:2]} is too long")
    if not files or len({pair(file) for file in files}) < len(files):
        raise Refused(500, "DatabaseException", "An unknown Database Exception has occurred.")
    for file in files:
        check(call, rse, file)
        key = pair(file)
        did = call.state.dids.get(key)
        if did is None:
            did = call.state.dids[key] = Did(*key, "FILE", account, file["bytes"], file.get("adler32"), file.get("md5"))
            did.guid = (file.get("meta") or {}).get("guid")
            call.undone_by(call.state.dids.pop, key)
        if rse.name not in did.replicas:
            did.replicas[rse.name] = STATES.get(file.get("state", "A"), file.get("state"))
            call.undone_by(did.replicas.pop, rse.name)


def check(call, rse, file):
    """Refuse what the schema of the real server refuses."""
    key = pair(file)
    if not NAME.match(key[1]):
        raise invalid(f"Problem validating dids: '{key[1]}' does not match '{NAME.pattern}'")
    if key[0] not in call.state.scopes:
        raise Refused(404, "ScopeNotFound", "Scope not found!")
    for name in ("adler32", "md5"):
        if name in file and not isinstance(file[name], str):
            raise invalid(f"Problem validating dids: {file[name]} is not of type 'string'")
    if not ADLER32.match(file.get("adler32", "00000000")):
        raise invalid(f"Problem validating dids: '{file['adler32']}' does not match '{ADLER32.pattern}'")
    known = call.state.dids.get(key)
    if known is None and "bytes" not in file:
        raise Refused(500, None, "'bytes'")
    if known is not None and known.type != "FILE":
        raise Refused(500, "RucioException", "('duplicate key value violates unique constraint \"DIDS_PK\"',)")
    if "pfn" in file and file["pfn"] not in {rse.pfn(door, key) for door in rse.protocols}:
        raise Refused(400, "InvalidPath", f"One of the PFNs provided {file['pfn']!r} does not match the Rucio expected PFNs")


def update_states(call):
    rse = call.state.rse(call.json["rse"], 500)
    for file in call.json["files"]:
        if file["state"] not in {*STATES, *STATES.values()}:
            raise invalid(f"Problem validating dids: '{file['state']}' is not one of {[*STATES.values(), *STATES]}")
        did = call.state.dids.get(pair(file))
        if did is None or rse.name not in did.replicas:
            raise Refused(500, "ReplicaNotFound", f"No row found for scope: {file['scope']} name: {file['name']} rse: {rse.name}")
        did.replicas[rse.name] = STATES.get(file["state"], file["state"])
    return Answer(200, "text/html; charset=utf-8", "")


# --- listing ----------------------------------------------------------------------------------------------------------
def list_replicas(call):
    given = call.json
    rses = chosen(call.state, given["rse_expression"]) if given.get("rse_expression") else call.state.rses.values()
    rses = [rse for rse in rses if rse.read or given.get("ignore_availability", True)]
    files = {key: did for item in given["dids"] for key, did in call.state.files(pair(item)).items()}
    return lines(located(call, did, rses) for did in files.values())


def located(call, did, rses):
    """Tell where one file lies: nearest first."""
    held = {rse.name: rse for rse in rses if rse.name in did.replicas}
    states = {name: did.replicas[name] for name in held}
    if not call.json.get("all_states"):
        states = {name: state for name, state in states.items() if state == "AVAILABLE"}
    places = [place for name in states for place in doors(call, held[name], did)]
    places.sort(key=lambda place: (place[1]["domain"], place[1]["priority"], place[0]))
    pfns = {pfn: {**place, "priority": number} for number, (pfn, place) in enumerate(places, 1)}
    by_rse = {}
    for pfn, place in sorted(pfns.items(), key=lambda item: (item[1]["rse_id"], item[1]["priority"])):
        by_rse.setdefault(place["rse"], []).append(pfn)
    more = {"parents": parents(call.state, did)} if call.json.get("resolve_parents") else {}
    sums = {"bytes": did.bytes, "md5": did.md5, "adler32": did.adler32}
    return {**did.named, **sums, "pfns": pfns, "rses": by_rse, "states": states, **more}


def doors(call, rse, did):
    """Addresses of one replica: of each allowed protocol, or of the best one if no schemes were named."""
    near = (call.json.get("client_location") or {}).get("site") == rse.attributes.get("site", "")
    domain = call.json.get("domain") or ("lan" if near else "wan")
    domains = ["wan", "lan"] if domain == "all" else [domain]
    found = {}
    for where in domains:
        allowed = rse.doors("read", where, call.json.get("schemes"))
        for door in allowed if call.json.get("schemes") else allowed[:1]:
            pfn = rse.pfn(door, did.did)
            if door["scheme"] == "https" and rse.attributes.get("sign_url") and may_sign(call.account):
                pfn = signed(pfn, "read", call.json.get("signature_lifetime") or 600)
            found[pfn] = {
                "rse_id": rse.id, "rse": rse.name, "type": rse.rse_type, "volatile": False, "domain": where,
                "priority": door["domains"][where]["read"], "client_extract": False,
            }
    return list(found.items())


def parents(state, did):
    """Name all collections that hold a file."""
    held = [one for one in state.dids.values() if did.did in one.children]
    return sorted({f"{one.scope}:{one.name}" for one in held}.union(*(parents(state, one) for one in held)))


# --- signing, complaints ----------------------------------------------------------------------------------------------
def may_sign(account):
    return account.sign_url or account.admin


def signed(url, operation, lifetime):
    return f"{url}?signed={operation}&expires={int(time.time()) + int(lifetime)}"


def sign_url(call):
    query = call.query
    if query.get("svc", "gcs") not in {"gcs", "s3", "swift"}:
        raise Refused(400, "ValueError", 'Parameter "svc" must be either empty (which defaults to "gcs"), "gcs", "s3" or "swift"')
    if query.get("op", "read") not in {"read", "write", "delete"}:
        raise Refused(400, "ValueError", 'Parameter "op" must be either empty (which defaults to "read"), "read", "write", or "delete".')
    if not may_sign(call.account):
        raise denied(f"Account {call.account.name} can not get signed URL for rse={query['rse']}. ", 500)
    if not call.state.rse(query["rse"], 500).attributes.get("sign_url"):
        raise Refused(500, None, "'NoneType' object is not subscriptable")  # there are no keys for it
    return Answer(200, "text/html; charset=utf-8", signed(query["url"], query.get("op", "read"), query.get("lifetime", 600)))


def found_by_pfn(call, pfns):
    """Find by addresses: [(RSE, DID)], and addresses of no known server."""
    pfns = sorted(re.sub(r"\?(signed=|X-Amz).*", "", pfn) for pfn in pfns)
    if len({pfn.split(":")[0] for pfn in pfns}) > 1:
        raise Refused(500, "InvalidType", "The PFNs specified must have the same protocol")
    starts = [(rse.pfn(door, ("", ""))[:-len(rse.place(("", "")))], rse) for rse in call.state.rses.values() for door in rse.protocols]
    found, unknown = [], []
    for pfn in pfns:
        for start, rse in starts:
            if pfn.startswith(start):
                found.append((rse, named(pfn[len(start):])))
                break
        else:
            unknown.append(pfn)
    return found, unknown


def named(place):
    """Read a DID off a place, as deploy/lake/lake_policy does (Rucio's own way, 41.5.1, takes user.ada for the scope user)."""
    *folders, _, _, name = place.split("/")
    return (".".join(folders) if folders and folders[0] in {"user", "group"} else "".join(folders[:1])), name


def not_known(state, found, already=()):
    """Say which of them are no replicas, or were declared before."""
    answer = {}
    for rse, key in found:
        if (rse.name, key) in already:
            answer.setdefault(rse.name, []).append(f"{key[0]}:{key[1]} Already declared")
        elif key not in state.dids or rse.name not in state.dids[key].replicas:
            answer.setdefault(rse.name, []).append(f"({key[0]}, '{key[1]}') Unknown replica")
    return Answer(201, "application/json", json.dumps(answer))


def declare_suspicious(call):
    found, unknown = found_by_pfn(call, call.json["pfns"])
    if unknown:
        raise Refused(500, "DatabaseException", "An unknown Database Exception has occurred.")
    call.state.suspicious += [(call.account.name, pfn, call.json["reason"]) for pfn in call.json["pfns"]]
    return not_known(call.state, found)


def declare_bad(call):
    given = call.json["replicas"]
    if not call.account.admin:
        raise denied(f"Account {call.account.name} can not declare bad replicas in RSE. ")
    if given and isinstance(given[0], dict):
        found, unknown = [(call.state.rse(item["rse"]), pair(item)) for item in given], []
    else:
        found, unknown = found_by_pfn(call, given)
    if unknown:
        raise Refused(404, "ReplicaNotFound", "Not all replicas found")
    call.state.bad += [(call.account.name, one, call.json["reason"]) for one in given]
    already = set()
    for rse, key in found:
        replicas = call.state.dids[key].replicas if key in call.state.dids else {}
        if replicas.get(rse.name) == "BAD":
            already.add((rse.name, key))
        elif rse.name in replicas:
            replicas[rse.name] = "BAD"
    return not_known(call.state, found, already)
