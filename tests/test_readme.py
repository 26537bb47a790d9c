"""README.md is run from top to bottom, in one shell in an empty folder, and prints what it says it prints.

``console`` blocks hold commands (``$ ...``) and their stdout; a ``python`` block is a script, and a ``text`` block right after
it what that prints.  ``...`` stands for any text of a line, alone on a line for any lines.  What differs from day to day or
from machine to machine (times, dates, sizes, run ids, digests, workers) is compared by its form.  ``sh`` blocks are not run.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[1] / "README.md").read_text()
BLOCK = re.compile(r"^```(console|python)\n(.*?)^```$(?:\n+```text\n(.*?)^```$)?", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"^\$ ((?:.*\\\n)*.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)
FORMS = (
    (r"\br-[0-9a-f]{10}\b", "<run>"),
    (r"\b\d{4}-\d\d-\d\dT[\d:]+\+00:00", "<date>"),
    (r"\b[0-9a-f]{12,64}\b", "<digest>"),
    (r"\b\d+(\.\d+)? (s|min \d\d s|h \d\d min)\b", "<time>"),
    (r"\b\d+(\.\d+)? [kMGT]?B(/s)?(?!\w)", "<size>"),
    (r"\b\d+ workers? x \d+ threads?\b", "<workers>"),
)


def steps():
    """Every command and script of the page with what it is to print."""
    for kind, text, printed in BLOCK.findall(PAGE):
        yield from COMMAND.findall(text) if kind == "console" else [(f"python - <<'END'\n{text}END", printed)]


def formed(text):
    for pattern, form in FORMS:
        text = re.sub(pattern, form, text)
    return [line.rstrip() for line in text.strip("\n").split("\n")]


def pattern_of(expected):
    lines = [r"(?:.*\n)*?" if line == "..." else re.escape(line).replace(r"\.\.\.", ".*") + r"\n" for line in formed(expected)]
    return "".join(lines)


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """Run the page; give the stdout and the exit code of each step."""
    folder = tmp_path_factory.mktemp("readme")
    lines = ["cd empty", *(f"{command}\nprintf '\\036%s\\036' $?" for command, _ in steps())]
    (folder / "empty").mkdir()
    place = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "HOME": str(folder), "LANG": "C.UTF-8"}
    done = subprocess.run(
        ["bash"], input="\n".join(lines), cwd=folder, env=place, timeout=400, check=False, capture_output=True, text=True,
    )
    *parts, rest = done.stdout.split("\x1e")
    assert rest == ""
    return list(zip(parts[::2], map(int, parts[1::2]), strict=True)), done.stderr


@pytest.mark.timeout(420)
@pytest.mark.parametrize(("number", "command", "expected"), [(number, *step) for number, step in enumerate(steps())])
def test_a_step_prints_what_the_page_says(session, number, command, expected):
    done, stderr = session
    printed, code = done[number]
    assert code == 0, f"{command}\n{printed}\n{stderr}"
    found = "".join(f"{line}\n" for line in formed(printed))
    assert re.fullmatch(pattern_of(expected), found), f"{command} printed\n{printed}"


def test_the_page_is_one_page():
    assert len(PAGE.splitlines()) <= 150


def test_blocks_that_are_not_run_hold_set_up_only():
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    commands = {line.partition("#")[0].strip() for block in blocks for line in block.splitlines()}
    assert commands == {"pip install .", "make demo", "make test", "make test-lake"}


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [("took  3.1 s\n", "took  14 s\n", True), ("took  3.1 s\n", "took  3.1 m\n", False), ("a ... c\n", "a b c\n", True),
     ("a\n...\nd\n", "a\nb\nc\nd\n", True), ("a\n...\nd\n", "a\nb\n", False), ("5/6\n", "6/6\n", False)],
)  # fmt: skip
def test_the_comparison_sees_what_matters(expected, printed, same):
    found = "".join(f"{line}\n" for line in formed(printed))
    assert bool(re.fullmatch(pattern_of(expected), found)) is same
