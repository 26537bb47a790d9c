"""Names of clusters, a title and notes in a report that was written before anybody said them.

The stored page is not touched: its copy is filled in at the places that the template keeps for names.
"""

from __future__ import annotations

import re
from html import escape

from lakecv.annotation import Annotations
from lakecv.report.text import clean

__all__ = ["named"]

_SWATCH = r'<span class="swatch" style="background:#[0-9a-f]{6}"></span>(\d+)'
_ROW = re.compile(rf'(<td class="label">{_SWATCH}<span class="name">)[^<]*(</span>)')
_KEY = re.compile(rf'(<span>{_SWATCH})(?:<span class="name">[^<]*</span>)?(</span>)')
_BEFORE = '<section id="provenance">'


def named(page: bytes, said: Annotations) -> bytes:
    """Write names, title and notes into a report; without any it stays as it is, byte for byte.

    What users wrote stands escaped in a page, so what looks like the template's own places is the template's.
    """
    if not said.history:
        return page
    names = {str(number): _plain(name) for number, name in said.names.items()}

    def row(match: re.Match[str]) -> str:
        return f"{match[1]}{names[match[2]]}{match[3]}" if match[2] in names else match[0]

    def key(match: re.Match[str]) -> str:
        return f'{match[1]}<span class="name">{names[match[2]]}</span>{match[3]}' if match[2] in names else match[0]

    text = _KEY.sub(key, _ROW.sub(row, page.decode()))
    head, before, tail = text.rpartition(_BEFORE)
    return f"{head}{_section(said)}{before}{tail}".encode() if before else text.encode()


def _section(said: Annotations) -> str:
    """Title and notes, with who said them when."""
    rows = [("title", said.title)] if said.title is not None else []
    rows += [(f"note of {each.author}, {each.created[:10]}", each.text) for each in said.notes]
    if not rows:
        return ""
    body = "".join(f"<dt>{_plain(name)}</dt><dd><span>{_plain(text)}</span></dd>" for name, text in rows)
    return f'<section id="annotations"><h2>Annotations</h2>\n<div class="card"><dl class="rows">{body}</dl></div>\n</section>\n'


def _plain(text: str) -> str:
    return escape(clean(text))
