"""Runs that cannot work, results that cannot be used, and models that break their word."""

import json
import os
from contextlib import contextmanager
from dataclasses import replace
from itertools import count

import numpy as np

from lakecv import registry
from lakecv.api import attending, registering
from lakecv.canonical import dump, loads, seal, unseal
from lakecv.execution.workarea import Setup
from lakecv.ports import ReadHints
from lakecv.testing.sites import InlineSite
from tests.bad_inputs.settings import STRANGERS
from tests.bad_inputs.situation import convert_here, cube, saved, work_here
from tests.bad_inputs.stores import flip


def result(place, model="kmeans", options=None):
    """A result of the registered cube."""
    run = place.open().run(model, "museo:tavola", options=options or ({"k": 3} if model == "kmeans" else {"components": 3}))
    assert run.state == "done"
    return {"result": str(run.output), "run": run.id}


def narrow(place):
    """A state learnt on 8 channels, and a cube of 6."""
    place.open().register(saved(place.folder, cube(channels=6)), "museo:narrow")
    return result(place)


def damaged_state(place):
    """One bit of a stored state flipped."""
    words = result(place)
    flip(next(place.lake.rglob("state-0.safetensors")))
    return words


def cut_state(place):
    """A stored state that was cut off."""
    words = result(place)
    path = next(place.lake.rglob("state-0.safetensors"))
    path.write_bytes(path.read_bytes()[:40])
    return words


def lost_state(place):
    words = result(place)
    next(place.lake.rglob("state-0.safetensors")).unlink()
    return words


def flipped_result(place):
    """One bit of a result's labels flipped."""
    words = result(place)
    flip(next(path for path in place.lake.rglob("labels/c/*/*") if path.is_file()))
    return words


def taken(place):
    """The file that is to be written is there."""
    (place.folder / "labels.png").write_bytes(b"somebody's picture")

    def untouched(_):
        assert (place.folder / "labels.png").read_bytes() == b"somebody's picture"

    place.after.append(untouched)
    return result(place)


def closed_folder(place):
    """A folder in which nobody may write."""
    words = result(place)
    (place.folder / "closed").mkdir()
    read_only(place, place.folder / "closed")
    return words


def read_only(place, *folders):
    """Take the right to write away, from root too."""
    from tests.bad_inputs.paths import without_root

    for folder in folders:
        folder.chmod(0o555)
    here = place.here

    def as_anybody(*words):
        try:
            with without_root():
                return here(*words)
        finally:
            for folder in folders:
                folder.chmod(0o755)

    place.type = as_anybody


def in_place_store(place):
    """A Zarr store that was registered where it lies."""
    from tests.bad_inputs.paths import store

    path = store(place)
    place.open().register(path, "museo:stays", in_place=True)
    return {"store": str(path)}


def inside_data(place):
    """A target inside a dataset of the lake."""
    return result(place) | {"home": str(place.lake / place.open().show("museo:tavola").home)}


def misbehaving(place, corner=None):
    """A stranger's model; with ``corner``, one that fails in the first block only."""
    place.patch.syspath_prepend(STRANGERS)
    registry.forget()
    place.changes_lake = True
    if corner is None:
        return
    values = np.tile(cube(64, 64), (2, 2, 128))  # four blocks
    place.open().register(saved(place.folder, values, "large.npy"), "museo:large", hints=ReadHints(dims="y,x,spectral"))
    from lakecv_stranger.misbehaving import Raises
    from lakecv_stranger.models import StrangeMean

    def apply(self, sheets, state, options):
        if sheets["cube"].window.y0 == sheets["cube"].window.x0 == 0:
            raise ZeroDivisionError("a bug of a stranger")
        return StrangeMean.apply(self, sheets, state, options)

    place.patch.setattr(Raises, "apply", apply)

    def the_rest_is_done(typed):
        assert 0 < typed.json["blocks_done"] < typed.json["blocks"]
        place.patch.setattr(Raises, "apply", StrangeMean.apply)
        resumed = place.here("resume", "--json")
        assert (resumed.code, resumed.json["state"]) == (0, "done")

    place.after.append(the_rest_is_done)


class Disturbed(InlineSite):
    """Does something to the driver just before a task is worked on."""

    def __init__(self, task, action):
        super().__init__()
        self._task, self._action = task, action

    @contextmanager
    def pool(self, site, workers, work, label):
        numbers = count(1)

        def disturbed(task):
            if next(numbers) == self._task:
                self._action()
            return work(task)

        with super().pool(site, workers, disturbed, label) as pool:
            yield pool


def interrupted(place):
    """Ctrl-C in the middle of a run."""
    place.changes_lake = True
    place.patch.setattr(registry, "site", lambda _: Disturbed(3, interrupt))

    def it_goes_on(_):
        work_here(place.patch)
        resumed = place.here("resume", "--json")
        assert (resumed.code, resumed.json["state"]) == (0, "done")

    place.after.append(it_goes_on)


def interrupted_again(place):
    """Ctrl-C in the middle of a run that is resumed."""
    interrupted(place)
    assert place.here("run", "kmeans", "museo:tavola", "--set", "k=3").code == 75


def looked_at(place):
    """Ctrl-C while somebody looks at a run that another process drives."""
    words = claimed(place)
    place.patch.setattr(attending, "drivers", lambda _: ("somebody",))
    place.patch.setattr(attending.time, "sleep", lambda _: interrupt())
    return words


def claimed(place):
    """A run that has begun and that nobody drives."""
    interrupted(place)
    place.after.clear()
    assert place.here("run", "kmeans", "museo:tavola", "--set", "k=3").code == 75
    work_here(place.patch)
    return {"run": place.open().runs()[-1].id}


def abandoned(place):
    """A run whose driver ended some time ago."""
    words = claimed(place)
    place.patch.setattr(attending, "_GRACE_SECONDS", -1.0)
    return words


def silent(place):
    """A run that another machine drove, some time ago."""
    words = claimed(place)
    place.patch.setattr(attending, "notes", lambda _: ())
    place.patch.setenv("LAKECV_DEADLINE", "1")
    [setup] = place.lake.glob("work/*/setup.json")
    for path in (setup, *setup.parent.rglob("commits/**/*.json")):
        os.utime(path, (0, 0))
    record = loads(Setup, unseal(setup.read_bytes()))
    setup.write_bytes(dump(replace(record, created="2026-01-01T00:00:00+00:00")))
    return words


def newer(place):
    """A run that a later lakecv has begun, whose setup has a field that this one does not know."""
    words = claimed(place)
    [setup] = place.lake.glob("work/*/setup.json")
    document = json.loads(unseal(setup.read_bytes()))
    setup.write_bytes(seal(json.dumps(document | {"plan": {"shape": "of the future"}}).encode()))
    return words


def no_state(place):
    """Nowhere to keep the log of a driver."""
    place.patch.setenv("XDG_STATE_HOME", "/proc/nowhere")


def interrupted_registration(place):
    """Ctrl-C while a file is converted."""

    def convert(request, watch, *more):
        convert_here(request, watch, *more)
        interrupt()

    place.patch.setattr(registering, "convert_apart", convert)


def interrupt():
    raise KeyboardInterrupt


def second_driver(place):
    """A run is resumed by somebody else in the middle of being resumed here."""
    interrupted(place)
    place.after.clear()
    assert place.here("run", "kmeans", "museo:tavola", "--set", "k=3").code == 75

    def elsewhere():
        work_here(place.patch)
        assert place.open().resume().state == "done"

    place.patch.setattr(registry, "site", lambda _: Disturbed(2, elsewhere))
    place.after.append(lambda typed: one_result(place, typed))


def one_result(place, typed):
    """Both drivers came to the same one result."""
    assert [str(dataset.did) for dataset in place.open().ls()] == ["museo:tavola", "museo:tavola.kmeans.1"]
    assert (typed.json["state"], typed.json["output"]) == ("done", "museo:tavola.kmeans.1")


def wordy(place):
    """A result, and text that is longer than anything may be."""
    return {**result(place), "long": "x" * 2001}


def taken_raw(place):
    """A file of the user where the raw half of an ENVI file would go."""
    (place.folder / "labels.img").write_text("mine")
    place.after.append(lambda _: _unchanged(place.folder / "labels.img"))
    return result(place)


def _unchanged(path):
    assert path.read_text() == "mine"
    assert [item.name for item in path.parent.iterdir()] == [path.name]
