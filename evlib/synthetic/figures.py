"""Ten little figures, one per CIFAR-10 class, made of polygons, ellipses and lines; and the pen that paints them.

All face right on a square that reaches from -1 to 1 in x (to the right) and y (downwards). The Pen places, turns,
mirrors and scales them. Colors come from a Palette and mean nothing: only the shape tells the class.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

Color = tuple[int, int, int]
Point = tuple[float, float]

_CIRCLE = np.stack([np.cos(t := np.linspace(0, 2 * np.pi, 28, endpoint=False)), np.sin(t)], axis=1)


@dataclass(frozen=True)
class Palette:
    """Colors of one figure, 0 .. 255."""

    body: Color
    second: Color  # large parts that should stand apart from the body, and from the background
    ink: Color  # eyes, windows, tyres: far from the body in brightness


class Pen:
    """Paints in figure coordinates on a Pillow canvas."""

    def __init__(self, canvas: Image.Image, matrix: np.ndarray, origin: np.ndarray) -> None:
        """matrix (2, 2) and origin (2,) map figure coordinates to canvas pixels."""
        self.draw, self.matrix, self.origin = ImageDraw.Draw(canvas), matrix, origin
        self.unit = float(np.sqrt(abs(np.linalg.det(matrix))))  # canvas pixels per figure unit

    def shape(self, points: Sequence[Point], color: Color) -> None:
        """A filled polygon."""
        self.draw.polygon(self._place(points), fill=color)

    def ellipse(self, x: float, y: float, rx: float, ry: float, color: Color, turn: float = 0.0) -> None:
        """A filled ellipse around (x, y), turned clockwise by `turn` degrees."""
        c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
        self.shape(_CIRCLE * (rx, ry) @ np.array([[c, s], [-s, c]]) + (x, y), color)

    def line(self, points: Sequence[Point], width: float, color: Color) -> None:
        """A polyline of the given width in figure units, with round joints."""
        self.draw.line(self._place(points), fill=color, width=max(1, round(width * self.unit)), joint="curve")

    def _place(self, points: Sequence[Point]) -> list[Point]:
        return [tuple(p) for p in (np.asarray(points) @ self.matrix.T + self.origin).tolist()]


Figure = Callable[[Pen, Palette], None]


def cutout(paint: Figure, palette: Palette, size: int, matrix: np.ndarray, origin: np.ndarray, by: int) -> Image.Image:
    """A figure alone, RGBA, on a square of `size` pixels that is then reduced `by` times, for smooth edges."""
    # Transparent pixels carry the body's color, so that reducing the canvas leaves no dark rim.
    canvas = Image.new("RGBA", (size, size), (*palette.body, 0))
    paint(Pen(canvas, matrix, origin), palette)
    return canvas.reduce(by)


def turn(angle: float) -> np.ndarray:
    """The matrix (2, 2) of a turn, clockwise on the screen, by an angle in radians."""
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def enlarged(coarse: np.ndarray, side: int) -> np.ndarray:
    """A coarse grid of numbers -> soft blots, float32 (side, side)."""
    image = Image.fromarray(coarse.astype(np.float32))
    return np.asarray(image.resize((side, side), Image.Resampling.BICUBIC))


def airplane(pen: Pen, c: Palette) -> None:
    pen.shape([(-0.05, -0.1), (-0.5, -0.8), (-0.25, -0.8), (0.35, -0.1)], c.second)  # far wing
    pen.shape([(-0.7, 0), (-0.98, -0.55), (-0.75, -0.55), (-0.4, -0.05)], c.second)  # fin
    pen.ellipse(0, 0, 0.95, 0.19, c.body)
    pen.shape([(-0.05, 0.05), (-0.6, 0.85), (-0.3, 0.85), (0.4, 0.05)], c.second)  # near wing
    pen.shape([(-0.75, 0.02), (-0.98, 0.3), (-0.8, 0.3), (-0.5, 0.02)], c.second)  # tailplane
    pen.shape([(0.6, -0.12), (0.8, -0.08), (0.85, 0.0), (0.62, 0.0)], c.ink)  # cockpit


def automobile(pen: Pen, c: Palette) -> None:
    pen.shape([(-0.6, 0.05), (-0.4, -0.45), (0.25, -0.45), (0.55, 0.05)], c.body)  # cabin
    pen.shape([(-0.46, 0.02), (-0.32, -0.33), (-0.07, -0.33), (-0.07, 0.02)], c.ink)
    pen.shape([(0.05, 0.02), (0.05, -0.33), (0.2, -0.33), (0.4, 0.02)], c.ink)
    pen.shape([(-0.95, 0.05), (-0.9, -0.02), (0.6, -0.02), (0.92, 0.12), (0.97, 0.42), (-0.97, 0.42)], c.body)
    for x in (-0.52, 0.52):
        pen.ellipse(x, 0.42, 0.27, 0.27, c.second)
        pen.ellipse(x, 0.42, 0.12, 0.12, c.ink)


def bird(pen: Pen, c: Palette) -> None:
    for x in (-0.05, 0.15):
        pen.line([(x, 0.4), (x, 0.85), (x + 0.18, 0.88)], 0.08, c.second)  # legs
    pen.shape([(-0.3, 0.0), (-0.98, 0.1), (-0.95, 0.4), (-0.3, 0.35)], c.second)  # tail
    pen.ellipse(0.0, 0.15, 0.55, 0.4, c.body, turn=-15)
    pen.ellipse(0.42, -0.4, 0.32, 0.32, c.body)  # head
    pen.shape([(0.68, -0.52), (1.0, -0.33), (0.66, -0.24)], c.second)  # beak
    pen.ellipse(0.5, -0.47, 0.08, 0.08, c.ink)
    pen.shape([(0.25, 0.05), (-0.1, -0.1), (-0.55, 0.35), (0.05, 0.38)], c.second)  # wing


def cat(pen: Pen, c: Palette) -> None:
    for side in (-1, 1):
        pen.shape([(side * 0.72, 0.1), (side * 0.72, -0.9), (side * 0.1, -0.4)], c.body)  # ears
        pen.shape([(side * 0.62, -0.25), (side * 0.63, -0.68), (side * 0.33, -0.42)], c.second)
    pen.ellipse(0, 0.15, 0.76, 0.66, c.body)
    for side in (-1, 1):
        pen.ellipse(side * 0.3, 0.0, 0.11, 0.17, c.ink)
        for y in (0.26, 0.44):
            pen.line([(side * 0.2, 0.33), (side * 0.98, y + 0.12 * (y - 0.3))], 0.05, c.ink)  # whiskers
    pen.shape([(-0.12, 0.25), (0.12, 0.25), (0, 0.4)], c.ink)


def deer(pen: Pen, c: Palette) -> None:
    for side in (-1, 1):
        pen.line([(side * 0.14, -0.1), (side * 0.4, -0.5), (side * 0.42, -0.97)], 0.12, c.second)  # antlers
        pen.line([(side * 0.36, -0.42), (side * 0.8, -0.6), (side * 0.86, -0.9)], 0.12, c.second)
        pen.ellipse(side * 0.6, -0.02, 0.32, 0.13, c.body, turn=-side * 12)  # ears, held sideways
    pen.ellipse(0, 0.1, 0.36, 0.36, c.body)
    pen.shape([(-0.36, 0.1), (0.36, 0.1), (0.2, 0.9), (-0.2, 0.9)], c.body)  # long face
    pen.ellipse(0, 0.8, 0.22, 0.18, c.second)
    pen.ellipse(0, 0.76, 0.12, 0.09, c.ink)
    for side in (-1, 1):
        pen.ellipse(side * 0.2, 0.12, 0.08, 0.1, c.ink)


def dog(pen: Pen, c: Palette) -> None:
    pen.ellipse(0, -0.1, 0.58, 0.68, c.body)
    for side in (-1, 1):
        pen.ellipse(side * 0.67, 0.0, 0.22, 0.58, c.second, turn=-side * 12)  # hanging ears
        pen.ellipse(side * 0.24, -0.25, 0.1, 0.1, c.ink)
    pen.ellipse(0, 0.35, 0.42, 0.36, c.second)  # muzzle
    pen.ellipse(0, 0.17, 0.18, 0.13, c.ink)
    pen.line([(0, 0.25), (0, 0.48)], 0.06, c.ink)
    pen.line([(-0.22, 0.44), (0, 0.5), (0.22, 0.44)], 0.06, c.ink)


def frog(pen: Pen, c: Palette) -> None:
    for side in (-1, 1):
        pen.ellipse(side * 0.72, 0.32, 0.24, 0.44, c.second, turn=side * 18)  # thighs
        pen.shape([(side * 0.5, 0.55), (side * 0.98, 0.95), (side * 0.35, 0.95)], c.second)  # webbed feet
        pen.ellipse(side * 0.4, -0.5, 0.28, 0.28, c.body)  # eye bumps
    pen.ellipse(0, 0.3, 0.58, 0.5, c.body)  # belly
    pen.ellipse(0, -0.1, 0.78, 0.42, c.body)  # wide head
    for side in (-1, 1):
        pen.ellipse(side * 0.4, -0.53, 0.14, 0.14, c.ink)
        pen.line([(side * 0.26, 0.5), (side * 0.2, 0.9)], 0.16, c.second)  # arms
    pen.line([(-0.58, -0.1), (-0.3, 0.06), (0, 0.1), (0.3, 0.06), (0.58, -0.1)], 0.08, c.ink)


def horse(pen: Pen, c: Palette) -> None:
    pen.line([(-0.6, -0.02), (-0.86, 0.05), (-0.9, 0.62)], 0.17, c.second)  # long tail
    for x in (-0.52, -0.3, 0.16, 0.36):
        pen.line([(x, 0.3), (x, 0.95)], 0.15, c.body)
    pen.ellipse(-0.1, 0.14, 0.62, 0.34, c.body)
    pen.shape([(0.05, 0.1), (0.3, -0.75), (0.62, -0.7), (0.5, 0.25)], c.body)  # neck
    pen.ellipse(0.5, -0.66, 0.24, 0.2, c.body, turn=30)
    pen.shape([(0.5, -0.84), (0.98, -0.42), (0.9, -0.26), (0.74, -0.26), (0.42, -0.5)], c.body)  # long face
    pen.shape([(0.3, -0.8), (0.36, -0.98), (0.48, -0.75)], c.body)  # ear
    pen.shape([(-0.1, -0.1), (0.12, -0.75), (0.4, -0.88), (0.3, -0.4), (0.15, 0.05)], c.second)  # mane
    pen.ellipse(0.58, -0.66, 0.06, 0.06, c.ink)


def ship(pen: Pen, c: Palette) -> None:
    pen.line([(0, 0.45), (0, -0.98)], 0.07, c.body)  # mast
    pen.shape([(0.08, -0.9), (0.8, 0.24), (0.08, 0.24)], c.second)
    pen.shape([(-0.08, -0.7), (-0.62, 0.25), (-0.08, 0.25)], c.second)
    pen.shape([(-0.95, 0.38), (0.98, 0.38), (0.66, 0.88), (-0.66, 0.88)], c.body)  # hull
    pen.line([(-0.84, 0.52), (0.86, 0.52)], 0.07, c.ink)


def truck(pen: Pen, c: Palette) -> None:
    pen.shape([(-0.98, -0.65), (0.3, -0.65), (0.3, 0.5), (-0.98, 0.5)], c.body)  # box
    pen.shape([(0.38, -0.25), (0.72, -0.25), (0.98, 0.12), (0.98, 0.5), (0.38, 0.5)], c.second)  # cab
    pen.shape([(0.5, -0.14), (0.68, -0.14), (0.86, 0.12), (0.5, 0.12)], c.ink)
    for x in (-0.7, -0.2, 0.66):
        pen.ellipse(x, 0.56, 0.24, 0.24, c.second if x < 0 else c.body)
        pen.ellipse(x, 0.56, 0.11, 0.11, c.ink)


FIGURES = (airplane, automobile, bird, cat, deer, dog, frog, horse, ship, truck)  # in the order of CIFAR-10's labels
