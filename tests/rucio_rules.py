"""The fake Rucio server's rules: what they lock, what they would move, and what an account may still lock."""

import json
import re
import shutil
import zlib

from tests.rucio_replicas import chosen
from tests.rucio_values import Answer, Refused, Rule, after, created, denied, lines, now, pair, stamp, value

NO_QUOTA = "There is insufficient quota on any of the target RSE's to fulfill the operation."


# --- making and ending ------------------------------------------------------------------------------------------------
def add_rule(call):
    with call.undo():
        return created(json.dumps(call.rule(call.json, 409)))


def make(call, given, status):
    """Make a rule for each DID; their ids."""
    account = given.get("account") or call.account.name
    if account != call.account.name and not call.account.admin:
        raise denied(f"Account {call.account.name} can not add replication rule. ", 500)
    if given["copies"] < 1:
        raise Refused(500, "InvalidValueForKey", "The number of copies for a replication rule should be greater than 0.")
    rses = [rse for rse in chosen(call.state, given["rse_expression"], status) if rse.write]
    if not rses:
        raise Refused(500, "RSEWriteBlocked", "RSE excluded; not available for writing.")
    if len(rses) < given["copies"]:
        why = f"({given['copies']} copies requested, RSE set size {len(rses)})"
        raise Refused(status, "InsufficientTargetRSEs", f"Target RSE set not sufficient for number of copies. {why}")
    return [one(call, given, call.state.accounts[account], pair(did), rses) for did in given["dids"]]


def one(call, given, account, key, rses):
    """Make the rule of one DID; its id."""
    if key not in call.state.dids:
        raise Refused(404, "DataIdentifierNotFound", f"Data identifier {key[0]}:{key[1]} is not valid.")
    same = (key, account.name, given["rse_expression"], given["copies"])
    if same in {(rule.did, rule.account, rule.expression, rule.copies) for rule in call.state.rules.values()}:
        raise Refused(409, "DuplicateRule", f"duplicate key value violates unique constraint: {same} already exists.")
    rule = Rule(
        key, call.state.dids[key].type, account.name, given["copies"], given["rse_expression"], targets(call, account, key, rses, given),
        given.get("comment"), given.get("activity") or "User Subscriptions", given.get("grouping") or "DATASET",
        after(given.get("lifetime")),
    )
    call.state.rules[rule.id] = rule
    call.undone_by(call.state.rules.pop, rule.id)
    lock(call.state, rule, call.undone_by)
    return rule.id


def targets(call, account, key, rses, given):
    """Choose where the copies go: where the account has quota, and where most of it is already."""
    files = call.state.files(key).values()
    size = sum(file.bytes for file in files)
    left = {rse.name: call.state.limit(account, rse.name) for rse in rses}
    left = {name: limit - call.state.usage(account.name, name)[0] for name, limit in left.items() if limit is not None}
    fit = [name for name, free in left.items() if free > size]
    if len(fit) < given["copies"]:
        raise Refused(409, "InsufficientAccountLimit", NO_QUOTA)
    there = {name: sum(file.bytes for file in files if name in file.replicas) for name in fit}
    return sorted(fit, key=lambda name: -there[name])[: given["copies"]]


def lock(state, rule, undone_by=lambda *_: None):
    """Lock the files that a rule does not hold yet."""
    for key, file in state.files(rule.did).items():
        for name in rule.targets:
            if (key, name) not in rule.locks:
                if name not in file.replicas:
                    file.replicas[name] = "COPYING"
                    undone_by(file.replicas.pop, name)
                rule.locks[key, name] = "OK" if file.replicas[name] == "AVAILABLE" else "REPLICATING"


def found(call, rule_id, wanted=404):
    if not re.fullmatch("[0-9a-f]{32}", rule_id):
        raise Refused(500, "RucioException", f"Badly formatted rule id ({rule_id})")
    if rule_id not in call.state.rules:
        raise Refused(wanted, "RuleNotFound", f"No rule with the id {rule_id} found")
    return call.state.rules[rule_id]


def get_rule(call, rule):
    return value(found(call, rule).row())


def delete_rule(call, rule):
    """Let a rule end in an hour."""
    ending = found(call, rule)
    if ending.account != call.account.name and not call.account.admin:
        raise denied(f"Account {call.account.name} can not remove this replication rule. ")
    ending.expires_at = after(3600)
    return Answer(200, "text/html; charset=utf-8", "")


def row(call, rule):
    """Tell a rule as lists do."""
    did = call.state.dids[rule.did]
    return {**rule.row(), "bytes": did.bytes if did.type == "FILE" else None}


def list_rules(call):
    names = {"scope": lambda rule: rule.did[0], "name": lambda rule: rule.did[1], "account": lambda rule: rule.account,
             "rse_expression": lambda rule: rule.expression, "state": lambda rule: rule.state}
    wanted = {key: text for key, text in call.query.items() if key in names}
    rules = [rule for rule in call.state.rules.values() if all(names[key](rule) == text for key, text in wanted.items())]
    return lines(row(call, rule) for rule in rules)


def list_did_rules(call, scope, name):
    call.state.did((scope, name))
    return lines(row(call, rule) for rule in call.state.rules.values() if rule.did == (scope, name))


def list_locks(call, rule):
    locks = sorted(found(call, rule).locks.items())
    return lines({
        "scope": key[0], "name": key[1], "rse_id": call.state.rses[name].id, "rse": name, "state": state, "rule_id": rule,
    } for (key, name), state in locks)


# --- datasets by storage element --------------------------------------------------------------------------------------
def dataset(call, key, names, number):
    """Tell how much of a dataset each of some storage elements holds."""
    files = call.state.files(key).values()
    for name in names:
        held = [file.bytes for file in files if file.replicas.get(name) == "AVAILABLE"]
        moment = stamp(call.state.dids[key].made)
        yield {
            "scope": key[0], "name": key[1], "rse": name, "rse_id": call.state.rses[name].id, "bytes": number(sum(file.bytes for file in files)),
            "length": len(files), "available_bytes": number(sum(held)), "available_length": len(held),
            "state": "AVAILABLE" if len(held) == len(files) else "UNAVAILABLE", "created_at": moment, "updated_at": moment,
            "accessed_at": None,
        }


def ruled(call, key):
    """Storage elements where a rule holds a dataset: only those are known without looking at files."""
    held = {key} | {one for one, did in call.state.dids.items() if key in did.children}
    return sorted({name for rule in call.state.rules.values() if rule.did in held for name in rule.targets})


def is_dataset(call, key):
    return key in call.state.dids and call.state.dids[key].type == "DATASET"


def list_dataset_replicas(call, scope, name):
    key = (scope, name)
    if not is_dataset(call, key):
        return lines([])
    if call.query.get("deep") != "True":
        return lines(dataset(call, key, ruled(call, key), int))
    names = sorted({name for file in call.state.files(key).values() for name in file.replicas})
    return lines(dataset(call, key, names, float))


def list_dataset_replicas_bulk(call):
    if not call.json["dids"]:
        raise Refused(400, "ValueError", "List of DIDs is empty")
    keys = [key for key in map(pair, call.json["dids"]) if is_dataset(call, key)]
    return lines(one for key in keys for one in dataset(call, key, ruled(call, key), int))


# --- quota ------------------------------------------------------------------------------------------------------------
def list_usage(call, account, rse=None):
    if account != call.account.name and not call.account.admin:
        raise denied(f"Account {call.account.name} can not list account usage. ")
    if account not in call.state.accounts:
        raise Refused(404, "AccountNotFound", f"Account {account} does not exist")
    rses = [call.state.rse(rse)] if rse else call.state.rses.values()
    return lines(used for one in rses if (used := usage(call.state, call.state.accounts[account], one)))


def usage(state, account, rse):
    limit = state.limit(account, rse.name)
    nbytes, files = state.usage(account.name, rse.name)
    if limit is None and not files:
        return None
    limit = limit or 0
    return {
        "rse_id": rse.id, "rse": rse.name, "bytes": nbytes, "files": files, "bytes_limit": limit, "bytes_remaining": limit - nbytes,
    }


def list_limits(call, account):
    if account not in call.state.accounts:
        raise Refused(500, "AccountNotFound", f"Account {account} does not exist")
    return value(call.state.accounts[account].limits)


# --- what the daemons do ----------------------------------------------------------------------------------------------
def run(state):
    """Do what rules ask for: copy files between folders, compare checksums, end what is over."""
    for rule in [rule for rule in state.rules.values() if rule.expires_at and rule.expires_at <= now()]:
        del state.rules[rule.id]
    for rule in state.rules.values():
        lock(state, rule)
        rule.error = None
        for (key, name), locked in rule.locks.items():
            if locked != "OK":
                rule.locks[key, name] = "OK" if moved(state, state.dids[key], state.rses[name]) else "STUCK"
                rule.error = rule.error if rule.locks[key, name] == "OK" else "RUCIO:no source with the right checksum"


def moved(state, did, target):
    """Copy one file from any replica that is as registered; say whether it is there now."""
    if did.replicas.get(target.name) == "AVAILABLE":
        return True
    for source in [state.rses[name] for name, kind in did.replicas.items() if kind == "AVAILABLE"]:
        if source.folder and source.read and target.folder and as_registered(did, source.file(did.did)):
            target.file(did.did).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source.file(did.did), target.file(did.did))
            did.replicas[target.name] = "AVAILABLE"
            return True
    return False


def as_registered(did, file):
    """Compare a file with what was registered: size and adler32."""
    data = file.read_bytes() if file.is_file() else None
    return data is not None and len(data) == did.bytes and f"{zlib.adler32(data):08x}" == (did.adler32 or "").lower()
