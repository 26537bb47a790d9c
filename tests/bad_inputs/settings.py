"""Configuration files and site profiles that cannot be obeyed."""

import json
import sys
from pathlib import Path

from lakecv import registry
from lakecv.config.settings import config_folder

STRANGERS = str(Path(__file__).parents[1] / "strangers")


def config(place, text):
    """A settings file."""
    path = place.folder / "config.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    place.patch.setenv("LAKECV_CONFIG", str(path))
    place.patch.delenv("LAKECV_SCOPE")
    return {"config": str(path)}


def huge(place):
    return config(place, b"# " + b"x" * (2 << 20))


def binary(place, what="elf"):
    return config(place, b"\x7fELF\x02\x01\x00\xff\xfe" if what == "elf" else b"scope = 'a'\n\0\0")


def windows(place):
    """A byte order mark and Windows line ends: nothing to complain about."""

    def obeyed(typed):
        assert {"key": "scope", "value": "museo-win", "origin": str(place.folder / "config.toml")} in typed.json["settings"]

    place.after.append(obeyed)
    return config(place, b"\xef\xbb\xbfscope = 'museo-win'\r\ndeadline = 60\r\n")


def variable(place, name, value):
    place.patch.setenv(name, value)


def profiles(place, **texts):
    """Site profiles in a folder of their own."""
    folder = place.folder / "sites"
    folder.mkdir()
    for name, text in texts.items():
        (folder / f"{name}.toml").write_text(text)
    place.patch.setenv("LAKECV_SITES", str(folder))


def cluster(place, *lines):
    """A site 'cluster' of this machine, with further lines in its profile."""
    profiles(place, cluster="\n".join(('executor = "local"', *lines)))


def batch(place, key, value):
    """A site 'cluster' with one key for its job scripts; prologue is a list of lines."""
    cluster(place, "[batch]", f"{key} = {json.dumps([value] if key == 'prologue' else value)}")


def remote(place, *lines):
    """A site 'cluster' of a batch system, without the numbers that it needs."""
    profiles(place, cluster="\n".join(('executor = "slurm"', *lines)))


def added_before(place):
    """A profile, where the user has another one of its name."""
    folder = config_folder() / "sites"
    folder.mkdir(parents=True)
    (folder / "cluster.toml").write_text('executor = "local"\n')
    path = place.folder / "cluster.toml"
    path.write_text('executor = "local"\nmax_workers = 2\n')
    return path


def same_name_twice(place):
    text = 'name = "cluster"\nexecutor = "local"\n'
    profiles(place, one=text, two=text)


def circle(place):
    profiles(place, one='extends = "two"\nexecutor = "local"\n', two='extends = "one"\n')


def failing_plugins(place):
    """A stranger's distribution whose modules fail while they are imported."""
    place.patch.syspath_prepend(STRANGERS)
    registry.forget()
    assert STRANGERS in sys.path


def preload(place):
    """A settings file of Dask that has workers import a module."""
    folder = place.folder / "dask"
    folder.mkdir()
    (folder / "distributed.yaml").write_text("distributed:\n  worker:\n    preload: [somebody.elses.module]\n")
    place.patch.setenv("DASK_CONFIG", str(folder))
