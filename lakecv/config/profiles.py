"""Site profiles: one TOML file per site, found in a few folders, turned into values with ``auto`` resolved.

Profiles that came with lakecv are defaults that any other file of the same name replaces; among the operator's own
folders a name may stand once only, so that nobody runs at a site that they did not mean.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakecv.config.document import invalid, read_toml
from lakecv.config.machine import cores, memory_nbytes
from lakecv.config.settings import Settings, config_folder
from lakecv.errors import InvalidInput, Kind, NotFound, nearest
from lakecv.site import Batch, Link, Resources, Scheduler, Site

if TYPE_CHECKING:
    from lakecv.config.grammar import ProfileTable

__all__ = ["Profile", "described", "from_file", "profile", "profiles", "site", "sites"]

_SYSTEM = Path("/etc/lakecv/sites")
_THIS_MACHINE: dict[str, Any] = {"title": "this machine", "executor": "local", "near": ["local"]}
_SHARE_OF_MEMORY = 0.75
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Profile:
    """A site as configured, and the files it came from: the first has the last word."""

    site: Site
    files: tuple[str, ...]

    @property
    def origin(self) -> str:
        """The files in one line, for messages."""
        return _origin(self.files)


@dataclass(frozen=True, slots=True)
class _File:
    """A profile as written.  ``shipped`` = it came with lakecv."""

    name: str
    origin: str
    table: dict[str, Any]
    shipped: bool


def profile(name: str, settings: Settings | None = None) -> Profile:
    """Find a site's profile by its name, or by the path of its file.

    Raises
    ------
    NotFound
        If there is no such site (kind ``site-unknown``).
    InvalidInput
        If a file that describes it cannot be used (kind ``config-invalid``).
    """
    if "://" in name:
        raise invalid(f"the site profile {name} is on another machine; profiles are files", "download it, read it, name its path")
    if name.endswith(".toml") or os.sep in name:
        return from_file(Path(name), settings)
    return _profile(_chain(_named(name, [*_all_files(wanted=name)]), [*_all_files()]), settings)


def from_file(path: Path, settings: Settings | None = None, *, name: str | None = None) -> Profile:
    """Read the profile in a file, as a site of this name where one is given; errors as of :func:`profile`."""
    first = _read(path, shipped=False)
    return _profile(_chain(replace(first, name=name or first.name), [*_all_files()]), settings)


def described(name: str) -> tuple[tuple[str, bool], ...]:
    """List the files that describe a site, and whether each came with lakecv; one that cannot be used is left out."""
    return tuple((file.origin, file.shipped) for file in _all_files() if file.name == name)


def profiles(settings: Settings | None = None) -> tuple[Profile, ...]:
    """Read every site's profile, sorted by name; a file that cannot be used is an error here."""
    files = [*_all_files(strict=True)]
    names = sorted({file.name for file in files})
    return tuple(_profile(_chain(_named(name, files), files), settings) for name in names)


def site(name: str, settings: Settings | None = None) -> Site:
    """Find what planning sees of a site; errors as of :func:`profile`."""
    return profile(name, settings).site


def sites(settings: Settings | None = None) -> tuple[Site, ...]:
    """Find what planning sees of every site, sorted by name."""
    return tuple(found.site for found in profiles(settings))


def _named(name: str, files: list[_File]) -> _File:
    """Find the file that describes a site: the operator's, else the one that came with lakecv."""
    own = [file for file in files if file.name == name and not file.shipped]
    if len(own) > 1:
        raise invalid(
            f"the site '{name}' is described twice, in {own[0].origin} and in {own[1].origin}", "rename or remove one of them",
        )
    found = own or [file for file in files if file.name == name]
    if not found:
        hint = nearest(name, {file.name for file in files}, "sites")
        raise NotFound(f"there is no site '{name}'", Kind.SITE_UNKNOWN, hint)
    return found[0]


def _chain(first: _File, files: list[_File]) -> list[_File]:
    """Follow ``extends``.  A file that extends its own name means the one that came with lakecv."""
    chain = [first]
    while parent := chain[-1].table.get("extends"):
        shipped = [file for file in files if file.name == parent and file.shipped]
        found = shipped[0] if parent == chain[-1].name and shipped else _parent(chain[-1], parent, files)
        if found in chain:
            names = " -> ".join(file.origin for file in (*chain, found))
            raise invalid(f"site profiles extend each other in a circle: {names}", "take one 'extends' out")
        chain.append(found)
    return chain


def _parent(child: _File, name: str, files: list[_File]) -> _File:
    try:
        return _named(name, files)
    except NotFound as err:
        raise invalid(f"{child.origin}: 'extends' is '{name}'; expected the name of a site", err.hint) from err


def _profile(chain: list[_File], settings: Settings | None) -> Profile:
    from lakecv.config.agreement import agree
    from lakecv.config.grammar import ProfileTable, checked

    merged: dict[str, Any] = {}
    for file in reversed(chain):
        merged = _merged(merged, file.table)
    files = tuple(file.origin for file in chain)
    table = checked(ProfileTable, merged, _origin(files))
    agree(table, _origin(files))
    return Profile(_resolved(chain[0].name, table, settings), files)


def _origin(files: tuple[str, ...]) -> str:
    return " < ".join(files)


def _resolved(name: str, table: ProfileTable, settings: Settings | None) -> Site:
    """Turn a checked table into values: ``auto`` becomes what this machine has."""
    from lakecv.config.grammar import nbytes

    executor = table.executor or "local"
    threads = table.worker.threads
    workers = max(1, cores() // threads) if table.max_workers == "auto" else table.max_workers
    workers = settings.max_workers if settings and settings.max_workers else workers
    given = settings.worker_memory_nbytes if settings else None
    share = int(memory_nbytes() * _SHARE_OF_MEMORY / workers) // _MIB * _MIB
    memory = given or (share if table.worker.memory == "auto" else nbytes(table.worker.memory))
    links = tuple(Link(link.rse, link.bytes_per_second, link.latency_seconds, link.streams) for link in table.links)
    worker = Resources(threads, memory, table.worker.gpus)
    here = os.environ.get("SITE_NAME", "") if executor == "local" else ""  # as Rucio's own clients name the site they are at
    near = (*table.near, here) if here else table.near
    return Site(
        name, executor, worker, workers, near=near, links=links, title=table.title or "", scheduler=Scheduler(table.scheduler),
        address=table.address, work=table.work, tested=table.tested, speed=table.speed, wait_seconds=table.wait_seconds, batch=_batch(table),
    )


def _batch(table: ProfileTable) -> Batch:
    batch = table.batch
    seconds = None
    if batch.walltime:
        hours, minutes, rest = map(int, batch.walltime.split(":"))
        seconds = hours * 3600 + minutes * 60 + rest
    low, _, high = (batch.ports or "").partition("-")
    ports = (int(low), int(high or low)) if low else None
    return Batch(
        batch.account, batch.partition, seconds, batch.prologue, ports, batch.interface, batch.directives, batch.submit, batch.folder,
        batch.command,
    )


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Lay one table over another: keys of tables join, everything else is replaced."""
    joined = {key: _merged(below[key], value) if isinstance(value, dict) and isinstance(below.get(key), dict) else value
              for key, value in above.items()}  # fmt: skip
    return {**below, **joined}


def _all_files(wanted: str | None = None, *, strict: bool = False) -> Iterator[_File]:
    """Every profile.  A file that cannot be used stops only those who ask for it, or for all."""
    seen_local = False
    for folder, shipped in _folders():
        for path in sorted(folder.glob("*.toml")):
            try:
                file = _read(path, shipped=shipped)
            except InvalidInput:
                if strict or path.stem == wanted:
                    raise
                continue
            seen_local |= file.name == "local" and shipped
            yield file
    if not seen_local:
        yield _File("local", "this machine", _THIS_MACHINE, shipped=True)


def _read(path: Path, *, shipped: bool) -> _File:
    """Read one profile and check it by itself, so that the error names the file that is wrong."""
    from lakecv.config.grammar import ProfileTable, checked

    table = read_toml(path, shared=shipped or path.is_relative_to(_SYSTEM))
    checked(ProfileTable, table, str(path))
    return _File(table.get("name", path.stem), str(path), table, shipped)


def _folders() -> Iterator[tuple[Path, bool]]:
    """Folders that hold profiles, and whether they came with lakecv."""
    for folder in os.environ.get("LAKECV_SITES", "").split(os.pathsep):
        if folder:
            yield Path(folder), False
    yield config_folder() / "sites", False
    yield _SYSTEM, False
    yield Path(sys.prefix, "share", "lakecv", "sites"), True
