"""What lakecv asks of a Rucio server: each question one call of the real client, its answer a value, its refusal an error.

Lists go in batches of at most 1,000; a call that got no answer is asked again for 20 s: every change here may be asked for
twice.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from json import JSONDecodeError
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from lakecv.errors import Denied, Kind, NotFound
from lakecv.facts import Fact
from lakecv.patience import patiently
from lakecv.records import DID, Rule, StoredObject
from lakecv_catalog.rucio.account import LOG, ca_file, connect, identity
from lakecv_catalog.rucio.answers import explain

if TYPE_CHECKING:
    from rucio.client.client import Client

__all__ = ["Element", "Held", "Located", "Server", "here", "server"]

T = TypeVar("T")
_BATCH = 1000
_WAIT_SECONDS = 20.0
_ELEMENT_SECONDS = 60.0
_SCHEMES = ("https", "davs", "root", "file")


@dataclass(frozen=True, slots=True)
class Element:
    """A storage element (RSE) as the catalog knows it; ``schemes`` are those that may be read with, best first."""

    name: str
    site: str
    is_tape: bool
    readable: bool
    writable: bool
    signs: str
    schemes: tuple[str, ...]
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Held:
    """How much of a dataset a storage element holds, in files."""

    rse: str
    available: int
    total: int


@dataclass(frozen=True, slots=True)
class Located:
    """A file of a dataset at one storage element, as the catalog lists it."""

    nbytes: int
    adler32: str
    url: str = field(repr=False)  # it may be signed


def here() -> str:
    """Name of the site that this process is at, as every Rucio client is told it."""
    return os.environ.get("SITE_NAME", "")


def server() -> Server:
    """Open the server that the environment names; one per process, account and home."""
    with _opening:  # the client's constructor is nothing for two threads at once
        return _server(os.getpid(), tuple(sorted(identity().items())))


_opening = Lock()
os.register_at_fork(after_in_child=_opening._at_fork_reinit)  # type: ignore[attr-defined]  # noqa: SLF001  (as threading's own locks do)


@lru_cache(maxsize=4)
def _server(_process: int, _identity: tuple[tuple[str, str], ...]) -> Server:
    return Server(patiently(connect))


class Server:
    """A logged-in Rucio server."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._elements: dict[str, tuple[float, Element]] = {}
        self.ca = ca_file()

    @property
    def account(self) -> str:
        """Account that asks."""
        return str(self._client.account)

    # --- datasets -----------------------------------------------------------------------------------------------------
    def create(self, did: DID, facts: Mapping[str, object]) -> None:
        """Create a dataset with its facts in one transaction; Conflict where the name was ever used."""
        self._ask(f"create {did}", lambda client: client.add_dataset(did.scope, did.name, meta=dict(facts)))

    def facts(self, did: DID, name: str, plugin: str) -> Mapping[str, Any]:
        """Read what a metadata plugin keeps of a DID, by the name that it wants; nothing where there is no such DID."""
        found: Mapping[str, Any] = self._ask(f"look up {did}", lambda client: client.get_metadata(did.scope, name, plugin=plugin))
        return found

    def many_facts(self, dids: Sequence[DID]) -> dict[DID, Mapping[str, Any]]:
        """Read what is said of many DIDs."""
        found: dict[DID, Mapping[str, Any]] = {}
        for part in _batches(dids):
            asked = [{"scope": did.scope, "name": did.name} for did in part]
            rows = self._ask("look datasets up", lambda client, asked=asked: [*client.get_metadata_bulk(asked, plugin="JSON")])  # type: ignore[misc]
            found |= {DID(row["scope"], row["name"]): row for row in rows}
        return found

    def describe(self, did: DID, facts: Mapping[str, object]) -> None:
        """Say something of a dataset, all of it in one transaction."""
        self._ask(f"describe {did}", lambda client: client.set_metadata_bulk(did.scope, did.name, dict(facts)))

    def exists(self, did: DID) -> bool:
        """Say whether Rucio knows a DID of this name, whatever it is."""
        return bool(self._ask(f"look for {did}", lambda client: [*client.list_dids(did.scope, [{"name": did.name}], did_type="all")]))

    def find(self, scope: str, wanted: Mapping[str, Fact]) -> list[str]:
        """Find names of datasets by facts (``key`` or ``key.gt`` and so on) or by ``name``, which may hold ``*``."""
        found = self._ask(f"search {scope}", lambda client: [*client.list_dids(scope, [dict(wanted)], did_type="dataset")])
        return sorted(set(found))

    def scopes(self) -> list[str]:
        """List the scopes that one owns."""
        return sorted(self._ask("list scopes", lambda client: [*client.list_scopes_for_account(self.account)]))

    def knows_scope(self, scope: str) -> bool:
        """Say whether there is a scope of this name."""
        return scope in self._ask("list scopes", lambda client: set(client.list_scopes()))

    def is_admin(self) -> bool:
        """Say whether one may do everything."""
        rows = self._ask("ask for rights", lambda client: [*client.list_account_attributes(self.account)])
        said = {each["key"]: each["value"] for row in rows for each in row}
        return self.account == "root" or bool(said.get("admin"))

    # --- files --------------------------------------------------------------------------------------------------------
    def add_files(self, rse: str, scope: str, files: Mapping[str, StoredObject]) -> None:
        """Say that a storage element holds files, by name; those that are known already stay as they are."""
        rows = [{"scope": scope, "name": name, "bytes": item.nbytes, "adler32": item.adler32} for name, item in files.items()]
        for part in _batches(rows):
            self._ask(f"register files at {rse}", lambda client, part=part: client.add_replicas(rse, [*part]))  # type: ignore[misc]

    def attach(self, did: DID, names: Sequence[str]) -> None:
        """Put files into a dataset; those that are in it already stay."""
        for part in _batches(names):
            files = [{"scope": did.scope, "name": name} for name in part]
            attachment = [{"scope": did.scope, "name": did.name, "dids": files}]
            self._ask(
                f"attach files to {did}",
                lambda client, attachment=attachment: client.attach_dids_to_dids(attachment, ignore_duplicate=True),  # type: ignore[misc]
            )  # fmt: skip

    def held(self, did: DID) -> list[Held]:
        """List where a dataset lies, counted file by file."""
        rows = self._ask(f"look for replicas of {did}", lambda client: [*client.list_dataset_replicas(did.scope, did.name, deep=True)])
        return sorted((Held(row["rse"], row["available_length"] or 0, row["length"] or 0) for row in rows), key=lambda each: each.rse)

    def located(self, did: DID, rse: str, lifetime_seconds: int) -> dict[str, Located]:
        """List the files of a dataset at one storage element with urls to read them by, signed where that is needed."""
        near = {"site": here()} if here() else None
        wanted = {
            "schemes": list(_SCHEMES), "rse_expression": rse, "client_location": near, "signature_lifetime": lifetime_seconds,
            "ignore_availability": True,
        }  # fmt: skip
        asked = [{"scope": did.scope, "name": did.name}]
        rows = self._ask(f"look for the files of {did}", lambda client: [*client.list_replicas(asked, **wanted)])
        return {row["name"]: found for row in rows if (found := _located(row, rse)) is not None}

    def sign(self, element: Element, operation: str, url: str, lifetime_seconds: int) -> str:
        """Have a url signed for one operation."""
        return str(self._ask(
            f"sign for {element.name}",
            lambda client: client.get_signed_url(element.name, element.signs, operation, url, lifetime_seconds),
        ))  # fmt: skip

    def address(self, element: Element, scope: str, name: str, operation: str) -> str:
        """Url of a file at a storage element that decides by name where files lie; not signed."""
        from rucio.rse import rsemanager

        domain = "lan" if here() and here() == element.site else "wan"

        def ask(_: Client) -> str:
            settings = dict(element.settings)
            usable = {protocol["scheme"] for protocol in settings["protocols"]} & set(_SCHEMES)
            ordered = rsemanager.get_protocols_ordered(settings, operation, domain=domain)
            scheme = next((each["scheme"] for each in ordered if each["scheme"] in usable), None)
            protocol = rsemanager.create_protocol(settings, operation, scheme=scheme, domain=domain, logger=LOG.log)
            return str(next(iter(protocol.lfns2pfns([{"scope": scope, "name": name}]).values())))

        return self._ask(f"find a protocol to {operation} at {element.name}", ask)

    # --- storage elements ---------------------------------------------------------------------------------------------
    def element(self, rse: str) -> Element:
        """Look a storage element up; remembered for a minute, one that is closed not at all: it may open at any time."""
        since, known = self._elements.get(rse, (0.0, None))
        if known is None or not (known.readable and known.writable) or time.monotonic() - since > _ELEMENT_SECONDS:
            settings = self._ask(f"look up {rse}", lambda client: client.get_rse(rse))
            attributes = self._ask(f"look up {rse}", lambda client: client.list_rse_attributes(rse))
            known = _element(settings, attributes)
            self._elements[rse] = (time.monotonic(), known)
        return known

    def elements(self) -> list[str]:
        """Names of all storage elements."""
        return sorted(row["rse"] for row in self._ask("list the storage elements", lambda client: [*client.list_rses()]))

    def room(self, rse: str | None = None) -> dict[str, int | None]:
        """Bytes that one may still add, by storage element; None where there is no limit."""
        rows = self._ask("ask for the quota", lambda client: [*client.get_local_account_usage(self.account, rse)])
        return {row["rse"]: _left(row["bytes_remaining"]) for row in rows if row["bytes_limit"] != 0}

    # --- rules and damage ---------------------------------------------------------------------------------------------
    def add_rule(self, did: DID, rses: str, lifetime_seconds: int | None) -> Rule:
        """Ask for one copy; where one asked for the same before, that rule is given back as it is."""
        from rucio.common.exception import DuplicateRule

        def ask(client: Client) -> str | None:
            try:
                made = client.add_replication_rule(
                    [{"scope": did.scope, "name": did.name}], 1, rses, lifetime=lifetime_seconds, grouping="DATASET", comment="lakecv",
                )
            except DuplicateRule:
                return None
            return str(made[0])

        made = self._ask(f"keep {did} at {rses}", ask)
        rules = self.rules(did)
        same = [rule for rule in rules if rule.id == made] or [rule for rule in rules if rule.rses == rses]
        return (same or rules)[-1]

    def rules(self, did: DID) -> list[Rule]:
        """List the rules of a dataset, oldest first."""
        rows = self._ask(f"list the rules of {did}", lambda client: [*client.list_did_rules(did.scope, did.name)])
        return [_rule(did, row) for row in sorted(rows, key=lambda row: (str(row["created_at"]), row["id"]))]

    def own_rule(self, did: DID, rses: str) -> bool:
        """Say whether a rule of one's own keeps a dataset there."""
        rows = self._ask(f"list the rules of {did}", lambda client: [*client.list_did_rules(did.scope, did.name)])
        return any(row["account"] == self.account and row["rse_expression"] == rses for row in rows)

    def report(self, rse: str, scope: str, names: Sequence[str], urls: Sequence[str], why: str) -> str:
        """Declare files of a storage element bad, or suspicious where one may not say bad; returns which."""
        try:
            replicas = [{"scope": scope, "name": name, "rse": rse} for name in names]
            refused = self._ask(f"report files at {rse}", lambda client: client.declare_bad_file_replicas(replicas, why))
            word = "bad"
        except Denied:
            refused = self._ask(f"report files at {rse}", lambda client: client.declare_suspicious_file_replicas([*urls], why))
            word = "suspicious"
        said = [text for texts in (refused or {}).values() for text in texts]
        if said:  # a refusal is no error to Rucio: it comes as an answer
            raise NotFound(f"Rucio does not take the report: {said[0]}", Kind.REPLICA_UNKNOWN, "tell those who run Rucio")
        return word

    def _ask(self, doing: str, ask: Callable[[Client], T]) -> T:
        from requests.exceptions import RequestException
        from rucio.common.exception import RucioException

        def call() -> T:
            try:
                return ask(self._client)
            except (RucioException, RequestException, JSONDecodeError, OSError) as err:
                raise explain(err, doing) from err

        return patiently(call, _WAIT_SECONDS)


def _left(nbytes: float | None) -> int | None:
    """Read what a quota leaves; infinity is how Rucio says that there is no limit."""
    return None if nbytes is None or math.isinf(nbytes) else int(nbytes)


def _batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), _BATCH):
        yield items[start : start + _BATCH]


def _located(row: Mapping[str, Any], rse: str) -> Located | None:
    """Choose the url of the protocol that Rucio puts first."""
    urls = [(said["priority"], url) for url, said in row["pfns"].items() if said["rse"] == rse]
    if not urls:
        return None
    return Located(row["bytes"], (row["adler32"] or "").lower().rjust(8, "0"), min(urls)[1])


def _element(settings: Mapping[str, Any], attributes: Mapping[str, Any]) -> Element:
    ranks = {protocol["scheme"]: [domain.get("read") for domain in protocol["domains"].values()] for protocol in settings["protocols"]}
    reading = [(min(rank for rank in each if rank is not None), scheme) for scheme, each in ranks.items() if set(each) - {None}]
    schemes = tuple(scheme for _, scheme in sorted(reading) if scheme in _SCHEMES)
    return Element(
        settings["rse"], str(attributes.get("site", "")), settings["rse_type"] == "TAPE", settings["availability_read"],
        settings["availability_write"], str(settings.get("sign_url") or attributes.get("sign_url") or ""), schemes, settings,
    )  # fmt: skip


def _rule(did: DID, row: Mapping[str, Any]) -> Rule:
    return Rule(
        row["id"], did, row["rse_expression"], str(row["state"]), int(row["copies"]), int(row["locks_ok_cnt"]),
        int(row["locks_replicating_cnt"]), int(row["locks_stuck_cnt"]), str(row["expires_at"] or ""), str(row["error"] or ""),
    )  # fmt: skip


