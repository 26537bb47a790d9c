"""What is plugged in: entry points to plugins, loaded when they are named and not before.

A listing imports nothing, one broken plugin hides no other, and a plugin of lakecv itself enters by the same door as a
stranger's.  ``LAKECV_NO_PLUGINS=1`` closes the door to all but lakecv's own.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from lakecv.errors import Kind, LakeCVError, NotFound, PluginError, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.metadata import EntryPoint

    from zarr.abc.store import Store

    from lakecv.ports import Ability, CatalogBackend, CubeReader, Model, ObjectIO, SiteExecutor, StoragePlugin

__all__ = [
    "PluginCard", "catalog", "explain_import", "forget", "model", "names", "open_objects", "open_store", "plugins", "probe", "problem",
    "reader", "readers", "site", "storage",
]  # fmt: skip

_OWN = "lakecv"
_GROUPS = {"storage": "lakecv.storage", "format": "lakecv.formats", "catalog": "lakecv.catalogs",
           "model": "lakecv.models", "site": "lakecv.sites"}  # fmt: skip
_UNKNOWN = {"lakecv.models": Kind.MODEL_UNKNOWN, "lakecv.sites": Kind.SITE_UNKNOWN}
_EXTRAS = {"astropy": "formats-astro", "h5py": "formats-hdf5", "rasterio": "formats-eo", "scipy": "formats-matlab", "rucio": "rucio", "urllib3": "web", "XRootD": "xrootd"}  # module -> extra that brings it
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


@dataclass(frozen=True, slots=True)
class PluginCard:
    """What is known of a plugin before it is loaded."""

    group: str
    name: str
    distribution: str
    version: str
    value: str


def plugins() -> tuple[PluginCard, ...]:
    """Every plugin that is installed, by group and name; imports none of them."""
    cards = (PluginCard(point.group, point.name, *_origin(point), point.value) for point in _points())
    return tuple(sorted(cards, key=lambda card: (card.group, card.name, card.distribution)))


def problem(card: PluginCard) -> str:
    """Load a plugin and say what is wrong with it; empty where nothing is."""
    ports = {"lakecv.storage": storage, "lakecv.formats": reader, "lakecv.models": model, "lakecv.sites": site}
    try:
        if card.group in ports:
            ports[card.group](card.name)
        else:
            _loaded(_point("catalog", card.name))
    except LakeCVError as err:
        return str(err)
    return ""


def names(what: str) -> tuple[str, ...]:
    """Names of the plugins of one sort: storage, format, catalog, model or site."""
    return tuple(sorted({point.name for point in _points() if point.group == _GROUPS[what]}))


def readers() -> tuple[str, ...]:
    """Names of the formats that can be read."""
    return names("format")


def storage(scheme: str) -> StoragePlugin:
    """Find the transport of a url scheme."""
    from lakecv.ports import StoragePlugin

    return cast("StoragePlugin", _instance("storage", scheme, StoragePlugin))


def reader(name: str) -> CubeReader:
    """Find a format by name."""
    from lakecv.ports import CubeReader

    return cast("CubeReader", _instance("format", name, CubeReader))


def model(name: str) -> Model[Any]:
    """Find a model by name."""
    from lakecv.ports import Model

    return cast("Model[Any]", _instance("model", name, Model))


def site(name: str) -> SiteExecutor:
    """Find a way to get workers by the name that a site gives as its executor."""
    from lakecv.ports import SiteExecutor

    return cast("SiteExecutor", _instance("site", name, SiteExecutor))


def catalog(objects: ObjectIO, name: str = "documents") -> CatalogBackend:
    """Open the catalog of a lake."""
    from lakecv.ports import CatalogBackend

    point = _point("catalog", name)
    return cast("CatalogBackend", _kept_contract(point, _called(point, _loaded(point), objects), CatalogBackend))


def open_objects(url: str, access: str | None = None) -> ObjectIO:
    """Open a url (or a path) for object reads and writes; a store that does not answer is asked again."""
    from lakecv.patience import PatientObjects

    return PatientObjects(storage(_scheme(url)).objects(url, access))


def probe(url: str, access: str | None = None) -> Sequence[Ability]:
    """Ask the server of a url what it can do; empty where there is no server to ask."""
    from lakecv.ports import ProbedStorage

    plugin = storage(_scheme(url))
    return plugin.probe(url, access) if isinstance(plugin, ProbedStorage) else ()


def open_store(url: str, access: str | None = None) -> Store:
    """Open a url (or a path) read-only for zarr-python."""
    return storage(_scheme(url)).store(url, access)


def explain_import(err: ImportError) -> PluginError:
    """Say which extra brings a module that is missing."""
    module = (err.name or "").partition(".")[0]
    extra = _EXTRAS.get(module)
    if extra:
        return PluginError(
            f"'{module}' is not installed; it comes with the extra {extra}", Kind.MISSING_EXTRA,
            f'pip install "{_OWN}[{extra}]"',
        )
    hint = f"pip install {module}" if module else "lakecv plugins shows where it comes from"
    return PluginError(f"a module cannot be imported: {err}", Kind.LOAD_FAILED, hint)


def forget() -> None:
    """Look at the installed distributions again: one was installed while the program runs."""
    for cached in (_all_points, _loaded, _made):
        cached.cache_clear()


def _scheme(url: str) -> str:
    match = _SCHEME.match(url)
    return match[1].lower() if match else "file"


def _instance(what: str, name: str, contract: type[Any]) -> object:
    point = _point(what, name)
    return _kept_contract(point, _made(point), contract)


def _point(what: str, name: str) -> EntryPoint:
    """Find the one entry point of a name."""
    group = _GROUPS[what]
    found = [point for point in _points() if point.group == group and point.name == name]
    if not found:
        known = names(what)
        kind = _UNKNOWN.get(group, Kind.PLUGIN_UNKNOWN)
        raise NotFound(f"there is no {what} '{name}'", kind, nearest(name, known, f"{what} plugins"))
    if len(found) > 1:
        origins = " and ".join(sorted(" ".join(_origin(point)) for point in found))
        raise PluginError(
            f"the {what} '{name}' is offered by {origins}; a name has one owner", Kind.CONTRACT_BROKEN,
            "uninstall one of them, or set LAKECV_NO_PLUGINS=1 to use lakecv's own",
        )
    return found[0]


@cache
def _loaded(point: EntryPoint) -> Any:
    """Import what an entry point names."""
    try:
        return point.load()
    except ImportError as err:
        known = explain_import(err)
        if known.kind is Kind.MISSING_EXTRA:
            raise PluginError(f"the plugin {_title(point)} cannot be used: {known}", known.kind, known.hint) from err
        raise _failed(point, err) from err
    except Exception as err:  # the one door for foreign code: whatever it raises at import, the others keep working
        raise _failed(point, err) from err


@cache
def _made(point: EntryPoint) -> object:
    return _called(point, _loaded(point))


def _called(point: EntryPoint, plugin: Any, *args: object) -> object:
    try:
        return plugin(*args)
    except LakeCVError:
        raise
    except Exception as err:  # the same door: its constructor is foreign code too
        raise _failed(point, err) from err


def _kept_contract(point: EntryPoint, made: object, contract: type[Any]) -> object:
    if isinstance(made, contract):
        return made
    lacks = sorted(name for name in _members(contract) if not hasattr(made, name))
    raise PluginError(
        f"the plugin {_title(point)} is no {contract.__name__}: it lacks {', '.join(lacks)}", Kind.CONTRACT_BROKEN,
        f"upgrade {_origin(point)[0]}, or ask its authors to run lakecv.testing's contract suite",
    )


def _members(contract: type[Any]) -> set[str]:
    """Public names that a Protocol and its bases ask for."""
    return {name for base in contract.__mro__ if base.__module__ == contract.__module__ for name in vars(base)
            if not name.startswith("_")}  # fmt: skip


def _failed(point: EntryPoint, err: Exception) -> PluginError:
    distribution = _origin(point)[0]
    return PluginError(
        f"the plugin {_title(point)} cannot be loaded: {type(err).__name__}: {err}", Kind.LOAD_FAILED,
        f"upgrade or uninstall {distribution}; the other plugins work",
    )


def _title(point: EntryPoint) -> str:
    return f"'{point.name}' of {' '.join(_origin(point))}"


def _origin(point: EntryPoint) -> tuple[str, str]:
    """Name and version of the distribution that an entry point comes from."""
    return (point.dist.name, point.dist.version) if point.dist else ("unknown", "")


def _points() -> tuple[EntryPoint, ...]:
    """Entry points that may be used."""
    if os.environ.get("LAKECV_NO_PLUGINS", "") in {"", "0"}:
        return _all_points()
    return tuple(point for point in _all_points() if _origin(point)[0] == _OWN)


@cache
def _all_points() -> tuple[EntryPoint, ...]:
    """Entry points of every installed distribution; the metadata are read once."""
    from importlib.metadata import entry_points

    found = entry_points()
    return tuple({(point.group, point.name, point.value, _origin(point)): point
                  for group in _GROUPS.values() for point in found.select(group=group)}.values())  # fmt: skip
