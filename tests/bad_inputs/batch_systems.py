"""Batch systems that are not there, refuse, hold, or whose jobs never come back; their words are recorded ones of Slurm 22.05."""

import json

from lakecv_plugins.sites import supervise
from lakecv_plugins.sites.slurm import SlurmSite

from lakecv import registry
from tests.bad_inputs.settings import profiles

REFUSED = "sbatch: error: invalid partition specified: nosuch\nsbatch: error: Batch job submission failed: Invalid partition name specified"
AWAY = "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)"
VERDICT = "versions differ between the worker's machine n7 and the driver's: numpy 1.26.4 there, 2.4.6 here"


def slurm(place, **scripts):
    """A site 'cluster' of a Slurm whose commands are these shell scripts, and nothing else is found."""
    place.changes_lake = True
    place.patch.setattr(registry, "site", lambda _: SlurmSite())
    place.patch.setattr(supervise, "LOOK_SECONDS", 0.05)
    place.patch.setattr(supervise, "CONNECT_SECONDS", 0.2)
    commands = place.folder / "bin"
    commands.mkdir()
    for name, text in scripts.items():
        (commands / name).write_text(f"#!/bin/sh\n{text}\n")
        (commands / name).chmod(0o755)
    place.patch.setenv("PATH", str(commands))
    text = f'executor = "slurm"\nmax_workers = 1\nnear = ["local"]\n[worker]\nmemory = "1GiB"\n[batch]\ninterface = "lo"\nfolder = "{place.folder}/jobs"\n'
    profiles(place, cluster=text)


def absent(place):
    slurm(place)


def refusing(place, what="refused"):
    words = {"refused": REFUSED, "away": AWAY}[what]
    slurm(place, sbatch=f"echo '{words}' >&2; exit 1", squeue="exit 1", scancel="exit 1")


def held(place):
    slurm(place, sbatch="echo Submitted batch job 7", squeue="echo '7|PENDING|JobHeldAdmin'", scancel="exit 0")


def silent(place):
    """Its job runs, and no worker ever dials."""
    slurm(place, sbatch="echo Submitted batch job 7; echo 'no route to host' > job-7.log", squeue="echo '7|RUNNING|None'", scancel="exit 0")


def other_versions(place):
    """Its job ends at once, for the reason that a worker writes down."""
    verdict = json.dumps({"kind": "versions-differ", "text": VERDICT.replace("'", "")})
    slurm(place, sbatch=f"echo Submitted batch job 7; echo '{verdict}' > job-7.verdict", squeue="exit 0", scancel="exit 0")


def small_workers(place):
    """A worker has less memory than one chunk takes to work on."""
    profiles(place, cluster='executor = "local"\nmax_workers = 1\nnear = ["local"]\n[worker]\nmemory = "64MiB"\n')
