"""Folders of a WebDAV server: PROPFIND, one level at a time, because most servers refuse to walk down themselves."""

from __future__ import annotations

from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import NamedTuple
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree as ET  # a document type is refused before it sees a document
from xml.parsers import expat

from lakecv.errors import InvalidInput, Kind
from lakecv.patience import many
from lakecv.ports import ObjectInfo
from lakecv_plugins.storage.names import is_hidden
from lakecv_plugins.storage.web_body import address, body_of, refusal
from lakecv_plugins.storage.web_pool import Pool
from lakecv_plugins.storage.wires import without_query

__all__ = ["Entry", "describe", "walk"]

_MANY = 207
_ABSENT = frozenset({404, 410})
_NO_FOLDER = b"not a directory"  # XrdHttp 5.5 says so with status 500


class Entry(NamedTuple):
    """What a server says of one name."""

    path: str
    is_folder: bool
    nbytes: int
    modified: float


def describe(answers: bytes, url: str) -> list[Entry]:
    """Read the answer to a PROPFIND; InvalidInput (``config-invalid``) where it is none."""
    try:
        _refuse_document_type(answers)
        tree = ET.fromstring(answers)  # noqa: S314  (entities need a document type)
        return [_entry(response) for response in tree.iter("{DAV:}response")]
    except (expat.ExpatError, ET.ParseError, ValueError) as err:
        raise InvalidInput(
            f"the server's list of {without_query(url)} cannot be read: {err}", Kind.CONFIG_INVALID, "check that it speaks WebDAV",
        ) from err


def walk(pool: Pool, url: str, folder: str) -> Iterator[ObjectInfo]:
    """Objects below a folder of ``url``, in no order; keys are relative to ``url``.  Nothing where there is no folder."""
    level = [folder]
    while level:
        found = many(lambda each: _children(pool, url, each), level)
        yield from (info for objects, _ in found for info in objects)
        level = [below for _, folders in found for below in folders]


def _children(pool: Pool, url: str, folder: str) -> tuple[list[ObjectInfo], list[str]]:
    """Objects and folders in one folder."""
    where = f"{address(url, folder) if folder else url}/"
    answer = pool.send("PROPFIND", where, headers={"Depth": "1"})
    said = body_of(answer, where)
    if answer.status in _ABSENT or (answer.status != _MANY and _NO_FOLDER in said):
        return [], []
    if answer.status != _MANY:
        raise refusal(where, answer, said)
    own = unquote(urlsplit(where).path).rstrip("/")
    objects, folders = [], []
    for entry in describe(said, where):
        parent, _, name = entry.path.rpartition("/")
        if parent != own or not name or is_hidden(name):
            continue  # the folder itself, or what is not below it
        key = f"{folder}/{name}" if folder else name
        if entry.is_folder:
            folders.append(key)
        else:
            objects.append(ObjectInfo(key, entry.nbytes, entry.modified))
    return objects, folders


def _entry(response: ET.Element) -> Entry:
    path = unquote(urlsplit(response.findtext("{DAV:}href", "").strip()).path).rstrip("/")
    is_folder = response.find(".//{DAV:}collection") is not None or response.findtext(".//{DAV:}iscollection") == "1"
    return Entry(path, is_folder, int(response.findtext(".//{DAV:}getcontentlength") or 0), _seconds(response))


def _seconds(response: ET.Element) -> float:
    text = response.findtext(".//{DAV:}getlastmodified")
    return parsedate_to_datetime(text).timestamp() if text else 0.0


def _refuse_document_type(answers: bytes) -> None:
    """Entities can be made to fill the memory or to read this machine's files; no WebDAV answer declares any."""

    def refuse(*_: object) -> None:
        raise ValueError("it has a document type")

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    parser.Parse(answers, True)  # noqa: FBT003  (the signature of expat)
