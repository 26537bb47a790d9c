"""Names, notes and titles in a report that was written before they were given."""

import re

from lakecv.annotation import About, Annotation, Annotations
from lakecv.records import DID
from lakecv.report.naming import named
from lakecv.report.page import render

RESULT = DID("museo", "tavola-3.kmeans.1")


def _said(*entries):
    return Annotations(RESULT, tuple(
        Annotation(RESULT, about, text, "user.ada", f"2026-01-0{place}T00:00:00.000000Z", "0", number)
        for place, (about, text, number) in enumerate(entries, 1)
    ))  # fmt: skip


def _rows(page):
    return re.findall(r'<td class="label"><span[^>]*></span>(\d+)<span class="name">(.*?)</span>', page.decode())


def test_a_report_of_which_nobody_spoke_stays_byte_for_byte(report):
    page = render(report())
    assert named(page, _said()) is page


def test_clusters_have_their_names_in_the_table_and_beside_the_spectra(report):
    page = named(render(report()), _said((About.CLUSTER, "lead white", 1)))
    assert _rows(page) == [("0", ""), ("1", "lead white"), ("2", "")]
    assert re.findall(rb'<div class="keys"><span>.*?1<span class="name">lead white</span></span>', page)
    assert page.count(b"lead white") == 2


def test_only_what_was_said_differs_from_the_page_as_it_was(report):
    page = render(report())
    after = named(page, _said((About.CLUSTER, "lead white", 1)))
    assert re.sub(rb'(?<=</span>1)<span class="name">lead white</span>(?=</span>)', b"", after).replace(b"lead white", b"") == page


def test_a_name_that_the_run_knew_is_replaced(report):
    from dataclasses import replace

    page = render(replace(report(), label_names=("smalt", "chalk & lime", "ochre")))
    assert _rows(named(page, _said((About.CLUSTER, "gesso", 1)))) == [("0", "smalt"), ("1", "gesso"), ("2", "ochre")]
    assert b"chalk" not in named(page, _said((About.CLUSTER, "gesso", 1)))


def test_markup_in_what_was_said_is_text(report):
    hostile = "<script>alert(1)</script>&\"'\\1\\g<0>"
    page = named(render(report()), _said((About.CLUSTER, hostile, 1), (About.NOTE, hostile, None), (About.TITLE, hostile, None)))
    assert b"<script" not in page
    assert page.count(b"&lt;script&gt;alert(1)&lt;/script&gt;&amp;&quot;&#x27;\\1\\g&lt;0&gt;") == 4


def test_words_in_a_report_that_look_like_its_legend_are_left_alone(report):
    from dataclasses import replace

    fake = '<td class="label"><span class="swatch" style="background:#0072b2"></span>1<span class="name"></span>'
    data = report()
    page = render(replace(data, command=fake, dataset=replace(data.dataset, title=fake)))
    assert named(page, _said((About.CLUSTER, "lead white", 1))).count(b"lead white") == 2


def test_notes_and_title_stand_before_the_provenance_with_their_author(report):
    page = named(render(report()), _said((About.NOTE, "seen by Ada", None), (About.TITLE, "The third panel", None))).decode()
    section = page.index('<section id="annotations">')
    assert page.index('<section id="execution">') < section < page.index('<section id="provenance">')
    assert "<dt>note of user.ada, 2026-01-01</dt><dd><span>seen by Ada</span></dd>" in page
    assert "<dt>title</dt><dd><span>The third panel</span></dd>" in page
