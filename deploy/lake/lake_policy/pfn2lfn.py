"""From the address of a file back to its name: Rucio's own way knows no scope with a dot, such as a user's."""

from collections.abc import Mapping


def pfn2lfn(parsed: Mapping[str, str]) -> tuple[str, str]:
    """Name and scope of what lies at ``user/ada/ab/cd/name`` (the hash algorithm turns the dot of a user's scope into a folder)."""
    folders = parsed["path"].strip("/").split("/")[:-2]
    return parsed["name"], ".".join(folders) if folders[0] in {"user", "group"} else folders[0]
