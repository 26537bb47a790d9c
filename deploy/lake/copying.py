"""Copy one file from one address of the lake to another, checked on both ends: what FTS does at a real site.

Addresses as Rucio's transfers have them: https, davs, root, file, and s3s, which is an S3 object to be signed for.
"""

# ruff: noqa: INP001, TID251  (part of a program that runs in the Rucio server's environment)
from __future__ import annotations

import shutil
import subprocess
import tempfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import urlsplit

import urllib3
from rucio.core.credential import get_signed_url

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Bad", "Copier"]

PIECE = 1 << 20
SECONDS = 60


class Bad(Exception):
    """What was found; the transfer counts as failed."""


class Copier:
    """Copies files over one pool of connections; may be used by threads."""

    def __init__(self, ca: str) -> None:
        self._web = urllib3.PoolManager(maxsize=8, ca_certs=ca, timeout=SECONDS, retries=False)

    def copy(self, source: str, source_rse: str, target: str, target_rse: str, *, nbytes: int, adler32: str) -> None:
        """Copy, by way of this machine; raise where the source or what was written has other bytes than the catalog says."""
        with tempfile.TemporaryFile() as held:
            for piece in self._read(source, source_rse):
                held.write(piece)
            _check(held, source, nbytes, adler32)
            self._write(held, target, target_rse, nbytes)
        with tempfile.TemporaryFile() as seen:
            for piece in self._read(target, target_rse):
                seen.write(piece)
            _check(seen, target, nbytes, adler32)

    def _read(self, url: str, rse_id: str) -> Iterator[bytes]:
        if _scheme(url) == "root":
            with tempfile.TemporaryDirectory() as folder:
                _xrdcp(_plain(url), f"{folder}/file")
                with (Path(folder) / "file").open("rb") as file:
                    yield from iter(lambda: file.read(PIECE), b"")
        elif _scheme(url) == "file":
            with Path(urlsplit(url).path).open("rb") as file:
                yield from iter(lambda: file.read(PIECE), b"")
        else:
            answer = self._web.request("GET", _address(url, rse_id, "read"), preload_content=False)
            try:
                if answer.status != 200:  # noqa: PLR2004
                    raise Bad(f"{_plain(url)}: GET was answered by {answer.status}")
                yield from answer.stream(PIECE)
            finally:
                answer.release_conn()

    def _write(self, held: BinaryIO, url: str, rse_id: str, nbytes: int) -> None:
        held.seek(0)
        if _scheme(url) == "root":
            with tempfile.NamedTemporaryFile() as file:
                shutil.copyfileobj(held, file)
                file.flush()
                _xrdcp(file.name, _plain(url))
        elif _scheme(url) == "file":
            path = Path(urlsplit(url).path)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                shutil.copyfileobj(held, file)
        else:
            answer = self._web.request("PUT", _address(url, rse_id, "write"), body=held, headers={"Content-Length": str(nbytes)})
            if answer.status not in {200, 201, 204}:
                raise Bad(f"{_plain(url)}: PUT was answered by {answer.status}")


def _address(url: str, rse_id: str, use: str) -> str:
    """Where to ask: an S3 object needs a signature, and davs is what fields of WebDAV call https."""
    plain = "https" + _plain(url)[len(_scheme(url)) :]
    return get_signed_url(rse_id, "s3", use, plain) if _scheme(url) == "s3s" else plain


def _check(file: BinaryIO, url: str, nbytes: int, adler32: str) -> None:
    size, total = file.tell(), 1
    file.seek(0)
    for piece in iter(lambda: file.read(PIECE), b""):
        total = zlib.adler32(piece, total)
    if (size, f"{total:08x}") != (nbytes, adler32):
        raise Bad(f"{_plain(url)}: checksum mismatch: {size} bytes of adler32 {total:08x}, not {nbytes} of {adler32}")


def _xrdcp(source: str, target: str) -> None:
    done = subprocess.run(["xrdcp", "-f", "-s", source, target], capture_output=True, text=True, timeout=SECONDS, check=False)  # noqa: S603, S607
    if done.returncode:
        raise Bad(f"xrdcp {source} {target}: {done.stderr.strip() or done.returncode}")


def _scheme(url: str) -> str:
    return url.split(":", 1)[0]


def _plain(url: str) -> str:
    """Without the query: hints for FTS, and signatures that no log should hold."""
    return url.split("?", 1)[0]
