"""The page holds every section, nothing from outside, and nothing that users wrote as markup."""

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from lakecv.cube import Quantity, SpectralAxis
from lakecv.plan import Outcome, RunState
from lakecv.report.page import render

HOSTILE = "<script>alert(1)</script>\x1b[2J\u202egnp.exe{{ 7*7 }}$x^2$"


class _Page(HTMLParser):
    """Tags with their attributes, ids, and the text that is seen."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text, self._skip = [], [], False
        self.feed(page.decode())

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._skip = tag == "style"

    def handle_data(self, data):
        if not self._skip:
            self.text.append(data)

    @property
    def ids(self):
        return {attrs["id"] for _, attrs in self.tags if "id" in attrs}

    @property
    def charts(self):
        uris = [attrs["src"] for tag, attrs in self.tags if tag == "img" and attrs["src"].startswith("data:image/svg")]
        return [base64.b64decode(uri.partition(",")[2]) for uri in uris]


def _charts_text(page):
    return " ".join("".join(ET.fromstring(chart).itertext()) for chart in page.charts)


def test_a_run_with_labels_shows_every_section(report):
    page = _Page(render(report()))
    assert page.ids >= {"maps", "clusters", "spectra", "scores", "arrays", "execution", "traffic", "provenance"}
    assert page.ids.isdisjoint({"failed", "failures", "warnings"})


def test_a_run_of_pca_shows_scores_loadings_and_variance_and_no_clusters(report):
    page = _Page(render(report("pca")))
    text = " ".join(page.text)
    assert page.ids >= {"maps", "spectra", "scores", "arrays"}
    assert "clusters" not in page.ids
    assert all(words in text for words in ("Score: first three", "Score 4", "Loadings", "Explained variance"))


def test_the_same_data_give_the_same_bytes(report):
    assert render(report()) == render(report())


def test_the_page_forbids_all_that_it_does_not_hold(report):
    tags = _Page(render(report())).tags
    policies = [attrs["content"] for tag, attrs in tags if attrs.get("http-equiv") == "Content-Security-Policy"]
    assert len(policies) == 1
    assert policies[0].startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'")


@pytest.mark.parametrize("model", ["kmeans", "pca"])
def test_nothing_is_fetched_and_nothing_runs(report, model):
    tags = _Page(render(report(model))).tags
    assert not {"script", "link", "iframe", "object", "embed", "base", "form"} & {tag for tag, _ in tags}
    urls = [value for _, attrs in tags for name, value in attrs.items() if name in {"src", "href", "srcset", "action"}]
    assert urls
    assert all(url.startswith("data:image/") for url in urls)
    assert not [name for _, attrs in tags for name in attrs if name.startswith("on")]


def test_charts_refer_to_nothing_outside_themselves(report):
    for chart in _Page(render(report())).charts:
        for element in ET.fromstring(chart).iter():
            links = [value for name, value in element.attrib.items() if name.endswith("href")]
            assert all(link.startswith("#") for link in links)


def _hostile(data):
    outcome = Outcome("0-map-000/000001", 1.0, 101.0, 0, 0, HOSTILE, 3, error=("codec-failed", HOSTILE))
    dataset = replace(data.dataset, title=HOSTILE, warnings=(HOSTILE,))
    images = tuple((replace(spec, title=HOSTILE), array) for spec, array in data.images)
    tables = tuple((replace(spec, title=HOSTILE, unit=HOSTILE), table) for spec, table in data.tables)
    run = replace(data.run, failed=(outcome,), state=RunState.FAILED, facts=((HOSTILE, HOSTILE),))
    return replace(data, run=run, dataset=dataset, images=images, tables=tables, outcomes=(*data.outcomes, outcome),
                   command=HOSTILE, label_names=(HOSTILE,), score=((HOSTILE, HOSTILE),))  # fmt: skip


@pytest.mark.parametrize("model", ["kmeans", "pca"])
def test_what_users_wrote_is_shown_as_text(report, model):
    page = render(_hostile(report(model)))
    parsed = _Page(page)
    assert "script" not in {tag for tag, _ in parsed.tags}
    assert "<script>alert(1)</script>gnp.exe{{ 7*7 }}$x^2$" in " ".join(parsed.text)
    assert "$x^2$" in _charts_text(parsed)


@pytest.mark.parametrize("model", ["kmeans", "pca"])
def test_no_control_character_and_no_direction_mark_reaches_the_page(report, model):
    page = render(_hostile(report(model)))
    for text in (page.decode(), *(chart.decode() for chart in _Page(page).charts)):
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]", text)


def test_an_axis_that_nobody_calibrated_is_said_to_be_so(report):
    page = _Page(render(report(axis=SpectralAxis(40))))
    assert "not calibrated" in " ".join(page.text)
    assert "channel (not calibrated)" in _charts_text(page)


def test_a_calibrated_axis_names_its_quantity_and_unit(report):
    page = _Page(render(report(axis=SpectralAxis(40, Quantity.WAVELENGTH, "nm", 400.0, 10.0))))
    assert "not calibrated" not in " ".join(page.text)
    assert "wavelength [nm]" in _charts_text(page)


def test_failed_tasks_are_named_with_what_happened_and_what_to_type(report):
    data = report()
    outcome = Outcome("0-map-000/000003", 1.0, 101.0, 0, 0, "local-1", 3, error=("checksum-mismatch", "chunk c/0/1 is bad"))
    run = replace(data.run, state=RunState.FAILED, failed=(outcome,), blocks_done=5)
    page = _Page(render(replace(data, run=run)))
    text = " ".join(page.text)
    assert {"failed", "failures"} <= page.ids
    assert all(words in text for words in ("0-map-000/000003", "checksum-mismatch", "chunk c/0/1 is bad", f"lakecv resume {run.id}"))


def test_areas_are_written_in_pixels_percent_and_the_unit_of_the_picture(report):
    data = report()
    pixels = data.label_areas()
    text = " ".join(_Page(render(data)).text)
    for count in pixels:
        assert f"{count}" in text
        assert f"{100 * count / sum(pixels):.1f} %" in text
        assert f"{count * 0.25:g} mm²" in text


def test_areas_are_counted_where_no_table_gives_them(report):
    data = report()
    bare = replace(data, tables=())
    assert bare.label_areas() == data.label_areas()
    assert "clusters" in _Page(render(bare)).ids


def test_provenance_holds_what_it_takes_to_repeat_the_run(report):
    data = report()
    text = " ".join(_Page(render(data)).text)
    job = data.run.job
    facts = (job.digest, "1a" * 32, data.run.id, str(data.run.output), "k=3", "lakecv 0.1.0", data.command, "file:///lake/museo")
    assert [fact for fact in facts if fact not in text] == []


def test_a_run_of_which_nothing_is_left_but_its_record_still_gives_a_page(report):
    data = report()
    bare = replace(data, quicklook=None, images=(), tables=(), outcomes=(), score=(), command="", run=replace(data.run, facts=()))
    page = _Page(render(bare))
    assert page.ids == {"execution", "traffic", "provenance"}


def test_a_map_larger_than_a_page_is_drawn_smaller_and_says_so(report):
    data = report()
    spec = replace(data.images[0][0], shape=(40, 2100))
    large = np.zeros((40, 2100), np.uint8)
    page = _Page(render(replace(data, images=((spec, large),))))
    assert "Drawn at 1/3 of its size" in " ".join(page.text)


def test_counts_with_a_wide_range_can_be_seen_on_a_logarithmic_scale(report):
    data = report()
    assert "to-log" in render(data).decode().partition("<body>")[2]
    flat = tuple((spec, np.ones_like(table)) for spec, table in data.tables)
    assert "to-log" not in render(replace(data, tables=flat)).decode().partition("<body>")[2]


def test_no_chart_writes_the_source_of_a_formula(report):
    for model in ("kmeans", "pca"):
        assert "mathdefault" not in _charts_text(_Page(render(report(model))))


def test_a_sky_picture_has_its_first_row_at_the_bottom(report):
    data = report()
    cube = data.plan.input
    sky = replace(data.plan, input=replace(cube, grid=replace(cube.grid, wcs="CTYPE1  = 'RA---TAN'")))
    turned = [attrs.get("class") for tag, attrs in _Page(render(replace(data, plan=sky))).tags if tag == "img"]
    assert "upward" in turned
    assert "upward" not in [attrs.get("class") for tag, attrs in _Page(render(data)).tags if tag == "img"]
