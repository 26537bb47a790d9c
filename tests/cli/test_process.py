"""What only a real process shows: start-up, signals, closed pipes, poor terminals."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "dask", "distributed", "xarray", "zarr", "numpy", "pandas", "matplotlib", "pydantic", "rucio", "rich")


def type_words(process, *words, **environment):
    command, base = process
    return subprocess.run([*command, *words], env={**base, **environment}, capture_output=True, text=True, timeout=20, check=False)


def test_the_command_line_starts_without_any_engine():
    code = f"import sys, lakecv.cli; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout == "[]\n"


def test_help_is_printed_without_any_engine_and_lists_the_exit_codes():
    code = f"import sys\nfrom lakecv.cli import main\ntry: main()\nexcept SystemExit: print([n for n in {HEAVY} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout.endswith("[]\n")
    assert "75  interrupted (Ctrl-C, SIGTERM); lakecv resume" in done.stdout


@pytest.mark.parametrize(
    "environment",
    [{"TERM": "dumb"}, {"NO_COLOR": "1", "TERM": "xterm"}, {"LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}, {"HOME": "/proc"}],
    ids=str,
)
def test_poor_terminals_get_the_same_text(process, environment):
    done = type_words(process, "ls", **environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("next: lakecv show museo:tavola\n")


def test_a_reader_that_leaves_ends_the_command_quietly(process):
    command, base = process
    with subprocess.Popen(
        [*command, "ls"], env={**base, "LAKECV_TEST": "many"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as child:  # fmt: skip
        child.stdout.readline()
        child.stdout.close()
        assert child.wait(20) == 141
        assert child.stderr.read() == b""


@pytest.mark.parametrize("words", [("--help",), ("ls",)])
def test_a_closed_pipe_is_no_failure(process, words):
    command, base = process
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*command, *words], env=base, stdout=writer, stderr=subprocess.PIPE, timeout=20, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_closed_stdout_is_no_failure(process):
    command, base = process
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" >&-', "sh", *command, "ls"], env=base, stderr=subprocess.PIPE, timeout=20, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_full_disk_under_stdout_is_told(process):
    command, base = process
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([*command, "ls"], env=base, stdout=full, stderr=subprocess.PIPE, text=True, timeout=20, check=False)
    assert done.returncode == 6
    assert done.stderr.startswith("error: the result cannot be written to the standard output: No space left")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("words", [("run", "kmeans", "a:b"), ("resume",), ("attach",)], ids=lambda words: words[0])
def test_one_signal_ends_a_run_cleanly_with_75(process, words, number):
    command, base = process
    with subprocess.Popen(
        [*command, *words], env={**base, "LAKECV_TEST": "hang"}, stderr=subprocess.PIPE, text=True,
    ) as child:  # fmt: skip
        assert "waiting" in child.stderr.readline()
        child.send_signal(number)
        assert child.wait(20) == 75
        assert child.stderr.read().endswith("hint: lakecv resume r-0001\n")


@pytest.mark.parametrize("words", [("run", "kmeans", "a:b"), ("resume",), ("attach",)], ids=lambda words: words[0])
def test_a_second_ctrl_c_ends_it_at_once_with_130(process, words):
    command, base = process
    with subprocess.Popen(
        [*command, *words], env={**base, "LAKECV_TEST": "hang-twice"}, stderr=subprocess.PIPE, text=True,
    ) as child:  # fmt: skip
        for word in ("waiting", "stopping"):
            assert word in child.stderr.readline()
            child.send_signal(signal.SIGINT)
        assert child.wait(20) == 130
        assert "Traceback" not in child.stderr.read()


def test_ctrl_c_ends_a_watch_at_once_and_without_a_traceback(process):
    command, base = process
    with subprocess.Popen([*command, "watch"], env={**base, "LAKECV_TEST": "hang"}, stderr=subprocess.PIPE, text=True) as child:
        assert "waiting" in child.stderr.readline()
        child.send_signal(signal.SIGINT)
        assert child.wait(20) == 130
        assert "Traceback" not in child.stderr.read()


def test_a_bug_prints_no_traceback(process):
    done = type_words(process, "ls", LAKECV_TEST="bug")
    assert done.returncode == 70
    assert "Traceback" not in done.stderr


def test_colors_are_for_terminals_only(process):
    assert "\x1b" not in type_words(process, "ls", TERM="xterm-256color").stdout


def test_a_terminal_gets_a_bar_on_stderr_and_colors_on_stdout(process):
    command, base = process
    leader, follower = os.openpty()
    done = subprocess.run(
        [*command, "run", "kmeans", "a:b"], env={**base, "TERM": "xterm"}, stdout=follower, stderr=follower, timeout=20, check=False,
    )  # fmt: skip
    os.close(follower)
    shown = os.read(leader, 65536).decode()
    os.close(leader)
    assert done.returncode == 0
    assert "12/24" in shown
    assert "\x1b[36mrun\x1b[0m" in shown
