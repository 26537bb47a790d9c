"""Which replica is read and why: the nearest one that the site can reach.

Pure; every replica that was not chosen gets its reason as data.
"""

from __future__ import annotations

from collections.abc import Sequence

from lakecv.errors import Infeasible, Kind, LakeCVError, Unavailable
from lakecv.plan import Reason
from lakecv.records import DID, Access, Replica
from lakecv.site import Site

__all__ = ["HINDRANCES", "choose_replica", "is_near"]

HINDRANCES = {
    Access.TAPE: "on tape: it needs staging first",
    Access.DOWN: "the storage element is closed for reading now",
    Access.PARTIAL: "it does not hold all objects yet",
    Access.NO_PROTOCOL: "it offers no protocol that lakecv speaks",
}
"""Why a replica cannot be read now."""


def choose_replica(
    site: Site, replicas: Sequence[Replica], nbytes: int, did: DID,
) -> tuple[Replica, tuple[Reason, ...]]:
    """Choose the replica that a site reads fastest.

    Parameters
    ----------
    site : Site
        Where the work runs.
    replicas : sequence of Replica
        Of the input.
    nbytes : int
        That one pass reads.
    did : DID
        Of the input, for what is said where nothing can be read.

    Raises
    ------
    Infeasible
        If there is no replica at all (kind ``no-replica-reachable``), all are on tape (``staging-needed``) or behind protocols
        that lakecv does not speak (``protocol-unknown``).
    Unavailable
        If there are replicas, but only where it cannot be read now (``rse-unreachable``).
    """
    ready = [replica for replica in replicas if replica.access is Access.READY] or _parts(replicas)
    if not ready:
        raise _unreadable(replicas, did)
    ranked = sorted(ready, key=lambda replica: (_seconds(site, replica, nbytes), replica.rse))
    best = ranked[0]
    reasons = [Reason(best.rse, chosen=True, text=f"{_near(site, best)}, {_seconds(site, best, nbytes):.1f} s to read once")]
    reasons += [
        Reason(other.rse, chosen=False,
               text=f"{_near(site, other)}, {_seconds(site, other, nbytes):.1f} s to read once: slower than {best.rse}")
        for other in ranked[1:]
    ]
    reasons += [Reason(other.rse, chosen=False, text=HINDRANCES[other.access]) for other in replicas if other not in ready]
    return best, tuple(reasons)


def _parts(replicas: Sequence[Replica]) -> list[Replica]:
    """Partial copies that may be the whole together."""
    parts = [replica for replica in replicas if replica.is_readable]
    return parts if len(parts) > 1 else []


def is_near(site: Site, replica: Replica) -> bool:
    """Say whether a replica lies at a site: its storage element or that one's own site is named there."""
    return replica.rse in site.near or (replica.site != "" and replica.site in site.near)


def _unreadable(replicas: Sequence[Replica], did: DID) -> LakeCVError:
    """Say why nothing can be read: the cause that passes soonest comes first."""
    if not replicas:
        return Infeasible("the dataset has no replica on disk", Kind.NO_REPLICA_REACHABLE, f"lakecv rules {did} shows where it should be")
    there = {access: ", ".join(sorted(each.rse for each in replicas if each.access is access)) for access in Access}
    if there[Access.DOWN]:
        return Unavailable(f"{there[Access.DOWN]} is closed for reading now, and there is no other replica", Kind.RSE_UNREACHABLE,
                           "try again later, or ask who runs it")
    if there[Access.PARTIAL]:
        return Unavailable(f"the replica at {there[Access.PARTIAL]} does not hold all objects yet", Kind.RSE_UNREACHABLE,
                           f"wait until its rule is done: lakecv rules {did}")
    if there[Access.TAPE]:
        return Infeasible(f"the only replica is on tape, at {there[Access.TAPE]}; it needs staging to disk", Kind.STAGING_NEEDED,
                          f"lakecv replicate {did} --to RSE brings it to a disk")
    return Infeasible(f"{there[Access.NO_PROTOCOL]} offers no protocol that lakecv speaks (https, davs, root, file)",
                      Kind.PROTOCOL_UNKNOWN, f"lakecv replicate {did} --to RSE brings it to one that does")


def _seconds(site: Site, replica: Replica, nbytes: int) -> float:
    link = site.link(replica.rse, near=is_near(site, replica))
    return link.latency_seconds + nbytes / link.bytes_per_second


def _near(site: Site, replica: Replica) -> str:
    return f"near {site.name}" if is_near(site, replica) else f"far from {site.name}"
