"""From what a user asks to a plan: which sites may do it, and what each of them holds of the input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from lakecv import config
from lakecv.api import replicating
from lakecv.config import Settings
from lakecv.cube import Block, Window
from lakecv.execution.chain import build_chain, stored_outputs
from lakecv.job import Job
from lakecv.lake_io.layout import lay_out, shards
from lakecv.lake_io.place import LOCAL
from lakecv.plan import Plan, Reason
from lakecv.planning.make import Wish, make_plan
from lakecv.planning.rates import Rates
from lakecv.ports import CatalogBackend, StorageElements
from lakecv.records import Dataset
from lakecv.selection import Selection
from lakecv.site import Site

__all__ = ["AUTO", "plan_job"]

AUTO = "auto"
"""Asks for every site that can do it."""

_LOCAL = "local"


def plan_job(
    job: Job, dataset: Dataset, *, settings: Settings, catalog: CatalogBackend, rates: Rates, site: str | None = None,
    to: str | None = None, ignore_locality: bool = False, blocks: tuple[Block, ...] | None = None,
) -> Plan:
    """Plan a job at a site, or over all (:data:`AUTO`), by what was learnt; errors as of :func:`lakecv.planning.make.make_plan`."""
    replicating.check_home(catalog, to)
    chain = build_chain(job, job.selected(dataset.cube))
    outputs = tuple(lay_out(spec) for spec in stored_outputs(chain, job.keep))
    home = to or (None if isinstance(catalog, StorageElements) else LOCAL)  # without storage elements all results lie in the lake
    wish = Wish(job, dataset, tuple(link.workload for link in chain), outputs, home, _holders(job, dataset))
    asked = site or settings.site
    sites, left_out = _sites(asked, settings)
    made = make_plan(wish, sites, rates=rates, asked=asked, ignore_locality=ignore_locality, given=blocks)
    untried = tuple(Reason(each.name, chosen=True, text="nobody has tried its profile yet") for each in sites if not each.tested)
    return replace(made, reasons=(*made.reasons, *left_out, *untried))


def _holders(job: Job, dataset: Dataset) -> Callable[[Window], tuple[int, ...]] | None:
    """Say which replicas hold what a window of the selected cube reads; None where each one that can be read holds all."""
    if all(replica.keys is None for replica in dataset.replicas):
        return None
    held = [None if replica.keys is None else frozenset(replica.keys) for replica in dataset.replicas]
    selection = job.selection or Selection()
    arrays = [dataset.cube.array(spec.name) for spec in selection.of(dataset.cube).arrays]

    def holders(window: Window) -> tuple[int, ...]:
        stored = selection.stored(window)
        needed = {f"{dataset.path_of(spec.name)}/{shard.key}".replace("/", ".") for spec in arrays for shard in shards(spec, stored)}
        return tuple(number for number, keys in enumerate(held) if keys is None or needed <= keys)

    return holders


def _sites(asked: str, settings: Settings) -> tuple[Sequence[Site], tuple[Reason, ...]]:
    """Sites that are meant, and why others are not: where all are, those that were tried, and this machine only for want of another."""
    if asked != AUTO:
        return [config.site(asked, settings)], ()
    found = config.sites(settings)
    tried = [site for site in found if site.tested and site.executor != _LOCAL]
    left_out = [Reason(site.name, chosen=False, text="its profile is not tried: name it with --site") for site in found if not site.tested]
    local = [site for site in found if site.executor == _LOCAL]
    if tried:
        left_out += [Reason(site.name, chosen=False, text="it is where you type: name it with --site") for site in local]
    return tried or local, tuple(left_out)
