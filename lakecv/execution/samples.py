"""Samples as parts of a work area, and how many of them become one: of each only the spectra that are wanted are read."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from lakecv.numerics.sampling import Pick, merge
from lakecv.patience import many
from lakecv.plan import Outcome
from lakecv.sheet import Array

__all__ = ["Reading", "pack_pick", "picked"]

# Reads arrays of a part: all, or those whose name is wanted.
Reading = Callable[[Outcome, Callable[[str], bool] | None], dict[str, Array]]

_SPECTRA = "spectra/"
_ROWS = 128  # spectra in one array of a part


def pack_pick(pick: Pick) -> dict[str, Array]:
    """Name the arrays of a sample: where its pixels lie, and their spectra, some rows in each array.

    A part is in the order of the hash, so of several parts the first rows of each are wanted, and no more of them need be read.
    """
    count = max(1, math.ceil(len(pick.spectra) / _ROWS))
    spectra = {_rows(index): pick.spectra[index * _ROWS : (index + 1) * _ROWS] for index in range(count)}
    return {"y": pick.y, "x": pick.x, "hashes": pick.hashes, **spectra}


def picked(parts: Sequence[Outcome], read: Reading, n: int) -> Pick | None:
    """Pick the ``n`` pixels with the smallest hash: first find out in which parts they lie, then read their spectra.

    Each part is in the order of the hash, so they are the first ones of each.
    """
    if not parts:
        return None
    places = many(lambda part: read(part, _is_place), parts)
    y, x, hashes = (np.concatenate([place[name] for place in places]) for name in ("y", "x", "hashes"))
    source = np.repeat(np.arange(len(parts)), [len(place["y"]) for place in places])
    counts = np.bincount(source[np.lexsort((x, y, hashes))[:n]], minlength=len(parts)).tolist()

    def head(index: int) -> Pick:
        count, place = counts[index], places[index]
        spectra = _unpack_spectra(read(parts[index], _first_rows(count).__contains__))
        return Pick(spectra[:count], place["y"][:count], place["x"][:count], place["hashes"][:count])

    return merge(many(head, [index for index, count in enumerate(counts) if count] or [0]), n)


def _is_place(name: str) -> bool:
    """Say whether an array of a sample tells where its pixels lie."""
    return not name.startswith(_SPECTRA)


def _first_rows(count: int) -> set[str]:
    """Name the arrays that hold the first spectra of a sample; one at least, which tells their kind."""
    return {_rows(index) for index in range(max(1, math.ceil(count / _ROWS)))}


def _unpack_spectra(arrays: Mapping[str, Array]) -> Array:
    """Put the spectra of some arrays of a sample together."""
    return np.concatenate([arrays[name] for name in sorted(arrays) if not _is_place(name)])


def _rows(index: int) -> str:
    return f"{_SPECTRA}{index:06d}"
