"""Measures how good results are on real scenes with known labels, and writes the rows of docs/quality.md.

``python tests/bench/quality.py DATA [--print] [--toy]``; DATA is a folder with the scenes, which are not ours to pass on (docs/quality.md
says where they come from).  One fixed setting for all scenes, five seeds; scikit-learn does the same to the same pixels in the same run.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
from scipy.io import loadmat
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler, normalize

from lakecv.api import Lake
from lakecv.numerics.agreement import agreement
from lakecv.ports import ReadHints
from tests.bench.table import ROOT, Row, append, stamp

PAGE = ROOT / "docs" / "quality.md"
SECTION = "Clustering"
SEEDS = range(5)
OPTIONS = {"restarts": 20, "passes": 300}
_RATIO, _FEWEST, _MOST = 0.999, 3, 20


@dataclass(frozen=True, eq=False)
class Scene:
    """Spectra (y, x, spectral), labels (y, x) from 1 on with 0 = none, and the methods that are tried on it."""

    name: str
    cube: np.ndarray
    labels: np.ndarray
    methods: tuple[str, ...] = ("raw", "PCA 99.9 %", "z-score", "L2")

    @property
    def k(self):
        return len(np.unique(self.labels[self.labels > 0]))


def scenes(data):
    """Scenes whose files are there."""
    for build in (_salinas_a, _indian_pines, _samson, _samson_pure, _muufl, _salinas_pcs, _indian_pcs, _pavia_pcs, _collagen):
        try:
            yield build(data)
        except FileNotFoundError as error:
            print(f"left out: {error}", file=sys.stderr)


def _salinas_a(data):
    cube, labels = loadmat(data / "hsi/SalinasA_corrected.mat"), loadmat(data / "hsi/SalinasA_gt.mat")
    return Scene("Salinas-A", cube["salinasA_corrected"], labels["salinasA_gt"])


def _indian_pines(data):
    found = loadmat(data / "hsi/IndianPines_part_85x70.mat")
    return Scene("Indian Pines, part", found["X"], found["grd"])


def _samson_of(data):
    cube = loadmat(data / "hsi/samson_1.mat")["V"].T.reshape(95, 95, -1).transpose(1, 0, 2)
    return cube, loadmat(data / "hsi/samson_end3.mat")["A"].T.reshape(95, 95, -1).transpose(1, 0, 2)


def _samson(data):
    cube, parts = _samson_of(data)
    return Scene("Samson, largest abundance", cube, parts.argmax(axis=-1) + 1)


def _samson_pure(data):
    cube, parts = _samson_of(data)
    return Scene("Samson, abundance above 0.8", cube, np.where(parts.max(axis=-1) > 0.8, parts.argmax(axis=-1) + 1, 0))


def _muufl(data):
    found = loadmat(data / "hsi/muufl_90x90x64_unmixing.mat")
    return Scene("MUUFL, largest abundance", found["Y"], found["label"].argmax(axis=-1) + 1)


def _salinas_pcs(data):
    cube, labels = loadmat(data / "hsi/Salinas_pca3_512x217.mat")["img_pca"], loadmat(data / "hsi/Salinas_gt.mat")
    return Scene("Salinas, 3 PCs", cube, labels["salinas_gt"], ("raw",))


def _indian_pcs(data):
    return Scene("Indian Pines, 3 PCs of 8 bits", _image(data / "hsi/IP_pca3.png"), loadmat(data / "hsi/Indian_pines_gt.mat")["indian_pines_gt"], ("raw",))


def _pavia_pcs(data):
    return Scene("Pavia University, 3 PCs of 8 bits", _image(data / "hsi/PU_pca3.png"), loadmat(data / "hsi/PaviaU_gt.mat")["paviaU_gt"], ("raw",))


def _image(path):
    from matplotlib.image import imread

    return np.rint(imread(path)[..., :3] * 255).astype("uint8")


def _collagen(data):
    """Point spectra: a row of 731; the first three lines are names, types and flags."""
    with (data / "raman/collagen_ftir.csv").open() as file:
        rows = [line.rstrip("\n").split(",") for line in file]
    names = rows[0]
    at = next(number for number, text in enumerate(rows[1]) if text.strip().startswith("d"))
    spectra = np.array([[float(text) for number, text in enumerate(row) if number != at] for row in rows[3:]])
    _, labels = np.unique([row[at] for row in rows[3:]], return_inverse=True)
    if len(names) != spectra.shape[1] + 1:
        raise ValueError(f"{len(names)} names for {spectra.shape[1]} columns")
    return Scene("collagen FTIR", spectra[:, None, :], labels[:, None] + 1, ("raw", "SNV"))


# --- one method on one scene ------------------------------------------------------------------------------------------
def lakecv_scores(run, compare, scene, method, components):
    """Scores of one run for each seed, (seed, 4): every pixel with a label is used, and no other."""
    options = {**OPTIONS, "k": scene.k}
    options |= {"z-score": {"scaling": "zscore"}, "L2": {"scaling": "l2"}, "SNV": {"scaling": "snv"}}.get(method, {})
    model = "kmeans"
    if method.startswith("PCA"):
        model, options = "pca+kmeans", {**options, "components": components}
    found = []
    for seed in SEEDS:
        scores = compare(str(run(model, options=options, seed=seed).output)).scores
        found.append((scores.oa, scores.kappa, scores.nmi, scores.ari))
    return np.array(found)


def reference_scores(scene, method, components):
    """The same by scikit-learn, n_init = 10."""
    used = scene.labels > 0
    spectra, truth = scene.cube[used].astype("float64"), scene.labels[used].astype("int64")
    spectra = _PREPARED.get(method, lambda each: each)(spectra)
    if method.startswith("PCA"):
        spectra = PCA(components, svd_solver="full").fit_transform(spectra)
    found = []
    for seed in SEEDS:
        labels = KMeans(scene.k, n_init=10, random_state=seed).fit_predict(spectra)
        scores = agreement(labels, truth)
        found.append((scores.oa, scores.kappa, scores.nmi, scores.ari))
    return np.array(found)


def _snv(spectra):
    centred = spectra - spectra.mean(axis=1, keepdims=True)
    return centred / spectra.std(axis=1, keepdims=True)


_PREPARED: dict[str, Callable[[np.ndarray], np.ndarray]] = {"z-score": lambda each: StandardScaler().fit_transform(each), "L2": normalize, "SNV": _snv}


def components_of(scene):
    """Fewest components, at least 3 and at most 20, that explain 99.9 % of the variance of the pixels that are used."""
    spectra = scene.cube[scene.labels > 0].astype("float64")
    ratios = PCA(min(_MOST, spectra.shape[1]), svd_solver="full").fit(spectra).explained_variance_ratio_
    return min(_MOST, max(_FEWEST, 1 + int(np.searchsorted(np.cumsum(ratios), _RATIO))))


def measure(found):
    """One row for each method on each scene."""
    for number, scene in enumerate(found):
        with tempfile.TemporaryDirectory() as folder:
            np.save(f"{folder}/cube.npy", scene.cube)
            np.save(f"{folder}/truth.npy", scene.labels.astype("uint8"))
            lake, did, truth = Lake(f"{folder}/lake", scope="scene"), f"scene:s{number}", f"{folder}/truth.npy"
            lake.register(f"{folder}/cube.npy", did, hints=ReadHints(dims="y,x,spectral"))
            components = components_of(scene) if any(method.startswith("PCA") for method in scene.methods) else 0
            for method in scene.methods:
                run, compare = partial(lake.run, did=did, mask=truth), partial(lake.compare, truth=truth)
                ours, theirs = lakecv_scores(run, compare, scene, method, components), reference_scores(scene, method, components)
                name = f"{method} ({components})" if method.startswith("PCA") else method
                apart = abs(ours[:, 0].mean() - theirs[:, 0].mean())
                yield Row(SECTION, (scene.name, f"{int((scene.labels > 0).sum()):,}", str(scene.k), name, _told(ours), _told(theirs), f"{apart:.4f}"))


def _told(scores):
    return " / ".join(f"{mean:.4f} +- {spread:.4f}" for mean, spread in zip(scores.mean(axis=0), scores.std(axis=0), strict=True))


def toy():
    """A made scene, which proves this script and nothing else."""
    rng = np.random.default_rng(0)
    labels = np.add.outer(np.arange(20) // 5, np.arange(18) // 6) % 4
    return Scene("made", rng.normal(np.eye(4, 9)[labels] * 6, 1.0), labels, ("raw", "PCA 99.9 %"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", nargs="?", type=Path, help="folder with the scenes")
    parser.add_argument("--toy", action="store_true", help="a made scene; nothing is written")
    parser.add_argument("--print", action="store_true", help="only print")
    given = parser.parse_args()
    if not given.toy and given.data is None:
        parser.error("say where the scenes are, or --toy")
    before = stamp()[:2]
    for row in measure([toy()] if given.toy else scenes(given.data)):
        print(" | ".join((*before, *row.cells)), flush=True)
        if not (given.toy or given.print):
            PAGE.write_text(append(PAGE.read_text(), [row], before))


if __name__ == "__main__":
    main()
