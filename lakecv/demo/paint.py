"""A small panel painted in code: a Madonna and Child before hills, with a glaze, losses and a retouching.

It is a picture whose pigments are known in every pixel, so that what clustering finds can be compared with the truth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lakecv.demo.shapes import Canvas, Distance, Point

__all__ = ["MATERIALS", "PIGMENTS", "Painting", "paint"]

NY, NX = 120, 160
PIGMENTS = ("azurite", "lead white", "lead-tin yellow", "vermilion", "umber", "titanium white", "chalk ground")
"""What a label means, by its number: five old pigments, the retoucher's modern one, and the bare ground."""
MATERIALS = (*PIGMENTS, "copper green glaze")
"""What a pixel can be made of; a glaze is no label, as what lies beneath it dominates."""
AZURITE, WHITE, YELLOW, VERMILION, UMBER, TITANIUM, GROUND, GLAZE = range(8)

Color = tuple[int, int, int]
Array = NDArray[np.float64]
_OUTLINE: Color = (58, 40, 30)
_FLESH: Color = (236, 205, 178)
_MANTLE: tuple[Point, ...] = (
    (80, 17), (92, 20), (96, 34), (97, 48), (113, 56), (121, 74), (126, 118), (36, 118), (41, 74), (48, 56), (63, 48), (64, 34),
    (68, 20),
)  # fmt: skip
_FOLDS: tuple[tuple[Point, ...], ...] = (
    ((52, 62), (47, 84), (46, 112)), ((57, 72), (54, 96), (53, 112)), ((110, 64), (115, 86), (117, 112)),
    ((106, 78), (109, 98), (110, 112)),
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Painting:
    """The picture and its truth.

    ``rgb`` (y, x, 3) uint8 is what the eye sees.  ``abundance`` (y, x, material) float32 sums to 1 over ``MATERIALS``;
    ``thickness`` (y, x) float32 varies around 1.  ``pigments`` (y, x) uint8 is the dominant pigment, an index of
    ``names``: under a glaze the pigment beneath, on an outline umber, on the retouching titanium white.
    """

    rgb: NDArray[np.uint8]
    pigments: NDArray[np.uint8]
    names: tuple[str, ...]
    abundance: NDArray[np.float32]
    thickness: NDArray[np.float32]


class _Panel:
    """Layers laid one over another; each covers what is beneath it for the eye and for the X-rays."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.canvas = Canvas(NY, NX)
        self.rgb = np.ones((NY, NX, 3)) * (226.0, 211.0, 178.0)
        self.abundance = np.zeros((NY, NX, len(MATERIALS)))
        self.abundance[..., GROUND] = 1.0
        self.brush = _noise(rng, (1, 5))
        self.light = _noise(rng, (12, 12))

    def lay(self, shape: Distance, material: int, color: Color, *, opacity: float = 1.0, body: float = 1.0) -> None:
        """Lay paint inside a shape: ``opacity`` for the eye, ``body`` for the X-rays."""
        cover = np.clip(0.5 - shape, 0.0, 1.0)[..., None]
        shade = (1.0 + 0.04 * self.brush + 0.05 * self.light)[..., None]
        self.rgb += cover * opacity * (np.array(color) * shade - self.rgb)
        self.abundance += cover * body * (np.eye(len(MATERIALS))[material] - self.abundance)

    def outline(self, shape: Distance, width: float = 1.0, strength: float = 0.75) -> None:
        """Draw along the edge of a shape with umber."""
        self.lay(np.abs(shape) - width / 2, UMBER, _OUTLINE, opacity=strength, body=strength)

    def figure(self, shape: Distance, material: int, color: Color) -> None:
        """Lay paint and draw its outline."""
        self.lay(shape, material, color)
        self.outline(shape)

    def shade(self, shape: Distance, color: Color, soft: float, opacity: float) -> None:
        """Darken or lighten softly: too thin for the X-rays."""
        cover = opacity / (1.0 + np.exp(np.clip(shape / soft, -40, 40)))[..., None]
        self.rgb += cover * (np.array(color, float) - self.rgb)


def paint(seed: int = 0) -> Painting:
    """Paint the panel.

    Parameters
    ----------
    seed : int
        Decides brush marks and thickness; the drawing is always the same.

    Returns
    -------
    Painting
        160 pixels wide, 120 high, six pigments on a chalk ground.
    """
    rng = np.random.default_rng((seed, 1))
    panel = _Panel(rng)
    _sky(panel)
    _hills(panel)
    _house(panel)
    _tree(panel)
    _madonna(panel)
    _child(panel)
    _age(panel)
    thickness = np.exp(0.10 * _noise(rng, (18, 18)) + 0.05 * panel.brush)
    labels = panel.abundance[..., : len(PIGMENTS)].argmax(axis=-1)
    return Painting(
        np.clip(np.rint(panel.rgb), 0, 255).astype(np.uint8), labels.astype(np.uint8), PIGMENTS,
        panel.abundance.astype(np.float32), thickness.astype(np.float32),
    )


def _sky(panel: _Panel) -> None:
    canvas = panel.canvas
    panel.lay(canvas.polygon([(4, 4), (156, 4), (156, 116), (4, 116)]), AZURITE, (122, 166, 205))
    panel.shade(canvas.below([(0, 52), (160, 52)]), (226, 226, 206), 9.0, 0.85)
    for x, y, size in ((30, 17, 9), (40, 15, 7), (21, 19, 6), (122, 27, 8), (132, 29, 10), (143, 30, 6)):
        panel.lay(canvas.ellipse((x, y), (size, size * 0.42)), WHITE, (241, 240, 232))


def _hills(panel: _Panel) -> None:
    """Hills of lead-tin yellow; the near ones are turned green by a copper glaze."""
    canvas = panel.canvas
    far = canvas.below([(4, 66), (20, 57), (38, 60), (60, 50), (90, 56), (112, 48), (134, 58), (156, 52)])
    near = canvas.below([(4, 84), (22, 76), (44, 72), (66, 84), (96, 86), (118, 76), (140, 72), (156, 78)])
    frame = canvas.polygon([(4, 4), (156, 4), (156, 116), (4, 116)])
    far, near = np.maximum(far, frame), np.maximum(near, frame)
    panel.figure(far, YELLOW, (214, 190, 108))
    panel.figure(near, YELLOW, (206, 186, 96))
    panel.lay(near, GLAZE, (74, 122, 66), opacity=0.72, body=0.10)
    panel.lay(np.maximum(far, -near), GLAZE, (120, 150, 90), opacity=0.38, body=0.05)
    bends = [(26, 116), (44, 116), (40, 101), (33, 92), (35, 83), (31, 83), (27, 92), (32, 103)]
    road = canvas.polygon(bends, smooth=True)
    panel.lay(road, WHITE, (226, 212, 180))


def _house(panel: _Panel) -> None:
    canvas = panel.canvas
    panel.figure(canvas.polygon([(12, 66), (34, 66), (34, 84), (12, 84)]), WHITE, (238, 230, 212))
    panel.figure(canvas.polygon([(9, 67), (14, 55), (33, 55), (38, 67)]), VERMILION, (196, 66, 42))
    panel.lay(canvas.polygon([(25, 73), (31, 73), (31, 84), (25, 84)]), UMBER, (92, 62, 42))
    panel.lay(canvas.polygon([(15, 71), (21, 71), (21, 77), (15, 77)]), YELLOW, (248, 214, 104))
    panel.outline(canvas.polygon([(15, 71), (21, 71), (21, 77), (15, 77)]), 0.7)


def _tree(panel: _Panel) -> None:
    canvas = panel.canvas
    panel.lay(canvas.polygon([(133, 80), (134, 60), (138, 60), (140, 80)]), UMBER, (84, 58, 40))
    panel.lay(canvas.stroke([(136, 66), (128, 57), (144, 54)], 1.6), UMBER, (84, 58, 40))
    for x, y, size in ((128, 54, 8), (144, 53, 8), (136, 46, 9), (136, 56, 7)):
        crown = canvas.ellipse((x, y), (size, size * 0.9))
        panel.figure(crown, YELLOW, (150, 160, 80))
        panel.lay(crown, GLAZE, (62, 108, 60), opacity=0.7, body=0.10)
    for x, y in ((125, 52), (133, 44), (140, 49), (147, 55), (136, 57), (130, 58), (142, 43)):
        panel.lay(canvas.ellipse((x, y), (1.7, 1.7)), VERMILION, (206, 64, 44))


def _halo(panel: _Panel, center: Point, radius: float, rays: int) -> None:
    """Lay a halo of lead-tin yellow and scratch rays into it."""
    canvas = panel.canvas
    panel.figure(canvas.ellipse(center, (radius, radius)), YELLOW, (238, 198, 84))
    for ray in range(rays):
        dx, dy = math.cos(2 * math.pi * ray / rays), math.sin(2 * math.pi * ray / rays)
        reach = (0.80 * radius, 0.93 * radius)
        line = [(center[0] + dx * r, center[1] + dy * r) for r in reach]
        panel.shade(canvas.stroke(line, 0.9), (172, 124, 40), 0.2, 0.7)
    panel.shade(np.abs(canvas.ellipse(center, (0.74 * radius, 0.74 * radius))) - 0.3, (172, 124, 40), 0.2, 0.6)


def _face(panel: _Panel, center: Point, size: float) -> None:
    """Eyes, nose, mouth and cheeks of a face looking down."""
    canvas, (x, y) = panel.canvas, center
    for side in (-1, 1):
        cheek = canvas.ellipse((x + 0.5 * side * size, y + 0.42 * size), (0.22 * size, 0.18 * size))
        panel.shade(cheek, (222, 138, 112), 0.5, 0.6)
        left, right, brow = x + (side * 0.38 - 0.2) * size, x + (side * 0.38 + 0.2) * size, y - 0.3 * size
        panel.shade(canvas.stroke([(left, y), (right, y)], 0.9), _OUTLINE, 0.25, 0.85)
        panel.shade(canvas.stroke([(left, brow), (right, brow)], 0.5), _OUTLINE, 0.3, 0.5)
    panel.shade(canvas.stroke([(x, y), (x + 0.05 * size, y + 0.4 * size)], 0.6), (170, 112, 84), 0.3, 0.6)
    mouth = canvas.stroke([(x - 0.2 * size, y + 0.72 * size), (x + 0.2 * size, y + 0.72 * size)], 0.8)
    panel.shade(mouth, (176, 60, 50), 0.3, 0.9)


def _madonna(panel: _Panel) -> None:
    """Paint the Virgin: halo, mantle, dress, veil and face, then folds, star and hem."""
    canvas = panel.canvas
    _halo(panel, (80, 36), 23, 36)
    cloth = np.maximum(canvas.polygon(_MANTLE, smooth=True), canvas.y - 116)
    panel.figure(cloth, AZURITE, (36, 66, 132))
    dress = canvas.polygon([(72, 54), (88, 54), (99, 76), (103, 118), (60, 118), (62, 76)], smooth=True)
    dress = np.maximum(dress, canvas.y - 116)
    panel.figure(dress, VERMILION, (190, 48, 40))
    neck = canvas.polygon([(75, 45), (85, 45), (87, 58), (80, 63), (73, 58)], smooth=True)
    panel.lay(neck, WHITE, (216, 180, 152))
    panel.figure(canvas.ellipse((80, 36), (12.5, 16.5)), WHITE, (240, 234, 218))
    face = canvas.ellipse((80, 37), (9.4, 13.0), 0.06)
    panel.figure(face, WHITE, _FLESH)
    hair = np.maximum(face, -canvas.ellipse((80, 45), (10.5, 17.5)))
    panel.lay(hair, UMBER, (112, 72, 42))
    _face(panel, (80, 38), 8.0)
    for fold in _FOLDS:
        panel.shade(np.maximum(canvas.stroke(fold, 2.2), cloth), (14, 28, 74), 1.0, 0.75)
        panel.shade(np.maximum(canvas.stroke([(x + 3.4, y) for x, y in fold], 1.6), cloth), (92, 126, 190), 1.0, 0.6)
    panel.lay(_star(canvas, (107, 68), 4.6), YELLOW, (246, 212, 104))
    panel.lay(np.maximum(np.abs(dress) - 1.0, canvas.y - 116), YELLOW, (230, 186, 84))


def _star(canvas: Canvas, center: Point, size: float) -> Distance:
    """Distance to a star of eight rays."""
    turns = [(math.pi * ray / 8, size if ray % 2 == 0 else 0.42 * size) for ray in range(16)]
    return canvas.polygon([(center[0] + r * math.sin(turn), center[1] - r * math.cos(turn)) for turn, r in turns])


def _child(panel: _Panel) -> None:
    canvas = panel.canvas
    _halo(panel, (63, 73), 13, 24)
    body = canvas.polygon([(57, 82), (70, 80), (92, 90), (104, 104), (96, 112), (76, 108), (60, 98)], smooth=True)
    panel.figure(body, WHITE, (242, 236, 220))
    for band in ([(68, 83), (63, 97)], [(77, 85), (71, 104)], [(86, 89), (81, 108)], [(94, 95), (91, 110)]):
        panel.shade(np.maximum(canvas.stroke(band, 0.8), body), (150, 126, 100), 0.5, 0.6)
    face = canvas.ellipse((63, 74), (7.4, 8.4))
    panel.figure(face, WHITE, _FLESH)
    panel.lay(np.maximum(face, -canvas.ellipse((63, 80), (8.5, 11.5))), UMBER, (136, 92, 52))
    _face(panel, (63, 75), 5.4)
    for hand in ((94, 86, 0.5), (73, 103, 0.3)):
        panel.figure(canvas.ellipse(hand[:2], (7.0, 3.4), hand[2]), WHITE, _FLESH)


def _age(panel: _Panel) -> None:
    """Flake off paint, so that the ground shows, and fill two losses with titanium white, toned to match."""
    canvas = panel.canvas
    frame = canvas.polygon([(4, 4), (156, 4), (156, 116), (4, 116)])
    panel.lay(-frame - 0.4 * panel.light, GROUND, (226, 211, 178))
    for x, y, size in ((150, 108, 4.5), (145, 112, 3.0), (9, 110, 3.2), (118, 9, 2.6), (48, 7, 2.2)):
        panel.lay(canvas.ellipse((x, y), (size, 0.7 * size), 0.6), GROUND, (222, 204, 168))
    fill = canvas.polygon([(133, 8), (150, 7), (153, 18), (146, 24), (134, 21), (129, 14)], smooth=True)
    panel.lay(fill, TITANIUM, (133, 172, 206))
    patch = canvas.polygon([(112, 92), (122, 90), (124, 102), (116, 107), (110, 100)], smooth=True)
    panel.lay(patch, TITANIUM, (46, 74, 134))


def _noise(rng: np.random.Generator, scale: tuple[float, float]) -> Array:
    """Smooth noise (y, x) of mean 0 and spread 1: white noise under a Gaussian of ``scale`` pixels, by FFT."""
    fy, fx = np.fft.fftfreq(NY)[:, None], np.fft.rfftfreq(NX)[None, :]
    pass_low = np.exp(-2 * np.pi**2 * ((fy * scale[0]) ** 2 + (fx * scale[1]) ** 2))
    smooth = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((NY, NX))) * pass_low, s=(NY, NX))
    return np.asarray((smooth - smooth.mean()) / smooth.std())
