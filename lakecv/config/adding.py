"""Takes a site profile into the user's own sites: checked first, then copied byte for byte, and never over another one."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from lakecv.config.document import invalid, read_toml
from lakecv.config.profiles import Profile, described, from_file
from lakecv.config.settings import config_folder
from lakecv.errors import Conflict, Denied, InvalidInput, Kind

__all__ = ["Added", "add"]


@dataclass(frozen=True, slots=True)
class Added:
    """A profile and the path that it has now; ``replaces`` is the file of the same name that came with lakecv, or empty."""

    profile: Profile
    path: str
    was_there: bool
    replaces: str


def add(file: str, name: str | None = None) -> Added:
    """Copy a profile into the user's sites folder, for its owner alone; the same again is a no-op.

    Parameters
    ----------
    file : str
        Path of a TOML file.
    name : str, optional
        Name of the site; else the one in the file, else the file's.

    Raises
    ------
    InvalidInput
        If it cannot be used, as by :func:`lakecv.config.profile`; nothing is copied.
    Conflict
        If another file describes a site of this name (kind ``output-exists``).
    Denied
        If the folder cannot be written (kind ``forbidden``).
    """
    if "://" in file:
        raise invalid(f"the site profile {file} is on another machine; profiles are files", "download it, read it, add its path")
    path = Path(file)
    wanted = _name(path, name)
    found = from_file(path, name=wanted)
    target = config_folder() / "sites" / f"{wanted}.toml"
    twins = [origin for origin, shipped in described(wanted) if not shipped and Path(origin) != target]
    if twins:
        raise Conflict(f"the site '{wanted}' is described already, in {twins[0]}", Kind.OUTPUT_EXISTS, _ANOTHER)
    replaced = next((origin for origin, shipped in described(wanted) if shipped), "")
    return Added(found, str(target), was_there=not _written(target, path.read_bytes()), replaces=replaced)


_ANOTHER = "give this one another name with --name, or remove that file"


def _name(path: Path, name: str | None) -> str:
    """Choose the site's name; the file may not say another one, because it is copied as it is."""
    from lakecv.config.grammar import ProfileTable, checked

    own = read_toml(path).get("name")
    if name is not None and own not in {None, name}:
        raise invalid(f"{path}: 'name' is {own!r}; expected {name!r}, as --name says", "leave --name out, or correct the file")
    wanted = name or own or path.stem
    try:
        checked(ProfileTable, {"name": wanted}, "the option --name" if name else str(path))
    except InvalidInput as err:
        raise invalid(str(err), "name the site with --name, such as --name my-site") from err
    return wanted


def _written(target: Path, content: bytes) -> bool:
    """Create a file that is whole or not there; says whether it had to."""
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".", suffix=".new") as draft:  # mode 0600
            draft.write(content)
            draft.flush()
            return _linked(Path(draft.name), target, content)
    except OSError as err:
        raise Denied(f"{target} cannot be written: {err.strerror or err}", Kind.FORBIDDEN, "check the folder and its mode") from err


def _linked(draft: Path, target: Path, content: bytes) -> bool:
    """Give a file its name, unless something has it: a link, other than a renaming, never replaces."""
    try:
        target.hardlink_to(draft)
    except FileExistsError as err:
        if target.is_file() and target.read_bytes() == content:
            return False
        raise Conflict(f"there is another profile of the site '{target.stem}': {target}", Kind.OUTPUT_EXISTS, _ANOTHER) from err
    return True
