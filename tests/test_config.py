"""Settings and site profiles: where each value comes from, and what is refused."""

import json
import os
import stat
import tomllib
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakecv import config
from lakecv.config import document, machine
from lakecv.config.grammar import BatchTable, ProfileTable, SettingsTable, checked, json_schema, nbytes
from lakecv.config.profiles import _File, _profile
from lakecv.errors import InvalidInput, Kind, NotFound
from lakecv.site import Batch

ROOT = Path(__file__).parent.parent
SITE = 'executor = "local"\n'
SLURM = 'executor = "slurm"\nmax_workers = 2\nworker = {memory = "2GB"}\n'
ADDRESS = 'executor = "address"\nscheduler = "address"\nmax_workers = 2\nworker = {memory = "2GB"}\n'


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write the settings file."""
    path = tmp_path / "config.toml"
    monkeypatch.setenv("LAKECV_CONFIG", str(path))

    def written(content):
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return written


@pytest.fixture
def sites(tmp_path, monkeypatch):
    """Write site profiles."""
    folder = tmp_path / "sites"
    folder.mkdir()
    monkeypatch.setenv("LAKECV_SITES", str(folder))

    def written(**files):
        for name, content in files.items():
            (folder / f"{name}.toml").write_text(content)
        return folder

    return written


def refused(call, *args, **kwargs):
    """Return the error of a bad setting, which has one kind and one exit code."""
    with pytest.raises(InvalidInput) as caught:
        call(*args, **kwargs)
    assert (caught.value.kind, caught.value.exit_code) == (Kind.CONFIG_INVALID, 2)
    assert caught.value.hint
    return caught.value


def tried(call, *args):
    """Return what a call gives, None where it refuses as it should; any other error is one of the test."""
    try:
        return call(*args)
    except InvalidInput as err:
        return None if (err.kind, bool(err.hint)) == (Kind.CONFIG_INVALID, True) else err


def test_nothing_needs_to_be_configured():
    settings = config.load()
    assert (settings.site, settings.catalog, settings.max_workers) == ("local", "documents", None)
    assert settings.lake.endswith("lake")
    assert settings.scope.startswith("user.")
    assert {row.origin for row in config.show(settings)} == {"default"}


def test_an_option_beats_the_environment_beats_the_file_beats_the_default(write, monkeypatch):
    path = write('scope = "file"\nsite = "file"\ncatalog = "file"\n')
    monkeypatch.setenv("LAKECV_SITE", "environment")
    monkeypatch.setenv("LAKECV_SCOPE", "environment")
    rows = {row.key: row for row in config.show(config.load(scope="option", catalog=None))}
    assert rows["scope"] == ("scope", "option", "the option --scope")
    assert rows["site"] == ("site", "environment", "the environment variable LAKECV_SITE")
    assert rows["catalog"] == ("catalog", "file", str(path))
    assert rows["deadline"].origin == "default"


def test_settings_are_found_in_the_users_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "lakecv").mkdir()
    (tmp_path / "lakecv" / "config.toml").write_text('lake = "../lakes/mine"')
    assert config.load().lake == str(tmp_path / "lakes" / "mine")


@pytest.mark.parametrize("url", ["s3://bucket/prefix", "/absolute"])
def test_a_lake_that_is_no_relative_path_is_taken_as_it_is(write, url):
    write(f'lake = "{url}"')
    assert config.load().lake == url


def test_numbers_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("LAKECV_MAX_WORKERS", "3")
    monkeypatch.setenv("LAKECV_DEADLINE", "90")
    monkeypatch.setenv("LAKECV_WORKER_MEMORY", "1.5GiB")
    settings = config.load()
    assert (settings.max_workers, settings.deadline, settings.worker_memory_nbytes) == (3, 90.0, 1_610_612_736)


def test_an_account_without_a_name_has_a_scope(monkeypatch):
    monkeypatch.setattr("getpass.getuser", lambda: "Zoë@the-institute-of-very-long-names")
    assert config.load().scope == "user.Zo-the-institute-of-"
    monkeypatch.setattr("getpass.getuser", lambda: (_ for _ in ()).throw(KeyError("uid")))
    assert config.load().scope == f"user.uid{os.getuid()}"


def test_a_byte_order_mark_and_windows_line_ends_are_accepted(write):
    write(b'\xef\xbb\xbfscope = "a"\r\nsite = "b"\r\n')
    assert (config.load().scope, config.load().site) == ("a", "b")


@pytest.mark.parametrize(
    ("content", "says"),
    [("a = \n", "config.toml:1:5: Invalid value"), ('a = 1\nb = "x', "config.toml:2:7: Unterminated string"),
     ("a = 1\na = 2\n", "Cannot overwrite a value"), ("x = " + "[" * 5000, "nests too deeply"),
     (b"\x89PNG\0\0", "is not text"), (b"a\0b", "binary"), ("#" * (1 << 20) + "\n", "at most 1 MiB")],
    ids=["value", "string", "twice", "deep", "not-utf8", "nul", "huge"],
)  # fmt: skip
def test_a_file_that_is_no_toml_is_refused_with_its_place(write, content, says):
    path = write(content)
    error = refused(config.load)
    assert says in str(error)
    assert str(path) in str(error)


@pytest.mark.parametrize(
    ("line", "says"),
    [("max_workrs = 2", "did you mean 'max_workers'?"), ('max_workers = "two"', "'two'; expected a whole number"),
     ("max_workers = true", "True; expected"), ("max_workers = 2.0", "2.0; expected"), ("max_workers = 0", "0; expected"),
     ("lake = 3", "the url or the folder"), ('worker_memory = "4G B"', "'4G B'; expected an amount of memory"),
     ('worker_memory = "0GB"', "expected"), ("deadline = nan", "expected a number of seconds"),
     ('scope = "a b"', "expected a scope"), ('scope = "a..b"', "no '..'"), ('scope = "abcdefghijklmnopqrstuvwxyz"', "at most 25"),
     ('[scope]\nx = "y"', "expected a scope"), ('lake = "a\\nb"', "expected the url")],
)  # fmt: skip
def test_a_setting_that_cannot_be_used_is_refused_with_what_was_expected(write, line, says):
    path = write(line)
    error = refused(config.load)
    assert str(error).startswith(str(path))
    assert says in f"{error} {error.hint}"


def test_a_variable_of_the_wrong_type_is_named(monkeypatch):
    monkeypatch.setenv("LAKECV_MAX_WORKERS", "two")
    assert "the environment variable LAKECV_MAX_WORKERS" in str(refused(config.load))


def test_an_option_of_the_wrong_type_is_named():
    assert "the option --max-workers" in str(refused(config.load, max_workers="two"))
    assert "there is no key 'bogus'" in str(refused(config.load, bogus=1))


@pytest.mark.parametrize(
    "line",
    ['password = "hunter2"', 's3_secret = "hunter2"', '[rucio]\nauth_token = "hunter2"', 'api-key = "hunter2"', 'key = "hunter2"',
     'lake = "s3://me:hunter2@host/x"', 'passwords = ["env:A", "hunter2"]'],
)  # fmt: skip
def test_a_secret_in_a_file_is_refused_and_not_repeated(write, line):
    write(line)
    error = refused(config.load)
    assert "hunter2" not in f"{error} {error.hint} {error.__notes__}"


def test_a_secret_in_an_option_is_refused_and_not_repeated():
    assert "hunter2" not in str(refused(config.load, lake="s3://me:hunter2@host/x"))


@pytest.mark.parametrize("reference", ["env:TOKEN", "file:/run/token", "keyring:lakecv"])
def test_a_reference_to_a_secret_is_no_secret(reference):
    document.refuse_secrets({"token": reference}, "here")


def test_a_file_that_everybody_can_write_is_refused(write):
    write('scope = "a"').chmod(0o666)
    assert "written by everybody" in str(refused(config.load))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused_unless_it_was_installed(write):
    path = write('scope = "a"')
    os.chown(path, 4242, -1)
    assert "belongs to another user (uid 4242)" in str(refused(config.load))
    assert document.read_toml(path, shared=True) == {"scope": "a"}


def test_a_named_file_must_be_a_file(monkeypatch, tmp_path):
    monkeypatch.setenv("LAKECV_CONFIG", str(tmp_path))
    assert "is not a file" in str(refused(config.load))
    monkeypatch.setenv("LAKECV_CONFIG", str(tmp_path / "nothing.toml"))
    assert "No such file" in str(refused(config.load))


def test_the_local_site_is_this_machine():
    found = config.site("local")
    assert (found.executor, found.near, found.worker.threads) == ("local", ("local",), 1)
    assert found.max_workers == machine.cores() <= len(os.sched_getaffinity(0))
    assert 0 < found.worker.memory_nbytes * found.max_workers <= machine.memory_nbytes()


@pytest.mark.parametrize("path", sorted((ROOT / "deploy" / "sites").glob("*.toml")), ids=lambda path: path.stem)
def test_every_shipped_profile_loads_and_keeps_its_schema(path, sites):
    sites(**{path.stem: path.read_text()})
    assert config.site(path.stem).name == path.stem
    jsonschema.validate(tomllib.loads(path.read_text()), json_schema())


def test_settings_have_the_last_word_on_workers(sites):
    sites(x=SITE + "max_workers = 8\n[worker]\nmemory = '1GB'\n")
    settings = config.load(max_workers=3, worker_memory="2 GB")
    assert (config.site("x").max_workers, config.site("x").worker.memory_nbytes) == (8, 10**9)
    assert (config.site("x", settings).max_workers, config.site("x", settings).worker.memory_nbytes) == (3, 2 * 10**9)


def test_a_profile_is_turned_into_values(sites):
    sites(cern=SITE + 'title = "CERN"\nnear = ["a", "b"]\nlinks = [{rse = "a", bytes_per_second = 3}]\n'
          '[batch]\naccount = "x-1"\nwalltime = "48:00:30"\nprologue = ["module load gcc/13"]\nports = "8700-8800"\n')  # fmt: skip
    found = config.profile("cern")
    assert (found.site.title, found.site.near, found.site.link("a", near=True).bytes_per_second) == ("CERN", ("a", "b"), 3.0)
    assert found.site.batch == Batch("x-1", None, 48 * 3600 + 30, ("module load gcc/13",), (8700, 8800))


def test_a_profile_is_found_by_its_path(tmp_path):
    (tmp_path / "mine.toml").write_text(SITE + "max_workers = 5")
    assert config.site(str(tmp_path / "mine.toml")).max_workers == 5


def test_a_profile_extends_another_table_by_table(sites):
    sites(base=SITE + "max_workers = 4\n[worker]\nthreads = 2\nmemory = '1GB'", x="extends = 'base'\n[worker]\nmemory = '3GB'")
    found = config.profile("x")
    assert (found.site.max_workers, found.site.worker.threads, found.site.worker.memory_nbytes) == (4, 2, 3 * 10**9)
    assert [Path(file).stem for file in found.files] == ["x", "base"]
    assert found.origin == " < ".join(found.files)


def test_the_shipped_local_site_may_be_replaced_or_extended(sites):
    sites(local="extends = 'local'\nmax_workers = 7")
    found = config.site("local")
    assert (found.max_workers, found.executor, found.near) == (7, "local", ("local",))


def test_a_site_that_is_described_twice_is_refused_with_both_places(sites):
    folder = sites(a=SITE + "name = 'z'", b=SITE + "name = 'z'")
    error = str(refused(config.site, "z"))
    assert str(folder / "a.toml") in error
    assert str(folder / "b.toml") in error


def test_profiles_that_extend_each_other_are_refused(sites):
    sites(a="extends = 'b'", b="extends = 'c'", c="extends = 'b'", d="extends = 'd'")
    assert "circle" in str(refused(config.site, "a"))
    assert "circle" in str(refused(config.site, "d"))


def test_a_profile_that_extends_nothing_known_is_refused(sites):
    sites(x="extends = 'locale'")
    error = refused(config.site, "x")
    assert "x.toml: 'extends' is 'locale'" in str(error)
    assert error.hint == "did you mean 'local'?"


def test_an_unknown_site_tells_the_nearest():
    with pytest.raises(NotFound) as caught:
        config.site("locale")
    assert (caught.value.kind, caught.value.hint) == (Kind.SITE_UNKNOWN, "did you mean 'local'?")


def test_a_profile_is_not_fetched_from_a_url():
    assert "on another machine" in str(refused(config.site, "https://example.org/x.toml"))


def test_a_broken_profile_stops_only_those_who_ask_for_it(sites):
    sites(broken="=", x=SITE)
    assert config.site("x").name == "x"
    assert "broken.toml:1:1" in str(refused(config.site, "broken"))
    refused(config.sites)


def test_all_sites_are_listed(sites):
    sites(x=SITE, a=SITE)
    names = [site.name for site in config.sites()]
    assert {"a", "local", "x"} <= set(names)
    assert names == sorted(names)


@pytest.mark.parametrize(
    "line",
    [f"{key} = {json.dumps(value)}" for key in ("account", "partition")
     for value in ("a;b", "a\nb", "$(id)", "`id`", "a b", "-x", "", "a'b", 'a"b', "a&b", "a|b", "é", "a\n")]
    + [f"prologue = [{json.dumps(value)}]" for value in ("a;b", "a\nb", "echo $(id)", "echo `id`", "a && b", "a > b", "$HOME")]
    + [f"{key} = [{json.dumps(value)}]" for key in ("directives", "submit") for value in ("a;b", "--x=$(id)", "a\nb", "a'b", "#x", "-", "")]
    + [f"{key} = {json.dumps(value)}" for key in ("folder", "command", "interface") for value in ("/a b;c", "/$HOME", "/a\n", "'/a'", "-x", "")]
    + ['walltime = "1h"', 'walltime = "25:99:00"', 'walltime = "00:60:00"', 'walltime = "00:00:59"', "walltime = 3600", 'prologue = "a b"',
       'ports = "9000-8000"', 'ports = "80"', 'ports = "8000-99999"', 'ports = "a"', "ports = 8000"],
)  # fmt: skip
def test_nothing_odd_gets_into_a_job_script(sites, line):
    folder = sites(x=f"{SITE}[batch]\n{line}\n")
    error = str(refused(config.site, "x"))
    assert error.startswith(f"{folder / 'x.toml'}: 'batch.{line.split(' ')[0]}' is ")
    assert "expected" in error


@pytest.mark.parametrize(
    ("text", "says"),
    [("near = ['a']", "'executor' is missing"), (SITE + "[worker]\nthread = 1", "did you mean 'threads'?"),
     (SITE + "[worker]\nmemory = '4G B'", "'4G B'; expected an amount of memory"), (SITE + "max_workers = 'many'", "or 'auto'"),
     (SITE + "links = [{rse = 'a'}]", "'links.bytes_per_second' is missing"), (SITE + "near = ['a', 3]", "'near' is 3"),
     (SITE + "worker = 3", "a table with threads and memory"), ("name = 'A b'\n" + SITE, "lower-case letters"),
     (SITE + "max_workers = 0", "'max_workers' is 0; expected a whole number of workers"), (SITE + "speed = nan", "'speed' is nan"),
     (SITE + "title = 'a\u2028b'", "one line of text"), (SITE + "tested = 'no'", "false where nobody has tried"),
     *((SITE + f"work = '{place}'", "absolute folder") for place in ("work", "~/work", "/a/../b", "s3://", "/", "s3://b/?x=y", "/a b"))],
)  # fmt: skip
def test_a_profile_that_cannot_be_used_is_refused_with_its_key(sites, text, says):
    sites(x=text)
    error = refused(config.profiles)
    assert "x.toml: " in str(error)
    assert says in f"{error} {error.hint}"


@pytest.mark.parametrize(
    ("text", "says"),
    [(SLURM.replace("max_workers", "#"), "'max_workers' is 'auto'; expected a whole number where executor = 'slurm'"),
     (SLURM.replace("worker =", "#"), "'worker.memory' is 'auto'; expected an amount of memory where executor = 'slurm'"),
     (ADDRESS, "'address' is missing; expected the address of a Dask scheduler"),
     (SLURM + "scheduler = 'address'\naddress = 'tls://h:1'", "'executor' is 'slurm'; expected 'address' where scheduler = 'address'"),
     (ADDRESS.replace("scheduler =", "#"), "'scheduler' is 'driver'; expected 'address' where executor = 'address'"),
     (SLURM + "address = 'tls://h:1'", "'address' is 'tls://h:1'; expected no address where scheduler = 'driver'"),
     (ADDRESS + "address = 'tls://h:0'", "'address' is 'tls://h:0'; expected the address"),
     (SITE + "scheduler = 'job'", "'scheduler' is 'job'; expected 'driver' where executor = 'local'"),
     (SITE + "links = [{rse = 'a', bytes_per_second = 1}, {rse = 'a', bytes_per_second = 2}]", "a list with 'a' twice")],
)  # fmt: skip
def test_keys_that_contradict_each_other_are_refused(sites, text, says):
    folder = sites(x=text)
    error = refused(config.site, "x")
    assert f"{folder / 'x.toml'}: " in str(error)
    assert says in str(error)


def test_a_profile_that_another_completes_is_no_contradiction(sites):
    sites(x="extends = 'part'\nexecutor = 'address'\nmax_workers = 3\nworker = {memory = '1GB'}", part="scheduler = 'address'\naddress = 'tls://h:1'")
    found = config.site("x")
    assert (found.executor, found.address, found.max_workers) == ("address", "tls://h:1", 3)


@pytest.mark.parametrize("place", ["s3://bucket/prefix", "s3://profile@bucket", "/shared/work", "file:///shared/work", "root://host:1094//store/x"])
def test_a_work_area_is_a_url_or_an_absolute_folder(sites, place):
    sites(x=SLURM + f"work = '{place}'")
    assert config.site("x").work == place


@pytest.mark.parametrize("place", ["s3://me:hunter2@host/x", "s3://me:hun/ter2@host/x", "https://me@:hunter2@host"])
def test_a_password_in_a_work_area_is_refused_and_not_repeated(place):
    assert "ter2" not in str(refused(checked, ProfileTable, {"work": place}, "here"))


GOOD = ("gpu", "--qos=long", "module load gcc", "01:00:00", "8700-8800", "/opt/lakecv", "~/jobs", "tls://h:8786", "s3://b/x", "address")
KEYS = [(table, key) for table in (ProfileTable, BatchTable) for key in table.model_fields]
TAKEN = [(*place, text, listed) for place in KEYS for text in GOOD for listed in (False, True)
         if tried(checked, place[0], {place[1]: [text] if listed else text}, "here")]  # fmt: skip
FORBIDDEN = "\n\r\0\"'`$;&|<>\\"
ODD = st.one_of(st.sampled_from(FORBIDDEN + "\t (){}*?!#~\x85\u2028"), st.characters())
TEXTS = st.one_of(st.text(ODD, max_size=20), st.sampled_from(GOOD))


@pytest.mark.parametrize("taken", TAKEN, ids=lambda taken: f"{taken[1]}-{taken[2]}")
def test_no_letter_that_a_shell_obeys_gets_through(taken):
    table, key, good, listed = taken
    texts = [good[:place] + odd + good[place:] for place in range(len(good) + 1) for odd in FORBIDDEN]
    assert [text for text in texts if tried(checked, table, {key: [text] if listed else text}, "here")] == []


@settings(max_examples=200)
@given(st.sampled_from(TAKEN), st.integers(0, 15), st.text(ODD, min_size=1, max_size=5))
def test_whatever_gets_through_is_one_harmless_line_and_the_rest_is_refused(taken, place, odd):
    table, key, good, listed = taken
    text = good[:place] + odd + good[place:]
    passed = tried(checked, table, {key: [text] if listed else text}, "here")
    assert passed is None or isinstance(passed, table)
    if passed is not None:
        assert (set(text) & set(FORBIDDEN), text.splitlines()) == (set(), [text])


def test_every_text_of_a_profile_is_among_those_that_are_fuzzed():
    texts = {"account", "partition", "walltime", "interface", "directives", "submit", "folder", "command", "prologue", "ports"}
    assert {key for _, key, *_ in TAKEN} == texts | {"name", "title", "extends", "executor", "scheduler", "address", "work", "near"}


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([key for _, key in KEYS]) | st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from([*ProfileTable.model_fields, "bogus"]), ANYTHING, max_size=5))
def test_a_profile_becomes_a_site_or_is_refused_and_nothing_else(table):
    found = tried(_profile, [_File("x", "here", {"executor": "local", **table}, shipped=False)], None)
    assert found is None or found.site.slots > 0


def test_the_schema_of_a_site_profile_is_the_one_in_the_docs():
    path = ROOT / "docs" / "schema" / "site-profile.json"
    jsonschema.Draft202012Validator.check_schema(json_schema())
    assert json.loads(path.read_text()) == json_schema(), "run: python -m lakecv.config.grammar docs/schema/site-profile.json"


def test_every_key_says_what_is_expected():
    for table in (SettingsTable, ProfileTable, BatchTable):
        assert all(field.description for field in table.model_fields.values())
    assert set(SettingsTable.model_fields) == set(config.Settings.__slots__) - {"origins"}


@pytest.mark.parametrize(
    ("text", "expected"), [("1MB", 10**6), ("2 GiB", 2 * 2**30), ("0.5TB", 5 * 10**11), ("1.25MiB", 1_310_720)],
)
def test_an_amount_of_memory_is_read(text, expected):
    assert nbytes(text) == expected
    assert checked(SettingsTable, {"worker_memory": text}, "here").worker_memory == text


def test_the_limits_of_a_control_group_and_those_around_it_count(tmp_path, monkeypatch):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "own").write_text("1:name=x:/y\n0::/a/b\n")
    (tmp_path / "a" / "cpu.max").write_text("150000 100000\n")
    (tmp_path / "a" / "b" / "cpu.max").write_text("max 100000\n")
    found = list(machine._limits("cpu.max", tmp_path, tmp_path / "own"))
    assert found == [["max", "100000"], ["150000", "100000"]]
    monkeypatch.setattr(machine, "_limits", lambda _: iter(found))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))
    assert machine.cores() == 2


def test_a_machine_without_control_groups_has_what_it_has(tmp_path, monkeypatch):
    assert list(machine._limits("memory.max", tmp_path, tmp_path / "nothing")) == []
    monkeypatch.setattr(machine, "_limits", lambda _: iter([["max"], ["1000000"]]))
    assert machine.memory_nbytes() == 1_000_000


def test_the_shipped_profiles_are_readable_by_all():
    for path in (ROOT / "deploy" / "sites").glob("*.toml"):
        assert path.stat().st_mode & stat.S_IWOTH == 0
