"""Rucio's daemons in one process, with a transfer tool that copies the bytes itself: rules come true without FTS.

Run in the Rucio server's environment beside the server: transfers.py HOME, where HOME has its etc/rucio.cfg. Rucio 41 has no entry
point for transfer tools, so the place of its mock, which moves nothing, is taken. The daemons' own loops wait for 10 s and longer
between two looks; here their single steps are called in turn.
"""

# ruff: noqa: INP001, TID251  (a program of its own, of the server)
from __future__ import annotations

import logging
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from copying import Bad, Copier
from rucio.common.exception import RucioException
from rucio.core import transfer
from rucio.daemons.abacus import account, collection_replica, rse
from rucio.daemons.badreplicas import minos, necromancer
from rucio.daemons.conveyor import finisher, poller, submitter
from rucio.daemons.judge import cleaner, evaluator, injector, repairer
from rucio.daemons.undertaker import undertaker
from rucio.db.sqla.constants import RequestState
from rucio.transfertool.mock import MockTransferStatusReport, MockTransfertool
from sqlalchemy.exc import SQLAlchemyError
from urllib3.exceptions import HTTPError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

PAUSE_SECONDS = 0.3  # between two rounds
SLOW_ROUNDS = 10  # what nobody waits for is done in one round of these
BULK = 1000
log = logging.getLogger("transfers")


class Report(MockTransferStatusReport):
    """How one transfer ended."""

    supported_db_fields = ("state", "external_id", "err_msg", "started_at", "transferred_at")

    def __init__(self, request_id: str, external_id: str, ended: Ended | None) -> None:
        super().__init__(request_id, external_id)
        self.state = RequestState.DONE if ended and not ended.error else RequestState.FAILED
        self.err_msg = ended.error if ended else "the transfer tool was started anew"
        self.started_at, self.transferred_at = (ended.started, ended.ended) if ended else (None, None)


class Ended:
    """When a copy began and ended, and what went wrong."""

    def __init__(self, started: datetime, error: str) -> None:
        self.started, self.ended, self.error = started, datetime.utcnow(), error  # noqa: DTZ003  (as Rucio's tables have it)


class Local(MockTransfertool):
    """Copies at once, when a transfer is submitted."""

    supported_schemes = frozenset({"https", "davs", "root", "file"})
    copier: Copier
    ended: dict[str, Ended] = {}  # noqa: RUF012  (of all: one process, and a tool is made for each call)

    def submit(self, transfers: Iterable[Any], job_params: Any, timeout: Any = None) -> str:  # noqa: ARG002
        """Copy all."""
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(self._copy, transfers))
        return str(uuid4())

    def _copy(self, given: Any) -> None:
        """Copy from the first source that has the right bytes."""
        started, error = datetime.utcnow(), "no source"  # noqa: DTZ003
        for source in given.sources:
            urls = given.source_url(source), source.rse.id, given.dest_url, given.dst.rse.id
            try:
                self.copier.copy(*urls, nbytes=given.rws.byte_count, adler32=given.rws.adler32)
                error = ""
                break
            except (Bad, HTTPError, OSError) as failure:
                error = f"{type(failure).__name__}: {failure}"
                log.warning("did=%s:%s source=%s failed: %s", given.rws.scope, given.rws.name, source.rse.name, error)
        self.ended[given.rws.request_id] = Ended(started, error)

    def bulk_query(self, requests_by_eid: Mapping[str, Mapping[str, Any]], timeout: Any = None) -> dict[str, dict[str, Report]]:  # noqa: ARG002
        """Say how transfers ended."""
        return {job: {one: Report(one, job, self.ended.pop(one, None)) for one in requests} for job, requests in requests_by_eid.items()}


class Heart:
    """Stands for a daemon's heartbeat: this process is the only one, so all work is its own."""

    short_executable = "transfers"

    def live(self, *_: Any, **__: Any) -> tuple[int, int, Callable[..., None]]:
        """Tell the number of this worker, how many there are, where it logs."""
        return 0, 1, log.log


def steps() -> tuple[list[Callable[[], Any]], list[Callable[[], Any]]]:
    """Name the steps of each round, and of one round of some."""
    heart, paused = Heart(), partial(dict[Any, Any])
    once = {"once": True, "partition_wait_time": 0}
    quick: list[Callable[[], Any]] = [
        partial(evaluator.run_once, paused_dids={}, did_limit=BULK, heartbeat_handler=heart),
        partial(submitter.submitter, **once, bulk=BULK, transfertools=["mock"]),
        partial(poller.poller, **once, older_than=0, transfertool="mock"),
        partial(finisher.finisher, **once),
        partial(collection_replica.run_once, heartbeat_handler=heart, limit=BULK),
        partial(account.run_once, heartbeat_handler=heart),
    ]
    slow: list[Callable[[], Any]] = [
        partial(rse.run_once, heartbeat_handler=heart),
        lambda: injector.run_once(paused_rules=paused(), heartbeat_handler=heart),
        lambda: repairer.run_once(paused_rules=paused(), delta=-1, heartbeat_handler=heart),
        lambda: cleaner.run_once(paused_rules=paused(), heartbeat_handler=heart),
        lambda: undertaker.run_once(paused_dids=paused(), chunk_size=BULK, heartbeat_handler=heart),
        partial(minos.run_once, heartbeat_handler=heart, bulk=BULK),
        partial(necromancer.run_once, heartbeat_handler=heart, bulk=BULK),
    ]
    return quick, slow


def main(home: Path) -> None:
    """Go round for ever; a step that fails is logged and taken again in the next round."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    Local.copier = Copier(os.environ["LAKE_CA"])
    transfer.TRANSFERTOOL_CLASSES_BY_NAME[MockTransfertool.external_name] = Local
    quick, slow = steps()
    (home / "transfers.ready").touch()
    while True:
        for turn in range(SLOW_ROUNDS):
            for step in (*quick, *(() if turn else slow)):
                try:
                    step()
                except (RucioException, SQLAlchemyError, OSError, ValueError, LookupError, TypeError) as failure:
                    log.warning("%s failed: %s: %s", step, type(failure).__name__, failure)
            time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
