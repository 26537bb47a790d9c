"""Reads foreign files in a process of its own, with a limit on memory and a deadline without progress.

A file somebody brings is hostile until proven otherwise: a bomb, a loop or a crash in a C library takes this child, never
the caller.  One JSON request goes in; JSON lines come out: progress, then the result or the error.
"""

from __future__ import annotations

import json
import resource
import selectors
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from lakecv import errors, registry
from lakecv.canonical import from_json, loads, to_json
from lakecv.cube import CubeSpec
from lakecv.errors import Corrupt, Denied, InvalidInput, Kind, LakeCVError, NotFound, Unavailable
from lakecv.lake_io.convert import Converted, Watch, convert, register_in_place
from lakecv.ports import CubeReader, ObjectIO, ReadHints, Source

__all__ = ["Request", "convert_apart", "serve"]

_MEMORY_NBYTES = 3 << 30
_STALL_SECONDS = 300.0
_HEAD_NBYTES = 4096


@dataclass(frozen=True, slots=True)
class Request:
    """What the child is to do: read ``path`` (as ``reader``, or as what it looks like) and write below ``url``."""

    path: str
    url: str
    hints: ReadHints
    reader: str | None = None
    in_place: bool = False


def convert_apart(request: Request, watch: Watch, note: Callable[[str], None] = lambda _: None) -> Converted:
    """Run a request in a child process; ``note`` is told each key before something is put there.

    Raises
    ------
    LakeCVError
        Whatever the child raised.
    Corrupt
        If the child died: out of memory or a crash while decoding (kind ``codec-failed``).
    Unavailable
        If it made no progress for five minutes.
    """
    with tempfile.TemporaryFile("w+") as said:  # a pipe that nobody reads would fill up and stop the child
        return _run(request, watch, note, said)


def _run(request: Request, watch: Watch, note: Callable[[str], None], said: IO[str]) -> Converted:
    child = subprocess.Popen(
        [sys.executable, "-m", "lakecv.lake_io.child"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=said, text=True, start_new_session=True,
    )
    try:
        return _converse(child, request, watch, note, said)
    finally:
        child.kill()
        child.communicate()


def _converse(
    child: subprocess.Popen[str], request: Request, watch: Watch, note: Callable[[str], None], said: IO[str],
) -> Converted:
    if child.stdin is None or child.stdout is None:
        raise errors.InternalError("the reading process has no pipes", Kind.BUG)
    child.stdin.write(json.dumps(to_json(request)) + "\n")
    child.stdin.close()
    child.stdin = None
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while selector.select(_STALL_SECONDS):
            line = child.stdout.readline()
            if not line:
                raise _death(child.wait(), request, said)
            message = json.loads(line)
            if "done" in message:
                watch(message["done"], message["total"])
            elif "put" in message:
                note(message["put"])
            elif "error" in message:
                raise _revive(message)
            else:
                return from_json(Converted, message["result"])
    raise Unavailable(f"reading {request.path} made no progress for {_STALL_SECONDS:.0f} s", Kind.STORE_UNREACHABLE)


def _death(code: int, request: Request, said: IO[str]) -> LakeCVError:
    said.seek(0)
    lines = said.read().strip().splitlines()
    return Corrupt(
        f"the process that read {request.path} ended with code {code}" + (f": {lines[-1]}" if lines else ""),
        Kind.CODEC_FAILED, "the file may be damaged, or need more memory to decode than its shape says",
    )


def _revive(message: dict[str, str]) -> LakeCVError:
    kind: type[LakeCVError] = getattr(errors, message["error"])
    return kind(message["text"], Kind(message["kind"]), message["hint"])


def main() -> None:
    """Serve one request from standard input."""
    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY_NBYTES, _MEMORY_NBYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    request = loads(Request, sys.stdin.readline())
    try:
        _say({"result": to_json(serve(request, _tell, lambda key: _say({"put": key})))})
    except LakeCVError as err:
        _say({"error": type(err).__name__, "text": str(err), "kind": str(err.kind), "hint": err.hint})


def _tell(done: int, total: int) -> None:
    _say({"done": done, "total": total})


def _say(message: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def serve(request: Request, watch: Watch, note: Callable[[str], None] = lambda _: None) -> Converted:
    """Do what a request asks for, in this process.

    Raises
    ------
    LakeCVError
        Also for what the system refuses while a file is read: it may not be read, it went away, it fits no memory.
    """
    try:
        return _convert(request, watch, note)
    except PermissionError as err:
        raise Denied(
            f"{err.filename or request.path} may not be read", Kind.FORBIDDEN, f"ask its owner, or: chmod -R u+r {request.path}",
        ) from err
    except FileNotFoundError as err:
        raise NotFound(f"{request.path} went away while it was read", Kind.PATH_UNKNOWN, "run it again when it is back") from err
    except MemoryError as err:
        raise Corrupt(
            f"{request.path} needs more than {_MEMORY_NBYTES >> 30} GiB to be read", Kind.CODEC_FAILED, "the file may be damaged",
        ) from err


def _convert(request: Request, watch: Watch, note: Callable[[str], None]) -> Converted:
    source = Source(Path(request.path).as_uri(), Path(request.path))
    before = _fingerprint(source.path)
    reader = _reader(source, request.reader)
    cube: CubeSpec = reader.probe(source, request.hints)
    objects = _Noted(registry.open_objects(request.url), note)
    lazy = reader.read(source, request.hints)
    if request.in_place:
        done = register_in_place(lazy, cube, source.path, objects, watch)
    else:
        done = convert(lazy, cube, objects, watch)
    _check_same(source.path, before)
    return done


class _Noted:
    """Objects that tell of each put before it is done: a storage element cannot list what is not in its catalog yet."""

    def __init__(self, objects: ObjectIO, note: Callable[[str], None]) -> None:
        self._objects, self._note = objects, note
        self.url, self.get, self.get_ranges, self.head = objects.url, objects.get, objects.get_ranges, objects.head
        self.list, self.delete = objects.list, objects.delete

    def put(self, key: str, data: bytes) -> None:
        """Create an object."""
        self._note(key)
        self._objects.put(key, data)


def _check_same(path: Path, before: tuple[tuple[str, int, int], ...]) -> None:
    if _fingerprint(path) != before:
        raise Corrupt(f"{path} changed while it was read", Kind.SOURCE_CHANGED, "wait until it is complete and run it again")


def _fingerprint(path: Path) -> tuple[tuple[str, int, int], ...]:
    files = [path] if path.is_file() else sorted(item for item in path.rglob("*") if item.is_file())
    return tuple((str(item), item.stat().st_size, item.stat().st_mtime_ns) for item in files)


def _reader(source: Source, name: str | None) -> CubeReader:
    if name is not None:
        return registry.reader(name)
    head = b""
    if source.path.is_file():
        with source.path.open("rb") as file:
            head = file.read(_HEAD_NBYTES)
        if not head:
            raise Corrupt(f"'{source.path.name}' is empty (0 bytes)", Kind.FILE_MALFORMED, "copy or download it again")
    for each in registry.readers():
        reader = registry.reader(each)
        if reader.accepts(source, head):
            return reader
    raise InvalidInput(
        f"no reader knows {source.path.name} (it starts with {head[:16]!r})", Kind.FORMAT_UNKNOWN,
        f"formats: {', '.join(registry.readers())}; choose one with --format",
    )


if __name__ == "__main__":
    main()
