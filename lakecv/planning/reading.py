"""What it costs to read from afar, and when that pays: waiting for a near slot, stealing, staging.

Pure arithmetic on seconds, so that the planner, the driver and the reports say the same.  A figure here decides where and
when a block is computed, never what comes out.
"""

from __future__ import annotations

import math

from lakecv.site import Link

__all__ = ["delay_seconds", "read_seconds", "staging_pays", "worth_stealing"]

_FIRST_WINDOW_NBYTES = 14.6e3  # ten segments of 1,460 bytes: RFC 6928
_FEWEST_WINDOWS = math.e / 2  # below it n * (1 + log2(S / n)) would fall as objects get smaller and more
_SHORTEST_DELAY_SECONDS = 3.0  # a slot that is freed at this very moment is not given away
_LONGEST_DELAY_SHARE = 0.1  # of the walltime


def read_seconds(nbytes: float, nobjects: float, link: Link) -> float:
    """Seconds to read some objects over a link, on connections that have idled before.

    Parameters
    ----------
    nbytes : float
        Of all objects together.
    nobjects : float
        Requests; at most ``link.streams`` are on their way at once.
    link : Link
        Its rate and its round trip time.

    Returns
    -------
    float
        Seconds; it grows with bytes and round trip, and falls with rate and streams; with objects it grows once they fill all streams.

    Notes
    -----
    t = S/B + max(1, n/c) * RTT * (1 + log2(S/n / 14.6 kB)): a connection that was idle starts over with ten segments (RFC 6928,
    RFC 2861) and doubles with every round trip.  Against Zarr over S3 on shaped links (200 Mbit/s and 1 Gbit/s, 20 and 80 ms,
    1 to 32 streams; B as measured without delay) it is within 15 % but for one row, 80 ms with 10 streams, where it says a
    third too much: there the start of one object hides behind the bytes of others.

    Examples
    --------
    >>> round(read_seconds(4 << 20, 1, Link("far", 25e6, 0.020)), 3)
    0.351
    """
    if nbytes <= 0:
        return 0.0
    objects = max(1.0, nobjects)
    windows = max(_FEWEST_WINDOWS, nbytes / objects / _FIRST_WINDOW_NBYTES)
    turns = max(1.0, objects / link.streams)
    return nbytes / link.bytes_per_second + turns * link.latency_seconds * (1.0 + math.log2(windows))


def delay_seconds(
    far_seconds: float, near_seconds: float, walltime_seconds: float | None = None, *, home_works: bool = True,
) -> float:
    """How long a block waits for a slot near its data before a free slot elsewhere may take it.

    Parameters
    ----------
    far_seconds, near_seconds : float
        Of computing the block elsewhere, and near its data.
    walltime_seconds : float, optional
        Of the batch jobs; no block waits for more than a tenth of it.
    home_works : bool
        False where the site near the data has neither a live nor a pending worker: nothing is worth waiting for.

    Notes
    -----
    Ski rental (Karlin, Manasse, Rudolph, Sleator 1988): wait for as long as the far read costs more.  If a near slot comes
    before that, nothing was lost; if it comes later, ``far - near`` was waited where ``far`` was best: at most 2 x the best in
    hindsight, or 3 s more than it where the shortest delay holds.  A walltime that cuts the delay gives the promise up.
    """
    if not home_works or far_seconds <= near_seconds:
        return 0.0
    longest = math.inf if walltime_seconds is None else walltime_seconds * _LONGEST_DELAY_SHARE
    return min(max(far_seconds - near_seconds, _SHORTEST_DELAY_SECONDS), longest)


def worth_stealing(
    remaining_near_seconds: float, far_seconds: float, remaining_blocks: int, *, slots: int = 1,
) -> int:
    """How many of the blocks that wait at a site another site takes at once.

    Parameters
    ----------
    remaining_near_seconds : float
        Until the site would have done its blocks alone.
    far_seconds : float
        Of one such block at the other site.
    remaining_blocks : int
        That wait and are not begun.
    slots : int
        That are free at the other site.

    Returns
    -------
    int
        Half of them (rounded up) where ``remaining_near_seconds > far_seconds``, else none; never more than the other site ends
        within ``remaining_near_seconds``.

    Notes
    -----
    By construction nobody ends later than the site would have ended alone.  Halves leave both sides busy, so a tail of n
    blocks takes log2(n) decisions instead of n (Blumofe and Leiserson 1999 steal one; over a WAN each message costs).
    """
    if remaining_blocks <= 0 or remaining_near_seconds <= far_seconds:
        return 0
    half = (remaining_blocks + 1) // 2
    if far_seconds <= 0:
        return half
    return int(min(half, slots * (remaining_near_seconds // far_seconds)))


def staging_pays(passes: float, far_seconds_per_pass: float, copy_seconds: float, near_seconds_per_pass: float) -> bool:
    """Say whether to copy far blocks to the site first: all passes over the link take longer than the copy and all passes near.

    Examples
    --------
    >>> staging_pays(10, 60.0, 90.0, 2.0), staging_pays(1, 60.0, 90.0, 2.0)
    (True, False)
    """
    return passes * far_seconds_per_pass > copy_seconds + passes * near_seconds_per_pass
