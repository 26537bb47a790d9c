"""What the doctor sees."""

import pytest

from lakecv.api import Lake, Verdict


def verdicts(lake):
    return {check.name: check.verdict for check in lake.doctor()}


@pytest.fixture
def no_dask(monkeypatch, tmp_path):
    monkeypatch.setattr("lakecv.api.examining._DASK_FOLDERS", (str(tmp_path),))
    for name in ("DASK_CONFIG", "DASK_INTERNAL_INHERIT_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.mark.usefixtures("no_dask")
def test_a_healthy_lake_has_nothing_but_oks(tmp_path):
    found = verdicts(Lake(tmp_path / "lake"))
    assert found.keys() >= {"lake", "plugins"}
    assert found["lake"] is Verdict.OK


@pytest.mark.usefixtures("no_dask")
def test_a_lake_that_cannot_be_reached_is_an_error_with_its_hint(monkeypatch):
    for name, value in (("ENDPOINT_URL", "http://127.0.0.1:9"), ("ACCESS_KEY_ID", "a"), ("SECRET_ACCESS_KEY", "b")):
        monkeypatch.setenv(f"AWS_{name}", value)
    [check] = [check for check in Lake("s3://bucket/lake").doctor() if check.name == "lake"]
    assert check.verdict is Verdict.ERROR
    assert "AWS_ENDPOINT_URL" in check.hint


def test_code_that_dask_would_preload_is_named(no_dask, tmp_path):
    (no_dask / "distributed.yaml").write_text("distributed: {worker: {preload: [x]}}")
    [check] = [check for check in Lake(tmp_path / "lake").doctor() if check.name == "dask"]
    assert check.verdict is Verdict.WARNING
    assert "distributed.yaml preloads" in check.text
