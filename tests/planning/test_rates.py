"""What is learnt from runs: close to the truth after twenty of them, and put into a site without touching the rest."""

import random
from dataclasses import replace

import pytest

from lakecv.canonical import dumps, loads
from lakecv.planning.rates import HALF_LIFE_RUNS, LinkRate, Observation, Rates, SiteRates, learn, with_rates
from lakecv.site import Link, Resources, Site

SITE = Site("pg", "slurm", Resources(4, 8 << 30), 8, ("INFN-PG",), (Link("INFN-PG", 1e9, 0.001), Link("CNAF", 25e6, 0.05)), wait_seconds=60.0)
TRUTH = {"speed": 1.7, "INFN-PG": 4e8, "CNAF": 12e6, "wait": 240.0, "success": 0.9}


def noisy(rng, seconds):
    return seconds * max(0.1, rng.gauss(1.0, 0.3))


def observed(rng, truth=TRUTH):
    """One run: two workers are waited for, thirty blocks of unequal size are read and computed."""
    found = [Observation("pg", wait_seconds=noisy(rng, truth["wait"]), ok=None) for _ in range(2)]
    for number in range(30):
        rse, nbytes, work = ("INFN-PG", "CNAF")[number % 2], rng.uniform(1e7, 1e8), rng.uniform(0.5, 5.0)
        found.append(Observation(
            "pg", rse, nbytes, noisy(rng, nbytes / truth[rse]), work, noisy(rng, work / truth["speed"]), ok=rng.random() < truth["success"],
        ))
    return found


def after(runs, seed=0, rates=None, truth=TRUTH):
    rng, rates = random.Random(seed), rates or Rates()
    for _ in range(runs):
        rates = learn(rates, observed(rng, truth))
    return rates


@pytest.mark.parametrize("seed", range(12))
def test_after_twenty_noisy_runs_the_learnt_figures_are_within_ten_percent(seed):
    known = after(20, seed).of("pg")
    learnt = {"speed": known.speed, "wait": known.wait_seconds, "success": known.success}
    learnt |= {link.rse: link.bytes_per_second for link in known.links}
    assert learnt == pytest.approx(TRUTH, rel=0.10)


def test_a_site_that_became_slower_is_believed_after_a_few_half_lives():
    slow = TRUTH | {"speed": 0.5}
    assert after(int(4 * HALF_LIFE_RUNS), 2, after(20, 1), slow).of("pg").speed == pytest.approx(0.5, rel=0.15)


def test_an_observation_counts_half_after_its_half_life():
    once = learn(Rates(), [Observation("pg", work_seconds=8.0, compute_seconds=4.0)])
    for _ in range(int(HALF_LIFE_RUNS)):
        once = learn(once, [Observation("pg", work_seconds=1e-12, compute_seconds=1e-12)])
    assert once.of("pg").work_seconds == pytest.approx(4.0)


def test_the_order_of_observations_does_not_matter():
    found = observed(random.Random(3))
    assert learn(Rates(), found) == learn(Rates(), found[::-1])


def test_a_run_elsewhere_changes_nothing_here():
    before = after(3)
    assert learn(before, [Observation("na", "CNAF", 1e6, 1.0)]).of("pg") == before.of("pg")


def test_rates_are_the_same_after_a_round_trip_through_json():
    rates = learn(after(3), [Observation("na", wait_seconds=1.0, ok=None)])
    assert loads(Rates, dumps(rates)) == rates


def test_what_was_learnt_replaces_what_the_profile_says():
    rates = Rates((SiteRates("pg", 8.0, 4.0, 30.0, 2.0, links=(LinkRate("CNAF", 1e8, 10.0), LinkRate("NEW", 5e6, 1.0))),))
    links = (SITE.links[0], Link("CNAF", 1e7, 0.0), Link("NEW", 5e6, 0.0))
    assert with_rates(SITE, rates) == replace(SITE, links=links, speed=2.0, wait_seconds=15.0)


@pytest.mark.parametrize("rates", [Rates(), Rates((SiteRates("na", 1.0, 2.0, 1.0, 1.0),)), Rates((SiteRates("pg", done=1.0, tried=2.0),))])
def test_a_site_of_which_nothing_is_known_stays_as_its_profile_says(rates):
    assert with_rates(SITE, rates) == SITE


@pytest.mark.parametrize(("done", "tried", "success"), [(0.0, 0.0, 1.0), (0.0, 9.0, 0.1), (9.0, 9.0, 1.0), (4.0, 9.0, 0.5)])
def test_success_is_never_none(done, tried, success):
    assert SiteRates("pg", done=done, tried=tried).success == pytest.approx(success)


def test_a_wait_for_workers_is_no_attempt_at_a_block():
    known = learn(Rates(), [Observation("pg", wait_seconds=9.0, ok=None), Observation("pg", ok=False)]).of("pg")
    assert (known.tried, known.done, known.wait_seconds, known.speed, known.links) == (1.0, 0.0, 9.0, None, ())
