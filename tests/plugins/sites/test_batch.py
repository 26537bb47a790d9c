"""What a pool leaves behind, and what it tries beforehand, without any batch system."""

import os
import socket
import stat
from pathlib import Path

import pytest
from lakecv_plugins.sites import batch
from lakecv_plugins.sites.slurm import SlurmSite

from lakecv.errors import Denied, Infeasible, Kind
from lakecv.site import Batch, Resources, Scheduler, Site, jobs_folder
from lakecv.testing.sites import echo


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    return at(tmp_path)


def at(folder, **more):
    return Site("there", "slurm", Resources(1, 1 << 30), 2, scheduler=Scheduler.JOB, batch=Batch(folder=str(folder / "jobs"), interface="lo", **more))


def test_a_machine_without_the_commands_is_told_and_nothing_is_left(site, tmp_path):
    with pytest.raises(Infeasible) as caught:
        SlurmSite().pool(site, 1, echo, "r-0").__enter__()
    assert caught.value.kind == Kind.BATCH_SYSTEM_MISSING
    assert list((tmp_path / "jobs").iterdir()) == []


def test_the_logs_of_a_pool_that_failed_stay_and_its_secrets_do_not(tmp_path):
    def fail(folder):
        for name in ("connection.json", "scheduler.json", "scheduler.job", "job-1.log", "job.sh"):
            (folder / name).touch()
        raise RuntimeError

    with pytest.raises(RuntimeError), batch._folder(at(tmp_path), "r-0") as folder:
        fail(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["job-1.log", "job.sh"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_folders_that_were_left_a_month_ago_are_swept_and_others_are_not(tmp_path):
    jobs = tmp_path / "jobs"
    names = {"r-0-there-0a": 31, "r-1-there-0b": 29, "not-of-lakecv": 31}
    for name, days in names.items():
        (jobs / name).mkdir(parents=True)
        if "lakecv" not in name:
            (jobs / name / "job.sh").touch()
        age = (jobs / name).stat().st_mtime - days * 86400
        os.utime(jobs / name, (age, age))
    with batch._folder(at(tmp_path), "r-2"):
        pass
    assert sorted(path.name for path in jobs.iterdir()) == ["not-of-lakecv", "r-1-there-0b"]


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "jobs").write_text("a file")
    with pytest.raises(Denied, match="cannot be made"):
        SlurmSite().pool(at(tmp_path), 1, echo, "r-0").__enter__()


def test_without_a_word_on_it_the_folder_is_in_the_users_state(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert jobs_folder(Batch()) == Path(tmp_path, "lakecv", "jobs")


def test_a_port_that_is_taken_is_passed_over_and_a_full_range_is_told(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Infeasible, match=f"no port of {port}-{port} is free") as caught:
            batch._port(at(tmp_path, ports=(port, port)), "127.0.0.1")
    assert caught.value.kind == Kind.ADDRESS_UNUSABLE


def test_an_address_of_another_machine_is_told_as_such(tmp_path):
    with pytest.raises(Infeasible, match="no scheduler can listen") as caught:
        batch._port(at(tmp_path), "192.0.2.1")
    assert caught.value.kind == Kind.ADDRESS_UNUSABLE


def test_a_probe_says_what_is_missing_and_goes_on(site):
    found = {ability.name: ability for ability in SlurmSite().probe(site)}
    assert found["commands of Slurm"].lost == "not found here: sbatch, squeue, scancel"
    assert found["a job script"].holds
    assert "Slurm answers" not in found
