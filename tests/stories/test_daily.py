"""A day of three users, on their real data: what they do before and after a clustering, from the file to the file.

Skipped where the data are absent: they are not ours to pass on.
"""

import json
import shlex
import warnings
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from lakecv import registry
from lakecv.cli import app
from lakecv.testing.sites import InlineSite

DATA = Path(__file__).parents[3] / "shared" / "data"
pytestmark = [pytest.mark.timeout(120), pytest.mark.skipif(not DATA.exists(), reason="the development data are not here")]


@pytest.fixture
def typed(tmp_path, monkeypatch):
    """Type a command in a folder of one's own; gives its JSON."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAKECV_LAKE", str(tmp_path / "lake"))
    monkeypatch.setenv("LAKECV_SCOPE", "day")
    monkeypatch.setattr(registry, "site", lambda _: InlineSite(1))

    def type_words(words):
        result = CliRunner().invoke(app, [*shlex.split(words), "--json"], prog_name="lakecv")
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)

    return type_words


def test_an_astronomer_clusters_a_range_of_velocities_and_keeps_the_sky(typed):
    fits, wcs = pytest.importorskip("astropy.io.fits"), pytest.importorskip("astropy.wcs")
    source = DATA / "astro" / "l1448_13co.fits"
    typed(f"register {source} day:l1448")
    peaks = typed("spectrum day:l1448")["peaks"]
    assert any(3000 < peak["position"] < 6000 for peak in peaks)  # the cloud moves at 4 to 5 km/s
    run = typed("run kmeans day:l1448 --axis 3.5:5.5km/s --window 20:90,15:100 --set k=5 --set scaling=snv")
    typed(f"export {run['output']} --array labels --to labels.fits")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with fits.open("labels.fits") as written, fits.open(source) as whole:
            assert written[0].data.shape == (70, 85)
            here, there = wcs.WCS(written[0].header).celestial, wcs.WCS(whole[0].header).celestial
            assert np.allclose(here.pixel_to_world_values(7, 3), there.pixel_to_world_values(22, 23), rtol=0, atol=1e-10)
    cited = typed(f"cite {run['output']}")
    assert "--window 20:90,15:100" in cited["text"]


def test_a_burnt_area_is_found_and_written_where_it_lies(typed):
    rasterio = pytest.importorskip("rasterio")
    pytest.importorskip("spyndex")
    folder, name = DATA / "sentinel2_fire", "WATER_20240621.tif"
    typed(f"register {folder / 'dnbr' / name} day:dnbr")
    run = typed("run indices day:dnbr --set 'formula=C(0)' --set threshold=otsu")
    found = typed(f"compare '{run['output']}#labels' {folder / 'masks' / name} --background none")
    counts = np.array(found["counts"])
    burnt = counts[1, 1]
    assert burnt / (counts[1].sum() + counts[:, 1].sum() - burnt) == pytest.approx(0.88, abs=0.02)
    typed(f"annotate {run['output']} cluster 1 burnt")
    typed(f"export {run['output']} --array labels --to burnt.tif")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open("burnt.tif") as written, rasterio.open(folder / "dnbr" / name) as source:
            assert (written.transform, written.crs, written.shape) == (source.transform, source.crs, source.shape)
            assert written.nodata == 255
            assert np.isin(written.read(1), [0, 1, 255]).all()


def test_a_conservator_maps_clusters_and_names_a_pigment(typed):
    nxdata, silx = pytest.importorskip("silx.io.nxdata"), pytest.importorskip("silx.io")
    typed(f"register {DATA / 'xrf' / 'panagia_icon' / 'panagia.npy'} day:icon --shape 21,33 --axis channel")
    peaks = sorted(typed("spectrum day:icon")["peaks"], key=lambda peak: -peak["mean"])
    strongest = peaks[0]["channel"]
    maps = typed(f"run maps day:icon --set windows={strongest - 6}:{strongest + 7}ch")
    run = typed("run pca+kmeans day:icon --window 1:20,2:31 --axis 20:800ch --set components=5 --set k=4")
    typed(f"annotate {run['output']} cluster 2 'lead white'")
    typed(f"export {run['output']} --array labels --to icon.h5")
    with silx.open("icon.h5") as file:
        data = nxdata.get_default(file)
        assert data is not None
        assert data.signal.shape == (19, 29)
    assert "lead white" in json.dumps(typed(f"show {run['output']}"))
    assert maps["output"] == "day:icon.maps.1"
