"""A cube whose halves lie at two sites: made of a seed, written shard by shard, registered as one dataset of two partial copies."""

# ruff: noqa: INP001  (it lies beside the script that imports it)
from __future__ import annotations

from dataclasses import dataclass, replace
from secrets import token_hex
from typing import TYPE_CHECKING

import numpy as np

from lakecv import registry
from lakecv.api.registering import now
from lakecv.canonical import dumps
from lakecv.cube import ArraySpec, CubeSpec, Grid, Role, SpectralAxis
from lakecv.lake_io.codec import encode_shard, shard_chunks
from lakecv.lake_io.convert import QUICKLOOK, SURVEY
from lakecv.lake_io.layout import lay_out, shards
from lakecv.lake_io.objects import put_checked
from lakecv.lake_io.place import data_prefix, locate
from lakecv.lake_io.publish import publish
from lakecv.lake_io.survey import Survey
from lakecv.records import Access, Dataset, Replica

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from lakecv.cube import Window
    from lakecv.ports import CatalogBackend
    from lakecv.records import DID, StoredObject

__all__ = ["Cube", "register_halves"]

_DIMS = ("y", "x", "spectral")
_MATERIALS, _WIDTH = 6, 24.0


@dataclass(frozen=True, slots=True)
class Cube:
    """What is made: ``faint`` = few counts in each channel, which compress well; else measured intensities, which hardly do."""

    ny: int
    nx: int
    channels: int
    faint: bool = False

    @property
    def main(self) -> ArraySpec:
        """How it lies: as lakecv would lay it out, but one object for each chunk, as moto reads a whole object for each range of it."""
        shape = (self.ny, self.nx, self.channels)
        laid = lay_out(ArraySpec("data", Role.DATA, _DIMS, shape, "uint16" if self.faint else "float32", shape))
        return replace(laid, shards=laid.chunks)

    @property
    def nbytes(self) -> int:
        """Bytes when decoded."""
        return self.main.nbytes

    def values(self, window: Window, seed: int = 0) -> NDArray[np.uint16 | np.float32]:
        """Make the samples of one chunk from the seed and its place: mixtures of a few materials, each with a line of its own."""
        rng = np.random.default_rng((seed, window.y0, window.x0))
        places = np.add.outer(np.arange(window.y0, window.y1) / _WIDTH, np.arange(window.x0, window.x1) / _WIDTH)
        layers = 1 + np.cos(places[..., None] * (1 + np.arange(_MATERIALS)) ** 0.5)
        centres = (np.arange(_MATERIALS) + 0.5) * self.channels / _MATERIALS
        lines = np.exp(-0.5 * ((np.arange(self.channels) - centres[:, None]) / (self.channels / 32)) ** 2)
        expected = 0.05 + layers @ lines
        if self.faint:
            return rng.poisson(0.5 * expected).astype(np.uint16)
        return rng.random(expected.shape, np.float32) + expected.astype(np.float32)


def register_halves(lake: str, catalog: CatalogBackend, did: DID, cube: Cube, places: Mapping[str, str]) -> Dataset:
    """Write a cube's upper objects to the first place (RSE: url), the lower ones to the second, and enter it into the catalog.

    Metadata, manifest and artifacts lie at the dataset's home in the lake.
    """
    home = data_prefix(did, token_hex(6))
    main, survey = cube.main, Survey(cube.main)
    halves = [(rse, registry.open_objects(url)) for rse, url in places.items()]
    held: dict[str, list[StoredObject]] = {rse: [] for rse in places}
    for shard in shards(main):
        rse, objects = halves[2 * shard.window.y0 // cube.ny]
        values = cube.values(shard.window)
        survey.add(shard.window, values)
        held[rse].append(put_checked(objects, f"{main.name}/{shard.key}", encode_shard(shard_chunks(values, main), main)))
    axis = SpectralAxis(cube.channels)
    findings = survey.findings(axis)
    spec = CubeSpec(Grid(cube.ny, cube.nx), axis, (replace(main, limits=findings.limits),))
    stored = [each for own in held.values() for each in own]
    artifacts = {SURVEY: dumps(findings).encode(), QUICKLOOK: survey.png()}
    done = publish(registry.open_objects(locate(lake, home)), spec, stored, tables={}, artifacts=artifacts)
    manifest = done.manifest
    replicas = tuple(Replica(rse, url, rse, Access.PARTIAL, tuple(each.key.replace("/", ".") for each in held[rse])) for rse, url in places.items())
    dataset = Dataset(did, done.cube, manifest.digest, home, replicas, len(manifest.objects), manifest.nbytes, now(), title="a cube in two halves")
    return catalog.register(dataset, manifest)
