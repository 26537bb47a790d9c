"""Scripts of the plain Rucio client, and what they see: run on the fake and on the real server, they must see the same."""

import json
import math
import re
from collections.abc import Mapping

from rucio.common.exception import RucioException  # noqa: TID251  (it acts behind lakecv's back)

ADA = "user.ada"
VOLATILE = re.compile(r"(^id|_id|_at)$")
UNDER_WAY = {"REPLICATING", "STUCK", "COPYING", "BAD", "UNAVAILABLE"}  # the real lake's daemons turn one into the other


class Run:
    """One lake with its clients, and names that nobody used before."""

    def __init__(self, root, ada, bob, tag):
        self.root, self.ada, self.bob, self.tag, self.said = root, ada, bob, tag, []
        self.daemons = False  # whether they may change what is seen

    def did(self, name, scope=ADA):
        return {"scope": scope, "name": f"{name}-{self.tag}"}

    def file(self, name, nbytes=10, adler32="00000001", **more):
        return {**self.did(name), "bytes": nbytes, "adler32": adler32, **more}

    def name(self, name):
        return ADA, f"{name}-{self.tag}"

    def made(self, *names, kind="DATASET"):
        self.ada.add_dids([{**self.did(name), "type": kind} for name in names])

    def tried(self, call, *arguments, **options):
        """Note what one call gave: its result, or the class of its error."""
        try:
            found = call(*arguments, **options)
            found = list(found) if hasattr(found, "__next__") else found
        except RucioException as error:
            found = type(error).__name__
        self.said.append(plain(found, daemons=self.daemons))
        return found


def plain(found, *, daemons):
    """Strip what differs from server to server: times, ids, signatures, order.

    Two signatures of one url are one if they were made in the same second: of both the first counts, as of one.
    """
    if isinstance(found, Mapping):
        gone = {"error", "locks_replicating_cnt", "locks_stuck_cnt"} if daemons else set()
        kept = {key: one for key, one in found.items() if key not in gone and not VOLATILE.search(key)}
        return {plain(key, daemons=daemons): plain(one, daemons=daemons) for key, one in reversed(kept.items())}
    if isinstance(found, list) and all(isinstance(one, str) for one in found):
        return sorted({plain(one, daemons=daemons) for one in found})
    if isinstance(found, list):
        return sorted((plain(one, daemons=daemons) for one in found), key=lambda one: json.dumps(one, sort_keys=True))
    if isinstance(found, float) and math.isinf(found):
        return "unlimited"
    if not isinstance(found, str):
        return found
    return "UNDER WAY" if daemons and found in UNDER_WAY else re.sub(r"[?](X-Amz|signed=).*", "?signed", found)


# --- scripts ----------------------------------------------------------------------------------------------------------
def who(run):
    run.tried(run.ada.whoami)
    run.tried(run.root.whoami)
    run.tried(run.ada.ping)
    for account in ("bob", "nobody"):
        run.tried(run.ada.list_scopes_for_account, account)
    for account in ("ada", "root", "nobody"):
        run.tried(run.ada.list_account_attributes, account)


def scopes(run):
    for client, account in ((run.ada, "ada"), (run.root, "ada"), (run.root, "ada"), (run.root, "nobody")):
        run.tried(client.add_scope, account, f"s{run.tag}")


def a_dataset(run):
    for client, scope in ((run.ada, ADA), (run.ada, ADA), (run.ada, "user.bob"), (run.ada, "nope"), (run.root, "nope")):
        run.tried(client.add_dataset, scope, run.tag, meta={"a": 1})
    run.tried(run.ada.get_did, ADA, run.tag)
    run.tried(run.ada.get_metadata, ADA, run.tag, plugin="JSON")


def names(run):
    for name in ("a b", "a" * 251, "-a", f"/a/{run.tag}", f"a.b_c-{run.tag}", "ü"):
        run.tried(run.ada.add_dataset, ADA, name)
    run.tried(run.ada.add_did, ADA, run.tag, "FILE")


def all_or_nothing(run):
    run.made("there")
    new = {**run.did("new"), "type": "DATASET"}
    for second in ({**run.did("there"), "type": "DATASET"}, new, {**new, "dids": [run.did("none")]}, {**run.did("x", "user.bob"), "type": "DATASET"}):
        run.tried(run.ada.add_dids, [new, second])
        run.tried(run.ada.get_did, *run.name("new"))
    run.tried(run.ada.add_dids, [])


def rules_while_adding(run):
    rule = {"copies": 1, "rse_expression": "CNAF", "account": "ada"}
    run.tried(run.ada.add_dids, [{**run.did("a"), "type": "DATASET", "rules": [rule]}])
    run.tried(run.ada.get_did, *run.name("a"))
    run.tried(run.ada.add_dataset, *run.name("b"), rules=[rule])
    run.tried(run.ada.list_did_rules, *run.name("b"))
    run.tried(run.ada.add_dataset, *run.name("c"), rules=[{**rule, "rse_expression": "NOPE"}])
    run.tried(run.ada.get_did, *run.name("c"))


def replicas_twice(run):
    for rse, file in (
        ("CNAF", run.file("f")), ("CNAF", run.file("f")), ("CNAF", run.file("f", adler32="00000009")), ("CNAF", run.file("f", 11)),
        ("INFN-NA", run.file("f", adler32="00000009")), ("INFN-NA", run.file("f", 12)),
    ):
        run.tried(run.ada.add_replicas, rse, [file])
    run.tried(run.ada.list_replicas, [run.did("f")], schemes=["https"])


def replicas_refused(run):
    run.made("d")
    for rse, files in (
        ("NOPE", [run.file("f")]), ("CNAF", []), ("CNAF", [run.file("f"), run.file("f")]), ("CNAF", [run.did("f")]),
        ("CNAF", [run.file("d")]), ("CNAF", [run.file("f", adler32="xyz")]), ("CNAF", [run.file("f", adler32=None)]),
        ("CNAF", [{**run.file("f"), "scope": "user.bob"}]), ("CNAF", [{**run.file("f"), "scope": "nope"}]),
        ("CNAF", [run.file("f", pfn="https://elsewhere/x")]), ("CNAF", [run.file(f"f{n}") for n in range(1001)]),
    ):
        run.tried(run.ada.add_replicas, rse, files)
        run.tried(run.ada.list_dids, ADA, [{"name": f"f*{run.tag}"}], did_type="file")


def states(run):
    run.ada.add_replicas("CNAF", [run.file("f", state="C")])
    for state in ("C", "A", "U", "Q"):
        run.tried(run.ada.update_replicas_states, "CNAF", [{**run.did("f"), "state": state}])
        run.tried(run.ada.list_replicas, [run.did("f")])
        run.tried(run.ada.list_replicas, [run.did("f")], all_states=True)
    run.tried(run.ada.update_replicas_states, "CNAF", [{**run.did("none"), "state": "A"}])
    run.tried(run.ada.update_replicas_states, "NOPE", [{**run.did("f"), "state": "A"}])


def filled(run):
    """Make a dataset of two files in a container; an empty one beside it."""
    run.made("d", "e")
    run.made("c", kind="CONTAINER")
    run.ada.add_replicas("INFN-NA", [run.file("f"), run.file("g", 20, "00000002", md5="0" * 32, meta={"guid": "0" * 32})])
    run.ada.add_replicas("CNAF", [run.file("f")])
    run.ada.add_replicas("INFN-PG", [run.file("f")])
    run.ada.attach_dids(*run.name("d"), [run.did("f"), run.did("g")])
    run.ada.attach_dids(*run.name("c"), [run.did("d")])


def attaching(run):
    filled(run)
    for parent, child in (("d", "f"), ("d", "none"), ("none", "f"), ("d", "e"), ("c", "f"), ("c", "d"), ("c", "e"), ("d", "c"), ("e", "g")):
        run.tried(run.ada.attach_dids, *run.name(parent), [run.did(child)])
    run.tried(run.bob.attach_dids, *run.name("d"), [run.did("f")])
    run.tried(run.ada.attach_dids, *run.name("e"), [run.did("f"), run.did("g")])
    run.tried(run.ada.attach_dids, *run.name("e"), [run.file("new")], rse="CNAF")
    for name in ("c", "d", "e"):
        run.tried(run.ada.list_content, *run.name(name))


def attaching_many(run):
    filled(run)
    for parent, children, ignore in (
        ("d", ["f"], False), ("d", ["f"], True), ("e", ["f"], True), ("e", ["f", "g"], True), ("e", ["none"], True), ("none", ["f"], True),
        ("e", [], True), ("c", ["e"], True), ("c", ["e"], True), ("c", ["e"], False), ("c", ["f"], True),
    ):
        given = [{**run.did(parent), "dids": [run.did(child) for child in children]}]
        run.tried(run.ada.attach_dids_to_dids, given, ignore_duplicate=ignore)
    run.tried(run.bob.attach_dids_to_dids, [{**run.did("d"), "dids": [run.did("f")]}], ignore_duplicate=True)
    run.tried(run.ada.list_content, *run.name("e"))


def looking(run):
    filled(run)
    for name in ("c", "d", "e", "f", "g", "none"):
        run.tried(run.ada.get_did, *run.name(name))
        run.tried(run.ada.get_did, *run.name(name), dynamic_depth="FILE")
        run.tried(run.ada.list_content, *run.name(name))
        run.tried(run.ada.list_files, *run.name(name))
        run.tried(run.ada.get_metadata, *run.name(name))
    run.tried(run.ada.list_files, *run.name("d"), long=True)


def metadata(run):
    filled(run)
    run.tried(run.ada.set_metadata_bulk, *run.name("d"), {"energy": 8.5, "deep": {"a": [1, None]}, "é": "ü", "campaign": "x"})
    run.tried(run.ada.set_metadata, *run.name("d"), "energy", 9)
    for key, client in (("a.b", run.ada), ("account", run.ada), ("ok", run.bob)):
        run.tried(client.set_metadata, *run.name("d"), key, 1)
    run.tried(run.ada.set_metadata_bulk, *run.name("d"), {"good": 1, "b.ad": 1})
    run.tried(run.ada.set_metadata_bulk, *run.name("none"), {"good": 1})
    for plugin in ("JSON", "ALL", "DID_COLUMN", "NOPE"):
        for name in ("d", "e", "f", "none"):
            run.tried(run.ada.get_metadata, *run.name(name), plugin=plugin)


def metadata_in_bulk(run):
    filled(run)
    run.ada.set_metadata_bulk(*run.name("d"), {"energy": 8.5})
    for plugin in ("JSON", "DID_COLUMN", "ALL"):
        run.tried(run.ada.get_metadata_bulk, [run.did(name) for name in ("d", "none", "f")], plugin=plugin)
    run.tried(run.ada.get_metadata_bulk, [], plugin="JSON")


FILTERS = (
    {"energy": 9}, {"energy.gt": 8}, {"energy.gt": 9}, {"energy.gte": 9}, {"energy.lt": 9}, {"energy.lte": "9"}, {"energy.ne": 9}, {"energy": "9"},
    {"who": "a*"}, {"who": "ada"}, {"who.ne": "ada"}, {"ok": True}, {"ok": "true"}, {"text.gt": 8}, {"text": 8.5}, {"none": None}, {"who.gt": 5},
    {"deep": "x"}, {"absent": 1}, {"energy.foo": 1}, {"created_after": "2020-01-01T00:00:00.000Z"}, {"account": "ada"}, {"type": "dataset"},
    {"energy": 9, "who": "ada"}, {"energy": 9, "who": "bob"}, {"energy": 9, "created_after": "2020-01-01T00:00:00.000Z"}, {"length.gte": 0},
)


def searching(run):
    meta = {"energy": 9, "who": "ada", "ok": True, "text": "8.5", "none": None, "deep": {"a": 1}}
    run.ada.add_dids([{**run.did("d"), "type": "DATASET", "meta": meta}])
    for one in FILTERS:
        run.tried(run.ada.list_dids, ADA, [{"name": f"d-{run.tag}", **one}])


def searching_by_name(run):
    filled(run)
    run.ada.set_metadata(*run.name("d"), "who", "ada")
    for kind in ("all", "collection", "dataset", "container", "file", "what"):
        for long in (False, True):
            run.tried(run.ada.list_dids, ADA, [{"name": f"*-{run.tag}"}], did_type=kind, long=long)
    run.tried(run.ada.list_dids, ADA, [{"name": f"d-{run.tag}"}, {"name": f"e*{run.tag}"}])
    run.tried(run.ada.list_dids, ADA, [{"name": f"*{run.tag}", "who": "ada"}], did_type="file", long=True)
    run.tried(run.ada.list_dids, "nope", [{"name": "*"}])


def where(run):
    filled(run)
    for name in ("c", "d", "e", "f", "none"):
        run.tried(run.ada.list_replicas, [run.did(name)])
    run.tried(run.ada.list_replicas, [run.did("f"), run.did("none"), run.did("d")], schemes=["https", "davs", "root"])
    for schemes in (["https"], ["root"], ["davs", "https"], ["gsiftp"]):
        run.tried(run.ada.list_replicas, [run.did("f")], schemes=schemes)
    run.tried(run.ada.list_replicas, [run.did("f")], resolve_parents=True)


def where_from(run):
    filled(run)
    for site in ("INFN-PG", "INFN-NA", "CNAF", "ELSEWHERE"):
        for domain in (None, "lan", "wan", "all"):
            options = {"client_location": {"site": site}, "domain": domain, "schemes": ["https", "root"]}
            run.tried(run.ada.list_replicas, [run.did("f")], **options)


def where_chosen(run):
    filled(run)
    for expression in ("CNAF", "CNAF|INFN-NA", "site=CNAF", "site=CNAF|site=INFN-PG", "*", "*\\CNAF", "NOPE", "site=NOPE", "site=", "a b!"):
        run.tried(run.ada.list_replicas, [run.did("f"), run.did("g")], rse_expression=expression, schemes=["https"])
        run.tried(run.ada.list_rses, expression)


def datasets_somewhere(run):
    filled(run)
    for name in ("c", "d", "e", "f", "none"):
        run.tried(run.ada.list_dataset_replicas, *run.name(name), deep=True)
        run.tried(run.ada.list_dataset_replicas, *run.name(name))
    run.tried(run.ada.list_dataset_replicas_bulk, [run.did("d"), run.did("none")])
    run.tried(run.ada.list_dataset_replicas_bulk, [])


def storage_elements(run):
    run.tried(run.ada.list_rses)
    for name in ("INFN-PG", "INFN-NA", "CNAF", "CNAF-TAPE", "NOPE"):
        for call in (run.ada.get_rse, run.ada.list_rse_attributes, run.ada.get_protocols):
            run.tried(call, name)


def future_addresses(run):
    for rse, options in (
        ("INFN-NA", {}), ("INFN-NA", {"scheme": "https"}), ("INFN-NA", {"scheme": "s3"}), ("CNAF", {"operation": "write", "protocol_domain": "lan"}),
        ("CNAF", {"operation": "write", "scheme": "davs"}), ("INFN-PG", {"operation": "write"}), ("NOPE", {}),
    ):
        run.tried(run.ada.lfns2pfns, rse, [f"{ADA}:f-{run.tag}", f"{ADA}:/a/b"], **options)
    run.tried(run.ada.lfns2pfns, "CNAF", [])


def rules(run):
    run.daemons = True
    filled(run)
    for name, copies, expression in (
        ("d", 1, "CNAF"), ("d", 1, "CNAF"), ("f", 1, "CNAF"), ("d", 1, "NOPE"), ("d", 1, "site="), ("d", 2, "CNAF"), ("d", 0, "CNAF"),
        ("none", 1, "CNAF"), ("d", 1, "CNAF-TAPE"), ("e", 1, "CNAF"), ("g", 1, "INFN-NA|INFN-PG"),
    ):
        found = run.tried(lambda *given: len(run.ada.add_replication_rule(*given)), [run.did(name)], copies, expression)
        assert found == 1 or isinstance(found, str)
    run.tried(run.ada.add_replication_rule, [run.did("d")], 1, "INFN-PG", account="bob")
    run.tried(run.bob.add_replication_rule, [run.did("d")], 1, "INFN-PG")
    for name in ("d", "f", "g", "e", "none"):
        run.tried(run.ada.list_did_rules, *run.name(name))


def a_rule(run):
    run.daemons = True
    filled(run)
    [rule] = run.ada.add_replication_rule([run.did("d")], 1, "CNAF", lifetime=1000, comment="why")
    run.tried(run.ada.get_replication_rule, rule)
    run.tried(run.ada.list_replica_locks, rule)
    run.tried(run.ada.list_replication_rules, {"scope": ADA, "name": f"d-{run.tag}"})
    run.tried(run.ada.list_replicas, [run.did("d")], rse_expression="CNAF", all_states=True)
    for client in (run.bob, run.ada, run.root):
        run.tried(client.delete_replication_rule, rule)
    for one in (rule, "0" * 32, "zz"):
        run.tried(run.ada.get_replication_rule, one)
    for client in (run.ada, run.root):
        run.tried(client.delete_replication_rule, "0" * 32)


def quotas(run):
    for account in ("ada", "bob", "root", "nobody"):
        run.tried(run.ada.get_local_account_limits, account)
    run.tried(run.ada.get_local_account_usage, "bob")
    run.tried(run.root.get_local_account_usage, "nobody")
    run.tried(run.ada.get_local_account_usage, "ada", rse="NOPE")


def signing(run):
    url = "https://127.0.0.1:1/user/x"
    for rse, service, operation in (
        ("INFN-PG", "s3", "read"), ("INFN-PG", "s3", "write"), ("INFN-PG", "s3", "foo"), ("INFN-PG", "zz", "read"), ("NOPE", "s3", "read"),
        ("CNAF", "s3", "read"),
    ):
        run.tried(run.ada.get_signed_url, rse, service, operation, url)


def complaints(run):
    run.daemons = True
    filled(run)
    [pfn] = next(run.ada.list_replicas([run.did("f")], rse_expression="CNAF"))["pfns"]
    for given in ([pfn], [f"{pfn}x"], ["https://nowhere.invalid/x"], [pfn, "root://127.0.0.1//lake/x"], []):
        run.tried(run.ada.declare_suspicious_file_replicas, given, "checksum")
    for client in (run.ada, run.root):
        run.tried(client.declare_bad_file_replicas, [pfn], "lost")
        run.tried(client.list_replicas, [run.did("f")], schemes=["https"], all_states=True)
        run.tried(client.declare_bad_file_replicas, [{**run.did("f"), "rse": "CNAF"}], "lost")
        run.tried(client.list_replicas, [run.did("f")], schemes=["https"], all_states=True)
    run.tried(run.root.declare_bad_file_replicas, ["https://nowhere.invalid/x"], "lost")
    run.tried(run.ada.list_replicas, [run.did("f")], schemes=["https"])


def complaints_of_simple_scopes(run):
    run.daemons = True
    scope = f"s{run.tag}"
    run.root.add_scope("ada", scope)
    file = {**run.file("f"), "scope": scope}
    run.tried(run.ada.add_replicas, "CNAF", [file])
    [pfn] = next(run.ada.list_replicas([file], rse_expression="CNAF"))["pfns"]
    run.tried(run.ada.declare_suspicious_file_replicas, [pfn], "checksum")
    run.tried(run.ada.declare_suspicious_file_replicas, [pfn, f"{pfn}x"], "checksum")
    run.tried(run.root.declare_bad_file_replicas, [pfn], "lost")
    run.tried(lambda: [found["states"] for found in run.ada.list_replicas([file], all_states=True)])
    run.tried(run.ada.add_replicas, "CNAF", [file])
    run.tried(lambda: [found["states"] for found in run.ada.list_replicas([file], all_states=True)])


SCRIPTS = (
    who, scopes, a_dataset, names, all_or_nothing, rules_while_adding, replicas_twice, replicas_refused, states, attaching, attaching_many, looking,
    metadata, metadata_in_bulk, searching, searching_by_name, where, where_from, where_chosen, datasets_somewhere, storage_elements,
    future_addresses, rules, a_rule, quotas, signing, complaints, complaints_of_simple_scopes,
)
