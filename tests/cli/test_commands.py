"""Every command: its text, its JSON against its schema, its exit code, and what it asks of the lake."""

import inspect
import json
import shlex
from dataclasses import fields, replace
from pathlib import Path

import jsonschema
import pytest

from lakecv.api import Fate, Finding, Flaw, Heap, Leftover, Sweep
from lakecv.ports import ReadHints

ROOT = Path(__file__).parents[2]
SCHEMAS = ROOT / "docs" / "schema"
COMMANDS = {
    "register": "register scan.h5 museo:tavola",
    "ls": "ls",
    "search": "search quantity=energy 'channels>=200'",
    "show": "show museo:tavola",
    "annotate": "annotate museo:tavola cluster 3 'lead white'",
    "plan": "plan pca+kmeans museo:tavola",
    "run": "run pca+kmeans museo:tavola",
    "resume": "resume r-0001",
    "runs": "runs",
    "watch": "watch r-0001",
    "attach": "attach r-0001",
    "logs": "logs r-0001",
    "verify": "verify museo:tavola",
    "verify-all": "verify --all",
    "repair": "repair museo:tavola --from backup",
    "gc": "gc",
    "report": "report museo:tavola",
    "compare": "compare r-0001 truth.npy",
    "spectrum": "spectrum museo:tavola --window 0:3,0:3",
    "cite": "cite r-0001",
    "export": "export museo:tavola --array labels --to labels.png",
    "fetch": "fetch museo:tavola ./tavola",
    "replicate": "replicate museo:tavola --to site=CNAF",
    "rules": "rules museo:tavola",
    "open": "open ./tavola",
    "sites": "sites",
    "site-show": "site show local",
    "site-add": f"site add {shlex.quote(str(ROOT / 'deploy' / 'sites' / 'infn-pg.toml'))}",
    "models": "models",
    "plugins": "plugins",
    "doctor": "doctor",
    "config-show": "config show",
    "demo": "demo",
}
NEXT = {
    "register": "lakecv run pca+kmeans museo:tavola",
    "ls": "lakecv show museo:tavola",
    "search": "lakecv show museo:tavola",
    "show": "lakecv run pca+kmeans museo:tavola",
    "annotate": "lakecv report museo:tavola",
    "plan": "lakecv run pca+kmeans museo:tavola",
    "run": "lakecv report user.anna:tavola.pca-kmeans.1",
    "resume": "lakecv report user.anna:tavola.pca-kmeans.1",
    "runs": "lakecv resume r-0001",
    "watch": "lakecv runs",
    "attach": "lakecv report user.anna:tavola.pca-kmeans.1",
    "logs": "lakecv resume r-0001",
    "compare": "lakecv report user.anna:tavola.pca-kmeans.1",
    "spectrum": "lakecv run kmeans museo:tavola",
    "verify": "lakecv show museo:tavola",
    "verify-all": "lakecv ls",
    "repair": "lakecv verify museo:tavola",
    "gc": "lakecv gc --yes",
    "report": "lakecv ls",
    "cite": "lakecv cite r-0001 --bibtex",
    "export": "lakecv show museo:tavola",
    "fetch": "lakecv open ./tavola",
    "replicate": "lakecv rules museo:tavola",
    "rules": "lakecv rules museo:tavola",
    "open": """python -c 'import lakecv; print(lakecv.open_folder('"'"'./tavola'"'"'))'""",
    "sites": "lakecv site show local",
    "site-show": "lakecv doctor --site local",
    "site-add": "lakecv doctor --site infn-pg",
    "models": "lakecv models kmeans",
    "plugins": "lakecv plugins --check",
    "doctor": "lakecv ls",
    "config-show": "lakecv sites",
    "demo": "lakecv --lake ./lakecv-demo/lake show user.anna:tavola.pca-kmeans.1",
}
LEFTOVER = Leftover(Heap("data/museo/tavola/0123456789ab", 12, 4_000_000, 1.7e9), "data that no dataset names", Fate.REMOVABLE)


def check(document, command):
    schema = json.loads((SCHEMAS / f"{command}.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(document)


@pytest.mark.parametrize("command", COMMANDS)
def test_json_is_one_document_that_keeps_to_its_schema(lakecv, command):
    done = lakecv(*shlex.split(COMMANDS[command]), "--json")
    assert done.code == 0
    check(done.json, command)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_last_line_is_the_next_command(lakecv, command):
    done = lakecv(*shlex.split(COMMANDS[command]))
    assert (done.code, done.last) == (0, f"next: {NEXT[command]}")


@pytest.mark.parametrize("command", COMMANDS)
def test_no_text_carries_an_escape_sequence(lakecv, command):
    done = lakecv(*shlex.split(COMMANDS[command]))
    assert not set("\x1b\u202e") & set(done.out + done.err)


@pytest.mark.parametrize("command", COMMANDS)
def test_json_leaves_stderr_without_progress(lakecv, command):
    done = lakecv(*shlex.split(COMMANDS[command]), "--json")
    assert "blocks" not in done.err


@pytest.mark.parametrize("path", sorted(SCHEMAS.glob("*.json")), ids=lambda path: path.stem)
def test_every_schema_is_closed_and_belongs_to_a_command(path):
    if path.stem == "site-profile":
        pytest.skip("describes a file, not a command")
    schema = json.loads(path.read_text())
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["additionalProperties"] is False
    assert path.stem in {*COMMANDS, "error"}


def test_run_gives_output_and_run(lakecv):
    document = lakecv("run", "pca+kmeans", "museo:tavola", "--json").json
    assert (document["output"], document["run"]) == ("user.anna:tavola.pca-kmeans.1", "r-0001")


def test_resume_without_a_name_asks_for_the_newest(lakecv, lake):
    assert lakecv("resume", "--json").json["run"] == "r-0001"
    assert lake.calls[-1] == ("resume", (None,), {"site": None})


def test_compare_prints_scores_and_how_labels_are_matched(lakecv, lake):
    done = lakecv("compare", "r-0001", "truth.npy", "--above", "0.8", "--background", "none")
    assert lake.calls[-1] == ("compare", ("r-0001", "truth.npy"), {"background": "none", "above": 0.8, "picture": None})
    assert "oa          0.6000" in done.out
    assert [line.split() for line in done.out.splitlines()[-4:-1]] == [["0", "0", "2*"], ["1", "1*", "1"], ["2", "1", "0"]]
    document = lakecv("compare", "r-0001", "truth.npy", "--json").json
    assert (document["match"], document["counts"]) == ([5, 4, None], [[0, 2], [1, 1], [1, 0]])


def test_ls_lists_dids_with_shapes_and_gives_datasets(lakecv, lake):
    done = lakecv("ls", "--scope", "museo")
    row = ["museo:tavola", "480 x 620 x 2048", "uint16", "energy [keV] 0 to 40.94", "300 MB", "Tavola [bold]3[/bold] \u00fc?"]
    assert row in [[cell.strip() for cell in line.split("  ") if cell] for line in done.out.splitlines()]
    assert lake.calls[-1] == ("ls", ("museo",), {})
    assert [item["did"] for item in lakecv("ls", "--json").json["datasets"]] == ["user.anna:tavola.pca-kmeans.1", "museo:tavola"]


def test_ls_of_an_empty_lake_says_how_to_begin(lakecv, lake):
    lake.answers["ls"] = ()
    assert lakecv("ls").out == "no datasets yet\nnext: lakecv register FILE SCOPE:NAME\n"


def test_show_names_everything_a_scientist_asks(lakecv):
    out = lakecv("show", "museo:tavola").out
    for text in (
        "museo:tavola", "Tavola [bold]3[/bold]", "480 x 620 pixels, pixel size 0.5 x 0.5 mm", "energy [keV] 0 to 40.94",
        "counts  data  480 x 620 x 2048 uint16 [count], chunks 64 x 64 x 2048", "300 MB in 80 objects", "ab" * 32,
        "local  file:///lake/tavola", "instrument = MA-XRF", "pixel size not found",
    ):  # fmt: skip
        assert text in out


def test_show_of_a_result_names_its_parents_and_its_run(lakecv, lake):
    lake.answers["show"] = lake.answers["ls"][0]
    out = lakecv("show", "tavola.pca-kmeans.1").out
    assert "parents     museo:tavola  abababababab" in out
    assert "made by     r-0001" in out


def test_register_hands_over_every_hint(lakecv, lake):
    words = "--title T --in-place --format hdf5 --dims spectral,y,x --shape 480,620 --order F --path /a/b"
    more = "--axis channel --pixel-size 0.5mm --detector sum --mask m"
    assert lakecv("register", "f.h5", "a:b", *words.split(), *more.split()).code == 0
    hints = ReadHints("spectral,y,x", (480, 620), "F", "/a/b", "channel", "0.5mm", "sum", "m")
    keywords = {"hints": hints, "title": "T", "in_place": True, "format": "hdf5", "rse": None, "metadata": {}}
    assert lake.calls[-1] == ("register", ("f.h5", "a:b"), keywords)


@pytest.mark.parametrize(("words", "did"), [((), None), (("a:b",), "a:b"), (("--name", "a:b"), "a:b"), (("--name", ""), "")])
def test_register_takes_the_name_in_two_places_and_an_empty_one_is_not_none(lakecv, lake, words, did):
    lakecv("register", "f.h5", *words)
    assert lake.calls[-1][1] == ("f.h5", did)


def test_register_says_what_it_did_and_warns_on_stderr(lakecv):
    done = lakecv("register", "f.h5")
    assert "1.2 GB -> 300 MB in 80 objects, 4.1 times smaller" in done.out
    assert done.err.endswith("note: dims taken as y,x,spectral\nwarning: pixel size not found\n")


def test_plan_and_dry_run_print_the_same_but_run_nothing(lakecv, lake):
    words = ("pca+kmeans", "museo:tavola", "--set", "k=6", "--seed", "3", "--site", "local")
    assert lakecv("plan", *words).out == lakecv("run", *words, "--dry-run").out
    assert "run" not in [verb for verb, _, _ in lake.calls]


def test_a_plan_says_blocks_bytes_passes_workers_time_memory_writes_and_reasons(lakecv):
    out = lakecv("plan", "pca+kmeans", "museo:tavola").out
    for text in (
        "24 blocks, at most 21 passes", "1.2 GB near, 0 B far", "2 workers x 1 thread", "1 min 50 s, peak memory 900 MB",
        "labels  labels  480 x 620 uint8", "distance  distance  480 x 620 float32", "+ site local: holds all bytes",
        "- site cnaf: reads 1.2 GB far", "reduce kmeans: 24 tasks, at most 20 passes",
    ):  # fmt: skip
        assert text in out


def test_a_plan_prints_the_job_script_and_then_the_command_without_dry_run(lakecv, lake):
    lake.answers["job_scripts"] = {"infn-pg": "#!/bin/sh\n#SBATCH -N 1\n"}
    done = lakecv("run", "kmeans", "a:b", "--dry-run", "--set", "k=6", "--scope", "me", "--again")
    assert "\n#!/bin/sh\n#SBATCH -N 1\n" in done.out
    assert done.last == "next: lakecv run kmeans a:b --scope me --set k=6 --again"


def test_a_dry_run_as_json_is_a_plan(lakecv):
    document = lakecv("run", "pca+kmeans", "museo:tavola", "--dry-run", "--json").json
    check(document, "plan")
    assert document["writes"][1]["nodata"] == "nan"


NO_PART = {"window": None, "axis": (), "mask": None, "detector": None}


def test_run_hands_over_what_was_typed(lakecv, lake):
    lakecv("run", "kmeans", "a:b", "--set", "k=6", "--set", "scaling=sqrt", "--seed", "3", "--state", "a:c", "--again")
    keywords = {"again": True, "site": None, "options": {"k": "6", "scaling": "sqrt"}, "seed": 3, "state": "a:c", "scope": None, "to": None, "ignore_locality": False}
    assert lake.calls[-1] == ("run", ("kmeans", "a:b"), keywords | NO_PART)
    lakecv("run", "kmeans", "a:b", "--window", "1:2,3:4", "--axis", "1:2keV", "--axis", "!-3:4ch", "--mask", "m.npy", "--detector", "b")
    part = {"window": "1:2,3:4", "axis": ("1:2keV", "!-3:4ch"), "mask": "m.npy", "detector": "b"}
    assert {name: lake.calls[-1][2][name] for name in part} == part


def test_a_dry_run_repeats_the_part_that_was_asked_for(lakecv):
    words = ["--window", "1:2,3:4", "--mask", "m.npy", "--detector", "b", "--axis", "1:2keV", "--axis", "!3:4ch"]
    assert "next: lakecv run kmeans museo:tavola --window 1:2,3:4 --mask m.npy --detector b --axis 1:2keV --axis '!3:4ch'" in lakecv(
        "run", "kmeans", "museo:tavola", "--dry-run", *words).out.splitlines()[-1]


def test_run_tells_what_came_of_it(lakecv):
    out = lakecv("run", "pca+kmeans", "museo:tavola").out
    for text in ("r-0001, pca+kmeans, done", "user.anna:tavola.pca-kmeans.1", "24/24", "1 min 00 s", "facts       score 0.97"):
        assert text in out


def test_a_run_that_was_done_before_says_so(lakecv, lake):
    lake.answers["run"] = replace(lake.answers["run"], finished="2026-01-02T03:05:05+00:00")
    assert "was done before; nothing moved (--again runs it again)" in lakecv("run", "kmeans", "a:b").out


@pytest.mark.parametrize("verb", [("run", "kmeans", "a:b"), ("resume",), ("attach",)])
def test_failed_blocks_exit_1_are_listed_and_say_how_to_resume(lakecv, lake, verb):
    lake.answers[verb[0]] = lake.answers["runs"][1]
    done = lakecv(*verb)
    assert (done.code, done.last) == (1, "next: lakecv resume r-0001")
    assert "error: 1 task failed" in done.err
    assert "1-map/000007 after 3 attempts: the worker died [worker-lost]" in done.err
    assert done.err.endswith("hint: lakecv resume r-0001\n")


def test_failed_blocks_are_in_the_json_of_the_run(lakecv, lake):
    lake.answers["run"] = lake.answers["runs"][1]
    done = lakecv("run", "kmeans", "a:b", "--json")
    check(done.json, "run")
    assert (done.code, done.json["failed"][0]["kind"]) == (1, "worker-lost")


def test_runs_lists_state_and_blocks(lakecv):
    assert "r-0001  failed  23/24   pca+kmeans  user.anna:tavola.pca-kmeans.1" in lakecv("runs").out


def test_watch_ends_with_the_last_sign_of_the_run(lakecv):
    assert lakecv("watch").out.startswith("run 1-map: 12/24 blocks, 600 MB, 60.0 MB/s, 10 s left, inertia 0.5\n")


def damaged(lake):
    findings = (
        Finding(Flaw.MISSING, "zarr.json"), Finding(Flaw.CORRUPT, "counts/c/0/0/0", "it has 1 bytes; 2 were promised"),
        Finding(Flaw.EXTRA, "x"),
    )
    lake.answers["verify"] = replace(lake.answers["verify"], findings=findings)
    lake.answers["verify_all"] = (lake.answers["verify"], *lake.answers["verify_all"])


def test_verify_of_damaged_data_exits_8_and_names_the_objects(lakecv, lake):
    damaged(lake)
    done = lakecv("verify", "museo:tavola")
    assert (done.code, done.last) == (8, "next: lakecv repair museo:tavola --from SOURCE")
    assert "  missing     zarr.json\n  corrupt     counts/c/0/0/0  it has 1 bytes; 2 were promised\n  extra       x\n" in done.out
    assert "error: 2 of 80 objects of museo:tavola are not what was promised [checksum-mismatch]" in done.err


def test_an_extra_object_alone_is_named_but_no_failure(lakecv, lake):
    lake.answers["verify"] = replace(lake.answers["verify"], findings=(Finding(Flaw.EXTRA, "x"),))
    done = lakecv("verify", "museo:tavola", "--json")
    check(done.json, "verify")
    assert (done.code, done.json["ok"], done.json["extra"]) == (0, True, ["x"])


@pytest.mark.parametrize("words", [("verify",), ("verify", "--all"), ("verify", "--scope", "museo")])
def test_verify_of_all_goes_on_after_a_damaged_dataset_and_exits_8(lakecv, lake, words):
    damaged(lake)
    done = lakecv(*words)
    assert done.code == 8
    assert done.out.count("verified") == 2
    assert lake.calls[-1][1] == ("museo" if len(words) == 3 else None,)
    asked = lakecv(*words, "--json")
    check(asked.json, "verify-all")
    assert [each["ok"] for each in asked.json["datasets"]] == [False, True]


def test_verify_takes_a_did_or_all_but_not_both(lakecv):
    assert lakecv("verify", "museo:tavola", "--all").code == 2


def test_repair_hands_over_what_was_typed_and_names_what_was_mended(lakecv, lake):
    done = lakecv("repair", "a:b", "--from", "./x y", "--format", "numpy", "--dry-run")
    assert lake.calls[-1] == ("repair", ("a:b", "./x y"), {"format": "numpy", "dry_run": True})
    assert "  mended      counts/c/0/0/0\n" in done.out
    assert done.last == "next: lakecv repair a:b --from './x y'"


def test_what_cannot_be_repaired_is_listed_and_exits_8(lakecv, lake):
    left = Finding(Flaw.CORRUPT, "report.html", "backup has other bytes under this key")
    lake.answers["repair"] = replace(lake.answers["repair"], left=(left,))
    done = lakecv("repair", "museo:tavola", "--from", "backup")
    assert done.code == 8
    assert "  left        report.html  corrupt: backup has other bytes under this key\n" in done.out
    assert "error: 1 objects of museo:tavola cannot be repaired from backup [checksum-mismatch]" in done.err


def test_gc_lists_and_removes_only_with_yes(lakecv, lake):
    assert "4.0 MB would be freed" in lakecv("gc").out
    assert lake.calls[-1] == ("gc", (), {"remove": False, "older_than_seconds": 86400.0, "scope": None})
    lake.answers["gc"] = Sweep(dry_run=False, leftovers=(replace(LEFTOVER, fate=Fate.REMOVED),))
    done = lakecv("gc", "--yes", "--older-than", "90min", "--scope", "museo")
    assert lake.calls[-1] == ("gc", (), {"remove": True, "older_than_seconds": 5400.0, "scope": "museo"})
    assert "4.0 MB freed" in done.out


def test_gc_of_an_empty_lake_says_that_there_is_nothing(lakecv, lake):
    lake.answers["gc"] = Sweep(dry_run=True)
    assert lakecv("gc").out == "nothing to remove\nnext: lakecv ls\n"


def test_gc_that_could_not_remove_something_exits_6(lakecv, lake):
    lake.answers["gc"] = Sweep(dry_run=False, leftovers=(replace(LEFTOVER, fate=Fate.FAILED, why="it may not be written"),))
    done = lakecv("gc", "--yes")
    assert (done.code, "data that no dataset names: it may not be written" in done.out) == (6, True)


@pytest.mark.parametrize("age", ["soon", "-1d", "1", "1e3s", ""])
def test_an_age_that_is_no_time_is_refused(lakecv, age):
    assert lakecv("gc", f"--older-than={age}").code == 2


def test_report_and_export_say_where(lakecv, lake):
    assert "report      /tmp/r eport.html" in lakecv("report", "r-0001", "--to", "x.html").out
    assert lake.calls[-1] == ("report", ("r-0001", "x.html"), {})
    assert "exported    labels.png" in lakecv("export", "a:b", "--array", "labels", "--to", "labels.png").out
    assert lake.calls[-1] == ("export", ("a:b",), {"array": "labels", "to": "labels.png"})


def test_models_shows_the_options_of_one(lakecv):
    done = lakecv("models", "kmeans")
    assert "k      int | auto  auto     Clusters." in done.out
    assert [card["name"] for card in lakecv("models", "pca", "--json").json["models"]] == ["pca"]


def test_sites_plugins_and_settings_are_tables(lakecv):
    assert "local  local     2 x 1              4.0 GB         local  yes" in lakecv("sites").out
    assert "lakecv.models  odd   odd-one  0.1      no     No module 'x'" in lakecv("plugins").out
    assert "lake  /lake  default" in lakecv("config", "show").out


def test_demo_tells_score_report_and_how_to_delete_it(lakecv, lake):
    out = lakecv("demo").out
    for text in ("ARI 0.97", "./lakecv-demo/report.html", "to delete it: rm -r ./lakecv-demo"):
        assert text in out
    assert lake.calls[-1][:2] == ("demo", ("./lakecv-demo",))


def test_without_a_command_three_next_ones_are_printed(lakecv, lake):
    done = lakecv()
    assert done.code == 0
    assert [line.split()[1] for line in done.out.splitlines() if line.startswith("  lakecv")] == ["demo", "register", "ls"]
    assert lake.calls == []


@pytest.mark.parametrize("words", [("--lake", "./a b", "ls"), ("ls", "--lake", "./a b"), ("ls", "--lake=./a b")])
def test_the_lake_may_be_named_anywhere_and_stays_in_the_next_command(lakecv, lake, words):
    done = lakecv(*words)
    assert lake.calls[0] == ("Lake", ("./a b",), {})
    assert done.last == "next: lakecv --lake './a b' show museo:tavola"


def test_version_is_that_of_the_package(lakecv):
    from lakecv import __version__

    assert lakecv("--version").out == f"lakecv {__version__}\n"


def test_every_verb_is_a_method_of_the_python_face():
    from typer.main import get_command

    from lakecv.api import Lake
    from lakecv.cli import app

    assert [verb for verb in get_command(app).commands if not callable(getattr(Lake, verb, None))] == ["worker"]  # of a job, not of a lake


@pytest.mark.parametrize("command", COMMANDS)
def test_the_real_lake_takes_what_a_command_hands_over(lakecv, lake, command):
    from lakecv.api import Lake

    lakecv(*shlex.split(COMMANDS[command]))
    for verb, words, keywords in lake.calls[1:]:
        bound = () if verb == "demo" else (None,)
        inspect.signature(getattr(Lake, verb)).bind(*bound, *words, **keywords)


@pytest.mark.parametrize("verb", ["register", "verify", "models", "plugins", "demo"])
def test_the_fake_answers_have_the_fields_of_the_real_ones(lake, verb):
    from lakecv import api

    fake = lake.answers[verb][0] if isinstance(lake.answers[verb], tuple) else lake.answers[verb]
    real = getattr(api, type(fake).__name__)
    assert [field.name for field in fields(fake)] == [field.name for field in fields(real)]


def test_fetch_says_what_was_damaged_and_how_to_open_it(lakecv, lake):
    done = lakecv("fetch", "museo:tavola", "./ta vola")
    assert lake.calls[-1] == ("fetch", ("museo:tavola", "./ta vola"), {})
    assert "  damaged     counts/c/0/0/0 at INFN-PG, read from another replica: it is short\n" in done.out
    assert "  python      import lakecv; cube = lakecv.open_folder('./tavola')\n" in done.out


def test_open_lists_the_arrays_and_needs_no_lake(lakecv, lake):
    assert "  arrays      counts  (y, x, spectral)  480 x 620 x 2048 uint16\n" in lakecv("open", "./tavola").out
    assert lake.calls == [("open", ("tavola",), {})]


def test_open_of_a_damaged_folder_lists_what_is_wrong_and_exits_8(lakecv, lake):
    wrong = (Finding(Flaw.MISSING, "counts/c/0/0/0"), Finding(Flaw.EXTRA, "notes.txt", "no manifest lists it"))
    lake.answers["open"] = replace(lake.answers["open"], findings=wrong, arrays=())
    done = lakecv("open", "./tavola")
    assert (done.code, done.last) == (8, "next: lakecv fetch DID DIR")
    assert "  missing     counts/c/0/0/0\n  extra       notes.txt" in done.out
    assert "error: 1 of 80 objects in ./tavola are not what was promised [checksum-mismatch]" in done.err
    asked = lakecv("open", "./tavola", "--json")
    check(asked.json, "open")
    assert (asked.code, asked.json["ok"], asked.json["did"]) == (8, False, None)
