"""What is said of a dataset on the command line, and how it is shown."""

import pytest

from lakecv.annotation import Annotations


@pytest.mark.parametrize(
    ("words", "call"),
    [
        (("cluster", "3", "lead white"), (("a:b", "cluster", "lead white"), {"number": 3})),
        (("note", "seen by Ada"), (("a:b", "note", "seen by Ada"), {"number": None})),
        (("title", "Tavola"), (("a:b", "title", "Tavola"), {"number": None})),
    ],
)
def test_what_is_said_goes_to_the_lake(lakecv, lake, words, call):
    assert lakecv("annotate", "a:b", *words).code == 0
    assert lake.calls[-1] == ("annotate", *call)


def test_without_words_all_is_listed_and_nothing_said(lakecv, lake):
    out = lakecv("annotate", "museo:tavola").out
    assert lake.calls[-1] == ("annotations", ("museo:tavola",), {})
    assert "3 = lead white" in out
    assert "seen by? Ada  (user.anna, 2026-01-03)" in out


def test_a_dataset_of_which_nobody_spoke_says_so(lakecv, lake):
    lake.answers["annotations"] = Annotations(lake.answers["show"].did)
    done = lakecv("annotate", "museo:tavola")
    assert done.out.startswith("nobody has said anything of museo:tavola")
    assert done.last == "next: lakecv show museo:tavola"


def test_show_tells_names_and_notes_and_the_newest_title(lakecv):
    out = lakecv("show", "museo:tavola").out
    assert "clusters    3 = lead white" in out
    assert "notes       seen by? Ada" in out
    assert lakecv("show", "museo:tavola", "--json").json["annotations"]["names"]["3"].endswith(" white")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("colour", "red"), "'colour' is nothing to annotate"), (("note", "two", "words"), "3 words are given"), (("cluster", "3"), "2 words are given"),
        (("cluster", "three", "x"), "'three' is not the number"), (("cluster", "1" * 9, "x"), "is not the number"), (("cluster", "\u0663", "x"), "is not the number"),
    ],
)
def test_what_has_another_form_is_refused_before_the_lake_is_opened(lakecv, lake, words, message):
    done = lakecv("annotate", "a:b", *words)
    assert (done.code, lake.calls) == (2, [])
    assert message in done.err
