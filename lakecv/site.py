"""Where work can run: sites, what their workers offer, and the links between sites and storage.

A site is described by values only; the executor that starts its workers is a plugin named in ``scheduler``.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Link", "Resources", "Site"]


@dataclass(frozen=True, slots=True)
class Resources:
    """What one worker process offers."""

    threads: int
    memory_nbytes: int


@dataclass(frozen=True, slots=True)
class Link:
    """How fast a site reads from an RSE, and how long it waits for the first byte."""

    rse: str
    bytes_per_second: float
    latency_seconds: float


@dataclass(frozen=True, slots=True)
class Site:
    """A place with workers.

    ``near`` are the storage elements (RSEs), or the catalog's names of their sites, whose data count as local;
    ``scheduler`` names a site plugin.
    """

    name: str
    scheduler: str
    worker: Resources
    max_workers: int
    near: tuple[str, ...] = ()
    links: tuple[Link, ...] = ()
    title: str = ""

    @property
    def slots(self) -> int:
        """Blocks that can be computed at once."""
        return self.worker.threads * self.max_workers

    def link(self, rse: str, *, near: bool) -> Link:
        """Link to an RSE; a site without a measured link is taken to be slow when far and fast when near."""
        for link in self.links:
            if link.rse == rse:
                return link
        return Link(rse, 1e9, 0.001) if near else Link(rse, 25e6, 0.05)
