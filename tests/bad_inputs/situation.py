"""Where one bad input is tried: a lake of its own, a folder for files, and what a command printed there.

A row of ``tests/bad_input.toml`` names a function of this folder in ``given``; it gets the place, makes what is wrong and
returns the words that stand for ``{placeholders}`` in the row's command (a path alone is ``{file}``).
"""

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from lakecv import registry
from lakecv.api import Lake, registering
from lakecv.canonical import dumps, from_json, loads, to_json
from lakecv.cli import app
from lakecv.lake_io import child
from lakecv.lake_io.convert import Converted
from lakecv.testing.sites import InlineSite

ROOT = Path(__file__).parents[2]
PROGRAM = (sys.executable, "-c", "import sys; from lakecv.cli import main; sys.exit(main())")


@dataclass(frozen=True)
class Typed:
    """What a command printed and returned."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@dataclass
class Place:
    """One try.  ``after`` holds what else must be true when the command has ended; ``elsewhere`` lists what a server keeps."""

    folder: Path
    lake: Path
    patch: pytest.MonkeyPatch
    words: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    after: list[Callable[[Typed], None]] = field(default_factory=list)
    type: Callable[..., Typed] | None = None
    changes_lake: bool = False
    fixture: Callable[[str], object] | None = None
    scope: str = "museo"
    elsewhere: Callable[[], dict[str, bytes]] = dict

    def command(self, *words):
        """Type a command, in this process unless the row says otherwise."""
        return (self.type or self.here)(*words)

    def here(self, *words):
        """Type a command in this process."""
        result = CliRunner().invoke(app, ["--lake", str(self.lake), *words], prog_name="lakecv")
        return Typed(result.exit_code, result.stdout, result.stderr)

    def alone(self, *words):
        """Type a command in a process of its own."""
        done = subprocess.run(
            self.argv(*words), env={**os.environ, **self.environment}, capture_output=True, timeout=60, check=False,
            cwd=self.folder,
        )  # fmt: skip
        return Typed(done.returncode, done.stdout.decode(), done.stderr.decode())

    def argv(self, *words):
        return [*PROGRAM, "--lake", str(self.lake), *words]

    def read_apart(self):
        """Read foreign files in a child process, as lakecv does outside of these tests."""
        self.patch.setattr(registering, "convert_apart", child.convert_apart)

    def open(self):
        return Lake(self.lake, scope=self.scope)

    def objects(self):
        """Every object of the lake with its bytes."""
        return files_of(self.lake) | self.elsewhere()


def files_of(folder):
    """Every file of a folder with its bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def cube(ny=12, nx=10, channels=8, seed=0, dtype="uint16"):
    """Counts of three materials."""
    rng = np.random.default_rng(seed)
    spectra = rng.gamma(2.0, 9.0, (3, channels))
    where = (np.add.outer(np.arange(ny), np.arange(nx)) // 4) % 3
    return rng.poisson(spectra[where]).astype(dtype)


def saved(folder, values, name="other.npy"):
    """Save an array and give its path."""
    np.save(folder / name, values, allow_pickle=values.dtype.hasobject)
    return folder / name


def convert_here(request, watch, note=lambda _: None):
    """Serve a request without the child process: same code, a second faster."""
    asked = loads(child.Request, dumps(request))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return from_json(Converted, to_json(child.serve(asked, watch, note)))


def work_here(patch):
    """Run blocks in this process, one after the other."""
    patch.setattr(registry, "site", lambda _: InlineSite())
