"""The user's settings, each with where it came from: defaults < file < environment < option.

Reading them costs nothing where nothing is set: the grammar is loaded for a value that needs it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from lakecv.config.document import invalid, read_toml, refuse_secrets
from lakecv.job import Scalar

__all__ = ["Setting", "Settings", "config_folder", "load", "show"]

_PREFIX = "LAKECV_"
_SCOPE_LIMIT = 25
_UNSET = {"rse": "the usual one"}
_NUMBERS, _WHOLE = {"deadline", "max_workers"}, re.compile(r"[0-9]{1,9}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds for this command.  ``max_workers`` and ``worker_memory`` None = as the site's profile says.

    ``rse`` None = the catalog's usual storage element.  ``deadline`` is the time in seconds after which a task that has not come back is given up.
    """

    lake: str
    catalog: str
    scope: str
    site: str
    max_workers: int | None = None
    worker_memory: str | None = None
    rse: str | None = None
    deadline: float = 600.0
    origins: tuple[tuple[str, str], ...] = ()

    @property
    def worker_memory_nbytes(self) -> int | None:
        """Bytes of memory per worker, None where the profile decides."""
        if self.worker_memory is None:
            return None
        from lakecv.config.grammar import nbytes

        return nbytes(self.worker_memory)


class Setting(NamedTuple):
    """One row of ``lakecv config show``."""

    key: str
    value: str
    origin: str


def load(**options: Scalar | None) -> Settings:
    """Put the settings together; an option that is None was not given.

    Raises
    ------
    InvalidInput
        If a file, a variable or an option cannot be used; the text names it (kind ``config-invalid``).
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for source in (_defaults(), _from_file(), _from_environment(), _from_options(options)):
        for key, (value, origin) in source.items():
            values[key], origins[key] = value, origin
    return Settings(**values, origins=tuple(sorted(origins.items())))


def show(settings: Settings) -> list[Setting]:
    """List every setting with where it came from."""
    origins = dict(settings.origins)
    rows = ((key, getattr(settings, key)) for key in _keys())
    return [Setting(key, _UNSET.get(key, "as the site says") if value is None else str(value), origins.get(key, "default")) for key, value in rows]


def config_folder() -> Path:
    """Folder of the user's configuration."""
    from platformdirs import user_config_path

    return user_config_path("lakecv")


Source = dict[str, tuple[Any, str]]


def _defaults() -> Source:
    found = {"lake": _default_lake(), "catalog": "documents", "scope": f"user.{_account()}"[:_SCOPE_LIMIT], "site": "local"}
    return {key: (value, "default") for key, value in found.items()}


def _default_lake() -> str:
    """Choose a folder in the user's data directory; without a home, one in the working folder."""
    from platformdirs import user_data_path

    path = user_data_path("lakecv") / "lake"
    return str(path) if path.is_absolute() else "lakecv-lake"


def _account() -> str:
    """Name of the user in the letters of a scope."""
    from getpass import getuser

    try:
        name = getuser()
    except (OSError, KeyError):  # an account without a name, as in many containers
        name = f"uid{os.getuid()}"
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name, flags=re.ASCII) or "unknown"


def _from_file() -> Source:
    named = os.environ.get("LAKECV_CONFIG")
    path = Path(named) if named else config_folder() / "config.toml"
    if not named and not path.exists():
        return {}
    table = _checked(read_toml(path), str(path))
    if "lake" in table:
        table["lake"] = _anchored(table["lake"], path.parent)
    return {key: (value, str(path)) for key, value in table.items()}


def _from_environment() -> Source:
    found: Source = {}
    for key in _keys():
        variable = _PREFIX + key.upper()
        text = os.environ.get(variable, "")
        if text:
            value = int(text) if key in _NUMBERS and _WHOLE.fullmatch(text) else text
            origin = f"the environment variable {variable}"
            found[key] = (_checked({key: value}, origin)[key], origin)
    return found


def _from_options(options: Mapping[str, Scalar | None]) -> Source:
    found: Source = {}
    for key, value in options.items():
        if value is not None:
            origin = f"the option --{key.replace('_', '-')}"
            found[key] = (_checked({key: value}, origin)[key], origin)
    return found


def _checked(table: dict[str, Any], where: str) -> dict[str, Any]:
    """Check the values of one source.  A lake is any text, so that the commonest option does not load the grammar."""
    refuse_secrets(table, where)
    lake = table.get("lake")
    if not (table.keys() == {"lake"} and isinstance(lake, str) and lake.isprintable() and lake):
        from lakecv.config.grammar import SettingsTable, checked

        table = checked(SettingsTable, table, where).model_dump(exclude_unset=True)
    if ".." in table.get("scope", ""):
        raise invalid(f"{where}: 'scope' is {table['scope']!r}; a scope has no '..'", "correct scope")
    return table


def _anchored(lake: str, folder: Path) -> str:
    """Read a path in a file as relative to that file; ``~`` is the user's home."""
    return lake if "://" in lake else os.path.abspath(folder / os.path.expanduser(lake))  # noqa: PTH100, PTH111  (neither fails without a home)


def _keys() -> tuple[str, ...]:
    return tuple(field.name for field in fields(Settings) if field.name != "origins")
