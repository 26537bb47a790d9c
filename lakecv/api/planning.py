"""From what a user asks to a plan: which sites may do it, and what each of them holds of the input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lakecv import config
from lakecv.api import replicating
from lakecv.config import Settings
from lakecv.execution.chain import build_chain, stored_outputs
from lakecv.job import Job
from lakecv.lake_io.layout import lay_out
from lakecv.plan import Plan, Reason
from lakecv.planning.make import Wish, make_plan
from lakecv.ports import CatalogBackend
from lakecv.records import Dataset
from lakecv.site import Site

__all__ = ["AUTO", "plan_job"]

AUTO = "auto"
"""Asks for every site that can do it."""

_LOCAL = "local"


def plan_job(
    job: Job, dataset: Dataset, *, settings: Settings, catalog: CatalogBackend, site: str | None = None, to: str | None = None,
    ignore_locality: bool = False,
) -> Plan:
    """Plan a job at a site, or over all (:data:`AUTO`); errors as of :func:`lakecv.planning.make.make_plan`."""
    replicating.check_home(catalog, to)
    chain = build_chain(job, dataset.cube)
    outputs = tuple(lay_out(spec) for spec in stored_outputs(chain, job.keep))
    wish = Wish(job, dataset, tuple(link.workload for link in chain), outputs, to)
    asked = site or settings.site
    sites, left_out = _sites(asked, settings)
    made = make_plan(wish, sites, asked=asked, ignore_locality=ignore_locality)
    untried = tuple(Reason(each.name, chosen=True, text="nobody has tried its profile yet") for each in sites if not each.tested)
    return replace(made, reasons=(*made.reasons, *left_out, *untried))


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
