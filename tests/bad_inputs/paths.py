"""Places that hold no cube: missing, empty, unreadable, endless, elsewhere."""

import ctypes
import os
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import zarr

from lakecv.lake_io import child
from tests.bad_inputs.situation import cube, saved


def store(place, name="store.zarr"):
    """A small Zarr store that is all right."""
    group = zarr.create_group(str(place.folder / name))
    group.create_array("data", data=cube(), chunks=(6, 5, 8), dimension_names=("y", "x", "band"))
    return place.folder / name


def missing(place):
    """A path that is nearly the right one."""
    return place.folder / "gud.npy"


def empty_folder(place):
    (place.folder / "empty").mkdir()
    return place.folder / "empty"


def unreadable(place, what="file"):
    """A file (or a file inside a store) of mode 0000, and a reader without root's right to read it all the same."""
    path = saved(place.folder, cube())
    if what == "member":
        path = store(place)
        (path / "data" / "zarr.json").chmod(0)
    else:
        path.chmod(0)
    here = place.here

    def as_anybody(*words):
        with without_root():
            return here(*words)

    place.type = as_anybody
    return path


@contextmanager
def without_root():
    """Give up, in this thread, root's capabilities to read and search everything (capset(2), version 3)."""
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header, before = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, before) == 0
    fewer = (ctypes.c_uint32 * 6)(*before)
    fewer[0] &= ~0b110  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    assert libc.capset(header, fewer) == 0
    try:
        yield
    finally:
        assert libc.capset(header, before) == 0


def pipe(place, where="path"):
    """A named pipe that nobody writes to; opening it would wait for ever."""
    path = place.folder / "pipe.npy"
    if where == "chunk":
        path = store(place)
        (path / "data" / "c" / "0" / "0" / "0").unlink()
        os.mkfifo(path / "data" / "c" / "0" / "0" / "0")
    else:
        os.mkfifo(path)
    return path


def link_loop(place, where="path"):
    if where == "member":
        path = store(place)
        (path / "loop").symlink_to("loop")
        return path
    (place.folder / "a.npy").symlink_to("b.npy")
    (place.folder / "b.npy").symlink_to("a.npy")
    return place.folder / "a.npy"


def link_out(place):
    """A store with a member that is a link to somebody else's."""
    path, other = store(place), store(place, "other.zarr")
    (path / "more").symlink_to(other / "data")
    return path


def around_the_lake(place):
    """The lake lies inside the folder that is to be registered."""
    return place.lake.parent


def inside_the_lake(place):
    return next(path.parent for path in place.lake.rglob("manifest.json"))


def growing(place):
    """The file grows while it is read."""
    return _spoilt_while_read(place, lambda path: path.write_bytes(path.read_bytes() + bytes(16)))


def vanishing(place, ending="npy"):
    """The file is deleted while it is read."""
    path = _spoilt_while_read(place, Path.unlink)
    if ending == "h5":
        import h5py

        path = path.with_suffix(".h5")
        with h5py.File(path, "w") as file:
            file["cube"] = cube()
    return path


def _spoilt_while_read(place, spoil):
    usual = child.convert

    def convert(lazy, spec, objects, watch):
        spoil(path_of(place))
        return usual(lazy, spec, objects, watch)

    place.patch.setattr(child, "convert", convert)
    return saved(place.folder, np.ones((12, 10, 8), "u2"))


def path_of(place):
    return Path(place.words["file"])
