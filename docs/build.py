"""Writes the generated parts of ``docs/``: the command reference, and the sections of the guide between markers.

What a reader looks up comes from the code that obeys it, so that no page can drift; ``tests/test_docs.py`` compares.
``python docs/build.py`` writes.  A section lies between ``<!-- begin NAME -->`` and ``<!-- end NAME -->``.
"""
# ruff: noqa: INP001  (a script beside the pages that it writes)

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from lakecv import config, registry
from lakecv.api.jobs import option_cards
from lakecv.cli.failures import EXIT_CODES
from lakecv.cli.reference import markdown
from lakecv.config.grammar import BatchTable, LinkTable, ProfileTable, SettingsTable, WorkerTable
from lakecv.config.settings import Settings

__all__ = ["SECTIONS", "pages", "render"]

ROOT = Path(__file__).resolve().parents[1]
BAD_INPUT = ROOT / "tests" / "bad_input.toml"
_OWN = "lakecv"
_SECTION = re.compile(r"(<!-- begin ([a-z-]+) -->\n).*?(<!-- end \2 -->)", re.DOTALL)


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Write a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(_cell(item) for item in line)} |\n" for line in lines)


def models() -> str:
    """Describe lakecv's own models with their options."""
    names = [card.name for card in registry.plugins() if (card.group, card.distribution) == ("lakecv.models", _OWN)]
    return "\n".join(_model(name) for name in names)


def settings() -> str:
    """List the keys of ``config.toml``."""
    defaults = {setting.key: setting.value for setting in config.show(Settings("", "", "", ""))}
    words = {"lake": "a folder in your data directory", "catalog": "`documents`", "scope": "`user.<account>`", "site": "`local`"}
    rows = [
        (f"`{key}`", f"`LAKECV_{key.upper()}`", words.get(key, defaults[key]), field.description)
        for key, field in SettingsTable.model_fields.items()
    ]
    return table(("key", "environment", "default", "meaning"), rows)


def profiles() -> str:
    """List the keys of a site profile."""
    parts: tuple[tuple[str, type[BaseModel]], ...] = (
        ("", ProfileTable), ("worker.", WorkerTable), ("links[].", LinkTable), ("batch.", BatchTable),
    )
    rows = [
        (f"`{prefix}{key}`", _default(field), field.description)
        for prefix, kind in parts for key, field in kind.model_fields.items()
    ]
    return table(("key", "default", "meaning"), rows)


def exit_codes() -> str:
    """List the exit codes."""
    return table(("code", "meaning"), EXIT_CODES)


def bad_input() -> str:
    """Print the table of bad input that the tests run; cases that need what is not built yet are left out."""
    cases = tomllib.loads(BAD_INPUT.read_text(encoding="utf-8"))["case"]
    rows = [
        (case["title"], case["code"], f"`{case['kind']}`" if "kind" in case else case["verdict"], case["cause"], case.get("hint", ""))
        for case in cases if "not_applicable" not in case
    ]
    return table(("what is given", "exit code", "kind", "what is said", "hint"), rows)


SECTIONS: dict[str, Callable[[], str]] = {
    "models": models, "settings": settings, "profiles": profiles, "exit-codes": exit_codes, "bad-input": bad_input,
}


def render(page: str) -> str:
    """Write every generated section of a page again; the rest stays."""
    return _SECTION.sub(lambda match: f"{match[1]}{SECTIONS[match[2]]()}{match[3]}", page)


def pages() -> dict[Path, str]:
    """Give every generated page as it should be."""
    guide = ROOT / "docs" / "guide.md"
    return {ROOT / "docs" / "cli.md": markdown(), guide: render(guide.read_text())}


def _model(name: str) -> str:
    model = registry.model(name)
    rows = [(f"`{card.name}`", card.type, f"`{card.default}`", card.help) for card in option_cards(model)]
    return f"#### `{name}`\n\n{table(('option', 'type', 'default', 'meaning'), rows)}"


def _default(field: Any) -> str:
    if field.is_required():
        return "required"
    value = field.default
    return "" if value in {None, ()} or not isinstance(value, str | int | float) else f"`{value}`"


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ").strip()


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text)
