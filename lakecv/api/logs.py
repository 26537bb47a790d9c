"""What is known of a run's troubles: verdicts and damages from the lake, logs from this machine."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lakecv.api.detaching import Driver, driver_log, notes
from lakecv.api.running import Runs
from lakecv.errors import Corrupt, InvalidInput, NotFound
from lakecv.plan import Run
from lakecv.records import Damage
from lakecv.site import JOB_LOG, Batch, Site, job_folders

__all__ = ["LogFile", "RunLogs", "logs_of", "without_secrets"]

_MOST_NBYTES, _MOST_LINES, _MOST_FILES = 64 << 10, 200, 20
_SECRETS = (
    re.compile(r"(?i)(\b(?:authorization|proxy-authorization|x-rucio-auth-token|cookie)\b\s*[:=]\s*).+"),
    re.compile(r"(?i)(\bbearer\s+)[A-Za-z0-9._~+/=-]{8,}"),
    re.compile(r"(?i)([?&](?:x-amz-(?:signature|credential|security-token)|signature|token|authz|access_token|sig)=)[^&\s'\"]+"),
    re.compile(r"(?i)(\b[\w-]*(?:password|passwd|secret|token|access_key|api_key|private_key)[\w-]*['\"]?\s*[:=]\s*)['\"]?[^\s,;'\"}]+['\"]?"),
    re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://[^\s/:@]*:)[^\s/@]+(?=@)"),
    re.compile(r"()\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"),
)
_KEY_BEGINS, _KEY_ENDS = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY"), re.compile(r"-----END [A-Z ]*PRIVATE KEY")


@dataclass(frozen=True, slots=True)
class LogFile:
    """The end of a log: who wrote it, where it lies, its last lines; ``cut`` = there is more."""

    who: str
    path: str
    lines: tuple[str, ...]
    cut: bool


@dataclass(frozen=True, slots=True)
class RunLogs:
    """A run with its verdicts, the damages that it met, its drivers on this machine, and the logs that lie here."""

    run: Run
    damages: tuple[Damage, ...]
    drivers: tuple[Driver, ...]
    files: tuple[LogFile, ...]


def logs_of(runs: Runs, run: str, sites: Callable[[str], Site]) -> RunLogs:
    """Gather what is known of a run; ``sites`` finds a site by its name."""
    record = runs.record(run)
    return RunLogs(record, tuple(_damages(runs, record)), notes(run), tuple(_files(runs, run, sites)))


def _damages(runs: Runs, record: Run) -> Iterator[Damage]:
    """Damages that drives have reported, and those of failed tasks, each once; of a finished run its facts tell."""
    met = [damage for report in runs.area(record.id).damage_reports() for damage in report.damages]
    met += [damage for outcome in record.failed for damage in outcome.damaged]
    known = {(damage.rse, damage.key): damage for damage in met}
    yield from (known[about] for about in sorted(known))


def _files(runs: Runs, run: str, sites: Callable[[str], Site]) -> Iterator[LogFile]:
    found = _end("driver", driver_log(run))
    if found is not None:
        yield found
    for site, path in _job_logs(runs, run, sites):
        found = _end(f"job at {site}", path)
        if found is not None:
            yield found


def _job_logs(runs: Runs, run: str, sites: Callable[[str], Site]) -> list[tuple[str, Path]]:
    """Find logs of batch jobs: the newest of them, oldest first."""
    try:
        shares = runs.area(run).setup().plan.shares
    except (NotFound, Corrupt):  # a run of an older time, of which only the record is left
        return []
    found = [
        (share.site, path) for share in shares for folder in job_folders(_batch(sites, share.site), run, share.site)
        for path in folder.glob(JOB_LOG.format("*"))
    ]
    return sorted(found, key=lambda each: (_age(each[1]), str(each[1])))[-_MOST_FILES:]


def _batch(sites: Callable[[str], Site], name: str) -> Batch:
    """Batch table of a site; one that has no profile here any more is looked for in the usual place."""
    try:
        return sites(name).batch
    except (NotFound, InvalidInput):
        return Batch()


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _end(who: str, path: Path) -> LogFile | None:
    """Read the end of a log; None where there is none, or what lies there is no plain file."""
    try:
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        known = os.fstat(opened)
        if not stat.S_ISREG(known.st_mode):
            return None
        lines = os.pread(opened, _MOST_NBYTES, max(0, known.st_size - _MOST_NBYTES)).decode("utf-8", "replace").splitlines()
    finally:
        os.close(opened)
    cut = known.st_size > _MOST_NBYTES
    lines = lines[1:] if cut else lines  # the first one begins somewhere
    return LogFile(who, str(path), tuple(without_secrets(lines))[-_MOST_LINES:], cut or len(lines) > _MOST_LINES)


def without_secrets(lines: list[str]) -> Iterator[str]:
    """Leave out what looks like a password, a key, a token or a signed address.

    Examples
    --------
    >>> list(without_secrets(["GET https://s3.example/a?X-Amz-Signature=0a1b", "Authorization: Basic YWRh"]))
    ['GET https://s3.example/a?X-Amz-Signature=***', 'Authorization: ***']
    """
    inside = False
    for line in lines:
        inside = inside or _KEY_BEGINS.search(line) is not None
        ends = _KEY_ENDS.search(line) is not None
        text = "***" if inside else line
        inside = inside and not ends
        for pattern in _SECRETS:
            text = pattern.sub(r"\1***", text)
        yield text
