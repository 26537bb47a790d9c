"""Runs that go on by themselves: detach, attach, logs; and the figures behind a plan."""

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from lakecv.errors import Kind, Unavailable
from lakecv.plan import Pace, Read, Reason, Share

SCHEMAS = Path(__file__).parents[2] / "docs" / "schema"


def check(document, command):
    jsonschema.Draft202012Validator(json.loads((SCHEMAS / f"{command}.json").read_text())).validate(document)


def test_a_detached_run_says_its_output_its_driver_its_log_and_how_to_watch_it(lakecv, lake):
    done = lakecv("run", "kmeans", "a:b", "--detach", "--set", "k=6", "--ignore-locality", "--again")
    assert (done.code, done.last) == (0, "next: lakecv watch r-0001")
    for text in ("r-0001, pca+kmeans, goes on by itself, process 4711 on elsewhere", "user.anna:tavola.pca-kmeans.1", "/state/r-0001.log"):
        assert text in done.out
    keywords = {"again": True, "site": None, "options": {"k": "6"}, "seed": 0, "state": None, "scope": None, "to": None, "ignore_locality": True, "window": None, "axis": (), "mask": None, "detector": None}
    assert lake.calls[-1] == ("detach", ("kmeans", "a:b"), keywords)


def test_a_detached_run_as_json_is_a_run_with_its_driver(lakecv):
    document = lakecv("run", "kmeans", "a:b", "--detach", "--json").json
    check(document, "run")
    assert (document["run"], document["driver"], document["log"]) == ("r-0001", {"pid": 4711, "host": "elsewhere"}, "/state/r-0001.log")


def test_a_job_that_was_done_before_is_told_as_such_and_nothing_is_detached(lakecv, lake):
    record = replace(lake.answers["run"], finished="2026-01-02T03:05:05+00:00")
    lake.answers["detach"] = replace(lake.answers["detach"], run=record, driver=None)
    done = lakecv("run", "kmeans", "a:b", "--detach")
    assert "was done before; nothing moved (--again runs it again)" in done.out
    assert done.last == "next: lakecv report user.anna:tavola.pca-kmeans.1"


def test_a_detached_run_whose_blocks_failed_at_once_exits_1(lakecv, lake):
    lake.answers["detach"] = replace(lake.answers["detach"], run=lake.answers["runs"][1], driver=None)
    assert lakecv("run", "kmeans", "a:b", "--detach").code == 1


def test_a_dry_run_detaches_nothing(lakecv, lake):
    lakecv("run", "kmeans", "a:b", "--detach", "--dry-run")
    assert "detach" not in [verb for verb, _, _ in lake.calls]


def test_attach_ends_as_the_run_does_and_is_told_that_nobody_drives_it(lakecv, lake):
    assert "r-0001, pca+kmeans, done" in lakecv("attach").out
    assert lake.calls[-1] == ("attach", (None,), {})
    lake.answers["attach"] = Unavailable("nobody is at work on r-0001", Kind.INTERRUPTED, "lakecv resume r-0001")
    done = lakecv("attach", "r-0001")
    assert (done.code, done.err.splitlines()[-1]) == (75, "hint: lakecv resume r-0001")


def test_logs_tell_verdicts_damages_drivers_and_the_end_of_each_log(lakecv):
    out = lakecv("logs").out
    for text in (
        "r-0001, pca+kmeans, failed, 23/24 blocks", "process 4711 on elsewhere, ended",
        "1-map/000007 after 3 attempts: the worker died [worker-lost]", "counts/c/0/0/0 at INFN-PG: it is short",
        "--- driver: /state/r-0001.log, its end ---\nerror: it broke [worker-lost]\nhint: ?try\n--- end ---\n",
    ):  # fmt: skip
        assert text in out


def test_logs_say_where_there_is_none_here(lakecv, lake):
    lake.answers["logs"] = replace(lake.answers["logs"], files=())
    assert "no log of it lies on this machine\n" in lakecv("logs").out


def two_sites(lake):
    plan = lake.answers["plan"]
    shares = (
        Share("infn-na", "slurm", 2, 4, (Read("NA", near=True, blocks=(0, 1)), Read("PG", near=False, blocks=(2,))), 200_000_000, 100_000_000, 40.0),
        Share("infn-pg", "slurm", 2, 4, (Read("PG", near=True, blocks=tuple(range(3, 24))),), 900_000_000, 0, 42.0, "s3://pg/work"),
    )
    paces = (Pace("infn-pg", "PG", near=True, seconds=1.25), Pace("infn-na", "PG", near=False, seconds=4.5), Pace("infn-na", "NA", near=True, seconds=1.0))
    reasons = (Reason("infn-pg", chosen=True, text="21 blocks"), Reason("gpu", chosen=False, text="its profile is not tried"))
    lake.answers["plan"] = replace(plan, site="auto", shares=shares, paces=paces, reasons=reasons, packs="infn-pg")


@pytest.mark.parametrize("row", [
    "yes     infn-pg  21 blocks", "no      gpu      its profile is not tried",
    "infn-na  NA    near      1.000    yes", "infn-na  PG    far       4.500    yes", "infn-pg  PG    near      1.250    yes",
    "infn-na  slurm     8      NA    near      2       300 MB      40 s        the lake's", "                          PG    far       1",
    "infn-pg  slurm     8      PG    near      21      900 MB      42 s        s3://pg/work",
    "2, 4 workers, 16 slots", "1.1 GB near, 100 MB far: 91.7 % near", "infn-pg writes the result to local",
])  # fmt: skip
def test_explain_gives_every_figure_and_the_short_form_does_not(lakecv, lake, row):
    two_sites(lake)
    assert row in lakecv("plan", "pca+kmeans", "museo:tavola", "--explain").out
    short = lakecv("plan", "pca+kmeans", "museo:tavola").out
    assert "shares\n" not in short
    assert "1.1 GB near, 100 MB far" in short


def test_a_plan_as_json_has_shares_paces_and_reasons(lakecv, lake):
    two_sites(lake)
    document = lakecv("plan", "pca+kmeans", "museo:tavola", "--ignore-locality", "--json").json
    check(document, "plan")
    assert document["paces"][1] == {"site": "infn-na", "rse": "PG", "near": False, "seconds": 4.5}
    assert [share["site"] for share in document["shares"]] == ["infn-na", "infn-pg"]
    assert lake.calls[-2][2]["ignore_locality"] is True


def test_the_command_after_a_plan_keeps_what_was_asked_of_locality(lakecv):
    assert lakecv("plan", "kmeans", "a:b", "--site", "auto", "--ignore-locality").last == "next: lakecv run kmeans a:b --site auto --ignore-locality"
