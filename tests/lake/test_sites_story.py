"""Two sites of a real Slurm over a real Rucio lake: the data stay, the model travels, and the bits are those of one machine."""

import json
import os
import subprocess
from pathlib import Path
from secrets import token_hex
from types import SimpleNamespace

import numpy as np
import pytest

from tests.rucio_story import SCOPE, Story
from tests.s3_story import painting

pytestmark = pytest.mark.timeout(300)

PROFILE = """extends = "{name}"
max_workers = 2
[worker]
threads = 1
memory = "1GiB"
[batch]
interface = "lo"
folder = "{folder}"
prologue = ["export SITE_NAME={site}"]
[[links]]
rse = "{other}"
bytes_per_second = 50_000
latency_seconds = 0.02
"""
SITES = {"infn-pg": "INFN-PG", "infn-na": "INFN-NA"}
OPTIONS = ("--set", "k=3", "--set", "components=3")


@pytest.fixture(scope="module")
def story(real_lake, slurm_folder, tmp_path_factory):
    """Register at INFN-PG, copy to INFN-NA, and run here, at each site, and at both."""
    folder = tmp_path_factory.mktemp("sites")
    for (name, site), other in zip(SITES.items(), [*SITES.values()][::-1], strict=True):
        (folder / f"{name}.toml").write_text(PROFILE.format(name=name, site=site, other=other, folder=folder / "jobs"))
    known = real_lake.environment("ada")
    settings = {
        "LAKECV_LAKE": str(folder / "work"), "LAKECV_CATALOG": "rucio", "LAKECV_RSE": "INFN-PG", "LAKECV_SITES": str(folder), "HOME": str(folder),
        "SLURM_CONF": str(slurm_folder / "servers" / "slurm.conf"), **{name: known[name] for name in ("RUCIO_HOME", "X509_USER_PROXY")},
    }
    usual = {name: value for name, value in os.environ.items() if name == "PATH" or name.startswith("OPENBLAS_")}  # the same bits
    told = Story(folder, {**usual, **settings}, f"tavola-{token_hex(4)}")
    np.save(folder / "cube.npy", painting(260, 200, 128))
    told.command("register", "register", str(folder / "cube.npy"), told.did, "--dims", "y,x,spectral")
    told.command("replicate", "replicate", told.did, "--to", "INFN-NA", "--wait")
    told.command("plan", "plan", "pca+kmeans", told.did, "--site", "auto", *OPTIONS)
    for where in ("auto", "local", "infn-pg", "infn-na"):  # first what both sites do: afterwards it is known how long each lets one wait
        told.command(where, "run", "pca+kmeans", told.did, "--site", where, "--again", "--json", *OPTIONS)
    return told


@pytest.fixture
def runs(story):
    """What each run came to, by the site that was asked for."""
    return {where: SimpleNamespace(**json.loads(_document(story.said[where]))) for where in ("local", *SITES, "auto")}


def _document(text):
    return text[text.index("{"): text.rindex("}") + 1]


@pytest.fixture(autouse=True)
def reach(story, monkeypatch):
    """What the tests themselves look at, they see as ada."""
    for name, value in story.environment.items():
        if name.startswith(("LAKECV_", "RUCIO_", "X509_")):
            monkeypatch.setenv(name, value)


def test_the_dry_run_says_who_does_what_and_why_and_what_would_be_submitted(story):
    said = story.said["plan"]
    for site in SITES:
        assert f"--- job script at {site} ---" in said
        assert f"#SBATCH -p {site}" in said
    assert "- local: it is where you type" in said
    assert "(near)" in said


def test_every_run_makes_the_same_bits(story, runs):
    digests = {where: story.lake().show(run.output).digest for where, run in runs.items()}
    assert len(set(digests.values())) == 1, digests


def test_a_run_at_a_site_reads_nothing_from_afar(runs):
    for where in (*SITES, "auto"):
        assert runs[where].nbytes_far == 0 < runs[where].nbytes_near, where


def test_both_sites_worked_where_both_were_asked(story, runs):
    setup = story.lake()._runs.area(runs["auto"].run).setup()
    assert {share.site for share in setup.plan.shares} == set(SITES)


def test_the_result_is_a_dataset_of_rucio_with_its_parents(story, real_lake, runs):
    name = runs["auto"].output.partition(":")[2]
    assert real_lake.client().get_did(SCOPE, name)["type"] == "DATASET"
    [parent] = story.lake().show(runs["auto"].output).parents
    assert parent[0] == story.did


def test_nothing_is_left_in_the_queue_or_in_the_folder_of_jobs(story, slurm_folder):
    environment = {**os.environ, "SLURM_CONF": str(slurm_folder / "servers" / "slurm.conf")}
    queue = subprocess.run(["squeue", "--noheader"], env=environment, capture_output=True, text=True, timeout=60, check=True).stdout
    assert [line for line in queue.splitlines() if " CG " not in line] == []
    assert list(Path(story.folder, "jobs").iterdir()) == []


# --- half of the data at each site ------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def halves(story, real_lake):
    """A cube of four shards, of which two lie at each site; run at both."""
    name = f"meta-{token_hex(4)}"
    did = f"{SCOPE}:{name}"
    np.save(story.folder / "large.npy", np.random.default_rng(3).poisson(0.2, (512, 512, 512)).astype("uint16"))
    story.command("register halves", "register", str(story.folder / "large.npy"), did, "--dims", "y,x,spectral")
    story.command("replicate halves", "replicate", did, "--to", "INFN-NA", "--wait")
    root = real_lake.client("root")
    shards = sorted(each["name"] for each in root.list_files(SCOPE, name) if ".c." in each["name"] and each["bytes"] > 1 << 20)
    for rse, gone in (("INFN-NA", shards[:2]), ("INFN-PG", shards[2:])):
        root.update_replicas_states(rse, [{"scope": SCOPE, "name": each, "state": "U"} for each in gone])
    options = ("--set", "k=3", "--set", "passes=3", "--set", "scaling=none", "--json")
    story.command("halves", "run", "kmeans", did, "--site", "auto", *options)
    story.command("halves here", "run", "kmeans", did, "--site", "local", "--again", *options)
    return did, shards


def test_a_dataset_that_lies_in_halves_is_computed_half_here_and_half_there(story, halves):
    both, alone = (SimpleNamespace(**json.loads(_document(story.said[title]))) for title in ("halves", "halves here"))
    assert len(halves[1]) == 4
    assert [each.access for each in story.lake().show(halves[0]).replicas] == ["partial", "partial"]
    setup = story.lake()._runs.area(both.run).setup()
    assert {(share.site, read.rse) for share in setup.plan.shares for read in share.reads} == {("infn-pg", "INFN-PG"), ("infn-na", "INFN-NA")}
    assert both.nbytes_far == 0 < both.nbytes_near
    assert story.lake().show(both.output).digest == story.lake().show(alone.output).digest
