"""What a lake's surroundings look like: can it be reached, what does its server do, what in the environment may surprise."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from lakecv import config, registry
from lakecv.errors import InvalidInput, LakeCVError
from lakecv.ports import Ability, CatalogBackend, ProbedSite, StorageElements
from lakecv.report.text import nbytes
from lakecv.site import Site

__all__ = ["Check", "Verdict", "examine", "examine_site"]

_DASK_FOLDERS = ("~/.config/dask", "/etc/dask")
_SETTINGS = {".yaml", ".yml"}
_HERE = ("tcp://127.", "tcp://localhost:", "tcp://[::1]:")


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


def examine_site(name: str, settings: config.Settings) -> tuple[Check, ...]:
    """Look at a site: its profile, its plugin, and what its workers will need; no worker is started.

    Raises
    ------
    NotFound
        If there is no such site (kind ``site-unknown``).
    """
    try:
        profile = config.profile(name, settings)
    except InvalidInput as err:
        return (Check(f"site {name}", Verdict.ERROR, str(err), err.hint),)
    return (*_profile(profile), *_workers(profile.site))


def _profile(profile: config.Profile) -> Iterator[Check]:
    site = profile.site
    yield Check(f"site {site.name}", Verdict.OK, f"described in {profile.origin}")
    if not site.tested:
        hint = f"try a small dataset first; then write tested = true in a profile of your own that extends {site.name}"
        yield Check(f"site {site.name}", Verdict.WARNING, "untested: nobody has run with this profile yet", hint)
    if site.address is not None and site.address.startswith("tcp://") and not site.address.startswith(_HERE):
        text = f"{site.address} is not encrypted: whoever is on the way can run code there and here"
        yield Check(f"site {site.name}", Verdict.WARNING, text, "start that scheduler with TLS, and write tls:// in the profile")


def _workers(site: Site) -> Iterator[Check]:
    """Ask what starts the workers whether it could."""
    try:
        abilities = _abilities(site)
    except LakeCVError as err:
        yield Check(f"executor {site.executor}", Verdict.ERROR, str(err), err.hint)
        return
    yield Check(f"executor {site.executor}", Verdict.OK, "it loads" if abilities else "it loads, and has nothing to try before a run")
    yield from (_needed(site, ability) for ability in abilities)


def _abilities(site: Site) -> Sequence[Ability]:
    """Probe a site; a plugin that loads may still lack what its extra brings."""
    plugin = registry.site(site.executor)
    try:
        return plugin.probe(site) if isinstance(plugin, ProbedSite) else ()
    except ImportError as err:
        raise registry.explain_import(err) from err


def _needed(site: Site, ability: Ability) -> Check:
    """Count what workers need and lack as an error: there would be none."""
    if ability.holds:
        return Check(ability.name, Verdict.OK, "yes")
    return Check(ability.name, Verdict.ERROR, f"no: {ability.lost}", f"lakecv site show {site.name} tells what is asked for")


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
