"""A lake that is all values, and the commands run against it.

The file also runs as a program (``python conftest.py ls --json``), for tests of what only a real process shows.
"""

import json
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from lakecv.annotation import About, Annotation, Annotations
from lakecv.api import (
    Check,
    Comparison,
    Detached,
    Driver,
    Fate,
    Finding,
    Flaw,
    Heap,
    Leftover,
    LogFile,
    Peak,
    Repair,
    RunLogs,
    Spectrum,
    Sweep,
    Verdict,
    Verification,
)
from lakecv.api.fetching import Fetched, FolderArray, FolderCheck
from lakecv.citation import Reference
from lakecv.cli import app, main, session
from lakecv.cli.output import note
from lakecv.cube import ArraySpec, Block, CubeSpec, Grid, Quantity, Role, SpectralAxis, Window
from lakecv.errors import Kind, Unavailable
from lakecv.job import Job, Link, StageKind
from lakecv.numerics.agreement import agreement
from lakecv.plan import Outcome, Pace, Plan, Progress, Read, Reason, Run, RunState, Share, Stage
from lakecv.records import DID, Damage, Dataset, Replica, Rule
from lakecv.report.methods import Citation, CitedModel
from lakecv.site import Link as SiteLink
from lakecv.site import Resources, Site

ROOT = Path(__file__).parents[2]
DATA = ArraySpec("counts", Role.DATA, ("y", "x", "spectral"), (480, 620, 2048), "uint16", (64, 64, 2048), unit="count")
LABELS = ArraySpec("labels", Role.LABELS, ("y", "x"), (480, 620), "uint8", (480, 620), nodata=255.0)
DISTANCE = ArraySpec("distance", Role.DISTANCE, ("y", "x"), (480, 620), "float32", (480, 620), nodata=float("nan"))
CUBE = CubeSpec(Grid(480, 620, (0.5, 0.5), "mm"), SpectralAxis(2048, Quantity.ENERGY, "keV", 0.0, 0.02), (DATA,))
TAVOLA = Dataset(
    DID("museo", "tavola"), CUBE, "ab" * 32, home="data/museo/tavola", replicas=(Replica("local", "file:///lake/tavola"),),
    nobjects=80, nbytes=300_000_000, created="2026-01-02T03:04:05+00:00", title="Tavola [bold]3[/bold] \u00fc\x1b[31m\u202e", metadata=(("instrument", "MA-XRF"),), warnings=("pixel size\nnot found",),
)
LINKS = (Link("pca", "1", (("n", 8),)), Link("kmeans", "1", (("k", "auto"), ("tolerance", 1e-4))))
JOB = Job(LINKS, 0, (("museo:tavola", "ab" * 32),), "user.anna")
PLAN = Plan(
    JOB, CUBE, replace(CUBE, arrays=(LABELS, DISTANCE)), tuple(Block(i, Window(0, 480, i, i + 1)) for i in range(24)),
    (Stage(StageKind.SAMPLE, 0, 24, 1, 1_200_000_000, 4.0), Stage(StageKind.REDUCE, 1, 24, 20, 1_200_000_000, 90.0),
     Stage(StageKind.PACK, 1, 2, 1, 0, 1.0)),
    "local", (Share("local", "local", 2, 1, (Read("local", near=True, blocks=tuple(range(24))),), 1_200_000_000, 0, 110.0),),
    (Pace("local", "local", near=True, seconds=1.0),), "local", "local", 900_000_000, 0, 110.0,
    (Reason("site local", chosen=True, text="holds all bytes"), Reason("site cnaf", chosen=False, text="reads 1.2 GB far")),
)  # fmt: skip
RUN = Run(
    "r-0001", JOB, DID("user.anna", "tavola.pca-kmeans.1"), RunState.DONE, "2026-01-02T03:04:05+00:00",
    "2999-01-02T03:05:05+00:00", 60.0, 1_200_000_000, 0, 24, 24, versions=(("lakecv", "0.1.0"),), facts=(("score", "0.97"),),
)
BROKEN = Outcome("1-map/000007", 1.0, 0.0, 10, 0, "w1", 3, error=("worker-lost", "the worker\x1b[2J died"))
FAILED = replace(RUN, state=RunState.FAILED, blocks_done=23, failed=(BROKEN,))
RESULT = replace(TAVOLA, did=RUN.output, made_by="r-0001", parents=JOB.inputs, warnings=(), title="")
LOST = Finding(Flaw.MISSING, "counts/c/0/0/0")
LEFTOVER = Leftover(Heap("data/museo/tavola/0123456789ab", 12, 4_000_000, 1.7e9), "data that no dataset names", Fate.REMOVABLE)
RULE = Rule("9f2c", TAVOLA.did, "site=CNAF", "REPLICATING", 1, 60, 20, 0, "2026-02-02T03:04:05+00:00")
STUCK = Rule("77aa", TAVOLA.did, "INFN-NA", "STUCK", 1, 0, 0, 80, error="no space\x1b[2J left")
DRIVER = Driver("r-0001", 4711, "elsewhere", 1.0, begun=True)
LOG = LogFile("driver", "/state/r-0001.log", ("error: it\x1b[2J broke [worker-lost]", "hint: \u202etry"), cut=True)
LOGS = RunLogs(FAILED, (Damage("INFN-PG", "counts/c/0/0/0", "it is\x1b[31m short"),), (DRIVER,), (LOG,))
LLOYD = Reference("lloyd1982", "article", ("Lloyd, S. P.",), "Least squares quantization in PCM", "IEEE\x1b[2J Transactions", 1982, "28", "129-137")
SAID = Annotations(TAVOLA.did, (
    Annotation(TAVOLA.did, About.CLUSTER, "lead\x1b[31m white", "user.anna", "2026-01-02T03:04:05.000000Z", "0a", 3),
    Annotation(TAVOLA.did, About.NOTE, "seen by\u202e Ada", "user.anna", "2026-01-03T03:04:05.000000Z", "0b"),
))
CITED = Citation(replace(RUN, versions=(("lakecv", "0.1.0"), ("numpy", "2.4.0"))), RESULT, (CitedModel(LINKS[0]), CitedModel(LINKS[1], (LLOYD,))))
SITE = Site("local", "local", Resources(1, 4_000_000_000), 2, ("local",), (SiteLink("cnaf", 25e6, 0.05),))


@dataclass(frozen=True)
class Registered:
    dataset: Dataset
    was_there: bool
    seconds: float
    nbytes_raw: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class OptionCard:
    name: str
    type: str
    default: object
    help: str


@dataclass(frozen=True)
class ModelCard:
    name: str
    version: str
    distribution: str
    options: tuple[OptionCard, ...]


@dataclass(frozen=True)
class PluginReport:
    group: str
    name: str
    distribution: str
    version: str
    loads: bool | None
    problem: str


@dataclass(frozen=True)
class Setting:
    key: str
    value: str
    origin: str


@dataclass(frozen=True)
class Demo:
    folder: str
    dataset: Dataset
    run: Run
    ari: float
    report: str
    seconds: float


ENERGY = SpectralAxis(3, Quantity.ENERGY, "keV", 0.0, 0.5)
COMPARISON = Comparison("user.anna:tavola.pca-kmeans.1", "tru\x1bth.npy", agreement(np.array([0, 0, 1, 1, 2]), np.array([5, 5, 4, 5, 4])), np.zeros((1, 5), int), np.zeros((1, 5), int))


class FakeLake:
    """Answers from ``answers``, raises what is an exception there, and writes down every call."""

    def __init__(self, url=None, *, progress=None):
        self.url, self._progress = url, progress
        FakeLake.calls.append(("Lake", (url,), {}))

    calls = []  # noqa: RUF012  (one lake per test: the fixture starts it anew)
    answers = {}  # noqa: RUF012

    @staticmethod
    def fresh():
        FakeLake.calls = []
        FakeLake.answers = {
            "register": Registered(TAVOLA, was_there=False, seconds=9.0, nbytes_raw=1_218_969_600, notes=("dims taken as y,x,spectral",)),
            "search": (TAVOLA,), "unknown_facts": {}, "replicate": RULE, "rules": (RULE, STUCK),
            "ls": (RESULT, TAVOLA), "show": TAVOLA, "annotations": SAID, "annotate": SAID, "plan": PLAN, "run": RUN, "resume": RUN, "runs": (RUN, FAILED),
            "watch": (Progress("run", "1-map", 12, 24, 600_000_000, 10.0, "inertia 0.5"),),
            "attach": RUN, "logs": LOGS, "detach": Detached(replace(RUN, state=RunState.UNFINISHED, finished=None), DRIVER, "/state/r-0001.log"),
            "verify": Verification(TAVOLA.did, 80, 300_000_000), "verify_all": (Verification(TAVOLA.did, 80, 300_000_000),),
            "repair": Repair(TAVOLA.did, "backup", dry_run=False, mended=(LOST,)), "gc": Sweep(dry_run=True, leftovers=(LEFTOVER,)),
            "spectrum": Spectrum("museo:tavola", ("--window 0:3,0:3",), ENERGY, "counts", np.arange(3.0), 9, (Peak(1, 0.5, 1.0, ("Fe Ka",)),)),
            "compare": COMPARISON, "cite": CITED, "report": "/tmp/r eport.html", "export": "labels.png",
            "fetch": Fetched(TAVOLA.did, "./tavola", 80, 300_000_000, 3.0, (Damage("INFN-PG", "counts/c/0/0/0", "it is\x1b[31m short"),)),
            "open": FolderCheck("./tavola", "ab" * 32, 80, 300_000_000, is_flat=True, arrays=(FolderArray("counts", DATA.dims, DATA.shape, "uint16"),)),
            "sites": (SITE,), "config": (Setting("lake", "/lake", "default"),), "job_scripts": {}, "site": None,
            "models": (ModelCard("kmeans", "1", "lakecv", (OptionCard("k", "int | auto", "auto", "Clusters."),)),
                       ModelCard("pca", "1", "lakecv", ())),
            "plugins": (PluginReport("lakecv.models", "odd", "odd-one", "0.1", loads=False, problem="No module 'x'"),),
            "doctor": (Check("lake", Verdict.OK, "/lake can be read"), Check("dask", Verdict.WARNING, "a preload\x1b[2J", "read it")),
            "demo": Demo("./lakecv-demo", TAVOLA, RUN, 0.9712, "./lakecv-demo/report.html", 12.0),
        }  # fmt: skip

    @staticmethod
    def demo(folder="./lakecv-demo", *, progress=None):
        return FakeLake._answer("demo", folder, progress=progress)

    @staticmethod
    def _answer(verb, *args, **kwargs):
        progress = kwargs.pop("progress", None)
        FakeLake.calls.append((verb, args, kwargs))
        answer = FakeLake.answers[verb]
        if callable(answer):
            answer = answer()
        if progress is not None:
            progress(Progress(verb, "1-map", 12, 24, 600_000_000, 10.0))
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def __getattr__(self, verb):
        if verb not in FakeLake.answers:
            raise AttributeError(verb)
        progress = self._progress if verb in {"register", "run", "resume", "attach"} else None
        return lambda *args, **kwargs: FakeLake._answer(verb, *args, progress=progress, **kwargs)


@dataclass(frozen=True)
class Typed:
    """What a command printed and returned."""

    code: int
    out: str
    err: str

    @property
    def last(self):
        return self.out.splitlines()[-1]

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def lake(monkeypatch):
    FakeLake.fresh()
    monkeypatch.setattr(session, "lake_type", lambda: FakeLake)
    monkeypatch.setattr("lakecv.api.check_folder", lambda folder, _: FakeLake._answer("open", str(folder)))
    monkeypatch.delenv("LAKECV_LAKE", raising=False)
    return FakeLake


@pytest.fixture
def lakecv(lake):  # noqa: ARG001  (the commands answer from it)
    """Type a command: ``lakecv("show", "museo:tavola")``."""

    def type_words(*words):
        result = CliRunner().invoke(app, list(words), prog_name="lakecv")
        return Typed(result.exit_code, result.stdout, result.stderr)

    return type_words


@pytest.fixture
def process():
    """Command line of a real process that answers from the fake lake; ``LAKECV_TEST`` names what goes wrong."""
    environment = {"PATH": os.defpath, "PYTHONPATH": str(ROOT), "TERM": "dumb"}
    return [sys.executable, __file__], environment


def _hang():
    """Wait for a signal as a run does, then stop cleanly, unless a second one comes."""
    from itertools import count
    from time import sleep

    try:
        note("waiting")
        for _ in count():
            sleep(0.02)
    except KeyboardInterrupt:
        if os.environ.get("LAKECV_TEST") == "hang-twice":
            note("stopping")
            for _ in count():
                sleep(0.02)
        raise Unavailable("interrupted: 12/24 blocks are committed", Kind.INTERRUPTED, "lakecv resume r-0001") from None


def _wait():
    """Wait for a signal, as somebody who only looks."""
    from itertools import count
    from time import sleep

    note("waiting")
    for _ in count():
        sleep(0.02)


def _wrong():
    return {
        "hang": {"run": _hang, "resume": _hang, "attach": _hang, "watch": _wait},
        "hang-twice": {"run": _hang, "resume": _hang, "attach": _hang},
        "many": {"ls": (TAVOLA,) * 2_000},
        "bug": {"ls": ZeroDivisionError("division by zero")},
    }.get(os.environ.get("LAKECV_TEST", ""), {})


if __name__ == "__main__":
    FakeLake.fresh()
    FakeLake.answers.update(_wrong())
    session.lake_type = lambda: FakeLake
    sys.exit(main())
