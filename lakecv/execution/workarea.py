"""Where a run keeps what it has done: its setup, parts, states, and the commit records that alone are the truth.

Every document is create-only.  A part is stored under its own digest before its record exists, so a record never names
bytes that are not there; whoever comes second finds the record and leaves its own part behind.  As no record changes, one
that was read is not read again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from lakecv.canonical import dump, load
from lakecv.errors import Conflict, Corrupt, Kind, NotFound, Unavailable
from lakecv.execution.tensors import pack_state, unpack_state
from lakecv.lake_io.objects import put_same, sha256_hex
from lakecv.lake_io.place import CLEARED
from lakecv.patience import many
from lakecv.plan import Outcome, Plan, Task
from lakecv.ports import ObjectInfo, ObjectIO
from lakecv.records import DID, Damage, Dataset
from lakecv.sheet import State, Step

__all__ = ["DamageReport", "RunArea", "Setup", "WorkArea"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Setup:
    """All that is fixed when a run starts: what a worker needs beside its task."""

    run: str
    lake: str
    plan: Plan
    dataset: Dataset
    output: DID
    home: str
    created: str
    command: str = ""


@dataclass(frozen=True, slots=True)
class DamageReport:
    """Damages that a drive found in the records of its tasks, and as what the catalog took them; ``problem`` = why it did not."""

    damages: tuple[Damage, ...]
    said: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class _StateRecord:
    """Commit record of a state."""

    part: str
    digest: str
    done: bool
    progress: str


class WorkArea:
    """The work area of one run; keys are relative to its prefix.

    What it has read it keeps, and looks at the listing each time: another process may add records, or clear them away.
    """

    def __init__(self, objects: ObjectIO) -> None:
        self._objects = objects
        self._setup: Setup | None = None
        self._known: dict[str, tuple[int, float, Outcome]] = {}

    @property
    def url(self) -> str:
        """The prefix."""
        return self._objects.url

    def start(self, setup: Setup) -> Setup:
        """Store the setup; returns the one that was there first."""
        try:
            self._objects.put("setup.json", dump(setup))
        except Conflict:
            return self.setup()
        return setup

    def setup(self) -> Setup:
        """Read the setup, once."""
        if self._setup is None:
            self._setup = load(Setup, self._objects.get("setup.json"))
        return self._setup

    def commit(self, task: Task, outcome: Outcome, part: bytes) -> Outcome:
        """Store a part and its record; returns the record that counts."""
        digest = sha256_hex(part)
        key = f"parts/{task.key}.{digest[:16]}"
        put_same(self._objects, key, part)
        record = replace(outcome, part=key, digest=digest, nbytes_written=outcome.nbytes_written + len(part))
        try:
            self._objects.put(_record_key(task.key), dump(record))
        except Conflict:
            return self.outcome(task.key) or record
        return record

    def outcome(self, task: str) -> Outcome | None:
        """Commit record of a task, None where it has none."""
        try:
            return load(Outcome, self._objects.get(_record_key(task)))
        except NotFound:
            return None

    def outcomes(self, stage: str = "") -> dict[str, Outcome]:
        """Commit records of a stage (or all), by the key of their task."""
        listed = self._objects.list(f"commits/{stage}" if stage else "commits")
        records = self._read([info for info in listed if not info.key.endswith("/state.json")])
        return {record.task: record for record in records}

    def part(self, outcome: Outcome) -> bytes:
        """Read a committed part and compare it with its record.

        Raises
        ------
        Corrupt
            If it is gone or differs.
        """
        return self._checked(outcome.part or "", outcome.digest or "")

    def fail(self, outcome: Outcome) -> None:
        """Keep the verdict on a task that failed for good; a later success overrules it."""
        data = dump(outcome)
        put_same(self._objects, f"failures/{outcome.task}.{sha256_hex(data)[:16]}.json", data)

    def failures(self) -> tuple[Outcome, ...]:
        """Read the verdicts on tasks that have no commit record."""
        found = self._read(list(self._objects.list("failures")))
        newest = {outcome.task: outcome for outcome in sorted(found, key=lambda outcome: outcome.started)}
        stages = sorted({task.partition("/")[0] for task in newest})
        committed = {info.key for stage in stages for info in self._objects.list(f"commits/{stage}")}
        return tuple(outcome for task, outcome in sorted(newest.items()) if _record_key(task) not in committed)

    def note_damages(self, report: DamageReport) -> None:
        """Keep what was reported, so that a resumed run does not report it again."""
        data = dump(report)
        put_same(self._objects, f"reported/{sha256_hex(data)[:16]}.json", data)

    def damage_reports(self) -> tuple[DamageReport, ...]:
        """Read what was reported."""
        keys = [info.key for info in self._objects.list("reported")]
        return tuple(many(lambda key: load(DamageReport, self._objects.get(key)), keys))

    def _read(self, listed: Sequence[ObjectInfo]) -> list[Outcome]:
        """Outcomes at keys that are listed now.  One with another size or time is another: the area was cleared in between."""
        known = {info.key: self._known.get(info.key) for info in listed}
        new = [info for info in listed if (before := known[info.key]) is None or before[:2] != (info.nbytes, info.modified)]
        for info, record in zip(new, many(lambda each: load(Outcome, self._objects.get(each.key)), new), strict=True):
            known[info.key] = self._known[info.key] = (info.nbytes, info.modified, record)
        return [each[2] for each in known.values() if each is not None]

    def save_state(self, stage: str, step: Step) -> Step:
        """Store a state and its record; returns the step that counts."""
        data = pack_state(step.state)
        digest = sha256_hex(data)
        record = _StateRecord(f"states/{stage}.{digest[:16]}", digest, step.done, step.progress)
        put_same(self._objects, record.part, data)
        try:
            self._objects.put(_record_key(f"{stage}/state"), dump(record))
        except Conflict:
            return self.load_state(stage) or step
        return step

    def load_state(self, stage: str) -> Step | None:
        """Read the state that a stage ended with, None where it did not end."""
        record = self._state_record(stage)
        if record is None:
            return None
        return Step(unpack_state(self._checked(record.part, record.digest)), record.done, record.progress)

    def copy_state(self, stage: str, other: WorkArea) -> None:
        """Store here the state that a stage ended with elsewhere; nothing happens where it is here."""
        if self._state_record(stage) is None:
            step = other.load_state(stage)
            if step is not None:
                self.save_state(stage, step)

    def state_bytes(self, stage: str) -> bytes:
        """Read the stored form of a state, for the result's own copy."""
        record = self._state_record(stage)
        if record is None:
            raise NotFound(f"{self.url} has no state of {stage}", Kind.OBJECT_UNKNOWN)
        return self._checked(record.part, record.digest)

    def _state_record(self, stage: str) -> _StateRecord | None:
        try:
            return load(_StateRecord, self._objects.get(_record_key(f"{stage}/state")))
        except NotFound:
            return None

    def clear(self) -> None:
        """Remove parts, states and records of a published run; the setup stays."""
        self._known.clear()
        for folder in CLEARED:
            many(self._objects.delete, [info.key for info in self._objects.list(folder)])

    def remove(self) -> None:
        """Remove all of it, the setup last."""
        self.clear()
        self._objects.delete("setup.json")

    def _checked(self, key: str, digest: str) -> bytes:
        try:
            data = self._objects.get(key)
        except NotFound as err:
            raise Corrupt(f"{self.url}/{key} is gone though its record is there", Kind.OBJECT_MISSING) from err
        if sha256_hex(data) != digest:
            raise Corrupt(f"{self.url}/{key} does not match its record", Kind.CHECKSUM_MISMATCH)
        return data


class RunArea(WorkArea):
    """A run's work area in the lake together with those near its sites: one place to whoever drives, packs or watches.

    What a site computes lies in its own area, where it has one, and its tasks read setup and states there; what the driver
    decides lies in the lake.

    Parameters
    ----------
    objects : ObjectIO
        The area in the lake.
    opened : callable
        Opens a url.
    """

    def __init__(self, objects: ObjectIO, opened: Callable[[str], ObjectIO]) -> None:
        super().__init__(objects)
        self._opened = opened

    @cached_property
    def near(self) -> Mapping[str, WorkArea]:
        """Areas near sites, by the site's name."""
        shares = self.setup().plan.shares
        return {share.site: WorkArea(self._opened(share.work)) for share in shares if share.work}

    def give(self, number: int, state: State) -> None:
        """Store a state that a link is given before the run has a setup."""
        super().save_state(f"{number}-given", Step(state, done=True))

    def prepare(self) -> None:
        """Have setup and given states lie near every site that has an area of its own."""
        for area in self.near.values():
            area.start(self.setup())
            for number in range(len(self.setup().plan.job.links)):
                area.copy_state(f"{number}-given", self)

    def url_at(self, site: str) -> str:
        """Area that a task at a site works in."""
        area = self.near.get(site)
        return self.url if area is None else area.url

    def outcomes(self, stage: str = "") -> dict[str, Outcome]:
        """Commit records of all areas; of two for one task, that in the lake, then that of the first site, counts."""
        found: dict[str, Outcome] = {}
        for site, area in reversed([*self.near.items()]):
            try:
                found |= area.outcomes(stage)
            except Unavailable as err:  # a site that is away: what only it knows is done again elsewhere
                _log.warning("area site=%s stage=%s error=%s", site, stage, err)
        return found | super().outcomes(stage)

    def outcome(self, task: str) -> Outcome | None:
        """Commit record of a task, wherever it lies."""
        found = super().outcome(task)
        return found or next(filter(None, (area.outcome(task) for area in self.near.values())), None)

    def part(self, outcome: Outcome) -> bytes:
        """Read a committed part where it was left."""
        area = self.near.get(outcome.site)
        return super().part(outcome) if area is None else area.part(outcome)

    def save_state(self, stage: str, step: Step) -> Step:
        """Store a state, and one copy of it near each site."""
        kept = super().save_state(stage, step)
        for site, area in self.near.items():
            try:
                area.save_state(stage, kept)
            except Unavailable as err:
                _log.warning("area site=%s state=%s error=%s", site, stage, err)
        return kept

    def clear(self) -> None:
        """Remove what only the run needed, everywhere; nothing of it stays near a site."""
        for site, area in self.near.items():
            try:
                area.remove()
            except Unavailable as err:
                _log.warning("area site=%s left=%s error=%s", site, area.url, err)
        super().clear()


def _record_key(task: str) -> str:
    return f"commits/{task}.json"
