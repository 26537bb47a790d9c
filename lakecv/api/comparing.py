"""A result held against a ground truth or another result: labels matched one to one, scores, and a picture of where they differ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lakecv.api.pictures import Picture, read_picture, window_of
from lakecv.cube import Role, Window
from lakecv.errors import InvalidInput, Kind
from lakecv.numerics.agreement import Agreement, agreement
from lakecv.numerics.png import encode_png
from lakecv.ports import CatalogBackend
from lakecv.report.palette import label_palette

__all__ = ["Comparison", "compare", "comparison_picture"]

_GAP = 8
_LARGEST, _MOST_LABELS = 2.0**53, 1024
_NONE = "none"


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Scores of a result against a truth; ``labels`` and ``truths`` are (ny, nx) int64, -1 = not compared."""

    result: str
    truth: str
    scores: Agreement
    labels: NDArray[np.int64]
    truths: NDArray[np.int64]

    @property
    def npixels(self) -> int:
        """Pixels that have a label in both."""
        return int(self.scores.counts.sum())


def compare(
    lake: str, catalog: CatalogBackend, result: str, truth: str, *, background: str = "0", above: float | None = None,
) -> Comparison:
    """Compare a result with a truth, both named ``DID#array`` or ``file#array``.

    Parameters
    ----------
    lake, catalog
        Where datasets are found.
    result, truth : str
        Label maps, or abundances (y, x, endmember), of which the largest is the label.
    background : str
        Value that means no label in a map that is no result of lakecv; ``none`` = there is no such value.
    above : float, optional
        Pixels whose largest abundance is not above it are left out.

    Raises
    ------
    InvalidInput
        If one is no label map, their shapes do not fit, or no pixel has a label in both.
    """
    sides = [read_picture(lake, catalog, text, role=Role.LABELS) for text in (result, truth)]
    if above is not None and all(side.values.ndim == 2 for side in sides):  # noqa: PLR2004  (y, x)
        raise InvalidInput(f"--above is for abundances; {result} and {truth} have one label for each pixel", Kind.OPTION_INVALID, "leave it out")
    labels = [_labels(side, background, above) for side in sides]
    labels = _fitted(labels, [window_of(lake, catalog, side) for side in sides], sides)
    both = (labels[0] >= 0) & (labels[1] >= 0)
    if not both.any():
        raise InvalidInput(f"no pixel has a label in {result} and in {truth}", Kind.NOTHING_VALID, "see --background and --above")
    for side, each in zip(sides, labels, strict=True):
        if (count := len(np.unique(each[both]))) > _MOST_LABELS:
            raise InvalidInput(f"{side.name} has {count:,} labels; at most {_MOST_LABELS:,} are matched", Kind.OPTION_INVALID, "is it a label map? see --background")
    scores = agreement(labels[0][both], labels[1][both])
    return Comparison(result, truth, scores, *(np.where(both, each, -1) for each in labels))


def comparison_picture(found: Comparison) -> bytes:
    """Draw truth, result in the truth's colors, and the pixels that differ (dark), side by side; a PNG."""
    scores = found.scores
    columns = {int(name): number for number, name in enumerate(scores.columns)}
    matched = {int(row): int(at) if at >= 0 else len(columns) + number for number, (row, at) in enumerate(zip(scores.rows, scores.match, strict=True))}
    palette = label_palette(len(columns) + len(matched))
    there, here = (_renamed(labels, names) for labels, names in ((found.truths, columns), (found.labels, matched)))
    pictures = [palette[there], palette[here], np.where((there != here)[..., None], np.array([40, 40, 40, 255], np.uint8), palette[there])]
    pictures[2][(there == here) & (there >= 0), 3] = 60
    gap = np.zeros((there.shape[0], _GAP, 4), np.uint8)
    return encode_png(np.concatenate([pictures[0], gap, pictures[1], gap, pictures[2]], axis=1))


def _renamed(labels: NDArray[np.int64], names: dict[int, int]) -> NDArray[np.int64]:
    """Put numbers in the place of labels; -1 stays, which is the last color."""
    known = np.array([*names], np.int64)
    order = np.argsort(known)
    numbers = np.array([*names.values()], np.int64)[order]
    return np.where(labels < 0, -1, numbers[np.minimum(np.searchsorted(known[order], labels), len(known) - 1)])


def _labels(picture: Picture, background: str, above: float | None) -> NDArray[np.int64]:
    """Read a label from every pixel, -1 where it has none."""
    values = picture.values
    if values.ndim == 3:  # noqa: PLR2004  (y, x and one more)
        usable = ~picture.missing.any(axis=-1)
        usable &= values.max(axis=-1) > (-np.inf if above is None else above)
        return np.where(usable, np.argmax(values, axis=-1), -1)
    missing = picture.missing
    named = values[~missing]
    if named.size and (not np.isfinite(named).all() or float(np.abs(named).max()) > _LARGEST or (named != np.rint(named)).any()):
        raise InvalidInput(f"{picture.name} holds fractions or values beyond {_LARGEST:.0e}, not labels", Kind.DIMS_AMBIGUOUS, "name a label map of it: NAME#array")
    if not picture.is_result:
        missing = missing | (values < 0) | (False if background == _NONE else values == _number(background))
    return np.where(missing, -1, np.where(missing, 0, values).astype(np.int64))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as err:
        raise InvalidInput(f"--background {text} is not a number", Kind.OPTION_INVALID, "a label that means nothing, such as 0, or none") from err


def _fitted(labels: list[NDArray[np.int64]], windows: list[Window | None], sides: list[Picture]) -> list[NDArray[np.int64]]:
    """Cut the larger one to the window that the other was made of."""
    a, b = labels
    if windows[0] != windows[1]:
        a = _cut(a, windows[1], b.shape) if windows[0] is None else a
        b = _cut(b, windows[0], a.shape) if windows[1] is None else b
    if a.shape != b.shape or (windows[0] and windows[1] and windows[0] != windows[1]):
        (name, other), shapes = (side.name for side in sides), [" x ".join(map(str, each.shape)) for each in (a, b)]
        raise InvalidInput(f"{name} is {shapes[0]}, {other} is {shapes[1]}", Kind.SHAPE_INVALID, "compare labels of the same pixels")
    return [a, b]


def _cut(labels: NDArray[np.int64], window: Window | None, shape: tuple[int, ...]) -> NDArray[np.int64]:
    if window is None or labels.shape == shape or window.y1 > labels.shape[0] or window.x1 > labels.shape[1]:
        return labels
    return labels[window.slices()]
