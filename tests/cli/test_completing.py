"""Completion of DIDs, as a shell asks for it: by the environment of a real process."""

import os
import shutil
import subprocess
import sys
import time

import pytest

from lakecv import registry
from lakecv.cli.completing import join_words
from lakecv.testing.catalog import a_dataset, a_manifest

PROGRAM = [sys.executable, "-c", "import sys; sys.argv[0] = 'lakecv'; from lakecv.cli import main; sys.exit(main())"]
DIDS = ("museo:altra", "museo:tavola", "museo:tavola.kmeans.1", "other:tavola")


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    folder = tmp_path_factory.mktemp("completed") / "lake"
    catalog = registry.catalog(registry.open_objects(str(folder)))
    for did in DIDS:
        catalog.register(a_dataset(did), a_manifest())
    return folder


def asked(environ, lake=None):
    """What a process prints that a shell asks to complete words."""
    base = {"PATH": os.defpath, "HOME": "/nonexistent", "PYTHONPATH": ":".join(path for path in sys.path if path)}
    base |= {"LAKECV_LAKE": str(lake)} if lake else {}
    done = subprocess.run(PROGRAM, env={**base, **environ}, capture_output=True, text=True, timeout=20, check=False)
    assert done.stderr == ""
    return done.stdout.split()


def bash(*words):
    return {"_LAKECV_COMPLETE": "complete_bash", "COMP_WORDS": "\n".join(words), "COMP_CWORD": str(len(words) - 1)}


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("show", ""), [*DIDS]), (("show", "mus"), [*DIDS[:3]]), (("show", "museo", ":", "tav"), ["tavola", "tavola.kmeans.1"]),
        (("show", "museo", ":"), ["altra", "tavola", "tavola.kmeans.1"]), (("show", "museo:tav"), ["museo:tavola", "museo:tavola.kmeans.1"]),
        (("run", "kmeans", "oth"), ["other:tavola"]), (("run", "kmeans", "museo", ":", "tavola", "--state", "museo", ":", "tavola.k"), ["tavola.kmeans.1"]),
        (("show", "nobody", ":"), []), (("show", "..", ":"), []), (("cite", "oth"), ["other:tavola"]),
    ],
)  # fmt: skip
def test_bash_completes_the_dids_of_the_lake(lake, words, found):
    assert asked(bash("lakecv", *words), lake) == found


def test_the_lake_of_the_command_line_is_the_one_that_is_asked(lake, tmp_path):
    assert asked(bash("lakecv", "--lake", str(lake), "show", "other"), tmp_path / "nothing") == ["other:tavola"]


def test_zsh_is_given_whole_dids(lake):
    said = asked({"_LAKECV_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "lakecv show museo:al"}, lake)
    assert "altra" in said[-1]


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_the_script_of_a_real_bash_gets_them(lake, tmp_path):
    script = tmp_path / "lakecv"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{PROGRAM[2]}" "$@"\n')
    script.chmod(0o755)
    shell = """
        source <(_LAKECV_COMPLETE=source_bash lakecv)
        COMP_WORDS=(lakecv show museo : tav) COMP_CWORD=4
        _lakecv_completion lakecv
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "LAKECV_LAKE": str(lake), "PYTHONPATH": ":".join(path for path in sys.path if path)}
    done = subprocess.run(["bash", "-c", shell], env=environment, capture_output=True, text=True, timeout=20, check=False)
    assert (done.stdout.split(), done.stderr) == (["tavola", "tavola.kmeans.1"], "")


@pytest.mark.parametrize("environment", [{"LAKECV_LAKE": "nosuch://x"}, {"LAKECV_CATALOG": "nosuch"}, {"LAKECV_CONFIG": "/nonexistent"}], ids=str)
def test_what_fails_prints_nothing(environment):
    assert asked({**bash("lakecv", "show", "mus"), **environment}) == []


def test_a_lake_that_does_not_answer_is_waited_for_two_seconds_and_no_longer(tmp_path):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as deaf:
        port = deaf.getsockname()[1]
        credentials = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "x"}
        clock = time.monotonic()
        assert asked({**bash("lakecv", "--lake", "s3://bucket/lake", "show", "mus"), **credentials}, tmp_path) == []
        assert time.monotonic() - clock < 10


@pytest.mark.parametrize(
    ("words", "place", "joined"),
    [
        ("lakecv\nregister\nf.npy\n--axis\nenergy\n:\nkeV\n:\n0", "8", ["lakecv", "register", "f.npy", "--axis", "0"]),
        ("lakecv\nshow\nmuseo\n:\ntavola\n", "5", ["lakecv", "show", "museo:tavola", ""]),
        ("lakecv\nshow", "1", ["lakecv", "show"]), ("lakecv\nshow", "2", ["lakecv", "show"]), ("lakecv\nshow", "x", ["lakecv", "show"]),
    ],
)  # fmt: skip
def test_words_that_bash_cut_are_whole_again(words, place, joined):
    environ = {"_LAKECV_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": place}
    join_words(environ)
    assert environ["COMP_WORDS"].split("\n") == joined


def test_what_stands_before_the_last_piece_is_kept():
    environ = {"_LAKECV_COMPLETE": "complete_bash", "COMP_WORDS": "lakecv\nshow\nmuseo\n:", "COMP_CWORD": "3"}
    join_words(environ)
    assert (environ["COMP_WORDS"], environ["_LAKECV_BEFORE"]) == ("lakecv\nshow\n", "museo:")


def test_only_bash_cuts_words():
    environ = {"_LAKECV_COMPLETE": "complete_fish", "COMP_WORDS": "a\n:\nb", "COMP_CWORD": "2"}
    before = dict(environ)
    join_words(environ)
    assert environ == before
