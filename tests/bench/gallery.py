"""Registers every real cube of the data folder, runs k-means and pca+k-means, and takes pictures of the reports.

``python tests/bench/gallery.py [--data DIR] [--out DIR]``.  Reports go to ``--out`` (default: build/gallery); screenshots of
those whose licence allows it (the demo, BSD and MIT data) also to ``docs/gallery``.  Skips what is not there.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from lakecv import Lake
from lakecv.errors import LakeCVError
from lakecv.ports import ReadHints

ROOT = Path(__file__).resolve().parents[2]
BROWSER = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--force-device-scale-factor=1",
]


@dataclass(frozen=True)
class Picture:
    """One cube: where it is, how to read it, how to cluster it, whether its picture may be shown."""

    name: str
    path: str
    hints: ReadHints
    options: dict
    shown: bool = False


PICTURES = (
    Picture("salinas-a", "hsi/SalinasA_corrected.mat", ReadHints(), {"k": 6}),
    Picture("samson", "hsi/samson_1.mat", ReadHints(dims="spectral,pixel", shape=(95, 95), order="F"), {"k": 3, "scaling": "l2"}),
    Picture("aviris", "hsi/aviris_vi_90x90x224.mat", ReadHints(), {"k": 6}),
    Picture("muufl", "hsi/muufl_sub_51x88x72.mat", ReadHints(mask="mask_sub"), {"k": 5}),
    Picture("muufl-unmixing", "hsi/muufl_90x90x64_unmixing.mat", ReadHints(path="Y"), {"k": 5}),
    Picture("indian-pines", "hsi/IndianPines_part_85x70.mat", ReadHints(), {"k": 4}),
    Picture("l1448", "astro/l1448_13co.fits", ReadHints(), {"k": 5}),
    Picture("muse", "astro/mpdaf_muse_CUBE.fits", ReadHints(), {"k": 4}, shown=True),
    Picture("muse-center", "astro/mpdaf_Central_Datacube_bkg.fits", ReadHints(), {"k": 5}, shown=True),
    Picture("astrodendro", "astro/astrodendro_3d_51.fits", ReadHints(), {"k": 4}, shown=True),
    Picture("aps-fly", "xrf/aps_2IDE/2xfm_0011_2xfm3__0.h5", ReadHints(detector="sum"), {"k": 3, "scaling": "sqrt"}),
    Picture("icon", "xrf/panagia_icon/panagia.npy", ReadHints(shape=(21, 33)), {"k": 5}),
    Picture("raman", "raman/chondro_875x300.npz", ReadHints(path="spc", shape=(25, 35)), {"k": 3, "scaling": "snv"}),
)


def screenshot(page, picture, height=2600):
    """Take a picture of a page with a real browser; returns False where there is none."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        return False
    with tempfile.TemporaryDirectory() as profile:
        command = [browser, *BROWSER, f"--user-data-dir={profile}", f"--window-size=1280,{height}",
                   f"--screenshot={picture}", page.resolve().as_uri()]
        subprocess.run(command, check=True, timeout=120, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return True


def look(lake, picture, source, out):
    """Register one cube and run both models on it; returns a line for each."""
    done = lake.register(source, f"gallery:{picture.name}", hints=picture.hints)
    for note in (*done.notes, *done.dataset.warnings):
        yield f"{picture.name}: note: {note}"
    few = {"components": min(8, done.dataset.cube.main.shape[-1])}
    chain = few | {("pca.scaling" if name == "scaling" else name): value for name, value in picture.options.items()}
    for model, options in (("kmeans", picture.options), ("pca+kmeans", chain)):
        started = time.perf_counter()
        run = lake.run(model, f"gallery:{picture.name}", options=options)
        page = out / f"{picture.name}-{model}.html"
        page.unlink(missing_ok=True)
        lake.report(str(run.output), page)
        if screenshot(page, out / f"{picture.name}-{model}.png") and picture.shown and model == "pca+kmeans":
            shutil.copy(out / f"{picture.name}-{model}.png", ROOT / "docs" / "gallery" / f"{picture.name}.png")
        shape = " x ".join(map(str, done.dataset.cube.main.shape))
        yield f"{picture.name}: {shape}, {model}: {run.state} in {time.perf_counter() - started:.1f} s -> {page.name}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "gallery")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    (ROOT / "docs" / "gallery").mkdir(exist_ok=True)
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        demo = Lake.demo(Path(folder) / "lakecv-demo")
        page = given.out / "demo.html"
        shutil.copy(demo.report, page)
        if screenshot(page, given.out / "demo.png"):
            shutil.copy(given.out / "demo.png", ROOT / "docs" / "gallery" / "demo.png")
        print(f"demo: ARI {demo.ari:.3f} in {demo.seconds:.1f} s -> {page.name}", flush=True)
        lake = Lake(Path(folder) / "lake", scope="gallery")
        for picture in PICTURES:
            source = given.data / picture.path
            if not source.exists():
                print(f"{picture.name}: skipped, there is no {picture.path}")
                continue
            try:
                for line in look(lake, picture, source, given.out):
                    print(line, flush=True)
            except LakeCVError as err:
                bad += 1
                print(f"{picture.name}: {type(err).__name__}: {err} ({err.hint})", flush=True)
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
