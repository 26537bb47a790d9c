"""What random steps on Rucio lakes stand on: a server in memory or a running lake, and what is done there without lakecv."""

import time
from contextlib import ExitStack, contextmanager
from secrets import token_hex
from threading import Timer
from unittest.mock import patch

from tests.rucio_server import FakeRucio, client_of

RSES = ("INFN-PG", "CNAF", "INFN-NA")
FAULTS = (
    None, None, None, ("lose", "POST", "dids/{scope}/{name}"), ("lose", "POST", "replicas"), ("lose", "POST", "dids/attachments"),
    ("lose", "POST", "rules"), ("lose", "POST", "/meta"), ("fail", "", ""), ("fail", "POST", "replicas"), ("fail", "GET", "meta"),
)


class FakeGround:
    """A Rucio server in memory with storage elements that are folders."""

    scope = "s"

    def __init__(self, folder):
        self.folder, self.rucio = folder, FakeRucio()

    def __enter__(self):
        self.rucio.__enter__()
        self.rucio.add_account("ada")
        self.rucio.add_scope(self.scope, "ada")
        for rse in RSES:
            self.rucio.add_rse(rse, rse, self.folder / "rses" / rse)
            self.rucio.set_quota("ada", rse, 10**10)
        self.home = self.rucio.home(self.folder, "ada")
        self.client = client_of(self.home)
        return self

    def __exit__(self, *_):
        self.rucio.__exit__()

    def stored(self, rse):
        return {path.name for path in (self.folder / "rses" / rse / self.scope).rglob("*") if path.is_file()}

    def carry_out(self, _):
        self.rucio.run_rules()

    @contextmanager
    def closed(self, rse, **availability):
        self.rucio.set_availability(rse, **availability)
        yield
        self.rucio.set_availability(rse)

    @contextmanager
    def room(self, rse, nbytes):
        used = self.rucio.state.usage("ada", rse)[0]
        self.rucio.set_quota("ada", rse, used + nbytes)
        yield
        self.rucio.set_quota("ada", rse, 10**10)

    @contextmanager
    def outage(self, fault):
        """A reply gets lost, or the server is in trouble for a moment."""
        kind, method, path = FAULTS[fault] or ("", "", "")
        if kind == "lose":
            self.rucio.lose_reply_of(method, path)
        elif kind == "fail":
            self.rucio.fail_next(2, 503, method=method, path_part=path)
        with patch("rucio.client.baseclient.MAX_RETRY_BACK_OFF_SECONDS", 0.01):
            yield
        self.rucio._failing.clear()
        self.rucio._losing.clear()


class RealGround:
    """The running lake of ``lake``; a scope of its own."""

    lake = None

    def __init__(self, _):
        self.root, self.client, self.home = self.lake.client("root"), self.lake.client("ada"), self.lake.home("ada")
        self.scope = f"steps{token_hex(6)}"
        self._bucket = self.client.get_rse("INFN-PG")["protocols"][0]["prefix"].strip("/")
        self._s3 = self.lake.s3.client()

    def __enter__(self):
        self.root.add_scope("ada", self.scope)
        return self

    def __exit__(self, *_):
        pass

    def stored(self, rse):
        if rse == "INFN-PG":
            pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=f"{self.scope}/")
            return {item["Key"].rpartition("/")[2] for page in pages for item in page.get("Contents", ())}
        folder = {"CNAF": self.lake.dav_folder, "INFN-NA": self.lake.xrootd_folder}[rse]
        return {path.name for path in (folder / self.scope).rglob("*") if path.is_file()}

    def carry_out(self, did):
        """Wait for the transfer daemon."""
        while {row["state"] for row in self.client.list_did_rules(did.scope, did.name)} != {"OK"}:
            time.sleep(0.05)

    @contextmanager
    def closed(self, rse, *, read=True, write=True):
        self.root.update_rse(rse, {"availability_read": read, "availability_write": write})
        try:
            yield
        finally:
            self.root.update_rse(rse, {"availability_read": True, "availability_write": True})

    @contextmanager
    def room(self, rse, nbytes):
        """Leave so many bytes; Rucio itself counts a little later, and may then leave none."""
        [usage] = self.client.get_local_account_usage("ada", rse)
        self.root.set_local_account_limit("ada", rse, usage["bytes"] + nbytes)
        try:
            yield
        finally:
            self.root.set_local_account_limit("ada", rse, usage["bytes_limit"])

    @contextmanager
    def outage(self, fault):
        """For one fault of all, the server hangs for a moment."""
        if fault != len(FAULTS) - 1:
            yield
            return
        stopped = ExitStack()
        stopped.enter_context(self.lake.paused("rucio"))
        timer = Timer(0.3, stopped.close)
        timer.start()
        try:
            yield
        finally:
            timer.join()
