"""What runs have shown of a site: how fast it computes and reads, how long it lets one wait, how often work succeeds.

Learnt figures replace those of the site's profile, so that a plan follows what happened; a job's digest and its result do not
depend on them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from lakecv.site import Link, Site

__all__ = ["HALF_LIFE_RUNS", "LinkRate", "Observation", "Observations", "Rates", "SiteRates", "learn", "with_rates"]

HALF_LIFE_RUNS = 5.0
"""Runs at a site (or over a link) after which an observation counts half."""

_DECAY = 0.5 ** (1.0 / HALF_LIFE_RUNS)


@dataclass(frozen=True, slots=True)
class Observation:
    """One block that was tried at a site, or one wait for workers.

    Parameters
    ----------
    site : str
        Where.
    rse : str
        From where it was read; "" = nothing was read.
    nbytes : float
        That were read, in ``read_seconds``, round trips and all.
    read_seconds : float
        Of one slot while others read as well: what the next block will see.
    work_seconds : float
        That the plan gave to a thread of a common CPU; it took ``compute_seconds``.
    compute_seconds : float
        Without reading and writing.
    wait_seconds : float, optional
        From the submission of a worker to its first task; None where none was submitted for this.
    ok : bool, optional
        Whether the block succeeded at the first attempt; None where nothing was tried, as in a mere wait.
    """

    site: str
    rse: str = ""
    nbytes: float = 0.0
    read_seconds: float = 0.0
    work_seconds: float = 0.0
    compute_seconds: float = 0.0
    wait_seconds: float | None = None
    ok: bool | None = True


@dataclass(frozen=True, slots=True)
class Observations:
    """All of one run."""

    seen: tuple[Observation, ...]


@dataclass(frozen=True, slots=True)
class LinkRate:
    """Bytes and seconds of reads from an RSE, older ones counted less."""

    rse: str
    nbytes: float = 0.0
    seconds: float = 0.0

    @property
    def bytes_per_second(self) -> float | None:
        """Rate of the reads that were seen; None before the first."""
        return self.nbytes / self.seconds if self.nbytes > 0 and self.seconds > 0 else None


@dataclass(frozen=True, slots=True)
class SiteRates:
    """Sums of what a site did, older runs counted less; a ratio of two sums weighs each block by its size."""

    site: str
    work_seconds: float = 0.0
    compute_seconds: float = 0.0
    waited_seconds: float = 0.0
    waits: float = 0.0
    done: float = 0.0
    tried: float = 0.0
    links: tuple[LinkRate, ...] = ()

    @property
    def speed(self) -> float | None:
        """Speed of one thread, 1 = a common CPU; None before the first block."""
        return self.work_seconds / self.compute_seconds if self.work_seconds > 0 and self.compute_seconds > 0 else None

    @property
    def wait_seconds(self) -> float | None:
        """Usual wait for a worker; None before the first."""
        return self.waited_seconds / self.waits if self.waits > 0 else None

    @property
    def success(self) -> float:
        """Probability that a block succeeds, one success given on trust: a site is never written off, nor taken for perfect."""
        return (self.done + 1.0) / (self.tried + 1.0)


@dataclass(frozen=True, slots=True)
class Rates:
    """What is known of all sites, sorted by name; kept in the lake as JSON.

    Notes
    -----
    INFN Cloud's orchestrator ranks its providers by a linear combination of two predictions, success and time, learnt from a
    recent window (L. Giommi, AI-based provider selection in the INDIGO PaaS Orchestrator, 2024).  Here the window is a half-life,
    and instead of weights to tune the assignment takes ``seconds / success``: the expected time until a block has succeeded.
    """

    sites: tuple[SiteRates, ...] = ()

    def of(self, site: str) -> SiteRates:
        """Give what is known of one site; nothing, where it has never been seen."""
        return next((each for each in self.sites if each.site == site), SiteRates(site))


def learn(rates: Rates, observations: Iterable[Observation]) -> Rates:
    """Add the observations of one run.

    Parameters
    ----------
    rates : Rates
        Before the run.
    observations : iterable of Observation
        All of one run, in any order; a site or a link without any keeps what it had.

    Returns
    -------
    Rates
        Exponentially weighted sums, each run counting half after ``HALF_LIFE_RUNS`` further runs.
    """
    seen: dict[str, list[Observation]] = {}
    for each in sorted(observations, key=repr):  # sums of floats depend on the order: make it no matter
        seen.setdefault(each.site, []).append(each)
    sites = {each.site: each for each in rates.sites}
    sites |= {name: _learn_site(rates.of(name), found) for name, found in seen.items()}
    return Rates(tuple(sites[name] for name in sorted(sites)))


def with_rates(site: Site, rates: Rates) -> Site:
    """Give a site the speed, the wait and the links that were learnt; what was not learnt stays as the profile has it.

    A learnt rate holds the round trips of the reads that were seen, so that link's latency is 0.
    """
    known = rates.of(site.name)
    learnt = {each.rse: each.bytes_per_second for each in known.links if each.bytes_per_second is not None}
    links = {link.rse: link for link in site.links}
    for rse, rate in learnt.items():
        links[rse] = replace(links.get(rse, Link(rse, rate, 0.0)), bytes_per_second=rate, latency_seconds=0.0)
    return replace(
        site, links=tuple(links.values()), speed=site.speed if known.speed is None else known.speed,
        wait_seconds=site.wait_seconds if known.wait_seconds is None else known.wait_seconds,
    )


def _learn_site(old: SiteRates, seen: list[Observation]) -> SiteRates:
    computed = [each for each in seen if each.work_seconds > 0 and each.compute_seconds > 0]
    waited = [each.wait_seconds for each in seen if each.wait_seconds is not None]
    tried = [each.ok for each in seen if each.ok is not None]
    read = [each for each in seen if each.rse and each.nbytes > 0 and each.read_seconds > 0]
    links = {each.rse: each for each in old.links}
    links |= {rse: _learn_link(links.get(rse, LinkRate(rse)), read) for rse in {each.rse for each in read}}
    return SiteRates(
        old.site,
        *_add((old.work_seconds, old.compute_seconds), [(each.work_seconds, each.compute_seconds) for each in computed]),
        *_add((old.waited_seconds, old.waits), [(seconds, 1.0) for seconds in waited]),
        *_add((old.done, old.tried), [(float(ok), 1.0) for ok in tried]),
        tuple(links[rse] for rse in sorted(links)),
    )


def _learn_link(old: LinkRate, read: list[Observation]) -> LinkRate:
    return LinkRate(old.rse, *_add((old.nbytes, old.seconds), [(each.nbytes, each.read_seconds) for each in read if each.rse == old.rse]))


def _add(old: tuple[float, float], new: list[tuple[float, float]]) -> tuple[float, float]:
    """Fade two sums and add what is new; without news nothing fades."""
    if not new:
        return old
    return old[0] * _DECAY + sum(pair[0] for pair in new), old[1] * _DECAY + sum(pair[1] for pair in new)
