"""What a user installs: one wheel whose names are ours, with everything in it that runs need, and no trace of its makers."""

import importlib.util
import os
import pwd
import re
import subprocess
import sys
import tomllib
import zipfile
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {"lakecv": "lakecv", "lakecv_plugins": "plugins/lakecv_plugins", "lakecv_catalog": "catalog/lakecv_catalog"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("hatchling is not installed; it comes with the extra test")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT]
    subprocess.run(command, check=True, timeout=100, env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"})
    [path] = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def record(wheel):
    [name] = [name for name in wheel.namelist() if name.endswith(".dist-info/RECORD")]
    return [line.partition(",")[0] for line in wheel.read(name).decode().splitlines()]


def metadata(wheel, name):
    return wheel.read(f"lakecv-{PROJECT['version']}.dist-info/{name}").decode()


def test_every_top_level_name_is_ours(wheel):
    assert {name.partition("/")[0] for name in record(wheel)} == {
        *PACKAGES, f"lakecv-{PROJECT['version']}.dist-info", f"lakecv-{PROJECT['version']}.data",
    }


def test_every_file_of_the_packages_is_in_the_wheel(wheel):
    sources = [(package, path) for package, folder in PACKAGES.items() for path in (ROOT / folder).rglob("*") if path.is_file()]
    tracked = [(package, path) for package, path in sources if "__pycache__" not in path.parts]
    expected = {f"{package}/{path.relative_to(ROOT / PACKAGES[package]).as_posix()}" for package, path in tracked}
    assert expected - set(record(wheel)) == set()


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_is_typed(wheel, package):
    assert f"{package}/py.typed" in record(wheel)


@pytest.mark.parametrize("ending", ["report.html.j2", "style.css.j2", "schema/dataset-v1.json"])
def test_templates_and_schemas_are_inside(wheel, ending):
    assert any(name.endswith(f"/{ending}") for name in record(wheel))


def test_site_profiles_are_installed_beside_the_environment(wheel):
    shipped = {path.name for path in (ROOT / "deploy" / "sites").iterdir()}
    found = {name.rpartition("/")[2] for name in record(wheel) if "/data/share/lakecv/sites/" in name}
    assert found == shipped != set()


def test_every_entry_point_is_there_and_loads(wheel):
    points = ConfigParser(delimiters=("=",))
    points.optionxform = str
    points.read_string(metadata(wheel, "entry_points.txt"))
    expected = {"console_scripts": PROJECT["scripts"], **PROJECT["entry-points"]}
    assert {group: dict(points[group]) for group in points.sections()} == expected
    for value in (value for group in expected.values() for value in group.values()):
        module, _, name = value.partition(":")
        assert callable(getattr(importlib.import_module(module), name))


def test_the_base_installation_needs_no_torch_and_no_tools_of_ours(wheel):
    needed = re.findall(r"^Requires-Dist: ([\w.-]+)[^;\n]*$", metadata(wheel, "METADATA"), re.MULTILINE)
    assert len(needed) == len(PROJECT["dependencies"])
    assert not {"torch", "pytest", "mypy", "ruff", "h5py", "astropy", "scipy"} & set(needed)


def test_the_version_is_the_same_everywhere():
    import lakecv

    cited = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)[1]
    assert lakecv.__version__ == PROJECT["version"] == cited


def test_every_requirement_is_pinned():
    pins = {re.sub(r"[-_.]+", "-", line.partition("==")[0]).lower() for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line}
    wanted = [*PROJECT["dependencies"], *(item for extra in PROJECT["optional-dependencies"].values() for item in extra)]
    names = {re.match(r"[\w.-]+", item)[0].lower() for item in wanted}
    assert names - pins == {"lakecv"}


def test_no_file_names_a_machine_of_its_makers():
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    here = {ROOT, Path(pwd.getpwuid(os.getuid()).pw_dir), Path(sys.prefix)} - {Path("/"), Path("/usr"), Path("/usr/local")}
    places = [re.escape(f"{path}/".encode()) for path in here]
    private = re.compile(rb"(?<![\w.}])(?:" + b"|".join([*places, rb"/(?:home|Users)/\w+/"]) + rb")")
    files = [ROOT / name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]
    assert len(files) > 100
    assert [str(path.relative_to(ROOT)) for path in files if private.search(path.read_bytes())] == []
