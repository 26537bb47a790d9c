"""What a lake's surroundings look like: can it be reached, what does its server do, what in the environment may surprise."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from lakecv import registry
from lakecv.errors import LakeCVError
from lakecv.ports import CatalogBackend, StorageElements
from lakecv.report.text import nbytes

__all__ = ["Check", "Verdict", "examine"]

_DASK_FOLDERS = ("~/.config/dask", "/etc/dask")
_SETTINGS = {".yaml", ".yml"}


class Verdict(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    verdict: Verdict
    text: str
    hint: str = ""


def examine(lake: str, catalog: CatalogBackend, rse: str | None) -> tuple[Check, ...]:
    """Look at a lake and at what else decides whether commands work; nothing is changed but the server's probe object."""
    return (*_lake(lake), *_catalog(catalog, rse), *_plugins(), *_dask())


def _catalog(catalog: CatalogBackend, rse: str | None) -> Iterator[Check]:
    """Say who one is to a catalog with storage elements, and what may still be added at the usual one."""
    if not isinstance(catalog, StorageElements):
        return
    try:
        yield Check("catalog", Verdict.OK, f"it lets you in; your scope is {catalog.scope}")
        room = catalog.room(rse) if rse is not None else None
    except LakeCVError as err:
        yield Check("catalog", Verdict.ERROR, str(err), err.hint)
        return
    if rse is not None:
        verdict = Verdict.WARNING if room is not None and room <= 0 else Verdict.OK
        yield Check(f"storage element {rse}", verdict, f"your quota has {'no limit' if room is None else f'{nbytes(room)} left'} there")


def _lake(url: str) -> Iterator[Check]:
    try:
        abilities = registry.probe(url)
        next(iter(registry.open_objects(url).list("catalog")), None)
    except LakeCVError as err:
        yield Check("lake", Verdict.ERROR, str(err), err.hint)
        return
    yield Check("lake", Verdict.OK, f"{url} can be read")
    for ability in abilities:
        yield Check(f"server {ability.name}", Verdict.OK if ability.holds else Verdict.WARNING, "yes" if ability.holds else f"no: {ability.lost}")


def _plugins() -> Iterator[Check]:
    cards = registry.plugins()
    failing = [(card, problem) for card in cards if (problem := registry.problem(card))]
    yield from (Check(f"plugin {card.name}", Verdict.WARNING, problem, f"pip uninstall {card.distribution}") for card, problem in failing)
    yield Check("plugins", Verdict.OK, f"{len(cards) - len(failing)} of {len(cards)} load")


def _dask() -> Iterator[Check]:
    """Name settings of Dask from outside: they change how workers start, and a preload runs code in them."""
    named = sorted(name for name in os.environ if name.startswith("DASK_"))
    if named:
        yield Check("dask", Verdict.WARNING, f"the environment sets {', '.join(named)}", f"unset {' '.join(named)}, if it is not meant")
    for folder in (os.environ.get("DASK_CONFIG"), *_DASK_FOLDERS):
        path = Path(os.path.expanduser(folder)) if folder else None  # noqa: PTH111  (does not fail without a home)
        files = [path] if path is not None and path.is_file() else sorted(path.iterdir()) if path is not None and path.is_dir() else []
        for file in files:
            if file.suffix in _SETTINGS and "preload" in file.read_text(errors="replace"):
                yield Check("dask", Verdict.WARNING, f"{file} preloads code into every worker", f"read {file}, and remove what is not yours")
