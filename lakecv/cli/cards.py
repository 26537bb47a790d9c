"""Text of what is installed and configured: sites, models, plugins, settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lakecv.cli.layout import facts, size, table

if TYPE_CHECKING:
    from lakecv.api import Check, ModelCard, PluginReport
    from lakecv.config import Setting
    from lakecv.site import Site

__all__ = ["checks", "model", "models", "plugins", "settings", "sites"]


def sites(found: Sequence[Site]) -> list[str]:
    """Table of sites."""
    rows = [
        (
            site.name, site.executor, f"{site.max_workers} x {site.worker.threads}", size(site.worker.memory_nbytes),
            ", ".join(site.near) or "-", site.title,
        )
        for site in found
    ]
    return table(("SITE", "EXECUTOR", "WORKERS x THREADS", "MEMORY/WORKER", "NEAR", "TITLE"), rows)


def models(found: Sequence[ModelCard]) -> list[str]:
    """Table of models."""
    rows = [
        (card.name, card.version, card.distribution, ", ".join(option.name for option in card.options) or "-")
        for card in found
    ]
    return table(("MODEL", "VERSION", "FROM", "OPTIONS"), rows)


def model(card: ModelCard) -> list[str]:
    """One model with its options."""
    options = [(option.name, option.type, option.default, option.help) for option in card.options]
    head = facts([("model", f"{card.name} {card.version}"), ("from", card.distribution)])
    return [*head, "", *table(("--set", "TYPE", "DEFAULT", "MEANING"), options)] if options else head


def plugins(found: Sequence[PluginReport]) -> list[str]:
    """Table of plugins; those that fail to load say why."""
    loads = {True: "yes", False: "no", None: "not tried"}
    rows = [(card.group, card.name, card.distribution, card.version, loads[card.loads], card.problem) for card in found]
    return table(("GROUP", "NAME", "FROM", "VERSION", "LOADS", "PROBLEM"), rows)


def checks(found: Sequence[Check]) -> list[str]:
    """Table of what was looked at."""
    return table(("CHECK", "VERDICT", "FOUND"), [(check.name, check.verdict, check.text) for check in found])


def settings(found: Sequence[Setting]) -> list[str]:
    """Table of settings."""
    return table(("KEY", "VALUE", "FROM"), [(item.key, item.value, item.origin) for item in found])
