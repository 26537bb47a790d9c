"""Which replica is read and why: the nearest one that the site can reach.

Pure; every replica that was not chosen gets its reason as data.
"""

from __future__ import annotations

from collections.abc import Sequence

from lakecv.errors import Infeasible, Kind
from lakecv.plan import Reason
from lakecv.records import Replica
from lakecv.site import Site

__all__ = ["choose_replica"]


def choose_replica(site: Site, replicas: Sequence[Replica], nbytes: int) -> tuple[Replica, tuple[Reason, ...]]:
    """Choose the replica that a site reads fastest.

    Parameters
    ----------
    site : Site
        Where the work runs.
    replicas : sequence of Replica
        Of the input.
    nbytes : int
        That one pass reads.

    Raises
    ------
    Infeasible
        If there is no replica at all (kind ``no-replica-reachable``).
    """
    if not replicas:
        raise Infeasible("the dataset has no replica", Kind.NO_REPLICA_REACHABLE, "register it again")
    ranked = sorted(replicas, key=lambda replica: (_seconds(site, replica, nbytes), replica.rse))
    best = ranked[0]
    reasons = [Reason(best.rse, chosen=True, text=f"{_near(site, best)}, {_seconds(site, best, nbytes):.1f} s to read once")]
    reasons += [
        Reason(other.rse, chosen=False,
               text=f"{_near(site, other)}, {_seconds(site, other, nbytes):.1f} s to read once: slower than {best.rse}")
        for other in ranked[1:]
    ]
    return best, tuple(reasons)


def _seconds(site: Site, replica: Replica, nbytes: int) -> float:
    link = site.link(replica.rse)
    return link.latency_seconds + nbytes / link.bytes_per_second


def _near(site: Site, replica: Replica) -> str:
    return f"near {site.name}" if replica.rse in site.near else f"far from {site.name}"
