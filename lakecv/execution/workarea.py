"""Where a run keeps what it has done: its setup, parts, states, and the commit records that alone are the truth.

Every document is create-only.  A part is stored under its own digest before its record exists, so a record never names
bytes that are not there; whoever comes second finds the record and leaves its own part behind.  As no record changes, one
that was read is not read again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from lakecv.canonical import dump, load
from lakecv.errors import Conflict, Corrupt, Kind, NotFound
from lakecv.execution.tensors import pack_state, unpack_piece, unpack_state
from lakecv.lake_io.objects import put_same, sha256_hex
from lakecv.lake_io.place import CLEARED
from lakecv.patience import many
from lakecv.plan import Outcome, Plan, Task
from lakecv.ports import ObjectInfo, ObjectIO
from lakecv.records import DID, Damage, Dataset
from lakecv.sheet import Array, Step

__all__ = ["DamageReport", "Setup", "WorkArea"]


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


_NOTHING = sha256_hex(b"")


class WorkArea:
    """The work area of one run; keys are relative to its prefix.

    What it has read it keeps, and looks at the listing each time: another process may add records, or clear them away.
    """

    def __init__(self, objects: ObjectIO) -> None:
        self._objects = objects
        self._setup: Setup | None = None
        self._known: dict[str, tuple[int, float, Outcome]] = {}
        self._told: dict[str, Outcome] = {}

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

    def tell(self, record: Outcome) -> None:
        """Hear of a record from whoever wrote it, so that it need not be read."""
        self._told[_record_key(record.task)] = record

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

    def arrays(self, outcome: Outcome, wanted: Callable[[str], bool] | None = None) -> dict[str, Array]:
        """Read arrays of a committed part, all or those whose name is ``wanted``; of the others no byte is read.

        Raises
        ------
        Corrupt
            If one is gone or differs from its record, or the record does not say where arrays lie.
        """
        key, where = outcome.part or "", f"{self.url}/{outcome.part}"
        if not outcome.pieces and outcome.digest != _NOTHING:
            raise Corrupt(f"the record of {where} does not say what is in it", Kind.VERSIONS_DIFFER, "another version of lakecv made it: run the job --again")
        if wanted is None:
            part = self.part(outcome)
            return {piece.name: unpack_piece(piece, part[piece.start : piece.start + piece.nbytes], where) for piece in outcome.pieces}
        pieces = [piece for piece in outcome.pieces if wanted(piece.name)]
        with self._there(key):
            found = self._objects.get_ranges(key, [(piece.start, piece.start + piece.nbytes) for piece in pieces]) if pieces else []
        return {piece.name: unpack_piece(piece, data, where) for piece, data in zip(pieces, found, strict=True)}

    def fail(self, outcome: Outcome) -> None:
        """Keep the verdict on a task that failed for good; a later success overrules it."""
        data = dump(outcome)
        put_same(self._objects, f"failures/{outcome.task}.{sha256_hex(data)[:16]}.json", data)

    def failures(self) -> tuple[Outcome, ...]:
        """Read the verdicts on tasks that have no commit record."""
        found = self._read(list(self._objects.list("failures")))
        newest = {outcome.task: outcome for outcome in sorted(found, key=lambda outcome: outcome.started)}
        committed = {task for stage in sorted({task.partition("/")[0] for task in newest}) for task in self.committed(stage)}
        return tuple(outcome for task, outcome in sorted(newest.items()) if task not in committed)

    def committed(self, stage: str) -> set[str]:
        """Keys of the tasks of a stage that have a commit record; reads none of them."""
        return {info.key.removeprefix("commits/").removesuffix(".json") for info in self._objects.list(f"commits/{stage}")}

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
        for info, record in zip(new, many(self._record, new), strict=True):
            known[info.key] = self._known[info.key] = (info.nbytes, info.modified, record)
        return [each[2] for each in known.values() if each is not None]

    def _record(self, info: ObjectInfo) -> Outcome:
        """Read a record, if its writer did not tell of it; one of another length is another driver's."""
        told = self._told.pop(info.key, None)
        return told if told is not None and len(dump(told)) == info.nbytes else load(Outcome, self._objects.get(info.key))

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

    def listed(self) -> list[ObjectInfo]:
        """List what :meth:`clear` would remove."""
        return [info for folder in CLEARED for info in self._objects.list(folder)]

    def clear(self) -> None:
        """Remove parts, states and records of a published run; the setup stays."""
        self._known.clear()
        self._told.clear()
        many(self._objects.delete, [info.key for info in self.listed()])

    def remove(self) -> None:
        """Remove all of it, the setup last."""
        self.clear()
        self._objects.delete("setup.json")

    def _checked(self, key: str, digest: str) -> bytes:
        with self._there(key):
            data = self._objects.get(key)
        if sha256_hex(data) != digest:
            raise Corrupt(f"{self.url}/{key} does not match its record", Kind.CHECKSUM_MISMATCH)
        return data

    @contextmanager
    def _there(self, key: str) -> Iterator[None]:
        """Read what a record names, which must be there."""
        try:
            yield
        except NotFound as err:
            raise Corrupt(f"{self.url}/{key} is gone though its record is there", Kind.OBJECT_MISSING) from err


def _record_key(task: str) -> str:
    return f"commits/{task}.json"
