"""What the documents say is so: links lead somewhere, generated parts are up to date, the plugin of CONTRIBUTING works."""

import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
BLOCK = re.compile(r"^`([\w.]+)`\n\n```\w+\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def build():
    spec = importlib.util.spec_from_file_location("docs_build", ROOT / "docs" / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def anchors(page):
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_within_the_repository_leads_somewhere(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    local = [link.partition("#")[::2] for link in LINK.findall(text) if "://" not in link]
    targets = [((page.parent / path) if path else page, anchor) for path, anchor in local]
    assert [str(path) for path, _ in targets if not path.exists()] == []
    assert [anchor for path, anchor in targets if anchor and anchor not in anchors(path)] == []


@pytest.mark.parametrize("name", ["models", "settings", "profiles", "exit-codes", "bad-input"])
def test_a_generated_section_is_what_the_code_says(build, name):
    if name == "bad-input" and not build.BAD_INPUT.exists():
        pytest.skip("tests/bad_input.toml is not there")
    written = re.search(f"<!-- begin {name} -->\n(.*?)<!-- end {name} -->", (ROOT / "docs" / "guide.md").read_text(), re.DOTALL)
    assert written[1] == build.SECTIONS[name](), "run: make docs"


def test_every_section_between_markers_is_generated(build):
    assert set(re.findall(r"<!-- begin ([a-z-]+) -->", (ROOT / "docs" / "guide.md").read_text())) == set(build.SECTIONS)


def test_rendering_replaces_what_is_between_markers_and_nothing_else(build, monkeypatch):
    monkeypatch.setitem(build.SECTIONS, "models", lambda: "new\n")
    page = "a\n<!-- begin models -->\nold\n<!-- end models -->\nb\n"
    assert build.render(page) == page.replace("old", "new")


def test_every_option_of_register_is_explained_in_the_guide():
    from lakecv.ports import ReadHints

    guide = (ROOT / "docs" / "guide.md").read_text()
    hints = [f"`--{name.replace('_', '-')} " for name in ReadHints.__dataclass_fields__]
    assert [hint for hint in hints if hint not in guide] == []


def test_every_contract_suite_that_contributing_names_exists():
    named = re.findall(r"`(lakecv\.testing\.\w+)\.(\w+Contract)`", (ROOT / "CONTRIBUTING.md").read_text())
    assert len(named) == 5
    assert [name for module, name in named if not hasattr(importlib.import_module(module), name)] == []


@pytest.mark.timeout(240)
def test_the_plugin_of_contributing_is_found_and_runs(tmp_path):
    files = dict(BLOCK.findall((ROOT / "CONTRIBUTING.md").read_text()))
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    install(tmp_path, tomllib.loads(files["pyproject.toml"])["project"])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "test_lakecv_peak.py"], cwd=tmp_path, timeout=200, check=False,
        env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) > 5


def install(folder, project):
    """Write the metadata that ``pip install -e`` would."""
    info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = project["entry-points"].items()
    lines = [f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items()) for group, points in groups]
    (info / "entry_points.txt").write_text("\n".join(lines))
