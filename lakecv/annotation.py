"""What people say of a dataset after it was written: a better title, notes, the names of its clusters.

Annotations are the catalog's, never data: each is a new entry, none is ever rewritten.  Of titles and of a cluster's names the
newest holds; notes are all shown.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from lakecv.errors import InvalidInput, Kind
from lakecv.records import DID

__all__ = ["About", "Annotation", "Annotations", "checked_text", "moment_after"]

_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_FORM = "%Y-%m-%dT%H:%M:%S.%fZ"


class About(StrEnum):
    """What is annotated."""

    TITLE = "title"
    NOTE = "note"
    CLUSTER = "cluster"


MOST_LETTERS = {About.TITLE: 200, About.NOTE: 2000, About.CLUSTER: 80}
"""How long a text may be."""


@dataclass(frozen=True, slots=True)
class Annotation:
    """One thing that somebody said; ``number`` is the cluster's.  ``id`` is unique, so that no two writers share an entry."""

    did: DID
    about: About
    text: str
    author: str
    created: str
    id: str
    number: int | None = None

    @property
    def entry(self) -> str:
        """Name of its entry in a catalog, in the letters of a DID; sorted by name, entries are sorted by time."""
        return f"{self.created.replace('-', '').replace(':', '')}-{self.id}"


@dataclass(frozen=True, slots=True)
class Annotations:
    """All that was said of a dataset, oldest first, and what holds of it."""

    did: DID
    history: tuple[Annotation, ...] = ()

    @classmethod
    def of(cls, did: DID, said: Iterable[Annotation]) -> Annotations:
        """Put what was said in the order of time."""
        return cls(did, tuple(sorted(said, key=lambda each: (each.created, each.id))))

    @property
    def title(self) -> str | None:
        """Newest title, None where the dataset's own holds."""
        return next((each.text for each in reversed(self.history) if each.about is About.TITLE), None)

    @property
    def notes(self) -> tuple[Annotation, ...]:
        """All notes."""
        return tuple(each for each in self.history if each.about is About.NOTE)

    @property
    def names(self) -> dict[int, str]:
        """Newest name of each cluster that has one, by number."""
        said = {each.number: each.text for each in self.history if each.about is About.CLUSTER and each.number is not None}
        return dict(sorted(said.items()))


def checked_text(about: About, text: str) -> str:
    """Give a text that can be shown anywhere, without the spaces around it.

    Raises
    ------
    InvalidInput
        If it is empty, too long, or holds what cannot be seen: line breaks, terminal escapes, direction marks (kind
        ``option-invalid``).

    Examples
    --------
    >>> checked_text(About.CLUSTER, " lead white ")
    'lead white'
    """
    plain, what = text.strip(), "name of a cluster" if about is About.CLUSTER else str(about)
    if not plain:
        raise InvalidInput(f"the {what} is empty", Kind.OPTION_INVALID, "nothing is ever removed; say what holds instead")
    if len(plain) > MOST_LETTERS[about]:
        hint = "say it shorter" if about is About.NOTE else "say it shorter; longer text goes to a note"
        raise InvalidInput(f"the {what} has {len(plain)} letters; at most {MOST_LETTERS[about]} fit", Kind.OPTION_INVALID, hint)
    hidden = next((letter for letter in plain if unicodedata.category(letter) in _HIDDEN), None)
    if hidden is not None:
        raise InvalidInput(
            f"the {what} holds the letter U+{ord(hidden):04X}, which cannot be seen", Kind.OPTION_INVALID, "write one line of plain text",
        )
    return plain


def moment_after(said: Annotations) -> str:
    """Time of what is said now: later than all that was said before, however clocks differ.

    Examples
    --------
    >>> before = Annotation(DID("museo", "tavola"), About.NOTE, "a", "ada", "2999-12-31T23:59:59.000000Z", "0")
    >>> moment_after(Annotations(before.did, (before,)))
    '2999-12-31T23:59:59.000001Z'
    """
    now = datetime.now(UTC)
    if said.history:
        now = max(now, datetime.strptime(said.history[-1].created, _FORM).replace(tzinfo=UTC) + timedelta(microseconds=1))
    return now.strftime(_FORM)
