"""Text of what is installed and configured: sites, models, plugins, settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lakecv.cli.layout import duration, facts, rate, size, table

if TYPE_CHECKING:
    from lakecv.api import Check, ModelCard, PluginReport
    from lakecv.config import Profile, Setting
    from lakecv.site import Batch, Site

__all__ = ["checks", "model", "models", "plugins", "settings", "site", "sites"]


def sites(found: Sequence[Site]) -> list[str]:
    """Table of sites; one whose profile nobody has tried is marked."""
    rows = [
        (
            site.name, site.executor, _slots(site), size(site.worker.memory_nbytes), ", ".join(site.near) or "-",
            "yes" if site.tested else "untested", site.title,
        )
        for site in found
    ]
    return table(("SITE", "EXECUTOR", "WORKERS x THREADS", "MEMORY/WORKER", "NEAR", "TESTED", "TITLE"), rows)


def site(profile: Profile) -> list[str]:
    """One site: what a plan counts with, and what goes to its batch system."""
    found = profile.site
    links = [f"{link.rse}: {rate(link.bytes_per_second, 1.0)}, {link.latency_seconds * 1000:g} ms, {link.streams} requests at once" for link in found.links]
    shown = [
        ("site", found.name), ("", found.title), ("tested", "" if found.tested else "no: nobody has run with this profile yet"),
        ("executor", found.executor), ("scheduler", found.address or _SCHEDULERS[found.scheduler]),
        ("workers", f"{_slots(found)}, {size(found.worker.memory_nbytes)} each"), ("near", ", ".join(found.near)),
        *zip(("links", *[""] * len(links)), links, strict=False), ("work", found.work or ""),
        ("speed", f"{found.speed:g}" if found.speed != 1 else ""), ("wait", duration(found.wait_seconds) if found.wait_seconds else ""),
        *_batch(found.batch), *zip(("from", *["extends"] * len(profile.files)), profile.files, strict=False),
    ]
    return facts(shown)


_SCHEDULERS = {"driver": "beside the command", "job": "in the first job", "address": ""}


def _slots(site: Site) -> str:
    """Say how many workers there are at most, with how many threads and GPUs each."""
    gpus = f" x {site.worker.gpus} GPU" if site.worker.gpus else ""
    return f"{site.max_workers} x {site.worker.threads}{gpus}"


def _batch(batch: Batch) -> list[tuple[str, str]]:
    """Tell what is asked of the batch system; nothing where there is none."""
    ports = "-".join(str(port) for port in batch.ports) if batch.ports else ""
    walltime = duration(batch.walltime_seconds) if batch.walltime_seconds else ""
    texts = (
        ("account", batch.account), ("partition", batch.partition), ("walltime", walltime), ("ports", ports),
        ("interface", batch.interface), ("directives", ", ".join(batch.directives)), ("submit", " ".join(batch.submit)),
        ("folder", batch.folder), ("command", batch.command), ("prologue", "; ".join(batch.prologue)),
    )
    return [(label, text or "") for label, text in texts]


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
