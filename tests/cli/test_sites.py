"""Sites on the command line: the table, one profile in full, a profile that is added, what the doctor says of one."""

import os
import re
import stat
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from lakecv_plugins.sites.slurm import SlurmSite

from lakecv import config, registry
from lakecv.api.examining import _profile
from lakecv.config.grammar import BatchTable, LinkTable, ProfileTable, WorkerTable

PROFILE = 'title = "Cluster"\nexecutor = "slurm"\nmax_workers = 3\n[worker]\nmemory = "2GB"\ngpus = 2\n[batch]\npartition = "gpu"\n'


@pytest.fixture
def profile(tmp_path):
    """Write a profile."""

    def written(text=PROFILE, name="cluster.toml"):
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return written


@pytest.fixture
def own():
    """Give the folder of the user's sites."""
    return Path(os.environ["XDG_CONFIG_HOME"]) / "lakecv" / "sites"


STRANGER = """
from lakecv.errors import Kind, Unavailable
from lakecv.ports import Ability
from lakecv.testing.sites import InlineSite

class Probed(InlineSite):
    def probe(self, site):
        if site.batch.partition == "raises":
            raise Unavailable("sinfo did not answer", Kind.QUEUE_DOWN, "try again")
        if site.batch.partition == "lacks":
            raise ModuleNotFoundError("No module named 'h5py'", name="h5py")
        return (Ability("sbatch", True, ""), Ability("partition", site.batch.partition == "gpu", "sinfo knows infn-pg\\x1b[2J only"))
"""


@pytest.fixture
def stranger(tmp_path, monkeypatch):
    """Install a stranger's way to get workers that can be probed; the partition says how that ends."""
    facts = tmp_path / "site" / "stranger_site-0.1.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger-site\nVersion: 0.1\n")
    (facts / "entry_points.txt").write_text("[lakecv.sites]\nprobed = stranger_site:Probed\n")
    (facts.parent / "stranger_site.py").write_text(STRANGER)
    monkeypatch.syspath_prepend(facts.parent)
    registry.forget()
    yield
    registry.forget()


# --- sites, site show -------------------------------------------------------------------------------------------------
def test_sites_mark_what_nobody_has_tried_and_count_gpus(lakecv, lake):
    local = lake.answers["sites"][0]
    lake.answers["sites"] = (replace(local, name="gpu", tested=False, worker=replace(local.worker, gpus=1)), local)
    done = lakecv("sites")
    assert "gpu    local     2 x 1 x 1 GPU      4.0 GB         local  untested" in done.out
    assert done.last == "next: lakecv site show local"
    assert [site["tested"] for site in lakecv("sites", "--json").json["sites"]] == [False, True]


def test_site_show_tells_what_is_asked_of_the_batch_system(lakecv, profile):
    path = profile(PROFILE + 'walltime = "01:30:00"\nports = "8700-8800"\nsubmit = ["-name", "x"]\n')
    out = lakecv("site", "show", path).out
    for text in ("site        cluster", "workers     3 x 1 x 2 GPU, 2.0 GB each", "partition   gpu", "walltime    1 h 30 min",
                 "ports       8700-8800", "submit      -name x", f"from        {path}"):  # fmt: skip
        assert text in out


def test_site_show_names_every_file_of_the_chain(lakecv, profile, own):
    own.mkdir(parents=True)
    (own / "base.toml").write_text(PROFILE)
    path = profile('extends = "base"\ntested = false\n', "mine.toml")
    assert lakecv("site", "show", path, "--json").json["files"] == [path, str(own / "base.toml")]
    assert f"extends     {own / 'base.toml'}" in lakecv("site", "show", path).out
    assert "nobody has run with this profile yet" in lakecv("site", "show", path).out


def test_settings_hold_for_the_site_that_is_shown(lakecv, monkeypatch):
    monkeypatch.setenv("LAKECV_MAX_WORKERS", "7")
    assert lakecv("site", "show", "local", "--json").json["site"]["max_workers"] == 7


def test_showing_a_site_asks_no_lake(lakecv, lake):
    lakecv("site", "show", "local")
    assert lake.calls == []


# --- site add ---------------------------------------------------------------------------------------------------------
def test_an_added_profile_is_a_site_and_its_owners_alone(lakecv, profile, own):
    done = lakecv("site", "add", profile())
    assert (done.code, f"path        {own / 'cluster.toml'}" in done.out) == (0, True)
    assert (own / "cluster.toml").read_text() == PROFILE
    assert stat.S_IMODE((own / "cluster.toml").stat().st_mode) == 0o600
    assert lakecv("site", "show", "cluster", "--json").json["files"] == [str(own / "cluster.toml")]


def test_the_same_profile_again_is_a_no_op(lakecv, profile):
    first, again = (lakecv("site", "add", profile(), "--json").json for _ in range(2))
    assert (first["was_there"], again["was_there"]) == (False, True)
    assert "was there already" in lakecv("site", "add", profile()).out


def test_another_profile_of_that_name_is_never_overwritten(lakecv, profile, own):
    lakecv("site", "add", profile())
    done = lakecv("site", "add", profile(PROFILE + 'account = "x"\n'), "--json")
    assert (done.code, done.json["error"]["kind"]) == (4, "output-exists")
    assert str(own / "cluster.toml") in done.json["error"]["message"]
    assert [path.name for path in own.iterdir()] == ["cluster.toml"]
    assert (own / "cluster.toml").read_text() == PROFILE


def test_a_site_that_another_folder_describes_is_not_described_twice(lakecv, profile, tmp_path, monkeypatch, own):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "x.toml").write_text(PROFILE.replace("title", 'name = "cluster"\ntitle'))
    monkeypatch.setenv("LAKECV_SITES", str(tmp_path / "theirs"))
    done = lakecv("site", "add", profile())
    assert (done.code, "described already, in" in done.err) == (4, True)
    assert not own.exists()


def test_a_profile_may_get_another_name(lakecv, profile, own):
    done = lakecv("site", "add", profile(), "--name", "mine", "--json")
    assert (done.json["name"], done.json["path"]) == ("mine", str(own / "mine.toml"))
    assert lakecv("site", "show", "mine", "--json").json["site"]["title"] == "Cluster"


@pytest.mark.parametrize(
    ("given", "says"),
    [(("My Site.toml", PROFILE), "'name' is 'My Site'; expected a name"), (("x.toml", 'name = "y"\n' + PROFILE, "--name", "z"), "'name' is 'y'"),
     (("x.toml", PROFILE, "--name", "../z"), "the option --name: 'name' is '../z'"), (("x.toml", 'executor = "slurm"'), "'max_workers' is 'auto'"),
     (("x.toml", "="), "x.toml:1:1"), (("x.toml", 'extends = "nothing"'), "'extends' is 'nothing'"),
     (("x.toml", PROFILE + 'token = "a"'), "holds a secret")],
)  # fmt: skip
def test_a_profile_that_cannot_be_used_is_not_added(lakecv, profile, own, given, says):
    name, text, *options = given
    done = lakecv("site", "add", profile(text, name), *options)
    assert (done.code, says in done.err, own.exists()) == (2, True, False), done.err


@pytest.mark.parametrize("file", ["https://example.org/x.toml", "./nothing.toml"])
def test_a_profile_is_a_file_of_this_machine(lakecv, own, file):
    done = lakecv("site", "add", file)
    assert (done.code, "[config-invalid]" in done.err, own.exists()) == (2, True, False)


def test_a_folder_that_cannot_be_written_is_said(lakecv, profile, own):
    own.parent.mkdir(parents=True)
    own.write_text("a file where the folder should be")
    done = lakecv("site", "add", profile())
    assert (done.code, "cannot be written: " in done.err, "[forbidden]" in done.err) == (5, True, True)


def test_a_profile_that_extends_its_own_name_replaces_the_one_that_came_with_lakecv(lakecv, profile):
    done = lakecv("site", "add", profile('extends = "local"\nmax_workers = 5\n', "local.toml"), "--json")
    assert done.json["site"]["max_workers"] == 5
    assert done.json["replaces"] is not None
    assert lakecv("site", "show", "local", "--json").json["site"]["max_workers"] == 5


# --- doctor --site ----------------------------------------------------------------------------------------------------
def probed(partition, more=""):
    """Write the text of a profile that the stranger starts."""
    return f'{more}executor = "probed"\nbatch = {{partition = "{partition}"}}\n'


@pytest.mark.usefixtures("stranger")
def test_the_doctor_tells_each_thing_that_workers_need(lakecv, profile):
    lakecv("site", "add", profile(probed("cpu")))
    done = lakecv("doctor", "--site", "cluster")
    rows = [[cell.strip() for cell in line.split("  ") if cell] for line in done.out.splitlines()]
    assert ["sbatch", "ok", "yes"] in rows
    assert ["partition", "error", "no: sinfo knows infn-pg only"] in rows
    assert (done.code, done.last) == (1, "next: lakecv plan MODEL DID --site cluster")
    assert "hint: lakecv site show cluster" in done.err


@pytest.mark.usefixtures("stranger")
@pytest.mark.parametrize(("partition", "hint"), [("raises", "try again"), ("lacks", 'pip install "lakecv[formats-hdf5]"')])
def test_a_probe_that_fails_is_one_more_error(lakecv, profile, partition, hint):
    done = lakecv("doctor", "--site", profile(probed(partition)), "--json")
    last = done.json["checks"][-1]
    assert (done.code, last["name"], last["verdict"], last["hint"]) == (1, "executor probed", "error", hint)


@pytest.mark.usefixtures("stranger")
def test_the_doctor_warns_of_what_nobody_has_tried(lakecv, profile):
    done = lakecv("doctor", "--site", profile(probed("gpu", "tested = false\n")))
    assert (done.code, "warning: site cluster: untested" in done.err) == (0, True)


def test_a_site_without_a_probe_has_nothing_to_try(lakecv):
    checks = lakecv("doctor", "--site", "local", "--json").json["checks"]
    assert (checks[-1]["verdict"], checks[-1]["text"]) == ("ok", "it loads, and has nothing to try before a run")


def test_the_doctor_says_what_is_wrong_with_a_profile(lakecv, profile):
    done = lakecv("doctor", "--site", profile('executor = "slurm"\n'), "--json")
    assert (done.code, done.json["checks"][-1]["verdict"]) == (1, "error")
    assert "'max_workers' is 'auto'" in done.json["checks"][-1]["text"]


def test_the_doctor_says_that_a_plugin_is_missing(lakecv, profile):
    done = lakecv("doctor", "--site", profile('executor = "no-such"\n'), "--json")
    assert (done.code, done.json["checks"][-1]["name"]) == (1, "executor no-such")


def test_a_site_that_is_not_there_has_nothing_to_examine(lakecv, lake):
    done = lakecv("doctor", "--site", "locale")
    assert (done.code, "did you mean 'local'?" in done.err, lake.calls) == (3, True, [])


def test_a_scheduler_without_encryption_is_warned_of_unless_it_is_here(profile):
    text = 'executor = "address"\nscheduler = "address"\nmax_workers = 1\nworker = {{memory = "1GB"}}\naddress = "tcp://{}:8786"\n'
    profiles = [profile(text.format(host), f"{number}.toml") for number, host in enumerate(("gateway.example.org", "127.0.0.1", "[::1]"))]
    said = [" ".join(check.text for check in _profile(config.profile(path))) for path in profiles]
    assert ["is not encrypted" in text for text in said] == [True, False, False]


# --- the page that describes sites ------------------------------------------------------------------------------------
PAGE = (Path(__file__).parents[2] / "docs" / "sites.md").read_text()


def blocks(language):
    return re.findall(f"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("text", blocks("toml"), ids=range(len(blocks("toml"))))
def test_every_profile_of_the_page_is_one(profile, text):
    text = text.replace('extends = "infn-pg"', 'executor = "slurm"\nworker = {memory = "1GB"}')
    assert config.profile(profile(text)).site.max_workers > 1


def test_the_page_has_every_key():
    shown = tomllib.loads(blocks("toml")[0])
    assert {*ProfileTable.model_fields} - {*shown} == {"name", "extends", "address"}
    assert ({*shown["worker"]}, {*shown["batch"]}) == ({*WorkerTable.model_fields}, {*BatchTable.model_fields})
    assert {*shown["links"][0]} == {*LinkTable.model_fields}


def test_the_script_of_the_page_is_the_one_of_its_profile(profile):
    site = config.profile(profile(blocks("toml")[0])).site
    assert blocks("bash") == [f"{SlurmSite().job_script(site).rstrip()}\n"]


def test_the_page_names_every_profile_that_comes_with_lakecv():
    shipped = {path.stem for path in (Path(__file__).parents[2] / "deploy" / "sites").glob("*.toml")}
    named = re.findall(r"`([a-z-]+)`", "".join(re.findall(r"^\| `.*?\|", PAGE[PAGE.index("## Profiles that"):], re.MULTILINE)))
    assert set(named) == shipped
