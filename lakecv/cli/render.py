"""Text of the values that describe data and runs; says what is there, decides nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lakecv.cli.jsonout import passes_at_most
from lakecv.cli.layout import clean, duration, facts, shape, size, table
from lakecv.plan import RunState
from lakecv.planning.placement import HINDRANCES
from lakecv.records import Access

if TYPE_CHECKING:
    from lakecv.annotation import Annotations
    from lakecv.api import Demo, Fetched, Finding, FolderCheck, Registered, Repair, Sweep, Verification
    from lakecv.cube import ArraySpec, CubeSpec, SpectralAxis
    from lakecv.plan import Outcome, Plan, Run, Share
    from lakecv.records import Dataset, Replica, Rule

__all__ = [
    "dataset", "datasets", "demo", "failed_block", "fetched", "folder", "plan", "registered", "remarks", "repair", "rule", "rules", "run",
    "runs", "said", "scripts", "sweep", "verification", "written",
]

_SHORT_DIGEST = 12
Pairs = list[tuple[str, object]]


def datasets(found: Sequence[Dataset]) -> list[str]:
    """Table of datasets."""
    if not found:
        return ["no datasets yet"]
    rows = [
        (item.did, shape(item.cube.main.shape), item.cube.main.dtype, _axis(item.cube.axis), size(item.nbytes), item.title)
        for item in found
    ]
    return table(("DID", "SHAPE", "DTYPE", "AXIS", "STORED", "TITLE"), rows)


def rule(asked: Rule) -> list[str]:
    """Tell what a rule promises and where it stands."""
    return facts([
        ("rule", asked.id),
        ("dataset", asked.did),
        ("to", f"{asked.rses}, {asked.copies} copies" if asked.copies > 1 else asked.rses),
        ("state", f"{asked.state}: {_times(asked.ok, 'object')} there, {asked.moving} moving, {asked.stuck} stuck"),
        ("expires", asked.expires),
        ("error", asked.error),
    ])


def rules(found: Sequence[Rule]) -> list[str]:
    """Table of rules."""
    if not found:
        return ["no rules: nothing keeps copies of it"]
    rows = [
        (each.id, each.rses, each.state, each.ok, each.moving, each.stuck, each.expires or "never", each.error or "-")
        for each in found
    ]
    return table(("RULE", "WHERE", "STATE", "OK", "MOVING", "STUCK", "EXPIRES", "ERROR"), rows)


def said(found: Annotations) -> list[str]:
    """Tell what people said of a dataset; what a newer saying replaced is not shown."""
    if not found.history:
        return [f"nobody has said anything of {clean(found.did)}"]
    return facts([("dataset", found.did), ("title", found.title or ""), *_said(found)])


def _said(found: Annotations) -> Pairs:
    return [
        *_lines("clusters", [f"{number} = {name}" for number, name in found.names.items()]),
        *_lines("notes", [f"{each.text}  ({each.author}, {each.created[:10]})" for each in found.notes]),
    ]


def dataset(item: Dataset, found: Annotations) -> list[str]:
    """Everything about one dataset."""
    pairs: Pairs = [
        ("dataset", item.did),
        ("title", item.title if found.title is None else found.title),
        ("picture", _picture(item.cube)),
        ("axis", _axis(item.cube.axis)),
        *_lines("arrays", [_array(array) for array in item.cube.arrays]),
        ("stored", f"{size(item.nbytes)} in {item.nobjects} objects, {size(item.cube.nbytes)} decoded"),
        ("digest", item.digest),
        ("created", item.created),
        *_lines("replicas", [_replica(replica) for replica in item.replicas]),
        *_lines("parents", [f"{did}  {_short(digest)}" for did, digest in item.parents]),
        ("made by", item.made_by or ""),
        *_lines("metadata", [f"{name} = {text}" for name, text in item.metadata]),
        *_said(found),
        *_lines("warnings", item.warnings),
    ]
    return facts(pairs)


def fetched(done: Fetched) -> list[str]:
    """Tell what was written where, and how to open it."""
    return facts([
        ("fetched", f"{done.did} -> {done.folder}"),
        ("read", f"{_times(done.objects, 'object')}, {size(done.nbytes)}, every byte proven"),
        ("took", duration(done.seconds)),
        *_lines("damaged", [f"{damage.key} at {damage.rse}, read from another replica: {damage.text}" for damage in done.damages]),
        ("python", _python(done.folder)),
    ])


def folder(found: FolderCheck) -> list[str]:
    """Tell what is in a folder, what is wrong with it, and how to open it."""
    verdict = "every byte is what was promised" if found.ok else "not what was promised"
    arrays = [f"{each.name}  ({', '.join(each.dims)})  {shape(each.shape)} {each.dtype}" for each in found.arrays]
    return facts([
        ("opened", f"{found.folder}: {verdict}"),
        ("dataset", found.did),
        ("title", found.title),
        ("read", f"{_times(found.objects, 'object')}, {size(found.nbytes)}"),
        ("digest", found.digest),
        *_lines("arrays", arrays),
        *_findings(found.findings),
        ("python", _python(found.folder) if found.ok else ""),
    ])


def registered(done: Registered) -> list[str]:
    """Tell what registering did."""
    item = done.dataset
    if done.was_there:
        return facts([("registered", f"{item.did} was there already, with the same content; nothing was done")])
    ratio = f", {done.nbytes_raw / item.nbytes:.1f} times smaller" if 0 < item.nbytes < done.nbytes_raw else ""
    stored = f"{size(done.nbytes_raw)} -> {size(item.nbytes)} in {item.nobjects} objects{ratio}"
    return facts([
        ("registered", item.did),
        ("cube", f"{shape(item.cube.main.shape)} {item.cube.main.dtype}, {_axis(item.cube.axis)}"),
        ("picture", _picture(item.cube)),
        ("stored", stored),
        ("took", duration(done.seconds)),
    ])


def remarks(done: Registered) -> list[str]:
    """Tell what registering found odd and what it chose, for stderr."""
    notes = [f"note: {clean(text)}" for text in done.notes]
    return [*notes, *(f"warning: {clean(text)}" for text in done.dataset.warnings)]


def written(what: str, path: str) -> list[str]:
    """Where a file was written."""
    return facts([(what, path)])


def plan(made: Plan) -> list[str]:
    """Tell what would run, where, what it reads, writes and costs, and why."""
    near, far = size(made.nbytes_near), size(made.nbytes_far)
    stages = [
        f"{stage.kind} {made.job.links[stage.link].model}: {stage.tasks} tasks, at most {_times(stage.passes, 'pass')}, "
        f"{size(stage.nbytes_read)} read, {duration(stage.seconds)}"
        for stage in made.stages
    ]
    passes = _times(passes_at_most(made), "pass")
    pairs: Pairs = [
        ("plan", f"{made.job.name} on {made.job.inputs[0][0]}, {_times(len(made.blocks), 'block')}, at most {passes}"),
        *_lines("selects", made.job.selection.parts if made.job.selection else []),
        *_lines("site", [_share(share) for share in made.shares]),
        ("reads", f"{near} near, {far} far"),
        ("estimate", f"{duration(made.seconds)}, peak memory {size(made.memory_nbytes)}"),
        *_lines("stages", stages),
        *_lines("writes", [_array(array) for array in made.output.arrays]),
        ("to", f"scope {made.job.scope} at {made.home} (new; nothing is overwritten)"),
        *_lines("why", [f"{'+' if reason.chosen else '-'} {reason.subject}: {reason.text}" for reason in made.reasons]),
        ("job", f"sha256 {made.job.digest}"),
    ]
    return facts(pairs)


def _share(share: Share) -> str:
    """One site of a plan in a line."""
    reads = ", ".join(f"{_times(len(read.blocks), 'block')} from {read.rse} ({'near' if read.near else 'far'})" for read in share.reads)
    return f"{share.site} ({share.executor}), {_times(share.workers, 'worker')} x {_times(share.threads, 'thread')}: {reads}"


def scripts(found: Mapping[str, str]) -> list[str]:
    """Show what would be submitted at each site, line by line as it is."""
    shown = []
    for site, text in found.items():
        lines = [line.replace("\x1b", "?") for line in text.splitlines()]
        shown += ["", f"--- job script at {site} ---", *lines, "--- end ---", ""]
    return shown


def run(record: Run, *, found: bool = False) -> list[str]:
    """Tell what a run came to; ``found`` = it was done before and nothing moved."""
    states = {RunState.DONE: "done", RunState.FAILED: "finished with failed blocks", RunState.UNFINISHED: "not finished"}
    state = "was done before; nothing moved (--again runs it again)" if found else states[record.state]
    pairs: Pairs = [
        ("run", f"{record.id}, {record.job.name}, {state}"),
        ("output", record.output),
        ("blocks", f"{record.blocks_done}/{record.blocks}"),
        ("read", f"{size(record.nbytes_near)} near, {size(record.nbytes_far)} far"),
        ("took", duration(record.seconds) if record.seconds is not None else ""),
        *_lines("facts", [f"{name} {text}" for name, text in record.facts]),
        *_lines("failed", [failed_block(outcome) for outcome in record.failed]),
    ]
    return facts(pairs)


def failed_block(outcome: Outcome) -> str:
    """One failed block in a line."""
    kind, message = outcome.error or ("", "")
    return clean(f"{outcome.task} after {_times(outcome.attempt, 'attempt')}: {message} [{kind}]")


def runs(found: Sequence[Run]) -> list[str]:
    """Table of runs."""
    if not found:
        return ["no runs yet"]
    rows = [
        (record.id, record.state, f"{record.blocks_done}/{record.blocks}", record.job.name, record.output, record.created[:19])
        for record in found
    ]
    return table(("RUN", "STATE", "BLOCKS", "MODEL", "OUTPUT", "CREATED"), rows)


def verification(done: Verification) -> list[str]:
    """Tell what was read again and what was wrong with it, one line each."""
    verdict = "every byte is what was promised" if done.ok else "not what was promised"
    return facts([
        ("verified", f"{done.did}: {verdict}"),
        ("read", f"{done.objects} objects, {size(done.nbytes)}"),
        *_findings(done.findings),
    ])


def repair(done: Repair) -> list[str]:
    """Tell what was mended and what was left as it is."""
    would = "would be mended" if done.dry_run else "mended"
    if not (done.mended or done.left):
        return facts([("repaired", f"{done.did}: every byte is what was promised; nothing was done")])
    return facts([
        ("repaired", f"{done.did}: {_times(len(done.mended), 'object')} {would}, {len(done.left)} left as they are"),
        ("from", done.source),
        *(("would mend" if done.dry_run else "mended", finding.key) for finding in done.mended),
        *(("left", f"{finding.key}  {finding.flaw}: {finding.text}") for finding in done.left),
    ])


def sweep(done: Sweep) -> list[str]:
    """Tell what is left over, and what goes, went or stays."""
    if not done.leftovers:
        return ["nothing to remove"]
    words = {"removable": "would go", "removed": "removed", "kept": "kept", "failed": "failed"}
    rows = [
        (words[each.fate], each.heap.prefix, each.heap.objects, size(each.heap.nbytes), f"{each.what}{f': {each.why}' if each.why else ''}")
        for each in done.leftovers
    ]
    total = f"{size(done.nbytes)} {'would be freed' if done.dry_run else 'freed'}"
    return [*table(("FATE", "PREFIX", "OBJECTS", "STORED", "WHY"), rows), total if done.nbytes else "nothing to remove"]


def demo(done: Demo) -> list[str]:
    """Tell what the demonstration made."""
    item, record = done.dataset, done.run
    return facts([
        ("lake", done.folder),
        ("dataset", f"{item.did}  {shape(item.cube.main.shape)} {item.cube.main.dtype}, {_axis(item.cube.axis)}, painted in code"),
        ("run", f"{record.id}  {record.job.name}, {record.blocks_done}/{record.blocks} blocks, {duration(record.seconds)}"),
        ("output", record.output),
        ("score", f"agreement with the known pigments  ARI {done.ari:.2f}"),
        ("report", done.report),
        ("took", duration(done.seconds)),
    ])


def _replica(held: Replica) -> str:
    why = "" if held.access is Access.READY else f", not readable now: {HINDRANCES[held.access]}"
    return f"{held.rse}{f' at site {held.site}' if held.site else ''}  {held.url}{why}"


def _python(folder: str) -> str:
    return f"import lakecv; cube = lakecv.open_folder({folder!r})"


def _times(number: int, thing: str) -> str:
    plural = "es" if thing.endswith("s") else "s"
    return f"{number} {thing}" if number == 1 else f"{number} {thing}{plural}"


def _short(digest: str) -> str:
    return digest[:_SHORT_DIGEST]


def _findings(findings: Sequence[Finding]) -> Pairs:
    return [(str(finding.flaw), f"{finding.key}  {finding.text}".rstrip()) for finding in findings]


def _lines(label: str, texts: Sequence[object]) -> Pairs:
    """One fact on several lines."""
    return [(label if index == 0 else "", text) for index, text in enumerate(texts)]


def _array(array: ArraySpec) -> str:
    unit = f" [{array.unit}]" if array.unit else ""
    shards = f", shards {shape(array.shards)}" if array.shards else ""
    return f"{array.name}  {array.role}  {shape(array.shape)} {array.dtype}{unit}, chunks {shape(array.chunks)}{shards}"


def _axis(axis: SpectralAxis | None) -> str:
    """Title and range of a spectral axis."""
    if axis is None:
        return "no spectral axis"
    first = 0.0 if axis.start is None else axis.start
    last = first + (axis.size - 1) * (1.0 if axis.step is None else axis.step)
    if axis.values is not None:
        first, last = axis.values[0], axis.values[-1]
    return f"{axis.label} {first:.6g} to {last:.6g}"


def _picture(cube: CubeSpec) -> str:
    """Pixels and their size."""
    grid = cube.grid
    sides = " x ".join(f"{side:g}" for side in grid.pixel_size or ())
    known = f"{sides} {grid.pixel_unit or ''}".rstrip() or "not known"
    return f"{grid.ny} x {grid.nx} pixels, pixel size {known}"
