"""Plans: near replicas, honest refusals, no socket, fast."""

import socket
from dataclasses import replace

import pytest

from lakecv.cube import ArraySpec, CubeSpec, Grid, Role, SpectralAxis
from lakecv.errors import Infeasible
from lakecv.job import Job, Link, StageKind, Workload
from lakecv.planning.make import Wish, make_plan
from lakecv.records import DID, Dataset, Replica
from lakecv.site import Link as SiteLink
from lakecv.site import Resources, Site

SITE = Site("here", "local", Resources(1, 4 << 30), 2, ("near",))


def wish(ny=512, nx=512, depth=64, *, chunk=64, replicas=("near",), passes=10):
    spec = ArraySpec("data", Role.DATA, ("y", "x", "spectral"), (ny, nx, depth), "uint16", (chunk, chunk, depth))
    cube = CubeSpec(Grid(ny, nx), SpectralAxis(depth), (spec,))
    held = tuple(Replica(rse, f"data/{rse}") for rse in replicas)
    dataset = Dataset(DID("a", "b"), cube, "0", "data/a", held, 1, spec.nbytes, "")
    labels = ArraySpec("labels", Role.LABELS, ("y", "x"), (ny, nx), "uint8", (ny, nx))
    work = Workload((labels,), stages=(StageKind.SAMPLE, StageKind.REDUCE, StageKind.MAP), passes=passes, seconds_per_pixel=1e-6)
    return Wish(Job((Link("m", "1", ()),), 0, (("a:b", "0"),), "a"), dataset, (work,), (labels,))


def test_the_near_replica_is_read_and_the_far_one_has_its_reason():
    plan = make_plan(wish(replicas=("far", "near")), [SITE])
    assert plan.shares[0].reads[0].rse == "near"
    assert plan.nbytes_far == 0 < plan.nbytes_near
    assert [(reason.subject, reason.chosen) for reason in plan.reasons[:2]] == [("near", True), ("far", False)]


def test_a_measured_link_can_make_the_far_replica_the_better_one():
    slow = replace(SITE, links=(SiteLink("near", 1e6, 0.0), SiteLink("far", 1e9, 0.1)))
    plan = make_plan(wish(replicas=("far", "near")), [slow])
    assert plan.shares[0].reads[0].rse == "far"
    assert plan.nbytes_near == 0 < plan.nbytes_far


def test_a_chunk_that_does_not_fit_is_refused_with_its_size():
    with pytest.raises(Infeasible, match="one chunk of 4096x4096x64") as caught:
        make_plan(wish(4096, 4096, chunk=4096), [SITE])
    assert caught.value.kind == "block-exceeds-memory"


def test_a_dataset_without_a_replica_cannot_be_planned():
    with pytest.raises(Infeasible) as caught:
        make_plan(wish(replicas=()), [SITE])
    assert caught.value.kind == "no-replica-reachable"


def test_planning_a_hundred_thousand_blocks_opens_no_socket(monkeypatch):
    monkeypatch.setattr(socket, "socket", None)
    plan = make_plan(wish(320 * 64, 320 * 64, depth=1024), [replace(SITE, max_workers=50_000)])
    assert len(plan.blocks) >= 100_000


def test_the_digest_is_the_job_and_not_the_plan():
    one, two = make_plan(wish(), [SITE]), make_plan(wish(), [replace(SITE, max_workers=9)])
    assert one.blocks != two.blocks
    assert one.job.digest == two.job.digest


def test_a_given_state_leaves_only_the_map_and_the_pack_to_be_done_and_keeps_nothing():
    usual = wish()
    given = replace(usual, job=replace(usual.job, state=("a:c", "1")))
    plan = make_plan(given, [SITE])
    assert [stage.kind for stage in plan.stages] == [StageKind.MAP, StageKind.PACK]
    assert plan.keep_nbytes == 0 < make_plan(usual, [SITE]).keep_nbytes
    assert plan.nbytes_near == usual.dataset.cube.main.nbytes


def halves(window):
    """The upper half lies at the first replica, the lower at the second."""
    return (0,) if window.y1 <= 256 else (1,)


def two_sites():
    links = tuple(SiteLink(rse, 25e6, 0.02) for rse in ("pg", "na"))
    return [Site(name, "slurm", Resources(1, 4 << 30), 2, (name,), tuple(link for link in links if link.rse != name)) for name in ("pg", "na")]


def test_each_site_does_the_blocks_that_lie_there():
    plan = make_plan(replace(wish(replicas=("pg", "na")), holders=halves), two_sites(), asked="auto")
    assert {(share.site, read.rse, read.near) for share in plan.shares for read in share.reads} == {("pg", "pg", True), ("na", "na", True)}
    done = sorted(block for share in plan.shares for read in share.reads for block in read.blocks)
    assert done == list(range(len(plan.blocks)))
    assert plan.nbytes_far == 0
    assert len(plan.holders) == len(plan.blocks)


def test_where_each_replica_is_whole_both_sites_work_and_no_holders_are_kept():
    plan = make_plan(wish(2048, 2048, 256, replicas=("pg", "na")), two_sites(), asked="auto")
    assert {share.site for share in plan.shares} == {"pg", "na"}
    assert plan.holders == ()
    assert plan.nbytes_far == 0


def test_one_site_alone_reads_the_other_half_from_afar_and_its_home_is_where_most_was_read():
    plan = make_plan(replace(wish(replicas=("pg", "na")), holders=halves), two_sites()[:1])
    [share] = plan.shares
    assert [(read.rse, read.near) for read in share.reads] == [("pg", True), ("na", False)]
    assert share.nbytes_near == share.nbytes_far > 0


def test_a_site_that_cannot_do_it_is_left_out_with_its_reason():
    small = replace(two_sites()[1], worker=Resources(1, 1 << 20))
    plan = make_plan(wish(replicas=("pg", "na")), [two_sites()[0], small], asked="auto")
    assert [share.site for share in plan.shares] == ["pg"]
    [reason] = [reason for reason in plan.reasons if reason.subject == "na" and "MiB" in reason.text]
    assert not reason.chosen


def test_where_no_site_can_do_it_the_last_reason_is_told():
    with pytest.raises(Infeasible, match="there is no site"):
        make_plan(wish(), [])


def test_a_copy_is_advised_where_far_data_are_read_again_and_again_and_not_for_one_pass():
    site = replace(two_sites()[0], worker=Resources(1, 600 << 20))  # keeps little
    many = make_plan(wish(4096, 4096, 256, replicas=("na",), passes=100), [site])
    [reason] = [reason for reason in many.reasons if "a copy near it would pay" in reason.text]
    assert reason.text.endswith("lakecv replicate a:b --to pg")
    once = wish(512, 512, replicas=("na",), passes=100)
    assert not [reason for reason in make_plan(replace(once, job=replace(once.job, state=("a:c", "1"))), [site]).reasons if "copy" in reason.text]
