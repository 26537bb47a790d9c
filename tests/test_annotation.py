"""What may be said of a dataset, and what holds of what was said."""

import pytest

from lakecv.annotation import About, Annotation, Annotations, checked_text, moment_after
from lakecv.errors import InvalidInput, Kind
from lakecv.records import DID

TAVOLA = DID("museo", "tavola")


def said(about, text, second, number=None, ident="0a"):
    return Annotation(TAVOLA, about, text, "user.ada", f"2026-01-01T00:00:{second:02d}.000000Z", ident, number)


def test_the_newest_title_and_name_hold_and_every_note_is_kept():
    entries = [
        said(About.TITLE, "new", 9), said(About.TITLE, "old", 1), said(About.NOTE, "a", 2), said(About.NOTE, "b", 3),
        said(About.CLUSTER, "lead white", 5, 2), said(About.CLUSTER, "chalk", 4, 2), said(About.CLUSTER, "azurite", 4, 0),
    ]  # fmt: skip
    found = Annotations.of(TAVOLA, entries)
    assert (found.title, [note.text for note in found.notes]) == ("new", ["a", "b"])
    assert found.names == {0: "azurite", 2: "lead white"}
    assert list(found.names) == [0, 2]
    assert sorted(found.history, key=lambda each: each.text) == sorted(entries, key=lambda each: each.text)


def test_of_two_at_the_same_instant_all_readers_take_the_same():
    pair = [said(About.CLUSTER, "a", 1, 0, "0a"), said(About.CLUSTER, "b", 1, 0, "0b")]
    assert Annotations.of(TAVOLA, pair).names == Annotations.of(TAVOLA, pair[::-1]).names == {0: "b"}


def test_what_is_said_on_a_slow_clock_is_newer_than_what_was_said_before():
    before = Annotation(TAVOLA, About.TITLE, "a", "ada", "2999-12-31T23:59:59.999999Z", "0")
    assert moment_after(Annotations(TAVOLA, (before,))) == "3000-01-01T00:00:00.000000Z"


def test_entries_sort_by_name_as_by_time_and_are_names_of_a_did():
    entries = [said(About.NOTE, "a", second) for second in (3, 1, 2)]
    assert sorted(entries, key=lambda each: each.entry) == sorted(entries, key=lambda each: each.created)
    assert DID("museo", f"tavola.annotation.{entries[0].entry}")


@pytest.mark.parametrize(
    ("about", "text", "message"),
    [
        (About.CLUSTER, "", "is empty"), (About.CLUSTER, " \t ", "is empty"), (About.NOTE, "a\nb", "U+000A"), (About.TITLE, "\x1b[2Jx", "U+001B"),
        (About.CLUSTER, "gnp\u202eexe", "U+202E"), (About.CLUSTER, "a\x00b", "U+0000"), (About.NOTE, "a\u2028b", "U+2028"),
        (About.CLUSTER, "x" * 81, "at most 80"), (About.TITLE, "x" * 201, "at most 200"), (About.NOTE, "x" * 2001, "at most 2000"),
        (About.NOTE, "\udc80", "U+DC80"),
    ],
)  # fmt: skip
def test_text_that_cannot_be_shown_is_refused(about, text, message):
    with pytest.raises(InvalidInput) as caught:
        checked_text(about, text)
    assert caught.value.kind is Kind.OPTION_INVALID
    assert message in str(caught.value)


@pytest.mark.parametrize("text", ["bianco di piombo (céruse)", "鉛白", "<b>'\"&{}%s", "x" * 80])
def test_text_in_any_language_is_kept_letter_by_letter(text):
    assert checked_text(About.CLUSTER, text) == text
