"""A configuration file, read with suspicion: its owner, size and encoding, then TOML, then secrets.

What a file says can start commands on a cluster, so one that others can write is not obeyed, and one that holds a
password is refused before any of it is shown.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lakecv.errors import InvalidInput, Kind

__all__ = ["invalid", "read_toml", "refuse_secrets"]

_LIMIT_NBYTES = 1 << 20
_SECRET = re.compile(r"passw(or)?d|passphrase|secret|token|credential|(api|access|private)[-_]?key|^key$", re.IGNORECASE)
_REFERENCE = re.compile(r"(env|file|keyring):\S+")
_USERINFO = re.compile(r"://[^/?#\s]*:[^/?#\s]*@")  # a user alone names a profile: s3://profile@bucket


def invalid(message: str, hint: str) -> InvalidInput:
    """Make the one error of this package."""
    return InvalidInput(message, Kind.CONFIG_INVALID, hint)


def read_toml(path: Path, *, shared: bool = False) -> dict[str, Any]:
    """Read a configuration file.

    Parameters
    ----------
    path : Path
        The file; a byte order mark and Windows line ends are accepted.
    shared : bool
        True where it was installed with lakecv or by the system, so that its owner need not be the user.

    Raises
    ------
    InvalidInput
        If it is writable for others, larger than 1 MiB, not text, not TOML, or holds a secret (kind ``config-invalid``).
    """
    text = _text(path, _bytes(path, shared=shared))
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as err:
        where, reason = _position(str(err), text)
        raise invalid(f"{path}:{where}: {reason}", "correct the line; the format is TOML (toml.io)") from err
    except RecursionError as err:
        raise invalid(f"{path} nests too deeply", "settings are one or two tables deep") from err
    refuse_secrets(table, str(path))
    return table


def refuse_secrets(table: dict[str, Any], where: str) -> None:
    """Refuse a value that looks like a secret; the error does not repeat it."""
    for key, value in _leaves(table):
        if _SECRET.search(key.rpartition(".")[2]) and not (isinstance(value, str) and _REFERENCE.fullmatch(value)):
            raise invalid(
                f"{where}: '{key}' holds a secret in plain text; a reference was expected",
                f'write {key} = "env:NAME", "file:/path" or "keyring:NAME", and change the secret',
            )
        if isinstance(value, str) and _USERINFO.search(value):
            raise invalid(
                f"{where}: '{key}' is a url with a password in it", "take it out of the url, and change the secret",
            )


def _bytes(path: Path, *, shared: bool) -> bytes:
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise invalid(f"{path} is not a file", "name a TOML file")
        if facts.st_mode & stat.S_IWOTH:
            raise invalid(f"{path} can be written by everybody", f"chmod o-w {path}")
        if not shared and facts.st_uid not in {0, os.getuid()}:
            raise invalid(f"{path} belongs to another user (uid {facts.st_uid})", "copy it, so that it is yours")
        if facts.st_size > _LIMIT_NBYTES:
            raise invalid(f"{path} has {facts.st_size:,} bytes; settings have at most 1 MiB", "name a TOML file")
        return path.read_bytes()
    except OSError as err:
        raise invalid(f"{path} cannot be read: {err.strerror or err}", "check the path and its mode") from err


def _text(path: Path, content: bytes) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as err:
        raise invalid(f"{path} is not text (byte {err.start} is not UTF-8)", "name a TOML file in UTF-8") from err
    if "\0" in text:
        raise invalid(f"{path} is a binary file; TOML text was expected", "name a TOML file")
    return text


def _position(message: str, text: str) -> tuple[str, str]:
    """Line and column of a syntax error, and what tomllib says of it (it keeps both in one sentence until Python 3.14)."""
    match = re.search(r" \(at line (\d+), column (\d+)\)$", message)
    if match:
        return f"{match[1]}:{match[2]}", message[: match.start()]
    lines = text.splitlines() or [""]
    return f"{len(lines)}:{len(lines[-1]) + 1}", message.removesuffix(" (at end of document)")


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every plain value with its dotted key; items of a list have the key of the list."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _leaves(item, f"{key}.{name}" if key else name)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item, key)
    else:
        yield key, value
