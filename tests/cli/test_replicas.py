"""Commands about where data lie: what they ask, print and refuse; test_commands.py holds each to its schema."""

from dataclasses import replace

import pytest

from lakecv.errors import InvalidInput, Kind, Unavailable
from lakecv.records import Access, Replica
from tests.cli.test_commands import check


def test_register_hands_over_the_storage_element_and_what_is_said(lakecv, lake):
    assert lakecv("register", "f.h5", "a:b", "--rse", "INFN-PG", "--meta", "instrument=MA-XRF", "--meta", "note=a=b").code == 0
    keywords = lake.calls[-1][2]
    assert (keywords["rse"], keywords["metadata"]) == ("INFN-PG", {"instrument": "MA-XRF", "note": "a=b"})


@pytest.mark.parametrize(
    ("words", "text"),
    [(("x",), "--meta 'x' is not NAME=VALUE"), (("=x",), "--meta '=x' is not NAME=VALUE"), (("a=1", "a=2"), "--meta a is given twice")],
)
def test_malformed_metadata_is_refused_before_the_lake_is_opened(lakecv, lake, words, text):
    done = lakecv("register", "f.h5", *(word for pair in words for word in ("--meta", pair)))
    assert done.code == 2
    assert f"error: {text} [option-invalid]\nhint: " in done.err
    assert lake.calls == []


@pytest.mark.parametrize(
    ("access", "line"),
    [
        (Access.READY, "INFN-PG at site Perugia  rucio://x"),
        (Access.TAPE, "INFN-PG at site Perugia  rucio://x, not readable now: on tape: it needs staging first"),
        (Access.DOWN, "INFN-PG at site Perugia  rucio://x, not readable now: the storage element is closed for reading now"),
        (Access.PARTIAL, "INFN-PG at site Perugia  rucio://x, not readable now: it does not hold all objects yet"),
        (Access.NO_PROTOCOL, "INFN-PG at site Perugia  rucio://x, not readable now: it offers no protocol that lakecv speaks"),
    ],
)
def test_show_tells_where_each_replica_stands_and_why_it_cannot_be_read(lakecv, lake, access, line):
    lake.answers["show"] = replace(lake.answers["show"], replicas=(Replica("INFN-PG", "rucio://x", "Perugia", access),))
    assert f"  replicas    {line}\n" in lakecv("show", "museo:tavola").out
    document = lakecv("show", "museo:tavola", "--json").json
    check(document, "show")
    assert (document["replicas"][0]["site"], document["replicas"][0]["access"]) == ("Perugia", access)


def test_search_prints_like_ls_and_hands_over_every_condition(lakecv, lake):
    done = lakecv("search", "quantity=energy", "channels>=200", "--scope", "museo")
    assert lake.calls[-1] == ("search", ("quantity=energy", "channels>=200"), {"scope": "museo"})
    assert done.out.splitlines()[0].split() == ["DID", "SHAPE", "DTYPE", "AXIS", "STORED", "TITLE"]
    assert "museo:tavola  480 x 620 x 2048" in done.out


def test_a_search_that_finds_nothing_names_the_nearest_fact_on_stderr(lakecv, lake):
    lake.answers |= {"search": (), "unknown_facts": {"chanels": "did you mean 'channels'?"}}
    done = lakecv("search", "chanels>=200")
    assert (done.code, done.out) == (0, "nothing fits\nnext: lakecv ls\n")
    assert done.err == "note: 'chanels' may be no fact here; did you mean 'channels'?\n"
    asked = lakecv("search", "chanels>=200", "--json")
    check(asked.json, "search")
    assert asked.json == {"datasets": []}


def test_a_search_that_finds_something_asks_for_no_names(lakecv, lake):
    lakecv("search", "channels>=200")
    assert [verb for verb, _, _ in lake.calls] == ["Lake", "search"]


def test_a_search_without_a_condition_gets_to_the_lake_which_says_what_there_is(lakecv, lake):
    lake.answers["search"] = InvalidInput("a search needs a condition", Kind.OPTION_INVALID, "name a fact")
    assert (lakecv("search").code, lake.calls[-1]) == (2, ("search", (), {"scope": None}))


def test_replicate_tells_where_the_rule_stands(lakecv, lake):
    out = lakecv("replicate", "museo:tavola", "--to", "site=CNAF", "--lifetime", "30d").out
    assert lake.calls[-1] == ("replicate", ("museo:tavola", "site=CNAF", 2_592_000.0), {"wait": False})
    assert "  to          site=CNAF\n  state       REPLICATING: 60 objects there, 20 moving, 0 stuck\n" in out
    assert "  expires     2026-02-02T03:04:05+00:00\n" in out


def test_a_copy_that_is_there_is_shown_next_and_never_expires_in_json(lakecv, lake):
    lake.answers["replicate"] = replace(lake.answers["replicate"], state="OK", ok=80, moving=0, expires="")
    assert lakecv("replicate", "museo:tavola", "--to", "CNAF", "--wait").last == "next: lakecv show museo:tavola"
    assert lake.calls[-1] == ("replicate", ("museo:tavola", "CNAF", None), {"wait": True})
    assert lakecv("replicate", "museo:tavola", "--to", "CNAF", "--json").json["expires"] is None


@pytest.mark.parametrize("lifetime", ["soon", "-1d", "30", ""])
def test_a_lifetime_that_is_no_time_is_refused_by_its_name(lakecv, lake, lifetime):
    done = lakecv("replicate", "museo:tavola", "--to", "CNAF", f"--lifetime={lifetime}")
    assert done.code == 2
    assert f"error: --lifetime {lifetime!r} is not a time [option-invalid]" in done.err
    assert lake.calls == []


def test_replicate_needs_to_know_where_to(lakecv):
    assert lakecv("replicate", "museo:tavola").code == 2


@pytest.mark.parametrize(("raised", "code"), [
    (Unavailable("rule 9f2c is STUCK", Kind.RSE_UNREACHABLE, "lakecv rules museo:tavola"), 6),
    (Unavailable("interrupted; rule 9f2c stays", Kind.INTERRUPTED, "lakecv rules museo:tavola"), 75),
    (KeyboardInterrupt(), 75),
])  # fmt: skip
def test_a_wait_that_ends_without_a_copy_has_its_exit_code(lakecv, lake, raised, code):
    lake.answers["replicate"] = raised
    assert lakecv("replicate", "museo:tavola", "--to", "CNAF", "--wait").code == code
    failed = lakecv("replicate", "museo:tavola", "--to", "CNAF", "--wait", "--json")
    check(failed.json, "error")
    assert failed.json["error"]["exit_code"] == code


def test_rules_are_a_table_with_their_errors(lakecv):
    lines = [line.split() for line in lakecv("rules", "museo:tavola").out.splitlines()]
    assert lines[0] == ["RULE", "WHERE", "STATE", "OK", "MOVING", "STUCK", "EXPIRES", "ERROR"]
    assert lines[1] == ["9f2c", "site=CNAF", "REPLICATING", "60", "20", "0", "2026-02-02T03:04:05+00:00", "-"]
    assert lines[2] == ["77aa", "INFN-NA", "STUCK", "0", "0", "80", "never", "no", "space", "left"]


def test_rules_that_are_all_done_lead_to_the_dataset_and_none_to_replicate(lakecv, lake):
    lake.answers["rules"] = (replace(lake.answers["rules"][0], state="OK"),)
    assert lakecv("rules", "museo:tavola").last == "next: lakecv show museo:tavola"
    lake.answers["rules"] = ()
    assert lakecv("rules", "museo:tavola").out.startswith("no rules")
    assert lakecv("rules", "museo:tavola").last == "next: lakecv replicate museo:tavola --to RSE"


@pytest.mark.parametrize("words", [("plan",), ("run",), ("run", "--dry-run")])
def test_where_a_result_goes_is_handed_over(lakecv, lake, words):
    lakecv(words[0], "kmeans", "a:b", "--to", "CNAF", *words[1:])
    assert next(keywords["to"] for verb, _, keywords in lake.calls if verb in {"plan", "run"}) == "CNAF"


def test_where_a_result_goes_stays_in_the_command_after_a_plan(lakecv):
    assert lakecv("plan", "kmeans", "a:b", "--to", "CNAF").last == "next: lakecv run kmeans a:b --to CNAF"


def test_sites_show_whose_data_are_near(lakecv, lake):
    lake.answers["sites"] = (replace(lake.answers["sites"][0], near=("local", "INFN-PG")),)
    assert "local, INFN-PG" in lakecv("sites").out
    assert lakecv("sites", "--json").json["sites"][0]["near"] == ["local", "INFN-PG"]


@pytest.mark.parametrize("verb", ["search", "replicate", "rules"])
def test_help_tells_that_a_greater_sign_needs_quotes(lakecv, verb):
    done = lakecv(verb, "--help")
    assert done.code == 0
    assert ("Quote > and <" in " ".join(done.out.split())) == (verb == "search")
