r"""What may stand in a configuration file: one pydantic model per table, each key with the sentence that explains it.

The sentence is the key's line in the JSON Schema and the "expected" of its error, so neither can drift.  What ends up in
a job script or a command (all of ``[batch]``, and the texts of a profile) has a grammar without newlines, quotes, ``\``,
``$``, backticks and ``; & | < >``.  What keys must say together is the business of :mod:`lakecv.config.agreement`.
A module of its own because importing pydantic takes a tenth of a second, which no command without a setting should pay.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import ErrorDetails

from lakecv.config.document import invalid
from lakecv.errors import InvalidInput, nearest

__all__ = ["BatchTable", "LinkTable", "ProfileTable", "SettingsTable", "WorkerTable", "checked", "json_schema", "nbytes"]

_UNITS = {"MB": 10**6, "GB": 10**9, "TB": 10**12, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_MEMORY = r"^([1-9][0-9]{0,5}(\.[0-9]{1,3})?|0\.[0-9]{0,2}[1-9]) ?(MB|GB|TB|MiB|GiB|TiB)$"
_WORD = r"^[A-Za-z0-9][A-Za-z0-9_.@+-]*$"
_LINE = r"^[A-Za-z0-9_./][A-Za-z0-9_./=:,@%+ -]*$"
_TEXT = r"^[^\x00-\x1f\x7f]+$"
_TITLE = r"""^[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069"'`$;&|<>\\]+$"""
_HOST = r"([A-Za-z0-9_.-]+@)?[A-Za-z0-9_.-]+(:[0-9]{1,5})?"
_PATH = r"[A-Za-z0-9_.][A-Za-z0-9_./=:,@%+~-]*"
_PLACE = rf"^([a-z][a-z0-9+.-]+://({_HOST})?(/{{1,2}}({_PATH})?)?|/{_PATH})$"
_USERINFO = re.compile(r"://.*@")  # what may hold a password is not repeated
_ADDRESS = r"^(tls|tcp)://([A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\]):[0-9]{1,5}$"

Auto = Literal["auto"]
Count = Annotated[int, Field(ge=1, le=100_000)]
Line = Annotated[str, Field(pattern=r"^(-{1,2}|\+)?[A-Za-z0-9_][A-Za-z0-9_./=:,@%+ -]*$", max_length=500)]
Memory = Annotated[str, Field(pattern=_MEMORY)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=63)]
Option = Annotated[str, Field(pattern=r"^-{1,2}[A-Za-z][A-Za-z0-9_.=:@/+-]*$", max_length=128)]
Rse = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=250)]
Scope = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=25)]
Seconds = Annotated[float, Field(ge=1, le=604_800, allow_inf_nan=False)]
Text = Annotated[str, Field(pattern=_TEXT, max_length=4096)]
Title = Annotated[str, Field(pattern=_TITLE, max_length=200)]
Word = Annotated[str, Field(pattern=_WORD, max_length=128)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class SettingsTable(_Table):
    """The user's settings, ``config.toml``."""

    lake: Text | None = Field(default=None, description="the url or the folder of the lake")
    catalog: Word | None = Field(default=None, description="the name of a catalog plugin, such as 'documents'")
    scope: Scope | None = Field(default=None, description="a scope of at most 25 letters A-Z a-z 0-9 . _ -, such as 'user.ada'")
    site: Text | None = Field(default=None, description="the name of a site, such as 'local', or the path of its profile")
    max_workers: Count | None = Field(default=None, description="a whole number of workers, 1 to 100,000")
    worker_memory: Memory | None = Field(default=None, description="an amount of memory with its unit, such as '2GiB'")
    rse: Rse | None = Field(default=None, description="the name of the storage element that new data go to, such as 'INFN-PG'")
    deadline: Seconds | None = Field(default=None, description="a number of seconds, 1 to 604,800")


class WorkerTable(_Table):
    """What one worker process offers."""

    threads: Annotated[int, Field(ge=1, le=1024)] = Field(default=1, description="a whole number of threads, 1 to 1,024")
    gpus: Annotated[int, Field(ge=0, le=64)] = Field(default=0, description="a whole number of GPUs, 0 to 64")
    memory: Auto | Memory = Field(default="auto", description="an amount of memory with its unit, such as '2GiB', or 'auto'")


class LinkTable(_Table):
    """How fast the site reads from a storage element."""

    rse: Rse = Field(description="the name of a storage element")
    bytes_per_second: Annotated[float, Field(gt=0, le=1e12, allow_inf_nan=False)] = Field(description="a speed in bytes per second")
    latency_seconds: Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)] = Field(
        default=0.05, description="the seconds of a round trip",
    )
    streams: Annotated[int, Field(ge=1, le=1000)] = Field(default=10, description="the number of requests on their way at once")


class BatchTable(_Table):
    """What goes into the job scripts of a batch system."""

    account: Word | None = Field(default=None, description="one word of letters, digits and _ . @ + -")
    partition: Word | None = Field(default=None, description="one word of letters, digits and _ . @ + -")
    walltime: Annotated[str, Field(pattern=r"^[0-9]{1,3}:[0-5][0-9]:[0-5][0-9]$")] | None = Field(
        default=None, description="a time as HH:MM:SS of at least a minute, such as '01:00:00'",
    )
    interface: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]*$", max_length=63)] | None = Field(
        default=None, description="the name of a network interface, or an address of this machine, that workers can reach",
    )
    directives: tuple[Line, ...] = Field(
        default=(), strict=False, description="a list of further header lines of the job script, such as '--qos=long'",
    )
    submit: tuple[Word | Option, ...] = Field(
        default=(), strict=False, description="a list of further arguments of the batch system's commands, such as '-name' or 'schedd.example'",
    )
    folder: Annotated[str, Field(pattern=r"^[~/][A-Za-z0-9_./@+-]*$", max_length=500)] | None = Field(
        default=None, description="a folder, absolute or from ~, that the submit host shares with the workers",
    )
    command: Annotated[str, Field(pattern=r"^[A-Za-z0-9_./][A-Za-z0-9_./=:,@%+ -]*$", max_length=500)] | None = Field(
        default=None, description="the command that stands for 'lakecv' on a worker, such as '/opt/lakecv/bin/lakecv'",
    )
    prologue: tuple[Annotated[str, Field(pattern=_LINE, max_length=500)], ...] = Field(
        default=(), strict=False, description="a list of plain command lines of letters, digits and _ . / = : , @ % + -",
    )
    ports: Annotated[str, Field(pattern=r"^[0-9]{1,5}(-[0-9]{1,5})?$")] | None = Field(
        default=None, description="a port or a rising range of ports from 1024 to 65535, such as '8700-8800'",
    )

    @field_validator("walltime")
    @classmethod
    def _long_enough(cls, walltime: str | None) -> str | None:
        if walltime is not None and not int(walltime[:-3].replace(":", "")):
            raise ValueError
        return walltime

    @field_validator("ports")
    @classmethod
    def _rising(cls, ports: str | None) -> str | None:
        low, _, high = (ports or "1024").partition("-")
        if not 1024 <= int(low) <= int(high or low) <= 65535:  # noqa: PLR2004  (ports that need no root)
            raise ValueError
        return ports


class ProfileTable(_Table):
    """A site: where work can run.  The file's name is the site's name unless ``name`` says otherwise."""

    name: Name | None = Field(default=None, description="a name of lower-case letters, digits and single hyphens")
    title: Title | None = Field(default=None, description="one line of text without quotes, backslashes and $ ` ; & | < >")
    extends: Name | None = Field(default=None, description="the name of the site whose keys hold where this file has none")
    executor: Word | None = Field(default=None, description="the name of a site plugin: local, slurm, htcondor, pbs, address or a stranger's")
    scheduler: Literal["driver", "job", "address"] = Field(
        default="driver", description="where the site's Dask scheduler runs: 'driver', 'job' or 'address'",
    )
    address: Annotated[str, Field(pattern=_ADDRESS, max_length=256)] | None = Field(
        default=None, description="the address of a Dask scheduler that runs already, such as 'tls://gateway.example:8786'",
    )
    work: Annotated[str, Field(pattern=_PLACE, max_length=500)] | None = Field(
        default=None, description="the url of a prefix near the workers, or an absolute folder, where they leave what they compute; without a password",
    )
    tested: bool = Field(default=True, description="false where nobody has tried this profile yet")
    speed: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] = Field(default=1.0, description="how fast one thread is, 1 = a common CPU")
    wait_seconds: Annotated[float, Field(ge=0, le=604_800, allow_inf_nan=False)] = Field(
        default=0.0, description="the seconds that the first worker usually lets one wait",
    )
    near: tuple[Rse, ...] = Field(
        default=(), strict=False,
        description="a list of storage elements, or of sites as the catalog names them, whose data count as near",
    )
    max_workers: Auto | Count = Field(default="auto", description="a whole number of workers, 1 to 100,000, or 'auto'")
    worker: WorkerTable = Field(default_factory=WorkerTable, description="a table with threads and memory")
    links: tuple[LinkTable, ...] = Field(default=(), strict=False, description="a list of tables with rse and bytes_per_second")
    batch: BatchTable = Field(default_factory=BatchTable, description="a table for the batch system's job scripts")

    @field_validator("address")
    @classmethod
    def _port(cls, address: str | None) -> str | None:
        if address is not None and not 1 <= int(address.rpartition(":")[2]) <= 65535:  # noqa: PLR2004  (every port)
            raise ValueError
        return address

    @field_validator("work")
    @classmethod
    def _climbs_nowhere(cls, work: str | None) -> str | None:
        if work is not None and (".." in work.split("/") or work.rstrip("/").endswith(":")):
            raise ValueError
        return work


TableT = TypeVar("TableT", bound=_Table)


def checked(kind: type[TableT], data: dict[str, Any], where: str) -> TableT:
    """Check a table; the first thing that is wrong is told with its place and what was expected.

    Raises
    ------
    InvalidInput
        If a key is unknown or its value is not as described (kind ``config-invalid``).
    """
    try:
        return kind.model_validate(data)
    except ValidationError as err:
        details = err.errors(include_url=False, include_context=False)
        unknown = [item for item in details if item["type"] == "extra_forbidden"]
        raise _explained(kind, (unknown or details)[0], where) from None


def nbytes(text: str) -> int:
    """Bytes of an amount of memory that keeps the grammar.

    Examples
    --------
    >>> nbytes("1.5GiB")
    1610612736
    """
    unit = text.lstrip("0123456789. ")
    return int(float(text.removesuffix(unit)) * _UNITS[unit])


def json_schema() -> dict[str, Any]:
    """JSON Schema of a site profile."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **ProfileTable.model_json_schema()}


def _explained(kind: type[_Table], details: ErrorDetails, where: str) -> InvalidInput:
    table, path, expected = _walk(kind, details["loc"])
    key = ".".join(path)
    if details["type"] == "extra_forbidden":
        return invalid(f"{where}: there is no key '{key}'", nearest(path[-1], table.model_fields, "keys"))
    if details["type"] == "missing":
        return invalid(f"{where}: '{key}' is missing; expected {expected}", f"add {path[-1]}")
    found = _USERINFO.sub("://...@", repr(details["input"]))
    return invalid(f"{where}: '{key}' is {found[:60]}; expected {expected}", f"correct {path[-1]}")


def _walk(kind: type[_Table], place: tuple[int | str, ...]) -> tuple[type[_Table], list[str], str]:
    """Follow an error's place: the innermost table, the keys on the way, and the sentence of the last one."""
    table: type[_Table] = kind
    inner: Any = kind
    expected = ""
    path: list[str] = []
    for step in place:
        if isinstance(step, int) or inner is None:  # an item of a list, or pydantic's tag for a member of a union
            continue
        table = inner
        path.append(step)
        field = table.model_fields.get(step)
        expected = (field.description or "") if field else ""
        inner = _inner(field.annotation) if field else None
    return table, path, expected


def _inner(annotation: Any) -> Any:
    """Find the table inside an annotation, None where it holds plain values."""
    return next((arg for arg in (annotation, *get_args(annotation)) if isinstance(arg, type) and issubclass(arg, _Table)), None)


def _main() -> None:
    """Write the JSON Schema of a site profile to the path that is given; a test compares the two."""
    import json
    import sys
    from pathlib import Path

    Path(sys.argv[1]).write_text(json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    _main()
