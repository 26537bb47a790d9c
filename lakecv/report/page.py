"""The report of a run: one HTML page that holds everything it shows, runs nothing and fetches nothing.

It can be opened from a lake, mailed, printed or shown in a talk years later, on a machine that has no lakecv.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lakecv.cube import Role
from lakecv.plan import RunState
from lakecv.records import Replica
from lakecv.report import text
from lakecv.report.charts import Chart, Grid2D, charts, is_mean_spectra, timeline
from lakecv.report.data import ReportData
from lakecv.report.palette import label_color
from lakecv.report.pictures import Picture, aspect, data_uri, pictures, scale_bar

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["ReportData", "render"]

_SPARK_POINTS, _SPARK_WIDTH, _SPARK_HEIGHT = 64, 120.0, 24.0
_FAILURES, _LABELS = 50, 64


@dataclass(frozen=True, slots=True)
class Cluster:
    """A row of the table of clusters; ``spark`` is the path of its mean spectrum, ``width`` its bar in percent."""

    label: int
    name: str
    color: str
    pixels: str
    share: str
    area: str
    width: float
    spark: str


def render(data: ReportData) -> bytes:
    """Write the report.

    Parameters
    ----------
    data : ReportData
        A finished or failed run.

    Returns
    -------
    bytes
        HTML in UTF-8; the same data give the same bytes with one set of library versions.
    """
    maps, others = _maps(data)
    shown = list(charts(data))
    grid = data.plan.input.grid
    page = _template().render(
        run=data.run, plan=data.plan, job=data.run.job, dataset=data.dataset, command=data.command,
        lead=_lead(data), tiles=_tiles(data), warnings=data.dataset.warnings,
        maps=maps, others=others,
        aspect=round(aspect(grid), 4), scale=scale_bar(grid), upward=grid.wcs is not None,
        clusters=_clusters(data)[:_LABELS], left_out=max(0, len(data.label_areas()) - _LABELS),
        spectra=[c for c in shown if isinstance(c, Chart) and c.section == "spectra"],
        scores=[c for c in shown if isinstance(c, Chart) and c.section == "scores"],
        grids=[c for c in shown if isinstance(c, Grid2D)],
        facts=(*data.score, *data.run.facts), timeline=timeline(data), traffic=_traffic(data),
        failed=data.failed[:_FAILURES], nfailed=len(data.failed), is_done=data.run.state is RunState.DONE,
        provenance=_provenance(data),
    )  # fmt: skip
    return page.encode()


@cache
def _template() -> Template:
    """Load the page's template; every value that it prints is cleaned, then escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("lakecv.report"), autoescape=True, undefined=StrictUndefined, finalize=_finalize,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("report.html.j2")


def _finalize(value: Any) -> Any:
    """Clean what is plain text; what jinja2 has made itself (a macro's output) and long data urls pass."""
    if type(value) is not str or value.startswith("data:image/"):
        return value
    return text.clean(value)


def _lead(data: ReportData) -> str:
    """One sentence: what ran on what and what came out."""
    grid, axis = data.plan.input.grid, data.axis
    size = f"{grid.nx:,} x {grid.ny:,} pixels" + (f", {axis.size:,} channels" if axis else "")
    clusters = len(data.label_areas())
    result = f"found {clusters} clusters" if clusters else "wrote " + ", ".join(spec.name for spec in data.plan.output.arrays)
    verb = result if data.run.state is RunState.DONE else "has not finished"
    return f"{data.run.job.name} on {data.dataset.did} ({size}) {verb}."


def _tiles(data: ReportData) -> list[tuple[str, str]]:
    """Figures to see first: at most four, value and words."""
    tiles = [(value, name) for name, value in data.score[:1]]
    grid = data.plan.input.grid
    tiles.append((f"{grid.ny * grid.nx:,}", "pixels"))
    if data.run.seconds is not None:
        tiles.append((text.duration(data.run.seconds), f"on {' and '.join(share.site for share in data.plan.shares)}, {data.plan.workers} worker{'s' * (data.plan.workers > 1)}"))
    tiles.append((text.nbytes(data.run.nbytes_far), "read from afar"))
    return tiles


def _maps(data: ReportData) -> tuple[list[Picture], list[Picture]]:
    """Pictures to see first (the quick look beside label maps, references and composites), and the others."""
    drawn = [picture for spec, array in data.images for picture in pictures(spec, array)]
    first = [picture for picture in drawn if picture.role in {Role.LABELS, Role.RGB}]
    others = [picture for picture in drawn if picture not in first]
    if data.quicklook is None:
        return first, others
    note = "False colors: three parts of the spectral axis, from blue (first channels) to red (last)."
    if data.plan.input.grid.wcs is not None:
        note += " The first row is at the bottom, as in FITS."
    return [Picture(data_uri(data.quicklook), "Quick look of the input", Role.RGB, note), *first], others


def _clusters(data: ReportData) -> list[Cluster]:
    areas = data.label_areas()
    means = next((np.asarray(table, float) for spec, table in data.tables if is_mean_spectra(spec)), None)
    grid, whole, largest = data.plan.input.grid, sum(areas), max(areas, default=0)
    return [
        Cluster(
            label, data.label_names[label] if label < len(data.label_names) else "", label_color(label), f"{pixels:,}",
            text.percent(pixels, whole), text.area(pixels, grid.pixel_size, grid.pixel_unit),
            round(100 * pixels / largest, 2) if largest else 0.0,
            _spark(means[label]) if means is not None and label < len(means) else "",
        )
        for label, pixels in enumerate(areas)
    ]  # fmt: skip


def _spark(spectrum: NDArray[np.float64]) -> str:
    """Path of a spectrum as a tiny curve, from its least to its greatest value; peaks are kept."""
    edges = np.unique(np.linspace(0, len(spectrum), _SPARK_POINTS + 1).astype(int)[:-1])
    tops = np.maximum.reduceat(np.nan_to_num(spectrum), edges)
    low, high = min(0.0, float(tops.min())), float(tops.max())
    y = _SPARK_HEIGHT - 1 - (tops - low) / (high - low if high > low else 1.0) * (_SPARK_HEIGHT - 2)
    x = np.linspace(0, _SPARK_WIDTH, len(tops))
    return "M" + "L".join(f"{px:.1f} {py:.1f}" for px, py in zip(x, y, strict=True))


def _traffic(data: ReportData) -> dict[str, Any]:
    """Bytes read near and far, and the near part in percent."""
    near, far = data.run.nbytes_near, data.run.nbytes_far
    share = 100 * near / (near + far) if near + far else 100.0
    return {"near": text.nbytes(near), "far": text.nbytes(far), "share": round(share, 2)}


def _read_from(data: ReportData) -> list[Replica]:
    """Replicas that the plan read first."""
    rses = {read.rse for share in data.plan.shares for read in share.reads}
    return [replica for replica in data.dataset.replicas if replica.rse in rses]


def _provenance(data: ReportData) -> list[tuple[str, list[str], bool]]:
    """Tell what it takes to know, and to repeat, what was done: name, values, whether they are digests or commands."""
    run, plan, job = data.run, data.plan, data.run.job
    options = [", ".join(f"{name}={value}" for name, value in link.options) or "no options" for link in job.links]
    links = [f"{link.model} {link.version}: {words}" for link, words in zip(job.links, options, strict=True)]
    rows: list[tuple[str, list[str], bool]] = [
        ("output", [str(run.output)], True),
        ("input", [f"{did} {digest}" for did, digest in job.inputs], True),
        ("title of the input", [data.dataset.title] if data.dataset.title else [], False),
        ("selected", [*(job.selection.parts if job.selection else ())], True),
        ("read from", [f"{each.rse} ({each.url})" for each in _read_from(data)], True),
        ("models", links, True),
        ("state used", [" ".join(job.state)] if job.state else [], True),
        ("seed", [str(job.seed)], True),
        ("job digest", [job.digest], True),
        ("run", [run.id], True),
        ("created", [run.created], False),
        ("finished", [run.finished] if run.finished else [], False),
        ("where", [f"{each.site} ({each.executor}), {each.workers} workers with {each.threads} threads each" for each in plan.shares], False),
        ("written to", [plan.home], True),
        ("versions", [f"{name} {version}" for name, version in run.versions], True),
    ]
    return [row for row in rows if row[1]]
