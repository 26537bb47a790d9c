"""Where a method was published, as a value that a model carries with it, and as BibTeX."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Reference"]

_PLACES = {"article": "journal", "inproceedings": "booktitle", "book": "publisher"}
_BRACES = str.maketrans("", "", "{}")  # BibTeX's way to keep a name in one piece


@dataclass(frozen=True, slots=True)
class Reference:
    """A publication.  ``entry`` is BibTeX's word for its sort, ``where`` the journal, the proceedings or the publisher."""

    key: str
    entry: str
    authors: tuple[str, ...]
    title: str
    where: str
    year: int
    volume: str = ""
    pages: str = ""
    doi: str = ""

    @property
    def text(self) -> str:
        """One line for a list of references.

        Examples
        --------
        >>> Reference("a1", "book", ("Ada, A.", "Bea, B."), "On sums", "Press", 1999).text
        'Ada, A. and Bea, B. (1999). On sums. Press.'
        """
        place = ", ".join(part for part in (self.where, self.volume, self.pages) if part)
        doi = f" doi:{self.doi}" if self.doi else ""
        return f"{' and '.join(self.authors).translate(_BRACES)} ({self.year}). {self.title}. {place}.{doi}"

    @property
    def short(self) -> str:
        """Authors and year, as a text cites them.

        Examples
        --------
        >>> Reference("a1", "book", ("Ada, A.", "Bea, B."), "On sums", "Press", 1999).short
        'Ada and Bea 1999'
        """
        names = [author.partition(",")[0] for author in self.authors]
        listed = f"{names[0]} et al." if len(names) > 2 else " and ".join(names)  # noqa: PLR2004
        return f"{listed} {self.year}"

    @property
    def bibtex(self) -> str:
        """Entry for a bibliography; the title keeps its capitals."""
        said = {
            "author": " and ".join(self.authors), "title": f"{{{self.title}}}", _PLACES.get(self.entry, "howpublished"): self.where,
            "year": str(self.year), "volume": self.volume, "pages": self.pages.replace("-", "--"), "doi": self.doi,
        }  # fmt: skip
        fields = ",\n".join(f"  {name} = {{{text}}}" for name, text in said.items() if text)
        return f"@{self.entry}{{{self.key},\n{fields}\n}}"
