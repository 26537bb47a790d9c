"""Who computes what: near the bound that another solver finds, every block once, and in numbers why."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakecv.errors import Infeasible, Kind
from lakecv.planning import assign as planner
from lakecv.planning.assign import Budget, Group, Offer, Share, assign, block_seconds
from lakecv.site import Link
from tests.bench import assignment

NEAR, FAR = Link("near", 1e9, 0.0), Link("far", 1e7, 0.0)
GIGABYTE = 10**9


def halves(count=100, seconds=1.0, nbytes=10**7):
    """Half of the blocks lie at each of two sites."""
    return [Group(count, seconds, nbytes, 1, (0,)), Group(count, seconds, nbytes, 1, (1,))]


def pair(**changes):
    pg = Offer("pg", 10, (True, False), (NEAR, FAR), ("", "wan"))
    na = Offer("na", 10, (False, True), (FAR, NEAR), ("wan", ""))
    return [pg, replace(na, **changes)]


def blocks_at(done, site):
    return sum(share.count for share in done.shares if share.site == site)


def reason(done, site):
    return next(each for each in done.reasons if each.subject == site)


@st.composite
def instances(draw):
    """Small and round on purpose: ties are what a simplex method stumbles over."""
    nreplicas, nsites = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    rates = st.sampled_from([1e7, 1e8, 1e9])
    link = st.one_of(st.none(), st.builds(Link, st.just("rse"), rates, st.sampled_from([0.0, 0.01])))
    offers = [
        Offer(
            f"site-{site}", draw(st.integers(1, 8)), tuple(draw(st.booleans()) for _ in range(nreplicas)),
            tuple(draw(link) if site else Link("rse", draw(rates), 0.0) for _ in range(nreplicas)),
            tuple(draw(st.sampled_from(["", "a", "b"])) for _ in range(nreplicas)), draw(link), draw(st.sampled_from(["", "a"])),
            draw(st.sampled_from([0.5, 1.0, 2.0])), draw(st.sampled_from([0.0, 5.0, 50.0])), draw(st.sampled_from([0.5, 1.0])),
        ) for site in range(nsites)
    ]
    holders = st.sets(st.integers(0, nreplicas - 1), min_size=1).map(lambda held: tuple(sorted(held)))
    group = st.builds(
        Group, st.integers(0, 50), st.sampled_from([0.0, 1.0, 2.0, 10.0]), st.sampled_from([0, 10**7, 10**8]), st.integers(1, 20), holders,
        st.sampled_from([1.0, 5.0]), st.sampled_from([0, 10**6]),
    )
    return draw(st.lists(group, max_size=8)), offers, [Budget("a", draw(rates))]


def longest(groups, offers):
    """Longest finite time of any block in any way."""
    found = [block_seconds(group, offer, held) for group in groups for offer in offers for held in group.holders]
    return max([0.0, *(seconds for seconds in found if seconds < 1e300)])


@pytest.mark.parametrize("first", range(0, 60, 10))
def test_random_instances_end_within_a_block_or_five_percent_of_the_bound(first):
    found = [assignment.nearness(*assignment.instance(seed)) for seed in range(first, first + 10)]
    assert [each for each in found if not each.ok] == []
    assert sum(each.at_once for each in found) >= 8


def test_many_short_blocks_end_within_one_percent_of_the_bound():
    given_ = assignment.many(50_000, ngroups=60)
    assert assign(*given_).seconds <= 1.01 * assignment.lp_bound(*given_)


def test_the_rest_without_a_dead_site_ends_within_a_quarter_of_its_bound():
    assert all(ratio <= 1.25 for ratio in map(assignment.after_a_death, range(2)))


@given(instances())
def test_every_block_is_placed_once_and_only_where_its_replica_is_reached(given_):
    groups, offers, budgets = given_
    done = assign(groups, offers, budgets)
    placed = Counter()
    for share in done.shares:
        placed[share.group] += share.count
        offer = next(offer for offer in offers if offer.name == share.site)
        assert share.count > 0
        assert offer.links[share.replica] is not None
        assert share.replica in groups[share.group].holders
    assert placed == Counter({number: group.count for number, group in enumerate(groups) if group.count})


@given(instances())
def test_round_figures_and_ties_end_near_the_bound_too(given_):
    groups, offers, budgets = given_
    groups = [group for group in groups if group.count]
    if not groups:
        return
    found = assignment.nearness(groups, offers, budgets)
    assert found.seconds <= found.whole + found.allowed + 1e-9


@given(instances())
def test_what_is_told_is_what_comes_out_when_it_is_played(given_):
    groups, offers, budgets = given_
    done = assign(groups, offers, budgets)
    if done.shares:
        assert assignment.played(groups, offers, budgets, done) == pytest.approx(done.seconds, abs=1e-9)
    assert done.nbytes_near + done.nbytes_far == sum(group.count * group.nbytes * group.reads for group in groups)
    assert {each.subject for each in done.reasons} == {offer.name for offer in offers}
    assert {each.subject for each in done.reasons if each.chosen} == {share.site for share in done.shares}


@given(instances(), st.randoms(use_true_random=False))
def test_the_order_of_sites_and_groups_does_not_matter(given_, rng):
    groups, offers, budgets = given_
    groups = sorted(set(groups))
    order, others = rng.sample(range(len(groups)), len(groups)), rng.sample(offers, len(offers))
    done = assign(groups, offers, budgets)
    again = assign([groups[number] for number in order], others, budgets)
    shares = tuple(sorted(replace(share, group=order[share.group]) for share in again.shares))
    assert replace(again, shares=shares) == done


@given(instances())
def test_a_further_site_never_makes_it_later_by_more_than_a_block(given_):
    groups, offers, budgets = given_
    fewer, more = assign(groups, offers[:1], budgets), assign(groups, offers, budgets)
    assert more.seconds <= 1.01 * fewer.seconds + longest(groups, offers) + 1e-9


@given(instances(), st.sampled_from([2.0, 10.0, 1000.0]))
def test_faster_links_never_make_it_later_by_more_than_a_block(given_, factor):
    groups, offers, budgets = given_
    quick = [
        replace(offer, links=tuple(link and replace(link, bytes_per_second=link.bytes_per_second * factor) for link in offer.links))
        for offer in offers
    ]
    wide = [replace(budget, bytes_per_second=budget.bytes_per_second * factor) for budget in budgets]
    assert assign(groups, quick, wide).seconds <= 1.01 * assign(groups, offers, budgets).seconds + longest(groups, quick) + 1e-9


@pytest.mark.parametrize("seed", range(20))
def test_rounding_gives_a_site_at_most_one_block_more(seed):
    table = planner._Table(*assignment.instance(seed), ())
    amounts = planner._relax(table, 0.01)
    counts = planner._round(table, amounts)
    for site, offer in enumerate(table.offers):
        taken = [option.seconds for options, row in zip(table.options, counts, strict=True)
                 for option, count in zip(options, row, strict=True) if option.site == site and count]
        more = table.loads(counts)[site] - table.loads(amounts)[site]
        assert more * offer.slots <= max(taken, default=0.0) + 1e-6


def test_blocks_are_computed_where_they_lie_where_sites_are_alike():
    done = assign(halves(), pair())
    assert done.shares == (Share(0, "pg", 0, 100), Share(1, "na", 1, 100))
    assert (done.nbytes_near, done.nbytes_far) == (2 * GIGABYTE, 0)
    assert done.seconds == pytest.approx(10.0)


def test_far_blocks_are_taken_where_that_shortens_the_whole():
    done = assign(halves(), pair(slots=30))
    assert blocks_at(done, "na") > 125
    assert done.nbytes_far > 0
    assert done.seconds < 6.5


def test_a_far_read_that_gains_nothing_is_not_made_unless_locality_is_ignored():
    both = [Group(100, 1.0, 10**7, 1, (0,))]
    slow = pair(slots=1, speed=0.05, wait_seconds=5.0)  # one block in twenty seconds
    assert assign(both, slow).nbytes_far == 0
    held = [Group(300, 1.0, 10**6, 1, (0, 1))]
    sites = [Offer("pg", 3, (True, False), (NEAR, NEAR)), Offer("na", 3, (True, False), (NEAR, NEAR))]
    assert assign(held, sites).nbytes_far == 0


def test_locality_costs_at_most_two_percent_and_saves_far_bytes():
    given_ = assignment.many(50_000, ngroups=20)
    free, near = assign(*given_, ignore_locality=True), assign(*given_)
    assert near.nbytes_far < free.nbytes_far
    assert near.seconds <= 1.02 * free.seconds


def test_a_link_is_not_oversold_though_many_sites_share_it():
    far = [Offer(f"far-{number}", 64, (False,), (NEAR,), ("wan",)) for number in range(3)]
    home = Offer("home", 1, (True,), (NEAR,))
    done = assign([Group(400, 0.1, 10**7, 1, (0,))], [home, *far], [Budget("wan", 10**8)])
    assert dict(done.wan_nbytes)["wan"] / 10**8 <= done.seconds + 1e-9
    assert blocks_at(done, "home") == pytest.approx(200, abs=2)
    assert done.seconds == pytest.approx(20.0, rel=0.02)


def test_writing_home_counts_against_its_link():
    sites = pair(write=Link("home", 1e9, 0.0), write_wan="wan")
    heavy = [Group(100, 1.0, 0, 1, (0, 1), nbytes_written=10**8)]
    done = assign(heavy, sites, [Budget("wan", 10**8)])
    assert blocks_at(done, "na") <= 10
    assert done.seconds < 10.1


def test_a_site_where_half_fails_gets_a_third():
    alike = [Offer("pg", 5, (True,), (NEAR,)), Offer("na", 5, (True,), (NEAR,), success=0.5)]
    assert blocks_at(assign([Group(300, 1.0, 1000, 1, (0,))], alike), "na") == pytest.approx(100, abs=2)


def test_kept_sheets_make_a_far_read_pay():
    once, often = Group(100, 20.0, 10**8, 1, (0,), reads=1.0), Group(100, 20.0, 10**8, 1, (0,), reads=20.0)
    assert block_seconds(once, pair()[1], 0) == 20.0
    assert block_seconds(often, pair()[1], 0) == 200.0
    assert blocks_at(assign([once], pair()), "na") > blocks_at(assign([often], pair()), "na")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"slots": 0}, "it has no slots"),
        ({"success": 0.0}, "nothing has succeeded there of late"),
        ({"links": (None, None)}, "it reaches no replica of any block (INFN-PG)"),
        ({"wait_seconds": 900.0}, "queue wait of 900 s is longer than all work elsewhere (10.0 s)"),
        ({"speed": 0.05}, "its first block would end after 20.0 s, all work elsewhere after 10.0 s"),
    ],
)
def test_a_site_that_was_left_out_has_its_reason_in_numbers(changes, text):
    done = assign([Group(100, 1.0, 10**6, 1, (0,))], pair(**changes), replicas=("INFN-PG", "INFN-NA"))
    assert (reason(done, "na").chosen, reason(done, "na").text) == (False, text)


def test_a_far_site_that_was_left_out_says_what_a_block_would_take():
    far = replace(pair()[1], links=(Link("far", 1e6, 0.0), NEAR))
    done = assign([Group(10, 1.8, 9 * 10**6, 1, (0,))], [replace(pair()[0], slots=5), far], replicas=("INFN-PG", "INFN-NA"))
    assert reason(done, "na").text in {
        "far: 9.0 s for a block from INFN-PG, 1.8 s at pg", "its first block would end after 9.0 s, all work elsewhere after 3.6 s",
    }


def test_a_site_that_was_chosen_says_how_much_is_near_and_what_far_costs():
    done = assign(halves(), pair(slots=30), replicas=("INFN-PG", "INFN-NA"))
    assert reason(done, "pg").text.startswith(f"{blocks_at(done, 'pg')} blocks, {blocks_at(done, 'pg')} of them near; done after ")
    assert "100 of them near" in reason(done, "na").text
    assert reason(done, "na").text.endswith("; far: 1.0 s for a block from INFN-PG, 1.0 s at pg")


@pytest.mark.parametrize("offers", [[], pair(), [replace(pair()[0], links=(None, None))]])
def test_blocks_that_no_site_can_reach_are_named_with_the_sites(offers):
    with pytest.raises(Infeasible, match=r"7 blocks lie at CNAF only, which no site can reach") as caught:
        assign([Group(7, 1.0, 1, 1, (2,))], [replace(each, near=(*each.near, False), links=(*each.links, None), wans=()) for each in offers],
               replicas=("INFN-PG", "INFN-NA", "CNAF"))
    assert caught.value.kind is Kind.NO_REPLICA_REACHABLE
    assert all(offer.name in str(caught.value) for offer in offers)
    assert caught.value.hint


def test_nothing_to_do_is_done_at_once():
    done = assign([Group(0, 1.0, 1, 1, (0,))], pair())
    assert (done.shares, done.seconds, done.finish_seconds) == ((), 0.0, ())


def test_the_bench_runs_at_toy_size():
    assert [len(row.cells) for row in assignment.measure(toy=True)] == [3, 3, 3]
