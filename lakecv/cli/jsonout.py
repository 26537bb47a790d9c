"""The JSON documents of ``--json``: one function per value; their schemas are in docs/schema.

DIDs are written scope:name, pairs become objects, and numbers that JSON lacks become "nan", "inf", "-inf".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lakecv.canonical import to_json
from lakecv.job import StageKind

if TYPE_CHECKING:
    from lakecv.annotation import Annotations
    from lakecv.api import (
        Demo,
        Detached,
        Driver,
        Fetched,
        FolderCheck,
        ModelCard,
        PluginReport,
        Registered,
        Repair,
        RunLogs,
        Sweep,
        Verification,
    )
    from lakecv.config import Setting
    from lakecv.cube import ArraySpec, SpectralAxis
    from lakecv.job import Job
    from lakecv.plan import Outcome, Plan, Progress, Run, Share
    from lakecv.records import Dataset, Rule
    from lakecv.report.methods import Citation

__all__ = [
    "Document",
    "citation",
    "dataset",
    "demo",
    "detached",
    "fetched",
    "folder",
    "logs",
    "model",
    "passes_at_most",
    "plan",
    "plugin",
    "progress",
    "registered",
    "repair",
    "rule",
    "run",
    "said",
    "setting",
    "summary",
    "sweep",
    "value",
    "verification",
    "verifications",
]

Document = dict[str, Any]


def value(record: object) -> Document:
    """Any plain value, field by field."""
    written = to_json(record)
    if not isinstance(written, dict):
        raise TypeError(f"{type(record).__name__} is not a record")
    return written


def summary(item: Dataset) -> Document:
    """One dataset of a listing."""
    main, axis = item.cube.main, item.cube.axis
    return {
        "did": str(item.did),
        "title": item.title,
        "shape": list(main.shape),
        "dtype": main.dtype,
        "axis": axis.label if axis else None,
        "nbytes": item.nbytes,
        "digest": item.digest,
        "created": item.created,
        "made_by": item.made_by,
    }


def dataset(item: Dataset) -> Document:
    """All that the catalog knows of a dataset."""
    return {
        "did": str(item.did),
        "title": item.title,
        "grid": value(item.cube.grid),
        "axis": _axis(item.cube.axis) if item.cube.axis else None,
        "arrays": [_array(array, item.path_of(array.name)) for array in item.cube.arrays],
        "nbytes": item.nbytes,
        "nobjects": item.nobjects,
        "digest": item.digest,
        "created": item.created,
        "home": item.home,
        "replicas": [value(replica) for replica in item.replicas],
        "metadata": dict(item.metadata),
        "warnings": list(item.warnings),
        "parents": dict(item.parents),
        "made_by": item.made_by,
    }


def said(found: Annotations) -> Document:
    """Tell what people said of a dataset: what holds, and all of it, oldest first; ``title`` is null where nobody gave one."""
    history = [
        {"about": str(each.about), "number": each.number, "text": each.text, "author": each.author, "created": each.created}
        for each in found.history
    ]
    return {
        "did": str(found.did),
        "title": found.title,
        "names": {str(number): name for number, name in found.names.items()},
        "notes": [each.text for each in found.notes],
        "history": history,
    }


def citation(found: Citation) -> Document:
    """Tell how a result is written about."""
    run, cited = found.run, {each.link.model: [item.key for item in each.references] for each in found.models}
    return {
        "run": run.id,
        "output": str(found.output.did),
        "digest": found.output.digest,
        "text": found.text,
        "job": _job(run.job),
        "created": run.created,
        "finished": run.finished,
        "versions": dict(run.versions),
        "cited": cited,
        "references": [{**value(each), "text": each.text} for each in found.references],
        "bibtex": found.bibtex,
    }


def rule(asked: Rule) -> Document:
    """Describe a rule; ``expires`` is null where its copies stay."""
    return {
        "id": asked.id,
        "did": str(asked.did),
        "rses": asked.rses,
        "state": asked.state,
        "copies": asked.copies,
        "ok": asked.ok,
        "moving": asked.moving,
        "stuck": asked.stuck,
        "expires": asked.expires or None,
        "error": asked.error,
    }


def fetched(done: Fetched) -> Document:
    """Tell what ``fetch`` wrote."""
    return {
        "did": str(done.did),
        "folder": done.folder,
        "objects": done.objects,
        "nbytes": done.nbytes,
        "seconds": done.seconds,
        "damages": [value(damage) for damage in done.damages],
    }


def folder(found: FolderCheck) -> Document:
    """Tell what is in a folder; ``did`` is null where nothing there says it."""
    return {
        "folder": found.folder,
        "ok": found.ok,
        "did": found.did or None,
        "title": found.title,
        "digest": found.digest,
        "is_flat": found.is_flat,
        "objects": found.objects,
        "nbytes": found.nbytes,
        "arrays": [value(array) for array in found.arrays],
        "findings": [value(finding) for finding in found.findings],
    }


def registered(done: Registered) -> Document:
    """Tell what ``register`` did."""
    return {
        "did": str(done.dataset.did),
        "was_there": done.was_there,
        "seconds": done.seconds,
        "nbytes_raw": done.nbytes_raw,
        "notes": list(done.notes),
        "dataset": dataset(done.dataset),
    }


def plan(made: Plan, scripts: Mapping[str, str]) -> Document:
    """Tell what would run; ``scripts`` are what would be submitted at each site."""
    return {
        "job": _job(made.job),
        "site": made.site,
        "shares": [_share(share) for share in made.shares],
        "paces": [value(pace) for pace in made.paces],
        "packs": made.packs,
        "home": made.home,
        "blocks": len(made.blocks),
        "passes_at_most": passes_at_most(made),
        "nbytes_near": made.nbytes_near,
        "nbytes_far": made.nbytes_far,
        "memory_nbytes": made.memory_nbytes,
        "keep_nbytes": made.keep_nbytes,
        "seconds": to_json(made.seconds),
        "stages": [value(stage) for stage in made.stages],
        "writes": [_array(array, array.name) for array in made.output.arrays],
        "reasons": [value(reason) for reason in made.reasons],
        "job_scripts": dict(scripts),
    }


def _share(share: Share) -> Document:
    """Describe what a site does; of the blocks only how many."""
    reads = [{"rse": read.rse, "near": read.near, "blocks": len(read.blocks)} for read in share.reads]
    return {**value(share), "reads": reads}


def passes_at_most(made: Plan) -> int:
    """How often the input is gone through, at most; packing only moves what is computed."""
    return sum(stage.passes for stage in made.stages if stage.kind is not StageKind.PACK)


def run(record: Run) -> Document:
    """Describe a run: ``run`` is its id, ``output`` the DID that it writes."""
    return {
        "run": record.id,
        "output": str(record.output),
        "state": str(record.state),
        "job": _job(record.job),
        "created": record.created,
        "finished": record.finished,
        "seconds": record.seconds,
        "nbytes_near": record.nbytes_near,
        "nbytes_far": record.nbytes_far,
        "blocks": record.blocks,
        "blocks_done": record.blocks_done,
        "failed": [_outcome(outcome) for outcome in record.failed],
        "versions": dict(record.versions),
        "facts": dict(record.facts),
    }


def detached(done: Detached) -> Document:
    """Describe a run that goes on by itself, as ``run`` does, with who drives it and where that one writes to."""
    driver = None if done.driver is None else _driver(done.driver)
    return {**run(done.run), "driver": driver, "log": done.log}


def logs(found: RunLogs) -> Document:
    """Tell what is known of a run's troubles."""
    record = found.run
    return {
        "run": record.id,
        "output": str(record.output),
        "state": str(record.state),
        "drivers": [{**_driver(driver), "alive": driver.alive} for driver in found.drivers],
        "failed": [_outcome(outcome) for outcome in record.failed],
        "damages": [value(damage) for damage in found.damages],
        "facts": dict(record.facts),
        "logs": [{"who": file.who, "path": file.path, "cut": file.cut, "lines": list(file.lines)} for file in found.files],
    }


def _driver(driver: Driver) -> Document:
    return {"pid": driver.pid, "host": driver.host}


def progress(seen: Progress) -> Document:
    """How far a run is."""
    return value(seen)


def verification(done: Verification) -> Document:
    """Tell what ``verify`` found: keys by flaw, and each finding with its text."""
    return {
        "did": str(done.did),
        "ok": done.ok,
        "objects": done.objects,
        "nbytes": done.nbytes,
        "missing": list(done.missing),
        "corrupt": list(done.corrupt),
        "unreadable": list(done.unreadable),
        "drift": list(done.drift),
        "extra": list(done.extra),
        "findings": [value(finding) for finding in done.findings],
    }


def verifications(done: Sequence[Verification]) -> Document:
    """Tell what ``verify`` found in all datasets."""
    return {"ok": all(each.ok for each in done), "datasets": [verification(each) for each in done]}


def repair(done: Repair) -> Document:
    """Tell what ``repair`` mended and left."""
    return {
        "did": str(done.did),
        "source": done.source,
        "dry_run": done.dry_run,
        "ok": done.ok,
        "mended": [value(finding) for finding in done.mended],
        "left": [value(finding) for finding in done.left],
    }


def sweep(done: Sweep) -> Document:
    """Tell what ``gc`` found and what became of it."""
    return {
        "dry_run": done.dry_run,
        "ok": done.ok,
        "nbytes": done.nbytes,
        "leftovers": [
            {
                "prefix": each.heap.prefix, "objects": each.heap.objects, "nbytes": each.heap.nbytes,
                "newest": each.heap.newest or None, "what": each.what, "fate": str(each.fate), "why": each.why,
            }
            for each in done.leftovers
        ],
    }


def model(card: ModelCard) -> Document:
    """Describe a model with its options."""
    options = [
        {"name": option.name, "type": option.type, "default": to_json(option.default), "help": option.help}
        for option in card.options
    ]
    return {"name": card.name, "version": card.version, "distribution": card.distribution, "options": options}


def plugin(card: PluginReport) -> Document:
    """Describe a plugin; ``loads`` is null where nobody has tried."""
    return {
        "group": card.group,
        "name": card.name,
        "distribution": card.distribution,
        "version": card.version,
        "loads": card.loads,
        "problem": card.problem,
    }


def setting(item: Setting) -> Document:
    """Give a setting and where it comes from."""
    return {"key": item.key, "value": to_json(item.value), "origin": item.origin}


def demo(done: Demo) -> Document:
    """Tell what ``demo`` made; ``ari`` is the agreement with the pigments that were painted."""
    return {
        "folder": str(done.folder),
        "dataset": str(done.dataset.did),
        "output": str(done.run.output),
        "run": done.run.id,
        "ari": to_json(done.ari),
        "report": str(done.report),
        "seconds": done.seconds,
    }


def _axis(axis: SpectralAxis) -> Document:
    return {**value(axis), "label": axis.label, "is_calibrated": axis.is_calibrated}


def _array(array: ArraySpec, path: str) -> Document:
    return {**value(array), "path": path, "nbytes": array.nbytes}


def _job(job: Job) -> Document:
    links = [{"model": link.model, "version": link.version, "options": {name: to_json(text) for name, text in link.options}} for link in job.links]
    return {
        "name": job.name,
        "digest": job.digest,
        "links": links,
        "seed": job.seed,
        "inputs": dict(job.inputs),
        "scope": job.scope,
        "state": job.state[0] if job.state else None,
        "selection": value(job.selection) if job.selection else None,
    }


def _outcome(outcome: Outcome) -> Document:
    kind, message = outcome.error or ("", "")
    return {"task": outcome.task, "kind": kind, "message": message, "attempt": outcome.attempt, "worker": outcome.worker}
